//! A seeded fleet with trouble of every kind that the views know.
//!
//! Devices: access points (two share a BSSID), CAPs behind two controllers (one CAP also tells of itself), managed and
//! unmanaged clients. Time runs in rounds of an interval; between rounds it leaps at times, so that links grow stale and
//! are forgotten. Every number comes from the seed.

mod people;

use mast_schemas::control::{Change, Sector, Tenant, Thresholds};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::{DeviceId, Mac, Timestamp};

use super::addresses::add_addresses;
use super::air::add_air;
use super::loads::add_loads;
use super::{
    Script, SlotInput, add_client, add_interface, add_station, at_ms, count_rows, device,
    device_row, mac, radio, sector, site, tenant, thresholds,
};

/// A scenario of about `size` access points with five clients each, over 30 rounds of polls. The same seed gives the same one.
pub fn random(seed: u64, size: usize) -> Vec<SlotInput> {
    let mut world = World::new(seed, size.max(3) as u32);
    for round in 0..30 {
        world.trouble();
        world.people();
        world.round(round);
    }
    let polls = world.script.polls.iter_mut();
    polls.for_each(|(_, whole)| {
        add_air(whole);
        add_loads(whole);
        add_addresses(whole);
    });
    let until = at_ms(world.now_ms + 30_000);
    let mut slots = world.script.slots(until);
    people::resolve_some(seed, &mut slots);
    slots
}

const INTERVAL_MS: i64 = 10_000;

/// SplitMix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Health {
    Fine,
    /// Polls fail with this outcome, for so many rounds.
    Failing(Outcome, u32),
    /// Nobody polls it, for so many rounds.
    Silent(u32),
}

/// A device that serves clients, alone or through controllers.
struct Ap {
    id: DeviceId,
    tenant: u32,
    radio: Mac,
    /// Controllers tell of it.
    cap: bool,
    /// It tells of itself.
    own: bool,
    source: Source,
    health: Health,
    deleted: bool,
}

struct ClientState {
    mac: Mac,
    tenant: u32,
    /// Its own device, if managed.
    device: Option<DeviceId>,
    ap: Option<usize>,
    began_ms: i64,
    signal: i64,
    ccq: Option<u16>,
    /// Shown by an access point that it left: which, since when associated, for how many rounds.
    ghost: Option<(usize, i64, u32)>,
    /// Rounds for which it is missing.
    away: u32,
    uptime_known: bool,
    /// Associated with two access points at once, by turns: a cloned address.
    cloned: bool,
    deleted: bool,
}

struct World {
    rng: Rng,
    script: Script,
    now_ms: i64,
    aps: Vec<Ap>,
    clients: Vec<ClientState>,
    controllers: Vec<(DeviceId, Health, bool)>,
    people: people::People,
}

impl World {
    fn new(seed: u64, size: u32) -> Self {
        let mut world = Self {
            rng: Rng(seed),
            script: Script::new(),
            now_ms: 1_000,
            aps: Vec::new(),
            clients: Vec::new(),
            controllers: Vec::new(),
            people: people::People::new(seed),
        };
        world.places();
        for n in [1, 2] {
            world.make_device(n, 1);
            world.controllers.push((device(n), Health::Fine, false));
        }
        for n in 0..size {
            let tenant = 1 + u32::from(n % 5 == 4);
            world.make_device(10 + n, tenant);
            let cap = n % 3 == 1 && tenant == 1;
            let sources = [
                Source::Wireless,
                Source::Wifi,
                Source::Wifiwave2,
                Source::W60g,
            ];
            // The third access point has the address of the first: cloned.
            let twin = if n == 2 { 10 } else { 10 + n };
            world.aps.push(Ap {
                id: device(10 + n),
                tenant,
                radio: radio(device(twin)),
                cap,
                own: !cap || n % 2 == 0,
                source: sources[(n % 4) as usize],
                health: Health::Fine,
                deleted: false,
            });
        }
        for n in 0..size * 5 {
            world.make_client(n);
        }
        world.first_rules();
        world.first_windows();
        world
    }

