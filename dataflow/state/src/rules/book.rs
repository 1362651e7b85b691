//! Rules and what they count, together: what an edit of a rule does to it.

use std::sync::Arc;

use mast_schemas::alerts::{AlertId, Resolution};
use mast_schemas::control::Rule;
use mast_schemas::{RuleId, TenantId, Timestamp};

use super::registry::{Registry, is_same};
use super::tracker::{Judged, Tracker};
use crate::messages::RuleChange;

/// The rules of one sort of subjects.
#[derive(Debug)]
pub(super) struct Book<K> {
    pub(super) registry: Registry,
    pub(super) tracker: Tracker<K>,
}

impl<K: Judged> Book<K> {
    /// No rules yet; `takes` says which are of this sort.
    pub(super) fn new(takes: fn(&Rule) -> bool) -> Self {
        Self {
            registry: Registry::new(takes),
            tracker: Tracker::default(),
        }
    }

    /// A rule was made or edited. `standing` finds a subject's.
    pub(super) fn put(
        &mut self,
        rule: &Arc<Rule>,
        at: Timestamp,
        standing: impl Fn(K) -> Option<u32>,
        out: &mut Vec<RuleChange>,
    ) {
        if !self.registry.takes(rule) {
            return self.delete(rule.id, at, out);
        }
        let (number, old) = self.registry.put(rule.clone());
        let Some(old) = old else { return };
        if !is_same(&old, rule) {
            let ends = |_| Some(Resolution::RuleDeleted);
            self.tracker.edit((number, &old), false, at, ends, out);
            return;
        }
        let registry = &self.registry;
        let ends = |key| {
            if !rule.enabled {
                return Some(Resolution::RuleDisabled);
            }
            let stand = standing(key).and_then(|number| registry.standing(number));
            let inside = stand.is_some_and(|stand| stand.is_judged_by(rule));
            (!inside).then_some(Resolution::OutOfScope)
        };
        let severity = old.severity != rule.severity;
        self.tracker.edit((number, rule), severity, at, ends, out);
    }

    /// A rule was deleted.
    pub(super) fn delete(&mut self, id: RuleId, at: Timestamp, out: &mut Vec<RuleChange>) {
        if let Some((number, old)) = self.registry.remove(id) {
            let ends = |_| Some(Resolution::RuleDeleted);
            self.tracker.edit((number, &old), false, at, ends, out);
        }
    }

    /// A person resolved an alert.
    pub(super) fn resolve(
        &mut self,
        alert: (TenantId, AlertId),
        at: Timestamp,
        out: &mut Vec<RuleChange>,
    ) {
        self.tracker.resolve(&self.registry, alert, at, out);
    }

    /// A subject stands elsewhere: rules that it left forget it.
    pub(super) fn moved(
        &mut self,
        key: K,
        standing: u32,
        at: Timestamp,
        out: &mut Vec<RuleChange>,
    ) {
        let stand = self.registry.standing(standing);
        let left = |rule: &Rule| {
            let inside = stand.is_some_and(|stand| stand.is_judged_by(rule));
            (!inside).then_some(Resolution::OutOfScope)
        };
        self.tracker.forget(&self.registry, (key, at), left, out);
    }

    /// A subject is no more.
    pub(super) fn gone(&mut self, key: K, at: Timestamp, out: &mut Vec<RuleChange>) {
        let ends = |_: &Rule| Some(Resolution::SubjectGone);
        self.tracker.forget(&self.registry, (key, at), ends, out);
    }
}
