//! The control tables: where each device stands, rebuilt from `mast.control.v1`. Only what views depend on is kept: names and
//! addresses are Postgres's business.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::Change;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use mast_state::messages::{DeviceControl, DeviceInfo};

use crate::numbers::{DeviceNumber, PlaceNumber, Places, Standing};

/// What control says of devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlTables {
    /// Also those that are no more: a device that comes back has the number that it had.
    devices: HashMap<DeviceId, Row, FixedState>,
    places: Places,
    /// Devices by number.
    numbered: Vec<DeviceId>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// `None` = deleted.
    standing: Option<Standing>,
    number: DeviceNumber,
    enabled: bool,
}

/// What a device looks like before and after a change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceDiff {
    /// The device's number.
    pub(crate) number: DeviceNumber,
    /// Where it stood.
    pub(crate) old: Option<Standing>,
    /// Where it stands.
    pub(crate) new: Option<Standing>,
    /// As the steps take it.
    pub(crate) control: DeviceControl,
}

impl ControlTables {
    /// Applies a change and says which devices look different now.
    ///
    /// What belonged to a deleted site or sector lives on without it; what belonged to a deleted tenant goes with it.
    pub(crate) fn apply(&mut self, change: &Change, diffs: &mut Vec<DeviceDiff>) {
        match change {
            Change::Tenant(_) | Change::Site(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Thresholds(_) | Change::ThresholdsDeleted { .. } => {}
            Change::TenantDeleted { id } => {
                for row in self.select(|row| row.tenant_id == *id) {
                    self.remove(row.device_id, diffs);
                }
            }
            Change::SiteDeleted { id } => {
                for row in self.select(|row| row.site_id == Some(*id)) {
                    let (site_id, sector_id) = (None, None);
                    self.put(
                        StandingRecord {
                            site_id,
                            sector_id,
                            ..row
                        },
                        diffs,
                    );
                }
            }
            Change::SectorDeleted { id } => {
                for row in self.select(|row| row.sector_id == Some(*id)) {
                    let sector_id = None;
                    self.put(StandingRecord { sector_id, ..row }, diffs);
                }
            }
            Change::Device(row) => self.put(row.into(), diffs),
            Change::DeviceDeleted { id } => self.remove(*id, diffs),
        }
    }

    /// The devices that `wanted` says, by rising id.
    fn select(&self, wanted: impl Fn(&StandingRecord) -> bool) -> Vec<StandingRecord> {
        let records = self.devices.iter().filter_map(|(device_id, row)| {
            let (tenant_id, site_id, sector_id) = self.ids(row.standing?);
            Some(StandingRecord {
                device_id: *device_id,
                tenant_id,
                site_id,
                sector_id,
                enabled: row.enabled,
            })
        });
        let mut records: Vec<_> = records.filter(wanted).collect();
        records.sort_unstable_by_key(|record| record.device_id);
        records
    }

    /// Says where a device stands from now on.
    pub(crate) fn put(&mut self, record: StandingRecord, diffs: &mut Vec<DeviceDiff>) {
        let (device, enabled) = (record.device_id, record.enabled);
        let (tenant, site, sector) = (record.tenant_id, record.site_id, record.sector_id);
        let new = Some(self.places.standing(tenant, site, sector));
        let row = self.devices.entry(device).or_insert_with(|| {
            self.numbered.push(device);
            Row {
                standing: None,
                number: DeviceNumber(u32::try_from(self.numbered.len() - 1).unwrap_or(u32::MAX)),
                enabled,
            }
        });
        let old = row.standing;
        if (old, row.enabled) == (new, enabled) {
            return;
        }
        (row.standing, row.enabled) = (new, enabled);
        let info = DeviceInfo {
            tenant,
            site,
            sector,
            enabled,
        };
        diffs.push(DeviceDiff {
            number: row.number,
            old,
            new,
            control: DeviceControl {
                device,
                info: Some(info),
            },
        });
    }

    fn remove(&mut self, device: DeviceId, diffs: &mut Vec<DeviceDiff>) {
        let Some(row) = self.devices.get_mut(&device) else {
            return;
        };
        let Some(old) = row.standing.take() else {
            return;
        };
        diffs.push(DeviceDiff {
            number: row.number,
            old: Some(old),
            new: None,
            control: DeviceControl { device, info: None },
        });
    }

    /// What a checkpoint holds: all devices, by rising id.
    pub(crate) fn records(&self) -> Vec<StandingRecord> {
        self.select(|_| true)
    }

    fn ids(&self, standing: Standing) -> (TenantId, Option<SiteId>, Option<SectorId>) {
        let place = |PlaceNumber(n): PlaceNumber| self.places.all().get(n as usize).copied();
        let mut ids = (TenantId::default(), None, None);
        for place in standing.into_iter().filter_map(place) {
            match place {
                Place::Tenant(tenant) => ids.0 = tenant,
                Place::Site(_, site) => ids.1 = Some(site),
                Place::Sector(_, sector) => ids.2 = Some(sector),
            }
        }
        ids
    }

    /// Devices by number.
    pub(crate) fn numbered(&self) -> &[DeviceId] {
        &self.numbered
    }

    /// Places by number.
    pub(crate) fn places(&self) -> &[Place] {
        self.places.all()
    }
}
