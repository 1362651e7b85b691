//! What a step on links needs, and what it leaves behind: views as they were, events, signals by value, the next timer.

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkEvent, LinkState, link_event_id};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use super::Reporter;
use crate::limits::ApLimits;
use crate::link::{Change, Head, Link};
use crate::messages::{ApOut, LinkCore};

/// Changes of signals within one step: count by value + 200.
#[derive(Debug)]
pub(crate) struct Bins([i32; 256]);

impl Default for Bins {
    fn default() -> Self {
        Self([0; 256])
    }
}

/// What a step on an access point's radios needs besides them.
pub(crate) struct Step<'a> {
    pub(crate) t: &'a Thresholds,
    /// What counts as bad, if a place says it.
    pub(crate) limits: Option<&'a ApLimits>,
    pub(crate) tenant: TenantId,
    pub(crate) ap: DeviceId,
    /// The access point itself is not observed.
    pub(crate) unobserved: bool,
    /// Links as they were before the slot, of those that changed in it.
    pub(crate) before: &'a mut BTreeMap<LinkId, Option<LinkCore>>,
    pub(crate) bins: &'a mut Bins,
    pub(crate) out: &'a mut ApOut,
    /// The earliest timer of the links that the step touched.
    pub(crate) due: Option<Timestamp>,
    /// A link has a sample of the hour.
    pub(crate) heard: bool,
}

/// What a link was before a step.
#[derive(Clone, Copy)]
pub(super) struct Was {
    pub(super) head: Option<Head>,
    pub(super) signal: Option<i16>,
}

impl Was {
    pub(super) const NONE: Self = Self {
        head: None,
        signal: None,
    };

    pub(super) fn of(link: &Link) -> Self {
        Self {
            head: Some(link.head()),
            signal: link.live_signal(),
        }
    }
}

impl Step<'_> {
    pub(super) const fn id(&self, radio: Mac, mac: Mac) -> LinkId {
        LinkId {
            tenant_id: self.tenant,
            ap_device_id: self.ap,
            radio_mac: radio,
            mac,
        }
    }

    pub(super) fn signal(&mut self, was: Option<i16>, is: Option<i16>) {
        if was == is {
            return;
        }
        for (dbm, diff) in [(was, -1), (is, 1)] {
            let Some(dbm) = dbm else { continue };
            match usize::try_from(i32::from(dbm) + 200)
                .ok()
                .and_then(|i| self.bins.0.get_mut(i))
            {
                Some(bin) => *bin += diff,
                None => self.out.signals.push((self.ap, dbm, diff)),
            }
        }
    }

    /// Empties the bins into the output.
    pub(crate) fn flush_signals(&mut self) {
        for (i, count) in (-200i16..).zip(&mut self.bins.0) {
            if *count != 0 {
                self.out.signals.push((self.ap, i, *count));
                *count = 0;
            }
        }
    }

    pub(super) fn event(&mut self, id: LinkId, (from, to, at, reason): Change) {
        self.out.events.push(LinkEvent {
            event_id: link_event_id(&id, at, from, to),
            tenant_id: id.tenant_id,
            ap_device_id: id.ap_device_id,
            radio_mac: id.radio_mac,
            mac: id.mac,
            at,
            from_state: from,
            to_state: to,
            reason,
        });
    }

    pub(super) const fn ap_seen(&self) -> ApSeen {
        ApSeen {
            id: self.ap,
            unobserved: self.unobserved,
        }
    }
}

/// The access point of a link, as far as links show it.
#[derive(Clone, Copy)]
pub(crate) struct ApSeen {
    pub(crate) id: DeviceId,
    pub(crate) unobserved: bool,
}

/// What of a radio a step on one of its links reads.
pub(super) struct Shared<'a> {
    pub(super) mac: Mac,
    pub(super) interface: &'a Arc<str>,
    pub(super) reporters: &'a [Reporter],
}

impl Shared<'_> {
    /// A link as others see it.
    pub(super) fn core(&self, ap: ApSeen, head: Head) -> LinkCore {
        let reporter = &self.reporters[usize::from(head.reporter)];
        LinkCore {
            interface: Arc::clone(self.interface),
            source: reporter.source,
            state: head.state,
            since: head.since.into(),
            reason: head.reason,
            discovered_at: head.discovered_at.into(),
            unobserved: ap.unobserved || (reporter.device != ap.id && reporter.unobserved),
            ambiguous: head.ambiguous,
        }
    }

    /// Notes a link as it was before the slot, unless that is noted already.
    fn remember(&self, step: &mut Step<'_>, id: LinkId, was: Was) {
        if !step.before.contains_key(&id) {
            let core = was.head.map(|head| self.core(step.ap_seen(), head));
            step.before.insert(id, core);
        }
    }

    /// Takes down what a step changed on a link.
    pub(super) fn settle(&self, step: &mut Step<'_>, link: &Link, was: Was, changes: &[Change]) {
        if was.head != Some(link.head()) {
            let id = step.id(self.mac, link.mac.into());
            self.remember(step, id, was);
            if !link.ambiguous() {
                changes.iter().for_each(|change| step.event(id, *change));
            }
        }
        step.signal(was.signal, link.live_signal());
        if matches!(link.state(), LinkState::Down | LinkState::Stale)
            && let Some((due, _)) = link.due(step.t)
        {
            step.due = Some(step.due.map_or(due, |earliest| earliest.min(due)));
        }
    }

    /// Whether tables of others than the link's reporter may show its client: only those of remote radios have several.
    pub(super) fn shown_by_others(&self, step: &Step<'_>, link: &Link) -> bool {
        let reporter = &self.reporters[usize::from(link.reporter())];
        reporter.device != step.ap || self.reporters.len() > 1
    }

    /// Takes down that a link is no more.
    pub(super) fn forget(&self, step: &mut Step<'_>, link: &Link, was: Was, changes: &[Change]) {
        let id = step.id(self.mac, link.mac.into());
        self.remember(step, id, was);
        if !link.ambiguous() {
            changes.iter().for_each(|change| step.event(id, *change));
        }
        step.signal(was.signal, None);
    }
}
