//! How far rules are with their subjects: only what is bad, open or latched is kept, found by its subject and by its rule.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;

use mast_schemas::alerts::{AlertId, Resolution, Subject, alert_id};
use mast_schemas::checkpoint::JudgedRecord;
use mast_schemas::control::Rule;
use mast_schemas::{TenantId, Timestamp};

use super::registry::{Registry, RuleNumber, RuleSet};
use super::step::{Phase, Progress, Step, matches};
use crate::compact::Map;
use crate::messages::{RuleChange, RuleTurn};

/// Who is judged: a device, with its interfaces, or a place.
pub(super) trait Judged: Copy + Ord + Hash {
    /// What the alert is of.
    fn subject(self, interface: Option<&Arc<str>>) -> Option<Subject>;
}

/// The values of one moment.
pub(super) trait Values {
    /// The value of a kind that is not of interfaces, thousandths.
    fn value(&self, kind: mast_schemas::alerts::RuleKind) -> Option<i64>;

    /// Number of rows of the interface table; `None` = there is no whole one.
    fn interfaces(&self) -> Option<usize> {
        None
    }

    /// Name of an interface, and whether it is switched off.
    fn interface(&self, _row: usize) -> (&str, bool) {
        ("", true)
    }

    /// The first row of a name.
    fn named(&self, _name: &str) -> Option<usize> {
        None
    }

    /// The value of a kind of interfaces, thousandths.
    fn of_interface(&self, _kind: mast_schemas::alerts::RuleKind, _row: usize) -> Option<i64> {
        None
    }
}

/// The row of an interface: the first of its name, if it is not switched off.
fn row_of(values: &impl Values, name: &str) -> Option<usize> {
    let row = values.named(name);
    row.filter(|row| !values.interface(*row).1)
}

#[derive(Debug)]
struct Count {
    rule: RuleNumber,
    interface: Option<Arc<str>>,
    progress: Progress,
}

impl Count {
    fn key(&self) -> (RuleNumber, Option<&str>) {
        (self.rule, self.interface.as_deref())
    }
}

/// What is counted of all subjects of a worker.
#[derive(Debug)]
pub(super) struct Tracker<K> {
    of: Map<K, Vec<Count>>,
    by_rule: Map<RuleNumber, BTreeSet<K>>,
    /// Open alerts.
    open: Map<AlertId, (K, RuleNumber, Option<Arc<str>>)>,
    /// Rules that find bad what they have counted nothing of yet.
    fresh: Vec<(RuleNumber, Option<Arc<str>>, i64)>,
}

impl<K> Default for Tracker<K> {
    fn default() -> Self {
        Self {
            of: Map::default(),
            by_rule: Map::default(),
            open: Map::default(),
            fresh: Vec::new(),
        }
    }
}

/// A change of an alert.
fn told(
    rule: &Rule,
    subject: Subject,
    (opened_at, opened_milli): (Timestamp, i64),
    at: Timestamp,
    turn: RuleTurn,
) -> RuleChange {
    let threshold = match turn {
        RuleTurn::Opened => Some(rule.enter_milli),
        RuleTurn::Resolved {
            value_milli: Some(_),
            ..
        } => Some(rule.clear_milli),
        RuleTurn::Severity | RuleTurn::Resolved { .. } => None,
    };
    RuleChange {
        tenant: rule.tenant_id,
        rule: rule.id,
        kind: rule.kind,
        severity: rule.severity,
        subject,
        opened_at,
        opened_milli,
        at,
        turn,
        threshold_milli: threshold.filter(|_| !rule.kind.is_state()),
    }
}

const fn without_value(resolution: Resolution) -> RuleTurn {
    RuleTurn::Resolved {
        resolution,
        value_milli: None,
    }
}

impl<K: Judged> Tracker<K> {
    /// Whether anything is counted of a subject.
    pub(super) fn has(&self, key: K) -> bool {
        !self.of.is_empty() && self.of.contains_key(&key)
    }

