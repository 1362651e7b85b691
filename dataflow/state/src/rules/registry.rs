//! Which rules judge what. Things that stand alike share one list of rules; it is made when it is first asked for, and anew
//! after a rule that it holds was edited.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope};
use mast_schemas::control::Rule;
use mast_schemas::hours::Hours;
use mast_schemas::{DeviceId, GroupId, RuleId, SectorId, SiteId, TagId, TenantId, Timestamp};
use smallvec::SmallVec;

use crate::compact::Map;

/// Number of a rule.
pub(super) type RuleNumber = u32;

/// A scope of a tenant: what one of them edits is looked for among its own.
type TenantScope = (TenantId, Scope);

fn scope_of(rule: &Rule) -> TenantScope {
    (rule.tenant_id, rule.scope)
}

/// Where a subject stands, as far as rules ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stand {
    /// Owner.
    pub(super) tenant: TenantId,
    /// A device (with its interfaces), a site or a sector.
    pub(super) subject: RuleSubject,
    pub(super) site: Option<SiteId>,
    pub(super) sector: Option<SectorId>,
    pub(super) groups: Arc<[GroupId]>,
    pub(super) tags: Arc<[TagId]>,
    /// A device that has rules of its own.
    pub(super) device: Option<DeviceId>,
}

impl Stand {
    /// The scopes that hold it, each once.
    fn scopes(&self) -> SmallVec<[TenantScope; 4]> {
        let mut scopes: SmallVec<[Scope; 4]> = SmallVec::from_iter([Scope::Tenant]);
        scopes.extend(self.site.map(Scope::Site));
        scopes.extend(self.sector.map(Scope::Sector));
        scopes.extend(self.groups.iter().map(|id| Scope::Group(*id)));
        scopes.extend(self.tags.iter().map(|id| Scope::Tag(*id)));
        scopes.extend(self.device.map(Scope::Device));
        scopes
            .into_iter()
            .map(|scope| (self.tenant, scope))
            .collect()
    }

    /// Whether the rule judges such things, and has this one in its scope.
    pub(super) fn is_judged_by(&self, rule: &Rule) -> bool {
        rule.tenant_id == self.tenant
            && judged(rule) == Some(self.subject)
            && match rule.scope {
                Scope::Tenant => true,
                Scope::Site(id) => self.site == Some(id),
                Scope::Sector(id) => self.sector == Some(id),
                Scope::Group(id) => self.groups.contains(&id),
                Scope::Tag(id) => self.tags.contains(&id),
                Scope::Device(id) => self.device == Some(id),
            }
    }
}

/// What a rule judges: devices (also for their interfaces), sites or sectors.
fn judged(rule: &Rule) -> Option<RuleSubject> {
    if rule.kind.by_polls() {
        return Some(RuleSubject::Device);
    }
    let subject = rule.kind.subject().unwrap_or(rule.subject);
    matches!(subject, RuleSubject::Site | RuleSubject::Sector).then_some(subject)
}

/// Whether one rule is the other, edited; else it is another rule.
pub(super) fn is_same(old: &Rule, new: &Rule) -> bool {
    (old.tenant_id, old.kind, old.subject, &old.interface)
        == (new.tenant_id, new.kind, new.subject, &new.interface)
}

/// The rules of one kind, by the value from which each finds it bad.
#[derive(Debug, Default)]
struct Metric {
    /// Bad from here up: rising.
    high: Vec<(i64, RuleNumber)>,
    /// Bad from here down: falling.
    low: Vec<(i64, RuleNumber)>,
}

impl Metric {
    fn add(&mut self, rule: &Rule, number: RuleNumber) {
        let enter = rule.enter_milli;
        match rule.operator {
            _ if rule.kind.is_state() => self.high.push((1, number)),
            Some(Operator::Gt) => self.high.push((enter.saturating_add(1), number)),
            Some(Operator::Gte) => self.high.push((enter, number)),
            Some(Operator::Lt) => self.low.push((enter.saturating_sub(1), number)),
            Some(Operator::Lte) => self.low.push((enter, number)),
            None => {}
        }
    }

    /// The rules that find the value bad. Of those that do not, none is asked.
    fn bad(&self, value_milli: i64) -> impl Iterator<Item = RuleNumber> {
        let high = self
            .high
            .iter()
            .take_while(move |(from, _)| *from <= value_milli);
        let low = self
            .low
            .iter()
            .take_while(move |(from, _)| *from >= value_milli);
        high.chain(low).map(|(_, rule)| *rule)
    }
}

