//! `/log`: the lines that a device holds in memory, oldest first.
//!
//! Versions before 7.13 write no year: `jul/19 16:27:01`; 6.42 shows lines of today by their time
//! alone, as consoles do. A restart empties it, as it does on devices that log to memory.

use std::fmt;

use super::{Scene, interface::station_name, lease, table::Table};
use crate::{
    text::MacText,
    world::{
        addressing,
        logbook::{Line, What, Why},
        model::{Ms, Radio, Stack},
    },
};

pub(super) fn lines(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for line in scene.world.log(scene.index) {
        line_row(scene, rows, line);
    }
}

/// One line as a row.
pub(super) fn line_row(scene: &Scene<'_>, rows: &mut Table<'_>, line: &Line) {
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", line.id))
            .put("time", time(scene, line.at_ms))
            .put("topics", topics(scene, &line.what))
            .put("message", Message(scene, &line.what));
    });
}

fn time(scene: &Scene<'_>, at: Ms) -> String {
    let moment = |t: Ms| chrono::DateTime::from_timestamp_millis(scene.world.unix_ms(t));
    let (at, now) = (
        moment(at).unwrap_or_default(),
        moment(scene.now).unwrap_or_default(),
    );
    if scene.version_at_least(7, 13) {
        at.format("%Y-%m-%d %H:%M:%S").to_string()
    } else if !scene.version_at_least(6, 43) && at.date_naive() == now.date_naive() {
        at.format("%H:%M:%S").to_string()
    } else {
        at.format("%b/%d %H:%M:%S").to_string().to_lowercase()
    }
}

fn topics(scene: &Scene<'_>, what: &What) -> &'static str {
    match what {
        What::Connected { radio, .. } | What::Disconnected { radio, .. } => {
            match scene.radio(*radio as usize).cap {
                Some(_) => "caps,info",
                None => "wireless,info",
            }
        }
        What::Roamed { .. } | What::Joined { .. } | What::Lost { .. } => "wireless,info",
        What::Assigned { .. } | What::Deassigned { .. } => "dhcp,info",
        What::PortUp { .. } | What::PortDown { .. } => "interface,info",
        What::Rebooted | What::Configured { .. } => "system,info",
        What::PowerLost => "system,error,critical",
        What::LoggedIn { .. } | What::LoggedOut { .. } => "system,info,account",
        What::LoginFailed { .. } => "system,error,critical",
    }
}

struct Message<'a>(&'a Scene<'a>, &'a What);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scene, plan) = (self.0, self.0.plan());
        let mac = |client: u32| MacText(plan.clients[client as usize].mac);
        match self.1 {
            What::Connected { client, radio, dbm } => {
                let at = At(scene, *radio as usize);
                write!(f, "{}@{at} connected, signal strength {dbm}", mac(*client))
            }
            What::Disconnected {
                client,
                radio,
                dbm,
                why,
            } => {
                let (mac, at) = (mac(*client), At(scene, *radio as usize));
                match (package(scene, *radio as usize), why) {
                    (Stack::Wireless, Why::Left) => write!(
                        f,
                        "{mac}@{at} disconnected, received disassoc: sending station leaving (8)"
                    ),
                    (Stack::Wireless, Why::Lost) => {
                        write!(f, "{mac}@{at} disconnected, extensive data loss")
                    }
                    (_, Why::Left) => write!(
                        f,
                        "{mac}@{at} disconnected, connection lost, signal strength {dbm}"
                    ),
                    (_, Why::Lost) => write!(
                        f,
                        "{mac}@{at} disconnected, not responding, signal strength {dbm}"
                    ),
                }
            }
            What::Roamed {
                client,
                from,
                to,
                dbm,
            } => {
                let (from, to) = (At(scene, *from as usize), At(scene, *to as usize));
                let mac = mac(*client);
                write!(
                    f,
                    "{mac}@{from} roamed to {mac}@{to}, signal strength {dbm}"
                )
            }
            What::Joined { radio } => {
                let radio = scene.radio(*radio as usize);
                write!(
                    f,
                    "{}@{} established connection on {}, SSID {}",
                    MacText(radio.mac),
                    station_name(scene),
                    radio.frequency_mhz,
                    radio.ssid
                )
            }
            What::Lost { radio } => write!(
                f,
                "{}@{}: lost connection, not polled for too long",
                MacText(scene.radio(*radio as usize).mac),
                station_name(scene)
            ),
            What::Assigned { client } => dhcp(scene, f, "assigned", *client as usize),
            What::Deassigned { client } => dhcp(scene, f, "deassigned", *client as usize),
            What::PortUp { port } if scene.version_at_least(7, 0) => {
                write!(f, "ether{port} link up (speed 1G, full duplex)")
            }
            What::PortUp { port } => {
                write!(f, "ether{port} link up (speed 1000M, full duplex)")
            }
            What::PortDown { port } => write!(f, "ether{port} link down"),
            What::Rebooted => f.write_str("router rebooted"),
            What::PowerLost => f.write_str("router was rebooted without proper shutdown"),
            What::LoggedIn { from, tls } => {
                let via = via(*tls);
                write!(f, "user mast logged in from {from} via {via}")
            }
            What::LoggedOut { from, tls } => {
                let via = via(*tls);
                write!(f, "user mast logged out from {from} via {via}")
            }
            What::LoginFailed { user, from, tls } => {
                let via = via(*tls);
                write!(f, "login failure for user {user} from {from} via {via}")
            }
            What::Configured { text } => f.write_str(text),
        }
    }
}

const fn via(_tls: bool) -> &'static str {
    // Both services call themselves so.
    "api"
}

fn dhcp(scene: &Scene<'_>, f: &mut fmt::Formatter<'_>, verb: &str, client: usize) -> fmt::Result {
    let server = lease::server(scene.device().role);
    let (address, mac) = (addressing::client(client), scene.plan().clients[client].mac);
    if !scene.version_at_least(7, 0) {
        return write!(f, "{server} {verb} {address} to {}", MacText(mac));
    }
    write!(f, "{server} {verb} {address} for {}", MacText(mac))?;
    match lease::host(scene, client) {
        Some(host) => write!(f, " {host}"),
        None => Ok(()),
    }
}

/// The package that runs a radio.
fn package(scene: &Scene<'_>, radio: usize) -> Stack {
    scene.plan().devices[scene.radio(radio).device].stack
}

/// A radio as its reporter's log names it: `wlan1:`, `wifi1(ssid)`, `cap-1`.
struct At<'a>(&'a Scene<'a>, usize);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let radio: &Radio = self.0.radio(self.1);
        let (_, name) = radio.reporter();
        match (package(self.0, self.1), &radio.cap) {
            (Stack::Wireless, None) => write!(f, "{name}:"),
            (Stack::Wireless, Some(_)) => f.write_str(name),
            (Stack::Wifi | Stack::Wifiwave2, _) => write!(f, "{name}({})", radio.ssid),
        }
    }
}
