//! What people decide of alerts in a random fleet: rules of every kind and scope, maintenance windows, parents by hand, and
//! alerts that they resolve. From numbers of its own, so that the fleet is the same with and without it.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::control::{Change, ControlRecord, Device, Role, Rule, Schedule, Site, Window};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, RuleId, Timestamp};

use super::{INTERVAL_MS, Rng, World};
use crate::Oracle;
use crate::script::{
    SlotInput, at_ms, device, group, mac, rule, sector, site, tag, tenant, window, window_row,
};

/// Few, so that they are changed.
const RULES: u64 = 14;
const WINDOWS: u64 = 4;

pub(super) struct People {
    rng: Rng,
    /// When rules judge is drawn apart, so that all else is the same with and without it.
    hours: Rng,
    rules: BTreeMap<RuleId, Rule>,
}

impl People {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed ^ 0x7065_6F70_6C65),
            hours: Rng(seed ^ 0x0068_6F75_7273),
            rules: BTreeMap::new(),
        }
    }
}

/// What a device is for, and what it is in, by its number.
pub(super) fn describe(row: &mut Device, n: u32) {
    row.role = match n {
        1 | 2 => Role::Controller,
        10..1_000 if n % 5 == 3 => Role::Router,
        10..1_000 => Role::Ap,
        _ if n % 7 == 2 => Role::Backhaul,
        _ if n % 7 == 4 => Role::Router,
        _ => Role::Cpe,
    };
    row.group_ids = (1..3)
        .filter(|g| n.is_multiple_of(g + 1))
        .map(group)
        .collect();
    row.tag_ids = (1..3).filter(|g| n % (g + 2) == 1).map(tag).collect();
}

impl World {
    /// The first rules.
    pub(super) fn first_rules(&mut self) {
        for n in 0..RULES {
            if self.people.rng.percent(70) {
                self.make_rule(at_ms(self.now_ms), n as u32);
            }
        }
    }

    /// A window of a tenant and one of a site that nobody edits, so that every fleet has places that come into maintenance and
    /// out of it.
    pub(super) fn first_windows(&mut self) {
        for (n, of, site_id, from_ms, lasts_ms) in [
            (0, 1, None, 55_300, 20_000),
            (1, 2, Some(site(21)), 105_000, 24_900),
        ] {
            let row = Window {
                tenant_id: tenant(of),
                site_id,
                ..window_row(
                    WINDOWS as u32 + n,
                    at_ms(from_ms),
                    at_ms(from_ms + lasts_ms),
                )
            };
            self.script.change(at_ms(self.now_ms), Change::Window(row));
        }
    }

    /// Rules of places look at every minute: over a leap of days they are switched off, but now and then over one of a day.
    pub(super) fn leap(&mut self, from_ms: i64) {
        let hours = (self.now_ms - from_ms) / 3_600_000;
        if hours < 20 || (hours < 30 && self.people.rng.percent(15)) {
            return;
        }
        let places = self.people.rules.values();
        let places: Vec<Rule> = places
            .filter(|rule| rule.enabled && !rule.kind.by_polls())
            .cloned()
            .collect();
        for rule in places {
            let off = Rule {
                enabled: false,
                ..rule.clone()
            };
            self.script.change(at_ms(from_ms + 1), Change::Rule(off));
            self.script.change(at_ms(self.now_ms), Change::Rule(rule));
        }
    }

