//! What was configured on devices after the fleet was laid out.
//!
//! A menu shows what the device has by nature; here is what was added to it, changed of it and
//! removed from it. Only devices that somebody wrote to take memory. A restart of the device leaves
//! all of it.

use std::collections::{BTreeMap, BTreeSet};

type Bytes = Box<[u8]>;

/// An item that was added.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    properties: Vec<(Bytes, Bytes)>,
}

impl Item {
    /// Names and values in order, `.id` the first.
    pub fn properties(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.properties
            .iter()
            .map(|(name, value)| (&**name, &**value))
    }

    /// A property's value.
    #[must_use]
    pub fn get(&self, wanted: &[u8]) -> Option<&[u8]> {
        let found = self.properties().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        match self
            .properties
            .iter_mut()
            .find(|(known, _)| **known == *name)
        {
            Some(property) => property.1 = value.into(),
            None => self.properties.push((name.into(), value.into())),
        }
    }
}

/// What was changed of an item that is there by nature.
#[derive(Debug, Clone, Default, PartialEq)]
struct Edited {
    values: Vec<(Bytes, Bytes)>,
    unset: BTreeSet<Bytes>,
}

/// What is not as by nature in one menu of one device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changed {
    added: Vec<Item>,
    edited: BTreeMap<Bytes, Edited>,
    removed: BTreeSet<Bytes>,
    /// Items added so far, removed ones too.
    count: u32,
}

impl Changed {
    /// The first id of an added item; those by nature are below, or far above.
    const FIRST_ID: u32 = 0x1000_0000;

    /// Items that were added, in their order.
    pub fn added(&self) -> impl Iterator<Item = &Item> {
        self.added.iter()
    }

    /// Whether an item that is there by nature was removed.
    #[must_use]
    pub fn is_removed(&self, id: &[u8]) -> bool {
        self.removed.contains(id)
    }

    /// What was set on an item that is there by nature.
    pub fn values(&self, id: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        let edited = self.edited.get(id).into_iter();
        edited
            .flat_map(|edited| &edited.values)
            .map(|(name, value)| (&**name, &**value))
    }

    /// Whether a property of an item that is there by nature was unset.
    #[must_use]
    pub fn is_unset(&self, id: &[u8], name: &[u8]) -> bool {
        self.edited
            .get(id)
            .is_some_and(|edited| edited.unset.contains(name))
    }

    /// Adds an item; gives its id.
    pub(crate) fn add(&mut self, properties: Vec<(Bytes, Bytes)>) -> String {
        self.count += 1;
        let id = format!("*{:X}", Self::FIRST_ID + self.count);
        let mut all = vec![(Bytes::from(&b".id"[..]), id.as_bytes().into())];
        all.extend(properties);
        self.added.push(Item { properties: all });
        id
    }

    /// Sets a property of an item.
    pub(crate) fn set(&mut self, id: &[u8], name: &[u8], value: &[u8]) {
        if let Some(item) = self.added_mut(id) {
            item.set(name, value);
            return;
        }
        let edited = self.edited.entry(id.into()).or_default();
        edited.unset.remove(name);
        match edited.values.iter_mut().find(|(known, _)| **known == *name) {
            Some(property) => property.1 = value.into(),
            None => edited.values.push((name.into(), value.into())),
        }
    }

    /// Takes a property away from an item.
    pub(crate) fn unset(&mut self, id: &[u8], name: &[u8]) {
        if let Some(item) = self.added_mut(id) {
            item.properties.retain(|(known, _)| **known != *name);
            return;
        }
        let edited = self.edited.entry(id.into()).or_default();
        edited.values.retain(|(known, _)| **known != *name);
        edited.unset.insert(name.into());
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, id: &[u8]) {
        let before = self.added.len();
        self.added.retain(|item| item.get(b".id") != Some(id));
        if self.added.len() == before {
            self.edited.remove(id);
            self.removed.insert(id.into());
        }
    }

    /// Moves an added item before another added one, or to the end.
    pub(crate) fn shift(&mut self, id: &[u8], before: Option<&[u8]>) {
        let place =
            |items: &[Item], id: &[u8]| items.iter().position(|item| item.get(b".id") == Some(id));
        let Some(from) = place(&self.added, id) else {
            return;
        };
        let item = self.added.remove(from);
        let to = before.and_then(|before| place(&self.added, before));
        self.added.insert(to.unwrap_or(self.added.len()), item);
    }

    fn added_mut(&mut self, id: &[u8]) -> Option<&mut Item> {
        self.added
            .iter_mut()
            .find(|item| item.get(b".id") == Some(id))
    }
}

/// What was configured on the fleet, by device and menu.
#[derive(Debug, Clone, Default)]
pub(super) struct Configs(BTreeMap<usize, BTreeMap<&'static str, Changed>>);

impl Configs {
    pub(super) fn get(&self, device: usize, menu: &str) -> Option<&Changed> {
        self.0.get(&device)?.get(menu)
    }

    pub(super) fn entry(&mut self, device: usize, menu: &'static str) -> &mut Changed {
        self.0.entry(device).or_default().entry(menu).or_default()
    }
}