/// All rules that judge things that stand alike.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    /// What is looked at first, close together: nearly every value is bad to no rule.
    bounds: Vec<Bounds>,
    /// By the same numbers.
    metrics: Vec<Metric>,
}

/// Between these a value is bad to no rule of a kind.
#[derive(Debug)]
struct Bounds {
    kind: RuleKind,
    low: i64,
    high: i64,
}

impl Bounds {
    fn of(kind: RuleKind, metric: &Metric) -> Self {
        Self {
            kind,
            low: metric.low.first().map_or(i64::MIN, |rule| rule.0),
            high: metric.high.first().map_or(i64::MAX, |rule| rule.0),
        }
    }
}

/// The rules of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfKind<'a> {
    bounds: &'a Bounds,
    metric: &'a Metric,
}

impl<'a> OfKind<'a> {
    pub(super) const fn kind(self) -> RuleKind {
        self.bounds.kind
    }

    /// Those that find the value bad.
    pub(super) fn bad(self, value_milli: i64) -> impl Iterator<Item = RuleNumber> + 'a {
        let (low, high) = (self.bounds.low, self.bounds.high);
        let any = value_milli <= low || value_milli >= high;
        let metric = any.then_some(self.metric);
        metric
            .into_iter()
            .flat_map(move |metric| metric.bad(value_milli))
    }
}

impl RuleSet {
    fn new(mut kinds: Vec<(RuleKind, Metric)>) -> Self {
        for (_, metric) in &mut kinds {
            metric.high.sort_unstable();
            metric.low.sort_unstable_by(|a, b| b.cmp(a));
        }
        Self {
            bounds: kinds.iter().map(|(kind, m)| Bounds::of(*kind, m)).collect(),
            metrics: kinds.into_iter().map(|(_, metric)| metric).collect(),
        }
    }

    /// Its rules by kind.
    pub(super) fn kinds(&self) -> impl Iterator<Item = OfKind<'_>> {
        let all = self.bounds.iter().zip(&self.metrics);
        all.map(|(bounds, metric)| OfKind { bounds, metric })
    }

    /// Whether it has a rule of this kind.
    pub(super) fn has(&self, kind: RuleKind) -> bool {
        self.bounds.iter().any(|bounds| bounds.kind == kind)
    }

    /// Whether nothing is judged.
    pub(super) fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }
}

/// A rule with what is read of it once.
#[derive(Debug)]
struct Held {
    rule: Arc<Rule>,
    /// When it judges; `None` = always. Few rules have any.
    hours: Option<Box<Hours>>,
}

#[derive(Debug)]
struct Standing {
    stand: Stand,
    /// `None` = to be made anew.
    set: Option<Arc<RuleSet>>,
}

/// The rules that a worker judges by, and where their subjects stand.
#[derive(Debug)]
pub(super) struct Registry {
    /// Whether a rule is one of those.
    takes: fn(&Rule) -> bool,
    rules: Vec<Option<Held>>,
    numbers: Map<RuleId, RuleNumber>,
    /// Enabled rules by scope.
    scoped: Map<TenantScope, Vec<RuleNumber>>,
    standings: Vec<Standing>,
    /// Numbers of standings, by their stand.
    stand_numbers: HashTable<u32>,
    /// Numbers of standings that nothing had any more.
    free: Vec<u32>,
    /// With so many standings, those are looked for that nothing has any more.
    sweep_at: usize,
    /// Numbers of standings, by the scopes that hold them.
    stands_in: Map<TenantScope, Vec<u32>>,
    /// By the numbers of the rules, rising.
    sets: Map<Box<[RuleNumber]>, Arc<RuleSet>>,
    /// Rules that sets hold as they were before an edit.
    edited: Vec<RuleNumber>,
    /// Where something is judged otherwise than sets say: once for all edits of a slot.
    touched: BTreeSet<TenantScope>,
}

/// With fewer standings than this none is looked for that nothing has any more.
const SWEEP_AT: usize = 1_024;

fn hash(stand: &Stand) -> u64 {
    FixedState::default().hash_one(stand)
}

