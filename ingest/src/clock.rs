//! Who may say what time it is.
//!
//! A producer's times never step back, whatever the machine's clock does: its heartbeats promise that no later row is
//! earlier. And they don't jump: a clock that is set while we run is not followed until it has been compared with
//! PostgreSQL's ([`agrees`]); until then time passes as the machine's steady clock measures it.
//!
//! For tests: with `MAST_FAULT_CLOCK_MS=300000` the machine's clock counts as five minutes ahead, as if it were set so.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Instant, SystemTime};

use mast_schemas::Timestamp;

/// How far a node's clock may be from PostgreSQL's, in milliseconds.
pub const CLOCK_MS: i64 = 2_000;
/// A change of the clock that is followed at once, in microseconds: slewing, and NTP's small steps.
const FOLLOWED_US: i64 = 1_000_000;
/// Name of the environment variable.
pub const VARIABLE: &str = "MAST_FAULT_CLOCK_MS";

/// A source of event time.
pub trait TimeSource: Send + Sync {
    /// The time now; never less than an earlier answer.
    fn now(&self) -> Timestamp;

    /// What the machine's clock shows, whatever it showed before.
    fn shown(&self) -> Timestamp {
        self.now()
    }

    /// Whether the clock was set since it was last compared.
    fn was_set(&self) -> bool {
        false
    }

    /// The clock was compared with another's and is right: it is followed from where it is.
    fn compared(&self) {}
}

/// The system clock, held back while it steps back and not followed when it is set.
#[derive(Debug)]
pub struct SystemClock {
    begin: Instant,
    /// Shown time minus steady time, as followed; microseconds.
    offset: AtomicI64,
    was_set: AtomicBool,
    latest: AtomicI64,
    /// Added to what the machine shows.
    shift: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        let shift_ms = std::env::var(VARIABLE).ok().and_then(|v| v.parse().ok());
        Self::shifted(shift_ms.unwrap_or(0))
    }
}

impl SystemClock {
    /// A clock that shows this much more than the machine's.
    pub fn shifted(shift_ms: i64) -> Self {
        if shift_ms != 0 {
            tracing::warn!(shift_ms, "the clock is shifted, by a setting for tests");
        }
        let clock = Self {
            begin: Instant::now(),
            offset: AtomicI64::new(0),
            was_set: AtomicBool::new(false),
            latest: AtomicI64::new(i64::MIN),
            shift: AtomicI64::new(shift_ms.saturating_mul(1_000)),
        };
        clock.compared();
        clock
    }

    /// Sets the clock while it runs, as a person or NTP may do to the machine's.
    pub fn set_shift(&self, shift_ms: i64) {
        let shift = shift_ms.saturating_mul(1_000);
        self.shift.store(shift, Ordering::SeqCst);
    }

    fn steady(&self) -> i64 {
        i64::try_from(self.begin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl TimeSource for SystemClock {
    fn now(&self) -> Timestamp {
        let (shown, steady) = (self.shown().0, self.steady());
        let followed = self.offset.load(Ordering::Relaxed);
        let offset = shown - steady;
        let time = if (offset - followed).abs() <= FOLLOWED_US {
            if offset != followed {
                self.offset.store(offset, Ordering::Relaxed);
            }
            shown
        } else {
            self.was_set.store(true, Ordering::Relaxed);
            steady + followed
        };
        Timestamp(self.latest.fetch_max(time, Ordering::SeqCst).max(time))
    }

    fn shown(&self) -> Timestamp {
        let shift = self.shift.load(Ordering::Relaxed);
        Timestamp(Timestamp::from_system(SystemTime::now()).0 + shift)
    }

    fn was_set(&self) -> bool {
        self.was_set.load(Ordering::Relaxed)
    }

    fn compared(&self) {
        let offset = self.shown().0 - self.steady();
        self.offset.store(offset, Ordering::Relaxed);
        self.was_set.store(false, Ordering::Relaxed);
    }
}

/// How far our clock is ahead of another, in milliseconds, which was read between two looks at ours.
pub fn ahead_ms(before: Timestamp, theirs: Timestamp, after: Timestamp) -> i64 {
    if theirs < before {
        (before - theirs).0 / 1_000
    } else {
        -((theirs - after).0.max(0) / 1_000)
    }
}

/// Whether a clock that is this far off may stamp rows.
pub const fn agrees(ahead_ms: i64) -> bool {
    ahead_ms.abs() <= CLOCK_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_two_seconds_off_is_wrong() {
        let at = Timestamp::from_millis;
        let off = |theirs| ahead_ms(at(10_000), at(theirs), at(10_100));
        assert_eq!((off(10_050), off(10_000), off(10_100)), (0, 0, 0));
        assert_eq!((off(8_000), off(7_999)), (2_000, 2_001));
        assert_eq!((off(12_100), off(12_101)), (-2_000, -2_001));
        assert!(agrees(2_000) && agrees(-2_000) && !agrees(2_001) && !agrees(-2_001));
    }

    #[test]
    fn a_clock_that_is_set_is_not_followed_until_it_was_compared() {
        let clock = SystemClock::shifted(0);
        let near = |a: Timestamp, b: Timestamp| (a - b).0.abs() < 5_000_000;
        let before = clock.now();
        for shift_ms in [300_000, -300_000] {
            clock.set_shift(shift_ms);
            assert!(near(clock.now(), before), "time goes on as it did");
            assert!(clock.was_set());
            assert!(near(
                clock.shown(),
                before + mast_schemas::time::Span::millis(shift_ms)
            ));
        }
        // The machine slept, and everybody agrees that it is later.
        clock.set_shift(300_000);
        clock.compared();
        assert!(!clock.was_set());
        let later = clock.now();
        assert!((later - before).0 > 290_000_000);
        // It was wrong after all: time stands until it is reached again.
        clock.set_shift(0);
        clock.compared();
        assert!(clock.now() >= later);
    }

    #[test]
    fn small_steps_are_followed_and_never_back() {
        let clock = SystemClock::shifted(0);
        let mut last = clock.now();
        for shift_ms in [500, 100, 900, 0, 800] {
            clock.set_shift(shift_ms);
            let now = clock.now();
            assert!(now >= last && !clock.was_set());
            last = now;
        }
    }
}
