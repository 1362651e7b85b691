//! Rules of devices and their interfaces: judged at polls.

use std::sync::Arc;

use mast_schemas::alerts::{RuleSubject, Scope, Subject};
use mast_schemas::checkpoint::JudgedRecord;
use mast_schemas::control::Rule;
use mast_schemas::partition::key_group;
use mast_schemas::{DeviceId, TenantId, Timestamp};

use super::book::Book;
use super::registry::{Labels, Stand};
use super::tracker::Judged;
use super::values::PollValues;
use crate::compact::Map;
use crate::messages::{DeviceInfo, RuleChange, RuleControl};

impl Judged for DeviceId {
    fn subject(self, interface: Option<&Arc<str>>) -> Option<Subject> {
        Some(interface.map_or(Subject::Device(self), |name| {
            Subject::Interface(self, name.clone())
        }))
    }
}

/// Where devices stand, as far as rules ask, by numbers.
pub(crate) trait Stands {
    /// The number of a device's standing, if it is there.
    fn get(&self, device: DeviceId) -> Option<u32>;

    /// It has another one now.
    fn set(&mut self, device: DeviceId, standing: u32);
}

/// The rules that judge a worker's devices. Each device has the number of its standing.
#[derive(Debug)]
pub(crate) struct DeviceRules {
    book: Book<DeviceId>,
    /// How many rules a device has of its own.
    own: Map<DeviceId, u32>,
}

impl Default for DeviceRules {
    fn default() -> Self {
        Self {
            book: Book::new(|rule| rule.kind.by_polls()),
            own: Map::default(),
        }
    }
}

impl DeviceRules {
    /// Number of the standing of a device of which only the owner is known.
    pub(crate) fn stand_of_tenant(&mut self, tenant: TenantId) -> u32 {
        let stand = Stand::new(tenant, RuleSubject::Device);
        self.book.registry.stand(&stand)
    }

    /// Number of the standing of a device.
    pub(crate) fn stand(&mut self, device: DeviceId, info: &DeviceInfo) -> u32 {
        let labels = Labels {
            groups: info.groups.clone(),
            tags: info.tags.clone(),
            device: self.own.contains_key(&device).then_some(device),
        };
        let stand = Stand::new(info.tenant, RuleSubject::Device).at(info.site, info.sector);
        self.book.registry.stand(&stand.labelled(labels))
    }

    /// Whether [`DeviceRules::sweep`] has something to do.
    pub(crate) fn is_littered(&self) -> bool {
        self.book.registry.is_littered()
    }

    /// Forgets the standings that no device has. Those of all devices must be said.
    pub(crate) fn sweep(&mut self, in_use: impl IntoIterator<Item = u32>) {
        self.book.registry.sweep(in_use);
    }

    /// The owner of devices with a standing.
    pub(crate) fn tenant(&self, standing: u32) -> TenantId {
        let stand = self.book.registry.standing(standing);
        stand.map(|stand| stand.tenant).unwrap_or_default()
    }

    /// The standing of a device that now has rules of its own, or no longer has.
    fn stand_with_own(&mut self, device: DeviceId, standing: u32) -> u32 {
        let own = self.own.contains_key(&device).then_some(device);
        let Some(stand) = self.book.registry.standing(standing).cloned() else {
            return standing;
        };
        let labels = Labels {
            device: own,
            ..stand.labels()
        };
        self.book.registry.stand(&stand.labelled(labels))
    }

    fn owned(&mut self, scope: Scope, more: bool) {
        let Scope::Device(device) = scope else { return };
        let n = self.own.entry(device).or_default();
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
        if *n == 0 {
            self.own.remove(&device);
        }
    }

    /// What control says of rules, at a slot's begin.
    pub(crate) fn control(
        &mut self,
        control: &RuleControl,
        at: Timestamp,
        stands: &mut impl Stands,
        out: &mut Vec<RuleChange>,
    ) {
        let registry = &self.book.registry;
        let scope = |id| Some(registry.rule(registry.number(id)?)?.scope);
        match control {
            RuleControl::Put(rule) => {
                let old = scope(rule.id);
                let new = registry.takes(rule).then_some(rule.scope);
                self.restand(old, new, stands);
                self.book.put(rule, at, |device| stands.get(device), out);
            }
            RuleControl::Deleted(id) => {
                let old = scope(*id);
                self.restand(old, None, stands);
                self.book.delete(*id, at, out);
            }
            RuleControl::Resolved(tenant, alert) => self.book.resolve((*tenant, *alert), at, out),
            RuleControl::Sector { .. } => {}
        }
    }

    /// A rule is no longer of the old scope, but of the new one: devices get, or lose, a standing of their own.
    fn restand(&mut self, old: Option<Scope>, new: Option<Scope>, stands: &mut impl Stands) {
        for (scope, more) in [(new, true), (old, false)] {
            if let Some(scope) = scope {
                self.owned(scope, more);
            }
        }
        for scope in [old, new].into_iter().flatten() {
            if let Scope::Device(device) = scope
                && let Some(standing) = stands.get(device)
            {
                stands.set(device, self.stand_with_own(device, standing));
            }
        }
    }

    /// Whether anything is counted of a device.
    pub(crate) fn has(&self, device: DeviceId) -> bool {
        self.book.tracker.has(device)
    }

    /// A device stands elsewhere: rules that it left forget it.
    pub(crate) fn moved(
        &mut self,
        device: DeviceId,
        standing: u32,
        at: Timestamp,
        out: &mut Vec<RuleChange>,
    ) {
        self.book.moved(device, standing, at, out);
    }

    /// A device is no subject any more.
    pub(crate) fn gone(&mut self, device: DeviceId, at: Timestamp, out: &mut Vec<RuleChange>) {
        self.book.gone(device, at, out);
    }

    /// Judges a device by a poll. `values` are made only if anything is judged.
    pub(crate) fn judge<'a, 'p: 'a>(
        &mut self,
        (device, standing): (DeviceId, u32),
        at: Timestamp,
        values: impl FnOnce() -> PollValues<'a, 'p>,
        out: &mut Vec<RuleChange>,
    ) {
        if self.book.registry.is_empty() {
            return;
        }
        let set = self.book.registry.set(standing);
        if set.is_empty() {
            return;
        }
        let values = values().prepared(&set);
        let of = (device, at);
        self.book
            .tracker
            .judge(&self.book.registry, &set, of, &values, out);
    }

    /// What a checkpoint holds, with key groups.
    pub(crate) fn records(&self) -> Vec<(u8, JudgedRecord)> {
        let records = self.book.tracker.records(&self.book.registry).into_iter();
        let mut all: Vec<_> = records
            .map(|(device, record)| (key_group(device.as_bytes()), record))
            .collect();
        all.sort_by_key(|(group, _)| *group);
        all
    }

    /// Takes the rules and the records of a checkpoint in.
    pub(crate) fn restore(&mut self, rules: &[Arc<Rule>], records: &[JudgedRecord]) {
        for rule in rules {
            if self.book.registry.takes(rule) {
                self.owned(rule.scope, true);
                self.book.registry.put(rule.clone());
            }
        }
        for record in records {
            if let Subject::Device(device) | Subject::Interface(device, _) = record.subject {
                self.book
                    .tracker
                    .restore(&self.book.registry, device, record);
            }
        }
    }
}
