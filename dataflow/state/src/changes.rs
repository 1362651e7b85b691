//! Changes of links on their way to whoever pairs links with the devices at their far ends.
//!
//! The one who pairs holds no links: it asks [`Aps`] for one of which only the far end changed. The link step may be some slots
//! ahead by then. The trap avoided: an answer from the future. Changes wait here by slot, each with what its link was before.

use std::collections::BTreeMap;

use mast_schemas::LinkId;

use crate::ap::Aps;
use crate::messages::LinkCore;

/// A link that changed in a slot: old and new, `None` where it was not there.
pub type LinkChange = (LinkId, Option<LinkCore>, Option<LinkCore>);

/// Changes of slots that were told but not taken yet.
#[derive(Debug, Default)]
pub struct LinkChanges {
    /// By slot, then by rising link, each once.
    slots: BTreeMap<u64, Vec<LinkChange>>,
}

impl LinkChanges {
    /// What slot `slot` did, by rising link; later than all that was put before.
    pub fn put(&mut self, slot: u64, changes: Vec<LinkChange>) {
        if !changes.is_empty() {
            self.slots.insert(slot, changes);
        }
    }

    /// Takes out what slot `slot` did, by rising link.
    pub fn take(&mut self, slot: u64) -> Vec<LinkChange> {
        self.slots.remove(&slot).unwrap_or_default()
    }

    /// A link as it was at the end of slot `slot`, where all earlier slots have been taken: `aps` know it as of the newest.
    pub fn at(&self, slot: u64, link: &LinkId, aps: &Aps) -> Option<LinkCore> {
        let later = self.slots.range(slot + 1..);
        let mut before = later.filter_map(|(_, changes)| {
            let i = changes.binary_search_by(|(id, ..)| id.cmp(link)).ok()?;
            Some(changes[i].1.clone())
        });
        before.next().unwrap_or_else(|| aps.told(link))
    }
}
