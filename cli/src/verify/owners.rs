//! Whose things are, by the log: no row of a tenant is of another's.

use std::collections::{BTreeMap, BTreeSet};

use mast_oracle::Views;
use mast_schemas::alerts::{Root, Subject};
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};

/// Owners of devices, and of the places where they stand.
struct Owners {
    devices: BTreeMap<DeviceId, TenantId>,
    sites: BTreeSet<(SiteId, TenantId)>,
    sectors: BTreeSet<(SectorId, TenantId)>,
}

impl Owners {
    fn new(standings: &[StandingRecord]) -> Self {
        let sites = standings
            .iter()
            .filter_map(|s| Some((s.site_id?, s.tenant_id)));
        let sectors = standings
            .iter()
            .filter_map(|s| Some((s.sector_id?, s.tenant_id)));
        Self {
            devices: standings
                .iter()
                .map(|s| (s.device_id, s.tenant_id))
                .collect(),
            sites: sites.collect(),
            sectors: sectors.collect(),
        }
    }

    /// Whether a thing is the tenant's.
    fn has(&self, tenant: TenantId, root: Root) -> bool {
        match root {
            Root::Device(id) => self.devices.get(&id) == Some(&tenant),
            Root::Site(id) => self.sites.contains(&(id, tenant)),
            Root::Sector(id) => self.sectors.contains(&(id, tenant)),
        }
    }

    /// Whether it is another tenant's. What is no more is nobody's.
    fn is_strange(&self, tenant: TenantId, root: Root) -> bool {
        let known = match root {
            Root::Device(id) => self.devices.contains_key(&id),
            Root::Site(id) => self.sites.iter().any(|(site, _)| *site == id),
            Root::Sector(id) => self.sectors.iter().any(|(sector, _)| *sector == id),
        };
        known && !self.has(tenant, root)
    }
}

/// Alerts, incidents and trends of one tenant that are of another's things.
pub(super) fn strange(views: &Views, standings: &[StandingRecord]) -> Vec<String> {
    let owners = Owners::new(standings);
    let mut found = Vec::new();
    for alert in views.alerts.values() {
        let of = match &alert.subject {
            Subject::Device(id) | Subject::Interface(id, _) => Root::Device(*id),
            Subject::Site(id) => Root::Site(*id),
            Subject::Sector(id) => Root::Sector(*id),
        };
        if !owners.has(alert.tenant_id, of) {
            let id = alert.alert_id.0;
            found.push(format!("alert {id} of {of:?} is another tenant's row"));
        }
    }
    // Alerts that nobody is told of keep an incident whose root may be gone, and a trend outlives its access point.
    for incident in views.incidents.values() {
        if owners.is_strange(incident.tenant_id, incident.root) {
            let (id, root) = (incident.incident_id.0, incident.root);
            found.push(format!("incident {id} of {root:?} is another tenant's row"));
        }
    }
    for trend in views.trends.values() {
        let ap = trend.ap_device_id;
        if owners.is_strange(trend.tenant_id, Root::Device(ap)) {
            let mac = trend.mac;
            found.push(format!("trend of {mac} at {ap} is another tenant's row"));
        }
    }
    found
}
