//! The health of places (§9): state by what their devices are and by maintenance, and live links of the past.
//!
//! A place is stepped when its counts change, when a window that may cover it opens or closes, and at each tick; all are slot
//! ends, so nothing here depends on how a slot's changes were ordered. The trap avoided: samples with times of their own.
//! Every place is sampled at every tick while it is there, so where a sample stands tells when it was.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::HealthRecord;
use mast_schemas::partition::key_group;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{
    Counts, DeviceState, Health, HealthEvent, HealthSample, HealthState, LinkState, PLACE_TICK,
    PastClients, Place, PlaceAir, Signals, health_event_id,
};
use mast_schemas::{Epoch, SectorId, SiteId, TenantId, Timestamp};

use crate::maintenance::Maintenance;
use crate::messages::PlaceControl;
use crate::place::{Samples, SmallCounts};
use crate::rules::PlaceFact;

/// Ticks of an hour.
const HOUR: usize = 12;
/// Hours of seven days.
const WEEK: usize = 7 * 24;

/// Everything the step emits in one slot.
#[derive(Debug, Default)]
pub struct HealthOut {
    /// Places whose health changed; `None` = it has no device any more.
    pub views: Vec<(Place, Option<Health>)>,
    /// Transitions.
    pub events: Vec<HealthEvent>,
    /// Places whose past changed; `None` as above.
    pub past: Vec<(Place, Option<PastClients>)>,
    /// Rows of history.
    pub history: Vec<HealthSample>,
}

/// A place that has a device: 120 bytes, and some 200 for a week.
#[derive(Debug)]
struct Entry {
    counts: SmallCounts,
    health: Health,
    /// Live links at the newest ticks, at most one more than an hour has.
    ticks: Samples,
    /// Live links at the newest whole hours, at most one more than a week has.
    hours: Samples,
}

/// The places of a worker.
#[derive(Debug, Default)]
pub struct Places {
    /// Boxed, as what is below: they are large, and the map has places to spare.
    places: BTreeMap<Place, Box<Entry>>,
    /// Of places that have one.
    sums: BTreeMap<Place, Box<Sums>>,
    maintenance: Maintenance,
    /// Restored places that windows say something else of than their records: told in the next slot.
    stirred: BTreeSet<Place>,
    /// Restored places whose counts have not come yet.
    restored: BTreeMap<Place, HealthRecord>,
    /// End of the last slot.
    now: Timestamp,
}

/// The state that these counts make by themselves: rules go by it, maintenance or not.
pub(crate) fn health_of(counts: &Counts) -> HealthState {
    let n = |state: DeviceState| counts.devices[state as usize];
    let (online, unmanageable) = (n(DeviceState::Online), n(DeviceState::Unmanageable));
    match n(DeviceState::Offline) {
        0 if online + unmanageable == 0 => HealthState::Unknown,
        0 if unmanageable == 0 => HealthState::Up,
        // What refuses us answers: its place has power.
        1.. if online + unmanageable == 0 => HealthState::Down,
        _ => HealthState::Degraded,
    }
}

/// The state of a place with these counts.
fn state_of(maintenance: &Maintenance, place: &Place, counts: &Counts) -> HealthState {
    if maintenance.covers(place) {
        HealthState::Maintenance
    } else {
        health_of(counts)
    }
}

fn small(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

impl Entry {
    fn live(&self) -> u32 {
        let links = Counts::from(self.counts).links;
        let n = |state: LinkState| links[state as usize];
        small(n(LinkState::Active) + n(LinkState::Degraded))
    }

    fn sample(&mut self, at: Timestamp) {
        let live = self.live();
        self.ticks.push(live, HOUR + 1);
        if at.0.rem_euclid(Span::hours(1).0) == 0 {
            self.hours.push(live, WEEK + 1);
        }
    }

    fn past(&self) -> PastClients {
        PastClients {
            hour_ago: self.ticks.ago(HOUR).map(i64::from),
            week_ago: self.hours.ago(WEEK).map(i64::from),
        }
    }
}

/// What else is so of a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) signals: Option<Signals>,
    pub(crate) air: Option<PlaceAir>,
    /// Clients whose signal degrades.
    pub(crate) degrading: i64,
}

impl Sums {
    /// Takes what is a sum.
    pub(crate) const fn take(&mut self, fact: PlaceFact) {
        match fact {
            PlaceFact::Signals(signals) => self.signals = signals,
            PlaceFact::Air(air) => self.air = air,
            PlaceFact::Degrading(clients) => self.degrading = clients,
            PlaceFact::Counts(_) | PlaceFact::HourAgo(_) => {}
        }
    }
}

