//! `/caps-man`: the legacy controller, which holds the clients' table for its CAPs.

use std::net::Ipv4Addr;

use super::{
    Scene, last_ip,
    table::Table,
    traffic_key,
    wireless::{ChannelText, RateText},
};
use crate::{
    physics::{Direction, rate, traffic},
    text::{MacText, RadioName, UptimeMs},
};

pub(super) fn interfaces(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for (n, id) in scene.cap_radios().enumerate() {
        let radio = scene.radio(id);
        let clients = scene.world.table(id).count();
        let up = scene.world.reachable(radio.device);
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", n + 1))
                .put("name", radio.reporter().1)
                .put("mac-address", MacText(radio.mac))
                .put("arp-timeout", "auto")
                .put("radio-mac", MacText(radio.mac))
                .put("master-interface", "none")
                .put("radio-name", RadioName(radio.mac))
                .put("configuration", "sectors")
                .put("l2mtu", "1600");
            if up {
                r.put("current-state", "running-ap")
                    .put("current-channel", ChannelText(radio))
                    .put(
                        "current-rate-set",
                        "OFDM:6-54 BW:1x-4x HT:0-15 VHTMCS:SS1=0-9,SS2=0-9",
                    )
                    .put("current-registered-clients", clients)
                    .put("current-authorized-clients", clients);
            }
            r.put("disabled", "false")
                .put("inactive", !up)
                .put("master", "true")
                .put("bound", up)
                .put("running", clients > 0);
        });
    }
}

pub(super) fn radios(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let plan = scene.world.plan();
    for (n, id) in scene.cap_radios().enumerate() {
        let radio = scene.radio(id);
        let cap = &plan.devices[radio.device];
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", n + 1))
                .put("radio-mac", MacText(radio.mac))
                .put("interface", radio.reporter().1)
                .put(
                    "remote-cap-name",
                    format_args!("CAP-{}", RadioName(cap.mac(0))),
                )
                .put("remote-cap-identity", &cap.name)
                .put("provisioned", scene.world.reachable(radio.device));
        });
    }
}

pub(super) fn remote_caps(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let plan = scene.world.plan();
    for (n, id) in scene
        .cap_radios()
        .filter(|r| scene.radio(*r).port == 0)
        .enumerate()
    {
        let cap = &plan.devices[scene.radio(id).device];
        if !scene.world.reachable(scene.radio(id).device) {
            continue;
        }
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", n + 1))
                .put(
                    "address",
                    format_args!("10.255.{}.{}/60383", cap.site % 250, n + 2),
                )
                .put("name", format_args!("CAP-{}", RadioName(cap.mac(0))))
                .put("board", cap.board.model)
                .put("version", cap.version.number())
                .put("identity", &cap.name)
                .put("base-mac", MacText(cap.mac(0)))
                .put("state", "Run")
                .put("radios", cap.radios.len());
        });
    }
}

/// The bytes of this table's `last-ip` come in reverse.
fn reversed(ip: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, d] = ip.octets();
    Ipv4Addr::new(d, c, b, a)
}

pub(super) fn registrations(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let plan = scene.world.plan();
    for id in scene.cap_radios() {
        let radio = scene.radio(id);
        for link in scene.world.table(id) {
            let client = &plan.clients[link.client];
            let counted = traffic(plan, traffic_key(link), link.began_ms, scene.now);
            let up = rate(scene.snr(link, Direction::Up), radio.width_mhz);
            let down = rate(scene.snr(link, Direction::Down), radio.width_mhz);
            rows.row(|r| {
                r.put(".id", format_args!("*{:X}", link.row_id))
                    .put("interface", radio.reporter().1)
                    .put("ssid", &radio.ssid)
                    .put("mac-address", MacText(client.mac))
                    .put("tx-rate", RateText(down))
                    .put("rx-rate", RateText(up))
                    .put("tx-rate-set", "OFDM:6-54 BW:1x-2x SGI:1x-2x HT:0-15")
                    .put("rx-signal", scene.signal(link, Direction::Up))
                    .put("uptime", UptimeMs(scene.now - link.began_ms))
                    .put(
                        "packets",
                        format_args!("{},{}", counted.down_packets, counted.up_packets),
                    )
                    .put(
                        "bytes",
                        format_args!("{},{}", counted.down_bytes, counted.up_bytes),
                    )
                    .put("eap-identity", "")
                    .put("last-ip", reversed(last_ip(link)))
                    .put_some("comment", client.comment.as_deref());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_reversed_as_recorded() {
        assert_eq!(
            reversed(Ipv4Addr::new(192, 168, 73, 21)),
            Ipv4Addr::new(21, 73, 168, 192)
        );
    }
}
