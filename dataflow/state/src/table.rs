//! What a whole registration table changes: its difference to the one before, by radio. A radio that the reporter has
//! ever shown is part of each later table, also when it has no clients: that it is empty is a fact.

use std::sync::Arc;

use mast_schemas::checkpoint::{TableRadioRecord, TableRecord};
use mast_schemas::records::Source;
use mast_schemas::time::Span;
use mast_schemas::{Mac, Timestamp};

use crate::compact::{Mac48, insert_tight};
use crate::messages::{
    Association, ClientRow, DeviceOut, PollInput, RadioKnown, RadioTable, RegistrationInput,
    RemoteTable, RoamChange, RoamEvent, Stamp, StationFact, StationSignal,
};

/// The last whole table of one source.
#[derive(Debug)]
pub(crate) struct SourceTable {
    pub(crate) source: Source,
    /// By rising BSSID.
    radios: Box<[TableRadio]>,
    /// (BSSID, own address), rising.
    stations: Box<[(Mac48, Mac48)]>,
}

#[derive(Debug)]
struct TableRadio {
    radio: Mac,
    remote: bool,
    interface: Arc<str>,
    /// By rising MAC.
    clients: Box<[Client]>,
}

/// A client in the last table: 14 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
struct Client {
    mac: Mac48,
    began: Timestamp,
}

/// Buffers that live as long as the step.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// (radio, client, row).
    rows: Vec<(Mac, Mac, u32)>,
    /// (BSSID, own address, row).
    stations: Vec<(Mac, Mac, u32)>,
    clients: Vec<Client>,
    changes: Vec<(Mac, Timestamp, RoamChange)>,
}

/// One poll's tables.
pub(crate) struct TableStep<'a, 'p> {
    pub(crate) poll: &'a PollInput<'p>,
    pub(crate) tolerance: Span,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) out: &'a mut DeviceOut,
}

impl TableStep<'_, '_> {
    fn stamp(&self, step: u8) -> Stamp {
        Stamp {
            at: self.poll.at,
            device: self.poll.device,
            poll: self.poll.poll,
            step,
        }
    }

    /// Applies the whole table of a source.
    pub(crate) fn apply(&mut self, table: &mut SourceTable) {
        self.sort_rows(table.source);
        let rows = std::mem::take(&mut self.scratch.rows);
        let mut rest = rows.as_slice();
        while let Some(&(radio, _, _)) = rest.first() {
            let len = rest.partition_point(|row| row.0 == radio);
            let first = rest[..len].iter().map(|row| row.2).min().unwrap_or(0);
            let first = &self.poll.registrations[first as usize];
            self.know_radio(table, radio, first);
            rest = &rest[len..];
        }
        let mut from = 0;
        let source = table.source;
        for radio in &mut table.radios {
            let skipped = rows[from..].partition_point(|row| row.0 < radio.radio);
            from += skipped;
            let len = rows[from..].partition_point(|row| row.0 == radio.radio);
            self.radio(source, radio, &rows[from..from + len]);
            from += len;
        }
        self.scratch.rows = rows;
        self.stations(table);
    }

    /// Rows of the source by radio and client, each once.
    fn sort_rows(&mut self, source: Source) {
        self.scratch.rows.clear();
        self.scratch.stations.clear();
        for (i, row) in self.poll.registrations.iter().enumerate() {
            let radio = row
                .radio_mac
                .unwrap_or_else(|| Mac::from_interface_name(row.interface));
            if row.source != source || row.mac == radio {
                continue;
            }
            let i = u32::try_from(i).unwrap_or(u32::MAX);
            if row.far_end_is_ap {
                self.scratch.stations.push((row.mac, radio, i));
            } else {
                self.scratch.rows.push((radio, row.mac, i));
            }
        }
        for rows in [&mut self.scratch.rows, &mut self.scratch.stations] {
            rows.sort_unstable();
            rows.dedup_by_key(|row| (row.0, row.1));
        }
    }

