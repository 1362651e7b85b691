//! One task a device: sleep until due, poll, hand over, judge how hard to try next.
//!
//! Nothing waits for another device, and all that a device needs between polls is in its task.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mast_schemas::Timestamp;
use mast_schemas::message::{SlowRows, WholePoll};
use mast_schemas::metric::Histogram;
use mast_schemas::records::{Outcome, Poll};
use mast_schemas::time::Span;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::breaker::{Breaker, Cause, Transition};
use crate::clock::TimeSource;
use crate::kin::{Kin, Place, Told};
use crate::marks::KeptMark;
use crate::parse::Stamp;
use crate::producer::Producer;
use crate::round_trips::RoundTrips;
use crate::session::{Polled, Session};
use crate::slower::Slower;
use crate::trust::{DeviceSpec, Trust};
use crate::wheel::Grid;

/// What all device tasks share.
#[derive(Clone)]
pub struct Shared {
    /// Where polls go.
    pub producer: Arc<Producer>,
    /// The time.
    pub clock: Arc<dyn TimeSource>,
    /// How devices are trusted.
    pub trust: Arc<Trust>,
    /// Who is in front of whom.
    pub kin: Arc<Kin>,
    /// How often the slower kinds are read, and how far logs were.
    pub slower: Arc<Slower>,
    /// Fencing epoch of the lease.
    pub lease_epoch: u64,
    /// Counters.
    pub stats: Arc<PollStats>,
    /// How long polls take.
    pub times: Histogram,
    /// Ends all tasks.
    pub stop: CancellationToken,
}

/// Counters over all devices.
#[derive(Debug, Default)]
pub struct PollStats {
    /// Polls by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [AtomicU64; 8],
    /// Rows of all kinds.
    pub rows: AtomicU64,
    /// Values that could not be typed.
    pub issues: AtomicU64,
    /// How long polls took from the first byte sent to the last reply.
    pub round_trips: RoundTrips,
    /// Open sessions.
    pub sessions: AtomicI64,
    /// Devices whose breaker is open.
    pub breakers: AtomicI64,
    /// The longest that a poll began after it was due, of late; milliseconds.
    pub late_ms: AtomicU64,
    /// The same, since metrics were last written.
    pub late_metric: AtomicU64,
}

/// Runs one device until it is removed (the sender of `specs` is gone) or everything stops. `sequence`
/// holds the last one used under this lease, also by an earlier task of the same device.
pub async fn run(
    shared: Arc<Shared>,
    mut specs: watch::Receiver<Arc<DeviceSpec>>,
    sequence: Arc<AtomicU64>,
) {
    let spec = specs.borrow_and_update().clone();
    let mut device = Poller {
        shared: Arc::clone(&shared),
        grid: Grid::new(&spec.device.id, spec.device.interval_ms),
        place: shared.kin.join(&spec.device),
        session: Session::sharing(spec, Arc::clone(&shared.slower)),
        breaker: Breaker::default(),
        untold: Vec::new(),
        sequence,
        reached: None,
        looked_at: None,
        counted_open: false,
        counted_breaker: false,
    };
    loop {
        let now = shared.clock.now();
        let due = device.grid.next(now);
        let wait = Duration::from_micros((due - now).0.max(0).unsigned_abs());
        let nudge = Arc::clone(device.place.nudge());
        let due = tokio::select! {
            () = shared.stop.cancelled() => break,
            changed = specs.changed() => {
                if changed.is_err() {
                    break;
                }
                device.change(specs.borrow_and_update().clone());
                continue;
            }
            told = nudge.told() => {
                if !device.heeds(told, now) {
                    continue;
                }
                now
            }
            () = tokio::time::sleep(wait) => due,
        };
        // Removal and stop end a poll under way: what it found would be nobody's.
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = removed(&specs) => break,
            () = device.poll(due) => {}
        }
    }
    device.session.close().await;
    device.count(false, false);
}

/// Ends when the sender is gone.
async fn removed(specs: &watch::Receiver<Arc<DeviceSpec>>) {
    let mut watching = specs.clone();
    while watching.changed().await.is_ok() {}
}

