//! Rules of sites and sectors: judged at the end of each slot that ends at a whole minute, by what views say then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mast_schemas::alerts::{RuleKind, RuleSubject, Scope, Subject};
use mast_schemas::checkpoint::{JudgedRecord, ThroughputRecord};
use mast_schemas::control::Rule;
use mast_schemas::partition::key_group;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{Counts, DeviceState, HealthState, LinkState, Place, PlaceAir, Signals};
use mast_schemas::{Epoch, RuleId, SectorId, SiteId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::registry::Stand;
use super::tracker::{Judged, Values};
use super::values::{mean, percent};
use crate::compact::Map;
use crate::health::health_of;
use crate::messages::{RuleChange, RuleControl};

/// Time between judgements.
const TICK: Span = Span::secs(60);

/// Judgements of an hour.
const HOUR: usize = 60;

/// What is so of a place from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaceFact {
    /// Its counts.
    Counts(Option<Counts>),
    /// Live links of an hour ago.
    HourAgo(Option<i64>),
    /// Its signals.
    Signals(Option<Signals>),
    /// Its traffic and noise.
    Air(Option<PlaceAir>),
    /// Its clients whose signal degrades.
    Degrading(i64),
}

/// A number that may be absent, in four bytes. One of more than two thousand million is as good as that many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Small(i32);

impl Small {
    const NONE: Self = Self(i32::MIN);

    fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(i64::from(self.0))
    }
}

impl From<Option<i64>> for Small {
    fn from(n: Option<i64>) -> Self {
        n.map_or(Self::NONE, |n| Self(narrow(n)))
    }
}

fn narrow(n: i64) -> i32 {
    n.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)) as i32
}

/// A rate that may be absent, bits a second, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(i64);

impl Rate {
    const NONE: Self = Self(i64::MIN);

    fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }
}

impl From<Option<i64>> for Rate {
    fn from(bps: Option<i64>) -> Self {
        bps.map_or(Self::NONE, Self)
    }
}

/// A place as it is, as far as rules ask: 56 bytes, as every sector has it.
#[derive(Clone, Copy, Debug)]
struct Now {
    /// Received and sent.
    throughput: Rate,
    standing: u32,
    /// By state.
    devices: [i32; 4],
    /// Links that are active or degraded.
    live: i32,
    /// Links that are down.
    down: i32,
    /// Live links of an hour ago.
    hour_ago: Small,
    /// Mean of its signals, thousandths of dBm.
    signal: Small,
    /// Mean of its noise, likewise.
    noise: Small,
    degrading: i32,
}

impl Judged for Place {
    fn subject(self, _: Option<&Arc<str>>) -> Option<Subject> {
        match self {
            Self::Tenant(_) => None,
            Self::Site(_, site) => Some(Subject::Site(site)),
            Self::Sector(_, sector) => Some(Subject::Sector(sector)),
        }
    }
}

/// The rules that judge a worker's places.
#[derive(Debug)]
pub struct PlaceRules {
    book: Book<Place>,
    /// Places of which something is known, and sectors that are told of before their devices. At which site the devices of a
    /// sector stand says its standing: whoever tells of it does so anew when a sector without devices gets some.
    places: BTreeMap<Place, Now>,
    /// How many rules a sector has of its own. All others of a site share a standing.
    own: Map<(TenantId, SectorId), u32>,
    /// Received and sent of places that a rule compares with an hour ago, at the newest ticks.
    throughput: BTreeMap<Place, VecDeque<Rate>>,
    now: Timestamp,
}

impl Default for PlaceRules {
    fn default() -> Self {
        Self {
            book: Book::new(|rule| !rule.kind.by_polls()),
            places: BTreeMap::new(),
            own: Map::default(),
            throughput: BTreeMap::new(),
            now: Timestamp::default(),
        }
    }
}

