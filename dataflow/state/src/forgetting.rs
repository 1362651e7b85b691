//! What a reader no longer sees although it is remembered: stale links of clients that are no managed device. It stands
//! after pairing, because only there it is known who has a device, and holds nothing but such links.

use std::collections::BTreeMap;

use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkState, LinkView};
use mast_schemas::{DeviceId, LinkId, Timestamp};

use crate::compact::Map;
use crate::messages::LinkCore;
use crate::timers::{UNARMED, Wheel};

/// A link with the device at its far end, which may be none.
type Paired = (LinkId, LinkCore, Option<DeviceId>);

/// The stale links without a device, and which of them are left out.
#[derive(Debug)]
pub struct Forgetting {
    t: Thresholds,
    stale: Map<LinkId, Stale>,
    wheel: Wheel<LinkId>,
    /// The slot's changes.
    changes: BTreeMap<Paired, isize>,
}

#[derive(Debug)]
struct Stale {
    core: LinkCore,
    hidden: bool,
}

impl Forgetting {
    /// Nothing to hide yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            stale: Map::default(),
            wheel: Wheel::default(),
            changes: BTreeMap::new(),
        }
    }

    /// A paired link appeared (`diff` +1) or went (−1). A link that changed does both; in any order within a slot. After a
    /// restart each link appears, and the slot that the checkpoint is of is closed once more.
    pub fn change(&mut self, link: LinkId, core: LinkCore, cpe: Option<DeviceId>, diff: isize) {
        *self.changes.entry((link, core, cpe)).or_default() += diff;
    }

    /// Closes the slot: the rows that went from the view (−1) and came into it (+1), once a row, −1 before +1.
    pub fn end_slot(&mut self, end: Timestamp) -> Vec<(LinkView, isize)> {
        let (mut gone, mut came): (Vec<Paired>, Vec<Paired>) = (Vec::new(), Vec::new());
        let changes = std::mem::take(&mut self.changes);
        let (less, more): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .filter(|(_, diff)| *diff != 0)
            .partition(|(_, diff)| *diff < 0);
        for (paired, _) in less {
            let hidden =
                hideable(&paired) && self.stale.remove(&paired.0).is_some_and(|s| s.hidden);
            if !hidden {
                gone.push(paired);
            }
        }
        for (paired, _) in more {
            if hideable(&paired) {
                let due = paired.1.since + self.t.forget_unmanaged_after;
                let hidden = due <= end;
                self.stale.insert(
                    paired.0,
                    Stale {
                        core: paired.1.clone(),
                        hidden,
                    },
                );
                if hidden {
                    continue;
                }
                self.wheel.arm(due, paired.0, &mut { UNARMED });
            }
            came.push(paired);
        }
        self.hide(end, &mut gone);
        let rows = |rows: Vec<Paired>, diff| rows.into_iter().map(move |row| (view(row), diff));
        rows(gone, -1).chain(rows(came, 1)).collect()
    }

    fn hide(&mut self, end: Timestamp, gone: &mut Vec<Paired>) {
        for (_, link) in self.wheel.take(end) {
            let Some(stale) = self.stale.get_mut(&link).filter(|stale| !stale.hidden) else {
                continue;
            };
            let due = stale.core.since + self.t.forget_unmanaged_after;
            if due <= end {
                stale.hidden = true;
                gone.push((link, stale.core.clone(), None));
            } else {
                self.wheel.arm(due, link, &mut { UNARMED });
            }
        }
    }

    /// No link is to be hidden before this; `None` if none is waiting.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }
}

fn hideable((_, core, cpe): &Paired) -> bool {
    core.state == LinkState::Stale && cpe.is_none()
}

fn view((id, core, cpe_device_id): Paired) -> LinkView {
    LinkView {
        id,
        interface: core.interface.as_ref().to_owned(),
        source: core.source,
        cpe_device_id,
        state: core.state,
        since: core.since,
        reason: core.reason,
        discovered_at: core.discovered_at,
        unobserved: core.unobserved,
        ambiguous: core.ambiguous,
    }
}
