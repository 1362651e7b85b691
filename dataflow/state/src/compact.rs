//! Small forms of wide values, for what is held once a client.

use std::hash::{BuildHasher, Hash};
use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use mast_schemas::{Mac, Timestamp};
use serde::{Deserialize, Serialize};

/// A hash map whose order nobody may see.
pub(crate) type Map<K, V> = HashMap<K, V, FixedState>;

/// An address in six bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac48([u16; 3]);

impl Mac48 {
    /// The address that nothing has.
    pub(crate) const ZERO: Self = Self([0; 3]);

    #[cfg(test)]
    pub(crate) const fn new(thirds: [u16; 3]) -> Self {
        Self(thirds)
    }
}

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

/// Appends to a vector that holds something of every device: where it has no room it grows by an eighth, not to twice its size.
pub fn push_tight<T>(all: &mut Vec<T>, value: T) {
    make_room(all, 1);
    all.push(value);
}

/// Inserts likewise.
pub fn insert_tight<T>(all: &mut Vec<T>, at: usize, value: T) {
    make_room(all, 1);
    all.insert(at, value);
}

/// Room for so many more, as [`push_tight`] makes it.
pub fn make_room<T>(all: &mut Vec<T>, more: usize) {
    if all.capacity() - all.len() < more {
        all.reserve_exact(more.max(all.len() / 8).max(1));
    }
}

/// Bytes that an empty buffer may keep.
const SPARE: usize = 1 << 20;

/// Gives back the room of an empty buffer that once held much: the first slot tells of every device at once, and what that takes
/// is several times what a device takes.
pub fn give_back<T>(buffer: &mut Vec<T>) {
    if buffer.is_empty() && buffer.capacity() * size_of::<T>() > SPARE {
        *buffer = Vec::new();
    }
}

/// A number with a sign as one that is small on both sides of zero.
pub(crate) const fn zigzag(n: i64) -> u64 {
    (n << 1 ^ n >> 63) as u64
}

/// What [`zigzag`] was given.
pub(crate) const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// A number of 48 bits: those of an `i64` but the highest, which are as the one below. As microseconds some four years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Int48([u16; 3]);

impl Int48 {
    pub(crate) const ZERO: Self = Self([0; 3]);
    pub(crate) const MAX: Self = Self([0x7FFF, u16::MAX, u16::MAX]);

    /// `None` = it takes more bits.
    pub(crate) fn new(n: i64) -> Option<Self> {
        let held = Self([(n >> 32) as u16, (n >> 16) as u16, n as u16]);
        (held.get() == n).then_some(held)
    }

    pub(crate) fn get(self) -> i64 {
        let [high, middle, low] = self.0;
        i64::from(high as i16) << 32 | i64::from(middle) << 16 | i64::from(low)
    }
}

/// An instant in two halves: eight bytes that ask for no alignment of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i32, u32);

impl From<Timestamp> for Instant {
    fn from(Timestamp(us): Timestamp) -> Self {
        Self((us >> 32) as i32, us as u32)
    }
}

impl From<Instant> for Timestamp {
    fn from(Instant(high, low): Instant) -> Self {
        Self(i64::from(high) << 32 | i64::from(low))
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

/// With fewer values than this none is looked for that nothing has any more.
pub(crate) const SWEEP_AT: usize = 1_024;

/// Values that are named by numbers, each held once: what repeats much, or what is wide. Numbers rise as values become known,
/// and are used for something else only after an [`Interner::sweep`].
///
/// The trap avoided: a list that only grows. Whoever edits something for years makes new values all the time; so those that
/// nothing has any more can be looked for, when there are twice as many as were in use the last time.
#[derive(Debug)]
pub struct Interner<T> {
    values: Vec<T>,
    /// By value, which is looked up in the list.
    numbers: HashTable<u32>,
    /// Numbers of values that nothing had any more.
    free: Vec<u32>,
    sweep_at: usize,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashTable::new(),
            free: Vec::new(),
            sweep_at: SWEEP_AT,
        }
    }
}

impl<T: Clone + Eq + Hash> Interner<T> {
    fn hash(value: &T) -> u64 {
        FixedState::default().hash_one(value)
    }

