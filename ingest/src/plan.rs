//! What to ask a device: the menus that it answers, the properties that have a column, and how often.
//!
//! Which of the five registration tables exist depends on version and packages in ways that change
//! with each release, so nothing is derived: every menu is asked once, and one that says `no such
//! command` is left out until the version changes. All tables that answer are read and merged; a
//! device may have clients in several.

use mast_schemas::records::Source;
use routeros_api::{CallError, Command};
use std::sync::LazyLock;

/// A menu that is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Menu {
    /// `/system/resource`.
    Resource,
    /// `/interface`.
    Interface,
    /// `/system/identity`.
    Identity,
    /// `/system/routerboard`.
    Routerboard,
    /// `/system/health`.
    Health,
    /// `/system/clock`.
    Clock,
    /// `/system/package`.
    Package,
    /// The radios of a source: its interface menu.
    Radios(Source),
    /// The registration table of a source; of 60 GHz the list of stations.
    Registrations(Source),
}

/// How often a menu is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// At each poll.
    Fast,
    /// At the first poll, then at each tenth or every five minutes, whichever is rarer in time.
    Slow,
}

struct Entry {
    menu: Menu,
    cadence: Cadence,
    command: Command,
}

const WIRELESS: &str = "interface,mac-address,ap,radio-name,signal-strength,signal-strength-ch0,\
signal-strength-ch1,signal-strength-ch2,signal-strength-ch3,tx-signal-strength,\
tx-signal-strength-ch0,tx-signal-strength-ch1,signal-to-noise,tx-ccq,rx-ccq,tx-rate,rx-rate,\
p-throughput,bytes,packets,uptime,last-activity,distance,last-ip,vlan-id,authentication-type,\
encryption,802.1x-port-enabled,routeros-version,comment";
const WIFI: &str = "interface,ssid,mac-address,uptime,last-activity,signal,auth-type,band,tx-rate,\
rx-rate,packets,bytes,tx-bits-per-second,rx-bits-per-second,vlan-id,authorized,comment";
const CAPSMAN: &str = "interface,ssid,mac-address,tx-rate,rx-rate,rx-signal,tx-signal,uptime,\
packets,bytes,last-ip,vlan-id,comment";

/// Every menu with its command, the interface lists before the tables that are joined with them.
static MENUS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    use Cadence::{Fast, Slow};
    let entry = |menu, cadence, path: &str, properties: &str| Entry {
        menu,
        cadence,
        command: Command::new(format!("{path}/print")).attribute(".proplist", properties),
    };
    vec![
        entry(
            Menu::Resource,
            Fast,
            "/system/resource",
            "version,board-name,architecture-name,uptime,cpu-load,free-memory,total-memory,\
             free-hdd-space,total-hdd-space",
        ),
        entry(
            Menu::Interface,
            Fast,
            "/interface",
            "name,type,mac-address,running,disabled,comment,rx-byte,tx-byte,rx-packet,tx-packet,\
             rx-error,tx-error,rx-drop,tx-drop,tx-queue-drop,link-downs",
        ),
        entry(Menu::Identity, Slow, "/system/identity", "name"),
        entry(
            Menu::Routerboard,
            Slow,
            "/system/routerboard",
            "serial-number,current-firmware,upgrade-firmware,model",
        ),
        entry(Menu::Clock, Slow, "/system/clock", "date,time,gmt-offset"),
        // Sensors have as many names as there are boards: this menu alone is read without a list.
        Entry {
            menu: Menu::Health,
            cadence: Slow,
            command: Command::new("/system/health/print"),
        },
        entry(
            Menu::Package,
            Slow,
            "/system/package",
            "name,version,disabled,available",
        ),
        radios(
            Source::Wireless,
            "/interface/wireless",
            "mode,ssid,band,frequency,channel-width",
        ),
        radios(Source::Wifi, "/interface/wifi", WIFI_RADIO),
        radios(Source::Wifiwave2, "/interface/wifiwave2", WIFI_RADIO),
        radios(
            Source::Capsman,
            "/caps-man/interface",
            "radio-mac,master-interface,current-channel,current-state,current-registered-clients",
        ),
        radios(Source::W60g, "/interface/w60g", "mode,ssid,frequency"),
        entry(
            Menu::Registrations(Source::Wireless),
            Fast,
            "/interface/wireless/registration-table",
            WIRELESS,
        ),
        entry(
            Menu::Registrations(Source::Wifi),
            Fast,
            "/interface/wifi/registration-table",
            WIFI,
        ),
        entry(
            Menu::Registrations(Source::Wifiwave2),
            Fast,
            "/interface/wifiwave2/registration-table",
            WIFI,
        ),
        entry(
            Menu::Registrations(Source::Capsman),
            Fast,
            "/caps-man/registration-table",
            CAPSMAN,
        ),
        entry(
            Menu::Registrations(Source::W60g),
            Fast,
            "/interface/w60g/station",
            "parent,remote-address,running",
        ),
    ]
});

