//! What a job tells of itself while it runs.

use mast_schemas::{Epoch, Timestamp};

use crate::relay::Lag;
use crate::troubles::Troubles;

/// How a job is doing.
#[derive(Clone, Debug, Default)]
pub struct JobStatus {
    /// Fencing generation; rises with each start.
    pub generation: u64,
    /// All slots up to this one are committed.
    pub epoch: Epoch,
    /// Clock minus end of `epoch`, ms; null before the first slot of all.
    pub lag_ms: Option<i64>,
    /// Newest complete checkpoint.
    pub checkpoint_epoch: Epoch,
    /// The lake holds all rows up to this slot.
    pub lake_epoch: Epoch,
    /// Memory of the rows that wait for the lake.
    pub lake_waiting_bytes: u64,
    /// Memory of the rows that the lake holds and that are kept for queries that began before.
    pub lake_kept_bytes: u64,
    /// Still working through bindings of earlier starts.
    pub replaying: bool,
    /// Sums since this start.
    pub counters: Counters,
    /// Time from the observation of a row to the commit of the slot that holds it, of accepted rows since this start.
    pub freshness: Freshness,
    /// What it cannot do right now; the same list in every copy of the status.
    pub troubles: Troubles,
    /// How far the relay from the outbox to the control topic is behind; the same in every copy of the status.
    pub outbox_lag: Lag,
    /// How far the relay of transitions to the event topic is behind.
    pub events_lag: Lag,
}

/// Sums since the start of the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits.
    pub groups: u64,
    /// Polls that count.
    pub polls: u64,
    /// Registration rows that count.
    pub registrations: u64,
    /// Polls of an older lease, which went to the lake alone.
    pub late: u64,
    /// Polls that were seen before.
    pub replays: u64,
    /// Polls of a device that control does not know.
    pub unknown_device: u64,
    /// Polls with another tenant than their device's.
    pub wrong_tenant: u64,
    /// Polls of a device that control has disabled.
    pub disabled: u64,
    /// Messages that did not decode.
    pub poison: u64,
    /// Device rows written.
    pub devices: u64,
    /// Link rows written.
    pub links: u64,
    /// Device transitions.
    pub device_events: u64,
    /// Link transitions.
    pub link_events: u64,
    /// Transitions of places.
    pub health_events: u64,
    /// Openings and resolvings of alerts.
    pub alert_events: u64,
    /// What became of incidents.
    pub incident_events: u64,
    /// What became of trends.
    pub trend_events: u64,
    /// Gauge rows written.
    pub gauges: u64,
    /// Rows handed to the lake.
    pub lake_rows: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Heartbeats that were ahead of the clock.
    pub clamped: u64,
    /// Producers left out because they were silent.
    pub silences: u64,
}

impl Counters {
    /// Adds what the history of a group told.
    pub(crate) const fn add_history(&mut self, other: &Self) {
        self.polls += other.polls;
        self.registrations += other.registrations;
        self.late += other.late;
        self.replays += other.replays;
        self.unknown_device += other.unknown_device;
        self.wrong_tenant += other.wrong_tenant;
        self.disabled += other.disabled;
        self.poison += other.poison;
        self.lake_rows += other.lake_rows;
    }
}

/// Counts by duration: exact below 64 ms, within 3 % above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    buckets: Vec<u64>,
}

const EXACT: u64 = 64;
const PARTS: u64 = 32;

impl Freshness {
    /// Counts `rows` rows that were observed at `observed` and could be seen at `visible`.
    pub fn record(&mut self, observed: Timestamp, visible: Timestamp, rows: u64) {
        let ms = u64::try_from((visible - observed).0 / 1_000)
            .unwrap_or(0)
            .min(1 << 40);
        let bucket = bucket(ms);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += rows;
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets
            .iter_mut()
            .zip(&other.buckets)
            .for_each(|(a, b)| *a += b);
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What was counted since `earlier`, a copy of this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.buckets.iter().copied().chain(std::iter::repeat(0));
        Self {
            buckets: self
                .buckets
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before))
                .collect(),
        }
    }

    /// Milliseconds that a part `q` (0 to 1) of the rows did not exceed; null without rows.
    pub fn percentile_ms(&self, q: f64) -> Option<u64> {
        let rows = self.rows();
        let wanted = ((rows as f64 * q).ceil() as u64).clamp(1, rows.max(1));
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(upper(place as u64))
    }
}

fn bucket(ms: u64) -> usize {
    if ms < EXACT {
        return ms as usize;
    }
    let power = u64::from(ms.ilog2());
    let part = (ms >> (power - 5)) & (PARTS - 1);
    (EXACT + (power - 6) * PARTS + part) as usize
}

/// The greatest duration that falls into a bucket.
fn upper(bucket: u64) -> u64 {
    if bucket < EXACT {
        return bucket;
    }
    let (power, part) = (6 + (bucket - EXACT) / PARTS, (bucket - EXACT) % PARTS);
    ((PARTS + part + 1) << (power - 5)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_in_its_bucket() {
        for ms in (0..5_000).chain([10_000, 123_456, 1 << 39]) {
            let upper = upper(bucket(ms) as u64);
            assert!(
                upper >= ms && upper <= ms + ms / 32,
                "{ms} in a bucket up to {upper}"
            );
        }
    }

    #[test]
    fn percentiles_are_of_rows() {
        let mut f = Freshness::default();
        assert_eq!(f.percentile_ms(0.5), None);
        f.record(Timestamp(0), Timestamp(10_000), 98);
        let before = f.clone();
        f.record(Timestamp(0), Timestamp(50_000), 2);
        assert_eq!(
            (
                f.percentile_ms(0.5),
                f.percentile_ms(0.98),
                f.percentile_ms(0.99)
            ),
            (Some(10), Some(10), Some(50))
        );
        assert_eq!(f.since(&before).percentile_ms(0.5), Some(50));
    }
}