fn row(
    place: &Place,
    at: Timestamp,
    counts: &Counts,
    health: Option<Health>,
    sums: Sums,
) -> HealthSample {
    let device = |state: DeviceState| small(counts.devices[state as usize]);
    let link = |state: LinkState| small(counts.links[state as usize]);
    let (signals, air) = (
        sums.signals.unwrap_or_default(),
        sums.air.unwrap_or_default(),
    );
    HealthSample {
        tenant_id: place.tenant(),
        place_kind: place.kind(),
        place_id: place.id(),
        at,
        state: health.map(|health| health.state),
        since: health.map_or(at, |health| health.since),
        devices_online: device(DeviceState::Online),
        devices_offline: device(DeviceState::Offline),
        devices_unmanageable: device(DeviceState::Unmanageable),
        devices_unobserved: device(DeviceState::Unobserved),
        links_discovered: link(LinkState::Discovered),
        links_active: link(LinkState::Active),
        links_degraded: link(LinkState::Degraded),
        links_down: link(LinkState::Down),
        signal_clients: Some(small(signals.clients)),
        signal_sum_dbm: (signals.clients > 0).then_some(signals.sum_dbm),
        signal_p10_dbm: signals.p10_dbm,
        signal_worst_dbm: signals.worst_dbm,
        clients_degrading: Some(small(sums.degrading)),
        noise_radios: Some(small(air.radios)),
        noise_sum_dbm: (air.radios > 0).then_some(air.noise_sum_dbm),
        noise_worst_dbm: air.noise_worst_dbm,
        rx_bps: (air.interfaces > 0).then_some(air.rx_bps),
        tx_bps: (air.interfaces > 0).then_some(air.tx_bps),
    }
}

impl Places {
    /// Takes records in, as of the end of slot `epoch`. Their counts come by [`Places::begin`].
    pub fn restore(&mut self, epoch: Epoch, records: Vec<HealthRecord>) {
        self.now = epoch.end();
        self.restored = records.into_iter().map(|r| (r.place, r)).collect();
    }

    /// What is so of restored places. Their past is told again: gauges that were not written yet are lost with a process. All
    /// else was told before.
    pub fn begin(
        &mut self,
        control: impl IntoIterator<Item = PlaceControl>,
        counts: impl IntoIterator<Item = (Place, Option<Counts>)>,
        facts: impl IntoIterator<Item = (Place, PlaceFact)>,
        out: &mut HealthOut,
    ) {
        self.take(facts);
        let control = control.into_iter();
        control.for_each(|said| self.maintenance.apply(said));
        self.maintenance.advance(self.now);
        let (maintenance, restored) = (&self.maintenance, &mut self.restored);
        let places = counts.into_iter().filter_map(|(place, counts)| {
            let counts = counts?;
            let unknown = Health {
                state: state_of(maintenance, &place, &counts),
                since: self.now,
            };
            let record = restored.remove(&place);
            let (health, ticks, hours) = record.map_or_else(
                || (unknown, Vec::new(), Vec::new()),
                |record| (record.health, record.ticks, record.hours),
            );
            if health.state != unknown.state {
                self.stirred.insert(place);
            }
            let (ticks, hours) = (ticks.into(), hours.into());
            let entry = Entry {
                counts: counts.into(),
                health,
                ticks,
                hours,
            };
            Some((place, Box::new(entry)))
        });
        self.places = places.collect();
        self.restored.clear();
        let known = self.places.iter();
        let past = known.map(|(place, entry)| (*place, entry.past()));
        out.past.extend(
            past.filter(|(_, past)| *past != PastClients::default())
                .map(|(place, past)| (place, Some(past))),
        );
    }

    fn take(&mut self, facts: impl IntoIterator<Item = (Place, PlaceFact)>) {
        for (place, fact) in facts {
            let sums = self.sums.entry(place).or_default();
            sums.take(fact);
            if **sums == Sums::default() {
                self.sums.remove(&place);
            }
        }
    }

    /// One slot: what control says at its begin, counts and sums that changed in it; each place as it is at its end.
    pub fn slot(
        &mut self,
        epoch: Epoch,
        control: impl IntoIterator<Item = PlaceControl>,
        mut changes: BTreeMap<Place, Option<Counts>>,
        facts: impl IntoIterator<Item = (Place, PlaceFact)>,
        out: &mut HealthOut,
    ) {
        self.take(facts);
        let at = epoch.end();
        self.now = at;
        let control = control.into_iter();
        control.for_each(|said| self.maintenance.apply(said));
        for place in self.stirred(at) {
            if let Some(entry) = self.places.get(&place) {
                changes.entry(place).or_insert(Some(entry.counts.into()));
            }
        }
        let mut moved = BTreeSet::new();
        for (place, counts) in changes {
            if self.change(place, counts, at, out) {
                moved.insert(place);
            }
        }
        if at.0.rem_euclid(PLACE_TICK.0) == 0 {
            for (place, entry) in &mut self.places {
                let before = entry.past();
                entry.sample(at);
                let past = entry.past();
                if past != before {
                    out.past.push((*place, Some(past)));
                }
            }
            moved.extend(self.places.keys());
        }
        for place in moved {
            let entry = self.places.get(&place);
            let counts = entry.map_or_else(Counts::default, |entry| entry.counts.into());
            let sums = self.sums.get(&place).map(|sums| **sums);
            let sums = sums.unwrap_or_default();
            let health = entry.map(|entry| entry.health);
            out.history.push(row(&place, at, &counts, health, sums));
        }
    }

