//! Small forms of wide values, for what is held once a client.

use std::hash::Hash;
use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mast_schemas::{Mac, Timestamp};
use serde::{Deserialize, Serialize};

/// A hash map whose order nobody may see.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// An address in six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac48([u16; 3]);

impl From<Mac> for Mac48 {
    fn from(mac: Mac) -> Self {
        Self([(mac.0 >> 32) as u16, (mac.0 >> 16) as u16, mac.0 as u16])
    }
}

impl From<Mac48> for Mac {
    fn from(mac: Mac48) -> Self {
        let [high, middle, low] = mac.0;
        Self(u64::from(high) << 32 | u64::from(middle) << 16 | u64::from(low))
    }
}

/// A time that may be absent, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maybe(i64);

impl Maybe {
    pub(crate) const NONE: Self = Self(i64::MIN);

    pub(crate) const fn get(self) -> Option<Timestamp> {
        if self.0 == i64::MIN {
            None
        } else {
            Some(Timestamp(self.0))
        }
    }
}

impl From<Option<Timestamp>> for Maybe {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, |t| Self(t.0))
    }
}

/// Values that repeat much, each held once and named by a number. Numbers are never reused: what repeats is few.
#[derive(Debug)]
pub(crate) struct Interner<T> {
    values: Vec<T>,
    numbers: Map<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: Map::default(),
        }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(crate) fn number<Q>(&mut self, value: &Q) -> u32
    where
        Q: Hash + hashbrown::Equivalent<T> + ToOwned<Owned = T> + ?Sized,
    {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.to_owned());
        self.numbers.insert(value.to_owned(), number);
        number
    }

    /// The numbers of the values that `pick` wants, rising.
    pub(crate) fn numbers(&self, pick: impl Fn(&T) -> bool) -> Vec<u32> {
        let numbered = (0u32..).zip(&self.values);
        numbered
            .filter(|(_, value)| pick(value))
            .map(|(number, _)| number)
            .collect()
    }

    pub(crate) fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }
}

/// Values at numbered places, in chunks: it grows without copying what it holds, and by little at a time.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    /// Places whose value is no longer wanted.
    free: Vec<u32>,
}

const CHUNK: usize = 4096;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts a value somewhere.
    pub(crate) fn put(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self[place] = value;
            return place;
        }
        let full = self.chunks.last().is_none_or(|last| last.len() == CHUNK);
        if full {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.last_mut();
        let within = last.map_or(0, |last| {
            last.push(value);
            last.len() - 1
        });
        u32::try_from(before + within).unwrap_or(u32::MAX)
    }

    /// Gives up a place. Its value stays until another takes the place: whoever frees it no longer asks for it.
    pub(crate) fn free(&mut self, place: u32) {
        self.free.push(place);
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, place: u32) -> &T {
        let place = place as usize;
        &self.chunks[place / CHUNK][place % CHUNK]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        let place = place as usize;
        &mut self.chunks[place / CHUNK][place % CHUNK]
    }
}