impl Now {
    /// Nothing is known of it.
    const fn new(standing: u32) -> Self {
        Self {
            throughput: Rate::NONE,
            standing,
            devices: [0; 4],
            live: 0,
            down: 0,
            hour_ago: Small::NONE,
            signal: Small::NONE,
            noise: Small::NONE,
            degrading: 0,
        }
    }

    fn devices(&self, state: DeviceState) -> i64 {
        i64::from(self.devices[state as usize])
    }

    fn health(&self) -> HealthState {
        health_of(&Counts {
            devices: self.devices.map(i64::from),
            ..Counts::default()
        })
    }

    fn has_devices(&self) -> bool {
        self.devices.iter().any(|n| *n > 0)
    }

    /// Whether nothing is known of it.
    fn is_nothing(&self) -> bool {
        let means = [self.hour_ago, self.signal, self.noise];
        !self.has_devices()
            && means == [Small::NONE; 3]
            && (self.throughput, self.degrading) == (Rate::NONE, 0)
    }

    fn take(&mut self, fact: PlaceFact) {
        match fact {
            PlaceFact::Counts(counts) => {
                let Counts { devices, links, .. } = counts.unwrap_or_default();
                let links = |state: LinkState| links[state as usize];
                self.devices = devices.map(narrow);
                self.live = narrow(links(LinkState::Active) + links(LinkState::Degraded));
                self.down = narrow(links(LinkState::Down));
            }
            PlaceFact::HourAgo(links) => self.hour_ago = links.into(),
            PlaceFact::Signals(signals) => {
                self.signal = signals.and_then(|s| mean(s.sum_dbm, s.clients)).into();
            }
            PlaceFact::Air(air) => {
                let counted = air.filter(|air| air.interfaces > 0);
                let both = counted.map(|air| air.rx_bps.saturating_add(air.tx_bps));
                self.throughput = both.into();
                self.noise = air.and_then(|a| mean(a.noise_sum_dbm, a.radios)).into();
            }
            PlaceFact::Degrading(clients) => self.degrading = narrow(clients),
        }
    }
}

/// The values of a place at a tick.
struct PlaceValues<'a> {
    now: &'a Now,
    /// Received and sent of an hour ago.
    before: Option<i64>,
}

/// What is gone of what was, percent.
fn drop(before: i64, now: i64) -> Option<i64> {
    percent(i128::from(before) - i128::from(now), i128::from(before))
}

impl Values for PlaceValues<'_> {
    fn value(&self, kind: RuleKind) -> Option<i64> {
        let now = self.now;
        let health = now.health();
        let known = |n: i64| (health != HealthState::Unknown).then(|| n.saturating_mul(1_000));
        match kind {
            RuleKind::DeviceOfflinePercent => {
                let offline = now.devices(DeviceState::Offline);
                let answers =
                    [DeviceState::Online, DeviceState::Unmanageable].map(|s| now.devices(s));
                let observed = answers.iter().sum::<i64>() + offline;
                percent(i128::from(offline), i128::from(observed))
            }
            RuleKind::DeviceOfflineCount => known(now.devices(DeviceState::Offline)),
            RuleKind::SectorSignalAvg => now.signal.get(),
            RuleKind::SectorClientDrop => {
                known(0).and(drop(now.hour_ago.get()?, i64::from(now.live)))
            }
            RuleKind::SignalDegradation => known(i64::from(now.degrading)),
            RuleKind::LinkDownCount => known(i64::from(now.down)),
            // While we don't look, one that was off before must not stand for all that we don't see.
            RuleKind::SiteDown => {
                let down = health == HealthState::Down;
                let blind = down && now.devices(DeviceState::Unobserved) > 0;
                if blind { None } else { known(i64::from(down)) }
            }
            RuleKind::NoiseFloor => now.noise.get(),
            RuleKind::ThroughputDrop => drop(self.before?, now.throughput.get()?),
            _ => None,
        }
    }
}

