//! A radio with its links: one pass over a whole table, merged with the stored links, both by rising MAC. Nothing is
//! allocated for a row that changes nothing.

mod marks;
mod records;
mod step;

use std::sync::Arc;

use mast_schemas::records::{PollId, Source};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::LinkGauge;
use mast_schemas::{DeviceId, LinkId, Mac, Timestamp};

use crate::absences::Absences;
use crate::compact::{Instant, Mac48, insert_tight, make_room, push_tight};
use crate::link::{Link, Signal};
use crate::messages::{
    ClientRow, LinkCore, Piece, RadioTable, RoamVerdict, Stamp, StationFact, StationSignal,
};
use crate::radio::marks::Marks;
pub(crate) use crate::radio::step::{ApSeen, Bins, Step};
use crate::radio::step::{Shared, Was};

/// A radio of an access point.
#[derive(Debug)]
pub(crate) struct Radio {
    pub(crate) mac: Mac,
    interface: Arc<str>,
    /// By rising MAC.
    links: Vec<Link>,
    absences: Absences,
    /// What stations say, by rising MAC.
    words: Vec<Word>,
    reporters: Vec<Reporter>,
    marks: Marks,
    acted: Option<Box<Acted>>,
}

/// The poll of the newest verdicts, and the clients they were on: their timers fired before them, once a poll.
#[derive(Debug)]
struct Acted {
    poll: (DeviceId, PollId),
    on: Vec<Mac48>,
}

/// Who shows links of a radio.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) device: DeviceId,
    pub(crate) source: Source,
    pub(crate) unobserved: bool,
}

/// A station's word: 32 bytes, as there may be one for every link.
#[derive(Clone, Copy, Debug)]
struct Word {
    device: DeviceId,
    at: Instant,
    mac: Mac48,
    signal: Signal,
}

macro_rules! shared {
    ($radio:ident) => {
        Shared {
            mac: $radio.mac,
            interface: &$radio.interface,
            reporters: &$radio.reporters,
        }
    };
}

impl Radio {
    pub(crate) fn new(mac: Mac) -> Self {
        Self {
            mac,
            interface: "".into(),
            links: Vec::new(),
            absences: Absences::default(),
            words: Vec::new(),
            reporters: Vec::new(),
            marks: Marks::default(),
            acted: None,
        }
    }

    /// A link as others see it now, at its access point.
    pub(crate) fn core(&self, ap: ApSeen, mac: Mac) -> Option<LinkCore> {
        let i = self.find(mac.into()).ok()?;
        Some(shared!(self).core(ap, self.links[i].head()))
    }

    fn find(&self, mac: Mac48) -> Result<usize, usize> {
        self.links.binary_search_by_key(&mac, |link| link.mac)
    }

    /// Notes each link before something that all of them show changes.
    pub(crate) fn remember_all(&self, step: &mut Step<'_>) {
        for link in &self.links {
            let id = step.id(self.mac, link.mac.into());
            if !step.before.contains_key(&id) {
                let core = shared!(self).core(step.ap_seen(), link.head());
                step.before.insert(id, Some(core));
            }
        }
    }

