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
use mast_state::{ApLimits, Interner, PlaceLimits, Scope, push_tight};

use crate::numbers::{DeviceNumber, Names, Numbers, PlaceNumber, StandingNumber};

/// What control says of devices, and of what counts as bad where they stand.
#[derive(Debug)]
pub(crate) struct ControlTables {
    /// By number. Also those that are no more: a device that comes back has the number that it had.
    devices: Vec<Row>,
    kinds: Interner<Kind>,
    /// Of the few devices that belong to something besides places.
    belongs: HashMap<DeviceNumber, Box<Belongs>, FixedState>,
    numbers: Numbers,
    thresholds: Thresholds,
    limits: PlaceLimits,
    /// Where something else counts as bad than devices there were told.
    touched: BTreeSet<Scope>,
    rules: BTreeMap<RuleId, Arc<Rule>>,
    /// How many devices of a sector stand at a site, by (sector, site): one site, but while a sector moves with all of its
    /// devices.
    sectors: BTreeMap<(PlaceNumber, PlaceNumber), u32>,
    /// At which site a sector is, as was told last.
    told: BTreeMap<PlaceNumber, PlaceNumber>,
}

/// What control says of a device: 8 bytes, as every device has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// [`StandingNumber::NOWHERE`] = deleted.
    standing: StandingNumber,
    /// Number of its kind.
    kind: u32,
}

/// What most devices of a fleet have alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    interval_ms: u32,
    enabled: bool,
    role: Role,
    /// What counts as bad where it stands, as it was told.
    limits: ApLimits,
}

/// What a device belongs to besides places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Belongs {
    parent: Option<DeviceId>,
    groups: Box<[GroupId]>,
    tags: Box<[TagId]>,
}

impl Belongs {
    /// `None` where it is to nothing.
    fn of(record: &StandingRecord) -> Option<Box<Self>> {
        let something = record.parent_id.is_some()
            || !record.group_ids.is_empty()
            || !record.tag_ids.is_empty();
        something.then(|| {
            Box::new(Self {
                parent: record.parent_id,
                groups: record.group_ids.as_slice().into(),
                tags: record.tag_ids.as_slice().into(),
            })
        })
    }
}

