//! The five registration tables as one kind of row.
//!
//! Traps avoided: the same fact has three names (`signal-strength`, `signal`, `rx-signal`); 60 GHz
//! interfaces call a quality from 0 to 100 their `signal` and tell dBm as `rssi`; CAPsMAN tells
//! `last-ip` backwards; `tx-ccq` passes 100; counters pass 2^32.

use super::{
    Attributes, Cell, Issue, Known, Parsed, Stamp, boolean, decimal, duration, extra_text,
    ip_reversed, mac, number, rate, signal, walk,
};
use mast_schemas::Mac;
use mast_schemas::records::{FarEnd, Registration, Source};

/// A registration, joined with what is `known` of the device's interfaces. `interface` is its name
/// where the reply itself does not tell it (60 GHz monitors). No row without the far end's address:
/// that is an issue too.
pub fn registration(
    stamp: Stamp,
    source: Source,
    known: &Known,
    interface: Option<&str>,
    attributes: &(impl Attributes + ?Sized),
) -> Parsed<Option<Registration>> {
    let blank = blank(stamp, source, interface.unwrap_or_default());
    let parsed = walk(
        attributes,
        Draft {
            row: blank,
            mac: None,
        },
        |draft, name, cell| {
            take(source, draft, name, cell);
        },
    );
    let Parsed {
        row: Draft { mut row, mac },
        extra,
        mut issues,
    } = parsed;
    let Some(mac) = mac else {
        if !issues
            .iter()
            .any(|i| matches!(i.attribute.as_str(), "mac-address" | "remote-address"))
        {
            issues.push(Issue {
                attribute: "mac-address".to_owned(),
                value: String::new(),
                reason: "expected the address of the far end",
            });
        }
        return Parsed {
            row: None,
            extra,
            issues,
        };
    };
    row.mac = mac;
    join(&mut row, known);
    row.extra = extra_text(&extra);
    Parsed {
        row: Some(row),
        extra,
        issues,
    }
}

struct Draft {
    row: Registration,
    mac: Option<Mac>,
}

/// Radio address, far end and network name, from the interface lists.
fn join(row: &mut Registration, known: &Known) {
    let interface = known.get(&row.interface);
    row.radio_mac = interface.and_then(|i| i.mac);
    let station = interface.and_then(|i| i.station);
    row.remote = row.source == Source::Capsman || interface.is_some_and(|i| i.remote);
    if row.ssid.is_none() {
        row.ssid = interface.and_then(|i| i.ssid.clone());
    }
    if row.far_end.is_none() {
        row.far_end = match (row.source, station) {
            (Source::Capsman, _) | (_, Some(false)) => Some(FarEnd::Station),
            (_, Some(true)) => Some(FarEnd::Ap),
            (_, None) => None,
        };
    }
}

fn take(source: Source, draft: &mut Draft, name: &str, cell: &mut Cell<'_, '_>) {
    let row = &mut draft.row;
    match name {
        "mac-address" if source != Source::W60g => cell.put(&mut draft.mac, mac),
        "remote-address" if source == Source::W60g => cell.put(&mut draft.mac, mac),
        "interface" => name_of(row, cell),
        "parent" if source == Source::W60g => name_of(row, cell),
        "ap" => {
            let mut ap = None;
            cell.put(&mut ap, boolean);
            row.far_end = ap.map(|ap| if ap { FarEnd::Ap } else { FarEnd::Station });
        }
        "radio-name" => cell.word(&mut row.radio_name),
        "ssid" => cell.word(&mut row.ssid),
        "band" => cell.word(&mut row.band),
        "vlan-id" => cell.put(&mut row.vlan_id, number),
        "auth-type" | "authentication-type" => cell.word(&mut row.auth_type),
        "encryption" => cell.word(&mut row.encryption),
        "authorized" | "802.1x-port-enabled" => cell.put(&mut row.authorized, boolean),
        "routeros-version" => cell.word(&mut row.routeros_version),
        "comment" => cell.word(&mut row.comment),
        "last-ip" if source == Source::Capsman => cell.put(&mut row.last_ip, ip_reversed),
        "last-ip" => cell.word(&mut row.last_ip),
        // 60 GHz distances are metres with decimals: no column, and not to be rounded to 0 km.
        "distance" if source != Source::W60g => cell.put(&mut row.distance_km, number),
        _ => {
            if !radio_side(source, row, name, cell) && !traffic_side(row, name, cell) {
                cell.keep();
            }
        }
    }
}

fn name_of(row: &mut Registration, cell: &mut Cell<'_, '_>) {
    if row.interface.is_empty() {
        row.interface = cell.text().into_owned();
    }
}

