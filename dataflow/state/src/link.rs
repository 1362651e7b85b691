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

use crate::compact::{Mac48, Maybe};
use crate::heard::Heard;
use crate::messages::{ClientRow, Sample};

/// What of a link others see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) since: Timestamp,
    pub(crate) discovered_at: Timestamp,
    /// Number of the reporter at the radio.
    pub(crate) reporter: u16,
    pub(crate) state: LinkState,
    pub(crate) reason: LinkReason,
    pub(crate) roamed: bool,
    pub(crate) ambiguous: bool,
}

/// A link: 72 bytes; losses, which few links have, are boxed.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) head: Head,
    pub(crate) began: Timestamp,
    pub(crate) departed_at: Maybe,
    #[expect(
        clippy::box_collection,
        reason = "8 bytes instead of 24 for the links without losses"
    )]
    losses: Option<Box<Vec<Timestamp>>>,
    pub(crate) mac: Mac48,
    signal: i16,
    /// The latest table had a bad row of it; what a station's word then decides by.
    pub(crate) bad: bool,
    seen_run: u8,
    bad_run: u8,
    good_run: u8,
    pub(crate) miss_run: u8,
    heard: Heard,
}

/// A signal that is null.
pub(crate) const NO_SIGNAL: i16 = i16::MIN;

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
        t: &Thresholds,
    ) -> (Self, Changes) {
        let (state, reason) = (LinkState::Discovered, LinkReason::Seen);
        let head = Head {
            since: at,
            discovered_at: at,
            reporter,
            state,
            reason,
            roamed,
            ambiguous,
        };
        let mut link = Self {
            head,
            began: row.began,
            departed_at: Maybe::NONE,
            losses: None,
            mac: row.mac.into(),
            signal: NO_SIGNAL,
            bad: false,
            seen_run: 0,
            bad_run: 0,
            good_run: 0,
            miss_run: 0,
            heard: Heard::default(),
        };
        let mut changes = Changes::new();
        link.take(row, t);
        if roamed {
            (link.head.state, link.head.reason) = (LinkState::Stale, LinkReason::Roamed);
            changes.push((None, Some(LinkState::Stale), at, LinkReason::Roamed));
        } else {
            changes.push((None, Some(state), at, reason));
            link.discovered(at, confirmed, t, &mut changes);
        }
        (link, changes)
    }

    /// Latest signal that was not null.
    pub(crate) const fn signal(&self) -> Option<i16> {
        if self.signal == NO_SIGNAL {
            None
        } else {
            Some(self.signal)
        }
    }

    /// What it adds to its place's signals.
    pub(crate) const fn live_signal(&self) -> Option<i16> {
        if self.head.state.live() {
            self.signal()
        } else {
            None
        }
    }

    fn take(&mut self, row: &ClientRow, t: &Thresholds) {
        self.began = row.began;
        self.departed_at = Maybe::NONE;
        self.miss_run = 0;
        self.bad = bad(&row.sample, t);
        if let Some(dbm) = row.sample.signal_dbm {
            self.signal = dbm;
        }
    }

    fn enter(&mut self, to: LinkState, at: Timestamp, reason: LinkReason, changes: &mut Changes) {
        changes.push((Some(self.head.state), Some(to), at, reason));
        (self.head.state, self.head.since, self.head.reason) = (to, at, reason);
        self.reset_runs();
    }

    fn reset_runs(&mut self) {
        (self.seen_run, self.bad_run, self.good_run) = (0, 0, 0);
    }

    /// Losses within the window of `at`.
    fn losses(&self, at: Timestamp, t: &Thresholds) -> usize {
        let Some(losses) = &self.losses else { return 0 };
        losses
            .iter()
            .filter(|loss| **loss > at - t.loss_window)
            .count()
    }

    fn too_many_losses(&self, at: Timestamp, t: &Thresholds) -> bool {
        self.losses(at, t) >= usize::from(t.losses)
    }

    fn entry(&mut self, at: Timestamp, trigger: LinkReason, t: &Thresholds, changes: &mut Changes) {
        let (to, reason) = if self.bad {
            (LinkState::Degraded, LinkReason::Signal)
        } else if self.too_many_losses(at, t) {
            (LinkState::Degraded, LinkReason::Losses)
        } else {
            (LinkState::Active, trigger)
        };
        self.enter(to, at, reason, changes);
    }

    /// Just entered discovered: the first table of its run.
    fn discovered(
        &mut self,
        at: Timestamp,
        confirmed: bool,
        t: &Thresholds,
        changes: &mut Changes,
    ) {
        self.seen_run = 0;
        self.seen_again(at, confirmed, t, changes);
    }

    fn seen_again(
        &mut self,
        at: Timestamp,
        confirmed: bool,
        t: &Thresholds,
        changes: &mut Changes,
    ) {
        self.seen_run = self.seen_run.saturating_add(1);
        if self.seen_run >= t.confirm_tables {
            self.entry(at, LinkReason::Confirmed, t, changes);
        } else if confirmed {
            self.entry(at, LinkReason::ConfirmedByStation, t, changes);
        }
    }

    /// Another reporter shows it from now on.
    pub(crate) fn change_reporter(&mut self, reporter: u16) {
        self.head.reporter = reporter;
        self.reset_runs();
    }

    /// The table has it.
    pub(crate) fn seen(
        &mut self,
        row: &ClientRow,
        at: Timestamp,
        confirmed: bool,
        t: &Thresholds,
    ) -> Changes {
        let mut changes = Changes::new();
        self.take(row, t);
        match self.head.state {
            LinkState::Discovered => self.seen_again(at, confirmed, t, &mut changes),
            LinkState::Active => {
                self.bad_run = if self.bad {
                    self.bad_run.saturating_add(1)
                } else {
                    0
                };
                if self.bad_run >= t.degrade_tables {
                    self.enter(LinkState::Degraded, at, LinkReason::Signal, &mut changes);
                }
            }
            LinkState::Degraded => {
                let good = good(&row.sample, t);
                self.good_run = if good {
                    self.good_run.saturating_add(1)
                } else {
                    0
                };
                if self.good_run >= t.recover_tables && self.losses(at, t) == 0 {
                    self.enter(LinkState::Active, at, LinkReason::Recovered, &mut changes);
                }
            }
            LinkState::Down => self.entry(at, LinkReason::Returned, t, &mut changes),
            LinkState::Stale if self.head.roamed => {}
            LinkState::Stale => {
                self.enter(LinkState::Discovered, at, LinkReason::Seen, &mut changes);
                self.discovered(at, confirmed, t, &mut changes);
            }
        }
        changes
    }

    /// A table showed it, so: a sample for its trend, which covers so much time. True if it counts.
    pub(crate) fn hear(&mut self, row: &ClientRow, interval_ms: u32) -> bool {
        let says = !matches!(self.head.state, LinkState::Down | LinkState::Stale);
        let Some(dbm) = row
            .sample
            .signal_dbm
            .filter(|_| says && !self.head.ambiguous)
        else {
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
    pub(crate) fn missing(&mut self, at: Timestamp, t: &Thresholds) -> Changes {
        let mut changes = Changes::new();
        self.miss_run = self.miss_run.saturating_add(1);
        self.bad = false;
        if self.departed_at == Maybe::NONE {
            self.departed_at = Some(at).into();
        }
        self.reset_runs();
        if self.miss_run == 1 && self.head.state.live() {
            self.lose(at, t);
        }
        if self.head.state == LinkState::Active && self.too_many_losses(at, t) {
            self.enter(LinkState::Degraded, at, LinkReason::Losses, &mut changes);
        }
        let gone = matches!(self.head.state, LinkState::Down | LinkState::Stale);
        if self.miss_run >= t.down_tables && !gone {
            self.enter(LinkState::Down, at, LinkReason::Lost, &mut changes);
        }
        changes
    }

    fn lose(&mut self, at: Timestamp, t: &Thresholds) {
        let losses = self.losses.get_or_insert_default();
        losses.push(at);
        let surplus = losses.len().saturating_sub(usize::from(t.losses));
        losses.drain(..surplus);
    }

    /// Its access point went offline.
    pub(crate) fn ap_offline(&mut self, at: Timestamp) -> Changes {
        let mut changes = Changes::new();
        if !matches!(self.head.state, LinkState::Down | LinkState::Stale) {
            self.enter(LinkState::Down, at, LinkReason::ApOffline, &mut changes);
            self.miss_run = 0;
        }
        changes
    }

    /// A verdict of the roam step.
    pub(crate) fn verdict(&mut self, at: Timestamp, roamed: bool, ambiguous: bool) -> Changes {
        let mut changes = Changes::new();
        (self.head.roamed, self.head.ambiguous) = (roamed, ambiguous);
        if roamed && self.head.state != LinkState::Stale {
            self.enter(LinkState::Stale, at, LinkReason::Roamed, &mut changes);
        }
        changes
    }

    /// Its association was dropped after a long absence.
    pub(crate) fn expire(&mut self, due: Timestamp) -> Changes {
        let mut changes = Changes::new();
        if !matches!(self.head.state, LinkState::Down | LinkState::Stale) {
            self.enter(LinkState::Stale, due, LinkReason::Expired, &mut changes);
        }
        changes
    }

    /// Its station's word came; `confirms` if it is not older than the association.
    pub(crate) fn station(&mut self, at: Timestamp, confirms: bool, t: &Thresholds) -> Changes {
        let mut changes = Changes::new();
        if confirms && self.head.state == LinkState::Discovered && self.miss_run == 0 {
            self.entry(at, LinkReason::ConfirmedByStation, t, &mut changes);
        }
        changes
    }

    /// Its next timer: when, and whether it forgets the link.
    pub(crate) fn due(&self, t: &Thresholds) -> Option<(Timestamp, bool)> {
        match self.head.state {
            LinkState::Down => Some((self.head.since + t.stale_after, false)),
            LinkState::Stale if self.head.roamed && self.departed_at == Maybe::NONE => None,
            LinkState::Stale => Some((self.head.since + t.forget_after, true)),
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
    pub(crate) const fn forgotten(&self, at: Timestamp) -> Change {
        (Some(self.head.state), None, at, LinkReason::Forgotten)
    }

    /// As a record; who reports is the radio's to say.
    pub(crate) fn record(&self, reporter: &crate::radio::Reporter) -> LinkRecord {
        LinkRecord {
            mac: self.mac.into(),
            state: self.head.state,
            since: self.head.since,
            reason: self.head.reason,
            discovered_at: self.head.discovered_at,
            reporter: reporter.device,
            source: reporter.source,
            began_at: self.began,
            seen_run: self.seen_run,
            // While discovered there is no run of bad tables: it holds whether the latest one was.
            bad_run: if self.head.state == LinkState::Discovered {
                u8::from(self.bad)
            } else {
                self.bad_run
            },
            good_run: self.good_run,
            miss_run: self.miss_run,
            losses: self.losses.as_deref().cloned().unwrap_or_default(),
            roamed: self.head.roamed,
            ambiguous: self.head.ambiguous,
            signal_dbm: self.signal(),
            departed_at: self.departed_at.get(),
            heard: self.heard.record(),
        }
    }

    /// From a record.
    pub(crate) fn restore(record: LinkRecord, reporter: u16) -> Self {
        let discovered = record.state == LinkState::Discovered;
        Self {
            head: Head {
                since: record.since,
                discovered_at: record.discovered_at,
                reporter,
                state: record.state,
                reason: record.reason,
                roamed: record.roamed,
                ambiguous: record.ambiguous,
            },
            began: record.began_at,
            departed_at: record.departed_at.into(),
            losses: (!record.losses.is_empty()).then(|| Box::new(record.losses)),
            mac: record.mac.into(),
            signal: record.signal_dbm.unwrap_or(NO_SIGNAL),
            bad: discovered && record.bad_run > 0,
            seen_run: record.seen_run,
            bad_run: if discovered { 0 } else { record.bad_run },
            good_run: record.good_run,
            miss_run: record.miss_run,
            heard: record.heard.into(),
        }
    }
}

#[cfg(test)]
mod tests;