    /// Judges a subject by the values of one moment.
    pub(super) fn judge(
        &mut self,
        registry: &Registry,
        set: &RuleSet,
        (key, at): (K, Timestamp),
        values: &impl Values,
        out: &mut Vec<RuleChange>,
    ) {
        self.find_fresh(registry, set, (key, at), values);
        self.go_on(registry, key, at, values, out);
        if self.fresh.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        for (rule, interface, value) in fresh.drain(..) {
            let count = Count {
                rule,
                interface,
                progress: Progress::default(),
            };
            self.begin(registry, (key, at), count, value, out);
        }
        self.fresh = fresh;
    }

    /// Notes the rules that find a value bad and count nothing yet. Only they are asked for their hours.
    fn find_fresh(
        &mut self,
        registry: &Registry,
        set: &RuleSet,
        (key, at): (K, Timestamp),
        values: &impl Values,
    ) {
        let counts = OnceCell::new();
        let counts = || *counts.get_or_init(|| self.of.get(&key));
        let known = |rule, name: Option<&str>| {
            counts().is_some_and(|c| c.binary_search_by(|c| c.key().cmp(&(rule, name))).is_ok())
        };
        let within = |rule: &RuleNumber| registry.is_within(*rule, at);
        let fresh = &mut self.fresh;
        for rules in set.kinds() {
            let kind = rules.kind();
            if kind.subject() != Some(mast_schemas::alerts::RuleSubject::Interface) {
                let Some(value) = values.value(kind) else {
                    continue;
                };
                let bad = rules.bad(value).filter(|rule| !known(*rule, None));
                let bad = bad.filter(within);
                fresh.extend(bad.map(|rule| (rule, None, value)));
                continue;
            }
            let rows = values.interfaces().unwrap_or(0);
            for row in 0..rows {
                let Some(value) = values.of_interface(kind, row) else {
                    continue;
                };
                let mut bad = rules.bad(value).peekable();
                if bad.peek().is_none() {
                    continue;
                }
                let name = values.interface(row).0;
                if row_of(values, name) != Some(row) {
                    continue;
                }
                let named = |rule: &RuleNumber| {
                    let rule = registry.rule(*rule);
                    let pattern = rule.and_then(|rule| rule.interface.as_deref());
                    pattern.is_none_or(|pattern| matches(pattern, name))
                };
                let bad = bad.filter(|rule| !known(*rule, Some(name)));
                let bad = bad.filter(named).filter(within);
                fresh.extend(bad.map(|rule| (rule, Some(name.into()), value)));
            }
        }
    }

    /// One step of each rule that counts already.
    fn go_on(
        &mut self,
        registry: &Registry,
        key: K,
        at: Timestamp,
        values: &impl Values,
        out: &mut Vec<RuleChange>,
    ) {
        if self.of.is_empty() {
            return;
        }
        let Some(mut counts) = self.of.remove(&key) else {
            return;
        };
        let rows = values.interfaces();
        let mut done = Vec::new();
        counts.retain_mut(|count| {
            let Some(rule) = registry.rule(count.rule) else {
                done.push(count.rule);
                return false;
            };
            let value = match (&count.interface, rows) {
                (None, _) => values.value(rule.kind),
                (Some(_), None) => None,
                (Some(name), Some(_)) => match row_of(values, name) {
                    Some(row) => values.of_interface(rule.kind, row),
                    None => {
                        self.open_ends(rule, key, count, at, Resolution::SubjectGone, out);
                        done.push(count.rule);
                        return false;
                    }
                },
            };
            // Outside of its hours a value is none to the rule.
            let value = value.filter(|_| registry.is_within(count.rule, at));
            let Some(value) = value else { return true };
            self.step(rule, key, count, at, value, out);
            let idle = count.progress.is_idle();
            if idle {
                done.push(count.rule);
            }
            !idle
        });
        self.settle(key, counts, done);
    }

