//! How clients are held: nearly every one has one association and no more to tell, and that takes half of what steps work on.
//!
//! A client is in one of two places, as it fits after each step. The trap avoided: a short form that is nearly right. What it
//! can't say to the microsecond is held whole.

use mast_schemas::Timestamp;

use super::entry::{Entry, NOBODY, NOWHERE};
use crate::compact::{Int48, Mac48, Maybe, Shelf};
use crate::rack::{OfMac, Rack};

/// A client with an owner that has not departed, and that is all: 26 bytes. The tenant is where it lies.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))]
pub(super) struct Plain {
    mac: Mac48,
    radio: u32,
    shown: u16,
    began: Timestamp,
    /// Microseconds from `began` to the newest change of owner.
    changed_after: Int48,
}

impl Plain {
    /// The client, if this form can say all of it.
    fn of(entry: &Entry) -> Option<Self> {
        let more = entry.more.as_ref().is_some_and(|more| !more.is_empty());
        if more || entry.radio == NOWHERE || entry.departed_at != Maybe::NONE {
            return None;
        }
        let changed_at = entry.changed_at.get()?;
        Some(Self {
            mac: entry.mac,
            radio: entry.radio,
            shown: entry.shown,
            began: entry.began,
            changed_after: Int48::new(changed_at.0.checked_sub(entry.began.0)?)?,
        })
    }

    fn entry(self, tenant: u32) -> Entry {
        let changed_at = self.began.0 + self.changed_after.get();
        Entry {
            tenant,
            radio: self.radio,
            mac: self.mac,
            shown: self.shown,
            began: self.began,
            departed_at: Maybe::NONE,
            changed_at: Some(Timestamp(changed_at)).into(),
            more: None,
        }
    }
}

impl OfMac for Plain {
    const VACANT: Self = Self {
        mac: Mac48::ZERO,
        radio: NOWHERE,
        shown: NOBODY,
        began: Timestamp(0),
        changed_after: Int48::ZERO,
    };

    fn is_vacant(&self) -> bool {
        self.radio == NOWHERE
    }

    fn mac(&self) -> Mac48 {
        self.mac
    }
}

/// All clients of a worker, by tenant and address.
#[derive(Debug, Default)]
pub(super) struct Clients {
    plain: Rack<Plain>,
    whole: Shelf<Entry>,
}

/// A client as it is held.
#[derive(Clone, Copy)]
pub(super) enum Held<'a> {
    /// With its tenant.
    Plain(u32, &'a Plain),
    Whole(&'a Entry),
}

impl Held<'_> {
    pub(super) fn key(self) -> (u32, Mac48) {
        match self {
            Self::Plain(tenant, plain) => (tenant, plain.mac),
            Self::Whole(entry) => (entry.tenant, entry.mac),
        }
    }

    pub(super) fn read<R>(self, read: impl FnOnce(&Entry) -> R) -> R {
        match self {
            Self::Plain(tenant, plain) => read(&plain.entry(tenant)),
            Self::Whole(entry) => read(entry),
        }
    }
}

impl Clients {
    /// A client that is not there yet.
    pub(super) fn put(&mut self, entry: Entry) {
        match Plain::of(&entry) {
            Some(plain) => self.plain.put(entry.tenant, plain),
            None => {
                self.whole.put(entry);
            }
        }
    }

    /// Takes a step on a client; on a fresh one, if it is not there. `None` if there is neither.
    pub(super) fn step<R>(
        &mut self,
        key: (u32, Mac48),
        fresh: Option<Entry>,
        act: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        let (tenant, mac) = key;
        let plain = self.plain.all_mut(tenant, mac).next();
        if let Some(plain) = plain {
            let mut entry = plain.entry(tenant);
            let result = act(&mut entry);
            if let Some(now) = Plain::of(&entry) {
                *plain = now;
            } else {
                self.plain.take(tenant, mac, |_| true);
                self.whole.put(entry);
            }
            return Some(result);
        }
        if let Some(place) = self.whole.find(key) {
            let entry = &mut self.whole[place];
            let result = act(entry);
            if let Some(plain) = Plain::of(entry) {
                entry.more = None;
                self.whole.remove(place);
                self.plain.put(tenant, plain);
            }
            return Some(result);
        }
        let mut entry = fresh?;
        let result = act(&mut entry);
        self.put(entry);
        Some(result)
    }

