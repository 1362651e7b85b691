//! One row per radio and poll.

use crate::records::Source;
use crate::{DeviceId, Mac, TenantId, Timestamp};

crate::record! {
    /// A radio as its monitor tells it.
    Radio / RadioColumns, "radio" {
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
        /// Which wireless package told it.
        source: Source,
        /// Interface name.
        interface: String,
        /// BSSID.
        radio_mac: Option<Mac>,
        /// Network name.
        ssid: Option<String>,
        /// Band or mode word of the channel, such as `an`, `ax`.
        band: Option<String>,
        /// Channel as the router writes it, such as `5220/20-Ce/an(18dBm)`.
        channel: Option<String>,
        /// Centre frequency of the control channel.
        frequency_mhz: Option<u32>,
        /// Channel width.
        channel_width_mhz: Option<u16>,
        /// Noise floor.
        noise_floor_dbm: Option<i16>,
        /// Transmit power.
        tx_power_dbm: Option<i16>,
        /// Overall transmit CCQ, percent.
        tx_ccq_percent: Option<u8>,
        /// Clients that the radio itself counts.
        clients: Option<u32>,
        /// State word, such as `running-ap`.
        status: Option<String>,
    }
}
