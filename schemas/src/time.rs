//! Event time. Nothing here reads a clock: who knows what time it is passes a [`Timestamp`] in.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// A time from whole milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// A time from whole seconds since 1970.
    pub const fn from_secs(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Milliseconds since 1970, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time that a system clock shows. The only bridge from clocks to this type.
    pub fn from_system(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => Self(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
            Err(e) => Self(i64::try_from(e.duration().as_micros()).map_or(i64::MIN, |us| -us)),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}s",
            self.0.div_euclid(1_000_000),
            self.0.rem_euclid(1_000_000)
        )
    }
}

/// A span in microseconds, added to or taken from a [`Timestamp`]; saturates instead of wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    /// A span of milliseconds.
    pub const fn millis(ms: i64) -> Self {
        Self(ms * 1_000)
    }

    /// A span of seconds.
    pub const fn secs(s: i64) -> Self {
        Self(s * 1_000_000)
    }

    /// A span of hours.
    pub const fn hours(h: i64) -> Self {
        Self::secs(h * 3_600)
    }
}

impl Add<Span> for Timestamp {
    type Output = Timestamp;
    fn add(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Timestamp;
    fn sub(self, span: Span) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

impl Sub<Timestamp> for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// Length of a slot of event time.
pub const SLOT: Span = Span::millis(250);

/// The number of a slot of event time since 1970; the logical time of the dataflow.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The slot that holds `t`: it ends after `t`.
    pub fn of(t: Timestamp) -> Self {
        Self(u64::try_from(t.0.div_euclid(SLOT.0)).unwrap_or(0) + 1)
    }

    /// S: the end of the slot, which is `now` once the slot is closed. Slot `e` holds times in `[S - 250 ms, S)`.
    pub fn end(self) -> Timestamp {
        Timestamp(
            i64::try_from(self.0)
                .unwrap_or(i64::MAX)
                .saturating_mul(SLOT.0),
        )
    }

    /// The slot after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_before_the_end_of_its_slot() {
        for us in [0, 1, 249_999, 250_000, 1_700_000_000_123_456] {
            let (t, e) = (Timestamp(us), Epoch::of(Timestamp(us)));
            assert!(t < e.end() && t >= e.end() - SLOT, "{us}");
        }
    }
}