struct Poller {
    shared: Arc<Shared>,
    grid: Grid,
    place: Place,
    session: Session,
    breaker: Breaker,
    /// Steps of the breaker that no row has told yet.
    untold: Vec<Transition>,
    sequence: Arc<AtomicU64>,
    /// Whether the last poll read anything, faults of ours left out; null before the first.
    reached: Option<bool>,
    /// When it was last polled because others failed.
    looked_at: Option<Timestamp>,
    counted_open: bool,
    counted_breaker: bool,
}

impl Poller {
    fn change(&mut self, spec: Arc<DeviceSpec>) {
        self.grid = Grid::new(&spec.device.id, spec.device.interval_ms);
        // A person who corrects a password should not wait for the breaker.
        let closed = self.breaker.close(Cause::Changed);
        self.tell(closed);
        self.place = self.shared.kin.join(&spec.device);
        self.session.change(spec);
    }

    /// Whether to poll now for what others told. Once an interval, however many of those behind it fail, and not if
    /// it is known to be down itself.
    fn heeds(&mut self, told: Told, now: Timestamp) -> bool {
        if told.returned {
            let closed = self.breaker.close(Cause::Returned);
            self.tell(closed);
        }
        let interval = Span::millis(i64::from(self.session.device().interval_ms));
        let looks = told.look
            && self.reached == Some(true)
            && self.looked_at.is_none_or(|before| now - before >= interval);
        if looks {
            self.looked_at = Some(now);
        }
        looks
    }

    async fn poll(&mut self, due: Timestamp) {
        let now = self.shared.clock.now();
        let late_ms = (now - due).0.max(0).unsigned_abs() / 1_000;
        for late in [&self.shared.stats.late_ms, &self.shared.stats.late_metric] {
            late.fetch_max(late_ms, Relaxed);
        }
        if self.breaker.open_until(now).is_some() && !self.session.is_open() {
            let (sequence, span) = self.begin("probe");
            // A row only when it fails: the device answers, and what we think of it stands.
            if let Err(failed) = self.session.probe().instrument(span).await {
                self.hand_over(failed, sequence);
            }
            return;
        }
        if !self.session.is_open() {
            let probing = self.breaker.probe(now);
            self.tell(probing);
        }
        let before = self.reached;
        self.try_once().await;
        match (before, self.reached) {
            (Some(false), Some(true)) => self.place.returned(),
            // The first failure is looked at again at once, and so are those in front, if there was anything to lose.
            (None | Some(true), Some(false)) => {
                if before.is_some() {
                    self.place.fell();
                }
                self.try_once().await;
            }
            _ => {}
        }
    }

    async fn try_once(&mut self) {
        let (sequence, span) = self.begin("poll");
        let trust = Arc::clone(&self.shared.trust);
        let polled = Box::pin(self.session.poll(&trust).instrument(span)).await;
        self.hand_over(polled, sequence);
    }

    /// The number of a poll, and the span in which all that is said of it carries its id: device, lease epoch, sequence.
    fn begin(&self, what: &'static str) -> (u64, tracing::Span) {
        let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
        let device = self.session.device();
        let span = tracing::debug_span!("poll", what, device = %device.id, name = device.name,
            lease_epoch = self.shared.lease_epoch, sequence);
        (sequence, span)
    }

