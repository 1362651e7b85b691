//! Who has a radio, by (tenant, BSSID). A controller shows radios of other devices: their tables go to the access point
//! that owns the radio, once it is known who that is. A station names its access point only by BSSID.

mod records;

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::records::Tables;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Map, push_tight};
use crate::messages::{
    ApInput, Association, DeviceControl, RadioKnown, RemoteTable, RoamChange, RoamEvent, Stamp,
    StationFact,
};

/// All radios of a worker.
#[derive(Debug)]
pub struct Bssids {
    radios: Map<(TenantId, Mac), Radio>,
    /// Owners as of the slot's begin, of radios that are shown as remote in it.
    owners: Map<(TenantId, Mac), DeviceId>,
    /// Reporters of remote radios: whether unobserved, and the radios they show.
    reporters: BTreeMap<DeviceId, Reporting>,
    /// Remote radios to look at when the slot ends.
    touched: BTreeSet<(TenantId, Mac)>,
    /// Devices that control deleted in the slot.
    deleted: BTreeSet<DeviceId>,
    /// Owners that changed in the slot.
    new_owners: BTreeMap<(TenantId, Mac), Option<DeviceId>>,
}

#[derive(Debug, Default)]
struct Reporting {
    unobserved: bool,
    radios: BTreeSet<(TenantId, Mac)>,
}

#[derive(Debug, Default)]
struct Radio {
    /// Devices that show it as their own.
    own: Vec<DeviceId>,
    cap: Option<Box<Cap>>,
}

/// A remote radio. Once no controller shows it, it waits: its access points still have it, but it moves no more.
#[derive(Debug)]
struct Cap {
    ap: DeviceId,
    owner: Option<DeviceId>,
    /// By rising device.
    reporters: Vec<Reporter>,
    /// Access points that a table of it has reached.
    reached: Vec<DeviceId>,
}

#[derive(Debug)]
struct Reporter {
    device: DeviceId,
    /// Sources whose table has reached the access point since the radio belongs to it: the first one of each makes all its
    /// clients appear there.
    reached: Tables,
    /// What that access point was last told of this reporter, if it was since the first table.
    unobserved: Option<bool>,
    /// It no longer shows the radio.
    gone: bool,
}

/// What the BSSID step emits in one slot.
#[derive(Debug, Default)]
pub struct BssidOut {
    /// To access points.
    pub aps: Vec<ApInput>,
    /// To roaming clients.
    pub roam: Vec<RoamEvent>,
    /// To all roam steps: (access point, radio) whose associations are dropped at the slot's end.
    pub moved: Vec<(DeviceId, Mac)>,
    /// Radios whose owner this step must be told: ±1.
    pub remote_radios: Vec<(TenantId, Mac, i8)>,
    /// Devices whose status this step must be told: ±1.
    pub reporters: Vec<(DeviceId, i8)>,
}

impl Cap {
    const fn new(ap: DeviceId) -> Self {
        Self {
            ap,
            owner: None,
            reporters: Vec::new(),
            reached: Vec::new(),
        }
    }

    fn lowest(&self) -> Option<DeviceId> {
        self.reporters
            .iter()
            .find(|reporter| !reporter.gone)
            .map(|reporter| reporter.device)
    }

    /// Nothing of the radio is left at its access point.
    fn begin_anew(&mut self) {
        self.reached.retain(|ap| *ap != self.ap);
        for reporter in &mut self.reporters {
            (reporter.reached, reporter.unobserved) = (Tables(0), None);
        }
    }

    /// Where it belongs now; stays where it is while nobody shows or owns it.
    fn place(&self) -> DeviceId {
        self.owner.or_else(|| self.lowest()).unwrap_or(self.ap)
    }

    fn reporter(&mut self, device: DeviceId) -> &mut Reporter {
        let i = match self.reporters.binary_search_by_key(&device, |r| r.device) {
            Ok(i) => i,
            Err(i) => {
                let fresh = Reporter {
                    device,
                    reached: Tables(0),
                    unobserved: None,
                    gone: false,
                };
                self.reporters.insert(i, fresh);
                i
            }
        };
        &mut self.reporters[i]
    }
}