const WIFI_RADIO: &str = "radio-mac,master-interface,cap,configuration.mode,configuration.ssid,\
channel.band,channel.frequency,channel.width";

fn radios(source: Source, path: &str, properties: &str) -> Entry {
    Entry {
        menu: Menu::Radios(source),
        cadence: Cadence::Slow,
        command: Command::new(format!("{path}/print")).attribute(
            ".proplist",
            format!("name,mac-address,disabled,{properties}"),
        ),
    }
}

/// What a device answers, as far as known.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// A bit for each of the menus; set = it said that there is no such command.
    absent: u32,
    /// The version the above was found with.
    version: Option<String>,
}

impl Plan {
    /// The menus to read now, with their commands; the sensors also when it is not the turn of what is slow.
    pub fn menus(
        &self,
        slow: bool,
        sensors: bool,
    ) -> impl Iterator<Item = (Menu, &'static Command)> + use<> {
        let absent = self.absent;
        let due = move |entry: &Entry| {
            slow || entry.cadence == Cadence::Fast || (sensors && entry.menu == Menu::Health)
        };
        let entries = MENUS
            .iter()
            .enumerate()
            .filter(move |(place, entry)| absent & (1 << place) == 0 && due(entry));
        entries.map(|(_, entry)| (entry.menu, &entry.command))
    }

    /// Leaves a menu out from now on.
    pub fn set_absent(&mut self, menu: Menu) {
        if let Some(place) = MENUS.iter().position(|entry| entry.menu == menu) {
            self.absent |= 1 << place;
        }
    }

    /// Whether a menu is asked.
    pub fn has(&self, menu: Menu) -> bool {
        MENUS
            .iter()
            .position(|e| e.menu == menu)
            .is_some_and(|place| self.absent & (1 << place) == 0)
    }

    /// Compares the version told with the one of the discovery; true when it is another, and then
    /// every menu is asked again.
    pub fn saw_version(&mut self, version: &str) -> bool {
        let changed = self
            .version
            .as_deref()
            .is_some_and(|known| known != version);
        if self.version.as_deref() != Some(version) {
            self.version = Some(version.to_owned());
        }
        if changed {
            self.absent = 0;
        }
        changed
    }
}

/// The monitor of a radio menu; CAPsMAN has none, its print tells as much.
pub fn monitor(source: Source, interfaces: &str) -> Option<Command> {
    let (path, properties) = match source {
        Source::Wireless => (
            "/interface/wireless/monitor",
            "status,channel,noise-floor,overall-tx-ccq,registered-clients",
        ),
        Source::Wifi => (
            "/interface/wifi/monitor",
            "state,channel,registered-peers,tx-power",
        ),
        Source::Wifiwave2 => (
            "/interface/wifiwave2/monitor",
            "state,channel,registered-peers,tx-power",
        ),
        Source::W60g => (
            "/interface/w60g/monitor",
            "connected,frequency,remote-address,tx-mcs,tx-phy-rate,signal,rssi,distance",
        ),
        Source::Capsman => return None,
    };
    let command = Command::new(path)
        .attribute("numbers", interfaces)
        .attribute("once", "");
    Some(command.attribute(".proplist", properties))
}

/// Whether a failed command says that its menu is not there, as opposed to not allowed or broken.
pub fn is_absent(error: &CallError) -> bool {
    match error {
        CallError::Trap { traps, .. } => traps
            .iter()
            .any(|trap| trap.message.starts_with("no such command")),
        CallError::Connection { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_menu_that_is_absent_is_asked_again_after_an_upgrade() {
        let mut plan = Plan::default();
        assert!(!plan.saw_version("7.12"));
        plan.set_absent(Menu::Registrations(Source::Wifi));
        assert!(!plan.has(Menu::Registrations(Source::Wifi)));
        assert!(!plan.saw_version("7.12"));
        assert!(!plan.has(Menu::Registrations(Source::Wifi)));
        assert!(plan.saw_version("7.13"));
        assert!(plan.has(Menu::Registrations(Source::Wifi)));
    }

    #[test]
    fn a_fast_poll_reads_the_tables_and_no_configuration() {
        let menus = |sensors| Plan::default().menus(false, sensors).map(|(menu, _)| menu);
        let fast: Vec<Menu> = menus(false).collect();
        assert_eq!(fast.len(), 7);
        for source in Source::ALL {
            assert!(fast.contains(&Menu::Registrations(*source)));
        }
        assert!(!fast.contains(&Menu::Identity));
        let with_sensors: Vec<Menu> = menus(true).filter(|menu| !fast.contains(menu)).collect();
        assert_eq!(with_sensors, [Menu::Health]);
        assert!(MENUS.len() <= 32, "the bits of `absent`");
    }
}
