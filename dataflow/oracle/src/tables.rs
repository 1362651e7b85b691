//! A reporter's registration tables: whose radio, which clients, since when (§5).

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::{AssociationRecord, StationRecord};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{FarEnd, Registration, Source, Tables};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::devices::TableRadio;
use crate::links::{RadioTable, Row};
use crate::oracle::{Address, Oracle};

/// A radio's rows in one table.
struct ShownRadio<'a> {
    first: &'a Registration,
    rows: BTreeMap<Mac, &'a Registration>,
}

/// The rows of one source, sorted out.
struct Shown<'a> {
    source: Source,
    radios: BTreeMap<Mac, ShownRadio<'a>>,
    /// (BSSID, own address) and the signal that the station hears.
    stations: BTreeMap<(Mac, Mac), Option<i16>>,
}

/// The poll that a table comes with.
#[derive(Clone, Copy)]
struct From {
    tenant: TenantId,
    reporter: DeviceId,
    at: Timestamp,
    interval_ms: u32,
}

fn sort_out(whole: &WholePoll, source: Source) -> Shown<'_> {
    let mut shown = Shown {
        source,
        radios: BTreeMap::new(),
        stations: BTreeMap::new(),
    };
    for row in whole.registrations.iter().filter(|r| r.source == source) {
        if row.far_end == Some(FarEnd::Ap) {
            if let Some(own) = row.radio_mac {
                shown
                    .stations
                    .entry((row.mac, own))
                    .or_insert(row.signal_dbm);
            }
            continue;
        }
        let radio = row
            .radio_mac
            .unwrap_or_else(|| Mac::from_interface_name(&row.interface));
        if row.mac != radio {
            let radio = shown.radios.entry(radio).or_insert_with(|| ShownRadio {
                first: row,
                rows: BTreeMap::new(),
            });
            radio.rows.entry(row.mac).or_insert(row);
        }
    }
    shown
}

/// The clients at a device's own radios by the poll's whole registration tables, if it read one.
pub(crate) fn own_clients(whole: &WholePoll) -> Option<Vec<&Registration>> {
    let read = |source: &&Source| Tables(whole.poll.tables).has(Tables::registration(**source));
    let tables: Vec<Shown<'_>> = (Source::ALL.iter())
        .filter(read)
        .map(|source| sort_out(whole, *source))
        .collect();
    let radios = tables.iter().flat_map(|table| table.radios.values());
    let own = radios.filter(|radio| !radio.first.remote);
    let clients = own.flat_map(|radio| radio.rows.values().copied()).collect();
    (!tables.is_empty()).then_some(clients)
}

impl Oracle {
    /// First the associations of all tables, so that what they mean for roaming is known at every link; then the links.
    pub(crate) fn registration_tables(&mut self, whole: &WholePoll) {
        let poll = &whole.poll;
        let from = From {
            tenant: poll.tenant_id,
            reporter: poll.device_id,
            at: poll.observed_at,
            interval_ms: poll.interval_ms,
        };
        let tables: Vec<Shown<'_>> = (Source::ALL.iter())
            .filter(|source| Tables(poll.tables).has(Tables::registration(**source)))
            .map(|source| sort_out(whole, *source))
            .collect();
        for shown in &tables {
            self.associations(from, shown);
        }
        for shown in &tables {
            self.radio_tables(from, shown);
            self.station_rows(from, shown);
        }
    }

    fn associations(&mut self, from: From, shown: &Shown<'_>) {
        let mut radios: BTreeSet<Mac> = shown.radios.keys().copied().collect();
        radios.extend(self.table_radios(from.reporter, shown.source));
        for mac in radios {
            let rows = shown.radios.get(&mac);
            let mut radio = self.table_radio(from.reporter, shown.source, mac);
            if let Some(shown) = rows {
                radio.interface.clone_from(&shown.first.interface);
                radio.remote = shown.first.remote;
            }
            let mut before = std::mem::take(&mut radio.clients);
            let clients = rows.into_iter().flat_map(|r| &r.rows);
            radio.clients = clients
                .map(|(mac, row)| (*mac, self.begin(row, before.get(mac).copied())))
                .collect();
            let (remote, reached) = (radio.remote, radio.reached);
            let now = radio.clients.clone();
            self.put_table_radio(from.reporter, shown.source, mac, radio);
            self.note_reporter(from.tenant, mac, from.reporter);
            let ap = self.ap_of(from.tenant, mac, from.reporter, remote);
            if remote {
                self.reached(from.reporter, shown.source, mac);
                // The first table that reaches the access point: all appear there, and nobody was there to go.
                if !reached {
                    before.clear();
                }
            }
            if self.devices.contains_key(&ap) {
                self.compare(from, (ap, mac), &before, &now);
            }
        }
    }

    /// When an association began. A client that was in the table before keeps its begin unless the new one is later by
    /// more than the tolerance.
    fn begin(&self, row: &Registration, before: Option<Timestamp>) -> Timestamp {
        let by_uptime = row.uptime_s.map(|s| {
            row.observed_at - Span::secs(i64::try_from(s).unwrap_or(i64::MAX / 1_000_000))
        });
        match (by_uptime, before) {
            (Some(began), Some(before))
                if began <= before + self.thresholds.association_tolerance =>
            {
                before
            }
            (Some(began), _) => began,
            (None, Some(before)) => before,
            (None, None) => row.observed_at,
        }
    }

