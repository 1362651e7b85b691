//! One row per client in a registration table and poll.

use crate::{DeviceId, Mac, TenantId, Timestamp};

crate::words! {
    /// The menu whose registration table a row comes from.
    Source, "source" {
        /// `/interface/wireless/registration-table`.
        Wireless = "wireless",
        /// `/interface/wifi/registration-table` (7.13 and later).
        Wifi = "wifi",
        /// `/interface/wifiwave2/registration-table` (7.0 to 7.12).
        Wifiwave2 = "wifiwave2",
        /// `/caps-man/registration-table` of a controller.
        Capsman = "capsman",
        /// `/interface/w60g/station` and monitor.
        W60g = "w60g",
    }
}

crate::words! {
    /// What the other side of a registration is.
    FarEnd, "far end" {
        /// An access point: this device is its station.
        Ap = "ap",
        /// A station of this access point.
        Station = "station",
    }
}

crate::record! {
    /// A registration. Directions are this device's: `rx` is what it hears, `tx` what it sends.
    Registration / RegistrationColumns, "registration" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The reporting device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// The table.
        source: Source,
        /// Interface of this device.
        interface: String,
        /// MAC of that interface: the BSSID for an access point, the station's own address on a station. Null when the
        /// router's interface lists do not tell it.
        radio_mac: Option<Mac>,
        /// Whether the radio is another device's, controlled by this one (CAPsMAN).
        remote: bool,
        /// Address of the other side.
        mac: Mac,
        /// What the other side is; null when the table does not say.
        far_end: Option<FarEnd>,
        /// Name of the other side's radio.
        radio_name: Option<String>,
        /// Network name.
        ssid: Option<String>,
        /// Band word, such as `5ghz-ax`.
        band: Option<String>,
        /// Signal as received here; the strongest of several links of one client.
        signal_dbm: Option<i16>,
        /// Signal of receive chain 0.
        signal_ch0_dbm: Option<i16>,
        /// Signal of receive chain 1.
        signal_ch1_dbm: Option<i16>,
        /// Signal of receive chain 2.
        signal_ch2_dbm: Option<i16>,
        /// Signal of receive chain 3.
        signal_ch3_dbm: Option<i16>,
        /// Signal as the other side receives it.
        tx_signal_dbm: Option<i16>,
        /// Of the other side's chain 0.
        tx_signal_ch0_dbm: Option<i16>,
        /// Of the other side's chain 1.
        tx_signal_ch1_dbm: Option<i16>,
        /// Signal to noise.
        snr_db: Option<i16>,
        /// Transmit CCQ, percent; routers report more than 100 at times.
        tx_ccq_percent: Option<u16>,
        /// Receive CCQ, percent.
        rx_ccq_percent: Option<u16>,
        /// Transmit rate.
        tx_rate_bps: Option<u64>,
        /// Receive rate.
        rx_rate_bps: Option<u64>,
        /// Channel width of the transmit rate.
        tx_width_mhz: Option<u16>,
        /// Spatial streams of the transmit rate.
        tx_streams: Option<u8>,
        /// Channel width of the receive rate.
        rx_width_mhz: Option<u16>,
        /// Spatial streams of the receive rate.
        rx_streams: Option<u8>,
        /// Throughput now, sent.
        tx_throughput_bps: Option<u64>,
        /// Throughput now, received.
        rx_throughput_bps: Option<u64>,
        /// `p-throughput`, whose unit no source states (kbit/s by its size).
        p_throughput: Option<u64>,
        /// Bytes sent since association.
        tx_bytes: Option<u64>,
        /// Bytes received since association.
        rx_bytes: Option<u64>,
        /// Packets sent since association.
        tx_packets: Option<u64>,
        /// Packets received since association.
        rx_packets: Option<u64>,
        /// Time since association, rounded down.
        uptime_s: Option<u64>,
        /// Time since the last frame.
        last_activity_ms: Option<u64>,
        /// Distance by acknowledgement timing.
        distance_km: Option<u16>,
        /// Last IP address seen, in its right byte order.
        last_ip: Option<String>,
        /// VLAN.
        vlan_id: Option<u16>,
        /// Authentication, such as `wpa2-psk`.
        auth_type: Option<String>,
        /// Cipher, such as `aes-ccm`.
        encryption: Option<String>,
        /// Whether the client may pass traffic.
        authorized: Option<bool>,
        /// RouterOS version of the other side.
        routeros_version: Option<String>,
        /// Comment of the operator.
        comment: Option<String>,
        /// Attributes that have no column, as a JSON object of word to text, verbatim.
        extra: Option<String>,
    }
}