    /// A rule's first value of a subject.
    fn begin(
        &mut self,
        registry: &Registry,
        (key, at): (K, Timestamp),
        mut count: Count,
        value: i64,
        out: &mut Vec<RuleChange>,
    ) {
        let Some(rule) = registry.rule(count.rule) else {
            return;
        };
        self.step(rule, key, &mut count, at, value, out);
        self.keep(key, count);
    }

    fn keep(&mut self, key: K, count: Count) {
        self.by_rule.entry(count.rule).or_default().insert(key);
        let counts = self.of.entry(key).or_default();
        let place = counts.binary_search_by(|other| other.key().cmp(&count.key()));
        match place {
            Ok(i) => counts[i] = count,
            Err(i) => counts.insert(i, count),
        }
    }

    fn step(
        &mut self,
        rule: &Rule,
        key: K,
        count: &mut Count,
        at: Timestamp,
        value: i64,
        out: &mut Vec<RuleChange>,
    ) {
        let Some(step) = count.progress.step(rule, at, value) else {
            return;
        };
        let Some(subject) = key.subject(count.interface.as_ref()) else {
            return;
        };
        let (opened, turn) = match step {
            Step::Opened => {
                let id = alert_id(rule.id, &subject, at);
                let of = (key, count.rule, count.interface.clone());
                self.open.insert(id, of);
                ((at, value), RuleTurn::Opened)
            }
            Step::Cleared(opened_at, opened) => {
                self.open.remove(&alert_id(rule.id, &subject, opened_at));
                let turn = RuleTurn::Resolved {
                    resolution: Resolution::Cleared,
                    value_milli: Some(value),
                };
                ((opened_at, opened), turn)
            }
        };
        out.push(told(rule, subject, opened, at, turn));
    }

    /// If an alert is open, it resolves without a value.
    fn open_ends(
        &mut self,
        rule: &Rule,
        key: K,
        count: &Count,
        at: Timestamp,
        resolution: Resolution,
        out: &mut Vec<RuleChange>,
    ) {
        if let Phase::Firing(opened_at, value) = count.progress.phase
            && let Some(subject) = key.subject(count.interface.as_ref())
        {
            self.open.remove(&alert_id(rule.id, &subject, opened_at));
            let turn = without_value(resolution);
            out.push(told(rule, subject, (opened_at, value), at, turn));
        }
    }

    /// Puts back what is left of a subject's counts; of the rules in `done` something went.
    fn settle(&mut self, key: K, counts: Vec<Count>, done: Vec<RuleNumber>) {
        for rule in done {
            let counts = &counts;
            if counts.iter().all(|count| count.rule != rule)
                && let Some(keys) = self.by_rule.get_mut(&rule)
            {
                keys.remove(&key);
                if keys.is_empty() {
                    self.by_rule.remove(&rule);
                }
            }
        }
        if !counts.is_empty() {
            self.of.insert(key, counts);
        }
    }

    /// Forgets what is counted of a subject by the rules for which `ends` says so.
    pub(super) fn forget(
        &mut self,
        registry: &Registry,
        (key, at): (K, Timestamp),
        ends: impl Fn(&Rule) -> Option<Resolution>,
        out: &mut Vec<RuleChange>,
    ) {
        let Some(mut counts) = self.of.remove(&key) else {
            return;
        };
        let mut done = Vec::new();
        counts.retain(|count| {
            let rule = registry.rule(count.rule);
            let Some((rule, resolution)) = rule.and_then(|rule| Some((rule, ends(rule)?))) else {
                return true;
            };
            self.open_ends(rule, key, count, at, resolution, out);
            done.push(count.rule);
            false
        });
        self.settle(key, counts, done);
    }

