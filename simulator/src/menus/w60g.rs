//! `/interface/w60g`: point-to-point links at 60 GHz. They are in no registration table; the AP end
//! has a `station` row for its far end, which stays with `running=false` when the link is gone.

use super::{Scene, table::Table};
use crate::{
    physics::{Direction, distance_m, traffic},
    text::MacText,
    world::{
        Association,
        model::{Radio, Role},
    },
};

/// The radio at the AP end.
fn ap_end<'a>(scene: &Scene<'a>) -> Option<(usize, &'a Radio)> {
    let mut radios = scene.device().radios.iter();
    radios
        .find(|r| scene.radio(**r).w60g)
        .map(|r| (*r, scene.radio(*r)))
}

fn station_end(scene: &Scene<'_>) -> bool {
    scene.device().role == Role::Backhaul && scene.device().client.is_some()
}

fn link(scene: &Scene<'_>) -> Option<Association> {
    match ap_end(scene) {
        Some((id, _)) => scene.world.table(id).next(),
        None => scene.uplink().filter(|_| station_end(scene)),
    }
}

pub(super) fn interfaces(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let plan = scene.world.plan();
    let (radio, mac, mode) = match (ap_end(scene), scene.device().client) {
        (Some((_, radio)), _) => (radio, radio.mac, "ap-bridge"),
        (None, Some(client)) if station_end(scene) => (
            scene.radio(plan.clients[client].home),
            scene.device().mac(8),
            "station-bridge",
        ),
        _ => return,
    };
    let key = 1 << 42 | scene.index as u64;
    let counted = traffic(plan, key, scene.world.booted_ms(scene.index), scene.now);
    rows.row(|r| {
        r.put(".id", "*8")
            .put_all(&[("arp", "enabled"), ("arp-timeout", "auto")])
            .put("beamforming-event", "1858")
            .put("default-scan-list", "58320,60480,62640,64800")
            .put("disabled", "false")
            .put("frequency", radio.frequency_mhz)
            .put_all(&[("isolate-stations", "false"), ("l2mtu", "1600")])
            .put("mac-address", MacText(mac))
            .put("mode", mode)
            .put_all(&[("mtu", "1500"), ("name", "wlan60-1")])
            .put_all(&[("put-stations-in-bridge", "bridge1"), ("region", "eu")])
            .put("running", link(scene).is_some())
            .put("rx-mpdu-crc-err", counted.up_packets / 70)
            .put("rx-mpdu-crc-ok", counted.up_packets)
            .put("ssid", &radio.ssid)
            .put("tx-mpdu-retry", counted.down_packets / 57)
            .put("tx-mpdu-total", counted.down_packets)
            .put("tx-sector", "auto");
    });
}

/// Monitors the one 60 GHz interface; `false` for any other number.
pub(super) fn monitor(scene: &Scene<'_>, rows: &mut Table<'_>, number: &str) -> bool {
    let ours = ap_end(scene).is_some() || station_end(scene);
    if !ours || (number != "wlan60-1" && number != "*8") {
        return false;
    }
    let Some(link) = link(scene) else {
        rows.row(|r| {
            r.put("connected", "false");
        });
        return true;
    };
    let plan = scene.world.plan();
    let (radio, near) = (scene.radio(link.radio), ap_end(scene).is_some());
    let (far, from) = match near {
        true => (plan.clients[link.client].mac, Direction::Up),
        false => (radio.mac, Direction::Down),
    };
    let exact = scene.world.signal_dbm(link, scene.now, from);
    let rssi = exact.round() as i64;
    rows.row(|r| {
        r.put("connected", "true")
            .put("frequency", radio.frequency_mhz)
            .put("remote-address", MacText(far))
            .put("tx-mcs", if rssi > -65 { "8" } else { "6" })
            .put(
                "tx-phy-rate",
                if rssi > -65 {
                    "2310.0Mbps"
                } else {
                    "1540.0Mbps"
                },
            )
            .put("signal", (rssi + 132).clamp(0, 100))
            .put("rssi", rssi)
            .put("10s-average-rssi", format_args!("{exact:.1}"))
            .put("tx-sector", "62")
            .put("tx-sector-info", "left 1.9 degrees, up 2.6 degrees")
            .put("rx-sector", "96")
            .put(
                "distance",
                format_args!("{:.2}m", distance_m(plan, link.client, link.radio)),
            )
            .put("tx-packet-error-rate", "5%");
    });
    true
}

pub(super) fn stations(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let Some((id, radio)) = ap_end(scene) else {
        return;
    };
    let plan = scene.world.plan();
    let Some(far) = scene.world.members(id).first().map(|c| &plan.clients[*c]) else {
        return;
    };
    rows.row(|r| {
        r.put(".id", "*9")
            .put_all(&[
                ("arp", "enabled"),
                ("arp-timeout", "auto"),
                ("beamforming-event", "3042"),
            ])
            .put("disabled", "false")
            .put("mac-address", MacText(radio.mac))
            .put_all(&[("mtu", "1500"), ("name", "ptp01")])
            .put("parent", &radio.interface)
            .put("put-in-bridge", "parent")
            .put("remote-address", MacText(far.mac))
            .put("running", scene.world.table(id).next().is_some());
    });
}