/// Signals, quality and rates; whether `name` is one of them.
fn radio_side(source: Source, row: &mut Registration, name: &str, cell: &mut Cell<'_, '_>) -> bool {
    match (source, name) {
        (Source::Capsman, "rx-signal")
        | (Source::Wireless, "signal-strength")
        | (Source::Wifi | Source::Wifiwave2, "signal") => cell.put(&mut row.signal_dbm, signal),
        (Source::W60g, "rssi") => cell.put(&mut row.signal_dbm, rounded),
        (_, "signal-strength-ch0") => cell.put(&mut row.signal_ch0_dbm, signal),
        (_, "signal-strength-ch1") => cell.put(&mut row.signal_ch1_dbm, signal),
        (_, "signal-strength-ch2") => cell.put(&mut row.signal_ch2_dbm, signal),
        (_, "signal-strength-ch3") => cell.put(&mut row.signal_ch3_dbm, signal),
        (_, "tx-signal-strength") | (Source::Capsman, "tx-signal") => {
            cell.put(&mut row.tx_signal_dbm, signal);
        }
        (_, "tx-signal-strength-ch0") => cell.put(&mut row.tx_signal_ch0_dbm, signal),
        (_, "tx-signal-strength-ch1") => cell.put(&mut row.tx_signal_ch1_dbm, signal),
        (_, "signal-to-noise") => cell.put(&mut row.snr_db, number),
        (_, "tx-ccq") => cell.put(&mut row.tx_ccq_percent, number),
        (_, "rx-ccq") => cell.put(&mut row.rx_ccq_percent, number),
        (_, "tx-rate") | (Source::W60g, "tx-phy-rate") => {
            let mut found = None;
            cell.put(&mut found, rate);
            if let Some(rate) = found {
                row.tx_rate_bps = Some(rate.bps);
                (row.tx_width_mhz, row.tx_streams) = (rate.width_mhz, rate.streams);
            }
        }
        (_, "rx-rate") => {
            let mut found = None;
            cell.put(&mut found, rate);
            if let Some(rate) = found {
                row.rx_rate_bps = Some(rate.bps);
                (row.rx_width_mhz, row.rx_streams) = (rate.width_mhz, rate.streams);
            }
        }
        _ => return false,
    }
    true
}

/// Counters and times; whether `name` is one of them.
fn traffic_side(row: &mut Registration, name: &str, cell: &mut Cell<'_, '_>) -> bool {
    match name {
        "bytes" => cell.both(&mut row.tx_bytes, &mut row.rx_bytes),
        "packets" => cell.both(&mut row.tx_packets, &mut row.rx_packets),
        "tx-bits-per-second" => cell.put(&mut row.tx_throughput_bps, number),
        "rx-bits-per-second" => cell.put(&mut row.rx_throughput_bps, number),
        "p-throughput" => cell.put(&mut row.p_throughput, number),
        "uptime" => cell.put(&mut row.uptime_s, |t| duration(t).map(|d| d.as_secs())),
        "last-activity" => cell.put(&mut row.last_activity_ms, |t| {
            duration(t).map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        }),
        _ => return false,
    }
    true
}

fn rounded(text: &str) -> Result<i16, super::Reason> {
    decimal(text).map(|level| level.round() as i16)
}

fn blank(stamp: Stamp, source: Source, interface: &str) -> Registration {
    Registration {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        source,
        interface: interface.to_owned(),
        radio_mac: None,
        remote: false,
        mac: Mac(0),
        far_end: None,
        radio_name: None,
        ssid: None,
        band: None,
        signal_dbm: None,
        signal_ch0_dbm: None,
        signal_ch1_dbm: None,
        signal_ch2_dbm: None,
        signal_ch3_dbm: None,
        tx_signal_dbm: None,
        tx_signal_ch0_dbm: None,
        tx_signal_ch1_dbm: None,
        snr_db: None,
        tx_ccq_percent: None,
        rx_ccq_percent: None,
        tx_rate_bps: None,
        rx_rate_bps: None,
        tx_width_mhz: None,
        tx_streams: None,
        rx_width_mhz: None,
        rx_streams: None,
        tx_throughput_bps: None,
        rx_throughput_bps: None,
        p_throughput: None,
        tx_bytes: None,
        rx_bytes: None,
        tx_packets: None,
        rx_packets: None,
        uptime_s: None,
        last_activity_ms: None,
        distance_km: None,
        last_ip: None,
        vlan_id: None,
        auth_type: None,
        encryption: None,
        authorized: None,
        routeros_version: None,
        comment: None,
        extra: None,
    }
}
