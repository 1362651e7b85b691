//! The health of places (§9): their states, their past and their history.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::{HealthRecord, StandingRecord};
use mast_schemas::time::Span;
use mast_schemas::views::{
    Counts, DeviceState, Health, HealthEvent, HealthSample, HealthState, LinkState, PLACE_TICK,
    PastClients, Place, health_event_id,
};
use mast_schemas::{Epoch, SiteId, TenantId, Timestamp};

use crate::oracle::Oracle;
use crate::rules::RULE_TICK;
use crate::views::{Seen, places_of};

/// A place that has a device.
#[derive(Clone, Debug)]
pub(crate) struct PlaceNow {
    pub(crate) health: Health,
    /// Live links at every tick and at every whole hour, oldest first.
    ticks: Vec<u32>,
    hours: Vec<u32>,
}

/// Of these devices, each by its state.
pub(crate) fn state_of(counts: &Counts) -> HealthState {
    let of = |state: DeviceState| counts.devices[state as usize] > 0;
    let observed = of(DeviceState::Online) || of(DeviceState::Unmanageable);
    if of(DeviceState::Offline) && !observed {
        HealthState::Down
    } else if of(DeviceState::Offline) || of(DeviceState::Unmanageable) {
        HealthState::Degraded
    } else if of(DeviceState::Online) {
        HealthState::Up
    } else {
        HealthState::Unknown
    }
}

/// Whom windows that are open cover: all of a tenant, or a site of it.
pub(crate) type Maintained = BTreeSet<(TenantId, Option<SiteId>)>;

impl PlaceNow {
    pub(crate) fn past(&self) -> PastClients {
        let back = |all: &[u32], n: usize| all.iter().rev().nth(n).map(|n| i64::from(*n));
        PastClients {
            hour_ago: back(&self.ticks, 60 / 5),
            week_ago: back(&self.hours, 7 * 24),
        }
    }

    pub(crate) fn record(&self, place: Place) -> HealthRecord {
        let newest = |all: &[u32], n: usize| all[all.len().saturating_sub(n)..].to_vec();
        HealthRecord {
            place,
            health: self.health,
            ticks: newest(&self.ticks, 60 / 5 + 1),
            hours: newest(&self.hours, 7 * 24 + 1),
        }
    }

    pub(crate) fn restored(record: HealthRecord) -> Self {
        Self {
            health: record.health,
            ticks: record.ticks,
            hours: record.hours,
        }
    }
}

impl Oracle {
    /// Ends the slots after `first` up to `last`: timers of each, and what places are at its end.
    pub(crate) fn later_slots(&mut self, first: Epoch, last: Epoch) {
        let mut done = first;
        loop {
            let after = done.end();
            let dues = [
                (!self.places.is_empty()).then(|| next_tick(after, PLACE_TICK)),
                self.places_due.filter(|_| !self.places.is_empty()),
                (self.follows_places && self.has_place_rules())
                    .then(|| next_tick(after, RULE_TICK)),
                self.timers.first().map(|(due, _)| *due),
                self.next_trends_day(after),
                self.incidents_due,
            ];
            let next = dues.into_iter().flatten().min().map(slot_of);
            let Some(next) = next
                .map(|next| next.max(done.next()))
                .filter(|next| *next <= last)
            else {
                return;
            };
            self.end = next.end();
            self.fire_until(next.end());
            self.close(next);
            done = next;
        }
    }

    /// What places are at the end of a slot.
    pub(crate) fn places_at(&mut self, slot: Epoch) {
        let at = slot.end();
        if !self.follows_places {
            return;
        }
        let tick = at.0 % PLACE_TICK.0 == 0;
        let mut moved = BTreeSet::new();
        let due = self.places_due.is_some_and(|due| due <= at);
        if std::mem::take(&mut self.places_touched) || due {
            moved = self.new_states(at);
            let windows = self.windows.values();
            self.places_due = windows.filter_map(|w| w.next_change(at)).min();
        }
        if !tick && moved.is_empty() {
            return;
        }
        let counts = match self.place_counts.take() {
            Some(counts) => counts,
            None => self.count_places(),
        };
        if tick {
            for (place, now) in &mut self.places {
                let counts = counts.get(place).copied().unwrap_or_default();
                let live = counts.links[LinkState::Active as usize]
                    + counts.links[LinkState::Degraded as usize];
                now.ticks.push(live as u32);
                if at.0 % (3_600 * 1_000_000) == 0 {
                    now.hours.push(live as u32);
                }
                moved.insert(*place);
            }
        }
        self.seen = None;
        let seen = self.seen();
        for place in moved {
            let counts = counts.get(&place).copied().unwrap_or_default();
            let health = self.places.get(&place).map(|now| now.health);
            let sample = sample(&place, at, &counts, health, &seen);
            self.events.history.push(sample);
        }
        self.place_counts = Some(counts);
    }

