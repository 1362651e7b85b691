//! Bytes per registration sample in a lake file, with and without byte counters; prints one JSON object.
//!
//! Files as one commit of a minute writes them, and as an hour and a day of the same clients make them when kept together.

use mast_lake::{Table, sort_order, write_sorted};
use mast_schemas::column::Record;
use mast_schemas::records::{FarEnd, Registration, Source};
use mast_schemas::{DeviceId, Epoch, Mac, TenantId, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

const INTERVAL_US: i64 = 30_000_000;
const CLIENTS: u64 = 25;

struct Client {
    mac: Mac,
    signal_dbm: i16,
    uptime_s: u64,
    bytes: (u64, u64),
    packets: (u64, u64),
    rate: usize,
    busy: f64,
}

const RATES_BPS: [u64; 8] = [
    6_500_000,
    13_000_000,
    26_000_000,
    52_000_000,
    78_000_000,
    104_000_000,
    117_000_000,
    130_000_000,
];

/// Samples of `aps` access points over `polls` polls, as batches of a poll each.
fn samples(aps: u64, polls: u64, counters: bool) -> Vec<arrow::array::RecordBatch> {
    let mut rng = StdRng::seed_from_u64(7);
    let mut batches = Vec::new();
    for ap in 0..aps {
        let device_id = DeviceId(Uuid::from_u128(
            0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(ap) * 7919,
        ));
        let mut clients: Vec<Client> = (0..CLIENTS).map(|c| client(&mut rng, ap, c)).collect();
        let start = 1_700_000_000_000_000 + rng.random_range(0..INTERVAL_US);
        for poll in 0..polls {
            let at = start
                + i64::try_from(poll).unwrap_or(0) * INTERVAL_US
                + rng.random_range(0..20_000);
            let mut rows = Vec::new();
            for client in &mut clients {
                step(&mut rng, client);
                rows.push(row(
                    &mut rng,
                    device_id,
                    ap,
                    poll,
                    Timestamp(at),
                    client,
                    counters,
                ));
            }
            let batch = Registration::batch(&rows);
            batches.extend(Table::RegistrationSamples.lake_batch(
                Epoch::of(Timestamp(at)),
                false,
                &batch,
            ));
        }
    }
    batches
}

fn client(rng: &mut StdRng, ap: u64, n: u64) -> Client {
    let oui = [0x4C5E0C, 0xB869F4, 0x6C3B6B, 0xDC2C6E][rng.random_range(0..4)];
    Client {
        mac: Mac(oui << 24 | (rng.random_range(0..0x0100_0000 / 32) * 32 + n)),
        signal_dbm: rng.random_range(-78..-55),
        uptime_s: rng.random_range(100..900_000) + ap,
        bytes: (rng.random_range(0..1 << 36), rng.random_range(0..1 << 33)),
        packets: (rng.random_range(0..1 << 26), rng.random_range(0..1 << 25)),
        rate: rng.random_range(2..8),
        busy: rng.random_range(0.0..1.0f64).powi(3),
    }
}

/// 30 s later: most clients idle at a time, a few pull megabits.
fn step(rng: &mut StdRng, c: &mut Client) {
    c.uptime_s += 30;
    if rng.random_bool(0.05) {
        c.rate = (c.rate + rng.random_range(0..3)).saturating_sub(1).min(7);
    }
    let down = if rng.random_bool(c.busy) {
        rng.random_range(10_000..20_000_000)
    } else {
        rng.random_range(0..3_000)
    };
    c.bytes = (
        c.bytes.0 + down,
        c.bytes.1 + down / 15 + rng.random_range(0..500),
    );
    c.packets = (c.packets.0 + down / 1_200, c.packets.1 + down / 2_600);
}

fn row(
    rng: &mut StdRng,
    device_id: DeviceId,
    ap: u64,
    poll: u64,
    at: Timestamp,
    c: &Client,
    counters: bool,
) -> Registration {
    let tenant_id = TenantId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
    let signal_dbm = c.signal_dbm + [-1, 0, 0, 0, 0, 0, 0, 1][rng.random_range(0..8)];
    let counter = |v: u64| counters.then_some(v);
    Registration {
        tenant_id,
        device_id,
        observed_at: at,
        lease_epoch: 1,
        sequence: poll + 1,
        source: Source::Wireless,
        interface: "wlan1".into(),
        radio_mac: Some(Mac(0x4C5E_0C00_0000 + ap)),
        remote: false,
        mac: c.mac,
        far_end: Some(FarEnd::Station),
        radio_name: Some(format!("client-{:06x}", c.mac.0 & 0xff_ffff)),
        ssid: Some(format!("tower-{}", ap / 3)),
        band: Some("5ghz-ac".into()),
        signal_dbm: Some(signal_dbm),
        signal_ch0_dbm: Some(signal_dbm - 3),
        signal_ch1_dbm: Some(signal_dbm - 3),
        signal_ch2_dbm: None,
        signal_ch3_dbm: None,
        tx_signal_dbm: Some(c.signal_dbm + 2),
        tx_signal_ch0_dbm: Some(c.signal_dbm - 1),
        tx_signal_ch1_dbm: Some(c.signal_dbm - 1),
        snr_db: Some(signal_dbm + 100),
        tx_ccq_percent: Some(90),
        rx_ccq_percent: Some(95),
        tx_rate_bps: Some(RATES_BPS[c.rate]),
        rx_rate_bps: Some(RATES_BPS[c.rate.saturating_sub(1)]),
        tx_width_mhz: Some(20),
        tx_streams: Some(2),
        rx_width_mhz: Some(20),
        rx_streams: Some(2),
        tx_throughput_bps: None,
        rx_throughput_bps: None,
        p_throughput: Some(RATES_BPS[c.rate] / 1_500),
        tx_bytes: counter(c.bytes.0),
        rx_bytes: counter(c.bytes.1),
        tx_packets: counter(c.packets.0),
        rx_packets: counter(c.packets.1),
        uptime_s: Some(c.uptime_s),
        last_activity_ms: Some(rng.random_range(0..12) * 10),
        distance_km: Some(3),
        last_ip: Some(format!("10.{}.{}.{}", ap / 250, ap % 250, c.mac.0 % 32 + 2)),
        vlan_id: None,
        auth_type: Some("wpa2-psk".into()),
        encryption: Some("aes-ccm".into()),
        authorized: Some(true),
        routeros_version: Some("6.49.10".into()),
        comment: None,
        extra: None,
    }
}

fn bytes_per_sample(aps: u64, polls: u64, counters: bool) -> f64 {
    let batches = samples(aps, polls, counters);
    let order = sort_order(Table::RegistrationSamples, &batches).unwrap_or_default();
    let written = write_sorted(
        Table::RegistrationSamples,
        &batches,
        &order,
        "bench",
        Vec::new(),
    );
    written.map_or(f64::NAN, |(_, summary)| {
        summary.bytes as f64 / summary.rows as f64
    })
}

#[expect(clippy::print_stdout, reason = "the bench's result is its output")]
fn main() {
    let (minute, hour, day) = ((2_000, 2), (40, 120), (4, 2_880));
    let of = |(aps, polls), counters| bytes_per_sample(aps, polls, counters);
    println!(
        "{{\"minute_all\":{:.2},\"minute_no_counters\":{:.2},\"hour_all\":{:.2},\"hour_no_counters\":{:.2},\"day_all\":{:.2},\"day_no_counters\":{:.2}}}",
        of(minute, true),
        of(minute, false),
        of(hour, true),
        of(hour, false),
        of(day, true),
        of(day, false),
    );
}
