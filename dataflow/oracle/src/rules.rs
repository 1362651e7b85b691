//! What rules say of devices, interfaces and places (§18).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, Resolution, RuleKind, RuleSubject, Scope, Subject, SubjectId,
    alert_event_id, alert_id,
};
use mast_schemas::checkpoint::{JudgedRecord, ThroughputRecord};
use mast_schemas::control::Rule;
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Interface, Outcome, Poll, Tables};
use mast_schemas::time::Span;
use mast_schemas::views::{DeviceState, HealthState, LinkState, Place, Signals};
use mast_schemas::{DeviceId, RuleId, TenantId, Timestamp};

use crate::devices::Device;
use crate::health::state_of;
use crate::oracle::Oracle;
use crate::tables::own_clients;
use crate::views::{Seen, places_of};

/// Place rules judge at the end of every slot that ends at a multiple of this.
pub(crate) const RULE_TICK: Span = Span::secs(60);

/// A rule and what it judges.
pub(crate) type Pair = (RuleId, Subject);

/// How far a rule is with what it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Judged {
    pub(crate) run: u16,
    pub(crate) latched: bool,
    pub(crate) open: Option<(Timestamp, i64)>,
}

/// `a ÷ b` in thousandths, rounded down.
fn milli(a: i128, b: i128) -> Option<i64> {
    (b != 0).then(|| i64::try_from((1_000 * a).div_euclid(b)).ok())?
}

fn yes(is: bool) -> Option<i64> {
    Some(1_000 * i64::from(is))
}

/// Whether a text matches a pattern with `*` for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, rest)) => text.strip_prefix(begin).is_some_and(|text| {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(rest, &text[at..]))
        }),
    }
}

/// What the rule judges.
fn subject_of(rule: &Rule) -> RuleSubject {
    rule.kind.subject().unwrap_or(rule.subject)
}

fn bad(rule: &Rule, value: i64) -> bool {
    if rule.kind.is_state() {
        return value == 1_000;
    }
    (rule.operator).is_some_and(|operator| operator.holds(value, rule.enter_milli))
}

fn good(rule: &Rule, value: i64) -> bool {
    if rule.kind.is_state() {
        return value == 0;
    }
    (rule.operator).is_some_and(|operator| !operator.holds(value, rule.clear_milli))
}

/// Whether a rule judges at an instant. By minutes of the week on its clock, of which each day's hours are a piece.
fn judges_at(rule: &Rule, at: Timestamp) -> bool {
    const DAY: i64 = 24 * 60;
    let Some(schedule) = &rule.schedule else {
        return true;
    };
    let Ok(zone) = schedule.time_zone.parse::<Tz>() else {
        return true;
    };
    let utc = DateTime::from_timestamp_micros(at.0).unwrap_or_default();
    let local = utc.with_timezone(&zone).naive_local();
    let of_day = i64::from(local.num_seconds_from_midnight() / 60);
    let now = i64::from(local.weekday().num_days_from_monday()) * DAY + of_day;
    (1..8u8)
        .filter(|day| schedule.days.is_empty() || schedule.days.contains(day))
        .any(|day| {
            let midnight = (i64::from(day) - 1) * DAY;
            let (from, to) = match (schedule.from_minute, schedule.to_minute) {
                (Some(from), Some(to)) => (i64::from(from), i64::from(to)),
                _ => (0, DAY),
            };
            let to = if to > from { to } else { to + DAY };
            // The end of the week goes on at its begin.
            [now, now + 7 * DAY]
                .iter()
                .any(|minute| (midnight + from..midnight + to).contains(minute))
        })
}

/// Share of something in use, percent.
fn used(free: Option<u64>, total: Option<u64>) -> Option<i64> {
    let (free, total) = (i128::from(free?), i128::from(total?));
    milli(100 * (total - free), total)
}

fn temperature(poll: &Poll) -> Option<i64> {
    let both = [poll.cpu_temperature_c, poll.board_temperature_c];
    let both = both.into_iter().flatten();
    both.map(|celsius| (f64::from(celsius) * 1_000.0).round() as i64)
        .max()
}

