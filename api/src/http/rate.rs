//! How often somebody may ask: a bucket each, which holds a burst and fills at a rate.
//!
//! Buckets are of this process, in memory: they keep one asker from holding up the others, and guessing of tokens slow. The
//! trap: a map that anybody can make grow. Buckets that are full again are the same as none, so they are dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second, for ever.
    pub per_second: u32,
    /// Requests at once, before that.
    pub burst: u32,
}

impl Rate {
    fn gap(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// Buckets by asker.
pub(crate) struct Buckets<K> {
    rate: Rate,
    /// When each bucket is full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

/// So many buckets are looked through for full ones.
const TIDY_AT: usize = 10_000;

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            full_at: Mutex::default(),
        }
    }

    /// Takes one out of the bucket.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub(crate) fn take(&self, asker: K, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= TIDY_AT {
            full_at.retain(|_, at| *at > now);
        }
        let at = full_at.entry(asker).or_insert(now);
        let after = (*at).max(now) + self.rate.gap();
        let holds = self.rate.gap() * self.rate.burst.max(1);
        match (after - now).checked_sub(holds) {
            None | Some(Duration::ZERO) => {
                *at = after;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let buckets = Buckets::new(Rate {
            per_second: 10,
            burst: 3,
        });
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take("a", at(0)), Err(Duration::from_millis(100)));
        assert_eq!(buckets.take("b", at(0)), Ok(()), "each has a bucket");
        assert_eq!(buckets.take("a", at(99)), Err(Duration::from_millis(1)));
        assert_eq!(buckets.take("a", at(100)), Ok(()));
        assert!(buckets.take("a", at(100)).is_err());
        for _ in 0..3 {
            assert_eq!(buckets.take("a", at(10_000)), Ok(()), "full again");
        }
        assert!(buckets.take("a", at(10_000)).is_err());
    }

    #[test]
    fn full_buckets_are_dropped() {
        let buckets = Buckets::new(Rate {
            per_second: 10,
            burst: 1,
        });
        let begin = Instant::now();
        for n in 0..TIDY_AT {
            buckets.take(n, begin).unwrap();
        }
        buckets
            .take(TIDY_AT, begin + Duration::from_secs(1))
            .unwrap();
        assert_eq!(buckets.full_at.lock().unwrap().len(), 1);
    }
}