fn ids(standing: StandingNumber, names: &Names) -> (TenantId, Option<SiteId>, Option<SectorId>) {
    let mut ids = (TenantId::default(), None, None);
    let places = names.standing(standing).into_iter();
    for place in places.filter_map(|place| names.place(place)) {
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
    pub(crate) old: Option<StandingNumber>,
    /// Where it stands.
    pub(crate) new: Option<StandingNumber>,
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
            kinds: Interner::default(),
            belongs: HashMap::default(),
            numbers,
            thresholds,
            limits: places,
            touched: BTreeSet::new(),
            rules: rules
                .iter()
                .map(|rule| (rule.id, Arc::new(rule.clone())))
                .collect(),
            sectors: BTreeMap::new(),
            told: BTreeMap::new(),
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
        let records = rows.filter_map(|(number, row)| self.record(number, *row, &names));
        let mut records: Vec<_> = records.filter(wanted).collect();
        records.sort_unstable_by_key(|record| record.device_id);
        records
    }

    /// All that control says of a device; `None` = it is deleted.
    fn record(&self, number: DeviceNumber, row: Row, names: &Names) -> Option<StandingRecord> {
        let (tenant_id, site_id, sector_id) = ids(row.standing.get()?, names);
        let kind = self.kinds.value(row.kind)?;
        let belongs = self.belongs.get(&number);
        Some(StandingRecord {
            device_id: names.device(number),
            tenant_id,
            site_id,
            sector_id,
            enabled: kind.enabled,
            role: kind.role,
            interval_ms: kind.interval_ms,
            parent_id: belongs.and_then(|belongs| belongs.parent),
            group_ids: belongs.map_or_else(Vec::new, |belongs| belongs.groups.to_vec()),
            tag_ids: belongs.map_or_else(Vec::new, |belongs| belongs.tags.to_vec()),
        })
    }

    /// Says where a device stands from now on.
    pub(crate) fn put(&mut self, record: StandingRecord, diffs: &mut Diffs) {
        let (tenant, site, sector) = (record.tenant_id, record.site_id, record.sector_id);
        let standing = self.numbers.standing(tenant, site, sector);
        let limits = self.limits.of((tenant, site, sector), &self.thresholds);
        let (device, number) = (record.device_id, self.numbers.device(record.device_id));
        let info = DeviceInfo::of(&record, limits);
        let belongs = Belongs::of(&record);
        let kind = self.kinds.number(&Kind {
            interval_ms: record.interval_ms,
            enabled: record.enabled,
            role: record.role,
            limits,
        });
        let new = Row { standing, kind };
        let same = self.belongs.get(&number) == belongs.as_ref();
        let old = match self.devices.get_mut(number.0 as usize) {
            None => {
                push_tight(&mut self.devices, new);
                None
            }
            Some(row) if *row == new && same => return,
            Some(row) => std::mem::replace(row, new).standing.get(),
        };
        if let Some(belongs) = belongs {
            self.belongs.insert(number, belongs);
        } else {
            self.belongs.remove(&number);
        }
        self.sweep_kinds();
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
        let Some(old) = row.standing.get() else {
            return;
        };
        row.standing = StandingNumber::NOWHERE;
        self.belongs.remove(&number);
        self.sector_moved(Some(old), None, diffs);
        diffs.device(DeviceDiff {
            order: 0,
            number,
            old: Some(old),
            new: None,
            control: DeviceControl { device, info: None },
        });
    }

    /// Forgets the kinds that no device has any more, if there may be many.
    fn sweep_kinds(&mut self) {
        if self.kinds.is_littered() {
            let there = self
                .devices
                .iter()
                .filter(|row| row.standing.get().is_some());
            self.kinds.sweep(there.map(|row| row.kind));
        }
    }

    /// A device left a sector, or came into one: tells where the sector is, if that is elsewhere now.
    fn sector_moved(
        &mut self,
        old: Option<StandingNumber>,
        new: Option<StandingNumber>,
        diffs: &mut Diffs,
    ) {
        if old == new {
            return;
        }
        let names = self.numbers.read();
        let sector_at = |standing: Option<StandingNumber>| {
            let [_, site, sector] = names.standing(standing?);
            (site != PlaceNumber::NONE && sector != PlaceNumber::NONE).then_some((sector, site))
        };
        let (old, new) = (sector_at(old), sector_at(new));
        if let Some(at) = new {
            *self.sectors.entry(at).or_default() += 1;
        }
        if let Some(at) = old
            && let Some(devices) = self.sectors.get_mut(&at)
        {
            *devices -= 1;
            if *devices == 0 {
                self.sectors.remove(&at);
            }
        }
        for (sector, _) in [old, new].into_iter().flatten() {
            let all = (sector, PlaceNumber(0))..=(sector, PlaceNumber::NONE);
            let sites = self.sectors.range(all).map(|((_, site), _)| *site);
            // Of two sites the one with the lower id.
            let is_at = sites.min_by_key(|site| names.place(*site));
            if self.told.get(&sector).copied() == is_at {
                continue;
            }
            let Some(is_at) = is_at else {
                self.told.remove(&sector);
                continue;
            };
            self.told.insert(sector, is_at);
            let places = (names.place(sector), names.place(is_at));
            if let (Some(Place::Sector(tenant, sector)), Some(Place::Site(_, site))) = places {
                diffs.rule(RuleControl::Sector {
                    tenant,
                    sector,
                    site,
                });
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

    fn record(tenant_id: TenantId) -> StandingRecord {
        StandingRecord {
            device_id: DeviceId::new(),
            tenant_id,
            site_id: None,
            sector_id: None,
            enabled: true,
            role: Role::Router,
            interval_ms: 30_000,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
        }
    }

    #[test]
    fn what_every_device_has_is_small() {
        assert_eq!(size_of::<Row>(), 8);
    }

    #[test]
    fn kinds_that_no_device_has_any_more_go() {
        let mut tables = ControlTables::new(DEFAULT, &[], &[], Numbers::default());
        let mut diffs = Diffs::default();
        let (stays, gone) = (record(TenantId::new()), record(TenantId::new()));
        let mut edited = record(TenantId::new());
        tables.put(stays.clone(), &mut diffs);
        tables.put(gone.clone(), &mut diffs);
        tables.remove(gone.device_id, &mut diffs);
        for interval_ms in 1..100_000 {
            edited.interval_ms = interval_ms;
            tables.put(edited.clone(), &mut diffs);
        }
        // Else there were as many as edits.
        let kinds = (0..).take_while(|n| tables.kinds.value(*n).is_some());
        assert!(kinds.count() < 2_000);
        let mut all = [stays, edited];
        all.sort_by_key(|record| record.device_id);
        assert_eq!(tables.records(), all);
        // It comes back, of a kind that others took in the meantime.
        tables.put(gone.clone(), &mut diffs);
        assert!(tables.records().contains(&gone));
    }

    #[test]
    fn a_sector_is_where_its_devices_are_and_at_one_site() {
        let mut tables = ControlTables::new(DEFAULT, &[], &[], Numbers::default());
        let (tenant, sector) = (TenantId::new(), SectorId::new());
        let mut sites = [SiteId::new(), SiteId::new()];
        // The higher id is known first.
        sites.sort();
        let [low, high] = sites;
        let mut devices = [record(tenant), record(tenant)];
        let mut moves = |n: usize, site: SiteId| {
            (devices[n].site_id, devices[n].sector_id) = (Some(site), Some(sector));
            let mut diffs = Diffs::default();
            tables.put(devices[n].clone(), &mut diffs);
            let told = diffs.rules.into_iter().map(|(_, control)| match control {
                RuleControl::Sector {
                    tenant: of,
                    sector: what,
                    site,
                } => {
                    assert_eq!((of, what), (tenant, sector));
                    site
                }
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(moves(0, high), [high]);
        assert_eq!(moves(1, high), []);
        assert_eq!(moves(1, low), [low]);
        assert_eq!(moves(1, high), [high]);
        assert_eq!(moves(0, low), [low]);
        assert_eq!(moves(1, low), []);
        for device in devices {
            tables.remove(device.device_id, &mut Diffs::default());
        }
        assert!(tables.sectors.is_empty() && tables.told.is_empty());
    }

    #[test]
    fn what_a_device_belongs_to_is_told_and_kept() {
        let mut tables = ControlTables::new(DEFAULT, &[], &[], Numbers::default());
        let record = StandingRecord {
            parent_id: Some(DeviceId::new()),
            group_ids: vec![GroupId::new()],
            tag_ids: vec![TagId::new()],
            ..record(TenantId::new())
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
