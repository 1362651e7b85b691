//! One row per interface and poll.

use crate::{DeviceId, Mac, TenantId, Timestamp};

crate::record! {
    /// An interface as `/interface/print` tells it. Counters are since boot or creation, as the router counts.
    Interface / InterfaceColumns, "interface" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Name, unique on the device at one time.
        name: String,
        /// Hardware address; tunnels have none.
        mac: Option<Mac>,
        /// RouterOS type: `ether`, `wlan`, `wifi`, `bridge`, `vlan`, `cap`, …
        interface_type: Option<String>,
        /// Whether it belongs to another device's radio that this one controls (CAPsMAN).
        remote: Option<bool>,
        /// Link up.
        running: Option<bool>,
        /// Switched off by configuration.
        disabled: Option<bool>,
        /// Comment of the operator.
        comment: Option<String>,
        /// Received bytes.
        rx_bytes: Option<u64>,
        /// Sent bytes.
        tx_bytes: Option<u64>,
        /// Received packets.
        rx_packets: Option<u64>,
        /// Sent packets.
        tx_packets: Option<u64>,
        /// Receive errors.
        rx_errors: Option<u64>,
        /// Send errors.
        tx_errors: Option<u64>,
        /// Receive drops.
        rx_drops: Option<u64>,
        /// Send drops (driver).
        tx_drops: Option<u64>,
        /// Send drops (queue).
        tx_queue_drops: Option<u64>,
        /// Times the link went down.
        link_downs: Option<u32>,
        /// Negotiated rate of the link, where the router tells it.
        link_rate_bps: Option<u64>,
    }
}

/// Whether an interface type is a radio's or a virtual access point's.
pub fn is_wireless(interface_type: &str) -> bool {
    matches!(
        interface_type,
        "wlan" | "wifi" | "wifiwave2" | "w60g" | "cap"
    )
}
