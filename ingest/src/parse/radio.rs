//! Radios: what is configured (a print), and what runs (a monitor); both make one row.

use super::{Attributes, Parsed, Stamp, boolean, channel, mac, number, signal, walk, width_mhz};
use mast_schemas::Mac;
use mast_schemas::records::{Radio, Source};

/// What a radio menu tells of one interface, by print or by monitor.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RadioView {
    /// Interface name; monitors do not tell it.
    pub interface: Option<String>,
    /// BSSID: the interface's own address.
    pub mac: Option<Mac>,
    /// Network name.
    pub ssid: Option<String>,
    /// Band word.
    pub band: Option<String>,
    /// Channel as written.
    pub channel: Option<String>,
    /// Control frequency.
    pub frequency_mhz: Option<u32>,
    /// Whole width.
    pub channel_width_mhz: Option<u16>,
    /// Noise floor.
    pub noise_floor_dbm: Option<i16>,
    /// Transmit power.
    pub tx_power_dbm: Option<i16>,
    /// Overall transmit CCQ.
    pub tx_ccq_percent: Option<u8>,
    /// Clients that the radio counts.
    pub clients: Option<u32>,
    /// State word.
    pub status: Option<String>,
    /// 60 GHz only: whether the far end is there.
    pub connected: Option<bool>,
    /// Switched off by configuration.
    pub disabled: Option<bool>,
}

impl RadioView {
    /// This view as a row, values that only the `config` tells filled in from it.
    pub fn row(&self, stamp: Stamp, source: Source, config: Option<&RadioView>) -> Radio {
        fn of<T: Clone>(here: &Option<T>, there: Option<&Option<T>>) -> Option<T> {
            here.clone().or_else(|| there.and_then(Clone::clone))
        }
        Radio {
            tenant_id: stamp.tenant_id,
            device_id: stamp.device_id,
            observed_at: stamp.observed_at,
            lease_epoch: stamp.lease_epoch,
            sequence: stamp.sequence,
            source,
            interface: of(&self.interface, config.map(|c| &c.interface)).unwrap_or_default(),
            radio_mac: of(&self.mac, config.map(|c| &c.mac)),
            ssid: of(&self.ssid, config.map(|c| &c.ssid)),
            band: of(&self.band, config.map(|c| &c.band)),
            channel: of(&self.channel, config.map(|c| &c.channel)),
            frequency_mhz: of(&self.frequency_mhz, config.map(|c| &c.frequency_mhz)),
            channel_width_mhz: of(
                &self.channel_width_mhz,
                config.map(|c| &c.channel_width_mhz),
            ),
            noise_floor_dbm: self.noise_floor_dbm,
            tx_power_dbm: of(&self.tx_power_dbm, config.map(|c| &c.tx_power_dbm)),
            tx_ccq_percent: self.tx_ccq_percent,
            clients: of(&self.clients, config.map(|c| &c.clients)),
            status: of(&self.status, config.map(|c| &c.status)),
        }
    }
}

/// A row of a radio menu's print: `/interface/wireless`, `wifi`, `wifi/radio`, `w60g`,
/// `/caps-man/interface`, `/caps-man/radio`.
pub fn radio_config(attributes: &(impl Attributes + ?Sized)) -> Parsed<RadioView> {
    walk(
        attributes,
        RadioView::default(),
        |view, name, cell| match name {
            "name" | "interface" => cell.word(&mut view.interface),
            "mac-address" => cell.put(&mut view.mac, mac),
            // A virtual access point shows no radio address of its own; a master's two are the same.
            "radio-mac" => {
                cell.put(&mut view.mac, mac);
                cell.keep();
            }
            "ssid" | "configuration.ssid" => cell.word(&mut view.ssid),
            "band" | "channel.band" => cell.word(&mut view.band),
            // `auto`, ranges and lists are wishes; what runs is the monitor's to tell.
            "frequency" | "channel.frequency" => match number(&cell.text()) {
                Ok(mhz) => view.frequency_mhz = Some(mhz),
                Err(_) => cell.keep(),
            },
            // `20/40mhz-Ce` is a width, `20/40mhz-XX` a wish, `ceee` a shape.
            "channel-width" | "channel.width" => {
                view.channel_width_mhz = width_mhz(&cell.text()).ok();
                cell.keep();
            }
            "current-channel" => running_channel(view, cell),
            "current-registered-clients" => cell.put(&mut view.clients, number),
            "current-state" => cell.word(&mut view.status),
            "disabled" => cell.put(&mut view.disabled, boolean),
            // Keys and passwords of the air stay on the router.
            _ if is_secret(name) => {}
            _ => cell.keep(),
        },
    )
}

/// A reply of a monitor.
pub fn radio_state(attributes: &(impl Attributes + ?Sized)) -> Parsed<RadioView> {
    walk(
        attributes,
        RadioView::default(),
        |view, name, cell| match name {
            "channel" => running_channel(view, cell),
            "frequency" => cell.put(&mut view.frequency_mhz, number),
            "noise-floor" => cell.put(&mut view.noise_floor_dbm, signal),
            "tx-power" => cell.put(&mut view.tx_power_dbm, signal),
            "overall-tx-ccq" => {
                cell.put(&mut view.tx_ccq_percent, |t| {
                    number(t.strip_suffix('%').unwrap_or(t))
                });
            }
            "registered-clients" | "registered-peers" => cell.put(&mut view.clients, number),
            "status" | "state" => cell.word(&mut view.status),
            "connected" => cell.put(&mut view.connected, boolean),
            _ => cell.keep(),
        },
    )
}

fn running_channel(view: &mut RadioView, cell: &mut super::Cell<'_, '_>) {
    cell.word(&mut view.channel);
    let mut found = None;
    cell.put(&mut found, channel);
    if let Some(channel) = found {
        view.frequency_mhz = Some(channel.frequency_mhz);
        view.channel_width_mhz = channel.width_mhz;
        view.band = channel.band.or(view.band.take());
        view.tx_power_dbm = channel.tx_power_dbm.or(view.tx_power_dbm);
    }
}

/// Attributes that hold a secret where the user may see sensitive values.
fn is_secret(name: &str) -> bool {
    matches!(
        name.rsplit('.').next().unwrap_or(name),
        "password"
            | "passphrase"
            | "nv2-preshared-key"
            | "nv2-sync-secret"
            | "sae-password"
            | "wpa-pre-shared-key"
            | "wpa2-pre-shared-key"
            | "eap-password"
    )
}
