//! A node's counters as metrics, once a second: what is counted thousands of times a second is counted by atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mast_schemas::metric::{Metric, Part};
use mast_schemas::records::Outcome;

use super::Inner;

pub(super) async fn run(inner: Arc<Inner>) {
    Metric::begin(Part::Ingest);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        measure(&inner);
    }
}

pub(super) fn measure(inner: &Inner) {
    let (polls, producer) = (&inner.polls, &inner.producer);
    for (outcome, count) in Outcome::ALL.iter().zip(&polls.outcomes) {
        let counter = Metric::IngestPolls.counter(&[outcome.as_str()]);
        counter.absolute(count.load(Relaxed));
    }
    for (metric, count) in [
        (Metric::IngestRows, polls.rows.load(Relaxed)),
        (Metric::IngestIssues, polls.issues.load(Relaxed)),
        (Metric::IngestLogins, inner.logins.turns()),
        (Metric::IngestAppended, producer.polls.load(Relaxed)),
        (Metric::IngestRefused, producer.refused.load(Relaxed)),
        (Metric::IngestDropped, producer.dropped.load(Relaxed)),
    ] {
        metric.counter(&[]).absolute(count);
    }
    let gauge = |signed: i64| signed.max(0).unsigned_abs();
    for (metric, value) in [
        (Metric::IngestDevices, inner.devices.load(Relaxed)),
        (Metric::IngestSessions, gauge(polls.sessions.load(Relaxed))),
        (
            Metric::IngestBreakersOpen,
            gauge(polls.breakers.load(Relaxed)),
        ),
        (Metric::IngestLate, polls.late_metric.swap(0, Relaxed)),
        (Metric::IngestWaiting, producer.waiting_bytes.load(Relaxed)),
        (Metric::IngestSpool, producer.spool_bytes.load(Relaxed)),
    ] {
        metric.set_count(&[], value);
    }
    let troubles = inner.troubles();
    for concern in super::Concern::ALL {
        let now = troubles.iter().any(|(other, _)| other == concern);
        Metric::IngestTrouble.set_count(&[concern.name()], u64::from(now));
    }
}