    fn places(&mut self) {
        for n in [1, 2] {
            let t = at_ms(0);
            let row = Tenant {
                id: tenant(n),
                name: format!("tenant-{n}"),
                version: 1,
            };
            self.script.change(t, Change::Tenant(row));
            for k in [1, 2] {
                let row = people::site_row(n, k, k == 1);
                let (id, name) = (row.id, row.name.clone());
                self.script.change(t, Change::Site(row));
                let row = Sector {
                    id: sector(10 * n + k),
                    tenant_id: tenant(n),
                    site_id: id,
                    name,
                    azimuth_deg: None,
                    beamwidth_deg: None,
                    range_m: None,
                    version: 1,
                };
                self.script.change(t, Change::Sector(row));
            }
        }
    }

    fn make_device(&mut self, n: u32, of: u32) {
        let place = 10 * of + 1 + n % 2;
        let mut row = device_row(
            n,
            tenant(of),
            (n % 7 != 6).then(|| site(place)),
            (n % 7 < 5).then(|| sector(place)),
        );
        people::describe(&mut row, n);
        self.script.change(at_ms(self.now_ms), Change::Device(row));
    }

    fn make_client(&mut self, n: u32) {
        let ap = self.rng.below(self.aps.len() as u64) as usize;
        let of = self.aps[ap].tenant;
        let managed = self.rng.percent(40);
        if managed {
            self.make_device(1_000 + n, of);
        }
        let uptime_known = self.rng.percent(85);
        let signal = -55 - self.rng.below(20) as i64;
        self.clients.push(ClientState {
            mac: mac(n),
            tenant: of,
            device: managed.then(|| device(1_000 + n)),
            ap: (n % 6 != 5).then_some(ap),
            began_ms: -(self.rng.below(5_000_000) as i64),
            signal,
            ccq: None,
            ghost: None,
            away: 0,
            uptime_known,
            cloned: n % 11 == 7,
            deleted: false,
        });
    }

    /// What happens between two rounds.
    fn trouble(&mut self) {
        self.now_ms += INTERVAL_MS;
        let before = self.now_ms;
        match self.rng.below(100) {
            0..3 => self.now_ms += 32 * 24 * 3_600_000,
            3..8 => self.now_ms += 25 * 3_600_000,
            8..14 => self.now_ms += 700_000,
            14..22 => self.now_ms += 45_000,
            _ => {}
        }
        self.leap(before);
        for i in 0..self.clients.len() {
            self.trouble_client(i);
        }
        for i in 0..self.aps.len() {
            self.trouble_ap(i);
        }
        for i in 0..self.controllers.len() {
            let health = self.controllers[i].1;
            self.controllers[i].1 = self.change_health(health, 4);
        }
        self.trouble_control();
    }

    fn trouble_client(&mut self, i: usize) {
        let now = self.now_ms;
        let many = self.aps.len() as u64;
        let (dice, other) = (self.rng.below(100), self.rng.below(many) as usize);
        let rounds = 1 + self.rng.below(5) as u32;
        let began = now - self.rng.below(9_000) as i64;
        let (aps, client) = (&self.aps, &mut self.clients[i]);
        client.away = client.away.saturating_sub(1);
        client.ghost = client
            .ghost
            .and_then(|(ap, b, n)| (n > 1).then(|| (ap, b, n - 1)));
        let other_is_ours = aps[other].tenant == client.tenant;
        match dice {
            0..6 => client.signal = -81 - (dice as i64) * 2,
            6..12 => client.signal = -60 - (dice as i64),
            12..15 => client.signal = -75 - (dice as i64 - 10),
            15..18 => client.ccq = Some(30 + dice as u16),
            18..21 => client.ccq = None,
            21..24 => client.ccq = Some(55),
            24..33 => client.away = rounds,
            33..40 if other_is_ours => {
                if let Some(ap) = client.ap.filter(|_| dice < 37) {
                    client.ghost = Some((ap, client.began_ms, rounds));
                }
                (client.ap, client.began_ms) = (Some(other), began);
            }
            40..43 => client.began_ms = began,
            43 => client.ap = None,
            44 => client.uptime_known = !client.uptime_known,
            _ => {}
        }
        // Some flap all the time.
        if client.mac.0 % 13 == 3 && dice >= 50 {
            client.away = client.away.max(1);
        }
        if client.cloned && other_is_ours && dice < 70 {
            if let Some(ap) = client.ap {
                client.ghost = Some((ap, client.began_ms, 3));
            }
            (client.ap, client.began_ms) = (Some(other), began);
        }
    }

