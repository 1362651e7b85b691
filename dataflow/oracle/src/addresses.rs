//! Addresses of clients (§13).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mast_schemas::message::WholePoll;
use mast_schemas::records::Tables;
use mast_schemas::views::{AddressSource, ClientAddress};
use mast_schemas::{Mac, TenantId, Timestamp};

use crate::oracle::Oracle;

/// What a device's newest whole tables say: since when, and with which name.
pub(crate) type Said = BTreeMap<(AddressSource, Mac, String), (Timestamp, Option<String>)>;

/// MAC, IP address and name.
type Row<'a> = (Option<Mac>, &'a str, Option<&'a str>);

fn arp(whole: &WholePoll) -> Vec<Row<'_>> {
    let no = |flag: Option<bool>| flag != Some(true);
    let rows = whole.slow.arp.iter();
    rows.filter(|row| no(row.disabled) && no(row.invalid) && row.complete != Some(false))
        .map(|row| (row.mac, row.address.as_str(), None))
        .collect()
}

fn leases(whole: &WholePoll) -> Vec<Row<'_>> {
    let no = |flag: Option<bool>| flag != Some(true);
    let rows = whole.slow.dhcp_leases.iter();
    rows.filter(|row| row.status.as_deref() == Some("bound") && no(row.disabled) && no(row.blocked))
        .map(|row| {
            let address = row.active_address.as_deref();
            let address = address.unwrap_or(&row.address);
            (
                row.active_mac.or(row.mac),
                address,
                row.host_name.as_deref(),
            )
        })
        .collect()
}

impl Oracle {
    /// After the other tables of a poll.
    pub(crate) fn address_tables(&mut self, whole: &WholePoll) {
        let read = Tables(whole.poll.tables);
        let Some(device) = self.devices.get_mut(&whole.poll.device_id) else {
            return;
        };
        for (source, table, rows) in [
            (AddressSource::Arp, Tables::ARP, arp(whole)),
            (AddressSource::Dhcp, Tables::DHCP_LEASE, leases(whole)),
        ] {
            if !read.has(table) {
                continue;
            }
            let before = device.said.clone();
            device.said.retain(|(of, ..), _| *of != source);
            for (mac, address, name) in rows {
                let Some(mac) = mac else { continue };
                let key = (source, mac, address.to_owned());
                let since = before.get(&key).map(|said| said.0);
                let since = since.unwrap_or(whole.poll.observed_at);
                device
                    .said
                    .entry(key)
                    .or_insert((since, name.map(str::to_owned)));
            }
        }
    }

    /// Of each address that a table has, the word that holds.
    pub(crate) fn client_addresses(&self) -> BTreeMap<(TenantId, Mac), ClientAddress> {
        let mut all: BTreeMap<(TenantId, Mac), Vec<ClientAddress>> = BTreeMap::new();
        for device in self.devices.values() {
            let tenant_id = device.row.tenant_id;
            for ((source, mac, address), (since, host_name)) in &device.said {
                all.entry((tenant_id, *mac))
                    .or_default()
                    .push(ClientAddress {
                        tenant_id,
                        mac: *mac,
                        address: address.clone(),
                        host_name: host_name.clone(),
                        source: *source,
                        device_id: device.row.device_id,
                        since: *since,
                    });
            }
        }
        let best = |mut said: Vec<ClientAddress>| {
            said.sort_by_key(|row| {
                let lease = row.source == AddressSource::Dhcp;
                (
                    !lease,
                    Reverse(row.since),
                    row.device_id,
                    row.address.clone(),
                )
            });
            said.into_iter().next()
        };
        all.into_iter()
            .filter_map(|(key, said)| Some((key, best(said)?)))
            .collect()
    }
}
