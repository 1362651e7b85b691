//! The control tables: what tenants, sites, sectors and devices there are, rebuilt from `mast.control.v1`.

use std::collections::BTreeMap;

use mast_schemas::control::{Change, Device, Sector, Site, Tenant};
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use mast_state::messages::{DeviceControl, DeviceInfo};

/// All control tables. Cheap to keep whole: it grows with people's decisions, not with samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlTables {
    /// Tenants.
    pub tenants: BTreeMap<TenantId, Tenant>,
    /// Sites.
    pub sites: BTreeMap<SiteId, Site>,
    /// Sectors.
    pub sectors: BTreeMap<SectorId, Sector>,
    /// Devices.
    pub devices: BTreeMap<DeviceId, Device>,
}

/// What a device looks like to the steps before and after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceDiff {
    /// The device.
    pub device: DeviceId,
    /// Before.
    pub old: Option<DeviceInfo>,
    /// After.
    pub new: Option<DeviceInfo>,
}

impl DeviceDiff {
    /// As the steps take it.
    pub const fn control(&self) -> DeviceControl {
        DeviceControl {
            device: self.device,
            info: self.new,
        }
    }
}

impl ControlTables {
    /// Applies a change and says which devices look different now.
    ///
    /// What belonged to a deleted site or sector lives on without it; what belonged to a deleted tenant goes with it.
    pub fn apply(&mut self, change: &Change, diffs: &mut Vec<DeviceDiff>) {
        match change {
            Change::Tenant(row) => {
                self.tenants.insert(row.id, row.clone());
            }
            Change::TenantDeleted { id } => {
                self.tenants.remove(id);
                self.sites.retain(|_, row| row.tenant_id != *id);
                self.sectors.retain(|_, row| row.tenant_id != *id);
                let gone: Vec<_> = self
                    .devices
                    .values()
                    .filter(|d| d.tenant_id == *id)
                    .map(|d| d.id)
                    .collect();
                gone.into_iter()
                    .for_each(|device| self.put(device, None, diffs));
            }
            Change::Site(row) => {
                self.sites.insert(row.id, row.clone());
            }
            Change::SiteDeleted { id } => {
                self.sites.remove(id);
                self.sectors.retain(|_, row| row.site_id != *id);
                self.edit(
                    |d| d.site_id == Some(*id),
                    |d| (d.site_id, d.sector_id) = (None, None),
                    diffs,
                );
            }
            Change::Sector(row) => {
                self.sectors.insert(row.id, row.clone());
            }
            Change::SectorDeleted { id } => {
                self.sectors.remove(id);
                self.edit(|d| d.sector_id == Some(*id), |d| d.sector_id = None, diffs);
            }
            Change::Device(row) => self.put(row.id, Some(row.clone()), diffs),
            Change::DeviceDeleted { id } => self.put(*id, None, diffs),
        }
    }

    fn edit(
        &mut self,
        which: impl Fn(&Device) -> bool,
        how: impl Fn(&mut Device),
        diffs: &mut Vec<DeviceDiff>,
    ) {
        let found: Vec<Device> = self
            .devices
            .values()
            .filter(|d| which(d))
            .cloned()
            .collect();
        for mut device in found {
            how(&mut device);
            self.put(device.id, Some(device), diffs);
        }
    }

    fn put(&mut self, device: DeviceId, row: Option<Device>, diffs: &mut Vec<DeviceDiff>) {
        let info = |d: &Device| DeviceInfo {
            tenant: d.tenant_id,
            site: d.site_id,
            sector: d.sector_id,
            enabled: d.enabled,
        };
        let new = row.as_ref().map(info);
        let old = match row {
            Some(row) => self.devices.insert(device, row),
            None => self.devices.remove(&device),
        };
        let old = old.as_ref().map(info);
        if old != new {
            diffs.push(DeviceDiff { device, old, new });
        }
    }

    /// The changes that rebuild these tables, parents first.
    pub fn records(&self) -> Vec<Change> {
        let tenants = self.tenants.values().cloned().map(Change::Tenant);
        let sites = self.sites.values().cloned().map(Change::Site);
        let sectors = self.sectors.values().cloned().map(Change::Sector);
        let devices = self.devices.values().cloned().map(Change::Device);
        tenants.chain(sites).chain(sectors).chain(devices).collect()
    }
}