    /// Sets the states of all places, and says which are other ones.
    fn new_states(&mut self, at: Timestamp) -> BTreeSet<Place> {
        let mut counts: BTreeMap<Place, Counts> = BTreeMap::new();
        for device in self.devices.values() {
            for place in places_of(&device.row) {
                counts.entry(place).or_default().devices[device.state as usize] += 1;
            }
        }
        let standings = self.devices.values().map(|device| &device.row);
        let maintained = maintained(self.maintained(at), standings);
        let all: BTreeSet<Place> = self.places.keys().chain(counts.keys()).copied().collect();
        let mut moved = BTreeSet::new();
        for place in all {
            let before = self.places.get(&place).map(|now| now.health.state);
            let now = counts.get(&place).map(|counts| {
                if maintained.contains(&place) {
                    HealthState::Maintenance
                } else {
                    state_of(counts)
                }
            });
            if before == now {
                continue;
            }
            match now {
                None => drop(self.places.remove(&place)),
                Some(state) => {
                    let health = Health { state, since: at };
                    let new = PlaceNow {
                        health,
                        ticks: Vec::new(),
                        hours: Vec::new(),
                    };
                    self.places.entry(place).or_insert(new).health = health;
                }
            }
            self.events.health.push(HealthEvent {
                event_id: health_event_id(&place, at, before, now),
                tenant_id: place.tenant(),
                place_kind: place.kind(),
                place_id: place.id(),
                at,
                from_state: before,
                to_state: now,
            });
            moved.insert(place);
        }
        moved
    }

    fn maintained(&self, at: Timestamp) -> Maintained {
        let open = self.windows.values().filter(|window| window.is_open(at));
        open.filter_map(|window| window.covers()).collect()
    }

    /// Devices and links of each place by state; links also that a reader no longer sees.
    fn count_places(&self) -> BTreeMap<Place, Counts> {
        let mut counts: BTreeMap<Place, Counts> = BTreeMap::new();
        for device in self.devices.values() {
            let radios = self.aps.get(&device.row.device_id).into_iter().flatten();
            let links: Vec<LinkState> = radios
                .flat_map(|(_, radio)| radio.links.values().map(|link| link.state))
                .collect();
            for place in places_of(&device.row) {
                let counts = counts.entry(place).or_default();
                counts.devices[device.state as usize] += 1;
                for link in &links {
                    counts.links[*link as usize] += 1;
                }
            }
        }
        counts
    }
}

/// The places with devices that these cover.
pub(crate) fn maintained<'a>(
    covered: Maintained,
    standings: impl Iterator<Item = &'a StandingRecord>,
) -> BTreeSet<Place> {
    let (mut places, mut sectors) = (BTreeSet::new(), BTreeMap::new());
    for row in standings {
        let tenant = row.tenant_id;
        if covered.contains(&(tenant, None)) {
            places.extend(places_of(row));
            continue;
        }
        let Some(site) = row.site_id else { continue };
        if covered.contains(&(tenant, Some(site))) {
            places.insert(Place::Site(tenant, site));
        }
        if let Some(sector) = row.sector_id {
            // Of several sites the one with the lowest id.
            let of = sectors.entry((tenant, sector)).or_insert(site);
            *of = site.min(*of);
        }
    }
    for ((tenant, sector), site) in sectors {
        if covered.contains(&(tenant, Some(site))) {
            places.insert(Place::Sector(tenant, sector));
        }
    }
    places
}

fn next_tick(after: Timestamp, width: Span) -> Timestamp {
    Timestamp((after.0 / width.0 + 1) * width.0)
}

/// The slot at whose end an instant is due.
fn slot_of(due: Timestamp) -> Epoch {
    Epoch::of(Timestamp(due.0.max(1) - 1))
}

fn sample(
    place: &Place,
    at: Timestamp,
    counts: &Counts,
    health: Option<Health>,
    seen: &Seen,
) -> HealthSample {
    let [online, offline, unmanageable, unobserved] = counts.devices.map(|n| n as u32);
    let [discovered, active, degraded, down, _] = counts.links.map(|n| n as u32);
    let signals = seen.views.signals.get(place).copied().unwrap_or_default();
    let air = seen.views.air.get(place).copied().unwrap_or_default();
    let degrading = seen.degrading.get(place).copied().unwrap_or(0);
    let known = |n: i64, value: i64| (n > 0).then_some(value);
    HealthSample {
        tenant_id: place.tenant(),
        place_kind: place.kind(),
        place_id: place.id(),
        at,
        state: health.map(|h| h.state),
        since: health.map_or(at, |h| h.since),
        devices_online: online,
        devices_offline: offline,
        devices_unmanageable: unmanageable,
        devices_unobserved: unobserved,
        links_discovered: discovered,
        links_active: active,
        links_degraded: degraded,
        links_down: down,
        signal_clients: Some(signals.clients as u32),
        signal_sum_dbm: known(signals.clients, signals.sum_dbm),
        signal_p10_dbm: signals.p10_dbm,
        signal_worst_dbm: signals.worst_dbm,
        clients_degrading: Some(degrading as u32),
        noise_radios: Some(air.radios as u32),
        noise_sum_dbm: known(air.radios, air.noise_sum_dbm),
        noise_worst_dbm: air.noise_worst_dbm,
        rx_bps: known(air.interfaces, air.rx_bps),
        tx_bps: known(air.interfaces, air.tx_bps),
    }
}