impl PlaceRules {
    /// Takes the rules and the records of a checkpoint in, as of the end of slot `epoch`. What is so of places comes by
    /// [`PlaceRules::begin`].
    pub fn restore(
        &mut self,
        epoch: Epoch,
        rules: &[Arc<Rule>],
        judged: &[JudgedRecord],
        throughput: Vec<ThroughputRecord>,
    ) {
        self.now = epoch.end();
        for rule in rules {
            if self.book.registry.takes(rule) {
                self.owned((rule.tenant_id, rule.scope), true);
                self.book.registry.put(rule.clone());
            }
        }
        let registry = &self.book.registry;
        for record in judged {
            let rule = registry.number(record.rule_id);
            let Some(rule) = rule.and_then(|number| registry.rule(number)) else {
                continue;
            };
            if let Some(place) = place_of(rule.tenant_id, &record.subject) {
                self.book.tracker.restore(registry, place, record);
            }
        }
        let ticks = throughput.into_iter();
        self.throughput = ticks
            .map(|record| {
                let ticks = record.ticks.into_iter().map(Rate::from);
                (record.place, ticks.collect())
            })
            .collect();
    }

    /// What is so of restored places.
    pub fn begin(
        &mut self,
        control: &[RuleControl],
        facts: impl IntoIterator<Item = (Place, PlaceFact)>,
    ) {
        let none = &mut Vec::new();
        for change in control {
            self.control(change, self.now, none);
        }
        self.take(facts);
    }

    /// One slot: what control says at its begin, and what is so of places at its end.
    pub fn slot(
        &mut self,
        epoch: Epoch,
        control: &[RuleControl],
        facts: impl IntoIterator<Item = (Place, PlaceFact)>,
        out: &mut Vec<RuleChange>,
    ) {
        self.now = epoch.end();
        for change in control {
            self.control(change, self.now - SLOT, out);
        }
        for place in self.take(facts) {
            let now = self.places.get(&place);
            if !now.is_some_and(Now::has_devices) {
                self.book.gone(place, self.now, out);
            }
            if now.is_some_and(Now::is_nothing) {
                self.places.remove(&place);
            }
        }
        if self.book.registry.is_littered() {
            let in_use = self.places.values().map(|now| now.standing);
            self.book.registry.sweep(in_use);
        }
        self.forget_throughput();
        if self.now.0.rem_euclid(TICK.0) == 0 {
            self.judge(out);
        }
    }

    fn control(&mut self, control: &RuleControl, at: Timestamp, out: &mut Vec<RuleChange>) {
        match control {
            RuleControl::Put(rule) => {
                let takes = self.book.registry.takes(rule);
                let new = takes.then_some((rule.tenant_id, rule.scope));
                self.restand(self.scope(rule.id), new);
                let places = &self.places;
                let standing = |place| places.get(&place).map(|now| now.standing);
                self.book.put(rule, at, standing, out);
            }
            RuleControl::Deleted(id) => {
                self.restand(self.scope(*id), None);
                self.book.delete(*id, at, out);
            }
            RuleControl::Resolved(tenant, alert) => self.book.resolve((*tenant, *alert), at, out),
            RuleControl::Sector {
                tenant,
                sector,
                site,
            } => {
                let place = Place::Sector(*tenant, *sector);
                let standing = self.stand(place, Some(*site));
                match self.places.get_mut(&place) {
                    Some(now) => {
                        now.standing = standing;
                        self.book.moved(place, standing, at, out);
                    }
                    None => {
                        self.places.insert(place, Now::new(standing));
                    }
                }
            }
        }
    }

    /// The scope of a rule.
    fn scope(&self, rule: RuleId) -> Option<(TenantId, Scope)> {
        let registry = &self.book.registry;
        let rule = registry.rule(registry.number(rule)?)?;
        Some((rule.tenant_id, rule.scope))
    }