    fn hand_over(&mut self, mut polled: Polled, sequence: u64) {
        let now = self.shared.clock.now();
        let jitter = jitter(self.session.device().id, sequence);
        let step = self.breaker.count(polled.outcome, now, jitter);
        self.tell(step);
        for step in self.untold.drain(..) {
            polled.add_event("mast,breaker", step.to_string());
        }
        if polled.outcome != Outcome::Internal {
            self.reached = Some(polled.outcome.reached());
        }
        let open_until = self.breaker.open_until(now);
        self.count(self.session.is_open(), open_until.is_some());
        // Behind an open breaker the next row may come with the next login only.
        let next_due_at = self.grid.next(open_until.unwrap_or(now).max(now));
        if let Some(round_trip) = polled.round_trip {
            self.shared.times.record(round_trip.as_secs_f64() * 1_000.0);
        }
        let device = self.session.device();
        let stamp = Stamp {
            tenant_id: device.tenant_id,
            device_id: device.id,
            observed_at: now,
            lease_epoch: self.shared.lease_epoch,
            sequence,
        };
        tracing::debug!(device = %device.id, lease_epoch = self.shared.lease_epoch, sequence, outcome = ?polled.outcome,
            detail = polled.detail, "polled");
        let stats = &self.shared.stats;
        stats.outcomes[polled.outcome as usize].fetch_add(1, Relaxed);
        if let Some(took) = polled.round_trip {
            stats.round_trips.count(took);
        }
        stats.issues.fetch_add(u64::from(polled.issues), Relaxed);
        let slow: usize = polled.slow.counts().iter().sum();
        let rows = 1 + polled.interfaces.len() + polled.registrations.len() + polled.radios.len();
        stats.rows.fetch_add((rows + slow) as u64, Relaxed);
        let mark = polled.mark.take();
        let whole = whole(stamp, device.interval_ms, next_due_at, polled);
        let (tenant, poll) = (whole.poll.tenant_id, whole.poll.id());
        let ticket = self.shared.producer.submit(whole);
        if let Some(mark) = mark.filter(|_| !ticket.is_lost()) {
            let kept = KeptMark {
                device: stamp.device_id,
                tenant,
                poll,
                mark,
            };
            self.shared.slower.marks.put(ticket, kept);
        }
    }

    /// Logs a step of the breaker, and keeps it for the next row.
    fn tell(&mut self, step: Option<Transition>) {
        let Some(step) = step else { return };
        let device = self.session.device();
        tracing::info!(device = %device.id, name = device.name, step = %step, "breaker");
        self.untold.push(step);
    }

    fn count(&mut self, session: bool, breaker: bool) {
        let stats = &self.shared.stats;
        step(&stats.sessions, &mut self.counted_open, session);
        step(&stats.breakers, &mut self.counted_breaker, breaker);
    }
}

/// Keeps a gauge of how many say yes.
fn step(gauge: &AtomicI64, before: &mut bool, now: bool) {
    match (*before, now) {
        (false, true) => gauge.fetch_add(1, Relaxed),
        (true, false) => gauge.fetch_sub(1, Relaxed),
        _ => 0,
    };
    *before = now;
}

/// From 0 to 1; spreads the returns of devices that failed together.
fn jitter(device: mast_schemas::DeviceId, sequence: u64) -> f64 {
    let mixed =
        mast_schemas::partition::mix(device.as_bytes()) ^ sequence.wrapping_mul(0x9E37_79B9);
    f64::from((mixed % 1_000) as u32) / 1_000.0
}

/// The rows of a poll, stamped but for the time, which the producer sets.
fn whole(stamp: Stamp, interval_ms: u32, next_due_at: Timestamp, polled: Polled) -> WholePoll {
    let Polled {
        mut interfaces,
        mut registrations,
        mut radios,
        mut slow,
        ..
    } = polled;
    macro_rules! stamp_all {
        ($($rows:ident),+) => {$(
            for row in $rows.iter_mut() {
                row.tenant_id = stamp.tenant_id;
                row.device_id = stamp.device_id;
                row.observed_at = stamp.observed_at;
                row.lease_epoch = stamp.lease_epoch;
                row.sequence = stamp.sequence;
            }
        )+};
    }
    stamp_all!(interfaces, registrations, radios);
    if !slow.is_empty() {
        let SlowRows {
            arp,
            dhcp_leases,
            neighbors,
            routes,
            firmware,
            events,
        } = &mut slow;
        stamp_all!(arp, dhcp_leases, neighbors, routes, firmware, events);
    }
    let mut poll = Poll {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        outcome: polled.outcome,
        detail: polled.detail,
        round_trip_ms: polled
            .round_trip
            .map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
        next_due_at,
        interval_ms,
        tables: polled.tables.0,
        registrations: polled.registrations_read,
        identity: None,
        version: None,
        board: None,
        architecture: None,
        serial: None,
        firmware: None,
        uptime_s: None,
        cpu_load_percent: None,
        memory_free_bytes: None,
        memory_total_bytes: None,
        disk_free_bytes: None,
        disk_total_bytes: None,
        cpu_temperature_c: None,
        board_temperature_c: None,
        voltage_v: None,
        sensors: None,
    };
    polled.facts.fill(&mut poll);
    WholePoll {
        poll,
        interfaces,
        registrations,
        radios,
        slow,
    }
}
