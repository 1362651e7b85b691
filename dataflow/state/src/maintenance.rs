//! Which places are in maintenance (§9): those that an open window covers, by the windows that suppress alerts.
//!
//! A tenant is looked at when one of its windows is edited, opens or closes, and at no other time. Windows of devices are not
//! kept: they cover no place.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::views::Place;
use mast_schemas::{SectorId, SiteId, TenantId, Timestamp};

use crate::compact::Map;
use crate::incidents::windows::Windows;
use crate::messages::PlaceControl;

/// The windows of a tenant, and when they are to be looked at next.
#[derive(Debug, Default)]
struct Tenant {
    windows: Windows,
    edge: Option<Timestamp>,
}

/// What may be in maintenance now and was not before, or the other way round.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stirred {
    /// All of their places.
    pub(crate) tenants: BTreeSet<TenantId>,
    /// Sectors that stand at another site.
    pub(crate) sectors: BTreeSet<Place>,
}

/// The windows that cover places, and where sectors are.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    tenants: BTreeMap<TenantId, Tenant>,
    /// When a window of a tenant next opens or closes.
    edges: BTreeSet<(Timestamp, TenantId)>,
    sites: Map<(TenantId, SectorId), SiteId>,
    /// Since the last [`Maintenance::advance`].
    edited: Stirred,
}

impl Maintenance {
    /// Takes in what control says. Counts from the next [`Maintenance::advance`] on.
    pub(crate) fn apply(&mut self, control: PlaceControl) {
        match control {
            PlaceControl::Window(window) => {
                self.edited.tenants.insert(window.tenant_id);
                let windows = &mut self.tenants.entry(window.tenant_id).or_default().windows;
                // An edit may make a window of a site one of devices.
                if window.site_id.is_none() && !window.device_ids.is_empty() {
                    windows.remove(window.id);
                } else {
                    windows.put(window);
                }
            }
            PlaceControl::WindowGone(tenant, id) => {
                self.edited.tenants.insert(tenant);
                if let Some(tenant) = self.tenants.get_mut(&tenant) {
                    tenant.windows.remove(id);
                }
            }
            PlaceControl::Sector(tenant, sector, site) => {
                if self.sites.insert((tenant, sector), site) != Some(site) {
                    let place = Place::Sector(tenant, sector);
                    self.edited.sectors.insert(place);
                }
            }
        }
    }

    /// Goes on to the end of a slot.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Stirred {
        let mut stirred = std::mem::take(&mut self.edited);
        let mut asked = stirred.tenants.clone();
        while let Some((edge, tenant)) = self.edges.pop_first() {
            if edge > now {
                self.edges.insert((edge, tenant));
                break;
            }
            asked.insert(tenant);
        }
        for id in asked {
            let Some(tenant) = self.tenants.get_mut(&id) else {
                continue;
            };
            if tenant.windows.advance(now) {
                stirred.tenants.insert(id);
            }
            if let Some(edge) = tenant.edge.take() {
                self.edges.remove(&(edge, id));
            }
            if tenant.windows.is_empty() {
                self.tenants.remove(&id);
                continue;
            }
            tenant.edge = tenant.windows.edge();
            self.edges.extend(tenant.edge.map(|edge| (edge, id)));
        }
        stirred
    }

    /// When a window next opens or closes.
    pub(crate) fn edge(&self) -> Option<Timestamp> {
        self.edges.first().map(|(edge, _)| *edge)
    }

    /// Whether a window that covers all of a place is open.
    pub(crate) fn covers(&self, place: &Place) -> bool {
        let Some(tenant) = self.tenants.get(&place.tenant()) else {
            return false;
        };
        let site = match place {
            Place::Tenant(_) => None,
            Place::Site(_, site) => Some(*site),
            Place::Sector(tenant, sector) => self.sites.get(&(*tenant, *sector)).copied(),
        };
        tenant.windows.site(site)
    }
}

#[cfg(test)]
mod tests;
