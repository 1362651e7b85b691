//! One row per line of a device's log, or per event of ingest itself.

use crate::{DeviceId, TenantId, Timestamp};

crate::record! {
    /// A log line.
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
        /// When the device says that it happened, in UTC where its offset is known.
        happened_at: Option<Timestamp>,
        /// Log topics, as the device lists them.
        topics: String,
        /// The text.
        message: String,
    }
}
