//! What a device answers: one function a menu, rows built at request time from the world.
//!
//! Property names and spellings are those of recorded replies, table by table: the same fact is
//! `signal-strength=-62@54Mbps` in one table, `signal=-62` in the next and `rx-signal=-62` in the
//! third. Which menus exist depends on version and packages, as on real devices.

mod capsman;
mod interface;
mod system;
pub(crate) mod table;
mod w60g;
mod wifi;
mod wireless;

use std::net::Ipv4Addr;

use routeros_api::server::{ReplyWriter, Request};

use self::table::Table;
use crate::{
    physics::Direction,
    world::{
        Association, World,
        model::{CapsMan, Device, Ms, Radio, Stack},
    },
};

/// What becomes of a command after its first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It goes on until `/cancel`.
    Held,
    /// The session ends.
    Quit,
}

/// One device at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) index: usize,
    pub(crate) now: Ms,
}

impl<'a> Scene<'a> {
    fn device(&self) -> &'a Device {
        &self.world.plan().devices[self.index]
    }

    fn radio(&self, radio: usize) -> &'a Radio {
        &self.world.plan().radios[radio]
    }

    /// The station radio's association, if the device has one and is associated.
    fn uplink(&self) -> Option<Association> {
        self.device()
            .client
            .and_then(|client| self.world.association(client))
    }

    /// Radios of this device that keep their own table.
    fn own_radios(&self) -> impl Iterator<Item = usize> + 'a {
        let device = self.device();
        let own = device.capsman != CapsMan::Cap;
        device.radios.iter().copied().filter(move |_| own)
    }

    /// Radios whose clients this device holds as CAPsMAN controller.
    fn cap_radios(&self) -> impl Iterator<Item = usize> + 'a {
        let (plan, index) = (self.world.plan(), self.index);
        let controller = self.device().capsman == CapsMan::Controller;
        let site = &plan.sites[self.device().site];
        site.radios.iter().copied().filter(move |r| {
            controller
                && plan.radios[*r]
                    .cap
                    .as_ref()
                    .is_some_and(|(c, _)| *c == index)
        })
    }

    fn signal(&self, link: Association, direction: Direction) -> i64 {
        self.world.signal_dbm(link, self.now, direction).round() as i64
    }

    fn noise(&self, radio: usize) -> i64 {
        self.world.noise_floor_dbm(radio, self.now).round() as i64
    }

    fn snr(&self, link: Association, direction: Direction) -> f64 {
        self.world.signal_dbm(link, self.now, direction)
            - self.world.noise_floor_dbm(link.radio, self.now)
    }

    fn version_at_least(&self, major: u8, minor: u8) -> bool {
        self.device().version.at_least(major, minor)
    }
}

/// The inside address a client was last seen with.
fn last_ip(link: Association) -> Ipv4Addr {
    let [.., a, b] = (link.client as u32 / 250).to_be_bytes();
    Ipv4Addr::new(10, a, b, (link.client % 250) as u8 + 2)
}

/// Key of a link's traffic.
fn traffic_key(link: Association) -> u64 {
    1 << 40 | link.client as u64
}

/// Answers one command of a logged-in session.
pub fn answer(
    world: &World,
    device: usize,
    now: Ms,
    request: &Request,
    replies: &mut ReplyWriter,
) -> Outcome {
    let scene = Scene {
        world,
        index: device,
        now,
    };
    let path = request.path();
    if path == "/quit" {
        replies.fatal("session terminated on request");
        return Outcome::Quit;
    }
    let (menu, verb) = path.rsplit_once('/').unwrap_or_default();
    if !exists(&scene, menu) {
        no_such(&scene, &path, request, replies);
        return Outcome::Done;
    }
    match verb {
        "print" | "getall" => print(&scene, menu, request, replies),
        "monitor" => monitor(&scene, menu, request, replies),
        "listen" => Outcome::Held,
        _ => {
            no_such(&scene, &path, request, replies);
            Outcome::Done
        }
    }
}

