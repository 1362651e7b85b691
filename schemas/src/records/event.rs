//! One row per line of a device's log, or per event of ingest itself.

use crate::{DeviceId, TenantId, Timestamp};

crate::words! {
    /// Who says that something happened.
    EventOrigin, "event origin" {
        /// A line of the device's log.
        Device = "device",
        /// Ingest, of its session with the device.
        Ingest = "ingest",
    }
}

crate::record! {
    /// A log line, or what ingest has to say of its session.
    Event / EventColumns, "event" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When it was read.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// When the device says that it happened, in UTC; null where its text, its zone or its clock leave that open.
        happened_at: Option<Timestamp>,
        /// Log topics, as the device lists them.
        topics: String,
        /// The text.
        message: String,
        /// Place among the events of the poll, from 0.
        line: u32,
        /// Who says so.
        origin: EventOrigin,
        /// The time as the device wrote it when the line was read.
        device_time: Option<String>,
    }
}