    /// Takes note of a radio with rows: its interface and whose it is.
    fn know_radio(&mut self, table: &mut SourceTable, mac: Mac, first: &RegistrationInput<'_>) {
        let known = |remote, known, stamp| RadioKnown {
            stamp,
            tenant: self.poll.tenant,
            radio: mac,
            device: self.poll.device,
            remote,
            known,
        };
        let stamp = self.stamp(Stamp::association(Source::Wireless));
        match table.radios.binary_search_by_key(&mac, |radio| radio.radio) {
            Ok(i) => {
                let radio = &mut table.radios[i];
                if &*radio.interface != first.interface {
                    radio.interface = first.interface.into();
                }
                if radio.remote != first.remote {
                    self.out.radios.push(known(radio.remote, false, stamp));
                    self.out.radios.push(known(first.remote, true, stamp));
                    radio.remote = first.remote;
                }
            }
            Err(i) => {
                self.out.radios.push(known(first.remote, true, stamp));
                let radio = TableRadio {
                    radio: mac,
                    remote: first.remote,
                    interface: first.interface.into(),
                    clients: Box::default(),
                };
                let mut radios = std::mem::take(&mut table.radios).into_vec();
                insert_tight(&mut radios, i, radio);
                table.radios = radios.into();
            }
        }
    }

    /// One radio: association changes, and the table itself.
    fn radio(&mut self, source: Source, radio: &mut TableRadio, rows: &[(Mac, Mac, u32)]) {
        let clients = self.merge(radio, rows);
        let table = RadioTable {
            stamp: self.stamp(Stamp::table(source)),
            tenant: self.poll.tenant,
            ap: self.poll.device,
            radio: radio.radio,
            reporter: self.poll.device,
            source,
            interface: radio.interface.clone(),
            interval_ms: self.poll.interval_ms,
            rows: clients,
        };
        if radio.remote {
            let changes = self.scratch.changes.clone();
            self.out.remote.push(RemoteTable { table, changes });
            return;
        }
        let stamp = self.stamp(Stamp::association(source));
        let (tenant, ap, mac) = (self.poll.tenant, self.poll.device, radio.radio);
        self.out
            .roam
            .extend(self.scratch.changes.iter().map(|&(client, began, change)| {
                let association = Association {
                    ap,
                    radio: mac,
                    began,
                };
                RoamEvent {
                    stamp,
                    tenant,
                    mac: client,
                    source,
                    association,
                    change,
                }
            }));
        self.out.tables.push(table);
    }

    /// Compares the rows with the last table: the new table, its changes in `scratch.changes`.
    fn merge(&mut self, radio: &mut TableRadio, rows: &[(Mac, Mac, u32)]) -> Vec<ClientRow> {
        let Scratch {
            clients, changes, ..
        } = &mut *self.scratch;
        clients.clear();
        changes.clear();
        let mut table = Vec::with_capacity(rows.len());
        let mut old = radio.clients.iter().peekable();
        let departed = |client: &Client| (client.mac.into(), client.began, RoamChange::Departed);
        for &(_, mac, i) in rows {
            let key = Mac48::from(mac);
            while let Some(gone) = old.next_if(|client| client.mac < key) {
                changes.push(departed(gone));
            }
            let row = &self.poll.registrations[i as usize];
            let told = row.uptime_s.map(|uptime| began(self.poll.at, uptime));
            let before = old
                .next_if(|client| client.mac == key)
                .map(|client| client.began);
            let began = match (before, told) {
                (Some(before), Some(told)) if told > before + self.tolerance => None,
                (Some(before), _) => Some(before),
                (None, _) => None,
            };
            let began = began.unwrap_or_else(|| {
                let began = told.unwrap_or(self.poll.at);
                changes.push((mac, began, RoamChange::Appeared));
                began
            });
            clients.push(Client { mac: key, began });
            table.push(ClientRow {
                mac,
                began,
                sample: row.sample,
            });
        }
        changes.extend(old.map(departed));
        if radio.clients.len() == clients.len() {
            radio.clients.copy_from_slice(clients);
        } else {
            radio.clients = clients.as_slice().into();
        }
        table
    }