    /// What people do between two rounds.
    pub(super) fn people(&mut self) {
        let rng = &mut self.people.rng;
        let t = at_ms(self.now_ms + rng.below(INTERVAL_MS as u64) as i64);
        let n = rng.below(RULES) as u32;
        match rng.below(100) {
            0..18 => self.make_rule(t, n),
            18..30 => self.edit_rule(t, rule(n)),
            30..34 => {
                let gone = self.people.rules.remove(&rule(n));
                if let Some(Rule { id, .. }) = gone {
                    self.script.change(t, Change::RuleDeleted { id });
                }
            }
            34..44 => self.make_window(t),
            44..48 => {
                let id = window(rng.below(WINDOWS) as u32);
                self.script.change(t, Change::WindowDeleted { id });
            }
            48..58 => {
                let of = rng.below(self.aps.len() as u64) as usize;
                let to = rng.below(self.aps.len() as u64 + 2) as usize;
                let parent = self.aps.get(to).map(|ap| ap.id);
                let id = self.aps[of].id;
                self.script.edit(t, id, |d| d.parent_id = parent);
            }
            58..62 => {
                let of = rng.below(self.clients.len() as u64) as usize;
                let parent = self.aps[rng.below(self.aps.len() as u64) as usize].id;
                if let Some(id) = self.clients[of].device {
                    self.script.edit(t, id, |d| d.parent_id = Some(parent));
                }
            }
            62..68 => {
                let of = rng.below(self.aps.len() as u64) as usize;
                let groups = rng.below(4) as u32;
                let id = self.aps[of].id;
                self.script.edit(t, id, |d| {
                    d.group_ids = (1..3).filter(|g| groups & g != 0).map(group).collect();
                    d.tag_ids = (1..3).filter(|g| groups & g == 0).map(tag).collect();
                });
            }
            68..73 => {
                let of = rng.below(self.aps.len() as u64) as usize;
                let role = Role::ALL[rng.below(Role::ALL.len() as u64) as usize];
                let id = self.aps[of].id;
                self.script.edit(t, id, |d| d.role = role);
            }
            73..78 => {
                let (of, k) = (1 + rng.below(2) as u32, 1 + rng.below(2) as u32);
                let core = rng.percent(60);
                self.script.change(t, Change::Site(site_row(of, k, core)));
            }
            78..82 => {
                let of = tenant(1 + rng.below(2) as u32);
                let client = mac(rng.below(20) as u32);
                self.script.change(
                    t,
                    Change::TrendNormal {
                        tenant_id: of,
                        mac: client,
                    },
                );
            }
            _ => {}
        }
    }

    fn make_rule(&mut self, t: Timestamp, n: u32) {
        let ap = self.people.rng.below(self.aps.len() as u64) as usize;
        let id = self.aps[ap].id;
        let mut row = random_rule(&mut self.people.rng, n, id);
        let hours = &mut self.people.hours;
        let may = has_hours(&row);
        row.schedule = (may && hours.percent(15)).then(|| random_schedule(hours, t));
        // A rule never changes its tenant: its number says whose it is.
        self.people.rules.insert(row.id, row.clone());
        self.script.change(t, Change::Rule(row));
    }

    fn edit_rule(&mut self, t: Timestamp, id: RuleId) {
        let rng = &mut self.people.rng;
        let Some(row) = self.people.rules.get_mut(&id) else {
            return;
        };
        row.version += 1;
        match rng.below(6) {
            0 | 1 => row.enabled = !row.enabled,
            2 => row.severity = Severity::ALL[rng.below(3) as usize],
            3 => row.hits = 1 + rng.below(3) as u16,
            4 => row.clears = 1 + rng.below(3) as u16,
            _ => row.enter_milli = row.clear_milli,
        }
        let hours = &mut self.people.hours;
        if has_hours(row) && hours.percent(30) {
            row.schedule = hours.percent(60).then(|| random_schedule(hours, t));
        }
        self.script.change(t, Change::Rule(row.clone()));
    }