    /// A whole table of one reporter.
    pub(crate) fn table(&mut self, step: &mut Step<'_>, table: &RadioTable) {
        let reporter = self.reporter(step, table);
        let at = table.stamp.at;
        let limits = step
            .limits
            .map(|limits| limits.thresholds(table.source, step.t));
        let judged = limits.as_ref().unwrap_or(step.t);
        let shared = shared!(self);
        let mut fresh: Vec<Link> = Vec::new();
        let mut words = self.words.iter().peekable();
        let mut links = self.links.iter_mut().peekable();
        let mut departed = 0usize;
        let absences = &mut self.absences;
        let mut miss = |link: &mut Link, step: &mut Step<'_>, absences: &mut Absences| {
            if link.reporter() == reporter {
                let was = Was::of(link);
                let changes = link.missing(at, absences, step.t);
                shared.settle(step, link, was, &changes);
            }
            departed += usize::from(link.departed());
        };
        for row in &table.rows {
            let mac = Mac48::from(row.mac);
            while let Some(link) = links.next_if(|link| link.mac < mac) {
                miss(link, step, absences);
            }
            while words.next_if(|word| word.mac < mac).is_some() {}
            let word = words.peek().filter(|word| word.mac == mac);
            let confirmed = word.is_some_and(|word| word.confirms(row.began, step.t));
            let (was, changes);
            let link = match links.next_if(|link| link.mac == mac) {
                Some(link) => {
                    if link.reporter() != reporter && !shows(link, row, step.t) {
                        continue;
                    }
                    was = Was::of(link);
                    if link.reporter() != reporter {
                        link.change_reporter(reporter);
                    }
                    changes = link.seen(row, at, confirmed, (absences, judged));
                    link
                }
                None => {
                    let marks = self.marks.of(mac);
                    let made = Link::new(row, at, reporter, marks, confirmed, (absences, judged));
                    (was, changes) = (Was::NONE, made.1);
                    fresh.push(made.0);
                    let last = fresh.len() - 1;
                    &mut fresh[last]
                }
            };
            shared.settle(step, link, was, &changes);
            step.heard |= link.hear(row, table.interval_ms);
            let station = word.and_then(|word| word.signal.get());
            step.out
                .gauges
                .push(gauge(step.id(self.mac, row.mac), at, row, station));
        }
        links.for_each(|link| miss(link, step, absences));
        if !fresh.is_empty() {
            make_room(&mut self.links, fresh.len());
            self.links.append(&mut fresh);
            self.links.sort_by_key(|link| link.mac);
        }
        let links = &self.links;
        self.marks
            .passed(|mac| links.binary_search_by_key(&mac, |link| link.mac).is_ok());
        self.cap(step, at, table.rows.len(), departed);
    }

    /// The reporter's number; takes its interface as the radio's.
    fn reporter(&mut self, step: &mut Step<'_>, table: &RadioTable) -> u16 {
        let i = self.reporter_number(table.reporter, table.source);
        if table.interface != self.interface {
            self.remember_all(step);
            self.interface = Arc::clone(&table.interface);
        }
        i
    }

    fn reporter_number(&mut self, device: DeviceId, source: Source) -> u16 {
        let same = |r: &Reporter| r.device == device && r.source == source;
        let i = self.reporters.iter().position(same).unwrap_or_else(|| {
            let unobserved = self
                .reporters
                .iter()
                .any(|r| r.device == device && r.unobserved);
            let fresh = Reporter {
                device,
                source,
                unobserved,
            };
            push_tight(&mut self.reporters, fresh);
            self.reporters.len() - 1
        });
        u16::try_from(i).unwrap_or(u16::MAX)
    }

    /// Forgets departed links beyond what the radio keeps, oldest first.
    fn cap(&mut self, step: &mut Step<'_>, at: Timestamp, clients: usize, departed: usize) {
        let factor = step.t.departed_factor as usize;
        let keep = (step.t.departed_least as usize).max(factor.saturating_mul(clients));
        let Some(surplus) = departed.checked_sub(keep).filter(|surplus| *surplus > 0) else {
            return;
        };
        let mut oldest: Vec<_> = self.absences.departed().collect();
        oldest.sort_unstable();
        let Some(&last) = oldest.get(surplus - 1) else {
            return;
        };
        let shared = shared!(self);
        let (absences, marks) = (&mut self.absences, &mut self.marks);
        self.links.retain(|link| {
            let departed = absences.departed_at(link.mac);
            let goes = departed.is_some_and(|since| (since, link.mac) <= last);
            if goes {
                shared.forget(step, link, Was::of(link), &[link.forgotten(at)]);
                absences.forget(link.mac);
                if shared.shown_by_others(step, link) {
                    marks.keep(link.mac, link.roamed(), link.ambiguous());
                }
            }
            !goes
        });
    }

    /// Fires the timers of one link, or of all, due ≤ `until`.
    pub(crate) fn fire(&mut self, step: &mut Step<'_>, until: Timestamp, only: Option<Mac>) {
        let only = only.map(Mac48::from);
        let shared = shared!(self);
        let acted_on = self.acted.as_ref().map_or(&[][..], |acted| &acted.on);
        let marks = &mut self.marks;
        let absences = &mut self.absences;
        self.links.retain_mut(|link| {
            if only.is_some_and(|only| only != link.mac) || acted_on.contains(&link.mac) {
                return true;
            }
            let was = Was::of(link);
            let (changes, forgotten) = link.fire(until, step.t);
            if forgotten {
                shared.forget(step, link, was, &changes);
                absences.forget(link.mac);
                if shared.shown_by_others(step, link) {
                    marks.keep(link.mac, link.roamed(), link.ambiguous());
                }
            } else {
                shared.settle(step, link, was, &changes);
            }
            !forgotten
        });
    }

    /// Forgets which links the verdicts of another poll acted on.
    pub(crate) fn begin_poll(&mut self, stamp: &Stamp) {
        let poll = (stamp.device, stamp.poll);
        if self.acted.as_ref().is_some_and(|acted| acted.poll != poll) {
            self.acted = None;
        }
    }

    /// The access point went offline.
    pub(crate) fn offline(&mut self, step: &mut Step<'_>, at: Timestamp) {
        let shared = shared!(self);
        for link in &mut self.links {
            let was = Was::of(link);
            let changes = link.ap_offline(at);
            shared.settle(step, link, was, &changes);
        }
    }

    /// A verdict on one client; kept for the poll's table if the link is not there yet.
    pub(crate) fn verdict(&mut self, step: &mut Step<'_>, verdict: &RoamVerdict, at: Timestamp) {
        let mac = Mac48::from(verdict.mac);
        let Ok(i) = self.find(mac) else {
            self.marks.say(mac, verdict.roamed, verdict.ambiguous);
            return;
        };
        let acted = self.acted.get_or_insert_with(|| {
            Box::new(Acted {
                poll: (verdict.stamp.device, verdict.stamp.poll),
                on: Vec::new(),
            })
        });
        acted.on.push(mac);
        let shared = shared!(self);
        let link = &mut self.links[i];
        let was = Was::of(link);
        let mut changes = link.verdict(at, verdict.roamed, verdict.ambiguous);
        if verdict.expired {
            changes.extend(link.expire(at));
        }
        shared.settle(step, link, was, &changes);
    }

    /// No poll is under way; true if no table ever reached the radio.
    pub(crate) fn end_polls(&mut self) -> bool {
        self.acted = None;
        self.links.is_empty() && self.reporters.is_empty() && self.interface.is_empty()
    }

    /// A station's word, or its end.
    pub(crate) fn station(&mut self, step: &mut Step<'_>, fact: &StationFact, at: Timestamp) {
        let mac = Mac48::from(fact.mac);
        let found = self.words.binary_search_by_key(&mac, |word| word.mac);
        let Some(StationSignal(signal)) = fact.signal else {
            if let Ok(i) = found
                && self.words[i].device == fact.device
            {
                self.words.remove(i);
            }
            return;
        };
        let word = Word {
            device: fact.device,
            at: fact.stamp.at.into(),
            mac,
            signal: signal.into(),
        };
        match found {
            Ok(i) => self.words[i] = word,
            Err(i) => insert_tight(&mut self.words, i, word),
        }
        let Ok(i) = self.find(mac) else { return };
        let shared = shared!(self);
        let link = &mut self.links[i];
        let was = Was::of(link);
        let confirms = word.confirms(link.began(), step.t);
        let changes = link.station(at, confirms, (&self.absences, step.t));
        shared.settle(step, link, was, &changes);
    }

    /// Whether a reporting device is observed.
    pub(crate) fn report(&mut self, step: &mut Step<'_>, device: DeviceId, unobserved: bool) {
        self.remember_all(step);
        for reporter in self.reporters.iter_mut().filter(|r| r.device == device) {
            reporter.unobserved = unobserved;
        }
    }

    /// All its links are forgotten.
    pub(crate) fn forget_all(&mut self, step: &mut Step<'_>, at: Timestamp) {
        let shared = shared!(self);
        for link in self.links.drain(..) {
            shared.forget(step, &link, Was::of(&link), &[link.forgotten(at)]);
        }
        self.absences = Absences::default();
    }

    /// Whether one of its links has samples of the hour.
    pub(crate) fn was_heard(&self) -> bool {
        self.links.iter().any(Link::was_heard)
    }

    /// The access point's hour ended at `at`: says each link's piece.
    pub(crate) fn end_hour(&mut self, step: &mut Step<'_>, at: Timestamp) {
        let radio = self.mac;
        let (ap, tenant) = (step.ap, step.tenant);
        let pieces = self.links.iter_mut().filter_map(|link| {
            let (mean_cdbm, minutes) = link.end_hour()?;
            Some(Piece {
                at,
                ap,
                radio,
                tenant,
                mac: link.mac.into(),
                mean_cdbm,
                minutes,
            })
        });
        step.out.pieces.extend(pieces);
    }

    /// The earliest timer of its links.
    pub(crate) fn next_due(&self, t: &Thresholds) -> Option<Timestamp> {
        self.links
            .iter()
            .filter_map(|link| link.due(t))
            .map(|due| due.0)
            .min()
    }

    /// Tells every link as new.
    pub(crate) fn announce(&self, step: &mut Step<'_>) {
        for link in &self.links {
            shared!(self).settle(step, link, Was::NONE, &[]);
        }
    }
}

impl Word {
    /// Whether it is not older than an association.
    fn confirms(&self, began: Timestamp, t: &Thresholds) -> bool {
        Timestamp::from(self.at) >= began - t.association_tolerance
    }
}

/// Whether another reporter's table shows the link: its own one misses it, or the association is a new one.
fn shows(link: &Link, row: &ClientRow, t: &Thresholds) -> bool {
    link.miss_run > 0 || row.began > link.began() + t.association_tolerance
}

fn gauge(id: LinkId, at: Timestamp, row: &ClientRow, station: Option<i16>) -> LinkGauge {
    let sample = &row.sample;
    let bps = |kbps: u32| u64::from(kbps) * 1_000;
    LinkGauge {
        id,
        observed_at: at,
        signal_dbm: sample.signal_dbm,
        station_signal_dbm: station.or(sample.tx_signal_dbm),
        snr_db: sample.snr_db,
        tx_ccq_percent: sample.tx_ccq_percent,
        tx_rate_bps: sample.tx_rate_kbps.map(bps),
        rx_rate_bps: sample.rx_rate_kbps.map(bps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_small() {
        assert_eq!(size_of::<Word>(), 32);
    }
}
