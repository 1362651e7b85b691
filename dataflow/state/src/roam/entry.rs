//! One client: its associations, and what their changes say of its links.

use mast_schemas::records::PollId;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Interner, Keyed, Mac48, Maybe};
use crate::messages::{RoamVerdict, Stamp};
use crate::timers::UNARMED;

/// No association.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Nobody's table shows the association.
pub(super) const NOBODY: u16 = u16::MAX;

/// Before every stamp.
pub(super) const NO_FLOOR: Stamp = Stamp::begin(DeviceId::from_bytes([0; 16]));

/// An association that is not the owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    pub(super) radio: u32,
    pub(super) shown: u16,
    pub(super) began: Timestamp,
}

/// A client, as steps work on it: 48 bytes. How it is held meanwhile, `held` says.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) tenant: u32,
    /// The owner's access point and radio, or [`NOWHERE`].
    pub(super) radio: u32,
    pub(super) mac: Mac48,
    /// Whose table shows the owner: number among the radio's reporters, or [`NOBODY`].
    pub(super) shown: u16,
    pub(super) began: Timestamp,
    pub(super) departed_at: Maybe,
    /// The newest change of owner.
    pub(super) changed_at: Maybe,
    pub(super) more: Option<Box<More>>,
}

#[derive(Debug)]
pub(super) struct More {
    pub(super) others: Vec<Other>,
    /// Further tables that show an association: (radio, reporter).
    pub(super) also: Vec<(u32, u16)>,
    /// Changes of owner before the newest.
    pub(super) changes: Vec<Timestamp>,
    pub(super) ambiguous: bool,
    pub(super) armed: i64,
}

impl Default for More {
    fn default() -> Self {
        Self {
            others: Vec::new(),
            also: Vec::new(),
            changes: Vec::new(),
            ambiguous: false,
            armed: UNARMED,
        }
    }
}

/// What a step on one entry needs besides it.
pub(super) struct Step<'a> {
    pub(super) t: &'a Thresholds,
    pub(super) radios: &'a Interner<(DeviceId, Mac)>,
    pub(super) tenant: TenantId,
    pub(super) stamp: Stamp,
    /// Time of the effect: the stamp's, or a timer's that was due before.
    pub(super) at: Timestamp,
    /// No timer takes effect before this.
    pub(super) floor: Stamp,
    pub(super) out: &'a mut Vec<RoamVerdict>,
}

impl Step<'_> {
    pub(super) fn verdict(&mut self, mac: Mac48, radio: u32, roamed: bool, ambiguous: bool) {
        self.say(mac, radio, roamed, ambiguous, false);
    }

    pub(super) fn say(
        &mut self,
        mac: Mac48,
        radio: u32,
        roamed: bool,
        ambiguous: bool,
        expired: bool,
    ) {
        let Some(&(ap, radio)) = self.radios.value(radio) else {
            return;
        };
        let (stamp, tenant, mac) = (self.stamp, self.tenant, mac.into());
        self.out.push(RoamVerdict {
            stamp,
            at: self.at,
            tenant,
            ap,
            radio,
            mac,
            roamed,
            ambiguous,
            expired,
        });
    }

    pub(super) fn place(&self, radio: u32) -> Option<(DeviceId, Mac)> {
        self.radios.value(radio).copied()
    }
}

impl Keyed for Entry {
    type Key = (u32, Mac48);

    fn key(&self) -> (u32, Mac48) {
        (self.tenant, self.mac)
    }
}

impl More {
    /// Whether it says no more than one that is not there.
    pub(super) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.also.is_empty() && self.changes.is_empty() && !self.ambiguous
    }
}

impl Entry {
    /// A client without associations.
    pub(super) const fn new((tenant, mac): (u32, Mac48)) -> Self {
        Self {
            tenant,
            radio: NOWHERE,
            mac,
            shown: NOBODY,
            began: Timestamp(0),
            departed_at: Maybe::NONE,
            changed_at: Maybe::NONE,
            more: None,
        }
    }

    pub(super) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    pub(super) fn others(&self) -> &[Other] {
        self.more.as_ref().map_or(&[], |more| &more.others)
    }