    fn make_window(&mut self, t: Timestamp) {
        let rng = &mut self.people.rng;
        let of = 1 + rng.below(2) as u32;
        let whole = rng.percent(25);
        let by_site = !whole && rng.percent(50);
        let aps: Vec<DeviceId> = self.aps.iter().map(|ap| ap.id).collect();
        let some = |rng: &mut Rng| aps[rng.below(aps.len() as u64) as usize];
        let device_ids = if whole || by_site {
            Vec::new()
        } else {
            vec![some(rng), some(rng)]
        };
        let starts_at = Timestamp(t.0 + (rng.below(60_000) as i64 - 30_000) * 1_000);
        let lasts = 1 + rng.below(90_000) as i64;
        let (starts_at, lasts, recurrence, time_zone) = recurring(starts_at, lasts);
        let row = Window {
            id: window(rng.below(WINDOWS) as u32),
            tenant_id: tenant(of),
            name: String::new(),
            site_id: by_site.then(|| site(10 * of + 1 + rng.below(2) as u32)),
            device_ids,
            starts_at,
            ends_at: Timestamp(starts_at.0 + lasts * 1_000),
            recurrence,
            time_zone,
            version: 1,
        };
        self.script.change(t, Change::Window(row));
    }
}

/// Some windows recur: begin and length in ms, recurrence and time zone. From numbers of their own, so that the fleet is the
/// same with and without.
fn recurring(starts_at: Timestamp, lasts: i64) -> (Timestamp, i64, Option<String>, String) {
    let mut rng = Rng(starts_at.0.unsigned_abs() ^ 0x7265_6375_7273);
    if !rng.percent(40) {
        return (starts_at, lasts, None, "UTC".to_owned());
    }
    let rules = [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=2",
        "FREQ=DAILY;COUNT=9",
        "FREQ=WEEKLY;BYDAY=SU,TU",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
    ];
    let zones = ["Europe/Ljubljana", "America/New_York", "UTC"];
    let rule = rules[rng.below(rules.len() as u64) as usize];
    let zone = zones[rng.below(zones.len() as u64) as usize];
    // Often the first time was days ago, so that this one is given by the rule; and long enough that time which leaps by a
    // day and an hour comes upon an open one.
    let days = if rng.percent(70) {
        rng.below(40) as i64
    } else {
        0
    };
    let lasts = if rng.percent(50) {
        lasts
    } else {
        lasts + 7_200_000
    };
    let begins = Timestamp(starts_at.0 - days * 86_400_000_000);
    (begins, lasts, Some(rule.to_owned()), zone.to_owned())
}

pub(super) fn site_row(of: u32, k: u32, core: bool) -> Site {
    Site {
        id: site(10 * of + k),
        tenant_id: tenant(of),
        name: format!("site-{of}-{k}"),
        latitude: None,
        longitude: None,
        elevation_m: None,
        core,
        version: 1,
    }
}

/// Whether a rule may judge at some hours alone. Those that open seldom as it is always judge.
fn has_hours(rule: &Rule) -> bool {
    rule.kind != RuleKind::DeviceOfflineCount
}

/// Hours that begin or end about then, on some clock; now and then on one that there is not.
fn random_schedule(rng: &mut Rng, t: Timestamp) -> Schedule {
    let zones = [
        "UTC",
        "Europe/Ljubljana",
        "America/St_Johns",
        "Asia/Kathmandu",
        "Pacific/Kiritimati",
        "Nowhere/Land",
    ];
    let time_zone = zones[rng.below(zones.len() as u64) as usize];
    let utc = DateTime::from_timestamp_micros(t.0).unwrap_or_default();
    let local = utc.with_timezone(&time_zone.parse::<Tz>().unwrap_or(Tz::UTC));
    let today = local.weekday().number_from_monday() as u8;
    let yesterday = (today + 5) % 7 + 1;
    let days = match rng.below(6) {
        0 => vec![today],
        1 => vec![yesterday],
        2 => vec![yesterday, today],
        3 => (1..8).filter(|day| *day != today).collect(),
        _ => Vec::new(),
    };
    let minute = |minute: u64| (minute % 1_440) as u16;
    let now = u64::from(local.hour() * 60 + local.minute());
    let from = now + 1_440 - 3 + rng.below(6);
    let lasts = [1 + rng.below(4), 2, 90, 1_430, 1_440][rng.below(5) as usize];
    let all_day = rng.percent(15);
    Schedule {
        days,
        from_minute: (!all_day).then(|| minute(from)),
        to_minute: (!all_day).then(|| minute(from + lasts)),
        time_zone: time_zone.to_owned(),
    }
}