    /// The places that may be in maintenance now, or no longer.
    fn stirred(&mut self, at: Timestamp) -> BTreeSet<Place> {
        let stirred = self.maintenance.advance(at);
        let mut places = std::mem::take(&mut self.stirred);
        places.extend(stirred.sectors);
        for tenant in stirred.tenants {
            places.extend(self.of_tenant(tenant));
        }
        places
    }

    fn of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = Place> {
        let ([first, last], whole) = ([[0; 16], [0xFF; 16]], Place::Tenant(tenant));
        let site = |id| Place::Site(tenant, SiteId::from_bytes(id));
        let sector = |id| Place::Sector(tenant, SectorId::from_bytes(id));
        let ranges = [
            whole..=whole,
            site(first)..=site(last),
            sector(first)..=sector(last),
        ];
        let places = ranges
            .into_iter()
            .flat_map(|range| self.places.range(range));
        places.map(|(place, _)| *place)
    }

    /// Counts of a place, new or as they were. Whether its state changed.
    fn change(
        &mut self,
        place: Place,
        counts: Option<Counts>,
        at: Timestamp,
        out: &mut HealthOut,
    ) -> bool {
        let before = self.places.get(&place).map(|entry| entry.health.state);
        let state = |counts: &Counts| state_of(&self.maintenance, &place, counts);
        let now = counts.as_ref().map(state);
        let health = now.map(|state| Health { state, since: at });
        match (counts.zip(health), self.places.get_mut(&place)) {
            (Some((counts, _)), Some(entry)) => entry.counts = counts.into(),
            (Some((counts, health)), None) => {
                let entry = Entry {
                    counts: counts.into(),
                    health,
                    ticks: Samples::default(),
                    hours: Samples::default(),
                };
                self.places.insert(place, Box::new(entry));
            }
            (None, Some(entry)) => {
                if entry.past() != PastClients::default() {
                    out.past.push((place, None));
                }
                self.places.remove(&place);
            }
            (None, None) => {}
        }
        if before == now {
            return false;
        }
        if let (Some(health), Some(entry)) = (health, self.places.get_mut(&place)) {
            entry.health = health;
        }
        out.views.push((place, health));
        out.events.push(HealthEvent {
            event_id: health_event_id(&place, at, before, now),
            tenant_id: place.tenant(),
            place_kind: place.kind(),
            place_id: place.id(),
            at,
            from_state: before,
            to_state: now,
        });
        true
    }

    /// The next tick, or the instant at which a window opens or closes, while there is a place.
    pub fn next_timer(&self) -> Option<Timestamp> {
        if self.places.is_empty() {
            return None;
        }
        let next = self.now.0.div_euclid(PLACE_TICK.0).saturating_add(1);
        let tick = Timestamp(next.saturating_mul(PLACE_TICK.0));
        let stirred = (!self.stirred.is_empty()).then(|| self.now + SLOT);
        let others = [self.maintenance.edge(), stirred].into_iter().flatten();
        others.chain([tick]).min()
    }

    /// All records with their key groups, by rising group and place.
    pub fn records(&self) -> Vec<(u8, HealthRecord)> {
        let record = |place: &Place, entry: &Entry| {
            let record = HealthRecord {
                place: *place,
                health: entry.health,
                ticks: entry.ticks.iter().collect(),
                hours: entry.hours.iter().collect(),
            };
            (key_group(place.id().0.as_bytes()), record)
        };
        let mut all: Vec<_> = self
            .places
            .iter()
            .map(|(place, entry)| record(place, entry))
            .collect();
        all.sort_by_key(|(group, record)| (*group, record.place));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::TenantId;

    fn counts(online: i64, offline: i64, unmanageable: i64, unobserved: i64) -> Counts {
        Counts {
            devices: [online, offline, unmanageable, unobserved],
            ..Counts::default()
        }
    }

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!((size_of::<Entry>(), size_of::<Sums>()), (120, 80));
    }