    /// A rule was edited or deleted. `now` is what it says from now on (of a deleted one its last), `ends` of whom it forgets
    /// what it counted.
    pub(super) fn edit(
        &mut self,
        (number, now): (RuleNumber, &Rule),
        severity: bool,
        at: Timestamp,
        ends: impl Fn(K) -> Option<Resolution>,
        out: &mut Vec<RuleChange>,
    ) {
        let keys = self.by_rule.get(&number).cloned().unwrap_or_default();
        for key in keys {
            let Some(mut counts) = self.of.remove(&key) else {
                continue;
            };
            let (ended, mut done) = (ends(key), Vec::new());
            counts.retain(|count| {
                if count.rule != number {
                    return true;
                }
                if let Some(resolution) = ended {
                    self.open_ends(now, key, count, at, resolution, out);
                    done.push(number);
                    return false;
                }
                if let Phase::Firing(opened_at, value) = count.progress.phase
                    && severity
                    && let Some(subject) = key.subject(count.interface.as_ref())
                {
                    let opened = (opened_at, value);
                    out.push(told(now, subject, opened, at, RuleTurn::Severity));
                }
                true
            });
            self.settle(key, counts, done);
        }
    }

    /// A person resolved an alert.
    pub(super) fn resolve(
        &mut self,
        registry: &Registry,
        (tenant, id): (TenantId, AlertId),
        at: Timestamp,
        out: &mut Vec<RuleChange>,
    ) {
        let Some((key, number, interface)) = self.open.get(&id).cloned() else {
            return;
        };
        let rule = registry
            .rule(number)
            .filter(|rule| rule.tenant_id == tenant);
        let Some(rule) = rule else { return };
        self.open.remove(&id);
        let counts = self.of.get_mut(&key).into_iter().flatten();
        let same = |count: &&mut Count| count.key() == (number, interface.as_deref());
        let (phase, run) = (Phase::Latched, 0);
        for count in counts.filter(same) {
            let before = std::mem::replace(&mut count.progress, Progress { phase, run });
            if let (Phase::Firing(opened_at, value), Some(subject)) =
                (before.phase, key.subject(interface.as_ref()))
            {
                let turn = without_value(Resolution::Manual);
                out.push(told(rule, subject, (opened_at, value), at, turn));
            }
        }
    }

    /// What a checkpoint holds, by subject and rule.
    pub(super) fn records(&self, registry: &Registry) -> Vec<(K, JudgedRecord)> {
        let mut records: Vec<_> = (self.of.iter())
            .flat_map(|(key, counts)| counts.iter().map(move |count| (*key, count)))
            .filter_map(|(key, count)| {
                let Progress { phase, run } = count.progress;
                let record = JudgedRecord {
                    rule_id: registry.rule(count.rule)?.id,
                    subject: key.subject(count.interface.as_ref())?,
                    run,
                    latched: phase == Phase::Latched,
                    open: match phase {
                        Phase::Firing(at, value) => Some((at, value)),
                        Phase::Ok | Phase::Latched => None,
                    },
                };
                Some((key, record))
            })
            .collect();
        records.sort_by(|(a_key, a), (b_key, b)| {
            (a_key, a.rule_id, &a.subject).cmp(&(b_key, b.rule_id, &b.subject))
        });
        records
    }

    /// Takes a record in, if its rule is known.
    pub(super) fn restore(&mut self, registry: &Registry, key: K, record: &JudgedRecord) {
        let Some(number) = registry.number(record.rule_id) else {
            return;
        };
        let interface: Option<Arc<str>> = match &record.subject {
            Subject::Interface(_, name) => Some(name.clone()),
            Subject::Device(_) | Subject::Site(_) | Subject::Sector(_) => None,
        };
        if let Some((at, _)) = record.open {
            let id = alert_id(record.rule_id, &record.subject, at);
            self.open.insert(id, (key, number, interface.clone()));
        }
        let count = Count {
            rule: number,
            interface,
            progress: Progress::from(record),
        };
        self.keep(key, count);
    }
}
