//! Which rules judge what. Things that stand alike share a standing, and standings that the same rules judge share one set of
//! them. A set is made when it is first asked for, anew after a rule of its tenant was edited, and gone with the last standing
//! that has it.
//!
//! The trap avoided: an edit that goes through all standings. Each finds out when it is next asked for its set.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope};
use mast_schemas::control::Rule;
use mast_schemas::hours::Hours;
use mast_schemas::{DeviceId, GroupId, RuleId, SectorId, SiteId, TagId, TenantId, Timestamp};
use smallvec::SmallVec;

use crate::compact::{Interner, Map, push_tight};

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
    /// `None` = nothing of these.
    labels: Option<Box<Labels>>,
}

/// What else scopes ask of a device: few standings have any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels {
    pub(super) groups: Arc<[GroupId]>,
    pub(super) tags: Arc<[TagId]>,
    /// A device that has rules of its own.
    pub(super) device: Option<DeviceId>,
}

impl Stand {
    /// Something of a tenant, in no place.
    pub(super) const fn new(tenant: TenantId, subject: RuleSubject) -> Self {
        Self {
            tenant,
            subject,
            site: None,
            sector: None,
            labels: None,
        }
    }

    /// The same, there.
    pub(super) fn at(self, site: Option<SiteId>, sector: Option<SectorId>) -> Self {
        Self {
            site,
            sector,
            ..self
        }
    }

    /// The same with these labels.
    pub(super) fn labelled(self, labels: Labels) -> Self {
        let labels = Some(labels).filter(|labels| *labels != Labels::default());
        Self {
            labels: labels.map(Box::new),
            ..self
        }
    }

    /// Its labels.
    pub(super) fn labels(&self) -> Labels {
        self.labels.as_deref().cloned().unwrap_or_default()
    }

    /// The scopes that hold it, each once.
    fn scopes(&self) -> SmallVec<[TenantScope; 4]> {
        let mut scopes: SmallVec<[Scope; 4]> = SmallVec::from_iter([Scope::Tenant]);
        scopes.extend(self.site.map(Scope::Site));
        scopes.extend(self.sector.map(Scope::Sector));
        if let Some(labels) = &self.labels {
            scopes.extend(labels.groups.iter().map(|id| Scope::Group(*id)));
            scopes.extend(labels.tags.iter().map(|id| Scope::Tag(*id)));
            scopes.extend(labels.device.map(Scope::Device));
        }
        scopes
            .into_iter()
            .map(|scope| (self.tenant, scope))
            .collect()
    }

