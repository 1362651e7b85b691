//! The measured run: load, steady epochs, memory, restart.

use std::time::{Duration, Instant};

use mast_dataflow::engine::{Engine, EngineConfig};
use mast_dataflow::outputs::{Outputs, SlotInput, Snapshot};
use mast_schemas::alerts::AlertChange;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{Epoch, Timestamp};

use super::fleet::Fleet;
use super::telemetry::{PARTITIONS, Telemetry};
use super::{Options, Report, restart};
use crate::process::{cpu_time, resident_bytes};
use crate::{BenchError, percentile};

/// When the fleet's time begins.
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Event time between two polls of a device, unless rows per epoch are given.
const INTERVAL: Span = Span::secs(60);

/// Polls of each device that load the state: after the second one links are confirmed.
const LOAD_ROUNDS: u64 = 2;

/// Runs the benchmark. `progress` gets a line for people from time to time.
///
/// # Errors
/// [`BenchError`], which names what could not be done.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report, BenchError> {
    let slots_per_epoch = options.slots_per_epoch()?;
    let fleet = Fleet::new(options.clients, START - Span::hours(1), options.seed);
    let (aps, managed) = (fleet.aps(), fleet.managed());
    let slots_per_round = slots_per_round(
        options,
        slots_per_epoch,
        fleet.rows_per_round(options.station_rows),
    );
    progress(&format!(
        "{} clients on {aps} access points, {managed} of them managed; each device polled every {:.2} s",
        options.clients,
        seconds(slots_per_round)
    ));
    let mut telemetry = Telemetry::new(
        fleet,
        Epoch::of(START),
        slots_per_round,
        options.station_rows,
        options.rules,
    );
    let config = EngineConfig {
        workers: options.workers,
        partitions: PARTITIONS,
        thresholds: DEFAULT,
    };
    let memory = Memory::new(options.heap_bytes)?;

    let mut engine = Engine::start(config, Snapshot::default())?;
    let mut control = Spent::default();
    control.epoch(&mut engine, vec![telemetry.next()?])?;
    progress(&format!(
        "control of {} devices took {:.1} s",
        aps + managed,
        control.cpu.as_secs_f64()
    ));
    let epochs_per_round = slots_per_round.div_ceil(slots_per_epoch);
    let mut load = Spent::default();
    for round in 1..=LOAD_ROUNDS {
        spend(
            &mut load,
            &mut engine,
            &mut telemetry,
            epochs_per_round,
            slots_per_epoch,
        )?;
        progress(&format!(
            "round {round} of {LOAD_ROUNDS} that load the state: {:.1} s of CPU",
            load.cpu.as_secs_f64()
        ));
    }
    let (load_rows, load_bytes) = (telemetry.rows, telemetry.bytes);
    let mut spent = Spent::default();
    for round in 1..=options.rounds {
        spend(
            &mut spent,
            &mut engine,
            &mut telemetry,
            epochs_per_round,
            slots_per_epoch,
        )?;
        let us = spent.cpu.as_secs_f64() * 1e6 / (telemetry.rows - load_rows) as f64;
        progress(&format!(
            "round {round} of {}: {us:.3} µs of CPU a row so far",
            options.rounds
        ));
    }
    let bytes = memory.grown()?;
    let rss_bytes = resident_bytes()?;
    let rows = telemetry.rows - load_rows;
    let log_bytes = telemetry.bytes - load_bytes;

    progress("checkpoint and restart");
    let replay = (Span::secs(options.replay_s as i64).0 / SLOT.0).unsigned_abs();
    let restart = restart::restart(config, engine, &mut telemetry, replay)?;

    let (cpu_s, wall_s) = (spent.cpu.as_secs_f64(), spent.wall().as_secs_f64());
    let epochs = spent.walls.len() as u64;
    Ok(Report {
        rows_per_s_per_core: rows as f64 / cpu_s,
        us_per_row: cpu_s * 1e6 / rows as f64,
        bytes_per_client: bytes as f64 / options.clients as f64,
        epoch_p50_ms: spent.percentile_ms(0.5),
        epoch_p99_ms: spent.percentile_ms(0.99),
        restart_s: restart.load_s + restart.rebuild_s + restart.replay_s,
        bytes_are: if options.heap_bytes.is_some() {
            "heap"
        } else {
            "resident"
        },
        clients: options.clients,
        aps,
        managed,
        rules: options.rules,
        workers: options.workers,
        epoch_ms: options.epoch_ms,
        interval_s: seconds(slots_per_round),
        rows,
        epochs,
        rows_per_epoch: rows as f64 / epochs as f64,
        log_bytes_per_row: log_bytes as f64 / rows as f64,
        cpu_s,
        wall_s,
        times_real_time: seconds(epochs * slots_per_epoch) / wall_s,
        view_rows: spent.view_rows,
        events: spent.events,
        alerts_open: load.alerts_opened + spent.alerts_opened,
        load_us_per_row: load.cpu.as_secs_f64() * 1e6 / load_rows as f64,
        rss_bytes,
        restart,
    })
}

