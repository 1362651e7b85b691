//! `/interface`, and what the other lists of interfaces tell about those names.

use super::{Attributes, Parsed, Stamp, boolean, first, mac, number, rate, walk};
use mast_schemas::Mac;
use mast_schemas::records::Interface;
use std::collections::HashMap;

/// What is known of one interface by its name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KnownInterface {
    /// Its own address; of a virtual access point that is the BSSID.
    pub mac: Option<Mac>,
    /// Whether it is a station's (`Some(true)`) or an access point's.
    pub station: Option<bool>,
    /// Whether the radio is another device's, controlled by this one.
    pub remote: bool,
    /// Network name.
    pub ssid: Option<String>,
}

/// The interfaces of a device by name.
#[derive(Clone, Debug, Default)]
pub struct Known(HashMap<String, KnownInterface>);

impl Known {
    /// What is known of a name.
    pub fn get(&self, name: &str) -> Option<&KnownInterface> {
        self.0.get(name)
    }

    /// Learns from a row of `/interface`: addresses, and that a `cap` interface is another device's.
    pub fn learn(&mut self, row: &Interface) {
        let known = self.0.entry(row.name.clone()).or_default();
        known.mac = row.mac.or(known.mac);
        known.remote |= row.remote == Some(true);
    }

    /// Learns from a row of a radio menu (`/interface/wireless`, `wifi`, `w60g`, `/caps-man/interface`).
    pub fn learn_radio(&mut self, capsman: bool, row: &(impl Attributes + ?Sized)) {
        let Some(name) = first(row, "name") else {
            return;
        };
        let text = |wanted| first(row, wanted);
        let mode = text("mode").or_else(|| text("configuration.mode"));
        let master = text("master-interface").filter(|m| m != "none");
        let inherited = master.and_then(|m| self.0.get(m.as_ref()).cloned());
        let known = self.0.entry(name.into_owned()).or_default();
        let address = text("mac-address")
            .and_then(|t| mac(&t).ok())
            .filter(|m| m.0 != 0);
        known.mac = address.or(known.mac);
        known.remote =
            capsman || text("cap").is_some() || inherited.as_ref().is_some_and(|m| m.remote);
        known.station = match mode {
            Some(mode) => Some(mode.starts_with("station")),
            // The wifi menus leave the mode out where it is the default, which is `ap`.
            None => inherited.and_then(|m| m.station).or(Some(false)),
        };
        known.ssid = text("ssid")
            .or_else(|| text("configuration.ssid"))
            .map(|s| s.into_owned());
    }

    /// Copies what is known of the radios into an interface row.
    pub fn mark(&self, row: &mut Interface) {
        if let Some(known) = self.0.get(&row.name) {
            row.remote = Some(known.remote);
        }
    }
}

/// A row of `/interface`; null without a name.
pub fn interface(
    stamp: Stamp,
    attributes: &(impl Attributes + ?Sized),
) -> Parsed<Option<Interface>> {
    let parsed = walk(attributes, blank(stamp), |row, name, cell| match name {
        "name" => row.name = cell.text().into_owned(),
        "mac-address" => cell.put(&mut row.mac, mac),
        "type" => cell.word(&mut row.interface_type),
        "running" => cell.put(&mut row.running, boolean),
        "disabled" => cell.put(&mut row.disabled, boolean),
        "comment" => cell.word(&mut row.comment),
        "rx-byte" => cell.put(&mut row.rx_bytes, number),
        "tx-byte" => cell.put(&mut row.tx_bytes, number),
        "rx-packet" => cell.put(&mut row.rx_packets, number),
        "tx-packet" => cell.put(&mut row.tx_packets, number),
        "rx-error" => cell.put(&mut row.rx_errors, number),
        "tx-error" => cell.put(&mut row.tx_errors, number),
        "rx-drop" => cell.put(&mut row.rx_drops, number),
        "tx-drop" => cell.put(&mut row.tx_drops, number),
        "tx-queue-drop" => cell.put(&mut row.tx_queue_drops, number),
        "link-downs" => cell.put(&mut row.link_downs, number),
        "rate" => cell.put(&mut row.link_rate_bps, |t| rate(t).map(|r| r.bps)),
        _ => cell.keep(),
    });
    let Parsed {
        mut row,
        extra,
        mut issues,
    } = parsed;
    if row.name.is_empty() {
        issues.push(super::Issue {
            attribute: "name".to_owned(),
            value: String::new(),
            reason: "expected the name of the interface",
        });
        return Parsed {
            row: None,
            extra,
            issues,
        };
    }
    if row.interface_type.as_deref() == Some("cap") {
        row.remote = Some(true);
    }
    Parsed {
        row: Some(row),
        extra,
        issues,
    }
}

fn blank(stamp: Stamp) -> Interface {
    Interface {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        name: String::new(),
        mac: None,
        interface_type: None,
        remote: None,
        running: None,
        disabled: None,
        comment: None,
        rx_bytes: None,
        tx_bytes: None,
        rx_packets: None,
        tx_packets: None,
        rx_errors: None,
        tx_errors: None,
        rx_drops: None,
        tx_drops: None,
        tx_queue_drops: None,
        link_downs: None,
        link_rate_bps: None,
    }
}