impl Registry {
    pub(super) fn new(takes: fn(&Rule) -> bool) -> Self {
        Self {
            takes,
            rules: Vec::new(),
            numbers: Map::default(),
            scoped: Map::default(),
            standings: Vec::new(),
            stand_numbers: HashTable::new(),
            free: Vec::new(),
            sweep_at: SWEEP_AT,
            stands_in: Map::default(),
            sets: Map::default(),
            edited: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn takes(&self, rule: &Rule) -> bool {
        (self.takes)(rule)
    }

    /// Whether any rule judges.
    pub(super) fn is_empty(&self) -> bool {
        self.scoped.is_empty()
    }

    /// The number of a standing, a new one if need be.
    pub(super) fn stand(&mut self, stand: Stand) -> u32 {
        let (hashed, standings) = (hash(&stand), &self.standings);
        let found = self
            .stand_numbers
            .find(hashed, |n| standings[*n as usize].stand == stand);
        if let Some(number) = found {
            return *number;
        }
        let free = self.free.pop();
        let number = free.unwrap_or_else(|| u32::try_from(standings.len()).unwrap_or(u32::MAX));
        for scope in stand.scopes() {
            self.stands_in.entry(scope).or_default().push(number);
        }
        let standing = Standing { stand, set: None };
        match self.standings.get_mut(number as usize) {
            Some(unused) => *unused = standing,
            None => self.standings.push(standing),
        }
        let standings = &self.standings;
        self.stand_numbers
            .insert_unique(hashed, number, |n| hash(&standings[*n as usize].stand));
        number
    }

    /// Whether there may be many standings that nothing has any more: [`Registry::sweep`] frees them. A tenant makes a new one
    /// by each set of groups and tags that a device is ever given.
    pub(super) fn is_littered(&self) -> bool {
        self.stand_numbers.len() >= self.sweep_at
    }

    /// Frees the standings that are not in use. All that are must be said.
    pub(super) fn sweep(&mut self, in_use: impl IntoIterator<Item = u32>) {
        let mut used = vec![false; self.standings.len()];
        for number in in_use {
            if let Some(used) = used.get_mut(number as usize) {
                *used = true;
            }
        }
        let (free, standings) = (&mut self.free, &mut self.standings);
        self.stand_numbers.retain(|number| {
            let stays = used[*number as usize];
            if !stays {
                standings[*number as usize].set = None;
                free.push(*number);
            }
            stays
        });
        self.stands_in.retain(|_, numbers| {
            numbers.retain(|number| used[*number as usize]);
            !numbers.is_empty()
        });
        self.sweep_at = SWEEP_AT.max(2 * self.stand_numbers.len());
    }

    /// The standing with a number.
    pub(super) fn standing(&self, number: u32) -> Option<&Stand> {
        self.standings.get(number as usize).map(|s| &s.stand)
    }

    pub(super) fn number(&self, rule: RuleId) -> Option<RuleNumber> {
        self.numbers.get(&rule).copied()
    }

    pub(super) fn rule(&self, number: RuleNumber) -> Option<&Arc<Rule>> {
        self.held(number).map(|held| &held.rule)
    }

    fn held(&self, number: RuleNumber) -> Option<&Held> {
        self.rules.get(number as usize)?.as_ref()
    }

    /// Whether an instant is within the hours of a rule.
    pub(super) fn is_within(&self, number: RuleNumber, at: Timestamp) -> bool {
        let hours = self.held(number).and_then(|held| held.hours.as_ref());
        hours.is_none_or(|hours| hours.contain(at))
    }

    /// Takes a rule in, in place of the one with its id, which is returned with their number.
    pub(super) fn put(&mut self, rule: Arc<Rule>) -> (RuleNumber, Option<Arc<Rule>>) {
        let old = self.remove(rule.id);
        let number = old.as_ref().map_or_else(
            || {
                self.rules.push(None);
                u32::try_from(self.rules.len() - 1).unwrap_or(u32::MAX)
            },
            |(number, _)| *number,
        );
        self.numbers.insert(rule.id, number);
        if rule.enabled {
            self.scoped.entry(scope_of(&rule)).or_default().push(number);
            self.touched.insert(scope_of(&rule));
        }
        let hours = rule.schedule.as_ref().and_then(Hours::of).map(Box::new);
        self.rules[number as usize] = Some(Held { rule, hours });
        (number, old.map(|(_, rule)| rule))
    }

    /// Takes a rule out.
    pub(super) fn remove(&mut self, id: RuleId) -> Option<(RuleNumber, Arc<Rule>)> {
        let number = self.numbers.remove(&id)?;
        let Held { rule, .. } = self.rules[number as usize].take()?;
        if rule.enabled {
            if let Some(numbers) = self.scoped.get_mut(&scope_of(&rule)) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.scoped.remove(&scope_of(&rule));
                }
            }
            self.touched.insert(scope_of(&rule));
            self.edited.push(number);
        }
        Some((number, rule))
    }

