//! The control tables: where each device stands, rebuilt from `mast.control.v1`. Only what views depend on is kept: names and
//! addresses are Postgres's business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use mast_schemas::checkpoint::{LimitsRecord, StandingRecord};
use mast_schemas::control::{Change, Role, Rule};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, GroupId, RuleId, SectorId, SiteId, TagId, TenantId};
use mast_state::messages::{DeviceControl, DeviceInfo, RuleControl, TrendControl};
use mast_state::{ApLimits, PlaceLimits, Scope, push_tight};

use crate::numbers::{DeviceNumber, NOWHERE, Names, Numbers, Standing};

/// What control says of devices, and of what counts as bad where they stand.
#[derive(Debug)]
pub(crate) struct ControlTables {
    /// By number. Also those that are no more: a device that comes back has the number that it had.
    devices: Vec<Row>,
    numbers: Numbers,
    thresholds: Thresholds,
    limits: PlaceLimits,
    /// Where something else counts as bad than devices there were told.
    touched: BTreeSet<Scope>,
    rules: BTreeMap<RuleId, Arc<Rule>>,
    sectors: HashMap<(TenantId, SectorId), SectorSites, FixedState>,
}

/// At which sites the devices of a sector stand: one, but while a sector moves with all of its devices.
#[derive(Clone, Debug, Default)]
struct SectorSites {
    devices: BTreeMap<SiteId, u32>,
    told: Option<SiteId>,
}

/// What control says of a device: 32 bytes, as every device has it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// [`NOWHERE`] = deleted.
    standing: Standing,
    interval_ms: u32,
    /// Of the few devices of which there is more to say.
    more: Option<Box<More>>,
    enabled: bool,
    role: Role,
}

/// What a device belongs to besides places, and what counts as bad there where that is not the default.
#[derive(Clone, Debug, PartialEq, Eq)]
struct More {
    limits: ApLimits,
    parent: Option<DeviceId>,
    groups: Vec<GroupId>,
    tags: Vec<TagId>,
}

impl Row {
    fn standing(&self) -> Option<Standing> {
        (self.standing != NOWHERE).then_some(self.standing)
    }

    /// All that control says of the device; `None` = it is deleted.
    fn record(&self, device_id: DeviceId, names: &Names) -> Option<StandingRecord> {
        let (tenant_id, site_id, sector_id) = ids(self.standing()?, names);
        let more = self.more.as_deref();
        Some(StandingRecord {
            device_id,
            tenant_id,
            site_id,
            sector_id,
            enabled: self.enabled,
            role: self.role,
            interval_ms: self.interval_ms,
            parent_id: more.and_then(|more| more.parent),
            group_ids: more.map(|more| more.groups.clone()).unwrap_or_default(),
            tag_ids: more.map(|more| more.tags.clone()).unwrap_or_default(),
        })
    }
}

fn ids(standing: Standing, names: &Names) -> (TenantId, Option<SiteId>, Option<SectorId>) {
    let mut ids = (TenantId::default(), None, None);
    for place in standing.into_iter().filter_map(|place| names.place(place)) {
        match place {
            Place::Tenant(tenant) => ids.0 = tenant,
            Place::Site(_, site) => ids.1 = Some(site),
            Place::Sector(_, sector) => ids.2 = Some(sector),
        }
    }
    ids
}

/// What the changes of a slot come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diffs {
    /// Devices that look different now.
    pub(crate) devices: Vec<DeviceDiff>,
    /// What is said of rules, and where it stands among the devices.
    pub(crate) rules: Vec<(u32, RuleControl)>,
    next: u32,
}

