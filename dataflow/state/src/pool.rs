//! Values that few of many things differ in, each held once and named by a number.
//!
//! The trap avoided: a list that only grows. Whoever edits something for years makes new values all the time; so those that
//! nothing has any more are looked for when there are twice as many as were in use the last time.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::compact::push_tight;

/// With fewer values than this none is looked for that nothing has any more.
const SWEEP_AT: usize = 1_024;

/// The values. In contrast to those of an [`Interner`](crate::Interner) the numbers are used again, after a [`Pool::sweep`].
#[derive(Debug)]
pub struct Pool<T> {
    values: Vec<T>,
    /// By value, which is looked up in the list.
    numbers: HashTable<u32>,
    /// Numbers of values that nothing had any more.
    free: Vec<u32>,
    sweep_at: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashTable::new(),
            free: Vec::new(),
            sweep_at: SWEEP_AT,
        }
    }
}

fn hash(value: &impl Hash) -> u64 {
    FixedState::default().hash_one(value)
}

impl<T: Eq + Hash> Pool<T> {
    /// The number of a value, a new one if need be.
    pub fn number(&mut self, value: T) -> u32 {
        let (hashed, values) = (hash(&value), &self.values);
        let same = |n: &u32| values[*n as usize] == value;
        if let Some(number) = self.numbers.find(hashed, same) {
            return *number;
        }
        let free = self.free.pop();
        let number = free.unwrap_or_else(|| u32::try_from(values.len()).unwrap_or(u32::MAX));
        match self.values.get_mut(number as usize) {
            Some(unused) => *unused = value,
            None => push_tight(&mut self.values, value),
        }
        let values = &self.values;
        self.numbers
            .insert_unique(hashed, number, |n| hash(&values[*n as usize]));
        number
    }

    /// The value with a number.
    pub fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }

    /// Whether there may be many values that nothing has any more: [`Pool::sweep`] frees them.
    pub fn is_littered(&self) -> bool {
        self.numbers.len() >= self.sweep_at
    }

    /// Frees the values that are not in use. The numbers of all that are must be said.
    pub fn sweep(&mut self, in_use: impl IntoIterator<Item = u32>) {
        let mut used = vec![false; self.values.len()];
        for number in in_use {
            if let Some(used) = used.get_mut(number as usize) {
                *used = true;
            }
        }
        let free = &mut self.free;
        self.numbers.retain(|number| {
            let stays = used[*number as usize];
            if !stays {
                free.push(*number);
            }
            stays
        });
        self.sweep_at = SWEEP_AT.max(2 * self.numbers.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_nothing_has_any_more_make_room_and_others_stay() {
        let mut pool = Pool::default();
        // Two things keep theirs; the third has another one at each edit, for years.
        let stay = [pool.number("a".to_owned()), pool.number("b".to_owned())];
        for n in 0..100_000 {
            let edited = pool.number(n.to_string());
            assert_eq!(pool.number(n.to_string()), edited);
            if pool.is_littered() {
                pool.sweep(stay.into_iter().chain([edited]));
            }
            assert_eq!(pool.value(edited), Some(&n.to_string()));
        }
        assert!(pool.values.len() <= SWEEP_AT, "{}", pool.values.len());
        let kept = stay.map(|number| pool.value(number).cloned());
        assert_eq!(kept, ["a", "b"].map(|word| Some(word.to_owned())));
        assert_eq!(pool.number("b".to_owned()), stay[1]);
        assert_eq!(pool.value(u32::MAX), None);
    }

    #[test]
    fn many_values_that_are_in_use_are_not_looked_through_at_each_edit() {
        let mut pool = Pool::default();
        let (mut used, mut sweeps) = (Vec::new(), 0);
        for n in 0..100_000 {
            used.push(pool.number(n));
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
}