impl Radio {
    /// Access points that have this radio: a table of it has reached them.
    fn holders(&self) -> impl Iterator<Item = DeviceId> {
        let own = &self.own;
        let reached = self.cap.iter().flat_map(|cap| cap.reached.iter().copied());
        own.iter()
            .copied()
            .chain(reached.filter(move |ap| !own.contains(ap)))
    }
}

impl Bssids {
    /// No radios yet.
    pub fn new(_: Thresholds) -> Self {
        Self {
            radios: Map::default(),
            owners: Map::default(),
            reporters: BTreeMap::new(),
            touched: BTreeSet::new(),
            deleted: BTreeSet::new(),
            new_owners: BTreeMap::new(),
        }
    }

    /// Opens a slot. Every worker needs all of control: nothing of a deleted access point is left, whoever its radios are.
    pub fn begin_slot(&mut self, control: &[DeviceControl]) {
        self.deleted.clear();
        let gone = control.iter().filter(|change| change.info.is_none());
        let gone: BTreeSet<DeviceId> = gone.map(|change| change.device).collect();
        if gone.is_empty() {
            return;
        }
        for change in control {
            match change.info {
                None => self.deleted.insert(change.device),
                Some(_) => self.deleted.remove(&change.device),
            };
        }
        let caps = self
            .radios
            .values_mut()
            .filter_map(|r| r.cap.as_deref_mut());
        for cap in caps {
            cap.reached.retain(|ap| !gone.contains(ap));
            if gone.contains(&cap.ap) {
                cap.begin_anew();
            }
        }
    }

    /// Who owned a radio at the slot's begin; given before the slot's messages, for radios that are shown as remote for
    /// the first time in it.
    pub fn owner_at_begin(&mut self, tenant: TenantId, radio: Mac, owner: DeviceId) {
        self.owners.insert((tenant, radio), owner);
    }

    /// A radio appeared or went.
    pub fn radio(&mut self, known: &RadioKnown, out: &mut BssidOut) {
        let key = (known.tenant, known.radio);
        let radio = self.radios.entry(key).or_default();
        match (known.remote, known.known) {
            (false, true) if !radio.own.contains(&known.device) => {
                push_tight(&mut radio.own, known.device);
            }
            (false, true) => {}
            (false, false) => radio.own.retain(|device| *device != known.device),
            (true, true) => self.show(key, known.device, out),
            (true, false) => {
                if let Some(cap) = &mut radio.cap {
                    cap.reporter(known.device).gone = true;
                    self.touched.insert(key);
                }
                self.forget_reporter(key, known.device, out);
            }
        }
    }

    fn forget_reporter(&mut self, key: (TenantId, Mac), device: DeviceId, out: &mut BssidOut) {
        let Some(reporting) = self.reporters.get_mut(&device) else {
            return;
        };
        if reporting.radios.remove(&key) && reporting.radios.is_empty() {
            self.reporters.remove(&device);
            out.reporters.push((device, -1));
        }
    }

    /// A controller shows a radio.
    fn show(&mut self, key: (TenantId, Mac), device: DeviceId, out: &mut BssidOut) {
        let radio = self.radios.entry(key).or_default();
        let cap = radio.cap.get_or_insert_with(|| Box::new(Cap::new(device)));
        if cap.reporters.is_empty() {
            out.remote_radios.push((key.0, key.1, 1));
            // Who owns it now is told at the slot's end: who did at its begin may have lost it since.
            cap.owner = None;
            cap.ap = self.owners.get(&key).copied().unwrap_or(device);
        }
        cap.reporter(device).gone = false;
        self.touched.insert(key);
        let reporting = self.reporters.entry(device).or_insert_with(|| {
            out.reporters.push((device, 1));
            Reporting::default()
        });
        reporting.radios.insert(key);
    }

    /// A station's word: to each access point that has the radio.
    pub fn station(&mut self, fact: StationFact, out: &mut BssidOut) {
        let Some(radio) = self.radios.get(&(fact.tenant, fact.radio)) else {
            return;
        };
        out.aps
            .extend(radio.holders().map(|ap| ApInput::Station { ap, fact }));
    }

