//! From the records of a checkpoint, and to them.

use std::collections::BTreeMap;

use mast_schemas::checkpoint::{
    AlertRecord, ApRecord, BssidRecord, CapRecord, ClaimRecord, CoreRecord, DeviceRecord,
    HealthRecord, IncidentRecord, JudgedRecord, LimitsRecord, RadioRecord, ReporterRecord,
    RoamRecord, SaidRecord, StandingRecord, TableRadioRecord, TableRecord, ThroughputRecord,
    TrendRecord,
};
use mast_schemas::control::{Rule, Window};
use mast_schemas::records::Tables;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, LinkId};

use crate::air::Air;
use crate::devices::{Device, Table, TableRadio};
use crate::health::PlaceNow;
use crate::oracle::{Oracle, Radio, Timer};
use crate::windows;

/// The records of all parts of a checkpoint.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Restored {
    /// What control says of each device.
    pub control: Vec<StandingRecord>,
    /// What it says counts as bad.
    pub limits: Vec<LimitsRecord>,
    /// Devices.
    pub devices: Vec<DeviceRecord>,
    /// Where clients are.
    pub roam: Vec<RoamRecord>,
    /// Access points with their links.
    pub aps: Vec<ApRecord>,
    /// Remote radios.
    pub caps: Vec<CapRecord>,
    /// Where their tables went.
    pub bssids: Vec<BssidRecord>,
    /// How places are.
    pub health: Vec<HealthRecord>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Which sites are of the core.
    pub cores: Vec<CoreRecord>,
    /// Maintenance windows.
    pub windows: Vec<Window>,
    /// How far rules are.
    pub judged: Vec<JudgedRecord>,
    /// Traffic that rules compare.
    pub throughput: Vec<ThroughputRecord>,
    /// Signals of clients over days.
    pub trends: Vec<TrendRecord>,
    /// Alerts.
    pub alerts: Vec<AlertRecord>,
    /// Incidents.
    pub incidents: Vec<IncidentRecord>,
}

impl Oracle {
    /// The state that a checkpoint holds. `now` and the counters are not part of it: the next slot sets the one (or
    /// [`Oracle::set_now`]), the others begin at 0. Records of devices that control does not know are left out.
    pub fn restore(thresholds: Thresholds, records: Restored) -> Self {
        let mut oracle = Self::new(thresholds);
        let since = oracle.now;
        for row in records.control {
            oracle.device_changed(row, since);
        }
        oracle.limits = (records.limits.into_iter())
            .map(|row| (row.id, row))
            .collect();
        for record in records.devices {
            oracle.restore_device(record);
        }
        for ap in records.aps {
            oracle.restore_ap(ap);
        }
        for record in records.roam {
            let address = (record.tenant_id, record.mac);
            oracle.roam.insert(address, record);
            oracle.arm_roam(address);
        }
        oracle.caps = records
            .caps
            .into_iter()
            .map(|c| ((c.tenant_id, c.radio_mac), c))
            .collect();
        for record in &records.bssids {
            oracle.restore_reached(record);
        }
        let places = records.health.into_iter();
        oracle.places = places
            .map(|record| (record.place, PlaceNow::restored(record)))
            .collect();
        let cores = records.cores.into_iter();
        oracle.cores = cores.map(|core| (core.tenant_id, core.site_id)).collect();
        let windows = records.windows.into_iter();
        oracle.windows = windows
            .map(|row| (row.id, windows::Window::new(row)))
            .collect();
        // What is open of them is asked in the next slot.
        oracle.places_touched = true;
        oracle.restore_trends(&records.trends);
        oracle.restore_rules(records.rules, records.judged, records.throughput);
        oracle.restore_incidents(records.alerts, records.incidents);
        oracle
    }

    fn restore_reached(&mut self, record: &BssidRecord) {
        for reporter in &record.reporters {
            let device = self.devices.get_mut(&reporter.device_id);
            let tables = device.into_iter().flat_map(|d| &mut d.tables);
            for (source, table) in tables {
                if let Some(radio) = table.radios.get_mut(&record.radio_mac) {
                    radio.reached = Tables(reporter.reached).has(Tables::registration(*source));
                }
            }
        }
    }

    fn restore_device(&mut self, record: DeviceRecord) {
        let id = record.device_id;
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        *device = Device {
            row: device.row.clone(),
            state: record.state,
            since: record.since,
            outcome: record.outcome,
            fail_run: record.fail_run,
            fail_unmanageable: record.fail_unmanageable,
            last_poll: record.last_poll,
            overdue_at: record.overdue_at,
            attributes: record.attributes,
            claims: record
                .claims
                .iter()
                .map(|c| (c.mac, c.first_seen))
                .collect(),
            tables: record
                .tables
                .into_iter()
                .map(|t| (t.source, restored_table(t)))
                .collect(),
            said: record
                .said
                .into_iter()
                .map(|s| ((s.source, s.mac, s.address), (s.since, s.host_name)))
                .collect(),
            air: record.air.map(Air::from).unwrap_or_default(),
        };
        if let Some(due) = record.overdue_at {
            self.timers.insert((due, Timer::Overdue(id)));
        }
        for claim in record.claims {
            self.claims
                .entry((record.tenant_id, claim.mac))
                .or_default()
                .insert((claim.first_seen, id));
        }
    }