fn print(scene: &Scene<'_>, menu: &str, request: &Request, replies: &mut ReplyWriter) -> Outcome {
    let mut table = Table::new(request, replies);
    let rows = &mut table;
    match menu {
        "/system/identity" => system::identity(scene, rows),
        "/system/resource" => system::resource(scene, rows),
        "/system/routerboard" => system::routerboard(scene, rows),
        "/system/health" => system::health(scene, rows),
        "/system/package" => system::packages(scene, rows),
        "/interface" => interface::interfaces(scene, rows),
        "/interface/wireless" => wireless::interfaces(scene, rows),
        "/interface/wireless/registration-table" => wireless::registrations(scene, rows),
        "/interface/wifi" => wifi::interfaces(scene, rows, Stack::Wifi),
        "/interface/wifi/radio" => wifi::radios(scene, rows),
        "/interface/wifi/registration-table" => wifi::registrations(scene, rows, Stack::Wifi),
        "/interface/wifiwave2" => wifi::interfaces(scene, rows, Stack::Wifiwave2),
        "/interface/wifiwave2/registration-table" => {
            wifi::registrations(scene, rows, Stack::Wifiwave2);
        }
        "/caps-man/interface" => capsman::interfaces(scene, rows),
        "/caps-man/radio" => capsman::radios(scene, rows),
        "/caps-man/remote-cap" => capsman::remote_caps(scene, rows),
        "/caps-man/registration-table" => capsman::registrations(scene, rows),
        "/interface/w60g" => w60g::interfaces(scene, rows),
        "/interface/w60g/station" => w60g::stations(scene, rows),
        _ => {}
    }
    table.done(scene.version_at_least(7, 18));
    Outcome::Done
}

/// `monitor` of the interfaces named by `=numbers=` or `=.id=`; once, or until cancelled.
fn monitor(scene: &Scene<'_>, menu: &str, request: &Request, replies: &mut ReplyWriter) -> Outcome {
    let given = request.text("numbers").or_else(|| request.text(".id"));
    let Some(numbers) = given else {
        replies.trap(request.tag(), "missing =numbers=", Some(0));
        replies.done(request.tag());
        return Outcome::Done;
    };
    let numbers = numbers.into_owned();
    let mut table = Table::new(request, replies);
    for number in numbers.split(',') {
        let known = match menu {
            "/interface/wireless" => wireless::monitor(scene, &mut table, number),
            "/interface/wifi" => wifi::monitor(scene, &mut table, number, Stack::Wifi),
            "/interface/wifiwave2" => wifi::monitor(scene, &mut table, number, Stack::Wifiwave2),
            "/interface/w60g" => w60g::monitor(scene, &mut table, number),
            _ => false,
        };
        if !known {
            replies.trap(request.tag(), "no such item", Some(0));
            replies.done(request.tag());
            return Outcome::Done;
        }
    }
    if request.get("once").is_none() {
        return Outcome::Held;
    }
    table.done(scene.version_at_least(7, 18));
    Outcome::Done
}

/// Whether a menu is there, by version and packages.
fn exists(scene: &Scene<'_>, menu: &str) -> bool {
    let stack = scene.device().stack;
    match menu {
        "/system/identity"
        | "/system/resource"
        | "/system/routerboard"
        | "/system/health"
        | "/system/package"
        | "/interface" => true,
        "/interface/wireless"
        | "/interface/wireless/registration-table"
        | "/caps-man/interface"
        | "/caps-man/radio"
        | "/caps-man/remote-cap"
        | "/caps-man/registration-table"
        | "/interface/w60g"
        | "/interface/w60g/station" => stack == Stack::Wireless,
        "/interface/wifiwave2" | "/interface/wifiwave2/registration-table" => {
            stack == Stack::Wifiwave2
        }
        "/interface/wifi" | "/interface/wifi/radio" | "/interface/wifi/registration-table" => {
            scene.version_at_least(7, 13)
        }
        _ => false,
    }
}

/// Version 6 tells nothing; version 7 names the first word that it does not know.
fn no_such(scene: &Scene<'_>, path: &str, request: &Request, replies: &mut ReplyWriter) {
    let message = if scene.version_at_least(7, 0) {
        format!(
            "no such command or directory ({})",
            first_unknown(scene, path)
        )
    } else {
        "no such command prefix".to_owned()
    };
    replies.trap(request.tag(), message, None);
    replies.done(request.tag());
}

fn first_unknown<'p>(scene: &Scene<'_>, path: &'p str) -> &'p str {
    const MENUS: [&str; 19] = [
        "/system/identity",
        "/system/resource",
        "/system/routerboard",
        "/system/health",
        "/system/package",
        "/interface",
        "/interface/wireless",
        "/interface/wireless/registration-table",
        "/caps-man/interface",
        "/caps-man/radio",
        "/caps-man/remote-cap",
        "/caps-man/registration-table",
        "/interface/w60g",
        "/interface/w60g/station",
        "/interface/wifi",
        "/interface/wifi/radio",
        "/interface/wifi/registration-table",
        "/interface/wifiwave2",
        "/interface/wifiwave2/registration-table",
    ];
    let mut end = 0;
    for word in path.split('/').skip(1) {
        end += 1 + word.len();
        let prefix = &path[..end];
        let known = MENUS.iter().filter(|m| exists(scene, m)).any(|m| {
            m.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !known {
            return word;
        }
    }
    path.rsplit('/').next().unwrap_or(path)
}
