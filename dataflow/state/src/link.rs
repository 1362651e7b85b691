//! The link machine: one client at one radio. Pure steps on one [`Link`]; who calls them and in which order is the radio's
//! business.
//!
//! | state | seen | missing | access point offline | roamed | timer |
//! |---|---|---|---|---|---|
//! | none | discovered; entry if confirmed; stale if roamed | | | | |
//! | discovered | entry at `confirm_tables` or if confirmed | down at `down_tables` | down | stale | |
//! | active | degraded at `degrade_tables` bad ones | degraded at `losses`, down at `down_tables` | down | stale | |
//! | degraded | active at `recover_tables` good ones without a loss | down at `down_tables` | down | stale | |
//! | down | entry | | | stale | stale after `stale_after` |
//! | stale | discovered, unless roamed | | | | forgotten after `forget_after` |
//!
//! *Entry* is active, or degraded at once if the row is bad or losses are many.

use mast_schemas::Timestamp;
use mast_schemas::checkpoint::LinkRecord;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkReason, LinkState};
use smallvec::SmallVec;

use crate::absences::Absences;
use crate::compact::{Instant, Mac48};
use crate::heard::Heard;
use crate::messages::{ClientRow, Sample};
use crate::radio::Reporter;

/// What of a link others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) since: Instant,
    pub(crate) discovered_at: Instant,
    /// Number of the reporter at the radio.
    pub(crate) reporter: u16,
    pub(crate) state: LinkState,
    pub(crate) reason: LinkReason,
    pub(crate) roamed: bool,
    pub(crate) ambiguous: bool,
}

/// A link: 48 bytes. What few links have stands in the [`Absences`] of its radio.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    since: Instant,
    discovered_at: Instant,
    began: Instant,
    heard: Heard,
    pub(crate) mac: Mac48,
    reporter: u16,
    signal: Signal,
    status: Status,
    reason: LinkReason,
    /// Tables in a row: while discovered those that show it, while active the bad ones, while degraded the good ones.
    run: u8,
    pub(crate) miss_run: u8,
}

/// The state of a link and its flags, in a byte.
#[derive(Clone, Copy, Debug)]
struct Status(u8);

/// Its client's live association is elsewhere.
const ROAMED: u8 = 1 << 3;
/// Its client's address is ambiguous.
const AMBIGUOUS: u8 = 1 << 4;
/// The latest table had a bad row of it; what a station's word then decides by.
const BAD: u8 = 1 << 5;
/// The latest table of its reporter lacks it: [`Absences`] say since when.
const DEPARTED: u8 = 1 << 6;

impl Status {
    /// The place of a state in [`LinkState::ALL`].
    const STATE: u8 = 0b111;

    fn state(self) -> LinkState {
        let state = LinkState::ALL.get(usize::from(self.0 & Self::STATE));
        state.copied().unwrap_or(LinkState::Stale)
    }

    const fn set_state(&mut self, state: LinkState) {
        self.0 = self.0 & !Self::STATE | state as u8;
    }

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    const fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

/// A signal in dBm that may be absent, in two bytes: no radio hears so little as the value that says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal(i16);

impl Signal {
    const NONE: Self = Self(i16::MIN);