fn device_value(kind: RuleKind, whole: &WholePoll, state: DeviceState) -> Option<i64> {
    let poll = &whole.poll;
    let clients = own_clients(whole);
    match kind {
        RuleKind::Cpu => poll.cpu_load_percent.map(|load| 1_000 * i64::from(load)),
        RuleKind::Memory => used(poll.memory_free_bytes, poll.memory_total_bytes),
        RuleKind::Disk => used(poll.disk_free_bytes, poll.disk_total_bytes),
        RuleKind::Temperature => temperature(poll),
        RuleKind::Signal => {
            let clients = clients.unwrap_or_default();
            let signals: Vec<i128> = clients
                .iter()
                .filter_map(|row| row.signal_dbm.map(i128::from))
                .collect();
            milli(signals.iter().sum(), signals.len() as i128)
        }
        RuleKind::Ccq => {
            let clients = clients.unwrap_or_default();
            let ccq = clients.iter().filter_map(|row| row.tx_ccq_percent);
            ccq.min().map(|least| 1_000 * i64::from(least))
        }
        RuleKind::Clients => clients.map(|all| 1_000 * all.len() as i64),
        RuleKind::Offline if state != DeviceState::Unobserved => yes(state == DeviceState::Offline),
        RuleKind::Unmanageable if state != DeviceState::Unobserved => {
            yes(state == DeviceState::Unmanageable)
        }
        _ => None,
    }
}

fn interface_value(kind: RuleKind, row: &Interface, device: &Device) -> Option<i64> {
    match kind {
        RuleKind::InterfaceDown => yes(!row.running?),
        RuleKind::InterfaceUtilization => {
            let rates = device.air.rates.as_ref()?.interfaces.iter();
            let rate = rates.into_iter().find(|rate| *rate.name == *row.name)?;
            let rate = rate.rx_bps.max(rate.tx_bps)?;
            milli(100 * i128::from(rate), i128::from(row.link_rate_bps?))
        }
        _ => None,
    }
}

/// The interfaces of a whole table that can be judged.
fn judged_interfaces(whole: &WholePoll) -> Vec<&Interface> {
    let mut names = BTreeSet::new();
    let first = whole
        .interfaces
        .iter()
        .filter(|row| names.insert(&row.name));
    first.filter(|row| row.disabled != Some(true)).collect()
}

fn place_of(tenant: TenantId, subject: &Subject) -> Option<Place> {
    match subject {
        Subject::Site(site) => Some(Place::Site(tenant, *site)),
        Subject::Sector(sector) => Some(Place::Sector(tenant, *sector)),
        Subject::Device(_) | Subject::Interface(..) => None,
    }
}

fn lost(before: i64, now: i64) -> Option<i64> {
    milli(100 * i128::from(before - now), i128::from(before))
}

impl Oracle {
    /// Whether a device is in the scope of a rule.
    fn in_scope(rule: &Rule, device: &Device) -> bool {
        match rule.scope {
            Scope::Tenant => true,
            Scope::Site(site) => device.row.site_id == Some(site),
            Scope::Sector(sector) => device.row.sector_id == Some(sector),
            Scope::Group(group) => device.row.group_ids.contains(&group),
            Scope::Tag(tag) => device.row.tag_ids.contains(&tag),
            Scope::Device(id) => device.row.device_id == id,
        }
    }

    /// Whether a place is in the scope of a rule.
    fn place_in_scope(&self, rule: &Rule, place: Place) -> bool {
        match (rule.scope, place) {
            (Scope::Tenant, _) => true,
            (Scope::Site(site), Place::Site(_, this)) => site == this,
            (Scope::Sector(sector), Place::Sector(_, this)) => sector == this,
            (Scope::Site(site), Place::Sector(..)) => {
                let there = |d: &&Device| places_of(&d.row).contains(&place);
                let mut devices = self.devices.values().filter(there);
                devices.any(|d| d.row.site_id == Some(site))
            }
            _ => false,
        }
    }

    fn has_devices(&self, place: Place) -> bool {
        (self.devices.values()).any(|d| places_of(&d.row).contains(&place))
    }

    /// Control makes or changes a rule.
    pub(crate) fn rule_changed(&mut self, rule: &Rule, at: Timestamp) {
        let before = self.rules.get(&rule.id).cloned();
        let same = |old: &Rule| {
            (old.kind, old.subject, &old.interface, old.tenant_id)
                == (rule.kind, rule.subject, &rule.interface, rule.tenant_id)
        };
        if before.is_some_and(|old| !same(&old)) {
            self.rule_deleted(rule.id, at);
        }
        self.rules.insert(rule.id, rule.clone());
    }

    pub(crate) fn rule_deleted(&mut self, id: RuleId, at: Timestamp) {
        let pairs: Vec<Pair> = self.judged.keys().filter(|p| p.0 == id).cloned().collect();
        for pair in pairs {
            self.end_judging(&pair, Resolution::RuleDeleted, at);
        }
        self.rules.remove(&id);
    }