    /// The number of the standing of a place; `at` is where a sector's devices stand.
    fn stand(&mut self, place: Place, at: Option<SiteId>) -> u32 {
        let (subject, site, sector) = match place {
            Place::Tenant(_) => (RuleSubject::Device, None, None),
            Place::Site(_, site) => (RuleSubject::Site, Some(site), None),
            Place::Sector(tenant, sector) => {
                let own = self.own.contains_key(&(tenant, sector));
                (RuleSubject::Sector, at, own.then_some(sector))
            }
        };
        let stand = Stand::new(place.tenant(), subject).at(site, sector);
        self.book.registry.stand(&stand)
    }

    fn owned(&mut self, (tenant, scope): (TenantId, Scope), more: bool) {
        let Scope::Sector(sector) = scope else { return };
        let n = self.own.entry((tenant, sector)).or_default();
        *n = if more { *n + 1 } else { n.saturating_sub(1) };
        if *n == 0 {
            self.own.remove(&(tenant, sector));
        }
    }

    /// A rule is no longer of the old scope, but of the new one: sectors get, or lose, a standing of their own.
    fn restand(&mut self, old: Option<(TenantId, Scope)>, new: Option<(TenantId, Scope)>) {
        for (scope, more) in [(new, true), (old, false)] {
            if let Some(scope) = scope {
                self.owned(scope, more);
            }
        }
        for (tenant, scope) in [old, new].into_iter().flatten() {
            let Scope::Sector(sector) = scope else {
                continue;
            };
            let place = Place::Sector(tenant, sector);
            let Some(before) = self.places.get(&place).map(|now| now.standing) else {
                continue;
            };
            let stand = self.book.registry.standing(before);
            let standing = self.stand(place, stand.and_then(|stand| stand.site));
            if let Some(now) = self.places.get_mut(&place) {
                now.standing = standing;
            }
        }
    }

    /// Takes facts in. Returns the places.
    fn take(&mut self, facts: impl IntoIterator<Item = (Place, PlaceFact)>) -> BTreeSet<Place> {
        let mut taken = BTreeSet::new();
        for (place, fact) in facts {
            if matches!(place, Place::Tenant(_)) {
                continue;
            }
            if !self.places.contains_key(&place) {
                let standing = self.stand(place, None);
                self.places.insert(place, Now::new(standing));
            }
            if let Some(now) = self.places.get_mut(&place) {
                now.take(fact);
            }
            taken.insert(place);
        }
        taken
    }

    /// Whether a rule compares the traffic of a place with an hour ago.
    fn compares(&mut self, place: &Place) -> bool {
        let now = self.places.get(place).filter(|now| now.has_devices());
        let standing = now.map(|now| now.standing);
        standing.is_some_and(|n| self.book.registry.set(n).has(RuleKind::ThroughputDrop))
    }

    fn forget_throughput(&mut self) {
        let mut all = std::mem::take(&mut self.throughput);
        all.retain(|place, _| self.compares(place));
        self.throughput = all;
    }

    /// Judges all places by what is so now.
    fn judge(&mut self, out: &mut Vec<RuleChange>) {
        if self.book.registry.is_empty() {
            return;
        }
        let (at, book) = (self.now, &mut self.book);
        for (place, now) in self.places.iter().filter(|(_, now)| now.has_devices()) {
            let set = book.registry.set(now.standing);
            if set.is_empty() {
                continue;
            }
            let before = set.has(RuleKind::ThroughputDrop).then(|| {
                let hour = || VecDeque::with_capacity(HOUR);
                let ticks = self.throughput.entry(*place).or_insert_with(hour);
                let whole = ticks.len() == HOUR;
                let before = if whole { ticks.pop_front() } else { None };
                ticks.push_back(now.throughput);
                before.and_then(Rate::get)
            });
            let before = before.flatten();
            let values = PlaceValues { now, before };
            let tracker = &mut book.tracker;
            tracker.judge(&book.registry, &set, (*place, at), &values, out);
        }
    }

