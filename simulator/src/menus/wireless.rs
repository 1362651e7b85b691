//! `/interface/wireless`: the legacy package of versions 6 and 7.

use std::fmt;

use super::{Scene, interface::station_name, last_ip, table::Row, table::Table, traffic_key};
use crate::{
    physics::{Direction, Rate, ccq_percent, distance_m, rate, traffic},
    text::{MacText, RadioName, Uptime, UptimeMs},
    world::{
        Association, jitter,
        model::{CapsMan, Radio, Stack},
    },
};

/// A rate as text: `144.4Mbps-20MHz/2S/SGI`, or `6Mbps` for legacy rates.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateText(pub(super) Rate);

impl fmt::Display for RateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0;
        write!(f, "{}", rate.bps / 1_000_000)?;
        match rate.bps / 100_000 % 10 {
            0 => f.write_str("Mbps")?,
            tenths => write!(f, ".{tenths}Mbps")?,
        }
        if rate.streams > 0 {
            write!(f, "-{}MHz/{}S", rate.width_mhz, rate.streams)?;
            if rate.short_guard {
                f.write_str("/SGI")?;
            }
        }
        Ok(())
    }
}

/// A control channel as monitors show it: `5180/20-Ce/an(24dBm)`.
pub(super) struct ChannelText<'a>(pub(super) &'a Radio);

impl fmt::Display for ChannelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let radio = self.0;
        let (extension, band) = match (radio.frequency_mhz < 3_000, radio.width_mhz) {
            (true, 40) => ("-Ce", "gn"),
            (true, _) => ("", "gn"),
            (false, 80) => ("-Ceee", "ac"),
            (false, 40) => ("-Ce", "an"),
            (false, _) => ("", "an"),
        };
        write!(f, "{}/20{extension}/{band}(24dBm)", radio.frequency_mhz)
    }
}

fn band(radio: &Radio) -> &'static str {
    match (radio.frequency_mhz < 3_000, radio.width_mhz) {
        (true, _) => "2ghz-b/g/n",
        (false, 80) => "5ghz-n/ac",
        (false, _) => "5ghz-a/n",
    }
}

fn width(radio: &Radio) -> &'static str {
    match radio.width_mhz {
        80 => "20/40/80mhz-Ceee",
        40 => "20/40mhz-Ce",
        _ => "20mhz",
    }
}

pub(super) fn interfaces(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let device = scene.device();
    for &id in device.radios.iter().filter(|r| !scene.radio(**r).w60g) {
        let radio = scene.radio(id);
        let running = scene.world.table(id).next().is_some();
        let row = Station {
            radio,
            name: &radio.interface,
            mac: radio.mac,
            mode: "ap-bridge",
        };
        interface(scene, rows, radio.port + 8, &row, running);
    }
    let Some(client) = device.client else { return };
    let home = scene.world.plan().clients[client].home;
    let radio = scene.radio(scene.uplink().map_or(home, |l| l.radio));
    if !radio.w60g {
        let name = station_name(scene);
        let row = Station {
            radio,
            name,
            mac: device.mac(8),
            mode: "station-bridge",
        };
        interface(scene, rows, 8, &row, scene.uplink().is_some());
    }
}

struct Station<'a> {
    radio: &'a Radio,
    name: &'a str,
    mac: u64,
    mode: &'static str,
}

fn interface(
    scene: &Scene<'_>,
    rows: &mut Table<'_>,
    number: usize,
    row: &Station<'_>,
    running: bool,
) {
    rows.row(|r| {
        r.put(".id", format_args!("*{number:X}"))
            .put("default-name", row.name)
            .put("name", row.name)
            .put_all(&[("mtu", "1500"), ("l2mtu", "1600")])
            .put("mac-address", MacText(row.mac))
            .put_all(&[("arp", "enabled"), ("disable-running-check", "false")])
            .put("interface-type", "Atheros AR9300")
            .put("radio-name", RadioName(row.mac))
            .put("mode", row.mode)
            .put("ssid", &row.radio.ssid)
            .put_all(&[("area", ""), ("frequency-mode", "regulatory-domain")])
            .put_all(&[("country", "etsi"), ("antenna-gain", "3")])
            .put("frequency", row.radio.frequency_mhz)
            .put("band", band(row.radio))
            .put("channel-width", width(row.radio))
            .put_all(&[("scan-list", "default"), ("wireless-protocol", "802.11")])
            .put_all(&[("rate-set", "default"), ("supported-rates-a/g", "")])
            .put_all(&[("max-station-count", "2007"), ("distance", "dynamic")])
            .put_all(&[
                ("tx-power-mode", "default"),
                ("vlan-mode", "no-tag"),
                ("vlan-id", "1"),
            ])
            .put_all(&[("wds-mode", "disabled"), ("bridge-mode", "enabled")])
            .put_all(&[("hide-ssid", "false"), ("security-profile", "default")])
            .put_all(&[("nv2-preshared-key", ""), ("disabled", "false")])
            .put("running", running);
        if scene.device().capsman == CapsMan::Cap {
            r.put(".about", "managed by CAPsMAN");
        }
    });
}

