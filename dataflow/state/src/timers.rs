//! A wheel of dwell timers: coarse buckets, lazily re-armed. A timer that moves later (each poll moves a device's overdue
//! instant) costs nothing: its entry stays where it is, and whoever owns it puts it where it belongs once it comes up.

use std::collections::BTreeMap;

use mast_schemas::Timestamp;
use mast_schemas::time::SLOT;

use crate::compact::{Int48, push_tight};

/// No entry in the wheel.
pub(crate) const UNARMED: i64 = i64::MAX;

/// A key's note of its entry, in six bytes that ask for no alignment of eight. They are enough: an instant has 64 bits, and a
/// bucket has 250,000 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Armed(Int48);

impl Armed {
    /// No entry: no bucket has so high a number.
    const NOT: Self = Self(Int48::MAX);
}

impl Default for Armed {
    fn default() -> Self {
        Self::NOT
    }
}

impl From<i64> for Armed {
    fn from(bucket: i64) -> Self {
        Int48::new(bucket).map_or(Self::NOT, Self)
    }
}

impl From<Armed> for i64 {
    fn from(armed: Armed) -> Self {
        if armed == Armed::NOT {
            UNARMED
        } else {
            armed.0.get()
        }
    }
}

/// Keys by the bucket in which their timer may become due.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    buckets: BTreeMap<i64, Vec<K>>,
}

impl<K> Default for Wheel<K> {
    fn default() -> Self {
        Self {
            buckets: BTreeMap::new(),
        }
    }
}

impl<K: Ord> Wheel<K> {
    /// Sees to it that `key` comes up no later than `due`. `armed` is the key's own note of its entry.
    pub(crate) fn arm(&mut self, due: Timestamp, key: K, armed: &mut i64) {
        // The slot at whose end it is due: the first that ends at or after it.
        let bucket = due.0.saturating_add(SLOT.0 - 1).div_euclid(SLOT.0);
        if bucket < *armed {
            *armed = bucket;
            push_tight(self.buckets.entry(bucket).or_default(), key);
        }
    }

    /// Takes out each key that may have a timer due at or before `end`, with its bucket. A key whose note says another
    /// bucket has a better entry elsewhere.
    pub(crate) fn take(&mut self, end: Timestamp) -> Vec<(i64, K)> {
        let last = end.0.div_euclid(SLOT.0);
        let mut taken = Vec::new();
        while let Some(entry) = self.buckets.first_entry() {
            let bucket = *entry.key();
            if bucket > last {
                break;
            }
            let mut keys = entry.remove();
            keys.sort_unstable();
            keys.dedup();
            taken.extend(keys.into_iter().map(|key| (bucket, key)));
        }
        taken
    }

    /// The end of the slot in which the next timer may be due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.buckets
            .keys()
            .next()
            .map(|bucket| Timestamp(bucket.saturating_mul(SLOT.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_any_bucket_comes_back() {
        let ends = [i64::MIN, i64::MAX].map(|us| us.div_euclid(SLOT.0));
        for bucket in [
            ends[0],
            -1,
            0,
            1,
            1 << 16,
            1 << 32,
            ends[1],
            ends[1] + 1,
            UNARMED,
        ] {
            assert_eq!(i64::from(Armed::from(bucket)), bucket);
        }
        assert_eq!(i64::from(Armed::default()), UNARMED);
        assert_eq!(size_of::<Armed>(), 6);
    }
}