    /// Nothing is left of a client.
    pub(super) fn remove(&mut self, key: (u32, Mac48)) {
        self.plain.take(key.0, key.1, |_| true);
        if let Some(place) = self.whole.find(key) {
            self.whole[place].more = None;
            self.whole.remove(place);
        }
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Held<'_>> {
        let plain = self.plain.iter();
        let whole = self.whole.iter().map(Held::Whole);
        plain
            .map(|(tenant, plain)| Held::Plain(tenant, plain))
            .chain(whole)
    }

    /// Those of whom an association is of one of these radios, which rise; by rising tenant and address.
    pub(super) fn of_radios(&self, radios: &[u32]) -> Vec<(u32, Mac48)> {
        let of = |radio: u32| radios.binary_search(&radio).is_ok();
        let has = |held: &Held<'_>| match held {
            Held::Plain(_, plain) => of(plain.radio),
            Held::Whole(entry) => {
                of(entry.radio) || entry.others().iter().any(|other| of(other.radio))
            }
        };
        let mut here: Vec<_> = self.iter().filter(has).map(Held::key).collect();
        here.sort_unstable();
        here
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.whole.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::More;
    use super::*;

    const KEY: (u32, Mac48) = (3, Mac48::new([1, 2, 3]));

    fn client(began: i64, changed_at: i64) -> Entry {
        Entry {
            radio: 7,
            shown: 1,
            began: Timestamp(began),
            changed_at: Some(Timestamp(changed_at)).into(),
            ..Entry::new(KEY)
        }
    }

    /// A client comes back as it was; true if it is held in short.
    fn held(entry: Entry) -> bool {
        let told = format!("{entry:?}");
        let mut clients = Clients::default();
        clients.put(entry);
        let back: Vec<_> = clients
            .iter()
            .map(|held| held.read(|entry| format!("{entry:?}")))
            .collect();
        assert_eq!(back, std::slice::from_ref(&told));
        let stepped = clients.step(KEY, None, |entry| format!("{entry:?}"));
        assert_eq!((stepped, clients.len()), (Some(told), 1));
        clients.plain.len() == 1
    }

    #[test]
    fn a_client_with_one_association_is_small() {
        assert_eq!((size_of::<Plain>(), size_of::<Entry>()), (26, 48));
    }

    #[test]
    fn a_client_is_held_in_short_or_whole_but_always_as_it_is() {
        let now = 1_753_000_000_123_457;
        let (years, least) = (1_i64 << 47, i64::MIN + 1);
        for began in [
            now,
            now - 86_400_000_001,
            now + 1,
            now + 1 - years,
            now + years,
            0,
        ] {
            let short = (-years..years).contains(&(now - began));
            assert_eq!(held(client(began, now)), short, "{began}");
        }
        assert!(!held(client(i64::MAX, least)));
        assert!(held(client(least, least)));
        let departed = |at: i64| Entry {
            departed_at: Some(Timestamp(at)).into(),
            ..client(1, 2)
        };
        assert!(!held(departed(3)));
        let nowhere = Entry {
            radio: NOWHERE,
            shown: NOBODY,
            ..client(0, 2)
        };
        assert!(!held(nowhere));
        assert!(!held(Entry {
            changed_at: Maybe::NONE,
            ..client(1, 2)
        }));
        let more = More {
            ambiguous: true,
            ..More::default()
        };
        assert!(!held(Entry {
            more: Some(Box::new(more)),
            ..client(1, 2)
        }));
    }

    #[test]
    fn a_client_moves_as_it_fits() {
        let mut clients = Clients::default();
        let at = |clients: &Clients| (clients.plain.len(), clients.whole.len());
        assert_eq!(clients.step(KEY, None, |_| ()), None);
        let came = clients.step(KEY, Some(Entry::new(KEY)), |entry| *entry = client(1, 2));
        assert_eq!((came, at(&clients)), (Some(()), (1, 0)));
        clients.step(KEY, Some(Entry::new(KEY)), |entry| {
            assert_eq!(entry.radio, 7, "it is there already");
            entry.departed_at = Some(Timestamp(5)).into();
        });
        assert_eq!(at(&clients), (0, 1));
        assert_eq!(clients.of_radios(&[6, 7]), [KEY]);
        clients.step(KEY, None, |entry| {
            entry.departed_at = Maybe::NONE;
            entry.more().changes.push(Timestamp(1));
        });
        assert_eq!(at(&clients), (0, 1));
        clients.step(KEY, None, |entry| entry.more().changes.clear());
        assert_eq!(at(&clients), (1, 0), "nothing more to tell");
        assert_eq!(clients.of_radios(&[7, 8]), [KEY]);
        assert_eq!(clients.of_radios(&[8]), []);
        clients.remove(KEY);
        assert_eq!(at(&clients), (0, 0));
    }
}