/// Monitors one interface by name or id; `false` when there is none.
pub(super) fn monitor(scene: &Scene<'_>, rows: &mut Table<'_>, number: &str) -> bool {
    let named = |port: usize, name: &str| number == name || number == format!("*{:X}", port + 8);
    for &id in &scene.device().radios {
        let radio = scene.radio(id);
        if !radio.w60g && named(radio.port, &radio.interface) {
            ap_monitor(scene, rows, id);
            return true;
        }
    }
    let station = scene.device().client.is_some() && named(0, station_name(scene));
    if station {
        station_monitor(scene, rows);
    }
    station
}

fn ap_monitor(scene: &Scene<'_>, rows: &mut Table<'_>, id: usize) {
    let radio = scene.radio(id);
    let clients = scene.world.table(id).count();
    let ccq = scene
        .world
        .table(id)
        .map(|link| ccq(scene, link, Direction::Down))
        .sum::<u64>();
    rows.row(|r| {
        // A radio run by CAPsMAN tells neither its status nor its clients.
        let managed = scene.device().capsman == CapsMan::Cap;
        if !managed {
            r.put("status", "running-ap");
        }
        r.put("channel", ChannelText(radio))
            .put("noise-floor", scene.noise(id));
        if clients > 0 {
            r.put("overall-tx-ccq", ccq / clients as u64);
        }
        if !managed {
            r.put("wireless-protocol", "802.11")
                .put("registered-clients", clients)
                .put("authenticated-clients", clients);
        }
    });
}

fn station_monitor(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let Some(link) = scene.uplink() else {
        rows.row(|r| {
            r.put("status", "searching-for-network");
        });
        return;
    };
    let radio = scene.radio(link.radio);
    let snr = scene.snr(link, Direction::Down);
    rows.row(|r| {
        r.put("status", "connected-to-ess")
            .put("channel", ChannelText(radio))
            .put("wireless-protocol", "802.11")
            .put("noise-floor", scene.noise(link.radio))
            .put("overall-tx-ccq", ccq(scene, link, Direction::Up))
            .put("signal-strength", scene.signal(link, Direction::Down))
            .put("signal-to-noise", snr.round() as i64)
            .put("bssid", MacText(radio.mac))
            .put("ssid", &radio.ssid)
            .put(
                "tx-rate",
                RateText(rate(scene.snr(link, Direction::Up), radio.width_mhz)),
            )
            .put("rx-rate", RateText(rate(snr, radio.width_mhz)))
            .put("radio-name", RadioName(radio.mac));
    });
}

/// CCQ of one direction, percent; now and then a little above what is possible, as on devices.
fn ccq(scene: &Scene<'_>, link: Association, direction: Direction) -> u64 {
    let key = traffic_key(link) ^ (direction as u64) << 50;
    let luck = jitter(scene.world.plan(), key, scene.now, 6);
    (ccq_percent(scene.snr(link, direction)) as u64 + luck).max(1)
}

/// The AP's table, and the one row of a station about its AP.
pub(super) fn registrations(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for id in scene.own_radios().filter(|r| !scene.radio(*r).w60g) {
        for link in scene.world.table(id) {
            let plan = scene.world.plan();
            let client = &plan.clients[link.client];
            let peer = client.device.map(|d| &plan.devices[d]);
            let seen = Seen {
                link,
                interface: &scene.radio(id).interface,
                mac: client.mac,
                ap: false,
                from: Direction::Up,
                version: peer
                    .filter(|d| d.stack == Stack::Wireless)
                    .map(|d| d.version.number()),
                comment: client.comment.as_deref(),
            };
            rows.row(|r| registration(scene, r, &seen));
        }
    }
    let Some(link) = scene.uplink().filter(|l| !scene.radio(l.radio).w60g) else {
        return;
    };
    let plan = scene.world.plan();
    let radio = scene.radio(link.radio);
    let peer = &plan.devices[radio.device];
    let seen = Seen {
        link,
        interface: station_name(scene),
        mac: radio.mac,
        ap: true,
        from: Direction::Down,
        version: (peer.stack == Stack::Wireless).then(|| peer.version.number()),
        comment: None,
    };
    rows.row(|r| registration(scene, r, &seen));
}

