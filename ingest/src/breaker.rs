//! How long a device that refuses us is left alone, and what is told of it.
//!
//! Five failed logins in a row open the breaker: no login for a while, doubled at each further failure. When the while is
//! over a login is tried, whose end opens or closes it. A device that cannot be reached neither opens nor closes it, for
//! what it thinks of our password is not known; nor does a fault of ours.

use std::fmt;
use std::time::Duration;

use mast_schemas::Timestamp;
use mast_schemas::records::Outcome;
use mast_schemas::time::Span;

/// Failed logins in a row that open the breaker.
const OPENS_AFTER: u32 = 5;
const BACKOFF_FIRST: Duration = Duration::from_secs(30);
const BACKOFF_MOST: Duration = Duration::from_secs(900);

/// The breaker of one device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Closed,
    Open {
        until: Timestamp,
    },
    /// A login is tried at each interval until one is answered.
    Probing,
}

/// A step of a breaker; its words are those of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// No login is tried for so long.
    Opened {
        /// Failed logins in a row.
        failures: u32,
        /// How long.
        wait: Duration,
    },
    /// A login is tried again.
    Probing,
    /// Logins are tried at each interval again.
    Closed(Cause),
}

/// Why a breaker closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The device could be read.
    Read,
    /// A device in front of it returned: what it refused may have been another's word.
    Returned,
    /// A person changed the device.
    Changed,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { failures, wait } => write!(
                f,
                "breaker opened: {failures} polls in a row were refused, no login is tried for {} s",
                wait.as_secs()
            ),
            Self::Probing => f.write_str("breaker probing: a login is tried"),
            Self::Closed(cause) => {
                f.write_str("breaker closed: ")?;
                f.write_str(match cause {
                    Cause::Read => "the device was read",
                    Cause::Returned => "a device in front of it answers again",
                    Cause::Changed => "the device was changed",
                })
            }
        }
    }
}

impl Breaker {
    /// Until when no login is tried; null when they are.
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.stage {
            Stage::Open { until } if until > now => Some(until),
            _ => None,
        }
    }

    /// A login is about to be tried.
    pub fn probe(&mut self, now: Timestamp) -> Option<Transition> {
        match self.stage {
            Stage::Open { until } if until <= now => {
                self.stage = Stage::Probing;
                Some(Transition::Probing)
            }
            _ => None,
        }
    }

    /// Counts how a poll ended. `jitter` is from 0 to 1. Faults of ours neither count nor reset, nor does a device that
    /// cannot be reached: it is tried at each interval.
    pub fn count(&mut self, outcome: Outcome, now: Timestamp, jitter: f64) -> Option<Transition> {
        match outcome {
            Outcome::Ok | Outcome::Partial => self.close(Cause::Read),
            Outcome::AuthFailed | Outcome::TlsFailed | Outcome::ProtocolError => {
                self.failures = self.failures.saturating_add(1);
                let doublings = self.failures.checked_sub(OPENS_AFTER)?;
                // Saturates long before it could overflow.
                let wait = BACKOFF_FIRST * (1 << doublings.min(5));
                let wait = wait.min(BACKOFF_MOST).mul_f64(0.75 + jitter / 4.0);
                let until = now + Span::millis(wait.as_millis() as i64);
                self.stage = Stage::Open { until };
                let failures = self.failures;
                Some(Transition::Opened { failures, wait })
            }
            Outcome::Timeout | Outcome::Refused | Outcome::Internal => None,
        }
    }

    /// Forgets all failures.
    pub fn close(&mut self, cause: Cause) -> Option<Transition> {
        let before = std::mem::take(self);
        (before.stage != Stage::Closed).then_some(Transition::Closed(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn after(outcomes: &[Outcome]) -> Breaker {
        let mut breaker = Breaker::default();
        for outcome in outcomes {
            breaker.count(*outcome, NOW, 1.0);
        }
        breaker
    }

    #[test]
    fn opens_at_the_fifth_failed_login_and_doubles_to_a_quarter_of_an_hour() {
        assert_eq!(after(&[Outcome::AuthFailed; 4]).open_until(NOW), None);
        for (failures, seconds) in [(5, 30), (6, 60), (7, 120), (9, 480), (10, 900), (200, 900)] {
            let until = after(&vec![Outcome::TlsFailed; failures]).open_until(NOW);
            assert_eq!(
                until,
                Some(Timestamp::from_secs(1_000 + seconds)),
                "{failures}"
            );
        }
    }

    #[test]
    fn our_own_faults_and_silence_neither_count_nor_reset() {
        let four = [Outcome::ProtocolError; 4];
        for other in [Outcome::Internal, Outcome::Timeout, Outcome::Refused] {
            let mut outcomes = four.to_vec();
            outcomes.extend([other; 10]);
            assert_eq!(after(&outcomes).open_until(NOW), None);
            outcomes.push(Outcome::AuthFailed);
            assert!(after(&outcomes).open_until(NOW).is_some());
        }
    }

    #[test]
    fn a_poll_that_reads_anything_closes_it() {
        let mut outcomes = vec![Outcome::AuthFailed; 8];
        outcomes.push(Outcome::Partial);
        assert_eq!(after(&outcomes).open_until(NOW), None);
    }

    #[test]
    fn each_step_is_told_once() {
        let later = Timestamp::from_secs(1_030);
        let mut breaker = after(&[Outcome::AuthFailed; 4]);
        assert_eq!(breaker.probe(later), None, "it is closed");
        assert_eq!(Breaker::close(&mut breaker.clone(), Cause::Returned), None);
        let opened = |failures, seconds| {
            let wait = Duration::from_secs(seconds);
            Some(Transition::Opened { failures, wait })
        };
        let step = breaker.count(Outcome::AuthFailed, NOW, 1.0);
        assert_eq!(step, opened(5, 30));
        assert_eq!(breaker.probe(NOW), None, "not yet");
        assert_eq!(breaker.probe(later), Some(Transition::Probing));
        // Nobody answered: the probing goes on, unsaid.
        assert_eq!(breaker.count(Outcome::Timeout, later, 1.0), None);
        assert_eq!(breaker.probe(later), None);
        let step = breaker.count(Outcome::TlsFailed, later, 1.0);
        assert_eq!(step, opened(6, 60));
        let step = breaker.count(Outcome::Ok, later, 1.0);
        assert_eq!(step, Some(Transition::Closed(Cause::Read)));
        assert_eq!(breaker.count(Outcome::Ok, later, 1.0), None);
    }
}