impl Diffs {
    fn order(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn device(&mut self, diff: DeviceDiff) {
        let order = self.order();
        self.devices.push(DeviceDiff { order, ..diff });
    }

    fn rule(&mut self, control: RuleControl) {
        let order = self.order();
        self.rules.push((order, control));
    }
}

/// What a device looks like before and after a change.
#[derive(Clone, Debug)]
pub(crate) struct DeviceDiff {
    /// Where it stands among the changes of its slot.
    pub(crate) order: u32,
    /// The device's number.
    pub(crate) number: DeviceNumber,
    /// Where it stood.
    pub(crate) old: Option<Standing>,
    /// Where it stands.
    pub(crate) new: Option<Standing>,
    /// As the steps take it.
    pub(crate) control: DeviceControl,
}

/// What a change says of trends, if anything. Nothing of it is kept.
pub(crate) const fn trend(change: &Change) -> Option<TrendControl> {
    match change {
        Change::TrendNormal { tenant_id, mac } => Some(TrendControl::Normal(*tenant_id, *mac)),
        Change::TenantDeleted { id } => Some(TrendControl::TenantGone(*id)),
        _ => None,
    }
}

impl ControlTables {
    /// No devices yet; these places say what counts as bad, and these are the rules. Devices and places get their numbers here.
    pub(crate) fn new(
        thresholds: Thresholds,
        limits: &[LimitsRecord],
        rules: &[Rule],
        numbers: Numbers,
    ) -> Self {
        let mut places = PlaceLimits::default();
        for row in limits {
            places.put(*row);
        }
        Self {
            devices: Vec::new(),
            numbers,
            thresholds,
            limits: places,
            touched: BTreeSet::new(),
            rules: rules
                .iter()
                .map(|rule| (rule.id, Arc::new(rule.clone())))
                .collect(),
            sectors: HashMap::default(),
        }
    }