    pub(crate) const fn get(self) -> Option<i16> {
        if self.0 == i16::MIN {
            None
        } else {
            Some(self.0)
        }
    }
}

impl From<Option<i16>> for Signal {
    fn from(dbm: Option<i16>) -> Self {
        dbm.map_or(Self::NONE, Self)
    }
}

/// A change of state: from, to, when, why.
pub(crate) type Change = (Option<LinkState>, Option<LinkState>, Timestamp, LinkReason);

/// The changes that one step makes: seldom any, at most two.
pub(crate) type Changes = SmallVec<[Change; 2]>;

fn bad(sample: &Sample, t: &Thresholds) -> bool {
    sample
        .signal_dbm
        .is_some_and(|dbm| dbm < t.degraded_signal_dbm)
        || sample
            .tx_ccq_percent
            .is_some_and(|ccq| ccq < t.degraded_ccq_percent)
}

fn good(sample: &Sample, t: &Thresholds) -> bool {
    sample
        .signal_dbm
        .is_none_or(|dbm| dbm >= t.active_signal_dbm)
        && sample
            .tx_ccq_percent
            .is_none_or(|ccq| ccq >= t.active_ccq_percent)
}

impl Link {
    /// A link that its first row makes.
    pub(crate) fn new(
        row: &ClientRow,
        at: Timestamp,
        reporter: u16,
        (roamed, ambiguous): (bool, bool),
        confirmed: bool,
        (absences, t): (&mut Absences, &Thresholds),
    ) -> (Self, Changes) {
        let mut link = Self {
            since: at.into(),
            discovered_at: at.into(),
            began: row.began.into(),
            heard: Heard::default(),
            mac: row.mac.into(),
            reporter,
            signal: Signal::NONE,
            status: Status(0),
            reason: LinkReason::Seen,
            run: 0,
            miss_run: 0,
        };
        link.status.set_state(LinkState::Discovered);
        link.status.set(ROAMED, roamed);
        link.status.set(AMBIGUOUS, ambiguous);
        let mut changes = Changes::new();
        link.take(row, absences, t);
        if roamed {
            link.status.set_state(LinkState::Stale);
            link.reason = LinkReason::Roamed;
            changes.push((None, Some(LinkState::Stale), at, LinkReason::Roamed));
        } else {
            changes.push((None, Some(LinkState::Discovered), at, LinkReason::Seen));
            link.seen_again(at, confirmed, (absences, t), &mut changes);
        }
        (link, changes)
    }