    pub(crate) fn tenant_rules_deleted(&mut self, tenant: TenantId, at: Timestamp) {
        let theirs = self.rules.values().filter(|r| r.tenant_id == tenant);
        let theirs: Vec<RuleId> = theirs.map(|rule| rule.id).collect();
        theirs.into_iter().for_each(|id| self.rule_deleted(id, at));
    }

    /// A person resolved an alert.
    pub(crate) fn resolved_by_hand(&mut self, tenant: TenantId, id: AlertId, at: Timestamp) {
        let opened = |(pair, judged): (&Pair, &Judged)| {
            let (opened_at, _) = judged.open?;
            (alert_id(pair.0, &pair.1, opened_at) == id).then(|| pair.clone())
        };
        let Some(pair) = self.judged.iter().find_map(opened) else {
            return;
        };
        if self
            .rules
            .get(&pair.0)
            .is_some_and(|r| r.tenant_id == tenant)
        {
            self.resolve(&pair, Resolution::Manual, at, None);
            let judged = self.judged.entry(pair).or_default();
            (judged.run, judged.latched) = (0, true);
        }
    }

    /// After each control record: what rules no longer judge.
    pub(crate) fn check_subjects(&mut self, at: Timestamp) {
        let over = |pair: &Pair| Some((pair.clone(), self.no_longer(pair)?));
        let over: Vec<_> = self.judged.keys().filter_map(over).collect();
        for (pair, resolution) in over {
            self.end_judging(&pair, resolution, at);
        }
    }

    fn no_longer(&self, (rule, subject): &Pair) -> Option<Resolution> {
        let Some(rule) = self.rules.get(rule) else {
            return Some(Resolution::RuleDeleted);
        };
        if !rule.enabled {
            return Some(Resolution::RuleDisabled);
        }
        if let Some(place) = place_of(rule.tenant_id, subject) {
            // That it has no devices is seen at the slot's end.
            let out = self.has_devices(place) && !self.place_in_scope(rule, place);
            return out.then_some(Resolution::OutOfScope);
        }
        let device = self.devices.get(&DeviceId(subject.id()));
        let Some(device) = device.filter(|d| d.row.tenant_id == rule.tenant_id) else {
            return Some(Resolution::SubjectGone);
        };
        if !Self::in_scope(rule, device) {
            return Some(Resolution::OutOfScope);
        }
        (!device.row.enabled).then_some(Resolution::SubjectGone)
    }

    /// Forgets what was counted; an open alert resolves.
    fn end_judging(&mut self, pair: &Pair, resolution: Resolution, at: Timestamp) {
        self.resolve(pair, resolution, at, None);
        self.judged.remove(pair);
    }

    fn resolve(&mut self, pair: &Pair, resolution: Resolution, at: Timestamp, value: Option<i64>) {
        let judged = self.judged.get_mut(pair);
        if let Some((opened_at, _)) = judged.and_then(|judged| judged.open.take()) {
            self.tell_alert(pair, opened_at, at, Some(resolution), value);
        }
    }

    /// An alert opens, or resolves if there is a resolution.
    fn tell_alert(
        &mut self,
        (rule_id, subject): &Pair,
        opened_at: Timestamp,
        at: Timestamp,
        resolution: Option<Resolution>,
        value: Option<i64>,
    ) {
        let Some(rule) = self.rules.get(rule_id) else {
            return;
        };
        let (alert_id, change, threshold) = match resolution {
            None => (
                alert_id(*rule_id, subject, at),
                AlertChange::Opened,
                rule.enter_milli,
            ),
            Some(_) => {
                let id = alert_id(*rule_id, subject, opened_at);
                (id, AlertChange::Resolved, rule.clear_milli)
            }
        };
        self.events.alerts.push(AlertEvent {
            event_id: alert_event_id(alert_id, at, change),
            tenant_id: rule.tenant_id,
            alert_id,
            rule_id: *rule_id,
            kind: rule.kind,
            severity: rule.severity,
            subject_kind: subject.kind(),
            subject_id: SubjectId(subject.id()),
            interface: subject.interface().map(str::to_owned),
            at,
            change,
            resolution,
            value_milli: value,
            threshold_milli: value.map(|_| threshold).filter(|_| !rule.kind.is_state()),
        });
        self.alert_changed(rule.tenant_id, (*rule_id, subject.clone()), at);
    }

