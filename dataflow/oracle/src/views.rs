//! The rows that readers see, from the state (§7 "forgotten for a reader", §9).

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_schemas::alerts::{AlertId, AlertView, IncidentId, IncidentView, TrendView};
use mast_schemas::checkpoint::{LinkRecord, StandingRecord};
use mast_schemas::views::{
    ClientAddress, Counts, DeviceState, DeviceView, Health, InterfaceRates, LinkState, LinkView,
    PastClients, Place, PlaceAir, Signals,
};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId};

use crate::devices::Device;
use crate::oracle::{Oracle, Radio};

/// The rows of all views as of the end of a slot.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Views {
    /// Devices.
    pub devices: BTreeMap<DeviceId, DeviceView>,
    /// Links, without those that are forgotten for a reader.
    pub links: BTreeMap<LinkId, LinkView>,
    /// What routers say of clients.
    pub addresses: BTreeMap<(TenantId, Mac), ClientAddress>,
    /// Devices and links counted, for each place that has any.
    pub counts: BTreeMap<Place, Counts>,
    /// How each place is that has a device.
    pub health: BTreeMap<Place, Health>,
    /// Live links of the past, for each place that was sampled long enough ago.
    pub past: BTreeMap<Place, PastClients>,
    /// Signals of live links, for each place that has one.
    pub signals: BTreeMap<Place, Signals>,
    /// Traffic and noise, for each place of which any is known. After a restore they begin anew.
    pub air: BTreeMap<Place, PlaceAir>,
    /// Newest rates of interfaces; likewise.
    pub rates: BTreeMap<DeviceId, InterfaceRates>,
    /// Clients whose signal degrades.
    pub trends: BTreeMap<(TenantId, Mac), TrendView>,
    /// Open alerts.
    pub alerts: BTreeMap<AlertId, AlertView>,
    /// Open incidents.
    pub incidents: BTreeMap<IncidentId, IncidentView>,
}

/// What rules and incidents look at.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) views: Views,
    /// Clients of each place whose signal degrades.
    pub(crate) degrading: BTreeMap<Place, i64>,
}

impl Views {
    /// Without what begins anew after a restore: rates.
    #[must_use]
    pub fn without_rates(mut self) -> Self {
        self.rates.clear();
        self
    }

    /// Without rates, traffic and noise.
    #[must_use]
    pub fn without_air(mut self) -> Self {
        self.air.clear();
        self.without_rates()
    }

    /// Without alerts, incidents and trends.
    #[must_use]
    pub fn without_alerts(mut self) -> Self {
        self.alerts.clear();
        self.incidents.clear();
        self.trends.clear();
        self
    }
}

impl Oracle {
    /// The current rows, looked at once while nothing happens.
    pub(crate) fn seen(&mut self) -> Arc<Seen> {
        if let Some(seen) = &self.seen {
            return Arc::clone(seen);
        }
        let seen = Arc::new(Seen {
            views: self.views(),
            degrading: self.degrading(),
        });
        self.seen = Some(Arc::clone(&seen));
        seen
    }

    /// The current rows.
    pub fn views(&self) -> Views {
        let mut views = Views {
            addresses: self.client_addresses(),
            air: self.place_air(),
            rates: self.interface_rates(),
            trends: self.trend_views(),
            alerts: self.alert_views(),
            incidents: self.incident_views(),
            ..Views::default()
        };
        let mut signals: BTreeMap<Place, Vec<i16>> = BTreeMap::new();
        for device in self.devices.values() {
            views
                .devices
                .insert(device.row.device_id, device_view(device));
            for place in places_of(&device.row) {
                let counts = views.counts.entry(place).or_default();
                counts.devices[device.state as usize] += 1;
            }
        }
        for (ap, radios) in &self.aps {
            let Some(ap) = self.devices.get(ap) else {
                continue;
            };
            for (radio_mac, radio) in radios {
                for link in radio.links.values() {
                    let (tenant_id, ap_device_id) = (ap.row.tenant_id, ap.row.device_id);
                    let id = LinkId {
                        tenant_id,
                        ap_device_id,
                        radio_mac: *radio_mac,
                        mac: link.mac,
                    };
                    let Some(view) = self.link_view(id, ap, radio, link) else {
                        continue;
                    };
                    for place in places_of(&ap.row) {
                        let counts = views.counts.entry(place).or_default();
                        counts.links[view.state as usize] += 1;
                        counts.links_unobserved += i64::from(view.unobserved);
                        if let Some(signal) = link.signal_dbm.filter(|_| view.state.live()) {
                            signals.entry(place).or_default().push(signal);
                        }
                    }
                    views.links.insert(id, view);
                }
            }
        }
        views.signals = signals
            .into_iter()
            .map(|(place, all)| (place, summary(all)))
            .collect();
        for (place, now) in &self.places {
            views.health.insert(*place, now.health);
            if now.past() != PastClients::default() {
                views.past.insert(*place, now.past());
            }
        }
        views
    }

    /// A link as readers see it; `None` = forgotten for them.
    fn link_view(
        &self,
        id: LinkId,
        ap: &Device,
        radio: &Radio,
        link: &LinkRecord,
    ) -> Option<LinkView> {
        let cpe = self.owner((id.tenant_id, id.mac), Some(id.ap_device_id));
        let forgotten_at = link.since + self.thresholds.forget_unmanaged_after;
        if link.state == LinkState::Stale && cpe.is_none() && self.now >= forgotten_at {
            return None;
        }
        let ap_unseen = matches!(
            ap.state,
            DeviceState::Unobserved | DeviceState::Unmanageable
        );
        let reporter_online = self
            .devices
            .get(&link.reporter)
            .is_some_and(|d| d.state == DeviceState::Online);
        Some(LinkView {
            id,
            interface: radio.interface.clone(),
            source: link.source,
            cpe_device_id: cpe,
            state: link.state,
            since: link.since,
            reason: link.reason,
            discovered_at: link.discovered_at,
            unobserved: ap_unseen || (link.reporter != id.ap_device_id && !reporter_online),
            ambiguous: link.ambiguous,
        })
    }
}

/// Where a device stands.
pub(crate) fn places_of(row: &StandingRecord) -> Vec<Place> {
    let tenant = row.tenant_id;
    let site = row.site_id.map(|site| Place::Site(tenant, site));
    let sector = row.sector_id.map(|sector| Place::Sector(tenant, sector));
    [Some(Place::Tenant(tenant)), site, sector]
        .into_iter()
        .flatten()
        .collect()
}

fn summary(mut all: Vec<i16>) -> Signals {
    all.sort_unstable();
    Signals {
        clients: all.len() as i64,
        sum_dbm: all.iter().map(|s| i64::from(*s)).sum(),
        p10_dbm: all.get(all.len().div_ceil(10).saturating_sub(1)).copied(),
        worst_dbm: all.first().copied(),
    }
}

fn device_view(device: &Device) -> DeviceView {
    let [identity, version, board, architecture, serial, firmware] = device.attributes.clone();
    DeviceView {
        device_id: device.row.device_id,
        tenant_id: device.row.tenant_id,
        state: device.state,
        since: device.since,
        outcome: device.outcome,
        identity,
        version,
        board,
        architecture,
        serial,
        firmware,
    }
}