    #[test]
    fn every_mix_of_devices_has_its_state() {
        for (online, offline, unmanageable, unobserved, state) in [
            (0, 0, 0, 3, HealthState::Unknown),
            (1, 0, 0, 0, HealthState::Up),
            (1, 0, 0, 3, HealthState::Up),
            (1, 1, 0, 0, HealthState::Degraded),
            (1, 0, 1, 0, HealthState::Degraded),
            (0, 0, 1, 0, HealthState::Degraded),
            (0, 0, 1, 3, HealthState::Degraded),
            (0, 1, 1, 0, HealthState::Degraded),
            (0, 1, 0, 0, HealthState::Down),
            (0, 2, 0, 3, HealthState::Down),
        ] {
            let counts = counts(online, offline, unmanageable, unobserved);
            assert_eq!(health_of(&counts), state, "{counts:?}");
        }
    }

    #[test]
    fn history_tells_the_sums_that_are_known_at_the_end_of_the_slot() {
        let place = Place::Tenant(TenantId::new());
        let mut places = Places::default();
        let tick = |n: u64| Epoch(n * 1_200);
        let now = BTreeMap::from([(place, Some(counts(1, 0, 0, 0)))]);
        let signals = Signals {
            clients: 2,
            sum_dbm: -131,
            p10_dbm: Some(-70),
            worst_dbm: Some(-70),
        };
        let air = PlaceAir {
            interfaces: 1,
            rx_bps: 7,
            tx_bps: 9,
            radios: 1,
            noise_sum_dbm: -101,
            noise_worst_dbm: Some(-101),
        };
        let facts = [
            (place, PlaceFact::Signals(Some(signals))),
            (place, PlaceFact::Air(Some(air))),
            (place, PlaceFact::Degrading(1)),
        ];
        let mut out = HealthOut::default();
        places.slot(tick(1), [], now, facts, &mut out);
        let row = out.history.pop().unwrap();
        assert_eq!(
            (row.signal_clients, row.signal_sum_dbm, row.signal_p10_dbm),
            (Some(2), Some(-131), Some(-70))
        );
        assert_eq!((row.noise_radios, row.noise_sum_dbm), (Some(1), Some(-101)));
        assert_eq!((row.rx_bps, row.tx_bps), (Some(7), Some(9)));
        assert_eq!(row.clients_degrading, Some(1));

        // What is no longer known is no number.
        let facts = [
            (place, PlaceFact::Signals(None)),
            (place, PlaceFact::Air(None)),
            (place, PlaceFact::Degrading(0)),
        ];
        places.slot(tick(2), [], BTreeMap::new(), facts, &mut out);
        let row = out.history.pop().unwrap();
        assert_eq!((row.signal_clients, row.signal_sum_dbm), (Some(0), None));
        assert_eq!((row.noise_radios, row.noise_sum_dbm), (Some(0), None));
        assert_eq!(
            (row.rx_bps, row.tx_bps, row.clients_degrading),
            (None, None, Some(0))
        );
    }

    /// A week of ticks, live links rising by one at each.
    #[test]
    fn the_past_is_an_hour_and_a_week_old_to_the_tick() {
        let place = Place::Tenant(TenantId::new());
        let mut places = Places::default();
        let mut past = PastClients::default();
        let ticks = 7 * 24 * 12 + 13;
        for n in 1..=ticks {
            let mut now = counts(1, 0, 0, 0);
            now.links[LinkState::Active as usize] = n;
            let mut out = HealthOut::default();
            // The first tick is that of a whole hour.
            let epoch = Epoch((n as u64 + 11) * 1_200);
            let changes = BTreeMap::from([(place, Some(now))]);
            places.slot(epoch, [], changes, [], &mut out);
            if let Some((_, Some(changed))) = out.past.pop() {
                past = changed;
            }
            let week = (n > 7 * 24 * 12).then(|| (n - 1) / 12 * 12 + 1 - 7 * 24 * 12);
            assert_eq!(past.hour_ago, (n > 12).then(|| n - 12), "tick {n}");
            assert_eq!(past.week_ago, week, "tick {n}");
            assert_eq!(out.history.len(), 1, "tick {n}");
        }
        assert_eq!(past.week_ago, Some(13));
        let records = places.records();
        let record = &records[0].1;
        assert_eq!((record.ticks.len(), record.hours.len()), (13, 169));

        // Whoever goes on from them tells it again, and nothing else.
        let mut restored = Places::default();
        let records = records.into_iter().map(|(_, record)| record).collect();
        restored.restore(Epoch((ticks as u64 + 11) * 1_200), records);
        let mut out = HealthOut::default();
        restored.begin([], [(place, Some(counts(1, 0, 0, 0)))], [], &mut out);
        assert_eq!(out.past, [(place, Some(past))]);
        assert!(out.views.is_empty() && out.events.is_empty() && out.history.is_empty());
    }
}
