//! What a device answers: one function a menu, rows built at request time from the world.
//!
//! Property names and spellings are those of recorded replies, table by table: the same fact is
//! `signal-strength=-62@54Mbps` in one table, `signal=-62` in the next and `rx-signal=-62` in the
//! third. Which menus exist depends on version and packages, as on real devices.

mod capsman;
mod configs;
mod fields;
mod interface;
mod ip;
mod lease;
mod log;
mod neighbor;
mod registry;
mod route;
mod row;
mod system;
pub(crate) mod table;
mod update;
mod w60g;
mod wifi;
mod wireless;
mod write;

use std::{net::Ipv4Addr, time::Duration};

use routeros_api::server::{ReplyWriter, Request};

pub(crate) use self::table::Told;
pub use self::write::write;
use self::{registry::Menu, table::Table};
use crate::{
    physics::Direction,
    world::{
        Association, World, addressing,
        faults::Hostile,
        model::{CapsMan, Device, Ms, Plan, Radio, Stack},
    },
};

/// What becomes of a command after its first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It goes on until `/cancel`: what changes is told.
    Follows,
    /// It goes on until `/cancel`: it is answered again each time this has passed.
    Repeats(Duration),
    /// It changes the device: [`fn@write`] carries it out.
    Writes,
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
    fn plan(&self) -> &'a Plan {
        self.world.plan()
    }

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

    /// Whether comments are not UTF-8.
    fn garbled(&self) -> bool {
        self.world.hostile(self.index) == Some(Hostile::Utf8)
    }

    /// What a device calls itself.
    fn identity_of(&self, device: usize) -> String {
        let configured = self.world.configured(device, "/system/identity");
        let set = configured.and_then(|changed| {
            let mut values = changed.values(b"");
            values.find(|(name, _)| *name == b"name")
        });
        match set {
            Some((_, name)) => String::from_utf8_lossy(name).into_owned(),
            None => self.plan().devices[device].name.clone(),
        }
    }

    fn version_at_least(&self, major: u8, minor: u8) -> bool {
        self.device().version.at_least(major, minor)
    }
}

/// The inside address a client was last seen with.
fn last_ip(link: Association) -> Ipv4Addr {
    addressing::client(link.client)
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
    let Some(menu) = registry::find(&scene, menu) else {
        no_such(&scene, &path, request, replies);
        return Outcome::Done;
    };
    match verb {
        "print" | "getall" => print(&scene, menu, request, replies),
        "listen" => Outcome::Follows,
        "get" => {
            write::get(&scene, menu, request, replies);
            Outcome::Done
        }
        verb if write::writes(verb) && writable(menu, verb) => Outcome::Writes,
        "monitor" if menu.monitored => monitor(&scene, menu.path, request, replies, None),
        "monitor-traffic" if menu.path == "/interface" => {
            interface::monitor_traffic(&scene, request, replies, None)
        }
        "check-for-updates" if menu.path == "/system/package/update" => {
            let mut table = Table::new(request, replies, None);
            update::check(&scene, &mut table);
            table.done(false);
            Outcome::Done
        }
        _ => {
            no_such(&scene, &path, request, replies);
            Outcome::Done
        }
    }
}

/// Whether a menu takes a command that changes it.
fn writable(menu: &Menu, verb: &str) -> bool {
    menu.config.is_some_and(|config| match verb {
        "add" | "remove" => config.adds,
        "enable" | "disable" | "comment" => !config.single,
        "move" => config.ordered,
        _ => true,
    })
}

/// How often a command is to be answered, where it says so: `=interval=1`, `=interval=00:00:02`.
fn interval(request: &Request) -> Option<Duration> {
    let text = request.text("interval")?;
    let seconds = text
        .trim_end_matches('s')
        .split(':')
        .try_fold(0.0, |sum, part| {
            part.parse::<f64>().ok().map(|part| sum * 60.0 + part)
        });
    let seconds = seconds.filter(|s| s.is_finite()).unwrap_or(1.0);
    Some(Duration::from_secs_f64(seconds.clamp(0.1, 86_400.0)))
}