fn random_rule(rng: &mut Rng, n: u32, id: DeviceId) -> Rule {
    let kind = RuleKind::ALL[rng.below(RuleKind::ALL.len() as u64) as usize];
    // The first are always there: devices that go are what incidents are of.
    let kind = match n {
        0 => RuleKind::Offline,
        1 => RuleKind::Cpu,
        2 => RuleKind::SiteDown,
        3 => RuleKind::InterfaceDown,
        _ => kind,
    };
    let of = if n % 4 == 3 { 2 } else { 1 };
    let place = 10 * of + 1 + rng.below(2) as u32;
    let scope = match rng.below(if kind.by_polls() { 8 } else { 4 }) {
        _ if n < 3 && rng.percent(70) => Scope::Tenant,
        0 | 1 => Scope::Tenant,
        2 => Scope::Site(site(place)),
        3 => Scope::Sector(sector(place)),
        4 => Scope::Group(group(1 + rng.below(2) as u32)),
        5 => Scope::Tag(tag(1 + rng.below(2) as u32)),
        6 => Scope::Device(id),
        _ => Scope::Device(device(1)),
    };
    let places = [RuleSubject::Site, RuleSubject::Sector];
    let subject = kind.subject();
    let subject = subject.unwrap_or_else(|| places[rng.below(2) as usize]);
    let interfaces = [None, Some("*"), Some("wlan1"), Some("w*2")];
    let interface = interfaces[rng.below(4) as usize].filter(|_| subject == RuleSubject::Interface);
    // Wide enough apart that values lie beyond, between and before.
    let (enter, clear) = match kind {
        RuleKind::Signal | RuleKind::SectorSignalAvg => (-66, -62),
        RuleKind::Ccq => (50, 56),
        RuleKind::Clients => (3, 4),
        RuleKind::NoiseFloor => (-97, -100),
        RuleKind::DeviceOfflineCount | RuleKind::LinkDownCount => (1, 0),
        RuleKind::SignalDegradation => (0, 0),
        RuleKind::SectorClientDrop | RuleKind::ThroughputDrop => (10, -10),
        RuleKind::DeviceOfflinePercent => (30, 10),
        _ => (70, 40),
    };
    let operator = match (enter < clear, rng.percent(70)) {
        (true, true) => Operator::Lt,
        (true, false) => Operator::Lte,
        (false, true) => Operator::Gt,
        (false, false) => Operator::Gte,
    };
    Rule {
        id: rule(n),
        tenant_id: tenant(of),
        name: format!("rule-{n}"),
        kind,
        scope,
        subject,
        interface: interface.map(str::to_owned),
        operator: (!kind.is_state()).then_some(operator),
        enter_milli: 1_000 * enter,
        clear_milli: 1_000 * clear,
        hits: 1 + rng.below(3) as u16,
        clears: 1 + rng.below(3) as u16,
        severity: Severity::ALL[rng.below(3) as usize],
        enabled: rng.percent(90),
        version: 1,
        schedule: None,
    }
}

/// Has people resolve some of the alerts that are open in the fold of these slots.
pub(super) fn resolve_some(seed: u64, slots: &mut [SlotInput]) {
    let mut rng = Rng(seed ^ 0x7265_736F_6C76);
    let mut oracle = Oracle::new(DEFAULT);
    let mut resolved = None;
    for slot in slots {
        let first = slot.first;
        slot.control
            .extend(resolved.take().map(|change| ControlRecord {
                outbox_id: 0,
                at: first.end(),
                change,
            }));
        oracle.slot(first, slot.last, &slot.control, slot.polls.clone());
        if rng.percent(4) {
            let alerts = oracle.alert_views();
            let nth = rng.below(alerts.len() as u64) as usize;
            resolved = alerts
                .into_values()
                .nth(nth)
                .map(|alert| Change::AlertResolved {
                    tenant_id: alert.tenant_id,
                    id: alert.alert_id,
                });
        }
    }
}
