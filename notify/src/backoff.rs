//! When a delivery is tried again, and when it is given up. No clock and no dice: jitter is a function of the delivery.

use std::time::Duration;

use uuid::Uuid;

/// The pause after the first failure; it doubles with each,
const FIRST: Duration = Duration::from_secs(15);
/// up to this.
const LONGEST: Duration = Duration::from_secs(3_600);
/// The other side may ask for a pause as long as this.
const ASKED_MOST: Duration = Duration::from_secs(6 * 3_600);

/// How long a delivery is tried for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts, at least 1.
    pub attempts: u32,
    /// Time since it was queued.
    pub age: Duration,
}

impl Default for Bounds {
    /// 12 attempts within a day.
    fn default() -> Self {
        Self {
            attempts: 12,
            age: Duration::from_secs(86_400),
        }
    }
}

/// What follows on a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this.
    After(Duration),
    /// Nothing: too many attempts, or the next one would come too late.
    GiveUp,
}

/// What follows on the failure of attempt number `attempt` (the first is 1) of a message that was queued `age` ago. `asked` is
/// the pause that the other side asked for.
pub fn next(
    id: Uuid,
    attempt: u32,
    age: Duration,
    asked: Option<Duration>,
    bounds: Bounds,
) -> Next {
    if attempt >= bounds.attempts {
        return Next::GiveUp;
    }
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let pause = jittered(doubled.min(LONGEST), id, attempt);
    let pause = pause.max(asked.unwrap_or_default().min(ASKED_MOST));
    match age.saturating_add(pause) > bounds.age {
        true => Next::GiveUp,
        false => Next::After(pause),
    }
}

/// Three to five quarters of a pause, by the id: what failed together does not come back together.
fn jittered(pause: Duration, id: Uuid, attempt: u32) -> Duration {
    let name = [id.as_bytes().as_slice(), &attempt.to_be_bytes()].concat();
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, &name);
    let (random, _) = hash.as_u64_pair();
    // The top half is free of the version's bits.
    let share = (random >> 32) as f64 / f64::from(u32::MAX);
    pause.mul_f64(0.75 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        attempts: 12,
        age: Duration::from_secs(86_400),
    };

    fn pause(id: u128, attempt: u32, asked: Option<u64>) -> Duration {
        let asked = asked.map(Duration::from_secs);
        match next(Uuid::from_u128(id), attempt, Duration::ZERO, asked, BOUNDS) {
            Next::After(pause) => pause,
            Next::GiveUp => panic!("given up"),
        }
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        for (attempt, seconds) in [
            (1, 15),
            (2, 30),
            (3, 60),
            (8, 1_920),
            (9, 3_600),
            (11, 3_600),
        ] {
            let whole = Duration::from_secs(seconds);
            let pause = pause(7, attempt, None);
            assert!(
                pause >= whole * 3 / 4 && pause <= whole * 5 / 4,
                "{attempt}: {pause:?}"
            );
        }
    }

    #[test]
    fn jitter_is_of_the_delivery_and_the_attempt() {
        assert_eq!(pause(1, 1, None), pause(1, 1, None));
        assert_ne!(pause(1, 1, None), pause(2, 1, None));
        assert_ne!(pause(1, 1, None) * 2, pause(1, 2, None));
    }

    #[test]
    fn what_the_other_side_asks_for_is_the_least_within_bounds() {
        assert_eq!(pause(1, 1, Some(100)), Duration::from_secs(100));
        assert!(pause(1, 4, Some(1)) > Duration::from_secs(60));
        assert_eq!(pause(1, 1, Some(u64::MAX)), ASKED_MOST);
    }

    #[test]
    fn too_many_attempts_or_too_late_is_the_end() {
        let id = Uuid::from_u128(1);
        let day = Duration::from_secs(86_400);
        assert_eq!(next(id, 12, Duration::ZERO, None, BOUNDS), Next::GiveUp);
        assert_eq!(next(id, 1, day, None, BOUNDS), Next::GiveUp);
        let near = day - Duration::from_secs(30);
        assert!(matches!(next(id, 1, near, None, BOUNDS), Next::After(_)));
        let asked = Some(Duration::from_secs(60));
        assert_eq!(next(id, 1, near, asked, BOUNDS), Next::GiveUp);
    }

    proptest! {
        #[test]
        fn nothing_overflows(id: u128, attempt: u32, age: u64, asked: Option<u64>) {
            let (age, asked) = (Duration::from_secs(age), asked.map(Duration::from_secs));
            let bounds = Bounds { attempts: u32::MAX, age: Duration::MAX };
            let next = next(Uuid::from_u128(id), attempt, age, asked, bounds);
            if let Next::After(pause) = next {
                prop_assert!(pause <= ASKED_MOST && pause >= FIRST * 3 / 4);
            }
        }
    }
}
