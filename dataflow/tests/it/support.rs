//! Feeds scripted slots to an engine, and keeps the views that its outputs make.

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_dataflow::engine::{Engine, EngineConfig};
use mast_dataflow::outputs::{Message, Outputs, SlotInput, Snapshot};
use mast_oracle::script;
use mast_oracle::{Oracle, Restored, Views};
use mast_schemas::alerts::{AlertEvent, IncidentEvent, TrendEvent};
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, ProducerId, WholePoll, write_polls};
use mast_schemas::partition::{partition, shard};
use mast_schemas::thresholds::{DEFAULT, Thresholds};
use mast_schemas::views::{DeviceEvent, HealthEvent, HealthSample, LinkEvent};
use uuid::Uuid;

/// Partitions of the tests' telemetry.
pub(crate) const PARTITIONS: u32 = 8;

/// An engine of so many workers.
pub(crate) fn config(workers: usize) -> EngineConfig {
    EngineConfig {
        workers,
        partitions: PARTITIONS,
        thresholds: DEFAULT,
    }
}

/// The slots as messages, with the polls of a partition in messages of at most `per_message`.
pub(crate) fn encode(slots: &[script::SlotInput], per_message: usize) -> Vec<SlotInput> {
    let mut offsets = vec![0u64; PARTITIONS as usize];
    slots
        .iter()
        .map(|slot| encode_slot(slot, per_message.max(1), &mut offsets))
        .collect()
}

fn encode_slot(slot: &script::SlotInput, per_message: usize, offsets: &mut [u64]) -> SlotInput {
    let mut by_partition: BTreeMap<u32, Vec<WholePoll>> = BTreeMap::new();
    for poll in &slot.polls {
        let p = partition(shard(&poll.poll.device_id), PARTITIONS);
        by_partition.entry(p).or_default().push(poll.clone());
    }
    let mut messages = Vec::new();
    for (partition, polls) in by_partition {
        for chunk in polls.chunks(per_message) {
            let (header, body) = write_polls(chunk, ProducerId(Uuid::nil()), 1).unwrap();
            let offset = offsets[partition as usize];
            offsets[partition as usize] += 1;
            messages.push(Message {
                partition,
                offset,
                header: Arc::new(Header::decode(&header).unwrap()),
                body,
            });
        }
    }
    let binding = Binding {
        first: slot.first,
        last: slot.last,
        generation: 1,
        telemetry: offsets.to_vec(),
        control: 0,
        silent: Vec::new(),
        by_clock: false,
    };
    SlotInput {
        binding,
        control: slot.control.iter().map(|r| r.change.clone()).collect(),
        messages,
    }
}

/// What a reader of the outputs would see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    pub(crate) views: Views,
    pub(crate) device_events: Vec<DeviceEvent>,
    pub(crate) link_events: Vec<LinkEvent>,
    pub(crate) health_events: Vec<HealthEvent>,
    pub(crate) history: Vec<HealthSample>,
    pub(crate) trend_events: Vec<TrendEvent>,
    pub(crate) alert_events: Vec<AlertEvent>,
    pub(crate) incident_events: Vec<IncidentEvent>,
}

impl Served {
    /// Takes a run of outputs in.
    pub(crate) fn take(&mut self, outputs: Outputs) {
        assert!(outputs.poison.is_empty(), "{:?}", outputs.poison);
        put(&mut self.views.devices, outputs.devices);
        put(&mut self.views.links, outputs.links);
        put(&mut self.views.addresses, outputs.addresses);
        put(&mut self.views.counts, outputs.counts);
        put(&mut self.views.signals, outputs.signals);
        put(&mut self.views.air, outputs.air);
        for rates in outputs.interface_rates {
            self.views.rates.insert(rates.device_id, rates);
        }
        self.views
            .rates
            .retain(|device, _| self.views.devices.contains_key(device));
        put(&mut self.views.alerts, outputs.alerts);
        put(&mut self.views.incidents, outputs.incidents);
        self.incident_events
            .extend(outputs.incident_events.into_iter().map(|(_, e)| e));
        self.alert_events
            .extend(outputs.alert_events.into_iter().map(|(_, e)| e));
        put(&mut self.views.health, outputs.health);
        put(&mut self.views.past, outputs.past_clients);
        put(&mut self.views.trends, outputs.trends);
        self.trend_events
            .extend(outputs.trend_events.into_iter().map(|(_, e)| e));
        self.health_events
            .extend(outputs.health_events.into_iter().map(|(_, e)| e));
        self.history
            .extend(outputs.health_history.into_iter().map(|(_, row)| row));
        self.device_events
            .extend(outputs.device_events.into_iter().map(|(_, e)| e));
        self.link_events
            .extend(outputs.link_events.into_iter().map(|(_, e)| e));
    }
}

fn put<K: Ord, V, E>(map: &mut BTreeMap<K, V>, rows: Vec<(E, K, Option<V>)>) {
    for (_, key, row) in rows {
        match row {
            Some(row) => drop(map.insert(key, row)),
            None => drop(map.remove(&key)),
        }
    }
}

/// The oracle after these slots, with all its events.
pub(crate) fn oracle(
    slots: &[script::SlotInput],
    thresholds: Thresholds,
) -> (Oracle, mast_oracle::Events) {
    let mut oracle = Oracle::new(thresholds);
    for slot in slots {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
    }
    let events = oracle.take_events();
    (oracle, events)
}

/// The oracle's own records from a snapshot.
pub(crate) fn restored(snapshot: Snapshot) -> Restored {
    fn records<R>(grouped: Vec<(u8, R)>) -> Vec<R> {
        grouped.into_iter().map(|(_, r)| r).collect()
    }
    Restored {
        control: snapshot.control,
        limits: snapshot.limits,
        devices: records(snapshot.devices),
        roam: records(snapshot.roam),
        aps: records(snapshot.aps),
        caps: records(snapshot.caps),
        bssids: records(snapshot.bssids),
        health: records(snapshot.health),
        rules: snapshot.rules,
        cores: snapshot.cores,
        windows: snapshot.windows,
        judged: records(snapshot.judged),
        throughput: records(snapshot.throughput),
        trends: records(snapshot.trends),
        alerts: records(snapshot.alerts),
        incidents: records(snapshot.incidents),
    }
}

/// Runs all slots through one engine, asking for outputs after each `group` slots.
pub(crate) fn run(slots: &[SlotInput], workers: usize, group: usize) -> Served {
    run_with(DEFAULT, slots, workers, group)
}

/// The same with other thresholds.
pub(crate) fn run_with(
    thresholds: Thresholds,
    slots: &[SlotInput],
    workers: usize,
    group: usize,
) -> Served {
    let config = EngineConfig {
        thresholds,
        ..config(workers)
    };
    let mut engine = Engine::start(config, Snapshot::default()).unwrap();
    let mut served = Served::default();
    for chunk in slots.chunks(group.max(1)) {
        for slot in chunk {
            engine.feed(slot.clone()).unwrap();
        }
        served.take(engine.outputs().unwrap());
    }
    served
}
