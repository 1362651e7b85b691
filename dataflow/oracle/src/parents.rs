//! What devices and places hang on (§19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mast_schemas::alerts::{ANCESTORS_MOST, Root, Subject};
use mast_schemas::control::Role;
use mast_schemas::views::{DeviceState, LinkReason, LinkState, LinkView};
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};

use crate::devices::Device;
use crate::oracle::Oracle;
use crate::views::Views;

/// The parent of each device that has one.
pub(crate) type Parents = BTreeMap<DeviceId, DeviceId>;

/// What hangs on what, and the links that are down by access point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    pub(crate) parents: Parents,
    pub(crate) down: BTreeMap<DeviceId, u32>,
}

/// A link between two sites, from one of its ends: the sites, and the device at the other end.
struct Between {
    from: (TenantId, SiteId),
    to: (TenantId, SiteId),
    far: DeviceId,
}

impl Oracle {
    pub(crate) fn topology(&mut self) -> Arc<Topology> {
        if let Some(topology) = &self.topology {
            return Arc::clone(topology);
        }
        let views = self.views();
        let mut down = BTreeMap::new();
        for link in views.links.values() {
            if link.state == LinkState::Down {
                *down.entry(link.id.ap_device_id).or_default() += 1;
            }
        }
        let parents = self.parents(&views);
        let topology = Arc::new(Topology { parents, down });
        self.topology = Some(Arc::clone(&topology));
        topology
    }

    fn parents(&self, views: &Views) -> Parents {
        let between = self.between_sites(views);
        let distances = self.distances(&between);
        let all = self.devices.values();
        all.filter_map(|d| {
            let parent = self.parent(d, views, &between, &distances)?;
            Some((d.row.device_id, parent))
        })
        .collect()
    }

    fn parent(
        &self,
        device: &Device,
        views: &Views,
        between: &[Between],
        distances: &BTreeMap<(TenantId, SiteId), u32>,
    ) -> Option<DeviceId> {
        let (id, tenant) = (device.row.device_id, device.row.tenant_id);
        let another = |other: &DeviceId| {
            let other = self.devices.get(other);
            other.is_some_and(|o| o.row.tenant_id == tenant && o.row.device_id != id)
        };
        if let Some(by_hand) = device.row.parent_id.filter(another) {
            return Some(by_hand);
        }
        match device.row.role {
            Role::Cpe => {
                let ends_here = |link: &&LinkView| {
                    link.cpe_device_id == Some(id) && another(&link.id.ap_device_id)
                };
                let rank = |link: &&LinkView| {
                    let fresh = link.state != LinkState::Stale;
                    let (ap, radio) = (link.id.ap_device_id, link.id.radio_mac);
                    (fresh, link.discovered_at, ap, radio)
                };
                let links = views.links.values().filter(ends_here);
                links.max_by_key(rank).map(|link| link.id.ap_device_id)
            }
            Role::Router => {
                let here = (tenant, device.row.site_id?);
                let distance = distances.get(&here)?.checked_sub(1)?;
                let inward =
                    |b: &&Between| b.from == here && distances.get(&b.to) == Some(&distance);
                between.iter().filter(inward).map(|b| b.far).min()
            }
            _ => self.router_of(tenant, device.row.site_id?).filter(another),
        }
    }

    fn between_sites(&self, views: &Views) -> Vec<Between> {
        let mut all = Vec::new();
        for link in views.links.values() {
            if (link.state, link.reason) == (LinkState::Stale, LinkReason::Roamed) {
                continue;
            }
            let far = link.cpe_device_id.and_then(|id| self.devices.get(&id));
            let (Some(far), Some(ap)) = (far, self.devices.get(&link.id.ap_device_id)) else {
                continue;
            };
            let site = |d: &Device| Some((d.row.tenant_id, d.row.site_id?));
            if let (Some(a), Some(b)) = (site(ap), site(far))
                && a != b
                && far.row.role != Role::Cpe
            {
                for (from, to, far) in [(a, b, far), (b, a, ap)] {
                    let far = far.row.device_id;
                    all.push(Between { from, to, far });
                }
            }
        }
        all
    }

    /// Steps from each site to a core site.
    fn distances(&self, between: &[Between]) -> BTreeMap<(TenantId, SiteId), u32> {
        let mut distances: BTreeMap<_, _> = self.cores.iter().map(|site| (*site, 0)).collect();
        for distance in 1.. {
            let mut reached = BTreeSet::new();
            for step in between {
                if distances.get(&step.from) == Some(&(distance - 1))
                    && !distances.contains_key(&step.to)
                {
                    reached.insert(step.to);
                }
            }
            if reached.is_empty() {
                break;
            }
            distances.extend(reached.into_iter().map(|site| (site, distance)));
        }
        distances
    }

    fn router_of(&self, tenant: TenantId, site: SiteId) -> Option<DeviceId> {
        let routes = |d: &&Device| {
            d.row.enabled
                && d.row.role == Role::Router
                && (d.row.tenant_id, d.row.site_id) == (tenant, Some(site))
        };
        let mut routers = self.devices.values().filter(routes);
        routers.next().map(|d| d.row.device_id)
    }

    /// The site of a sector: that of its devices.
    pub(crate) fn site_of(&self, tenant: TenantId, sector: SectorId) -> Option<SiteId> {
        let there = |d: &&Device| (d.row.tenant_id, d.row.sector_id) == (tenant, Some(sector));
        self.devices.values().find(there)?.row.site_id
    }

    /// What an alert's subject hangs on, nearest first.
    pub(crate) fn ancestors(
        &self,
        parents: &Parents,
        tenant: TenantId,
        root: Root,
    ) -> Vec<DeviceId> {
        let site = match root {
            Root::Device(id) => return walk_up(parents, id),
            Root::Site(site) => Some(site),
            Root::Sector(sector) => self.site_of(tenant, sector),
        };
        let router = site.and_then(|site| self.router_of(tenant, site));
        let above = router
            .into_iter()
            .flat_map(|router| walk_up(parents, router));
        router.into_iter().chain(above).collect()
    }

    pub(crate) fn is_offline(&self, id: DeviceId) -> bool {
        (self.devices.get(&id)).is_some_and(|d| d.state == DeviceState::Offline)
    }

    pub(crate) fn is_failing(&self, id: DeviceId) -> bool {
        use DeviceState::{Offline, Unmanageable};
        (self.devices.get(&id))
            .is_some_and(|d| d.fail_run > 0 && !matches!(d.state, Offline | Unmanageable))
    }
}

/// What an alert of this is of itself.
pub(crate) fn itself(subject: &Subject) -> Root {
    match subject {
        Subject::Device(id) | Subject::Interface(id, _) => Root::Device(*id),
        Subject::Site(id) => Root::Site(*id),
        Subject::Sector(id) => Root::Sector(*id),
    }
}

/// Parents, their parents and so on; none of them if that leads back to the device.
fn walk_up(parents: &Parents, from: DeviceId) -> Vec<DeviceId> {
    let (mut all, mut at) = (Vec::new(), from);
    while all.len() < ANCESTORS_MOST
        && let Some(&parent) = parents.get(&at)
    {
        if parent == from {
            return Vec::new();
        }
        if all.contains(&parent) {
            break;
        }
        all.push(parent);
        at = parent;
    }
    all
}