    /// The standings for which something is judged otherwise now get another set when they are asked for it.
    fn renew(&mut self) {
        for scope in std::mem::take(&mut self.touched) {
            for number in self.stands_in.get(&scope).into_iter().flatten() {
                self.standings[*number as usize].set = None;
            }
        }
    }

    /// The rules of a standing.
    pub(super) fn set(&mut self, number: u32) -> Arc<RuleSet> {
        self.renew();
        let Some(standing) = self.standings.get(number as usize) else {
            return Arc::default();
        };
        if let Some(set) = &standing.set {
            return set.clone();
        }
        let set = self.make(number);
        self.standings[number as usize].set = Some(set.clone());
        set
    }

    fn make(&mut self, number: u32) -> Arc<RuleSet> {
        if !self.edited.is_empty() {
            let mut edited = std::mem::take(&mut self.edited);
            edited.sort_unstable();
            let is_old = |rule: &RuleNumber| edited.binary_search(rule).is_ok();
            // What no standing has any more goes as well.
            self.sets
                .retain(|rules, set| Arc::strong_count(set) > 1 && !rules.iter().any(is_old));
        }
        let stand = &self.standings[number as usize].stand;
        let scopes = stand.scopes();
        let scoped = scopes.iter().filter_map(|scope| self.scoped.get(scope));
        let judge = |rule: &&RuleNumber| {
            let rule = self.rule(**rule);
            rule.is_some_and(|rule| stand.is_judged_by(rule))
        };
        let mut rules: Vec<_> = scoped.flatten().filter(judge).copied().collect();
        rules.sort_unstable();
        if let Some(set) = self.sets.get(rules.as_slice()) {
            return set.clone();
        }
        let mut kinds: Vec<(RuleKind, Metric)> = Vec::new();
        for number in &rules {
            let Some(rule) = self.rule(*number) else {
                continue;
            };
            let i = kinds.iter().position(|(kind, _)| *kind == rule.kind);
            let i = i.unwrap_or_else(|| {
                kinds.push((rule.kind, Metric::default()));
                kinds.len() - 1
            });
            kinds[i].1.add(rule, *number);
        }
        let set = Arc::new(RuleSet::new(kinds));
        self.sets.insert(rules.into(), set.clone());
        set
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;

    fn tagged(tag: TagId) -> Stand {
        Stand {
            tenant: rule(RuleKind::Cpu).tenant_id,
            subject: RuleSubject::Device,
            site: None,
            sector: None,
            groups: Arc::default(),
            tags: [tag].into(),
            device: None,
        }
    }

    #[test]
    fn standings_that_nothing_has_any_more_are_forgotten_and_their_numbers_used_again() {
        let mut registry = Registry::new(|rule| rule.kind.by_polls());
        let (first, last) = (TagId::new(), TagId::new());
        for tag in [first, last] {
            let scope = Scope::Tag(tag);
            let rule = rule(RuleKind::Cpu);
            registry.put(Arc::new(Rule { scope, ..rule }));
        }
        let stays = registry.stand(tagged(first));
        let mut moves = stays;
        for _ in 0..20 * SWEEP_AT {
            registry.set(moves);
            moves = registry.stand(tagged(TagId::new()));
            if registry.is_littered() {
                registry.sweep([stays, moves]);
            }
        }
        assert!(registry.standings.len() <= 2 * SWEEP_AT);
        assert!(registry.stands_in.len() <= 2 * SWEEP_AT);
        assert!(registry.set(stays).has(RuleKind::Cpu));
        assert!(registry.set(moves).is_empty());
        let again = registry.stand(tagged(last));
        assert!(registry.set(again).has(RuleKind::Cpu));
        assert_eq!(registry.standing(again), Some(&tagged(last)));
        assert_eq!(registry.stand(tagged(first)), stays);
        // An edit reaches those that are left.
        let (number, _) = registry.put(Arc::new(rule(RuleKind::Memory)));
        for standing in [stays, moves, again] {
            assert!(registry.set(standing).has(RuleKind::Memory), "{number}");
        }
    }
}
