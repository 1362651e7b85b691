//! What must hold of the views at every slot, whatever the polls were.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control;
use mast_schemas::views::{Counts, HealthState, Place, Signals};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::alert_laws::alert_laws;
use crate::health::{maintained, state_of};
use crate::views::{Views, places_of};
use crate::windows::Window;

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The law, in words.
    pub law: &'static str,
    /// Of what it does not hold.
    pub subject: String,
}

/// All breaches of the laws that can be seen from the rows alone.
pub fn laws(views: &Views) -> Vec<Breach> {
    let mut breaches = Vec::new();
    sums(views, &mut breaches);
    parts(views, &mut breaches);
    one_live_radio(views, &mut breaches);
    ends(views, &mut breaches);
    signals(views, &mut breaches);
    health(views, &mut breaches);
    alert_laws(views, &mut breaches);
    breaches
}

/// Breaches of the sums of every place, with what control says of each device.
pub fn place_laws(views: &Views, standings: &[StandingRecord]) -> Vec<Breach> {
    let standings: BTreeMap<DeviceId, &StandingRecord> =
        standings.iter().map(|row| (row.device_id, row)).collect();
    let places = |device: &DeviceId| {
        let row = standings.get(device);
        row.into_iter().flat_map(|row| places_of(row))
    };
    let mut sums: BTreeMap<Place, Counts> = BTreeMap::new();
    for device in views.devices.values() {
        for place in places(&device.device_id) {
            sums.entry(place).or_default().devices[device.state as usize] += 1;
        }
    }
    for link in views.links.values() {
        for place in places(&link.id.ap_device_id) {
            let counts = sums.entry(place).or_default();
            counts.links[link.state as usize] += 1;
            counts.links_unobserved += i64::from(link.unobserved);
        }
    }
    let all: BTreeSet<&Place> = sums.keys().chain(views.counts.keys()).collect();
    let differ = all
        .into_iter()
        .filter(|place| sums.get(place) != views.counts.get(place));
    let mut breaches = Vec::new();
    for place in differ {
        let law = "devices and links of a place by state add up to its devices and links";
        breach(&mut breaches, law, place);
    }
    breaches
}

/// Breaches of maintenance, with the windows that control says at this end of a slot, and what it says of each device.
pub fn maintenance_laws(
    views: &Views,
    windows: &[control::Window],
    standings: &[StandingRecord],
    at: Timestamp,
) -> Vec<Breach> {
    let windows = windows.iter().map(|row| Window::new(row.clone()));
    let open = windows.filter(|window| window.is_open(at));
    let covered = open.filter_map(|window| window.covers()).collect();
    let covered = maintained(covered, standings.iter());
    let mut breaches = Vec::new();
    for (place, health) in &views.health {
        if (health.state == HealthState::Maintenance) != covered.contains(place) {
            let law = "a place is in maintenance while a window that covers it is open";
            breach(&mut breaches, law, place);
        }
    }
    breaches
}

pub(crate) fn breach(breaches: &mut Vec<Breach>, law: &'static str, subject: impl std::fmt::Debug) {
    breaches.push(Breach {
        law,
        subject: format!("{subject:?}"),
    });
}

/// A tenant's counts are those of its rows.
fn sums(views: &Views, breaches: &mut Vec<Breach>) {
    let mut tenants: BTreeMap<TenantId, Counts> = BTreeMap::new();
    for device in views.devices.values() {
        tenants.entry(device.tenant_id).or_default().devices[device.state as usize] += 1;
    }
    for link in views.links.values() {
        let counts = tenants.entry(link.id.tenant_id).or_default();
        counts.links[link.state as usize] += 1;
        counts.links_unobserved += i64::from(link.unobserved);
    }
    let counted: BTreeMap<TenantId, Counts> = views
        .counts
        .iter()
        .filter_map(|(place, c)| Some((whole_tenant(place)?, *c)))
        .collect();
    let all: BTreeSet<TenantId> = tenants.keys().chain(counted.keys()).copied().collect();
    for tenant in all {
        let (rows, counts) = (tenants.get(&tenant), counted.get(&tenant));
        if rows.map(|r| r.devices) != counts.map(|c| c.devices) {
            breach(breaches, "devices by state add up to the devices", tenant);
        }
        if rows.map(|r| (r.links, r.links_unobserved))
            != counts.map(|c| (c.links, c.links_unobserved))
        {
            breach(breaches, "links by state add up to the links", tenant);
        }
    }
}