    /// What others see.
    pub(crate) fn head(&self) -> Head {
        Head {
            since: self.since,
            discovered_at: self.discovered_at,
            reporter: self.reporter,
            state: self.state(),
            reason: self.reason,
            roamed: self.roamed(),
            ambiguous: self.ambiguous(),
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.status.state()
    }

    /// Number of the reporter at the radio.
    pub(crate) const fn reporter(&self) -> u16 {
        self.reporter
    }

    pub(crate) const fn roamed(&self) -> bool {
        self.status.has(ROAMED)
    }

    pub(crate) const fn ambiguous(&self) -> bool {
        self.status.has(AMBIGUOUS)
    }

    /// The latest table of its reporter lacks it.
    pub(crate) const fn departed(&self) -> bool {
        self.status.has(DEPARTED)
    }

    /// Begin of its association.
    pub(crate) fn began(&self) -> Timestamp {
        self.began.into()
    }

    /// Latest signal that was not null.
    pub(crate) const fn signal(&self) -> Option<i16> {
        self.signal.get()
    }

    /// What it adds to its place's signals.
    pub(crate) fn live_signal(&self) -> Option<i16> {
        if self.state().live() {
            self.signal()
        } else {
            None
        }
    }

    fn take(&mut self, row: &ClientRow, absences: &mut Absences, t: &Thresholds) {
        self.began = row.began.into();
        if self.departed() {
            self.status.set(DEPARTED, false);
            absences.come_back(self.mac);
        }
        self.miss_run = 0;
        self.status.set(BAD, bad(&row.sample, t));
        if let Some(dbm) = row.sample.signal_dbm {
            self.signal = Signal(dbm);
        }
    }

    fn enter(&mut self, to: LinkState, at: Timestamp, reason: LinkReason, changes: &mut Changes) {
        changes.push((Some(self.state()), Some(to), at, reason));
        self.status.set_state(to);
        (self.since, self.reason, self.run) = (at.into(), reason, 0);
    }

    /// Losses within the window of `at`.
    fn losses(&self, at: Timestamp, absences: &Absences, t: &Thresholds) -> usize {
        let losses = absences.losses(self.mac);
        losses.filter(|loss| *loss > at - t.loss_window).count()
    }

    fn entry(
        &mut self,
        at: Timestamp,
        trigger: LinkReason,
        (absences, t): (&Absences, &Thresholds),
        changes: &mut Changes,
    ) {
        let (to, reason) = if self.status.has(BAD) {
            (LinkState::Degraded, LinkReason::Signal)
        } else if self.losses(at, absences, t) >= usize::from(t.losses) {
            (LinkState::Degraded, LinkReason::Losses)
        } else {
            (LinkState::Active, trigger)
        };
        self.enter(to, at, reason, changes);
    }

    /// One more table in a row shows it while it is discovered.
    fn seen_again(
        &mut self,
        at: Timestamp,
        confirmed: bool,
        by: (&Absences, &Thresholds),
        changes: &mut Changes,
    ) {
        self.run = self.run.saturating_add(1);
        if self.run >= by.1.confirm_tables {
            self.entry(at, LinkReason::Confirmed, by, changes);
        } else if confirmed {
            self.entry(at, LinkReason::ConfirmedByStation, by, changes);
        }
    }

    /// Another reporter shows it from now on.
    pub(crate) fn change_reporter(&mut self, reporter: u16) {
        (self.reporter, self.run) = (reporter, 0);
    }

    /// The table has it.
    pub(crate) fn seen(
        &mut self,
        row: &ClientRow,
        at: Timestamp,
        confirmed: bool,
        (absences, t): (&mut Absences, &Thresholds),
    ) -> Changes {
        let mut changes = Changes::new();
        self.take(row, absences, t);
        let by = (&*absences, t);
        match self.state() {
            LinkState::Discovered => self.seen_again(at, confirmed, by, &mut changes),
            LinkState::Active => {
                self.count(self.status.has(BAD));
                if self.run >= t.degrade_tables {
                    self.enter(LinkState::Degraded, at, LinkReason::Signal, &mut changes);
                }
            }
            LinkState::Degraded => {
                self.count(good(&row.sample, t));
                if self.run >= t.recover_tables && self.losses(at, absences, t) == 0 {
                    self.enter(LinkState::Active, at, LinkReason::Recovered, &mut changes);
                }
            }
            LinkState::Down => self.entry(at, LinkReason::Returned, by, &mut changes),
            LinkState::Stale if self.roamed() => {}
            LinkState::Stale => {
                self.enter(LinkState::Discovered, at, LinkReason::Seen, &mut changes);
                self.seen_again(at, confirmed, by, &mut changes);
            }
        }
        changes
    }

    /// One more table of its run, or the end of it.
    const fn count(&mut self, goes_on: bool) {
        self.run = if goes_on {
            self.run.saturating_add(1)
        } else {
            0
        };
    }

    /// A table showed it, so: a sample for its trend, which covers so much time. True if it counts.
    pub(crate) fn hear(&mut self, row: &ClientRow, interval_ms: u32) -> bool {
        let says = !matches!(self.state(), LinkState::Down | LinkState::Stale);
        let Some(dbm) = row.sample.signal_dbm.filter(|_| says && !self.ambiguous()) else {
            return false;
        };
        self.heard.add(dbm, interval_ms);
        true
    }

    /// Whether it has samples of the hour.
    pub(crate) fn was_heard(&self) -> bool {
        self.heard != Heard::default()
    }

    /// Ends the hour: mean, hundredths of dBm, and minutes covered, if they say something.
    pub(crate) fn end_hour(&mut self) -> Option<(i16, u8)> {
        std::mem::take(&mut self.heard).piece()
    }

    /// Its reporter's whole table lacks it.
    pub(crate) fn missing(
        &mut self,
        at: Timestamp,
        absences: &mut Absences,
        t: &Thresholds,
    ) -> Changes {
        let mut changes = Changes::new();
        self.miss_run = self.miss_run.saturating_add(1);
        self.status.set(BAD, false);
        if !self.departed() {
            self.status.set(DEPARTED, true);
            absences.depart(self.mac, at);
        }
        self.run = 0;
        if self.miss_run == 1 && self.state().live() {
            absences.lose(self.mac, at, usize::from(t.losses));
        }
        if self.state() == LinkState::Active
            && self.losses(at, absences, t) >= usize::from(t.losses)
        {
            self.enter(LinkState::Degraded, at, LinkReason::Losses, &mut changes);
        }
        let gone = matches!(self.state(), LinkState::Down | LinkState::Stale);
        if self.miss_run >= t.down_tables && !gone {
            self.enter(LinkState::Down, at, LinkReason::Lost, &mut changes);
        }
        changes
    }

    /// Its access point went offline.
    pub(crate) fn ap_offline(&mut self, at: Timestamp) -> Changes {
        let mut changes = Changes::new();
        if !matches!(self.state(), LinkState::Down | LinkState::Stale) {
            self.enter(LinkState::Down, at, LinkReason::ApOffline, &mut changes);
            self.miss_run = 0;
        }
        changes
    }

    /// A verdict of the roam step.
    pub(crate) fn verdict(&mut self, at: Timestamp, roamed: bool, ambiguous: bool) -> Changes {
        let mut changes = Changes::new();
        self.status.set(ROAMED, roamed);
        self.status.set(AMBIGUOUS, ambiguous);
        if roamed && self.state() != LinkState::Stale {
            self.enter(LinkState::Stale, at, LinkReason::Roamed, &mut changes);
        }
        changes
    }

    /// Its association was dropped after a long absence.
    pub(crate) fn expire(&mut self, due: Timestamp) -> Changes {
        let mut changes = Changes::new();
        if !matches!(self.state(), LinkState::Down | LinkState::Stale) {
            self.enter(LinkState::Stale, due, LinkReason::Expired, &mut changes);
        }
        changes
    }

    /// Its station's word came; `confirms` if it is not older than the association.
    pub(crate) fn station(
        &mut self,
        at: Timestamp,
        confirms: bool,
        by: (&Absences, &Thresholds),
    ) -> Changes {
        let mut changes = Changes::new();
        if confirms && self.state() == LinkState::Discovered && self.miss_run == 0 {
            self.entry(at, LinkReason::ConfirmedByStation, by, &mut changes);
        }
        changes
    }

    /// Its next timer: when, and whether it forgets the link.
    pub(crate) fn due(&self, t: &Thresholds) -> Option<(Timestamp, bool)> {
        let since = Timestamp::from(self.since);
        match self.state() {
            LinkState::Down => Some((since + t.stale_after, false)),
            LinkState::Stale if self.roamed() && !self.departed() => None,
            LinkState::Stale => Some((since + t.forget_after, true)),
            _ => None,
        }
    }

    /// Fires its timers due ≤ `until`; true if it is forgotten.
    pub(crate) fn fire(&mut self, until: Timestamp, t: &Thresholds) -> (Changes, bool) {
        let mut changes = Changes::new();
        while let Some((due, forget)) = self.due(t).filter(|next| next.0 <= until) {
            if forget {
                changes.push(self.forgotten(due));
                return (changes, true);
            }
            self.enter(LinkState::Stale, due, LinkReason::Expired, &mut changes);
        }
        (changes, false)
    }

    /// The change that forgets it.
    pub(crate) fn forgotten(&self, at: Timestamp) -> Change {
        (Some(self.state()), None, at, LinkReason::Forgotten)
    }

    /// As a record; who reports is the radio's to say.
    pub(crate) fn record(&self, reporter: &Reporter, absences: &Absences) -> LinkRecord {
        let run = |state| if self.state() == state { self.run } else { 0 };
        LinkRecord {
            mac: self.mac.into(),
            state: self.state(),
            since: self.since.into(),
            reason: self.reason,
            discovered_at: self.discovered_at.into(),
            reporter: reporter.device,
            source: reporter.source,
            began_at: self.began(),
            seen_run: run(LinkState::Discovered),
            // While discovered there is no run of bad tables: it holds whether the latest one was.
            bad_run: if self.state() == LinkState::Discovered {
                u8::from(self.status.has(BAD))
            } else {
                run(LinkState::Active)
            },
            good_run: run(LinkState::Degraded),
            miss_run: self.miss_run,
            losses: absences.losses(self.mac).collect(),
            roamed: self.roamed(),
            ambiguous: self.ambiguous(),
            signal_dbm: self.signal(),
            departed_at: absences.departed_at(self.mac),
            heard: self.heard.record(),
        }
    }

    /// From a record.
    pub(crate) fn restore(record: &LinkRecord, reporter: u16, absences: &mut Absences) -> Self {
        let mac = Mac48::from(record.mac);
        for loss in &record.losses {
            absences.lose(mac, *loss, record.losses.len());
        }
        if let Some(at) = record.departed_at {
            absences.depart(mac, at);
        }
        let discovered = record.state == LinkState::Discovered;
        let mut status = Status(0);
        status.set_state(record.state);
        status.set(ROAMED, record.roamed);
        status.set(AMBIGUOUS, record.ambiguous);
        status.set(BAD, discovered && record.bad_run > 0);
        status.set(DEPARTED, record.departed_at.is_some());
        Self {
            since: record.since.into(),
            discovered_at: record.discovered_at.into(),
            began: record.began_at.into(),
            heard: record.heard.into(),
            mac,
            reporter,
            signal: record.signal_dbm.into(),
            status,
            reason: record.reason,
            run: match record.state {
                LinkState::Discovered => record.seen_run,
                LinkState::Active => record.bad_run,
                LinkState::Degraded => record.good_run,
                LinkState::Down | LinkState::Stale => 0,
            },
            miss_run: record.miss_run,
        }
    }
}

#[cfg(test)]
mod tests;