fn slots_per_round(options: &Options, slots_per_epoch: u64, rows_per_round: u64) -> u64 {
    let slots = match options.rows_per_epoch {
        None => INTERVAL.0.unsigned_abs() / SLOT.0.unsigned_abs(),
        Some(rows) => (rows_per_round as f64 * slots_per_epoch as f64 / rows as f64).round() as u64,
    };
    slots.max(1)
}

/// Event time of so many slots, s.
pub(super) fn seconds(slots: u64) -> f64 {
    slots as f64 * SLOT.0 as f64 / 1e6
}

fn spend(
    spent: &mut Spent,
    engine: &mut Engine,
    telemetry: &mut Telemetry,
    epochs: u64,
    slots_per_epoch: u64,
) -> Result<(), BenchError> {
    for _ in 0..epochs {
        let slots = (0..slots_per_epoch)
            .map(|_| telemetry.next())
            .collect::<Result<_, _>>()?;
        spent.epoch(engine, slots)?;
    }
    Ok(())
}

/// Time spent by the engine, and what it told.
#[derive(Default)]
struct Spent {
    cpu: Duration,
    walls: Vec<Duration>,
    view_rows: u64,
    events: u64,
    /// Less those that resolved.
    alerts_opened: i64,
}

impl Spent {
    fn epoch(&mut self, engine: &mut Engine, slots: Vec<SlotInput>) -> Result<(), BenchError> {
        let (cpu, wall) = (cpu_time(), Instant::now());
        for slot in slots {
            engine.feed(slot)?;
        }
        let outputs = engine.outputs()?;
        self.walls.push(wall.elapsed());
        self.cpu += cpu_time().saturating_sub(cpu);
        refused(&outputs)?;
        let rows = outputs.devices.len()
            + outputs.links.len()
            + outputs.counts.len()
            + outputs.signals.len();
        self.view_rows += rows as u64;
        self.events += (outputs.device_events.len() + outputs.link_events.len()) as u64;
        let changes = outputs.alert_events.iter().map(|(_, event)| event.change);
        self.alerts_opened += changes
            .map(|change| match change {
                AlertChange::Opened => 1,
                AlertChange::Resolved => -1,
            })
            .sum::<i64>();
        Ok(())
    }

    fn wall(&self) -> Duration {
        self.walls.iter().sum()
    }

    fn percentile_ms(&self, share: f64) -> f64 {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        percentile(&walls, share).map_or(0.0, |wall| wall.as_secs_f64() * 1e3)
    }
}

/// Figures of an engine that refuses its input mean nothing.
pub(super) fn refused(outputs: &Outputs) -> Result<(), BenchError> {
    match outputs.poison.first() {
        None => Ok(()),
        Some((_, _, reason)) => Err(BenchError::Poison {
            count: outputs.poison.len(),
            reason: reason.clone(),
        }),
    }
}

/// Growth of memory since it was made.
struct Memory {
    heap_bytes: Option<fn() -> u64>,
    before: u64,
}

impl Memory {
    fn new(heap_bytes: Option<fn() -> u64>) -> Result<Self, BenchError> {
        let mut memory = Self {
            heap_bytes,
            before: 0,
        };
        memory.before = memory.now()?;
        Ok(memory)
    }

    fn now(&self) -> Result<u64, BenchError> {
        self.heap_bytes
            .map_or_else(resident_bytes, |heap| Ok(heap()))
    }

    fn grown(&self) -> Result<u64, BenchError> {
        Ok(self.now()?.saturating_sub(self.before))
    }
}