    fn trouble_ap(&mut self, i: usize) {
        let health = self.aps[i].health;
        self.aps[i].health = self.change_health(health, 8);
        // A reboot: everybody associates anew.
        if self.rng.percent(2) {
            for client in self.clients.iter_mut().filter(|c| c.ap == Some(i)) {
                client.began_ms = self.now_ms - 3_000;
            }
        }
    }

    fn change_health(&mut self, health: Health, percent: u64) -> Health {
        use Outcome::{AuthFailed, Internal, ProtocolError, Refused, Timeout, TlsFailed};
        let rounds = 1 + self.rng.below(4) as u32;
        match health {
            Health::Failing(outcome, n) if n > 1 => {
                let other = if self.rng.percent(15) {
                    AuthFailed
                } else {
                    outcome
                };
                Health::Failing(other, n - 1)
            }
            Health::Silent(n) if n > 1 => Health::Silent(n - 1),
            _ if self.rng.percent(percent) => {
                let outcomes = [
                    Timeout,
                    Timeout,
                    Refused,
                    AuthFailed,
                    TlsFailed,
                    ProtocolError,
                    Internal,
                ];
                let outcome = outcomes[self.rng.below(7) as usize];
                if self.rng.percent(25) {
                    Health::Silent(rounds + 1)
                } else {
                    Health::Failing(outcome, rounds)
                }
            }
            _ => Health::Fine,
        }
    }

    /// People change things.
    fn trouble_control(&mut self) {
        let t = at_ms(self.now_ms + self.rng.below(INTERVAL_MS as u64) as i64);
        let of = 1 + self.rng.below(2) as u32;
        let place = 10 * of + 1 + self.rng.below(2) as u32;
        let i = self.rng.below(self.aps.len() as u64) as usize;
        let k = self.rng.below(self.clients.len() as u64) as usize;
        let id = if self.rng.percent(50) {
            Some(self.aps[i].id)
        } else {
            self.clients[k].device
        };
        match (self.rng.below(100), id) {
            (0..15, Some(id)) => {
                let has_sector = self.rng.percent(60);
                self.script.edit(t, id, |d| {
                    let place = if d.tenant_id == tenant(of) {
                        place
                    } else {
                        10 * (3 - of) + 1
                    };
                    d.site_id = Some(site(place));
                    d.sector_id = has_sector.then(|| sector(place));
                });
            }
            (15..22, Some(id)) => self.script.edit(t, id, |d| d.enabled = !d.enabled),
            (22..25, _) if self.aps.iter().filter(|a| !a.deleted).count() > 2 => {
                self.aps[i].deleted = true;
                self.script
                    .change(t, Change::DeviceDeleted { id: self.aps[i].id });
            }
            (25..29, _) => {
                if let Some(id) = self.clients[k].device.filter(|_| !self.clients[k].deleted) {
                    self.clients[k].deleted = true;
                    self.script.change(t, Change::DeviceDeleted { id });
                }
            }
            (29, _) => {
                self.script
                    .change(t, Change::SectorDeleted { id: sector(place) });
            }
            (30, _) => {
                self.script
                    .change(t, Change::SiteDeleted { id: site(place) });
            }
            (31, _) => {
                let c = self.rng.below(2) as usize;
                if !self.controllers[c].2 {
                    self.controllers[c].2 = true;
                    self.script.change(
                        t,
                        Change::DeviceDeleted {
                            id: self.controllers[c].0,
                        },
                    );
                }
            }
            (32..50, _) => self.decide_limits(t, of, place),
            _ => {}
        }
    }