    fn compare(
        &mut self,
        from: From,
        (ap_device_id, radio_mac): (DeviceId, Mac),
        before: &BTreeMap<Mac, Timestamp>,
        now: &BTreeMap<Mac, Timestamp>,
    ) {
        for mac in before.keys().filter(|mac| !now.contains_key(mac)) {
            if self.shown((from.tenant, radio_mac), ap_device_id, *mac) {
                continue;
            }
            self.departed((from.tenant, *mac), (ap_device_id, radio_mac), from.at);
        }
        for (mac, began_at) in now
            .iter()
            .filter(|(mac, began)| before.get(mac) != Some(began))
        {
            let association = AssociationRecord {
                ap_device_id,
                radio_mac,
                began_at: *began_at,
            };
            self.appeared((from.tenant, *mac), association, from.at);
        }
    }

    /// Whether any reporter's last table of an access point's radio has a client.
    fn shown(&self, radio: Address, ap: DeviceId, client: Mac) -> bool {
        let cap = self.caps.get(&radio).filter(|cap| cap.ap_device_id == ap);
        let controllers = cap.into_iter().flat_map(|cap| &cap.reporters);
        controllers
            .chain([&ap])
            .filter_map(|id| self.devices.get(id))
            .any(|device| {
                let tables = device
                    .tables
                    .values()
                    .filter_map(|t| t.radios.get(&radio.1));
                // A remote radio's last table counts for its access point once it has reached that.
                tables
                    .filter(|t| !t.remote || t.reached)
                    .filter(|t| self.ap_of(radio.0, radio.1, device.row.device_id, t.remote) == ap)
                    .any(|t| t.clients.contains_key(&client))
            })
    }

    /// The table reaches every radio that it has ever shown.
    fn radio_tables(&mut self, from: From, shown: &Shown<'_>) {
        for mac in self.table_radios(from.reporter, shown.source) {
            let radio = self.table_radio(from.reporter, shown.source, mac);
            let registrations = shown.radios.get(&mac).into_iter().flat_map(|r| &r.rows);
            let rows: Vec<(Mac, Row)> = registrations
                .filter_map(|(mac, row)| {
                    let (signal_dbm, tx_ccq_percent) = (row.signal_dbm, row.tx_ccq_percent);
                    let began_at = *radio.clients.get(mac)?;
                    Some((
                        *mac,
                        Row {
                            signal_dbm,
                            tx_ccq_percent,
                            began_at,
                        },
                    ))
                })
                .collect();
            self.radio_table(&RadioTable {
                tenant: from.tenant,
                ap: self.ap_of(from.tenant, mac, from.reporter, radio.remote),
                radio: mac,
                reporter: (from.reporter, shown.source),
                interface: &radio.interface,
                rows: &rows,
                interval_ms: from.interval_ms,
                at: from.at,
            });
        }
    }

    fn station_rows(&mut self, from: From, shown: &Shown<'_>) {
        let Some(device) = self.devices.get_mut(&from.reporter) else {
            return;
        };
        if shown.stations.is_empty() && !device.tables.contains_key(&shown.source) {
            return;
        }
        let table = device.tables.entry(shown.source).or_default();
        let before = std::mem::replace(
            &mut table.stations,
            shown.stations.keys().copied().collect(),
        );
        for (bssid, own) in before
            .iter()
            .filter(|pair| !shown.stations.contains_key(pair))
        {
            self.retract_station(from.tenant, *bssid, *own, from.reporter);
        }
        for ((bssid, own), signal_dbm) in &shown.stations {
            let (device_id, observed_at, signal_dbm) = (from.reporter, from.at, *signal_dbm);
            let station = StationRecord {
                mac: *own,
                device_id,
                observed_at,
                signal_dbm,
            };
            self.station_says(from.tenant, *bssid, station);
        }
    }

    fn table_radios(&self, reporter: DeviceId, source: Source) -> Vec<Mac> {
        let table = self
            .devices
            .get(&reporter)
            .and_then(|d| d.tables.get(&source));
        table
            .into_iter()
            .flat_map(|t| t.radios.keys().copied())
            .collect()
    }

    fn table_radio(&self, reporter: DeviceId, source: Source, radio: Mac) -> TableRadio {
        let table = self
            .devices
            .get(&reporter)
            .and_then(|d| d.tables.get(&source));
        table
            .and_then(|t| t.radios.get(&radio))
            .cloned()
            .unwrap_or_default()
    }

    /// Notes that a remote radio's table has reached its access point.
    fn reached(&mut self, reporter: DeviceId, source: Source, radio: Mac) {
        let device = self.devices.get_mut(&reporter);
        let table = device.and_then(|d| d.tables.get_mut(&source));
        if let Some(radio) = table.and_then(|t| t.radios.get_mut(&radio)) {
            radio.reached = true;
        }
    }

    fn put_table_radio(&mut self, reporter: DeviceId, source: Source, mac: Mac, radio: TableRadio) {
        if let Some(device) = self.devices.get_mut(&reporter) {
            device
                .tables
                .entry(source)
                .or_default()
                .radios
                .insert(mac, radio);
        }
    }
}
