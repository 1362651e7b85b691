//! A rack: what is held of many addresses, by (tenant, MAC), close together.
//!
//! A table that doubles is half empty afterwards, and every value of it moves at once to anywhere. Here values lie in the order of
//! their hashes, each at its home, which the hash says, or behind those that took it: a tenth of the places is vacant, an address is
//! found in one look at memory, and growing by an eighth is to write down all values once more in the order in which they lie.
//! Tenants have rows of their own, so that no value names its tenant. The trap avoided: an address that very many devices have, say
//! by a copied configuration, would push its neighbours far from home. Of such an address most lie elsewhere.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use mast_schemas::Mac;

use crate::compact::{Mac48, Map, push_tight};

/// Of an address so many values lie in the row at most.
const CROWD: usize = 16;

/// What belongs to an address.
pub(crate) trait OfMac: Copy {
    /// What lies in a place where nothing is.
    const VACANT: Self;

    fn is_vacant(&self) -> bool;

    fn mac(&self) -> Mac48;
}

/// Values by address, of which several may have one.
#[derive(Debug)]
pub(crate) struct Rack<T> {
    rows: Map<u32, Row<T>>,
    /// The values of an address beyond [`CROWD`].
    crowds: Map<(u32, Mac48), Vec<T>>,
}

impl<T> Default for Rack<T> {
    fn default() -> Self {
        Self {
            rows: Map::default(),
            crowds: Map::default(),
        }
    }
}

impl<T: OfMac> Rack<T> {
    /// The values of an address.
    pub(crate) fn all(&self, tenant: u32, mac: Mac48) -> impl Iterator<Item = &T> + Clone {
        let row = self.rows.get(&tenant);
        let here = row.map(|row| &row.places[row.find(mac)]);
        let crowd = self.crowds.get(&(tenant, mac));
        here.unwrap_or_default()
            .iter()
            .chain(crowd.into_iter().flatten())
    }

    /// The values of an address, to change all of them but their address.
    pub(crate) fn all_mut(&mut self, tenant: u32, mac: Mac48) -> impl Iterator<Item = &mut T> {
        let row = self.rows.get_mut(&tenant);
        let here = row.map(|row| {
            let here = row.find(mac);
            &mut row.places[here]
        });
        let crowd = self.crowds.get_mut(&(tenant, mac));
        here.unwrap_or_default()
            .iter_mut()
            .chain(crowd.into_iter().flatten())
    }

    /// Puts a value there, also where others have its address. What looks vacant is nothing.
    pub(crate) fn put(&mut self, tenant: u32, value: T) {
        if value.is_vacant() {
            return;
        }
        let row = self.rows.entry(tenant).or_default();
        if !row.put(value) {
            let crowd = self.crowds.entry((tenant, value.mac())).or_default();
            push_tight(crowd, value);
        }
    }

    /// Takes out a value of an address that is the one.
    pub(crate) fn take(&mut self, tenant: u32, mac: Mac48, is: impl Fn(&T) -> bool) -> Option<T> {
        if let Some(row) = self.rows.get_mut(&tenant)
            && let Some(at) = row.find(mac).find(|at| is(&row.places[*at]))
        {
            let value = row.places[at];
            row.remove(at);
            if row.len == 0 {
                self.rows.remove(&tenant);
            }
            return Some(value);
        }
        let crowd = self.crowds.get_mut(&(tenant, mac))?;
        let at = crowd.iter().position(is)?;
        let value = crowd.swap_remove(at);
        if crowd.is_empty() {
            self.crowds.remove(&(tenant, mac));
        }
        Some(value)
    }

    /// All values with their tenants, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let rows = self.rows.iter().flat_map(|(tenant, row)| {
            let values = row.places.iter().filter(|value| !value.is_vacant());
            values.map(|value| (*tenant, value))
        });
        let crowds = self.crowds.iter();
        rows.chain(crowds.flat_map(|(key, crowd)| crowd.iter().map(|value| (key.0, value))))
    }

    pub(crate) fn len(&self) -> usize {
        let rows: usize = self.rows.values().map(|row| row.len).sum();
        rows + self.crowds.values().map(Vec::len).sum::<usize>()
    }
}

/// Most of the values of a tenant, by rising [`order`]. None lies before its home, and from its home on to it no place is vacant.
#[derive(Debug)]
struct Row<T> {
    places: Vec<T>,
    /// How many places are homes. Behind the last one lie values that found theirs taken.
    homes: usize,
    len: usize,
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            homes: 0,
            len: 0,
        }
    }
}

impl<T: OfMac> Row<T> {
    /// Where an address would be if its neighbours let it: hashes are spread evenly, from the first home to the last.
    fn home(&self, mac: Mac48) -> usize {
        let (hash, _) = order(mac);
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    /// The places of an address, one after the other; where the first would be if there is none.
    fn find(&self, mac: Mac48) -> Range<usize> {
        let home = self.home(mac).min(self.places.len());
        let taken = self.places[home..]
            .iter()
            .take_while(|value| !value.is_vacant());
        let before = taken
            .clone()
            .take_while(|value| order(value.mac()) < order(mac));
        let begin = home + before.count();
        let here = self.places[begin..].iter();
        let here = here.take_while(|value| !value.is_vacant() && value.mac() == mac);
        begin..begin + here.count()
    }

    /// Puts a value there; false if its address has too many here.
    fn put(&mut self, value: T) -> bool {
        if self.len * 16 >= self.homes * 15 {
            self.grow();
        }
        let here = self.find(value.mac());
        if here.len() == CROWD {
            return false;
        }
        self.len += 1;
        let mut behind = self.places[here.end..].iter();
        match behind.position(T::is_vacant) {
            Some(shift) => {
                let end = here.end + shift;
                self.places.copy_within(here.end..end, here.end + 1);
                self.places[here.end] = value;
            }
            None => {
                let home = self.home(value.mac());
                self.append(home, here.end, value);
            }
        }
        true
    }

    /// Puts a value where no vacant place is behind, `at` or as far as its home.
    fn append(&mut self, home: usize, at: usize, value: T) {
        let at = at.max(home);
        let room = at.max(self.places.len()) + 1;
        if self.places.capacity() < room {
            self.places.reserve_exact(room - self.places.len() + CROWD);
        }
        if self.places.len() < at {
            self.places.resize(at, T::VACANT);
        }
        self.places.insert(at, value);
    }

    /// Makes a place vacant. Those behind it move up, as far as they are not at home.
    fn remove(&mut self, at: usize) {
        let behind = (at + 1..).zip(&self.places[at + 1..]);
        let away =
            behind.take_while(|(at, value)| !value.is_vacant() && self.home(value.mac()) < *at);
        let last = at + away.count();
        self.places.copy_within(at + 1..=last, at);
        self.places[last] = T::VACANT;
        self.len -= 1;
    }

    /// An eighth more homes.
    fn grow(&mut self) {
        self.homes += (self.homes / 8).max(4);
        let room = self.homes + self.homes.min(256) / 4;
        let places = std::mem::replace(&mut self.places, Vec::with_capacity(room));
        for value in places.into_iter().filter(|value| !value.is_vacant()) {
            self.append(self.home(value.mac()), self.places.len(), value);
        }
    }
}

/// By what values of a row are ordered.
fn order(mac: Mac48) -> (u64, u64) {
    let number = Mac::from(mac).0;
    (FixedState::with_seed(0).hash_one(number), number)
}

#[cfg(test)]
mod tests;