    /// A place decides what counts as bad there, otherwise than before, or no longer.
    fn decide_limits(&mut self, t: Timestamp, of: u32, place: u32) {
        // Few, so that they are changed, and contradict each other.
        let id = thresholds(10 * of + self.rng.below(5) as u32);
        if self.rng.percent(25) {
            self.script.change(t, Change::ThresholdsDeleted { id });
            return;
        }
        let rng = &mut self.rng;
        let mut number = |percent, least: i16, range| {
            let number = least + rng.below(range) as i16;
            rng.percent(percent).then_some(number)
        };
        let degraded_signal_dbm = number(70, -90, 30);
        let active_signal_dbm = number(50, -85, 30);
        let ccq = number(40, 20, 50);
        let active_ccq_percent = number(30, 30, 60).map(i16::unsigned_abs);
        let site_id = self.rng.percent(70).then(|| site(place));
        let sector_id = site_id.filter(|_| self.rng.percent(50));
        let technology = Source::ALL[self.rng.below(5) as usize];
        let row = Thresholds {
            id,
            tenant_id: tenant(of),
            site_id,
            sector_id: sector_id.map(|_| sector(place)),
            technology: self.rng.percent(40).then_some(technology),
            degraded_signal_dbm,
            active_signal_dbm,
            degraded_ccq_percent: ccq.map(i16::unsigned_abs),
            active_ccq_percent,
            version: 1,
        };
        self.script.change(t, Change::Thresholds(row));
    }

    fn round(&mut self, round: u32) {
        for i in 0..self.aps.len() {
            self.poll_ap(i, round);
        }
        for i in 0..self.controllers.len() {
            self.poll_controller(i);
        }
        for i in 0..self.clients.len() {
            self.poll_client(i, round);
        }
        if self.rng.percent(30) {
            // A device that control does not know, and one of another tenant than it says.
            let t = self.some_time();
            self.script.poll_ok(device(9_999), t);
            let id = self.aps[0].id;
            let poll = self.script.poll_ok(id, t);
            poll.poll.tenant_id = tenant(2);
        }
    }

    /// A time in this round, at times with a fraction, or on the edge of a slot.
    fn some_time(&mut self) -> Timestamp {
        let ms = self.now_ms + self.rng.below(INTERVAL_MS as u64) as i64;
        if self.rng.percent(10) {
            at_ms(ms - ms % 250)
        } else {
            at_ms(ms)
        }
    }

    /// Begins the poll of a device in trouble; `None` = it is polled well at the time given.
    fn failed(&mut self, id: DeviceId, health: Health) -> Result<Timestamp, ()> {
        let t = self.some_time();
        match health {
            Health::Fine => Ok(t),
            Health::Silent(_) => Err(()),
            Health::Failing(outcome, _) => {
                self.script.poll_failed(id, t, outcome);
                // The immediate second look.
                if self.rng.percent(20) {
                    self.script
                        .poll_failed(id, Timestamp(t.0 + 300_000), outcome);
                }
                self.after_poll(id);
                Err(())
            }
        }
    }

    /// Repeats, replays, late binding, new leases.
    fn after_poll(&mut self, id: DeviceId) {
        match self.rng.below(100) {
            0..5 => self.script.repeat(0),
            5..8 => self.script.repeat(7),
            8..12 => self.script.shift(3),
            12..15 => self.script.shift(-1),
            15..18 => self.script.new_lease(id),
            18..20 => {
                self.script.repeat(40);
                let late = self.script.polls.last_mut();
                if let Some((_, poll)) = late {
                    poll.poll.lease_epoch = 0;
                    poll.poll.sequence = 1_000_000;
                }
            }
            _ => {}
        }
    }

    /// Who an access point's table shows now: address, signal, CCQ, uptime.
    fn table(&mut self, ap: usize, t: Timestamp) -> Vec<super::Client> {
        let now_ms = (t.0 - at_ms(0).0) / 1_000;
        let mut rows = Vec::new();
        for client in &self.clients {
            let here = client.ap == Some(ap) && client.away == 0;
            let ghost = client
                .ghost
                .filter(|g| g.0 == ap && client.ap != Some(ap))
                .map(|g| g.1);
            let began = if here { Some(client.began_ms) } else { ghost };
            let Some(began) = began else { continue };
            let wobble = self.rng.below(3) as i64 - 1;
            let uptime = u64::try_from((now_ms - began) / 1_000 + wobble / 2).unwrap_or(0);
            let signal = if self.rng.percent(4) {
                None
            } else {
                Some((client.signal + wobble) as i16)
            };
            rows.push((
                client.mac,
                signal,
                client.ccq,
                client.uptime_known.then_some(uptime),
            ));
        }
        if self.rng.percent(10) {
            rows.reverse();
        }
        if self.rng.percent(5) {
            rows.extend(
                rows.first()
                    .copied()
                    .map(|r| (r.0, Some(-99), None, Some(0))),
            );
        }
        rows
    }