fn print(scene: &Scene<'_>, menu: &Menu, request: &Request, replies: &mut ReplyWriter) -> Outcome {
    if request.get("follow-only").is_some() {
        return Outcome::Follows;
    }
    let changed = scene.world.configured(scene.index, menu.path);
    let mut table = Table::new(request, replies, changed).garbled(scene.garbled());
    let every = interval(request);
    if every.is_some() {
        table = table.of_round(0);
    }
    (menu.print)(scene, &mut table);
    if let Some(every) = every {
        table.round(true);
        return Outcome::Repeats(every);
    }
    if request.get("follow").is_some() {
        table.round(true);
        return Outcome::Follows;
    }
    table.done(scene.version_at_least(7, 18));
    Outcome::Done
}

/// Tells a listener what is not as it was told; with `quiet` only notes how it is.
pub(crate) fn follow(
    world: &World,
    device: usize,
    now: Ms,
    request: &Request,
    replies: &mut ReplyWriter,
    told: &mut Told,
    quiet: bool,
) {
    let scene = Scene {
        world,
        index: device,
        now,
    };
    let path = request.path();
    let (menu, _) = path.rsplit_once('/').unwrap_or_default();
    let Some(menu) = registry::find(&scene, menu) else {
        return;
    };
    let changed = world.configured(device, menu.path);
    let mut table = Table::new(request, replies, changed)
        .garbled(scene.garbled())
        .since(told, quiet);
    (menu.print)(&scene, &mut table);
    table.round(menu.path == "/log");
}

/// Answers a command that repeats itself once more.
pub(crate) fn repeat(
    world: &World,
    device: usize,
    now: Ms,
    request: &Request,
    replies: &mut ReplyWriter,
    section: u32,
) {
    let scene = Scene {
        world,
        index: device,
        now,
    };
    let path = request.path();
    let (menu, verb) = path.rsplit_once('/').unwrap_or_default();
    let Some(menu) = registry::find(&scene, menu) else {
        return;
    };
    match verb {
        "monitor" => {
            monitor(&scene, menu.path, request, replies, Some(section));
        }
        "monitor-traffic" => {
            interface::monitor_traffic(&scene, request, replies, Some(section));
        }
        _ => {
            let changed = world.configured(device, menu.path);
            let mut table = Table::new(request, replies, changed)
                .garbled(scene.garbled())
                .of_round(section);
            (menu.print)(&scene, &mut table);
            table.round(true);
        }
    }
}

/// Ends a command with a trap.
fn refuse(
    request: &Request,
    replies: &mut ReplyWriter,
    message: impl AsRef<[u8]>,
    category: Option<u8>,
) -> Outcome {
    replies.trap(request.tag(), message, category);
    replies.done(request.tag());
    Outcome::Done
}

/// `monitor` of the interfaces named by `=numbers=` or `=.id=`; once, or until cancelled.
fn monitor(
    scene: &Scene<'_>,
    menu: &str,
    request: &Request,
    replies: &mut ReplyWriter,
    section: Option<u32>,
) -> Outcome {
    let given = request.text("numbers").or_else(|| request.text(".id"));
    let Some(numbers) = given else {
        return refuse(request, replies, "missing =numbers=", Some(0));
    };
    let once = request.get("once").is_some();
    let mut table = Table::new(request, replies, None);
    if !once {
        table = table.of_round(section.unwrap_or(0));
    }
    for number in numbers.split(',') {
        let known = match menu {
            "/interface/wireless" => wireless::monitor(scene, &mut table, number),
            "/interface/wifi" => wifi::monitor(scene, &mut table, number, Stack::Wifi),
            "/interface/wifiwave2" => wifi::monitor(scene, &mut table, number, Stack::Wifiwave2),
            "/interface/w60g" => w60g::monitor(scene, &mut table, number),
            _ => false,
        };
        if !known {
            return refuse(request, replies, "no such item", Some(0));
        }
    }
    if !once {
        return Outcome::Repeats(interval(request).unwrap_or(Duration::from_secs(1)));
    }
    table.done(scene.version_at_least(7, 18));
    Outcome::Done
}

/// Version 7 names the first word that it does not know, version 6 tells nothing; old ones do both, in
/// two traps.
fn no_such(scene: &Scene<'_>, path: &str, request: &Request, replies: &mut ReplyWriter) {
    let old = !scene.version_at_least(6, 43);
    if old || scene.version_at_least(7, 0) {
        let unknown = registry::first_unknown(scene, path);
        let message = format!("no such command or directory ({unknown})");
        replies.trap(request.tag(), message, old.then_some(0));
    }
    if !scene.version_at_least(7, 0) {
        replies.trap(request.tag(), "no such command prefix", None);
    }
    replies.done(request.tag());
}
