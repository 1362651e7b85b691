//! Which polls were due and which of them are in the log, from the log's rows alone.
//!
//! A row says when its device's next poll is due and how often it is polled, so the grid of due points follows from any
//! row; ingest's own counters and clock have no part in it. A due point is met by a row that was observed from it on and
//! before the next one, however the poll ended. A further row in the same interval, such as that of a second look at a
//! device that failed, meets nothing more.

use std::collections::HashMap;

use mast_schemas::records::Poll;
use mast_schemas::{DeviceId, Timestamp};

/// What a device's rows told.
#[derive(Clone, Copy, Debug)]
struct Device {
    interval_us: i64,
    /// Due points are this far behind multiples of the interval.
    phase_us: i64,
    /// Number of the due point that was met last.
    last: i64,
    /// Due points met since the count began.
    met: u64,
}

impl Device {
    /// The due point at or before a time.
    const fn point(&self, at: Timestamp) -> i64 {
        (at.0 - self.phase_us).div_euclid(self.interval_us)
    }
}

/// The polls that the log holds.
#[derive(Debug, Default)]
pub struct Ledger {
    devices: HashMap<DeviceId, Device>,
    /// Due points before this do not count.
    from: Option<Timestamp>,
    polls: u64,
    failed: u64,
    rows: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Polls, second looks included.
    pub polls: u64,
    /// Of these, such as read nothing.
    pub failed: u64,
    /// Rows: registrations, and the status of a device for each poll.
    pub rows: u64,
    /// Polls that were due.
    pub due: u64,
    /// Of these, such as are not in the log.
    pub missed: u64,
}

impl Ledger {
    /// Devices with a poll.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Begins to count: due points from `from` on.
    pub fn begin(&mut self, from: Timestamp) {
        self.from = Some(from);
        (self.polls, self.failed, self.rows) = (0, 0, 0);
        for device in self.devices.values_mut() {
            device.met = 0;
        }
    }

    /// Takes a row. Rows of a device come in the order of their times.
    pub fn add(&mut self, poll: &Poll) {
        let interval_us = i64::from(poll.interval_ms.max(1)) * 1_000;
        let phase_us = poll.next_due_at.0.rem_euclid(interval_us);
        let device = self.devices.entry(poll.device_id).or_insert(Device {
            interval_us,
            phase_us,
            last: i64::MIN,
            met: 0,
        });
        let point = device.point(poll.observed_at);
        let counts = self.from.is_some_and(|from| device.due_at(point) >= from);
        if point > device.last {
            device.last = point;
            device.met += u64::from(counts);
        }
        if self.from.is_some_and(|from| poll.observed_at >= from) {
            self.polls += 1;
            self.failed += u64::from(!poll.outcome.reached());
            self.rows += 1 + u64::from(poll.registrations.unwrap_or(0));
        }
    }

    /// What is counted of due points up to `to`, of which all rows must be known. Of devices without any row all polls are
    /// missed.
    pub fn count(&self, devices: usize, interval_ms: u32, to: Timestamp) -> Counted {
        let mut counted = Counted {
            polls: self.polls,
            failed: self.failed,
            rows: self.rows,
            ..Counted::default()
        };
        let Some(from) = self.from else {
            return counted;
        };
        for device in self.devices.values() {
            let due = device.points(from, to);
            // Some that are due after `to` may be met already.
            let early = (device.last.max(device.point(to)) - device.point(to)).unsigned_abs();
            counted.due += due;
            counted.missed += due.saturating_sub(device.met.saturating_sub(early));
        }
        let silent = devices.saturating_sub(self.devices.len()) as u64;
        let each = (to.0 - from.0).max(0).unsigned_abs() / (u64::from(interval_ms.max(1)) * 1_000);
        counted.due += silent * each;
        counted.missed += silent * each;
        counted
    }
}

impl Device {
    const fn due_at(&self, point: i64) -> Timestamp {
        Timestamp(point * self.interval_us + self.phase_us)
    }

    /// Due points from `from` to `to`.
    fn points(&self, from: Timestamp, to: Timestamp) -> u64 {
        let first = self.point(Timestamp(from.0 - 1)) + 1;
        (self.point(to) + 1 - first).max(0).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_ingest::wheel::Grid;
    use mast_schemas::records::{Outcome, Poll};
    use mast_schemas::time::Span;
    use mast_schemas::{TenantId, Timestamp};

    const INTERVAL_MS: u32 = 60_000;

    fn row(device: DeviceId, observed_at: Timestamp, outcome: Outcome) -> Poll {
        let next_due_at = Grid::new(&device, INTERVAL_MS).next(observed_at);
        let blank = serde_json::json!({
            "tenant_id": TenantId::new(), "device_id": device, "observed_at": observed_at, "lease_epoch": 1,
            "sequence": 1, "outcome": outcome, "next_due_at": next_due_at, "interval_ms": INTERVAL_MS, "tables": 0,
            "registrations": 4,
        });
        serde_json::from_value(blank).unwrap()
    }

    /// Polls every device at its points over ten intervals, but for those that `skip` says; two intervals are warm-up.
    fn run(devices: usize, skip: impl Fn(usize, i64) -> bool) -> Counted {
        let start = Timestamp::from_secs(1_800_000_000);
        let (from, to) = (start + Span::secs(120), start + Span::secs(600));
        let ids: Vec<_> = (0..devices).map(|_| DeviceId::new()).collect();
        let mut ledger = Ledger::default();
        let mut rows = Vec::new();
        for (number, id) in ids.iter().enumerate() {
            let grid = Grid::new(id, INTERVAL_MS);
            let mut due = grid.next(start);
            for round in 0..11 {
                if !skip(number, round) {
                    rows.push(row(*id, due + Span::millis(700), Outcome::Ok));
                }
                due = grid.next(due);
            }
        }
        rows.sort_by_key(|row| row.observed_at);
        for row in rows.iter().filter(|row| row.observed_at <= to) {
            if ledger.from.is_none() && row.observed_at >= from {
                ledger.begin(from);
            }
            ledger.add(row);
        }
        ledger.count(devices, INTERVAL_MS, to - Span::secs(2))
    }

    #[test]
    fn a_grid_that_is_met_misses_nothing() {
        let counted = run(50, |_, _| false);
        assert_eq!(counted.missed, 0);
        assert!((380..=400).contains(&counted.due), "{counted:?}");
        assert_eq!(counted.rows, counted.polls * 5);
    }

    #[test]
    fn each_point_without_a_row_is_missed_once() {
        assert_eq!(run(50, |device, round| device == 3 && round == 5).missed, 1);
        assert_eq!(
            run(50, |device, round| device < 4 && (4..7).contains(&round)).missed,
            12
        );
    }

    #[test]
    fn a_device_that_is_not_in_the_log_misses_all() {
        let counted = run(10, |device, _| device == 9);
        assert_eq!(counted.missed, 7);
    }

    #[test]
    fn a_second_look_meets_nothing_more() {
        let (id, start) = (DeviceId::new(), Timestamp::from_secs(1_800_000_000));
        let grid = Grid::new(&id, INTERVAL_MS);
        let mut ledger = Ledger::default();
        ledger.begin(start);
        let first = grid.next(start);
        for at in [Span::millis(20), Span::millis(900)] {
            ledger.add(&row(id, first + at, Outcome::Timeout));
        }
        let counted = ledger.count(1, INTERVAL_MS, grid.next(first) + Span::millis(1));
        assert_eq!((counted.due, counted.missed), (2, 1));
        assert_eq!((counted.polls, counted.failed), (2, 2));
    }
}