    /// The station side: each row is told again, rows that went are told once.
    fn stations(&mut self, table: &mut SourceTable) {
        let stamp = self.stamp(Stamp::station(table.source));
        let (tenant, device) = (self.poll.tenant, self.poll.device);
        let fact = |radio, mac, signal| StationFact {
            stamp,
            tenant,
            radio,
            mac,
            device,
            signal,
        };
        let rows = &self.scratch.stations;
        for &(bssid, own) in &table.stations {
            let (bssid, own) = (Mac::from(bssid), Mac::from(own));
            if rows
                .binary_search_by_key(&(bssid, own), |row| (row.0, row.1))
                .is_err()
            {
                self.out.stations.push(fact(bssid, own, None));
            }
        }
        let now = rows
            .iter()
            .map(|&(bssid, own, _)| (bssid.into(), own.into()));
        if !now.clone().eq(table.stations.iter().copied()) {
            table.stations = now.collect();
        }
        for &(bssid, own, i) in rows {
            let signal_dbm = self.poll.registrations[i as usize].sample.signal_dbm;
            self.out
                .stations
                .push(fact(bssid, own, Some(StationSignal(signal_dbm))));
        }
    }
}

fn began(at: Timestamp, uptime_s: u64) -> Timestamp {
    at - Span(
        i64::try_from(uptime_s)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000),
    )
}

impl SourceTable {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            radios: Box::default(),
            stations: Box::default(),
        }
    }

    /// Every radio that it has shown: (BSSID, remote).
    pub(crate) fn radios(&self) -> impl Iterator<Item = (Mac, bool)> {
        self.radios.iter().map(|radio| (radio.radio, radio.remote))
    }

    /// Whether an interface of this name is one of the device's own radios.
    pub(crate) fn has_own(&self, interface: &str) -> bool {
        let own = self.radios.iter().filter(|radio| !radio.remote);
        own.into_iter().any(|radio| &*radio.interface == interface)
    }

    /// What it last showed as station: (BSSID, own address).
    pub(crate) fn stations(&self) -> impl Iterator<Item = (Mac, Mac)> {
        self.stations
            .iter()
            .map(|&(bssid, own)| (bssid.into(), own.into()))
    }

    pub(crate) fn record(&self) -> TableRecord {
        let radio = |radio: &TableRadio| TableRadioRecord {
            radio_mac: radio.radio,
            remote: radio.remote,
            interface: radio.interface.as_ref().to_owned(),
            clients: radio
                .clients
                .iter()
                .map(|client| (client.mac.into(), client.began))
                .collect(),
        };
        TableRecord {
            source: self.source,
            radios: self.radios.iter().map(radio).collect(),
            stations: self.stations().collect(),
        }
    }
}

impl From<TableRecord> for SourceTable {
    fn from(record: TableRecord) -> Self {
        let client = |(mac, began): (Mac, Timestamp)| Client {
            mac: mac.into(),
            began,
        };
        let radio = |radio: TableRadioRecord| TableRadio {
            radio: radio.radio_mac,
            remote: radio.remote,
            interface: radio.interface.into(),
            clients: radio.clients.into_iter().map(client).collect(),
        };
        let station = |(bssid, own): (Mac, Mac)| (bssid.into(), own.into());
        let mut table = Self {
            source: record.source,
            radios: record.radios.into_iter().map(radio).collect(),
            stations: record.stations.into_iter().map(station).collect(),
        };
        table.radios.sort_by_key(|radio| radio.radio);
        for radio in &mut table.radios {
            radio.clients.sort_by_key(|client| client.mac);
        }
        table.stations.sort_unstable();
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_small() {
        assert_eq!((size_of::<Client>(), size_of::<TableRadio>()), (14, 48));
        assert_eq!(size_of::<SourceTable>(), 40);
    }
}
