//! Where a client's live association is (§6).

use mast_schemas::checkpoint::{AssociationRecord, RoamRecord};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::oracle::{Address, Oracle, Timer};

/// (access point, radio): two associations with the same place are one.
fn place(a: &AssociationRecord) -> (DeviceId, Mac) {
    (a.ap_device_id, a.radio_mac)
}

/// What decides which association is newer.
fn rank(a: &AssociationRecord) -> (Timestamp, DeviceId, Mac) {
    (a.began_at, a.ap_device_id, a.radio_mac)
}

impl Oracle {
    /// A new association, or a client back after an absence.
    pub(crate) fn appeared(&mut self, address: Address, new: AssociationRecord, at: Timestamp) {
        let tolerance = self.thresholds.association_tolerance;
        let roam = self.roam.entry(address).or_insert_with(|| nobody(address));
        match roam.owner {
            None => {
                roam.owner = Some(new);
                roam.owner_departed_at = None;
                self.owner_changed(address, at);
            }
            Some(owner) if place(&owner) == place(&new) => {
                if new.began_at > owner.began_at + tolerance {
                    roam.owner = Some(new);
                }
                roam.owner_departed_at = None;
            }
            Some(owner) => {
                roam.others.retain(|o| place(o) != place(&new));
                if rank(&new) > rank(&owner) {
                    if roam.owner_departed_at.take().is_none() {
                        roam.others.push(owner);
                    }
                    roam.owner = Some(new);
                    self.owner_changed(address, at);
                    self.mark(address, place(&owner), at);
                } else {
                    roam.others.push(new);
                }
            }
        }
        self.mark_all(address, at);
        self.arm_roam(address);
    }

    /// Counts a change of owner; too many make the address ambiguous.
    fn owner_changed(&mut self, address: Address, at: Timestamp) {
        let window = self.thresholds.ambiguous_window;
        let Some(roam) = self.roam.get_mut(&address) else {
            return;
        };
        roam.changes.push(at);
        roam.changes.sort_unstable();
        roam.changes.retain(|c| *c > at - window);
        if roam.changes.len() > usize::from(self.thresholds.ambiguous_owners) {
            roam.ambiguous = true;
        }
    }

    /// A client is no longer in a table that had it.
    pub(crate) fn departed(&mut self, address: Address, from: (DeviceId, Mac), at: Timestamp) {
        let Some(roam) = self.roam.get_mut(&address) else {
            return;
        };
        if roam.owner.as_ref().is_some_and(|o| place(o) == from) {
            roam.owner_departed_at = Some(at);
        } else {
            let before = roam.others.len();
            roam.others.retain(|o| place(o) != from);
            if roam.others.len() != before {
                self.mark(address, from, at);
            }
        }
        self.arm_roam(address);
    }

    /// Departs and drops associations; where the owner goes, the greatest other inherits, without a change counted.
    pub(crate) fn drop_associations(
        &mut self,
        tenant: TenantId,
        at: Timestamp,
        gone: impl Fn(&AssociationRecord) -> bool,
    ) {
        let touched: Vec<Address> = self
            .roam
            .range((tenant, Mac(0))..=(tenant, Mac(u64::MAX)))
            .filter(|(_, r)| r.owner.iter().chain(&r.others).any(&gone))
            .map(|(address, _)| *address)
            .collect();
        for address in touched {
            if let Some(roam) = self.roam.get_mut(&address) {
                roam.others.retain(|o| !gone(o));
                if roam.owner.as_ref().is_some_and(&gone) {
                    roam.owner = roam.others.iter().copied().max_by_key(rank);
                    roam.owner_departed_at = None;
                    let heir = roam.owner.as_ref().map(place);
                    roam.others.retain(|o| Some(place(o)) != heir);
                }
            }
            self.mark_all(address, at);
            self.arm_roam(address);
        }
    }

    /// Timer: the owner departed long ago and nobody else shows the client.
    pub(crate) fn owner_dropped(&mut self, address: Address, due: Timestamp) {
        if self.drop_due(address) != Some(due) {
            return;
        }
        let Some(roam) = self.roam.get_mut(&address) else {
            return;
        };
        let Some(owner) = roam.owner.take() else {
            return;
        };
        roam.owner_departed_at = None;
        self.mark(address, place(&owner), due);
        self.association_ended(&link_id(address, place(&owner)), due);
        let window = self.thresholds.ambiguous_window;
        if self
            .roam
            .get(&address)
            .is_some_and(|r| !r.ambiguous && r.changes.iter().all(|c| *c <= due - window))
        {
            self.roam.remove(&address);
        }
    }

    /// Timer: no change of owner for long enough.
    pub(crate) fn ambiguity_over(&mut self, address: Address, due: Timestamp) {
        if self.ambiguity_due(address) != Some(due) {
            return;
        }
        if let Some(roam) = self.roam.get_mut(&address) {
            roam.ambiguous = false;
        }
        self.mark_all(address, due);
    }

    fn drop_due(&self, address: Address) -> Option<Timestamp> {
        let roam = self
            .roam
            .get(&address)
            .filter(|r| r.others.is_empty() && r.owner.is_some())?;
        roam.owner_departed_at
            .map(|t| t + self.thresholds.stale_after)
    }

    fn ambiguity_due(&self, address: Address) -> Option<Timestamp> {
        let roam = self.roam.get(&address).filter(|r| r.ambiguous)?;
        roam.changes
            .iter()
            .max()
            .map(|t| *t + self.thresholds.ambiguous_window)
    }

    pub(crate) fn arm_roam(&mut self, address: Address) {
        if let Some(due) = self.drop_due(address) {
            self.timers.insert((due, Timer::OwnerDropped(address)));
        }
        if let Some(due) = self.ambiguity_due(address) {
            self.timers.insert((due, Timer::AmbiguityOver(address)));
        }
    }

    /// What holds for a client at one place: (roamed, ambiguous).
    pub(crate) fn marks(&self, address: Address, at_place: (DeviceId, Mac)) -> (bool, bool) {
        let Some(roam) = self.roam.get(&address) else {
            return (false, false);
        };
        let owner = roam.owner.as_ref().map(place);
        let shown = owner == Some(at_place) || roam.others.iter().any(|o| place(o) == at_place);
        match (roam.ambiguous && shown, owner) {
            (true, _) => (false, true),
            (false, Some(owner)) => (owner != at_place, false),
            (false, None) => (false, false),
        }
    }

    fn mark(&mut self, address: Address, at_place: (DeviceId, Mac), at: Timestamp) {
        let (roamed, ambiguous) = self.marks(address, at_place);
        self.mark_link(&link_id(address, at_place), roamed, ambiguous, at);
    }

    fn mark_all(&mut self, address: Address, at: Timestamp) {
        let Some(roam) = self.roam.get(&address) else {
            return;
        };
        let places: Vec<_> = roam.owner.iter().chain(&roam.others).map(place).collect();
        for at_place in places {
            self.mark(address, at_place, at);
        }
    }
}

fn nobody((tenant_id, mac): Address) -> RoamRecord {
    RoamRecord {
        tenant_id,
        mac,
        owner: None,
        owner_departed_at: None,
        others: Vec::new(),
        changes: Vec::new(),
        ambiguous: false,
    }
}

fn link_id((tenant_id, mac): Address, (ap_device_id, radio_mac): (DeviceId, Mac)) -> LinkId {
    LinkId {
        tenant_id,
        ap_device_id,
        radio_mac,
        mac,
    }
}