    fn restore_ap(&mut self, ap: ApRecord) {
        for radio in ap.radios {
            let radio_mac = radio.radio_mac;
            self.radio_aps
                .entry((ap.tenant_id, radio_mac))
                .or_default()
                .insert(ap.device_id);
            let macs: Vec<_> = radio.links.iter().map(|l| l.mac).collect();
            let restored = Radio {
                interface: radio.interface,
                links: radio.links.into_iter().map(|l| (l.mac, l)).collect(),
                stations: radio.stations.into_iter().map(|s| (s.mac, s)).collect(),
            };
            self.aps
                .entry(ap.device_id)
                .or_default()
                .insert(radio_mac, restored);
            for mac in macs {
                let (tenant_id, ap_device_id) = (ap.tenant_id, ap.device_id);
                self.arm_link(&LinkId {
                    tenant_id,
                    ap_device_id,
                    radio_mac,
                    mac,
                });
            }
        }
    }

    /// All state as records: [`Oracle::restore`] goes on from them as if nothing had been.
    pub fn records(&self) -> Restored {
        Restored {
            control: self.devices.values().map(|d| d.row.clone()).collect(),
            limits: self.limits.values().copied().collect(),
            devices: self.devices.values().map(device_record).collect(),
            roam: self.roam.values().cloned().collect(),
            aps: self.ap_records(),
            caps: self.caps.values().cloned().collect(),
            bssids: self.caps.values().map(|c| self.bssid_record(c)).collect(),
            health: self
                .places
                .iter()
                .map(|(place, now)| now.record(*place))
                .collect(),
            rules: self.rules.values().cloned().collect(),
            cores: self.core_records(),
            windows: self.windows.values().map(|w| w.row.clone()).collect(),
            judged: self.judged_records(),
            throughput: self.throughput_records(),
            trends: self.trend_records(),
            alerts: self.alert_records(),
            incidents: self.incident_records(),
        }
    }

    fn core_records(&self) -> Vec<CoreRecord> {
        let cores = self.cores.iter();
        cores
            .map(|(tenant_id, site_id)| CoreRecord {
                tenant_id: *tenant_id,
                site_id: *site_id,
            })
            .collect()
    }

    fn bssid_record(&self, cap: &CapRecord) -> BssidRecord {
        let reporter = |id: &DeviceId| {
            let device = self.devices.get(id);
            let tables = device.into_iter().flat_map(|d| &d.tables);
            let reached = tables
                .filter(|(_, t)| t.radios.get(&cap.radio_mac).is_some_and(|r| r.reached))
                .fold(Tables(0), |all, (source, _)| {
                    all.with(Tables::registration(*source))
                });
            ReporterRecord {
                device_id: *id,
                reached: reached.0,
                unobserved: device.is_none_or(|d| d.state != DeviceState::Online),
                gone: false,
            }
        };
        let reached = self.radio_aps.get(&(cap.tenant_id, cap.radio_mac));
        BssidRecord {
            tenant_id: cap.tenant_id,
            radio_mac: cap.radio_mac,
            owner: self.owner((cap.tenant_id, cap.radio_mac), None),
            reporters: cap.reporters.iter().map(reporter).collect(),
            reached: reached.into_iter().flatten().copied().collect(),
        }
    }

    fn ap_records(&self) -> Vec<ApRecord> {
        let aps = self.aps.iter().filter(|(_, radios)| !radios.is_empty());
        let aps = aps.filter_map(|(id, radios)| Some((self.devices.get(id)?, radios)));
        aps.map(|(device, radios)| ApRecord {
            device_id: device.row.device_id,
            tenant_id: device.row.tenant_id,
            radios: radios
                .iter()
                .map(|(radio_mac, radio)| RadioRecord {
                    radio_mac: *radio_mac,
                    interface: radio.interface.clone(),
                    links: radio.links.values().cloned().collect(),
                    stations: radio.stations.values().copied().collect(),
                })
                .collect(),
        })
        .collect()
    }
}

fn restored_table(table: TableRecord) -> Table {
    let radio = |r: TableRadioRecord| TableRadio {
        remote: r.remote,
        reached: false,
        interface: r.interface,
        clients: r.clients.into_iter().collect::<BTreeMap<_, _>>(),
    };
    Table {
        radios: table
            .radios
            .into_iter()
            .map(|r| (r.radio_mac, radio(r)))
            .collect(),
        stations: table.stations.into_iter().collect(),
    }
}

fn device_record(device: &Device) -> DeviceRecord {
    DeviceRecord {
        device_id: device.row.device_id,
        tenant_id: device.row.tenant_id,
        state: device.state,
        since: device.since,
        outcome: device.outcome,
        fail_run: device.fail_run,
        fail_unmanageable: device.fail_unmanageable,
        last_poll: device.last_poll,
        overdue_at: device.overdue_at,
        attributes: device.attributes.clone(),
        claims: device
            .claims
            .iter()
            .map(|(mac, at)| ClaimRecord {
                mac: *mac,
                first_seen: *at,
            })
            .collect(),
        tables: device
            .tables
            .iter()
            .map(|(source, table)| table_record(*source, table))
            .collect(),
        said: said_records(device),
        air: Some(device.air.record()),
    }
}

fn said_records(device: &Device) -> Vec<SaidRecord> {
    let said = device.said.iter();
    said.map(|((source, mac, address), (since, host_name))| SaidRecord {
        source: *source,
        mac: *mac,
        address: address.clone(),
        host_name: host_name.clone(),
        since: *since,
    })
    .collect()
}

fn table_record(source: mast_schemas::records::Source, table: &Table) -> TableRecord {
    TableRecord {
        source,
        radios: table
            .radios
            .iter()
            .map(|(mac, radio)| TableRadioRecord {
                radio_mac: *mac,
                remote: radio.remote,
                interface: radio.interface.clone(),
                clients: radio
                    .clients
                    .iter()
                    .map(|(mac, began)| (*mac, *began))
                    .collect(),
            })
            .collect(),
        stations: table.stations.iter().copied().collect(),
    }
}