    pub(super) fn ambiguous(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.ambiguous)
    }

    /// Takes an association out of the others.
    pub(super) fn leave(&mut self, radio: u32) -> Option<Other> {
        let more = self.more.as_mut()?;
        let i = more.others.iter().position(|other| other.radio == radio)?;
        Some(more.others.remove(i))
    }

    /// Who is noted first as showing an association.
    pub(super) fn shown(&mut self, radio: u32) -> Option<&mut u16> {
        if self.radio == radio {
            return Some(&mut self.shown);
        }
        let others = &mut self.more.as_mut()?.others;
        others
            .iter_mut()
            .find(|other| other.radio == radio)
            .map(|other| &mut other.shown)
    }

    /// A table shows the association.
    pub(super) fn show(&mut self, radio: u32, by: u16) {
        match self.shown(radio) {
            Some(shown) if *shown == NOBODY => *shown = by,
            Some(shown) if *shown != by => {
                let also = &mut self.more().also;
                if !also.contains(&(radio, by)) {
                    also.push((radio, by));
                }
            }
            _ => {}
        }
    }

    /// A table no longer shows the association; true if none does.
    pub(super) fn unshow(&mut self, radio: u32, by: u16) -> bool {
        let Some(shown) = self.shown(radio).map(|shown| *shown) else {
            return false;
        };
        let also = self.more.as_mut().map(|more| &mut more.also);
        let mut next = NOBODY;
        if let Some(also) = also {
            also.retain(|shows| *shows != (radio, by));
            next = also
                .iter()
                .find(|shows| shows.0 == radio)
                .map_or(NOBODY, |shows| shows.1);
            if shown == by || shown == NOBODY {
                also.retain(|shows| *shows != (radio, next));
            }
        }
        if shown != by && shown != NOBODY {
            return false;
        }
        if let Some(shown) = self.shown(radio) {
            *shown = next;
        }
        next == NOBODY
    }

    /// Nobody's table counts for the association any more.
    pub(super) fn unshow_all(&mut self, radio: u32) {
        if let Some(more) = &mut self.more {
            more.also.retain(|shows| shows.0 != radio);
        }
    }

    pub(super) fn appeared(&mut self, radio: u32, began: Timestamp, by: u16, step: &mut Step<'_>) {
        if self.radio == radio {
            self.show(radio, by);
            if began > self.began + step.t.association_tolerance {
                self.began = began;
            }
            self.departed_at = Maybe::NONE;
            if self.ambiguous() {
                step.verdict(self.mac, radio, false, true);
            }
            return;
        }
        let shown = self.leave(radio).map_or(NOBODY, |other| other.shown);
        let later = self.radio == NOWHERE
            || (began, step.place(radio)) > (self.began, step.place(self.radio));
        if later {
            self.take_over(
                Other {
                    radio,
                    shown,
                    began,
                },
                step,
            );
        } else {
            self.more().others.push(Other {
                radio,
                shown,
                began,
            });
            let ambiguous = self.ambiguous();
            step.verdict(self.mac, radio, !ambiguous, ambiguous);
        }
        self.show(radio, by);
    }

    /// A change of owner: the former one joins the others, unless it had departed.
    pub(super) fn take_over(&mut self, new: Other, step: &mut Step<'_>) {
        let former = Other {
            radio: self.radio,
            shown: self.shown,
            began: self.began,
        };
        let departed = self.departed_at.get().is_some();
        if former.radio != NOWHERE && !departed {
            self.more().others.push(former);
        }
        self.own(new);
        let was = self.ambiguous();
        self.count_change(step);
        let ambiguous = self.ambiguous();
        if ambiguous && !was {
            for i in 0..self.others().len() {
                step.verdict(self.mac, self.others()[i].radio, false, true);
            }
        }
        if former.radio != NOWHERE && (departed || !ambiguous) {
            step.verdict(self.mac, former.radio, true, false);
        }
        step.verdict(self.mac, new.radio, false, ambiguous);
    }

    pub(super) fn own(&mut self, owner: Other) {
        (self.radio, self.shown, self.began) = (owner.radio, owner.shown, owner.began);
        self.departed_at = Maybe::NONE;
    }

    pub(super) fn count_change(&mut self, step: &Step<'_>) {
        let at = step.stamp.at;
        let since = at - step.t.ambiguous_window;
        let before = self.changed_at.get();
        let newest = before.map_or(at, |before| before.max(at));
        self.changed_at = Some(newest).into();
        let limit = usize::from(step.t.ambiguous_owners);
        if before.is_some_and(|before| before > since) || self.more.is_some() || limit == 0 {
            let more = self.more();
            more.changes.extend(before.map(|before| before.min(at)));
            more.changes.retain(|change| *change > since);
            more.ambiguous |= more.changes.len() + 1 > limit;
            let surplus = more.changes.len().saturating_sub(limit + 1);
            more.changes.drain(..surplus);
        }
    }

    pub(super) fn departed(&mut self, radio: u32, step: &mut Step<'_>) {
        if self.radio == radio {
            self.departed_at = Some(step.stamp.at).into();
        } else if self.leave(radio).is_some() && self.ambiguous() {
            step.verdict(self.mac, radio, self.radio != NOWHERE, false);
        }
    }

    /// An association is gone for good: its access point was deleted, or its radio belongs to another one.
    pub(super) fn dropped(&mut self, radio: u32, step: &mut Step<'_>) {
        self.unshow_all(radio);
        if self.radio != radio {
            self.departed(radio, step);
            return;
        }
        let others = self.others().iter().copied();
        let greatest = others.max_by_key(|other| (other.began, step.place(other.radio)));
        self.own(Other {
            radio: NOWHERE,
            shown: NOBODY,
            began: Timestamp(0),
        });
        if let Some(next) = greatest {
            self.leave(next.radio);
            self.own(next);
        }
        if self.ambiguous() {
            step.verdict(self.mac, radio, self.radio != NOWHERE, false);
        } else if self.radio != NOWHERE {
            step.verdict(self.mac, self.radio, false, false);
        }
    }

    /// The next timer: when, and whether it ends ambiguity (else it drops the departed owner).
    pub(super) fn next_due(&self, t: &Thresholds) -> Option<(Timestamp, bool)> {
        let departed = self.departed_at.get().filter(|_| self.others().is_empty());
        let drop = departed.map(|at| (at + t.stale_after, false));
        let clear = self.changed_at.get().filter(|_| self.ambiguous());
        let clear = clear.map(|at| (at + t.ambiguous_window, true));
        [drop, clear].into_iter().flatten().min()
    }

    /// Fires what is due ≤ `until`.
    pub(super) fn fire(&mut self, until: Timestamp, step: &mut Step<'_>) {
        let stamp = step.stamp;
        if (stamp.device, stamp.poll) == (step.floor.device, step.floor.poll) {
            return;
        }
        while let Some((due, clear)) = self.next_due(step.t).filter(|next| next.0 <= until) {
            let device = step.place(self.radio).map_or(stamp.device, |place| place.0);
            let place = Stamp {
                at: due,
                device,
                poll: PollId::default(),
                step: 0,
            };
            (step.stamp, step.at) = (place.max(step.floor), due);
            if clear {
                self.more().ambiguous = false;
                step.verdict(self.mac, self.radio, false, false);
                for i in 0..self.others().len() {
                    step.verdict(self.mac, self.others()[i].radio, true, false);
                }
            } else {
                step.say(self.mac, self.radio, false, false, true);
                self.own(Other {
                    radio: NOWHERE,
                    shown: NOBODY,
                    began: Timestamp(0),
                });
            }
        }
        (step.stamp, step.at) = (stamp, stamp.at);
    }

    /// Whether nothing is left that later changes could depend on.
    pub(super) fn spent(&self, now: Timestamp, t: &Thresholds) -> bool {
        let recent = self
            .changed_at
            .get()
            .is_some_and(|at| at > now - t.ambiguous_window);
        self.radio == NOWHERE && self.others().is_empty() && !self.ambiguous() && !recent
    }
}