    /// The next tick, while a rule judges places.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let next = self.now.0.div_euclid(TICK.0).saturating_add(1);
        let known = || self.places.values().any(|now| !now.is_nothing());
        let judges = !self.book.registry.is_empty() && known();
        judges.then(|| Timestamp(next.saturating_mul(TICK.0)))
    }

    /// What a checkpoint holds of what is counted, with key groups.
    pub fn records(&self) -> Vec<(u8, JudgedRecord)> {
        let records = self.book.tracker.records(&self.book.registry).into_iter();
        let mut all: Vec<_> = records
            .map(|(place, record)| (key_group(place.id().0.as_bytes()), record))
            .collect();
        all.sort_by_key(|(group, _)| *group);
        all
    }

    /// What a checkpoint holds of traffic, with key groups.
    pub fn throughput(&self) -> Vec<(u8, ThroughputRecord)> {
        let record = |(place, ticks): (&Place, &VecDeque<Rate>)| {
            let record = ThroughputRecord {
                place: *place,
                ticks: ticks.iter().map(|rate| rate.get()).collect(),
            };
            (key_group(place.id().0.as_bytes()), record)
        };
        let mut all: Vec<_> = self.throughput.iter().map(record).collect();
        all.sort_by_key(|(group, _)| *group);
        all
    }
}