fn whole_tenant(place: &Place) -> Option<TenantId> {
    match place {
        Place::Tenant(tenant) => Some(*tenant),
        Place::Site(..) | Place::Sector(..) => None,
    }
}

fn numbers(c: &Counts) -> impl Iterator<Item = i64> {
    c.devices
        .into_iter()
        .chain(c.links)
        .chain([c.links_unobserved])
}

/// The sites of a tenant, and its sectors, hold no more than the tenant; no count is negative; no row is empty.
fn parts(views: &Views, breaches: &mut Vec<Breach>) {
    let mut left: BTreeMap<(TenantId, bool), Vec<i64>> = BTreeMap::new();
    for (place, counts) in &views.counts {
        if numbers(counts).any(|n| n < 0) {
            breach(breaches, "no count is negative", place);
        }
        if numbers(counts).all(|n| n == 0) {
            breach(
                breaches,
                "a place without devices and links has no row",
                place,
            );
        }
        let (tenant, sectors) = match place {
            Place::Tenant(_) => continue,
            Place::Site(tenant, _) => (*tenant, false),
            Place::Sector(tenant, _) => (*tenant, true),
        };
        let whole = views
            .counts
            .get(&Place::Tenant(tenant))
            .copied()
            .unwrap_or_default();
        let left = left
            .entry((tenant, sectors))
            .or_insert_with(|| numbers(&whole).collect());
        for (left, n) in left.iter_mut().zip(numbers(counts)) {
            *left -= n;
        }
    }
    for ((tenant, _), left) in left {
        if left.iter().any(|n| *n < 0) {
            breach(
                breaches,
                "sites and sectors hold no more than their tenant",
                tenant,
            );
        }
    }
}

/// A client is live at one radio, unless its address is ambiguous.
fn one_live_radio(views: &Views, breaches: &mut Vec<Breach>) {
    let mut live: BTreeMap<(TenantId, Mac), u32> = BTreeMap::new();
    let mut ambiguous: BTreeSet<(TenantId, Mac)> = BTreeSet::new();
    for link in views.links.values() {
        let address = (link.id.tenant_id, link.id.mac);
        *live.entry(address).or_default() += u32::from(link.state.live());
        if link.ambiguous {
            ambiguous.insert(address);
        }
    }
    for (address, n) in live {
        if n > 1 && !ambiguous.contains(&address) {
            breach(
                breaches,
                "at most one live access point for an address",
                address,
            );
        }
    }
}

/// Both ends of a link are devices of its tenant, and not one device.
fn ends(views: &Views, breaches: &mut Vec<Breach>) {
    let known = |id: DeviceId, tenant: TenantId| {
        views
            .devices
            .get(&id)
            .is_some_and(|d| d.tenant_id == tenant)
    };
    for (id, link) in &views.links {
        let LinkId {
            tenant_id,
            ap_device_id,
            ..
        } = *id;
        if !known(ap_device_id, tenant_id) {
            breach(
                breaches,
                "the access point is a device of the link's tenant",
                id,
            );
        }
        if let Some(cpe) = link.cpe_device_id {
            if !known(cpe, tenant_id) {
                breach(breaches, "the far end is a device of the link's tenant", id);
            }
            if cpe == ap_device_id {
                breach(breaches, "the far end is not the access point", id);
            }
        }
    }
}

/// A place has a state while it has a device, and the one that its devices make, unless it is in maintenance.
fn health(views: &Views, breaches: &mut Vec<Breach>) {
    let all: BTreeSet<&Place> = views.counts.keys().chain(views.health.keys()).collect();
    for place in all {
        let told = views.health.get(place).map(|health| health.state);
        let made = views.counts.get(place).map(state_of);
        let maintained = told == Some(HealthState::Maintenance) && made.is_some();
        if told != made && !maintained {
            breach(breaches, "a place is as its devices are", place);
        }
    }
}

/// Signals are of live links only, and their figures fit together.
fn signals(views: &Views, breaches: &mut Vec<Breach>) {
    for (place, s) in &views.signals {
        let live = views
            .counts
            .get(place)
            .map_or(0, |c| c.links[1] + c.links[2]);
        if s.clients < 1 || s.clients > live {
            breach(breaches, "signals are of live links", place);
        }
        let Signals {
            clients,
            sum_dbm,
            p10_dbm: Some(p10),
            worst_dbm: Some(worst),
        } = *s
        else {
            breach(breaches, "signals of clients have a worst one", place);
            continue;
        };
        if worst > p10 || sum_dbm < clients * i64::from(worst) {
            breach(breaches, "no signal is worse than the worst", place);
        }
    }
}
