//! One row per poll of a device, also a failed one.

use crate::records::{PollId, Source};
use crate::{DeviceId, TenantId, Timestamp};

crate::words! {
    /// How a poll ended.
    Outcome, "outcome" {
        /// Every command of the plan was answered whole.
        Ok = "ok",
        /// At least one command was answered whole, another was not.
        Partial = "partial",
        /// Nothing was read, at whatever step the deadline passed.
        Timeout = "timeout",
        /// The TCP connection was refused or reset before anything was read.
        Refused = "refused",
        /// The router refused user or password.
        AuthFailed = "auth_failed",
        /// TLS failed: no shared cipher, certificate not trusted, pin mismatch.
        TlsFailed = "tls_failed",
        /// The peer does not speak the RouterOS API.
        ProtocolError = "protocol_error",
        /// A fault of ours (log, database, key service, file descriptors); says nothing of the device.
        Internal = "internal",
    }
}

impl Outcome {
    /// Whether at least one command was answered whole.
    pub const fn reached(self) -> bool {
        matches!(self, Self::Ok | Self::Partial)
    }
}

/// Which tables a poll read whole: a bit each. Bit `1 << n` is the n-th of `interface` (0), the registration tables of
/// [`Source`] in its order (1 to 5), `radio` (6), `arp` (7), `dhcp_lease` (8), `neighbor` (9), `route_summary` (10), `firmware` (11),
/// the device's log (12: what is new of it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tables(pub u32);

impl Tables {
    /// The interface list.
    pub const INTERFACE: Self = Self(1);
    /// The radio list.
    pub const RADIO: Self = Self(1 << 6);
    /// The ARP table.
    pub const ARP: Self = Self(1 << 7);
    /// The leases of the DHCP server.
    pub const DHCP_LEASE: Self = Self(1 << 8);
    /// The neighbours.
    pub const NEIGHBOR: Self = Self(1 << 9);
    /// The counts of the routing table.
    pub const ROUTE_SUMMARY: Self = Self(1 << 10);
    /// The versions of software.
    pub const FIRMWARE: Self = Self(1 << 11);
    /// What is new in the device's log.
    pub const EVENT: Self = Self(1 << 12);

    /// The registration table of a source.
    pub const fn registration(source: Source) -> Self {
        Self(2 << source as u32)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

crate::record! {
    /// A poll. `registrations` is how many registration rows the whole tables held; 0 is a fact, null is "no table was read".
    Poll / PollColumns, "poll" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply (or the failure) was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// How it ended.
        outcome: Outcome,
        /// What failed, in words for people; null when nothing did.
        detail: Option<String>,
        /// From the first byte sent to the last reply, connect and login left out.
        round_trip_ms: Option<u32>,
        /// When the next poll is due.
        next_due_at: Timestamp,
        /// Interval of the device's polls at this time.
        interval_ms: u32,
        /// Bits of [`Tables`].
        tables: u32,
        /// Rows in the registration tables that were read whole.
        registrations: Option<u32>,
        /// `/system/identity` name.
        identity: Option<String>,
        /// RouterOS version as told, such as `7.16.2 (stable)`.
        version: Option<String>,
        /// Board name.
        board: Option<String>,
        /// CPU architecture.
        architecture: Option<String>,
        /// Serial number.
        serial: Option<String>,
        /// RouterBOOT version.
        firmware: Option<String>,
        /// Time since boot.
        uptime_s: Option<u64>,
        /// CPU load, percent.
        cpu_load_percent: Option<u8>,
        /// Free memory.
        memory_free_bytes: Option<u64>,
        /// Memory in all.
        memory_total_bytes: Option<u64>,
        /// Free disk.
        disk_free_bytes: Option<u64>,
        /// Disk in all.
        disk_total_bytes: Option<u64>,
        /// CPU temperature.
        cpu_temperature_c: Option<f32>,
        /// Board temperature, or the only one there is.
        board_temperature_c: Option<f32>,
        /// Supply voltage.
        voltage_v: Option<f32>,
        /// Sensors that have no column, as a JSON object of name to text.
        sensors: Option<String>,
    }
}

impl Poll {
    /// Which poll this is.
    pub const fn id(&self) -> PollId {
        PollId {
            lease_epoch: self.lease_epoch,
            sequence: self.sequence,
        }
    }
}