    fn poll_ap(&mut self, i: usize, round: u32) {
        let (id, health, source) = (self.aps[i].id, self.aps[i].health, self.aps[i].source);
        if self.aps[i].deleted && !self.rng.percent(20) {
            return;
        }
        let Ok(t) = self.failed(id, health) else {
            return;
        };
        let own = self.aps[i].own;
        let rows = if own { self.table(i, t) } else { Vec::new() };
        let interfaces = round == 3 || self.rng.percent(10);
        let (whole, outcome) = if self.rng.percent(6) {
            (false, Outcome::Partial)
        } else {
            (true, Outcome::Ok)
        };
        let mut tables = Tables::default();
        if whole && own {
            tables = tables.with(Tables::registration(source));
        }
        if interfaces {
            tables = tables.with(Tables::INTERFACE);
        }
        let lost_interface = self.rng.percent(20);
        let interface = if self.rng.percent(2) {
            "wlan9"
        } else {
            "wlan1"
        };
        let radio = self.aps[i].radio;
        let poll = self.script.poll(id, t, outcome, tables);
        poll.poll.identity = Some(format!("ap-{i}-{}", round / 10));
        for row in rows {
            add_client(poll, source, interface, radio, false, row);
        }
        if interfaces && !lost_interface {
            add_interface(poll, radio, false);
        }
        count_rows(poll);
        self.after_poll(id);
    }

    fn poll_controller(&mut self, i: usize) {
        let (id, health, deleted) = self.controllers[i];
        if deleted {
            return;
        }
        let Ok(t) = self.failed(id, health) else {
            return;
        };
        let caps: Vec<usize> = (0..self.aps.len()).filter(|&a| self.aps[a].cap).collect();
        // The second controller takes over some radios at times.
        let takes = if i == 0 {
            !self.rng.percent(10)
        } else {
            self.rng.percent(12)
        };
        let mut rows = Vec::new();
        for ap in caps {
            if takes {
                let radio = self.aps[ap].radio;
                rows.extend(self.table(ap, t).into_iter().map(|row| (radio, row)));
            }
        }
        let tables = Tables::registration(Source::Capsman).with(Tables::INTERFACE);
        let poll = self.script.poll(id, t, Outcome::Ok, tables);
        for (radio, row) in rows {
            add_client(poll, Source::Capsman, &format!("cap{i}"), radio, true, row);
            add_interface(poll, radio, true);
        }
        count_rows(poll);
        self.after_poll(id);
    }

    fn poll_client(&mut self, i: usize, round: u32) {
        let Some(id) = self.clients[i].device.filter(|_| !self.clients[i].deleted) else {
            return;
        };
        if self.rng.percent(8) {
            return;
        }
        let health = if self.rng.percent(6) {
            Health::Failing(Outcome::Timeout, 1)
        } else {
            Health::Fine
        };
        let Ok(t) = self.failed(id, health) else {
            return;
        };
        let interfaces = round == 1 || self.rng.percent(15);
        let (lost, extra) = (self.rng.percent(15), self.rng.percent(15));
        let client = &self.clients[i];
        let bssid = client
            .ap
            .filter(|_| client.away == 0)
            .map(|ap| self.aps[ap].radio);
        let (own, neighbour) = (client.mac, Mac(client.mac.0 + 1));
        let mut tables = Tables::registration(Source::Wireless);
        if interfaces {
            tables = tables.with(Tables::INTERFACE);
        }
        let poll: &mut WholePoll = self.script.poll(id, t, Outcome::Ok, tables);
        if let Some(bssid) = bssid {
            add_station(poll, Source::Wireless, own, bssid);
        }
        if interfaces && !lost {
            add_interface(poll, own, false);
        }
        if interfaces && extra {
            add_interface(poll, neighbour, false);
        }
        count_rows(poll);
        self.after_poll(id);
    }
}

#[cfg(test)]
mod tests {
    use mast_schemas::Epoch;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_slots_without_a_gap() {
        let (a, b) = (random(7, 4), random(7, 4));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        for pair in a.windows(2) {
            assert_eq!(Epoch(pair[0].last.0 + 1), pair[1].first);
        }
    }
}