    /// A remote radio's table: to the access point it belongs to, which may have changed since the last one.
    pub fn remote(&mut self, mut remote: RemoteTable, out: &mut BssidOut) {
        let table = &mut remote.table;
        let key = (table.tenant, table.radio);
        if self
            .radios
            .get(&key)
            .is_none_or(|radio| radio.cap.is_none())
        {
            self.show(key, table.reporter, out);
        }
        let Some(cap) = self
            .radios
            .get_mut(&key)
            .and_then(|radio| radio.cap.as_deref_mut())
        else {
            return;
        };
        let ap = cap.ap;
        let reporter = cap.reporter(table.reporter);
        let reached = Tables::registration(table.source);
        let first = !reporter.reached.has(reached);
        if first {
            reporter.reached = reporter.reached.with(reached);
            reporter.unobserved = None;
            self.touched.insert(key);
        }
        if self.deleted.contains(&ap) {
            return;
        }
        if !cap.reached.contains(&ap) {
            cap.reached.push(ap);
        }
        table.ap = ap;
        let stamp = table.stamp.step(Stamp::association(table.source));
        let source = table.source;
        let event = |(mac, began, change)| {
            let association = Association {
                ap,
                radio: key.1,
                began,
            };
            RoamEvent {
                stamp,
                tenant: key.0,
                mac,
                source,
                association,
                change,
            }
        };
        if first {
            let rows = table.rows.iter();
            out.roam
                .extend(rows.map(|row| event((row.mac, row.began, RoamChange::Appeared))));
        } else {
            out.roam.extend(remote.changes.into_iter().map(event));
        }
        out.aps.push(ApInput::Table(remote.table));
    }

    /// Who owns a radio, as of the slot's end.
    pub fn owner(&mut self, tenant: TenantId, radio: Mac, owner: Option<DeviceId>) {
        self.new_owners.insert((tenant, radio), owner);
    }

    /// Whether a reporting device is offline, unobserved or unmanageable, as of the slot's end.
    pub fn reporter(&mut self, device: DeviceId, unobserved: bool) {
        if let Some(reporting) = self.reporters.get_mut(&device)
            && reporting.unobserved != unobserved
        {
            reporting.unobserved = unobserved;
            self.touched.extend(reporting.radios.iter().copied());
        }
    }

    /// Closes the slot: radios move to their owners; access points hear whether their radios' reporters are observed.
    pub fn end_slot(&mut self, _end: Timestamp, out: &mut BssidOut) {
        for (key, owner) in std::mem::take(&mut self.new_owners) {
            let radio = self.radios.get_mut(&key);
            if let Some(cap) = radio.and_then(|radio| radio.cap.as_deref_mut()) {
                cap.owner = owner;
                self.touched.insert(key);
            }
        }
        self.owners.clear();
        for key in std::mem::take(&mut self.touched) {
            self.settle(key, out);
        }
    }

    fn settle(&mut self, key: (TenantId, Mac), out: &mut BssidOut) {
        let Some(radio) = self.radios.get_mut(&key) else {
            return;
        };
        let Some(cap) = radio.cap.as_deref_mut() else {
            return;
        };
        let (ap, place) = (cap.ap, cap.place());
        let shown = cap.lowest().is_some();
        if shown && ap != place {
            out.aps.push(ApInput::RadioMoved { ap, radio: key.1 });
            out.moved.push((ap, key.1));
            cap.begin_anew();
            cap.ap = place;
        }
        for reporter in &mut cap.reporters {
            let reporting = self.reporters.get(&reporter.device);
            let unobserved = reporter.gone || reporting.is_some_and(|r| r.unobserved);
            if reporter.unobserved != Some(unobserved) {
                reporter.unobserved = Some(unobserved);
                let (ap, radio, reporter) = (cap.ap, key.1, reporter.device);
                out.aps.push(ApInput::Reporter {
                    ap,
                    radio,
                    reporter,
                    unobserved,
                });
            }
        }
        if !shown && !cap.reporters.is_empty() {
            out.remote_radios.push((key.0, key.1, -1));
            cap.reporters.clear();
        }
        if cap.reporters.is_empty() && cap.reached.is_empty() {
            radio.cap = None;
        }
    }
}
