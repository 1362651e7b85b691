//! What the device step tells.

use std::cmp::Reverse;
use std::sync::Arc;

use mast_schemas::records::Source;
use mast_schemas::views::{
    AddressSource, DeviceEvent, DeviceGauge, DeviceState, DeviceView, InterfaceRates,
};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Condition, RoamChange, RoamEvent, RuleChange, Sample, Stamp};
use crate::compact::give_back;
use crate::signals::Measure;

/// What a device says of a client. The least is the one that holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Statement {
    /// A lease counts before an ARP entry.
    pub source: Reverse<AddressSource>,
    /// What began last counts first.
    pub since: Reverse<Timestamp>,
    /// Who says so.
    pub device: DeviceId,
    /// IP address.
    pub address: Box<str>,
    /// Name that the client told.
    pub host_name: Option<Box<str>>,
}

/// A device says something of a client, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressChange {
    /// Owner.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// What it says.
    pub statement: Statement,
    /// +1 or −1.
    pub diff: i8,
}

/// A radio's part of a whole registration table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadioTable {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// Access point; of a remote radio the reporter, until the BSSID step has found the owner.
    pub ap: DeviceId,
    /// BSSID.
    pub radio: Mac,
    /// Who reports.
    pub reporter: DeviceId,
    /// In which table.
    pub source: Source,
    /// Interface name.
    pub interface: Arc<str>,
    /// Time that a row stands for: the interval of the poll.
    pub interval_ms: u32,
    /// Clients, by rising MAC, each once.
    pub rows: Vec<ClientRow>,
}

/// A client in a [`RadioTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// The client.
    pub mac: Mac,
    /// Begin of its association.
    pub began: Timestamp,
    /// Measurements.
    pub sample: Sample,
}

/// A remote radio's table with its association changes, to the BSSID step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteTable {
    /// The table; `ap` = reporter.
    pub table: RadioTable,
    /// Association changes found in it (client, begin, change).
    pub changes: Vec<(Mac, Timestamp, RoamChange)>,
}

/// What a station says of its access point, to the BSSID step and on to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationFact {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// BSSID of the access point.
    pub radio: Mac,
    /// The station's own address.
    pub mac: Mac,
    /// The station.
    pub device: DeviceId,
    /// `None` = its table no longer has the access point.
    pub signal: Option<StationSignal>,
}

/// Signal that a station hears; the value may be unknown although the row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationSignal(pub Option<i16>);

/// An access point shows a radio of its own (or no longer exists), to the BSSID step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioKnown {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// BSSID.
    pub radio: Mac,
    /// The access point, or the reporter of a remote radio.
    pub device: DeviceId,
    /// Controlled by `device`, not part of it.
    pub remote: bool,
    /// False: the device was deleted.
    pub known: bool,
}

/// A device's status, to its own links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApStatus {
    /// Place.
    pub stamp: Stamp,
    /// The device.
    pub device: DeviceId,
    /// Its state from now on.
    pub state: DeviceState,
}

/// A claim on an address appeared (+1) or went (−1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimChange {
    /// Owner of the device.
    pub tenant: TenantId,
    /// The address.
    pub mac: Mac,
    /// Since when.
    pub first_seen: Timestamp,
    /// Who.
    pub device: DeviceId,
    /// +1 or −1.
    pub diff: i8,
}

/// Everything the device step emits in one slot.
#[derive(Debug, Default)]
pub struct DeviceOut {
    /// Statuses to the devices' own links.
    pub statuses: Vec<ApStatus>,
    /// Claims.
    pub claims: Vec<ClaimChange>,
    /// Association changes at own radios.
    pub roam: Vec<RoamEvent>,
    /// Tables of own radios.
    pub tables: Vec<RadioTable>,
    /// Tables of remote radios.
    pub remote: Vec<RemoteTable>,
    /// Radios that appeared or went.
    pub radios: Vec<RadioKnown>,
    /// Station rows.
    pub stations: Vec<StationFact>,
    /// States that changed: old and new one, once a device.
    pub states: Vec<(DeviceId, Option<DeviceState>, Option<DeviceState>)>,
    /// Views of devices that changed in the slot: old and new row, once a device, by rising id.
    pub views: Vec<(DeviceId, Option<DeviceView>, Option<DeviceView>)>,
    /// Transitions.
    pub events: Vec<DeviceEvent>,
    /// Gauges of each accepted poll that reached the device.
    pub gauges: Vec<DeviceGauge>,
    /// Rates of interfaces, of each such poll that read them.
    pub rates: Vec<InterfaceRates>,
    /// Changes of what devices say of clients.
    pub addresses: Vec<AddressChange>,
    /// What devices add to their places, as changes.
    pub air: Vec<(DeviceId, Measure, i64)>,
    /// Changes of alerts of devices and interfaces.
    pub rules: Vec<RuleChange>,
    /// Devices that began or ceased to be offline or failing, at the slot's end; of one that left a tenant, before what is
    /// said of it in another.
    pub conditions: Vec<Condition>,
}

impl DeviceOut {
    /// Gives back what emptied buffers once took.
    pub fn give_back(&mut self) {
        give_back(&mut self.statuses);
        give_back(&mut self.claims);
        give_back(&mut self.tables);
        give_back(&mut self.radios);
        give_back(&mut self.states);
        give_back(&mut self.views);
        give_back(&mut self.air);
        give_back(&mut self.conditions);
    }
}