    /// The number of a value, a new one if need be.
    pub fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.find(value) {
            return number;
        }
        let (free, known) = (self.free.pop(), self.values.len());
        let number = free.unwrap_or_else(|| u32::try_from(known).unwrap_or(u32::MAX));
        match self.values.get_mut(number as usize) {
            Some(unused) => *unused = value.clone(),
            None => push_tight(&mut self.values, value.clone()),
        }
        let values = &self.values;
        self.numbers.insert_unique(Self::hash(value), number, |n| {
            Self::hash(&values[*n as usize])
        });
        number
    }

    /// The number of a value, if it has one.
    pub fn find(&self, value: &T) -> Option<u32> {
        let same = |n: &u32| self.values[*n as usize] == *value;
        self.numbers.find(Self::hash(value), same).copied()
    }

    /// The numbers of the values that `pick` wants, rising.
    pub(crate) fn numbers(&self, pick: impl Fn(&T) -> bool) -> Vec<u32> {
        let numbered = (0u32..).zip(&self.values);
        numbered
            .filter(|(_, value)| pick(value))
            .map(|(number, _)| number)
            .collect()
    }

    /// The value with a number.
    pub fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there may be many values that nothing has any more: [`Interner::sweep`] frees them.
    pub fn is_littered(&self) -> bool {
        self.numbers.len() >= self.sweep_at
    }

    /// Frees the values that are not in use, and returns their numbers. Those of all that are must be said.
    pub fn sweep(&mut self, in_use: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut used = vec![false; self.values.len()];
        for number in in_use {
            if let Some(used) = used.get_mut(number as usize) {
                *used = true;
            }
        }
        let mut unused = Vec::new();
        self.numbers.retain(|number| {
            let stays = used[*number as usize];
            if !stays {
                unused.push(*number);
            }
            stays
        });
        self.free.extend_from_slice(&unused);
        self.sweep_at = SWEEP_AT.max(2 * self.numbers.len());
        unused
    }
}

/// Values at numbered places, in chunks: it grows without copying what it holds, and by little at a time. Only the first chunk is
/// no larger than it must be: of a few values there may be one for each tenant.
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
            let room = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.last_mut();
        let within = last.map_or(0, |last| {
            push_tight(last, value);
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

/// What tells a value from all others of its kind.
pub(crate) trait Keyed {
    type Key: Eq + Hash + Copy;

    fn key(&self) -> Self::Key;
}

/// Values by key. A table of the values themselves would be half empty after it has doubled; here
/// only their places are.
#[derive(Debug)]
pub(crate) struct Shelf<T> {
    values: Slab<T>,
    places: HashTable<u32>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            values: Slab::default(),
            places: HashTable::new(),
        }
    }
}

impl<T: Keyed> Shelf<T> {
    fn hash(key: T::Key) -> u64 {
        FixedState::with_seed(0).hash_one(key)
    }

    /// The place of the value with this key.
    pub(crate) fn find(&self, key: T::Key) -> Option<u32> {
        let same = |place: &u32| self.values[*place].key() == key;
        self.places.find(Self::hash(key), same).copied()
    }

    /// Puts a value there; none has its key yet.
    pub(crate) fn put(&mut self, value: T) -> u32 {
        let key = value.key();
        let place = self.values.put(value);
        let values = &self.values;
        self.places.insert_unique(Self::hash(key), place, |place| {
            Self::hash(values[*place].key())
        });
        place
    }

    /// Takes the value at a place out of sight. It is dropped when another takes its place.
    pub(crate) fn remove(&mut self, place: u32) {
        let hash = Self::hash(self.values[place].key());
        if let Ok(entry) = self.places.find_entry(hash, |other| *other == place) {
            entry.remove();
            self.values.free(place);
        }
    }

