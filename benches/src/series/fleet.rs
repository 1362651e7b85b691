//! Links whose samples are like those of real ones: slowly changing numbers, counters that rise.

use arrow::array::RecordBatch;
use mast_schemas::column::Record;
use mast_schemas::records::{FarEnd, Registration, Source};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use uuid::Uuid;

/// Clients of an access point.
const CLIENTS: u32 = 25;

pub(super) struct Fleet {
    pub(super) tenant: TenantId,
    links: u32,
}

/// A number that looks like chance and is the same for the same words.
const fn dice(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

impl Fleet {
    pub(super) fn new(links: u32) -> Self {
        Self {
            tenant: TenantId(Uuid::from_u128(1)),
            links,
        }
    }

    fn device(link: u32) -> DeviceId {
        DeviceId(Uuid::from_u128(0x1000 + u128::from(link / CLIENTS)))
    }

    fn mac(link: u32) -> Mac {
        Mac(0x4c5e_0c00_0000 + u64::from(link))
    }

    fn radio(link: u32) -> Mac {
        Mac(0x4c5e_0d00_0000 + u64::from(link / CLIENTS))
    }

    /// What the API calls a link.
    fn name(link: u32) -> String {
        let (device, radio, mac) = (Self::device(link).0, Self::radio(link), Self::mac(link));
        format!("{device}.{:012x}.{:012x}", radio.0, mac.0)
    }

    /// All links, as the view has them: access points, radios, clients.
    pub(super) fn keys(&self) -> (Vec<Uuid>, Vec<i64>, Vec<i64>) {
        let links = || 0..self.links;
        let signed = |mac: Mac| mac.0.cast_signed();
        (
            links().map(|n| Self::device(n).0).collect(),
            links().map(|n| signed(Self::radio(n))).collect(),
            links().map(|n| signed(Self::mac(n))).collect(),
        )
    }

    /// The link of the n-th request: no two that follow each other are neighbours.
    pub(super) fn pick(&self, n: u32) -> String {
        Self::name(n.wrapping_mul(7_919) % self.links)
    }

    /// A sample of each link.
    pub(super) fn samples(&self, at: Timestamp) -> RecordBatch {
        let minute = (at.0 / 60_000_000).unsigned_abs();
        let rows: Vec<Registration> = (0..self.links)
            .map(|n| self.sample(n, at, minute))
            .collect();
        Registration::batch(&rows)
    }

    fn sample(&self, link: u32, at: Timestamp, minute: u64) -> Registration {
        let id = u64::from(link);
        let fading = dice(id, minute) % 5;
        let signal = -55 - (dice(id, 0) % 25 + fading) as i16;
        let bytes = minute * (50_000 + dice(id, 1) % 900_000) + dice(id, minute + 1) % 40_000;
        let rate = Some((15 - fading) * 13_000_000);
        Registration {
            tenant_id: self.tenant,
            device_id: Self::device(link),
            observed_at: at,
            lease_epoch: 1,
            sequence: minute,
            source: Source::Wireless,
            interface: "wlan1".to_owned(),
            radio_mac: Some(Self::radio(link)),
            remote: false,
            mac: Self::mac(link),
            far_end: Some(FarEnd::Station),
            radio_name: Some(format!("cpe-{link}")),
            ssid: Some("north".to_owned()),
            band: Some("5ghz-n".to_owned()),
            signal_dbm: Some(signal),
            signal_ch0_dbm: Some(signal - 3),
            signal_ch1_dbm: Some(signal - 4),
            signal_ch2_dbm: None,
            signal_ch3_dbm: None,
            tx_signal_dbm: Some(signal - 2),
            tx_signal_ch0_dbm: None,
            tx_signal_ch1_dbm: None,
            snr_db: Some(signal + 105),
            tx_ccq_percent: Some(90 - fading as u16),
            rx_ccq_percent: Some(88 - fading as u16),
            tx_rate_bps: rate,
            rx_rate_bps: rate,
            tx_width_mhz: Some(20),
            tx_streams: Some(2),
            rx_width_mhz: Some(20),
            rx_streams: Some(2),
            tx_throughput_bps: None,
            rx_throughput_bps: None,
            p_throughput: Some(90_000 - fading * 1_000),
            tx_bytes: Some(bytes),
            rx_bytes: Some(bytes / 8),
            tx_packets: Some(bytes / 1_100),
            rx_packets: Some(bytes / 3_000),
            uptime_s: Some(minute * 60),
            last_activity_ms: Some(fading * 10),
            distance_km: Some((dice(id, 2) % 12) as u16),
            last_ip: Some(format!("10.{}.{}.2", link / 256 % 256, link % 256)),
            vlan_id: None,
            auth_type: Some("wpa2-psk".to_owned()),
            encryption: Some("aes-ccm".to_owned()),
            authorized: None,
            routeros_version: Some("6.49.10".to_owned()),
            comment: None,
            extra: None,
        }
    }
}