    /// The step of a rule and what it judges.
    fn judge(&mut self, rule: &Rule, subject: Subject, value: Option<i64>, at: Timestamp) {
        let Some(value) = value.filter(|_| judges_at(rule, at)) else {
            return;
        };
        let (bad, good) = (bad(rule, value), good(rule, value));
        let pair = (rule.id, subject);
        let judged = self.judged.entry(pair.clone()).or_default();
        let counts = match (judged.open, judged.latched) {
            (None, false) => bad,
            _ => good,
        };
        judged.run = if counts {
            judged.run.saturating_add(1)
        } else {
            0
        };
        match (judged.open, judged.latched) {
            (None, false) if judged.run >= rule.hits && bad => {
                (judged.run, judged.open) = (0, Some((at, value)));
                self.tell_alert(&pair, at, at, None, Some(value));
            }
            (Some(_), _) if judged.run >= rule.clears && good => {
                judged.run = 0;
                self.resolve(&pair, Resolution::Cleared, at, Some(value));
            }
            (None, true) if judged.run >= rule.clears && good => *judged = Judged::default(),
            _ => {}
        }
        if self.judged.get(&pair) == Some(&Judged::default()) {
            self.judged.remove(&pair);
        }
    }

    /// After a poll that counts has acted on its device and tables.
    pub(crate) fn judge_poll(&mut self, whole: &WholePoll) {
        let poll = &whole.poll;
        if poll.outcome == Outcome::Internal {
            return;
        }
        let Some(device) = self.devices.get(&poll.device_id).cloned() else {
            return;
        };
        let at = poll.observed_at;
        let interfaces =
            (Tables(poll.tables).has(Tables::INTERFACE)).then(|| judged_interfaces(whole));
        if let Some(there) = &interfaces {
            let gone = |subject: &Subject| {
                matches!(subject, Subject::Interface(id, name) if *id == poll.device_id
                    && !there.iter().any(|row| *row.name == **name))
            };
            let gone: Vec<Pair> = (self.judged.keys())
                .filter(|(_, subject)| gone(subject))
                .cloned()
                .collect();
            for pair in gone {
                self.end_judging(&pair, Resolution::SubjectGone, at);
            }
        }
        let rules: Vec<Rule> = (self.rules.values())
            .filter(|r| r.enabled && r.kind.by_polls() && r.tenant_id == poll.tenant_id)
            .filter(|rule| Self::in_scope(rule, &device))
            .cloned()
            .collect();
        for rule in rules {
            if subject_of(&rule) == RuleSubject::Device {
                let value = device_value(rule.kind, whole, device.state);
                self.judge(&rule, Subject::Device(poll.device_id), value, at);
                continue;
            }
            let pattern = rule.interface.as_deref().unwrap_or("*");
            for row in interfaces.iter().flatten() {
                if matches(pattern, &row.name) {
                    let subject = Subject::Interface(poll.device_id, row.name.as_str().into());
                    let value = interface_value(rule.kind, row, &device);
                    self.judge(&rule, subject, value, at);
                }
            }
        }
    }

    /// Rules that judge places, and the places that they judge.
    fn place_rules(&self) -> Vec<(Rule, Place)> {
        let mut all = Vec::new();
        for rule in self
            .rules
            .values()
            .filter(|r| r.enabled && !r.kind.by_polls())
        {
            for place in self.places.keys() {
                let kind = match place {
                    Place::Tenant(_) => continue,
                    Place::Site(..) => RuleSubject::Site,
                    Place::Sector(..) => RuleSubject::Sector,
                };
                let judges = subject_of(rule) == kind && place.tenant() == rule.tenant_id;
                if judges && self.place_in_scope(rule, *place) {
                    all.push((rule.clone(), *place));
                }
            }
        }
        all
    }

    /// Whether ticks of rules have to be looked at.
    pub(crate) fn has_place_rules(&self) -> bool {
        self.rules.values().any(|r| r.enabled && !r.kind.by_polls()) && !self.places.is_empty()
    }

    /// The end of a slot: places that are gone, and those that a tick judges.
    pub(crate) fn rules_at(&mut self, end: Timestamp) {
        if !self.follows_places {
            return;
        }
        let empty = |(rule, subject): &&Pair| {
            let rule = self.rules.get(rule);
            let place = rule.and_then(|rule| place_of(rule.tenant_id, subject));
            place.is_some_and(|place| !self.places.contains_key(&place))
        };
        let empty: Vec<Pair> = self.judged.keys().filter(empty).cloned().collect();
        for pair in empty {
            self.end_judging(&pair, Resolution::SubjectGone, end);
        }
        let tick = end.0 % RULE_TICK.0 == 0 && self.has_place_rules();
        if !tick && self.throughput.is_empty() {
            return;
        }
        let rules = self.place_rules();
        let compares = |(rule, place): &(Rule, Place)| {
            (rule.kind == RuleKind::ThroughputDrop).then_some(*place)
        };
        let compared: BTreeSet<Place> = rules.iter().filter_map(compares).collect();
        self.throughput.retain(|place, _| compared.contains(place));
        if !tick {
            return;
        }
        let seen = self.seen();
        for (rule, place) in rules {
            let value = self.place_value(rule.kind, place, &seen);
            let subject = match place {
                Place::Sector(_, id) => Subject::Sector(id),
                Place::Site(_, id) => Subject::Site(id),
                Place::Tenant(_) => continue,
            };
            self.judge(&rule, subject, value, end);
        }
        for place in compared {
            let ticks = self.throughput.entry(place).or_default();
            ticks.push(traffic(&seen, place));
            ticks.drain(..ticks.len().saturating_sub(60));
        }
    }

