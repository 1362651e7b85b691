//! Who has a radio, by (tenant, BSSID). A controller shows radios of other devices: their tables go to the access point
//! that owns the radio, once it is known who that is. A station names its access point only by BSSID.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::{BssidRecord, CapRecord, ReporterRecord};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::Map;
use crate::messages::{
    ApInput, Association, RadioKnown, RemoteTable, RoamChange, RoamEvent, Stamp, StationFact,
};
use crate::roam::key_group_of_client;

/// All radios of a worker.
#[derive(Debug)]
pub struct Bssids {
    radios: Map<(TenantId, Mac), Radio>,
    /// Owners as of the slot's begin or earlier, of radios that nobody has shown as remote yet.
    owners: Map<(TenantId, Mac), DeviceId>,
    /// Reporters of remote radios: whether unobserved, and the radios they show.
    reporters: BTreeMap<DeviceId, Reporting>,
    /// Remote radios to look at when the slot ends.
    touched: BTreeSet<(TenantId, Mac)>,
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

#[derive(Debug)]
struct Cap {
    ap: DeviceId,
    owner: Option<DeviceId>,
    /// By rising device.
    reporters: Vec<Reporter>,
}

#[derive(Debug)]
struct Reporter {
    device: DeviceId,
    /// The access point that its last table reached.
    told: Option<DeviceId>,
    /// What that access point was last told of this reporter.
    unobserved: bool,
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
    fn lowest(&self) -> Option<DeviceId> {
        self.reporters
            .iter()
            .find(|reporter| !reporter.gone)
            .map(|reporter| reporter.device)
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
                    told: None,
                    unobserved: false,
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
        let told = self.cap.iter().flat_map(|cap| {
            cap.reporters
                .iter()
                .any(|r| r.told == Some(cap.ap))
                .then_some(cap.ap)
        });
        let own = &self.own;
        own.iter()
            .copied()
            .chain(told.filter(move |ap| !own.contains(ap)))
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
            new_owners: BTreeMap::new(),
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
            (false, true) if !radio.own.contains(&known.device) => radio.own.push(known.device),
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
        let cap = radio.cap.get_or_insert_with(|| {
            out.remote_radios.push((key.0, key.1, 1));
            let owner = self.owners.remove(&key);
            Box::new(Cap {
                ap: owner.unwrap_or(device),
                owner,
                reporters: Vec::new(),
            })
        });
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
        let moved = reporter.told.is_some_and(|told| told != ap);
        if reporter.told != Some(ap) {
            reporter.told = Some(ap);
            self.touched.insert(key);
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
        if moved {
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
            match self
                .radios
                .get_mut(&key)
                .and_then(|radio| radio.cap.as_deref_mut())
            {
                Some(cap) => cap.owner = owner,
                None => match owner {
                    Some(owner) => drop(self.owners.insert(key, owner)),
                    None => drop(self.owners.remove(&key)),
                },
            }
            self.touched.insert(key);
        }
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
        if ap != place {
            out.aps.push(ApInput::RadioMoved { ap, radio: key.1 });
            out.moved.push((ap, key.1));
            cap.ap = place;
            for reporter in &mut cap.reporters {
                reporter.unobserved = false;
            }
        }
        for reporter in &mut cap.reporters {
            let reporting = self.reporters.get(&reporter.device);
            let unobserved = reporter.gone || reporting.is_some_and(|r| r.unobserved);
            if reporter.unobserved != unobserved {
                reporter.unobserved = unobserved;
                let (ap, radio, reporter) = (cap.ap, key.1, reporter.device);
                out.aps.push(ApInput::Reporter {
                    ap,
                    radio,
                    reporter,
                    unobserved,
                });
            }
        }
        if cap.reporters.iter().all(|reporter| reporter.gone) && cap.owner.is_none() {
            out.remote_radios.push((key.0, key.1, -1));
            radio.cap = None;
        }
    }

    /// Remote radios with their [`key_group_of_client`], by rising group, tenant and radio.
    pub fn records(&self) -> Vec<(u8, CapRecord)> {
        self.caps(|(tenant_id, radio_mac), cap| CapRecord {
            tenant_id,
            radio_mac,
            reporters: cap
                .reporters
                .iter()
                .filter(|r| !r.gone)
                .map(|r| r.device)
                .collect(),
            ap_device_id: cap.ap,
        })
    }

    /// What this step knows of the same radios besides [`Bssids::records`].
    pub fn bssid_records(&self) -> Vec<(u8, BssidRecord)> {
        self.caps(|(tenant_id, radio_mac), cap| BssidRecord {
            tenant_id,
            radio_mac,
            owner: cap.owner,
            reporters: cap
                .reporters
                .iter()
                .map(|reporter| ReporterRecord {
                    device_id: reporter.device,
                    told: reporter.told,
                    unobserved: reporter.unobserved,
                    gone: reporter.gone,
                })
                .collect(),
        })
    }

    fn caps<R>(&self, record: impl Fn((TenantId, Mac), &Cap) -> R) -> Vec<(u8, R)> {
        let mut caps: Vec<_> = self
            .radios
            .iter()
            .filter_map(|(key, radio)| Some((*key, radio.cap.as_deref()?)))
            .map(|(key, cap)| (key_group_of_client(&key.0, key.1), key, cap))
            .collect();
        caps.sort_unstable_by_key(|(group, key, _)| (*group, *key));
        caps.into_iter()
            .map(|(group, key, cap)| (group, record(key, cap)))
            .collect()
    }

    /// Takes records in. Radios of their own come again from the devices' records, through [`Bssids::radio`]. `out`
    /// gets which owners and statuses this step must be told; nothing for access points.
    pub fn restore(&mut self, caps: Vec<CapRecord>, rest: Vec<BssidRecord>, out: &mut BssidOut) {
        let mut rest: BTreeMap<_, _> = rest
            .into_iter()
            .map(|record| ((record.tenant_id, record.radio_mac), record))
            .collect();
        for record in caps {
            let key = (record.tenant_id, record.radio_mac);
            let ap = record.ap_device_id;
            out.remote_radios.push((key.0, key.1, 1));
            let mut cap = Cap {
                ap,
                owner: None,
                reporters: Vec::new(),
            };
            for device in record.reporters {
                cap.reporter(device).told = Some(ap);
            }
            cap.owner = (cap.lowest() != Some(ap)).then_some(ap);
            if let Some(rest) = rest.remove(&key) {
                cap.owner = rest.owner;
                for known in rest.reporters {
                    let reporter = cap.reporter(known.device_id);
                    reporter.told = known.told;
                    reporter.unobserved = known.unobserved;
                    reporter.gone = known.gone;
                }
            }
            for reporter in cap.reporters.iter().filter(|reporter| !reporter.gone) {
                let reporting = self.reporters.entry(reporter.device).or_insert_with(|| {
                    out.reporters.push((reporter.device, 1));
                    Reporting::default()
                });
                reporting.unobserved |= reporter.unobserved;
                reporting.radios.insert(key);
            }
            self.radios.entry(key).or_default().cap = Some(Box::new(cap));
        }
    }
}