/// The place that is a subject.
fn place_of(tenant: TenantId, subject: &Subject) -> Option<Place> {
    match subject {
        Subject::Site(site) => Some(Place::Site(tenant, *site)),
        Subject::Sector(sector) => Some(Place::Sector(tenant, *sector)),
        Subject::Device(_) | Subject::Interface(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;

    /// A tenant of two sites with 500 sectors each, 50 rules for all of them, and a slot that ends at a tick.
    struct World {
        rules: PlaceRules,
        tenant: TenantId,
        sites: [SiteId; 2],
        sectors: Vec<SectorId>,
        minute: u64,
    }

    impl World {
        fn new() -> Self {
            let tenant = rule(RuleKind::LinkDownCount).tenant_id;
            let mut world = Self {
                rules: PlaceRules::default(),
                tenant,
                sites: [SiteId::new(), SiteId::new()],
                sectors: (0..1_000).map(|_| SectorId::new()).collect(),
                minute: 0,
            };
            let sectors = world.sectors.iter().enumerate();
            let mut control: Vec<_> = sectors
                .map(|(n, sector)| RuleControl::Sector {
                    tenant,
                    sector: *sector,
                    site: world.sites[n % 2],
                })
                .collect();
            control.extend((0..50).map(|_| put(&world.rule(Scope::Tenant))));
            let facts = world.facts(Some(Counts {
                devices: [1, 0, 0, 0],
                ..Counts::default()
            }));
            world.tick(&control, facts);
            world
        }

        fn rule(&self, scope: Scope) -> Rule {
            Rule {
                scope,
                subject: RuleSubject::Sector,
                ..rule(RuleKind::LinkDownCount)
            }
        }

        fn facts(&self, counts: Option<Counts>) -> Vec<(Place, PlaceFact)> {
            let fact = PlaceFact::Counts(counts);
            let sectors = self.sectors.iter();
            sectors
                .map(|sector| (Place::Sector(self.tenant, *sector), fact))
                .collect()
        }

        /// Numbers of standings and of sets after a slot.
        fn tick(
            &mut self,
            control: &[RuleControl],
            facts: Vec<(Place, PlaceFact)>,
        ) -> (usize, usize) {
            self.minute += 1;
            let slot = Epoch(self.minute * 240);
            self.rules.slot(slot, control, facts, &mut Vec::new());
            self.rules.book.registry.in_use()
        }
    }

    fn put(rule: &Rule) -> RuleControl {
        RuleControl::Put(Arc::new(rule.clone()))
    }

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!(size_of::<Now>(), 56);
    }

    #[test]
    fn sectors_without_rules_of_their_own_share_standings_and_sets() {
        let mut world = World::new();
        // One standing for each site.
        assert_eq!(world.tick(&[], Vec::new()), (2, 1));
        let mut own = world.rule(Scope::Sector(world.sectors[7]));
        let two = [put(&own), put(&world.rule(Scope::Site(world.sites[0])))];
        assert_eq!(world.tick(&two, Vec::new()), (3, 3));
        let standing = |world: &World, n: usize| {
            let place = Place::Sector(world.tenant, world.sectors[n]);
            let now = world.rules.places.get(&place)?;
            world.rules.book.registry.standing(now.standing).cloned()
        };
        let site = |world: &World, n: usize| standing(world, n).and_then(|stand| stand.site);
        let sector = |world: &World, n: usize| standing(world, n).and_then(|stand| stand.sector);
        assert_eq!(site(&world, 7), Some(world.sites[1]));
        assert_eq!(sector(&world, 7), Some(world.sectors[7]));
        assert_eq!(sector(&world, 9), None);
        // Another sector's now.
        own.scope = Scope::Sector(world.sectors[9]);
        world.tick(&[put(&own)], Vec::new());
        assert_eq!(sector(&world, 7), None);
        assert_eq!(sector(&world, 9), Some(world.sectors[9]));
        assert_eq!(site(&world, 9), Some(world.sites[1]));
        world.tick(&[RuleControl::Deleted(own.id)], Vec::new());
        assert_eq!(sector(&world, 9), None);
        assert!(world.rules.own.is_empty());
        assert_eq!(world.rules.book.registry.in_use().1, 2);
    }

    #[test]
    fn a_sector_without_devices_is_forgotten() {
        let mut world = World::new();
        let facts = world.facts(None);
        world.tick(&[], facts);
        assert!(world.rules.places.is_empty());
        assert_eq!(world.rules.next_timer(), None);
        // One that is told of before it has any: where it is is not forgotten.
        let (place, site) = (
            Place::Sector(world.tenant, world.sectors[0]),
            world.sites[0],
        );
        let told = RuleControl::Sector {
            tenant: world.tenant,
            sector: world.sectors[0],
            site,
        };
        world.tick(&[told], Vec::new());
        assert_eq!(world.rules.next_timer(), None);
        let up = Counts {
            devices: [1, 0, 0, 0],
            ..Counts::default()
        };
        world.tick(&[], vec![(place, PlaceFact::Counts(Some(up)))]);
        assert!(world.rules.next_timer().is_some());
        let now = world.rules.places.get(&place);
        let stand = now.and_then(|now| world.rules.book.registry.standing(now.standing));
        assert_eq!(stand.and_then(|stand| stand.site), Some(site));
    }

    #[test]
    fn sectors_that_move_between_sites_leave_no_standings_behind() {
        let mut world = World::new();
        for _ in 0..5 {
            let sectors = world.sectors.iter();
            let control: Vec<_> = sectors
                .map(|sector| RuleControl::Sector {
                    tenant: world.tenant,
                    sector: *sector,
                    site: SiteId::new(),
                })
                .collect();
            let (standings, sets) = world.tick(&control, Vec::new());
            assert!(standings <= 4_000, "{standings}");
            assert_eq!(sets, 1);
        }
    }

    #[test]
    fn narrow_numbers_say_what_wide_ones_do() {
        for n in [None, Some(0), Some(-95_500), Some(i64::from(i32::MAX))] {
            assert_eq!(Small::from(n).get(), n);
        }
        assert_eq!(
            Small::from(Some(i64::MIN)).get(),
            Some(-i64::from(i32::MAX))
        );
        for bps in [None, Some(0), Some(i64::MAX)] {
            assert_eq!(Rate::from(bps).get(), bps);
        }
    }
}
