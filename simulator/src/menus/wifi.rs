//! `/interface/wifi` and its older name `/interface/wifiwave2`.

use std::fmt;

use super::{Scene, interface::station_name, table::Row, table::Table, traffic_key};
use crate::{
    physics::{Direction, rate, throughput_bps, traffic},
    text::{MacText, Uptime, UptimeMs},
    world::{
        Association, jitter,
        model::{Radio, Stack},
    },
};

/// `5500/ax/Ceee`.
struct ChannelText<'a>(&'a Radio);

impl fmt::Display for ChannelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = match self.0.width_mhz {
            80 => "/Ceee",
            40 => "/Ce",
            _ => "",
        };
        write!(f, "{}/ax{extension}", self.0.frequency_mhz)
    }
}

/// Radios of this device that the package runs.
fn radios_of<'a>(scene: &Scene<'a>, stack: Stack) -> impl Iterator<Item = usize> + 'a {
    let mine = scene.device().stack == stack;
    scene.device().radios.iter().copied().filter(move |_| mine)
}

fn station_of(scene: &Scene<'_>, stack: Stack) -> Option<Association> {
    scene.uplink().filter(|_| scene.device().stack == stack)
}

pub(super) fn interfaces(scene: &Scene<'_>, rows: &mut Table<'_>, stack: Stack) {
    for id in radios_of(scene, stack) {
        let radio = scene.radio(id);
        let running = scene.world.table(id).next().is_some();
        let name = &radio.interface;
        interface(
            rows,
            radio.port + 8,
            (name, radio.mac),
            &radio.ssid,
            "ap",
            running,
        );
    }
    let device = scene.device();
    let Some(client) = device.client.filter(|_| device.stack == stack) else {
        return;
    };
    let home = scene.world.plan().clients[client].home;
    let radio = scene.radio(scene.uplink().map_or(home, |l| l.radio));
    let port = (station_name(scene), device.mac(8));
    interface(
        rows,
        8,
        port,
        &radio.ssid,
        "station-bridge",
        scene.uplink().is_some(),
    );
}

fn interface(
    rows: &mut Table<'_>,
    number: usize,
    (name, mac): (&str, u64),
    ssid: &str,
    mode: &str,
    running: bool,
) {
    rows.row(|r| {
        r.put(".id", format_args!("*{number:X}"))
            .put("default-name", name)
            .put("name", name)
            .put("l2mtu", "1560")
            .put("mac-address", MacText(mac))
            .put("arp-timeout", "auto")
            .put("radio-mac", MacText(mac))
            .put("configuration.ssid", ssid)
            .put("configuration.mode", mode)
            .put_all(&[("security.authentication-types", "wpa2-psk,wpa3-psk")])
            .put_all(&[("master", "true"), ("dynamic", "false"), ("bound", "true")])
            .put("inactive", "false")
            .put("running", running)
            .put("disabled", "false");
    });
}

pub(super) fn radios(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for id in radios_of(scene, Stack::Wifi) {
        let radio = scene.radio(id);
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", radio.port + 1))
                .put("radio-mac", MacText(radio.mac))
                .put("interface", &radio.interface);
        });
    }
}

/// Monitors one interface by name or id; `false` when there is none.
pub(super) fn monitor(scene: &Scene<'_>, rows: &mut Table<'_>, number: &str, stack: Stack) -> bool {
    let named = |port: usize, name: &str| number == name || number == format!("*{:X}", port + 8);
    for id in radios_of(scene, stack) {
        let radio = scene.radio(id);
        if named(radio.port, &radio.interface) {
            let peers = scene.world.table(id).count();
            rows.row(|r| {
                r.put("state", "running")
                    .put("channel", ChannelText(radio))
                    .put("registered-peers", peers)
                    .put("authorized-peers", peers)
                    .put("tx-power", "24");
            });
            return true;
        }
    }
    let device = scene.device();
    let mine = device.client.is_some() && device.stack == stack;
    if !mine || !named(0, station_name(scene)) {
        return false;
    }
    rows.row(|r| match scene.uplink() {
        Some(link) => {
            r.put("state", "running")
                .put("channel", ChannelText(scene.radio(link.radio)))
                .put("registered-peers", "1")
                .put("authorized-peers", "1")
                .put("tx-power", "22");
        }
        None => {
            r.put("state", "scanning");
        }
    });
    true
}

/// The AP's table, and the one row of a station about its AP.
pub(super) fn registrations(scene: &Scene<'_>, rows: &mut Table<'_>, stack: Stack) {
    let plan = scene.world.plan();
    for id in radios_of(scene, stack) {
        for link in scene.world.table(id) {
            let mac = plan.clients[link.client].mac;
            let interface = &scene.radio(id).interface;
            rows.row(|r| registration(scene, r, link, interface, mac, Direction::Up));
        }
    }
    if let Some(link) = station_of(scene, stack) {
        let mac = scene.radio(link.radio).mac;
        let name = station_name(scene);
        rows.row(|r| registration(scene, r, link, name, mac, Direction::Down));
    }
}

fn registration(
    scene: &Scene<'_>,
    r: &mut Row,
    link: Association,
    interface: &str,
    mac: u64,
    from: Direction,
) {
    let (plan, key) = (scene.world.plan(), traffic_key(link));
    let radio = scene.radio(link.radio);
    let counted = traffic(plan, key, link.began_ms, scene.now);
    let (down_bps, up_bps) = throughput_bps(plan, key, link.began_ms, scene.now);
    let width = radio.width_mhz;
    let up = rate(scene.snr(link, Direction::Up), width).bps;
    let down = rate(scene.snr(link, Direction::Down), width).bps;
    let downwards = (down, counted.down_packets, counted.down_bytes, down_bps);
    let upwards = (up, counted.up_packets, counted.up_bytes, up_bps);
    let (tx, rx) = match from {
        Direction::Up => (downwards, upwards),
        Direction::Down => (upwards, downwards),
    };
    let newer = scene.version_at_least(7, 13);
    r.put(".id", format_args!("*{:X}", link.row_id))
        .put("interface", interface)
        .put("ssid", &radio.ssid)
        .put("mac-address", MacText(mac))
        .put("uptime", Uptime((scene.now - link.began_ms) / 1_000));
    if newer {
        r.put(
            "last-activity",
            UptimeMs(jitter(plan, key, scene.now, 4) as i64 * 1_000),
        );
    }
    r.put("signal", scene.signal(link, from));
    if newer {
        let band = if radio.frequency_mhz < 3_000 {
            "2ghz-n"
        } else {
            "5ghz-ax"
        };
        r.put("auth-type", "wpa2-psk").put("band", band);
    }
    r.put("tx-rate", tx.0)
        .put("rx-rate", rx.0)
        .put("packets", format_args!("{},{}", tx.1, rx.1))
        .put("bytes", format_args!("{},{}", tx.2, rx.2))
        .put("tx-bits-per-second", tx.3)
        .put("rx-bits-per-second", rx.3);
    if newer {
        r.put("vlan-id", "10");
    }
    r.put("authorized", "true");
}