    fn place_value(&self, kind: RuleKind, place: Place, seen: &Seen) -> Option<i64> {
        let views = &seen.views;
        let now = self.places.get(&place)?;
        let counts = views.counts.get(&place).copied().unwrap_or_default();
        // By the devices alone: in maintenance rules go on.
        let state = state_of(&counts);
        let known = state != HealthState::Unknown;
        let devices = |state: DeviceState| counts.devices[state as usize];
        let offline = devices(DeviceState::Offline);
        let links = |state: LinkState| counts.links[state as usize];
        let live = links(LinkState::Active) + links(LinkState::Degraded);
        match kind {
            RuleKind::SectorSignalAvg => {
                let Signals {
                    clients, sum_dbm, ..
                } = *views.signals.get(&place)?;
                milli(i128::from(sum_dbm), i128::from(clients))
            }
            RuleKind::NoiseFloor => {
                let air = views.air.get(&place)?;
                milli(i128::from(air.noise_sum_dbm), i128::from(air.radios))
            }
            RuleKind::ThroughputDrop => {
                let ticks = self.throughput.get(&place).filter(|t| t.len() == 60)?;
                let before = ticks.first().copied().flatten()?;
                lost(before, traffic(seen, place)?)
            }
            _ if !known => None,
            RuleKind::DeviceOfflinePercent => {
                let observed =
                    offline + devices(DeviceState::Online) + devices(DeviceState::Unmanageable);
                milli(100 * i128::from(offline), i128::from(observed))
            }
            RuleKind::DeviceOfflineCount => Some(1_000 * offline),
            RuleKind::SectorClientDrop => lost(now.past().hour_ago?, live),
            RuleKind::SignalDegradation => {
                Some(1_000 * seen.degrading.get(&place).copied().unwrap_or(0))
            }
            RuleKind::LinkDownCount => Some(1_000 * links(LinkState::Down)),
            RuleKind::SiteDown
                if devices(DeviceState::Unobserved) > 0 && state == HealthState::Down =>
            {
                None
            }
            RuleKind::SiteDown => yes(state == HealthState::Down),
            _ => None,
        }
    }

    pub(crate) fn judged_records(&self) -> Vec<JudgedRecord> {
        let all = self.judged.iter();
        all.map(|((rule_id, subject), judged)| JudgedRecord {
            rule_id: *rule_id,
            subject: subject.clone(),
            run: judged.run,
            latched: judged.latched,
            open: judged.open,
        })
        .collect()
    }

    pub(crate) fn throughput_records(&self) -> Vec<ThroughputRecord> {
        let all = self.throughput.iter();
        all.map(|(place, ticks)| ThroughputRecord {
            place: *place,
            ticks: ticks.clone(),
        })
        .collect()
    }

    pub(crate) fn restore_rules(
        &mut self,
        rules: Vec<Rule>,
        judged: Vec<JudgedRecord>,
        throughput: Vec<ThroughputRecord>,
    ) {
        self.rules = rules.into_iter().map(|rule| (rule.id, rule)).collect();
        for record in judged {
            let judged = Judged {
                run: record.run,
                latched: record.latched,
                open: record.open,
            };
            self.judged.insert((record.rule_id, record.subject), judged);
        }
        let rings = throughput.into_iter().map(|r| (r.place, r.ticks));
        self.throughput = rings.collect::<BTreeMap<_, _>>();
    }
}

/// Received and sent by a place, if anything is known.
fn traffic(seen: &Seen, place: Place) -> Option<i64> {
    let air = seen
        .views
        .air
        .get(&place)
        .filter(|air| air.interfaces > 0)?;
    Some(air.rx_bps + air.tx_bps)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "ether1"),
            ("ether1", "ether1"),
            ("ether*", "ether"),
            ("*1", "ether11"),
            ("e*r*1", "ether1"),
            ("**", "ä"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("ether1", "ether11"),
            ("", "a"),
            ("*2", "ether1"),
            ("e*x*", "ether"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