struct Seen<'a> {
    link: Association,
    interface: &'a str,
    mac: u64,
    ap: bool,
    from: Direction,
    /// Version of a peer that runs the same package.
    version: Option<String>,
    comment: Option<&'a str>,
}

fn registration(scene: &Scene<'_>, r: &mut Row, seen: &Seen<'_>) {
    let (plan, link) = (scene.world.plan(), seen.link);
    let radio = scene.radio(link.radio);
    let back = match seen.from {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    };
    let signal = scene.signal(link, seen.from);
    let (snr_in, snr_out) = (scene.snr(link, seen.from), scene.snr(link, back));
    let (rx, tx) = (
        rate(snr_in, radio.width_mhz),
        rate(snr_out, radio.width_mhz),
    );
    let counted = traffic(plan, traffic_key(link), link.began_ms, scene.now);
    let (out, into) = match seen.from {
        Direction::Up => (
            (counted.down_bytes, counted.down_packets),
            (counted.up_bytes, counted.up_packets),
        ),
        Direction::Down => (
            (counted.up_bytes, counted.up_packets),
            (counted.down_bytes, counted.down_packets),
        ),
    };
    let idle = jitter(plan, traffic_key(link), scene.now, 90) as i64 * 10;
    let flag = |yes: bool| if yes { "true" } else { "false" };
    r.put(".id", format_args!("*{:X}", link.row_id))
        .put("interface", seen.interface);
    if seen.version.is_some() {
        r.put("radio-name", RadioName(seen.mac));
    }
    r.put("mac-address", MacText(seen.mac))
        .put("ap", flag(seen.ap))
        .put_all(&[("wds", "false"), ("bridge", "false")])
        .put("rx-rate", RateText(rx))
        .put("tx-rate", RateText(tx))
        .put("packets", format_args!("{},{}", out.1, into.1))
        .put("bytes", format_args!("{},{}", out.0, into.0))
        .put("frames", format_args!("{},{}", out.1, into.1))
        .put("frame-bytes", format_args!("{},{}", out.0, into.0))
        .put(
            "hw-frames",
            format_args!("{},{}", out.1 + out.1 / 9, into.1 + into.1 / 11),
        )
        .put(
            "hw-frame-bytes",
            format_args!("{},{}", out.0 + out.0 / 9, into.0 + into.0 / 11),
        )
        .put("tx-frames-timed-out", "0")
        .put("uptime", Uptime((scene.now - link.began_ms) / 1_000))
        .put("last-activity", UptimeMs(idle))
        .put(
            "signal-strength",
            format_args!("{signal}@{}", LegacyRate(snr_in)),
        )
        .put("signal-to-noise", snr_in.round() as i64)
        .put("signal-strength-ch0", signal - 3)
        .put("signal-strength-ch1", signal - 2)
        .put(
            "strength-at-rates",
            format_args!(
                "{}@6Mbps {},{signal}@HT20-4 {}",
                signal + 1,
                UptimeMs(idle + 4_330),
                UptimeMs(idle)
            ),
        );
    if seen.version.is_some() {
        r.put("tx-signal-strength", scene.signal(link, back));
    }
    r.put("tx-ccq", ccq(scene, link, back));
    if seen.version.is_some() {
        r.put("rx-ccq", ccq(scene, link, seen.from));
    }
    r.put("p-throughput", tx.bps / 1_000 * 7 / 10).put(
        "distance",
        (distance_m(plan, link.client, link.radio) / 1_000.0).ceil() as u64,
    );
    r.put_some("routeros-version", seen.version.as_deref())
        .put("last-ip", last_ip(link))
        .put_all(&[
            ("802.1x-port-enabled", "true"),
            ("authentication-type", "wpa2-psk"),
        ])
        .put_all(&[("encryption", "aes-ccm"), ("group-encryption", "aes-ccm")])
        .put_all(&[("management-protection", "false"), ("wmm-enabled", "true")])
        .put("tx-rate-set", "OFDM:6-54 BW:1x-2x SGI:1x-2x HT:0-15")
        .put_some("comment", seen.comment);
}

/// The rate of the frame whose strength was measured.
struct LegacyRate(f64);

impl fmt::Display for LegacyRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            snr if snr < 12.0 => "1Mbps",
            snr if snr < 28.0 => "6Mbps",
            _ => "24Mbps",
        })
    }
}