    /// Whether the rule judges such things, and has this one in its scope.
    pub(super) fn is_judged_by(&self, rule: &Rule) -> bool {
        let labels = self.labels.as_deref();
        rule.tenant_id == self.tenant
            && judged(rule) == Some(self.subject)
            && match rule.scope {
                Scope::Tenant => true,
                Scope::Site(id) => self.site == Some(id),
                Scope::Sector(id) => self.sector == Some(id),
                Scope::Group(id) => labels.is_some_and(|labels| labels.groups.contains(&id)),
                Scope::Tag(id) => labels.is_some_and(|labels| labels.tags.contains(&id)),
                Scope::Device(id) => labels.is_some_and(|labels| labels.device == Some(id)),
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

/// Rules, each with the value from which it finds a value bad.
type Limits = Box<[(i64, RuleNumber)]>;

/// The rules of one kind, by the value from which each finds it bad.
#[derive(Debug)]
struct Metric {
    /// Bad from here up: rising.
    high: Limits,
    /// Bad from here down: falling.
    low: Limits,
}

impl Metric {
    fn new<'a>(rules: impl Iterator<Item = (RuleNumber, &'a Rule)>) -> Self {
        let (mut high, mut low) = (Vec::new(), Vec::new());
        for (number, rule) in rules {
            let enter = rule.enter_milli;
            match rule.operator {
                _ if rule.kind.is_state() => high.push((1, number)),
                Some(Operator::Gt) => high.push((enter.saturating_add(1), number)),
                Some(Operator::Gte) => high.push((enter, number)),
                Some(Operator::Lt) => low.push((enter.saturating_sub(1), number)),
                Some(Operator::Lte) => low.push((enter, number)),
                None => {}
            }
        }
        high.sort_unstable();
        low.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            high: high.into(),
            low: low.into(),
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
    /// The numbers of all of them, rising.
    rules: Box<[RuleNumber]>,
    /// What is looked at first, close together: nearly every value is bad to no rule.
    bounds: Box<[Bounds]>,
    /// By the same numbers.
    metrics: Box<[Metric]>,
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
    /// These rules, by rising number.
    fn new(rules: Box<[RuleNumber]>, all: &[(RuleNumber, &Rule)]) -> Self {
        let mut kinds = Vec::new();
        for (_, rule) in all {
            if !kinds.contains(&rule.kind) {
                kinds.push(rule.kind);
            }
        }
        let of_kind = |kind| {
            let of_kind = all.iter().filter(move |(_, rule)| rule.kind == kind);
            (kind, Metric::new(of_kind.copied()))
        };
        let kinds: Vec<_> = kinds.into_iter().map(of_kind).collect();
        Self {
            rules,
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

/// What judges a standing.
#[derive(Debug, Default)]
struct Asked {
    /// `None` = it was not asked for yet.
    set: Option<Arc<RuleSet>>,
    /// Number of the tenant.
    owner: u32,
    /// How often the tenant's rules had been edited when the set was made.
    made: u32,
}

/// The rules that a worker judges by, and where their subjects stand.
#[derive(Debug)]
pub(super) struct Registry {
    /// Whether a rule is one of those.
    takes: fn(&Rule) -> bool,
    rules: Vec<Option<Held>>,
    numbers: Map<RuleId, RuleNumber>,
    /// Numbers of rules that are no more.
    unused: Vec<RuleNumber>,
    /// Enabled rules by scope.
    scoped: Map<TenantScope, Vec<RuleNumber>>,
    /// A tenant makes a new one by each set of groups and tags that a device is ever given.
    standings: Interner<Stand>,
    /// By number of the standing.
    asked: Vec<Asked>,
    /// Numbers of tenants.
    owners: Interner<TenantId>,
    /// How often the rules of a tenant were edited, by its number.
    edits: Vec<u32>,
    /// The sets that standings have, by the numbers of their rules.
    sets: HashTable<Arc<RuleSet>>,
    /// Rules that sets hold as they were before an edit.
    edited: Vec<RuleNumber>,
}

fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    FixedState::default().hash_one(value)
}

impl Registry {
    pub(super) fn new(takes: fn(&Rule) -> bool) -> Self {
        Self {
            takes,
            rules: Vec::new(),
            numbers: Map::default(),
            unused: Vec::new(),
            scoped: Map::default(),
            standings: Interner::default(),
            asked: Vec::new(),
            owners: Interner::default(),
            edits: Vec::new(),
            sets: HashTable::new(),
            edited: Vec::new(),
        }
    }

    /// How many standings and sets there are.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.standings.len(), self.sets.len())
    }

    pub(super) fn takes(&self, rule: &Rule) -> bool {
        (self.takes)(rule)
    }

    /// Whether any rule judges.
    pub(super) fn is_empty(&self) -> bool {
        self.scoped.is_empty()
    }

    /// The number of a standing, a new one if need be.
    pub(super) fn stand(&mut self, stand: &Stand) -> u32 {
        let (number, owner) = (self.standings.number(stand), self.owner(stand.tenant));
        if self.asked.len() <= number as usize {
            push_tight(&mut self.asked, Asked::default());
        }
        self.asked[number as usize].owner = owner;
        number
    }

    /// Whether there may be many standings that nothing has any more: [`Registry::sweep`] frees them.
    pub(super) fn is_littered(&self) -> bool {
        self.standings.is_littered()
    }

    /// Frees the standings that are not in use. All that are must be said.
    pub(super) fn sweep(&mut self, in_use: impl IntoIterator<Item = u32>) {
        for number in self.standings.sweep(in_use) {
            let set = self.asked[number as usize].set.take();
            self.release(set);
        }
    }

    /// The standing with a number.
    pub(super) fn standing(&self, number: u32) -> Option<&Stand> {
        self.standings.value(number)
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

    /// The number of a tenant.
    fn owner(&mut self, tenant: TenantId) -> u32 {
        let owner = self.owners.number(&tenant);
        if self.edits.len() <= owner as usize {
            self.edits.resize(owner as usize + 1, 0);
        }
        owner
    }

    /// What rules judge may be otherwise now in all standings of a tenant.
    fn note_edit(&mut self, tenant: TenantId) {
        let owner = self.owner(tenant);
        let edits = &mut self.edits[owner as usize];
        *edits = edits.wrapping_add(1);
    }

    /// Takes a rule in, in place of the one with its id, which is returned with their number.
    pub(super) fn put(&mut self, rule: Arc<Rule>) -> (RuleNumber, Option<Arc<Rule>>) {
        let old = self.remove(rule.id);
        // Of a rule that is edited, this is the number that it had.
        let unused = self.unused.pop();
        let number = unused.unwrap_or_else(|| {
            self.rules.push(None);
            u32::try_from(self.rules.len() - 1).unwrap_or(u32::MAX)
        });
        self.numbers.insert(rule.id, number);
        if rule.enabled {
            self.scoped.entry(scope_of(&rule)).or_default().push(number);
            self.note_edit(rule.tenant_id);
        }
        let hours = rule.schedule.as_ref().and_then(Hours::of).map(Box::new);
        self.rules[number as usize] = Some(Held { rule, hours });
        (number, old.map(|(_, rule)| rule))
    }

    /// Takes a rule out. Its number is the next one's.
    pub(super) fn remove(&mut self, id: RuleId) -> Option<(RuleNumber, Arc<Rule>)> {
        let number = self.numbers.remove(&id)?;
        let Held { rule, .. } = self.rules[number as usize].take()?;
        self.unused.push(number);
        if rule.enabled {
            if let Some(numbers) = self.scoped.get_mut(&scope_of(&rule)) {
                numbers.retain(|other| *other != number);
                if numbers.is_empty() {
                    self.scoped.remove(&scope_of(&rule));
                }
            }
            self.note_edit(rule.tenant_id);
            self.edited.push(number);
        }
        Some((number, rule))
    }

    /// The rules of a standing.
    pub(super) fn set(&mut self, number: u32) -> Arc<RuleSet> {
        let Some(asked) = self.asked.get(number as usize) else {
            return Arc::default();
        };
        let edits = self.edits[asked.owner as usize];
        if let (Some(set), true) = (&asked.set, asked.made == edits) {
            return set.clone();
        }
        let set = self.make(number);
        let asked = &mut self.asked[number as usize];
        asked.made = edits;
        let before = asked.set.replace(set.clone());
        self.release(before);
        set
    }

    fn make(&mut self, number: u32) -> Arc<RuleSet> {
        if !self.edited.is_empty() {
            let mut edited = std::mem::take(&mut self.edited);
            edited.sort_unstable();
            let is_old = |rule: &RuleNumber| edited.binary_search(rule).is_ok();
            self.sets.retain(|set| !set.rules.iter().any(is_old));
        }
        let Some(stand) = self.standings.value(number) else {
            return Arc::default();
        };
        let scopes = stand.scopes();
        let scoped = scopes.iter().filter_map(|scope| self.scoped.get(scope));
        let rule = |number: &RuleNumber| Some((*number, &**self.rule(*number)?));
        let rules = scoped.flatten().filter_map(rule);
        let mut rules: Vec<_> = rules.filter(|(_, rule)| stand.is_judged_by(rule)).collect();
        rules.sort_unstable_by_key(|(number, _)| *number);
        let numbers: Box<[_]> = rules.iter().map(|(number, _)| *number).collect();
        let hashed = hash(&*numbers);
        if let Some(set) = self.sets.find(hashed, |set| set.rules == numbers) {
            return set.clone();
        }
        let set = Arc::new(RuleSet::new(numbers, &rules));
        self.sets
            .insert_unique(hashed, set.clone(), |set| hash(&*set.rules));
        set
    }

    /// A standing has this set no longer: it goes with the last one that had it.
    fn release(&mut self, set: Option<Arc<RuleSet>>) {
        let Some(set) = set else { return };
        // Ours, and the table's.
        if Arc::strong_count(&set) > 2 {
            return;
        }
        let same = |other: &Arc<RuleSet>| Arc::ptr_eq(other, &set);
        if let Ok(entry) = self.sets.find_entry(hash(&*set.rules), same) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;
    use crate::compact::SWEEP_AT;

    fn tagged(tag: TagId) -> Stand {
        let tenant = rule(RuleKind::Cpu).tenant_id;
        Stand::new(tenant, RuleSubject::Device).labelled(Labels {
            tags: [tag].into(),
            ..Labels::default()
        })
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
        let stays = registry.stand(&tagged(first));
        let mut moves = stays;
        for _ in 0..20 * SWEEP_AT {
            registry.set(moves);
            moves = registry.stand(&tagged(TagId::new()));
            if registry.is_littered() {
                registry.sweep([stays, moves]);
            }
        }
        assert!(registry.asked.len() <= 2 * SWEEP_AT);
        assert!(registry.sets.len() <= 2);
        assert!(registry.set(stays).has(RuleKind::Cpu));
        assert!(registry.set(moves).is_empty());
        let again = registry.stand(&tagged(last));
        assert!(registry.set(again).has(RuleKind::Cpu));
        assert_eq!(registry.standing(again), Some(&tagged(last)));
        assert_eq!(registry.stand(&tagged(first)), stays);
        // An edit reaches those that are left.
        let (number, _) = registry.put(Arc::new(rule(RuleKind::Memory)));
        for standing in [stays, moves, again] {
            assert!(registry.set(standing).has(RuleKind::Memory), "{number}");
        }
    }

    fn of_tenant(tenant: TenantId, scope: Scope) -> Arc<Rule> {
        let rule = rule(RuleKind::SectorSignalAvg);
        Arc::new(Rule {
            tenant_id: tenant,
            scope,
            ..rule
        })
    }

    fn sector(tenant: TenantId, sector: SectorId) -> Stand {
        Stand::new(tenant, RuleSubject::Sector).at(None, Some(sector))
    }

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!((size_of::<Stand>(), size_of::<Asked>()), (64, 16));
    }

    #[test]
    fn sectors_of_a_tenant_share_one_set_of_its_rules() {
        let mut registry = Registry::new(|rule| !rule.kind.by_polls());
        let tenants = [TenantId::new(), TenantId::new()];
        let mut rules = Vec::new();
        for tenant in tenants {
            for _ in 0..50 {
                let rule = of_tenant(tenant, Scope::Tenant);
                rules.push(rule.id);
                registry.put(rule);
            }
        }
        let ids: Vec<SectorId> = (0..1_000).map(|_| SectorId::new()).collect();
        let all: Vec<u32> = ids
            .iter()
            .map(|id| registry.stand(&sector(tenants[0], *id)))
            .collect();
        let other = registry.stand(&sector(tenants[1], SectorId::new()));
        let ask = |registry: &mut Registry| {
            let sets = all.iter().map(|number| registry.set(*number).rules.len());
            sets.collect::<Vec<_>>()
        };
        assert_eq!(ask(&mut registry), [50; 1_000]);
        assert_eq!(registry.sets.len(), 1);
        let theirs = registry.set(other);
        assert_eq!(registry.sets.len(), 2);
        // One has a rule of its own; the others go on sharing.
        let own = of_tenant(tenants[0], Scope::Sector(ids[7]));
        registry.put(own.clone());
        let mut lengths = [50; 1_000];
        lengths[7] = 51;
        assert_eq!(ask(&mut registry), lengths);
        assert_eq!(registry.sets.len(), 3);
        registry.remove(own.id);
        assert_eq!(ask(&mut registry), [50; 1_000]);
        assert_eq!(registry.sets.len(), 2);
        // Rules that come one by one leave no set behind for each of them.
        for n in 51..=100 {
            registry.put(of_tenant(tenants[0], Scope::Tenant));
            assert_eq!(ask(&mut registry), [n; 1_000]);
            assert_eq!(registry.sets.len(), 2);
        }
        // Who has no part in an edit keeps its set.
        assert!(Arc::ptr_eq(&registry.set(other), &theirs));
        for id in rules {
            registry.remove(id);
        }
        assert_eq!(ask(&mut registry), [50; 1_000]);
        assert_eq!(registry.set(other).rules.len(), 0);
        assert_eq!(registry.sets.len(), 2);
        registry.sweep([other]);
        assert_eq!(registry.sets.len(), 1);
        assert_eq!(registry.set(other).rules.len(), 0);
    }

    #[test]
    fn an_edited_rule_is_in_no_set_as_it_was() {
        let mut registry = Registry::new(|rule| !rule.kind.by_polls());
        let tenant = TenantId::new();
        let all = [SectorId::new(), SectorId::new()].map(|id| registry.stand(&sector(tenant, id)));
        let first = of_tenant(tenant, Scope::Tenant);
        let (number, _) = registry.put(first.clone());
        const NO: [RuleNumber; 0] = [];
        let bad = |registry: &mut Registry, value: i64| {
            all.map(|standing| {
                let set = registry.set(standing);
                let kinds: Vec<_> = set.kinds().flat_map(|kind| kind.bad(value)).collect();
                kinds
            })
        };
        assert_eq!(bad(&mut registry, 90_001), [[number], [number]]);
        let mut edited = Rule::clone(&first);
        edited.enter_milli = 95_000;
        assert_eq!(registry.put(Arc::new(edited.clone())).0, number);
        assert_eq!(bad(&mut registry, 90_001), [NO, NO]);
        assert_eq!(bad(&mut registry, 95_001), [[number], [number]]);
        edited.enabled = false;
        registry.put(Arc::new(edited.clone()));
        assert_eq!(bad(&mut registry, 95_001), [NO, NO]);
        // Its number goes to the next rule.
        registry.remove(edited.id);
        let (again, _) = registry.put(of_tenant(tenant, Scope::Tenant));
        let (next, _) = registry.put(of_tenant(tenant, Scope::Tenant));
        assert_eq!((again, next), (number, number + 1));
        assert_eq!(bad(&mut registry, 95_001), [[number, next], [number, next]]);
        assert_eq!(registry.sets.len(), 1);
    }
}