    /// All values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().map(|place| &self.values[*place])
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

impl<T> Index<u32> for Shelf<T> {
    type Output = T;
    fn index(&self, place: u32) -> &T {
        &self.values[place]
    }
}

impl<T> IndexMut<u32> for Shelf<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        &mut self.values[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Keyed for (u64, &str) {
        type Key = u64;
        fn key(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn what_is_taken_off_a_shelf_makes_room_for_another() {
        let mut shelf = Shelf::default();
        let places: Vec<u32> = (0..10_000).map(|n| shelf.put((n, "old"))).collect();
        (0..10_000).step_by(3).for_each(|n| shelf.remove(places[n]));
        shelf.remove(places[0]);
        assert_eq!((shelf.len(), shelf.find(3)), (6_666, None));
        let again = shelf.put((3, "new"));
        assert!(places.contains(&again), "a free place is taken first");
        assert_eq!(shelf[again], (3, "new"));
        let mut keys: Vec<u64> = shelf.iter().map(Keyed::key).collect();
        keys.sort_unstable();
        assert!(
            keys.into_iter()
                .eq((0..10_000).filter(|n| n % 3 > 0 || *n == 3))
        );
        for n in (1..10_000).filter(|n| n % 3 > 0) {
            assert_eq!(shelf.find(n).map(|place| shelf[place]), Some((n, "old")));
        }
    }

    #[test]
    fn a_few_values_take_no_chunk() {
        let mut slab = Slab::default();
        for n in 0..2 * CHUNK {
            assert_eq!(slab.put(n) as usize, n);
            let room: usize = slab.chunks.iter().map(Vec::capacity).sum();
            // The first chunk has an eighth to spare, the second is whole at once.
            let first = n.min(CHUNK - 1);
            let most = first + first / 8 + 2 + if n < CHUNK { 0 } else { CHUNK };
            assert!(room <= most, "{n}: {room}");
        }
        assert!((0..2 * CHUNK as u32).all(|n| slab[n] == n as usize));
    }

    #[test]
    fn a_value_has_one_number_and_its_number_that_value() {
        let mut words = Interner::default();
        for n in (0..10_000).chain(0..10_000) {
            assert_eq!(words.number(&format!("word {n}")), n);
        }
        assert_eq!(words.find(&"word 10000".to_owned()), None);
        assert_eq!(words.find(&"word 77".to_owned()), Some(77));
        assert_eq!(words.value(77).map(String::as_str), Some("word 77"));
        assert_eq!(words.value(10_000), None);
        assert_eq!(words.numbers(|word| word.ends_with("999")).len(), 10);
    }

    #[test]
    fn values_that_nothing_has_any_more_make_room_and_others_stay() {
        let mut pool = Interner::default();
        // Two things keep theirs; the third has another one at each edit, for years.
        let stay = [pool.number(&"a".to_owned()), pool.number(&"b".to_owned())];
        for n in 0..100_000 {
            let edited = pool.number(&n.to_string());
            assert_eq!(pool.number(&n.to_string()), edited);
            if pool.is_littered() {
                pool.sweep(stay.into_iter().chain([edited]));
            }
            assert_eq!(pool.value(edited), Some(&n.to_string()));
        }
        assert!(pool.values.len() <= SWEEP_AT, "{}", pool.values.len());
        let kept = stay.map(|number| pool.value(number).cloned());
        assert_eq!(kept, ["a", "b"].map(|word| Some(word.to_owned())));
        assert_eq!(pool.number(&"b".to_owned()), stay[1]);
        assert_eq!(pool.value(u32::MAX), None);
    }

    #[test]
    fn many_values_that_are_in_use_are_not_looked_through_at_each_edit() {
        let mut pool = Interner::default();
        let (mut used, mut sweeps) = (Vec::new(), 0);
        for n in 0..100_000 {
            used.push(pool.number(&n));
            if pool.is_littered() {
                pool.sweep(used.iter().copied());
                sweeps += 1;
            }
        }
        assert!(sweeps < 10, "{sweeps}");
        assert!(
            (0u32..)
                .zip(&used)
                .all(|(n, number)| pool.value(*number) == Some(&n))
        );
    }

    #[test]
    fn a_number_of_48_bits_comes_back_and_no_other_is_one() {
        const MOST: i64 = (1 << 47) - 1;
        for n in [0, 1, -1, 1 << 16, 1 << 32, MOST, -MOST - 1] {
            assert_eq!(Int48::new(n).map(Int48::get), Some(n));
        }
        for n in [MOST + 1, -MOST - 2, i64::MAX, i64::MIN] {
            assert_eq!(Int48::new(n), None);
        }
        assert_eq!((Int48::MAX.get(), Int48::ZERO.get()), (MOST, 0));
    }

    #[test]
    fn an_instant_keeps_time_and_order() {
        let mut instants = [i64::MIN, -1, 0, 1, u32::MAX.into(), 1 << 32, i64::MAX].map(Timestamp);
        for at in instants {
            assert_eq!(Timestamp::from(Instant::from(at)), at);
        }
        instants.sort_by_key(|at| Instant::from(*at));
        assert!(instants.is_sorted());
    }

    #[test]
    fn a_buffer_gives_back_much_but_not_little() {
        let (mut little, mut much) = (Vec::with_capacity(1_000), vec![0_u64; 1 << 20]);
        little.push(1_u64);
        little.clear();
        give_back(&mut little);
        give_back(&mut much);
        assert_eq!((little.capacity(), much.len()), (1_000, 1 << 20));
        much.clear();
        give_back(&mut much);
        assert_eq!(much.capacity(), 0);
    }

    #[test]
    fn a_tight_vector_has_little_room_to_spare() {
        let mut all = Vec::new();
        for n in 0..10_000 {
            push_tight(&mut all, n);
            assert!(all.capacity() <= n + n / 8 + 2, "{n}: {}", all.capacity());
        }
        let room = all.capacity();
        make_room(&mut all, room);
        assert!(all.capacity() >= all.len() + room);
    }
}
