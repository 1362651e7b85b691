//! Polls, as the device step reads them.

use mast_schemas::records::{Outcome, PollId, Source, Tables};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// A poll as the device step takes it. Rows are borrowed from decoded columns.
#[derive(Clone, Debug)]
pub struct PollInput<'a> {
    /// Owner, as the row says.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
    /// Which poll.
    pub poll: PollId,
    /// How it ended.
    pub outcome: Outcome,
    /// When the next one is due.
    pub next_due_at: Timestamp,
    /// Interval.
    pub interval_ms: u32,
    /// What was read whole.
    pub tables: Tables,
    /// Identity, version, board, architecture, serial, firmware; `None` = not told by this poll.
    pub attributes: [Option<&'a str>; 6],
    /// Round trip.
    pub round_trip_ms: Option<u32>,
    /// CPU load.
    pub cpu_load_percent: Option<u8>,
    /// Free memory.
    pub memory_free_bytes: Option<u64>,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
    /// Free disk.
    pub disk_free_bytes: Option<u64>,
    /// Disk in all.
    pub disk_total_bytes: Option<u64>,
    /// Temperatures of CPU and board.
    pub temperatures_c: [Option<f32>; 2],
    /// Uptime of the device.
    pub uptime_s: Option<u64>,
    /// Addresses of the interfaces that have one and are not remote.
    pub interfaces: &'a [Mac],
    /// Interfaces, in the order of the message.
    pub interface_rows: &'a [InterfaceInput<'a>],
    /// Radios that tell their noise, in the order of the message.
    pub noise: &'a [RadioInput<'a>],
    /// Entries of the ARP table that say where a client is, in the order of the message.
    pub arp: &'a [AddressInput<'a>],
    /// DHCP leases that do, likewise.
    pub leases: &'a [AddressInput<'a>],
    /// Registration rows, in the order of the message.
    pub registrations: &'a [RegistrationInput<'a>],
}

/// A row of an ARP or DHCP table as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct AddressInput<'a> {
    /// The client.
    pub mac: Mac,
    /// Its IP address.
    pub address: &'a str,
    /// Its name.
    pub host_name: Option<&'a str>,
}

/// A radio row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct RadioInput<'a> {
    /// Interface name.
    pub interface: &'a str,
    /// Noise floor.
    pub noise_floor_dbm: i16,
}

/// An interface row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceInput<'a> {
    /// Interface name.
    pub name: &'a str,
    /// Received bytes.
    pub rx_bytes: Option<u64>,
    /// Sent bytes.
    pub tx_bytes: Option<u64>,
    /// Link up.
    pub running: Option<bool>,
    /// Switched off by configuration.
    pub disabled: bool,
    /// Negotiated rate of the link.
    pub link_rate_bps: Option<u64>,
}

/// A registration row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationInput<'a> {
    /// The table.
    pub source: Source,
    /// Interface name.
    pub interface: &'a str,
    /// BSSID or own address.
    pub radio_mac: Option<Mac>,
    /// Another device's radio.
    pub remote: bool,
    /// The other side.
    pub mac: Mac,
    /// The other side is an access point.
    pub far_end_is_ap: bool,
    /// Time since association.
    pub uptime_s: Option<u64>,
    /// Measurements.
    pub sample: Sample,
}

/// Measurements of one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Signal as received here.
    pub signal_dbm: Option<i16>,
    /// Signal at the other side.
    pub tx_signal_dbm: Option<i16>,
    /// Signal to noise.
    pub snr_db: Option<i16>,
    /// Transmit CCQ.
    pub tx_ccq_percent: Option<u16>,
    /// Transmit rate, kbit/s.
    pub tx_rate_kbps: Option<u32>,
    /// Receive rate, kbit/s.
    pub rx_rate_kbps: Option<u32>,
}

/// What the device step did with a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// Seen before: dropped.
    Replay,
    /// Of an older lease epoch: history only.
    Late,
    /// Control does not know the device.
    UnknownDevice,
    /// The row's tenant is not the device's.
    WrongTenant,
    /// Control has disabled the device.
    Disabled,
}
