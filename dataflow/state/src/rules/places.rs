//! Rules of sites and sectors: judged at the end of each slot that ends at a whole minute, by what views say then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mast_schemas::alerts::{RuleKind, RuleSubject, Subject};
use mast_schemas::checkpoint::{JudgedRecord, ThroughputRecord};
use mast_schemas::control::Rule;
use mast_schemas::partition::key_group;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{Counts, DeviceState, HealthState, LinkState, Place, PlaceAir, Signals};
use mast_schemas::{Epoch, SectorId, SiteId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::registry::Stand;
use super::tracker::{Judged, Values};
use super::values::{mean, percent};
use crate::compact::Map;
use crate::health::{Sums, health_of};
use crate::messages::{RuleChange, RuleControl};
use crate::place::SmallCounts;

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

/// A place as it is.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    standing: u32,
    counts: SmallCounts,
    hour_ago: Option<i64>,
    sums: Sums,
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
    /// Boxed: they are large, and the map has places to spare.
    places: BTreeMap<Place, Box<Now>>,
    /// Of sectors: the site at which their devices stand.
    sites: Map<(TenantId, SectorId), SiteId>,
    /// Received and sent of places that a rule compares with an hour ago, at the newest ticks.
    throughput: BTreeMap<Place, VecDeque<Option<i64>>>,
    now: Timestamp,
}

impl Default for PlaceRules {
    fn default() -> Self {
        Self {
            book: Book::new(|rule| !rule.kind.by_polls()),
            places: BTreeMap::new(),
            sites: Map::default(),
            throughput: BTreeMap::new(),
            now: Timestamp::default(),
        }
    }
}

impl Now {
    fn counts(&self) -> Counts {
        self.counts.into()
    }

    fn devices(&self, state: DeviceState) -> i64 {
        self.counts().devices[state as usize]
    }

    fn has_devices(&self) -> bool {
        self.counts().devices.iter().any(|n| *n > 0)
    }

    /// Whether nothing is known of it.
    fn is_nothing(&self) -> bool {
        !self.has_devices() && (self.hour_ago, self.sums) == (None, Sums::default())
    }

    fn take(&mut self, fact: PlaceFact) {
        match fact {
            PlaceFact::Counts(counts) => self.counts = counts.unwrap_or_default().into(),
            PlaceFact::HourAgo(links) => self.hour_ago = links,
            sum => self.sums.take(sum),
        }
    }

    /// Received and sent, bits a second.
    fn throughput(&self) -> Option<i64> {
        let air = self.sums.air.filter(|air| air.interfaces > 0)?;
        Some(air.rx_bps.saturating_add(air.tx_bps))
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
        let counts = now.counts();
        let health = health_of(&counts);
        let known = |n: i64| (health != HealthState::Unknown).then(|| n.saturating_mul(1_000));
        let links = |state: LinkState| counts.links[state as usize];
        match kind {
            RuleKind::DeviceOfflinePercent => {
                let offline = now.devices(DeviceState::Offline);
                let answers =
                    [DeviceState::Online, DeviceState::Unmanageable].map(|s| now.devices(s));
                let observed = answers.iter().sum::<i64>() + offline;
                percent(i128::from(offline), i128::from(observed))
            }
            RuleKind::DeviceOfflineCount => known(now.devices(DeviceState::Offline)),
            RuleKind::SectorSignalAvg => now.sums.signals.and_then(|s| mean(s.sum_dbm, s.clients)),
            RuleKind::SectorClientDrop => {
                let live = links(LinkState::Active) + links(LinkState::Degraded);
                known(0).and(drop(now.hour_ago?, live))
            }
            RuleKind::SignalDegradation => known(now.sums.degrading),
            RuleKind::LinkDownCount => known(links(LinkState::Down)),
            // While we don't look, one that was off before must not stand for all that we don't see.
            RuleKind::SiteDown => {
                let down = health == HealthState::Down;
                let blind = down && now.devices(DeviceState::Unobserved) > 0;
                if blind { None } else { known(i64::from(down)) }
            }
            RuleKind::NoiseFloor => now
                .sums
                .air
                .and_then(|air| mean(air.noise_sum_dbm, air.radios)),
            RuleKind::ThroughputDrop => drop(self.before?, now.throughput()?),
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
        let registry = &mut self.book.registry;
        for rule in rules {
            if registry.takes(rule) {
                registry.put(rule.clone());
            }
        }
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
            .map(|record| (record.place, record.ticks.into()))
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
            if !now.is_some_and(|now| now.has_devices()) {
                self.book.gone(place, self.now, out);
            }
            if now.is_some_and(|now| now.is_nothing()) {
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
                let places = &self.places;
                let standing = |place| places.get(&place).map(|now| now.standing);
                self.book.put(rule, at, standing, out);
            }
            RuleControl::Deleted(id) => self.book.delete(*id, at, out),
            RuleControl::Resolved(tenant, alert) => self.book.resolve((*tenant, *alert), at, out),
            RuleControl::Sector {
                tenant,
                sector,
                site,
            } => {
                self.sites.insert((*tenant, *sector), *site);
                let place = Place::Sector(*tenant, *sector);
                let standing = self.stand(place);
                if let Some(now) = self.places.get_mut(&place) {
                    now.standing = standing;
                    self.book.moved(place, standing, at, out);
                }
            }
        }
    }

    fn stand(&mut self, place: Place) -> u32 {
        let (subject, site, sector) = match place {
            Place::Tenant(_) => (RuleSubject::Device, None, None),
            Place::Site(_, site) => (RuleSubject::Site, Some(site), None),
            Place::Sector(tenant, sector) => {
                let site = self.sites.get(&(tenant, sector)).copied();
                (RuleSubject::Sector, site, Some(sector))
            }
        };
        self.book.registry.stand(Stand {
            tenant: place.tenant(),
            subject,
            site,
            sector,
            groups: Arc::default(),
            tags: Arc::default(),
            device: None,
        })
    }

    /// Takes facts in. Returns the places.
    fn take(&mut self, facts: impl IntoIterator<Item = (Place, PlaceFact)>) -> BTreeSet<Place> {
        let mut taken = BTreeSet::new();
        for (place, fact) in facts {
            if matches!(place, Place::Tenant(_)) {
                continue;
            }
            if !self.places.contains_key(&place) {
                let standing = self.stand(place);
                let now = Now {
                    standing,
                    ..Now::default()
                };
                self.places.insert(place, Box::new(now));
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
                let ticks = self.throughput.entry(*place).or_default();
                let whole = ticks.len() == HOUR;
                let before = if whole { ticks.pop_front() } else { None };
                ticks.push_back(now.throughput());
                before.flatten()
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
        let judges = !self.book.registry.is_empty() && !self.places.is_empty();
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
        let record = |(place, ticks): (&Place, &VecDeque<Option<i64>>)| {
            let record = ThroughputRecord {
                place: *place,
                ticks: ticks.iter().copied().collect(),
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
    use super::*;

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!(size_of::<Now>(), 144);
    }
}
