//! The control tables: where each device stands, rebuilt from `mast.control.v1`. Only what views depend on is kept: names and
//! addresses are Postgres's business.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;
use mast_schemas::checkpoint::{LimitsRecord, StandingRecord};
use mast_schemas::control::Change;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use mast_state::messages::{DeviceControl, DeviceInfo};
use mast_state::{ApLimits, PlaceLimits, Scope};

use crate::numbers::{DeviceNumber, PlaceNumber, Places, Standing};

/// What control says of devices, and of what counts as bad where they stand.
#[derive(Clone, Debug)]
pub(crate) struct ControlTables {
    /// Also those that are no more: a device that comes back has the number that it had.
    devices: HashMap<DeviceId, Row, FixedState>,
    places: Places,
    /// Devices by number.
    numbered: Vec<DeviceId>,
    thresholds: Thresholds,
    limits: PlaceLimits,
    /// Where something else counts as bad than devices there were told.
    touched: BTreeSet<Scope>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// `None` = deleted.
    standing: Option<Standing>,
    number: DeviceNumber,
    enabled: bool,
    limits: ApLimits,
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
    /// No devices yet; these places say what counts as bad.
    pub(crate) fn new(thresholds: Thresholds, limits: &[LimitsRecord]) -> Self {
        let mut places = PlaceLimits::default();
        for row in limits {
            places.put(*row);
        }
        Self {
            devices: HashMap::default(),
            places: Places::default(),
            numbered: Vec::new(),
            thresholds,
            limits: places,
            touched: BTreeSet::new(),
        }
    }

    /// Applies the changes of a slot, in their order, and says which devices look different now.
    pub(crate) fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Vec<DeviceDiff> {
        let mut diffs = Vec::new();
        for change in changes {
            self.change(change, &mut diffs);
        }
        // Once for all: a tenant may change what counts as bad in a thousand places.
        let touched = std::mem::take(&mut self.touched);
        if !touched.is_empty() {
            let stands = |row: &StandingRecord| {
                let (tenant, site, sector) = (row.tenant_id, row.site_id, row.sector_id);
                let scopes = [
                    (tenant, None, None),
                    (tenant, site, None),
                    (tenant, site, sector),
                ];
                scopes.iter().any(|scope| touched.contains(scope))
            };
            for row in self.select(stands) {
                self.put(row, &mut diffs);
            }
        }
        diffs
    }

    /// What belonged to a deleted site or sector lives on without it; what belonged to a deleted tenant goes with it.
    fn change(&mut self, change: &Change, diffs: &mut Vec<DeviceDiff>) {
        match change {
            Change::Tenant(_) | Change::Site(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Rule(_) | Change::RuleDeleted { .. } => {}
            Change::Window(_) | Change::WindowDeleted { .. } => {}
            Change::AlertResolved { .. } | Change::TrendNormal { .. } => {}
            Change::Thresholds(row) => {
                let scopes = self.limits.put(row.into());
                self.touched.extend(scopes.into_iter().flatten());
            }
            Change::ThresholdsDeleted { id } => self.touched.extend(self.limits.remove(*id)),
            Change::TenantDeleted { id } => {
                self.limits.forget(|scope| scope.0 == *id);
                for row in self.select(|row| row.tenant_id == *id) {
                    self.remove(row.device_id, diffs);
                }
            }
            Change::SiteDeleted { id } => {
                self.limits.forget(|scope| scope.1 == Some(*id));
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
                self.limits.forget(|scope| scope.2 == Some(*id));
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
        let limits = self.limits.of((tenant, site, sector), &self.thresholds);
        let row = self.devices.entry(device).or_insert_with(|| {
            self.numbered.push(device);
            Row {
                standing: None,
                number: DeviceNumber(u32::try_from(self.numbered.len() - 1).unwrap_or(u32::MAX)),
                enabled,
                limits,
            }
        });
        let old = row.standing;
        if (old, row.enabled, row.limits) == (new, enabled, limits) {
            return;
        }
        (row.standing, row.enabled, row.limits) = (new, enabled, limits);
        let info = DeviceInfo {
            tenant,
            site,
            sector,
            enabled,
            limits,
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

    /// What a checkpoint holds: what places say, by rising id.
    pub(crate) fn limits(&self) -> Vec<LimitsRecord> {
        self.limits.records()
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