    /// Applies the changes of a slot, in their order, and says what they come to.
    pub(crate) fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) -> Diffs {
        let mut diffs = Diffs::default();
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
    fn change(&mut self, change: &Change, diffs: &mut Diffs) {
        match change {
            Change::Tenant(_) | Change::Site(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Rule(rule) => {
                let rule = Arc::new(rule.clone());
                self.rules.insert(rule.id, rule.clone());
                diffs.rule(RuleControl::Put(rule));
            }
            Change::RuleDeleted { id } => {
                self.rules.remove(id);
                diffs.rule(RuleControl::Deleted(*id));
            }
            Change::AlertResolved { tenant_id, id } => {
                diffs.rule(RuleControl::Resolved(*tenant_id, *id));
            }
            Change::Window(_) | Change::WindowDeleted { .. } => {}
            Change::TrendNormal { .. } => {}
            Change::Thresholds(row) => {
                let scopes = self.limits.put(row.into());
                self.touched.extend(scopes.into_iter().flatten());
            }
            Change::ThresholdsDeleted { id } => self.touched.extend(self.limits.remove(*id)),
            Change::TenantDeleted { id } => {
                self.limits.forget(|scope| scope.0 == *id);
                let rules = self.rules.extract_if(.., |_, rule| rule.tenant_id == *id);
                rules.for_each(|(rule, _)| diffs.rule(RuleControl::Deleted(rule)));
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
        let names = self.numbers.read();
        let rows = (0..).map(DeviceNumber).zip(&self.devices);
        let records = rows.filter_map(|(number, row)| row.record(names.device(number), &names));
        let mut records: Vec<_> = records.filter(wanted).collect();
        records.sort_unstable_by_key(|record| record.device_id);
        records
    }

    /// Says where a device stands from now on.
    pub(crate) fn put(&mut self, record: StandingRecord, diffs: &mut Diffs) {
        let (tenant, site, sector) = (record.tenant_id, record.site_id, record.sector_id);
        let standing = self.numbers.standing(tenant, site, sector);
        let limits = self.limits.of((tenant, site, sector), &self.thresholds);
        let (device, number) = (record.device_id, self.numbers.device(record.device_id));
        let info = DeviceInfo::of(&record, limits);
        let plain = limits == ApLimits::of(&self.thresholds)
            && record.parent_id.is_none()
            && record.group_ids.is_empty()
            && record.tag_ids.is_empty();
        let more = More {
            limits,
            parent: record.parent_id,
            groups: record.group_ids,
            tags: record.tag_ids,
        };
        let new = Row {
            standing,
            interval_ms: record.interval_ms,
            more: (!plain).then(|| Box::new(more)),
            enabled: record.enabled,
            role: record.role,
        };
        let old = match self.devices.get_mut(number.0 as usize) {
            None => {
                push_tight(&mut self.devices, new);
                None
            }
            Some(row) if *row == new => return,
            Some(row) => std::mem::replace(row, new).standing(),
        };
        self.sector_moved(old, Some(standing), diffs);
        diffs.device(DeviceDiff {
            order: 0,
            number,
            old,
            new: Some(standing),
            control: DeviceControl {
                device,
                info: Some(info),
            },
        });
    }

    fn remove(&mut self, device: DeviceId, diffs: &mut Diffs) {
        let number = self.numbers.read().number(&device);
        let Some(row) = self.devices.get_mut(number.0 as usize) else {
            return;
        };
        let Some(old) = row.standing() else {
            return;
        };
        (row.standing, row.more) = (NOWHERE, None);
        self.sector_moved(Some(old), None, diffs);
        diffs.device(DeviceDiff {
            order: 0,
            number,
            old: Some(old),
            new: None,
            control: DeviceControl { device, info: None },
        });
    }

    /// A device left a sector, or came into one: tells where the sector is, if that is elsewhere now.
    fn sector_moved(&mut self, old: Option<Standing>, new: Option<Standing>, diffs: &mut Diffs) {
        if old == new {
            return;
        }
        let (old, new) = {
            let names = self.numbers.read();
            let sector = |standing: Option<Standing>| {
                let (tenant, site, sector) = ids(standing?, &names);
                Some(((tenant, sector?), site?))
            };
            (sector(old), sector(new))
        };
        if let Some((sector, site)) = new {
            let sites = self.sectors.entry(sector).or_default();
            *sites.devices.entry(site).or_default() += 1;
        }
        if let Some((sector, site)) = old
            && let Some(sites) = self.sectors.get_mut(&sector)
            && let Some(n) = sites.devices.get_mut(&site)
        {
            *n -= 1;
            if *n == 0 {
                sites.devices.remove(&site);
            }
        }
        for (sector, _) in [old, new].into_iter().flatten() {
            let Some(sites) = self.sectors.get_mut(&sector) else {
                continue;
            };
            match sites.devices.keys().next().copied() {
                None => drop(self.sectors.remove(&sector)),
                Some(site) if sites.told != Some(site) => {
                    sites.told = Some(site);
                    let (tenant, sector) = sector;
                    diffs.rule(RuleControl::Sector {
                        tenant,
                        sector,
                        site,
                    });
                }
                Some(_) => {}
            }
        }
    }

    /// What a checkpoint holds: all rules, by rising id.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.rules.values().map(|rule| Rule::clone(rule)).collect()
    }

    /// What a checkpoint holds: what places say, by rising id.
    pub(crate) fn limits(&self) -> Vec<LimitsRecord> {
        self.limits.records()
    }

    /// What a checkpoint holds: all devices, by rising id.
    pub(crate) fn records(&self) -> Vec<StandingRecord> {
        self.select(|_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::ThresholdsId;
    use mast_schemas::thresholds::DEFAULT;

    #[test]
    fn what_a_device_belongs_to_is_told_and_kept() {
        let mut tables = ControlTables::new(DEFAULT, &[], &[], Numbers::default());
        let record = StandingRecord {
            device_id: DeviceId::new(),
            tenant_id: TenantId::new(),
            site_id: None,
            sector_id: None,
            enabled: true,
            role: Role::Router,
            interval_ms: 30_000,
            parent_id: Some(DeviceId::new()),
            group_ids: vec![GroupId::new()],
            tag_ids: vec![TagId::new()],
        };
        let mut diffs = Diffs::default();
        tables.put(record.clone(), &mut diffs);
        tables.put(record.clone(), &mut diffs);
        let told = |diff: &DeviceDiff| diff.control.info.clone();
        let all = DeviceInfo::of(&record, ApLimits::of(&DEFAULT));
        assert_eq!(
            diffs.devices.iter().map(told).collect::<Vec<_>>(),
            [Some(all.clone())]
        );
        assert_eq!(tables.records(), std::slice::from_ref(&record));

        // Another parent alone is a change, and what places say is no reason to forget the rest.
        let parent_id = None;
        tables.put(
            StandingRecord {
                parent_id,
                ..record.clone()
            },
            &mut diffs,
        );
        let limits = LimitsRecord {
            id: ThresholdsId::new(),
            tenant_id: record.tenant_id,
            site_id: None,
            sector_id: None,
            technology: None,
            degraded_signal_dbm: Some(-60),
            active_signal_dbm: None,
            degraded_ccq_percent: None,
            active_ccq_percent: None,
        };
        let scopes = tables.limits.put(limits);
        tables.touched.extend(scopes.into_iter().flatten());
        diffs.devices.extend(tables.apply([]).devices);
        assert_eq!(diffs.devices.len(), 3);
        let last = diffs.devices.last().and_then(told).unwrap();
        assert_eq!(last.parent, None);
        assert_eq!((last.groups, last.tags), (all.groups, all.tags));
        assert_ne!(last.limits, all.limits);
    }
}
