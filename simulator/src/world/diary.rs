//! Which events leave a line in whose log.

use super::{
    Association, World,
    addressing::router_port,
    logbook::{Line, What, Why},
    model::{Ms, Role, Stack},
};
use crate::physics::{self, Direction};

/// How long a device takes from its start to the link of its first port.
const LINK_AFTER_MS: Ms = 9_000;

impl World {
    /// The lines of a device's log, oldest first.
    pub fn log(&self, device: usize) -> impl DoubleEndedIterator<Item = &Line> {
        self.logs[device].lines()
    }

    /// Adds a line to the log of a device, if it runs.
    pub fn note(&mut self, device: usize, what: What) {
        if self.powered(device) {
            let booted = self.devices[device].booted_ms;
            self.logs[device].add(booted, self.now_ms, what);
            self.changed.insert(device);
        }
    }

    /// Takes the devices that changed since the last look: see [`World::advance`].
    pub fn take_changed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    /// The logs as they are when the fleet is first looked at.
    pub(super) fn log_what_was(&mut self) {
        let plan = std::sync::Arc::clone(&self.plan);
        let mut lines: Vec<(Ms, usize, What)> = Vec::new();
        for device in 0..plan.devices.len() {
            let booted = self.devices[device].booted_ms;
            lines.push((booted, device, What::Rebooted));
            lines.push((booted + LINK_AFTER_MS, device, What::PortUp { port: 1 }));
        }
        for client in &self.clients {
            if let Some(link) = client.association {
                let meeting = self.meeting(link).into_iter();
                lines.extend(meeting.map(|(device, what)| (link.began_ms, device, what)));
            }
        }
        lines.sort_by_key(|(at, device, _)| (*device, *at));
        for (at, device, what) in lines {
            let booted = self.devices[device].booted_ms;
            self.logs[device].add(booted, at, what);
        }
    }

    fn dbm(&self, link: Association) -> i8 {
        let ap = self.plan.radios[link.radio].device;
        let site = self.plan.devices[ap].site;
        let at = self.now_ms.min(link.began_ms.max(0));
        let db = self.history.attenuation_db(site, ap, link.client, at);
        let ends = (link.client, link.radio);
        physics::signal_dbm(&self.plan, ends, link.began_ms, db, Direction::Up).round() as i8
    }

    /// Lines of an association's begin, and in whose log.
    fn meeting(&self, link: Association) -> Vec<(usize, What)> {
        let (radio, client) = (&self.plan.radios[link.radio], link.client as u32);
        let mut lines = Vec::new();
        if !radio.w60g {
            let connected = What::Connected {
                client,
                radio: link.radio as u32,
                dbm: self.dbm(link),
            };
            lines.push((radio.reporter().0, connected));
            lines.push((radio.reporter().0, What::Assigned { client }));
        }
        if let Some(device) = self.plan.clients[link.client].device {
            let radio = link.radio as u32;
            lines.push((device, What::Joined { radio }));
        }
        lines
    }

    pub(super) fn log_meeting(&mut self, link: Association) {
        for (device, what) in self.meeting(link) {
            self.note(device, what);
        }
    }

    pub(super) fn log_parting(&mut self, link: Association, why: Why) {
        let radio = &self.plan.radios[link.radio];
        let (reporter, client) = (radio.reporter().0, link.client as u32);
        if !radio.w60g {
            let gone = What::Disconnected {
                client,
                radio: link.radio as u32,
                dbm: self.dbm(link),
                why,
            };
            self.note(reporter, gone);
            self.note(reporter, What::Deassigned { client });
        }
        if let Some(device) = self.plan.clients[link.client].device {
            let radio = link.radio as u32;
            self.note(device, What::Lost { radio });
        }
    }

    /// A client moved between radios of the `wifi` package on one tower.
    pub(super) fn log_roaming(&mut self, link: Association, from: usize) {
        let place = |radio: usize| {
            let owner = &self.plan.devices[self.plan.radios[radio].device];
            (owner.site, owner.stack)
        };
        if place(from) != place(link.radio) || place(from).1 != Stack::Wifi {
            return;
        }
        let roamed = What::Roamed {
            client: link.client as u32,
            from: from as u32,
            to: link.radio as u32,
            dbm: self.dbm(link),
        };
        self.note(self.plan.radios[link.radio].reporter().0, roamed);
    }

    /// A device on a tower gets or loses power: the other end of its cable sees it.
    pub(super) fn log_cable(&mut self, device: usize, up: bool) {
        let plan = std::sync::Arc::clone(&self.plan);
        if plan.devices[device].role == Role::Cpe {
            return;
        }
        let site = &plan.sites[plan.devices[device].site];
        let line = |port: u8| match up {
            true => What::PortUp { port },
            false => What::PortDown { port },
        };
        if device != site.router {
            self.note(site.router, line(router_port(&plan, device)));
            return;
        }
        for &other in site.tower.iter().filter(|other| **other != device) {
            self.note(other, line(1));
        }
    }

    /// A device has started: its log begins anew.
    pub(super) fn log_start(&mut self, device: usize, graceful: bool) {
        self.logs[device].clear();
        if !graceful {
            self.note(device, What::PowerLost);
        }
        self.note(device, What::Rebooted);
        self.note(device, What::PortUp { port: 1 });
        self.log_cable(device, true);
    }
}
