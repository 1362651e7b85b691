//! Where reading a router's log goes on: which lines of a reading are new.
//!
//! A router shows the newest lines of its log, a thousand as a rule, oldest first; older ones fall out, a restart of the
//! router empties it unless it is kept on disk, and then gives its lines new ids. A line has no name that lasts: its `.id` counts from
//! the router's start, the text of its time changes (version 6 leaves out the date of today's lines and the year of this
//! year's), its clock may jump, and the same line may come again and again.
//!
//! So the mark is the newest lines that were seen, and a reading goes on
//!
//! 1. behind the line with the last id seen, if the router has not restarted since and that line still says the same;
//! 2. else behind the place where the lines of the mark stand in the reading in their order, each with its time of day:
//!    all of them rather than the few that have not fallen out yet; of several such places the first, so that in doubt a
//!    line comes twice rather than never. After a restart, only all of them will do, and at least [`SURE`]: a
//!    router without a clock that lasts writes the same few lines at each start;
//!    (Lines on disk that are alike and of one second can't be told apart after a restart: that is the one way to lose one.)
//! 3. else at its begin: all lines are new, and what was between is lost, which is said.
//!
//! Once a mark has an id, a reading asks only for lines from that id on ([`Mark::asks_from`]). Whether a router compares
//! ids as numbers is written nowhere, so each answer must hold the line asked from, and now and then the whole log is read
//! and, right behind it, the shorter reading: if that keeps lines back, it is not trusted any more. So it is at once when a
//! shorter reading leaves out a number.

use std::hash::Hasher as _;
use std::time::Duration;

use mast_schemas::Timestamp;
use serde::{Deserialize, Serialize};

/// Lines that a mark remembers.
pub const REMEMBERED: usize = 32;
/// Lines that must agree for lines to be known again after a restart of the router.
pub const SURE: usize = 8;

/// Version of a mark as it is kept.
const VERSION: u8 = 1;

/// A line as the router shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number since the router's start; null when the router tells none.
    pub id: Option<u64>,
    /// Its time as told.
    pub time: String,
    /// Topics as listed.
    pub topics: String,
    /// The text.
    pub message: String,
}

/// What is remembered of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Hash of topics and text.
    said: u64,
    /// Second of the day; `u32::MAX` when the time is none.
    second: u32,
}

impl Seen {
    fn of(line: &Line) -> Self {
        // Kept across versions of this program, so the hash is ours and not the library's.
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.write(line.topics.as_bytes());
        hash.write(&[0]);
        hash.write(line.message.as_bytes());
        Self {
            said: hash.finish(),
            second: second_of_day(&line.time).unwrap_or(u32::MAX),
        }
    }
}

/// FNV-1a.
struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The second of the day that a line's time names, in each of its forms: the last word is the time of day.
pub fn second_of_day(time: &str) -> Option<u32> {
    let clock = time.split_ascii_whitespace().next_back()?;
    let clock = clock.split('.').next()?;
    let mut parts = clock.split(':').map(|part| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| digits)
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let whole = parts.next().is_none() && hour < 24 && minute < 60 && second < 61;
    whole.then_some(hour * 3_600 + minute * 60 + second)
}

/// How long a router had been running when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// When it was asked.
    pub at: Timestamp,
    /// Its uptime then.
    pub uptime_s: u64,
}

impl Running {
    /// Whether the router has restarted since `before`. Clocks of both drift and ours may be set, so a little
    /// less than the time between them is no restart; one that seems to be one costs a longer comparison.
    fn restarted_since(&self, before: &Self) -> bool {
        let between_s = (self.at - before.at).0.max(0).unsigned_abs() / 1_000_000;
        let slack_s = 5 + between_s / 5_000;
        self.uptime_s + slack_s < before.uptime_s + between_s
    }
}

/// How far the log of a device has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The newest lines seen, oldest first.
    seen: Vec<Seen>,
    /// Id of the newest.
    last_id: Option<u64>,
    /// When they were read.
    running: Option<Running>,
    /// The last shorter reading did not hold the line asked from.
    lost_track: bool,
    /// A shorter reading kept a line back once.
    distrusts: bool,
}

/// What a router answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its lines, oldest first.
    pub lines: Vec<Line>,
    /// The id from which on lines were asked for; null for the whole log.
    pub from: Option<u64>,
    /// Ids that a shorter reading gave, asked for behind this whole one.
    pub beside: Option<Vec<u64>>,
    /// Its uptime, where known.
    pub running: Option<Running>,
}

impl Reading {
    /// Whether a number is left out among the last known line and those behind it.
    fn gap_behind(&self, known: usize) -> bool {
        let ids = self.lines[known.saturating_sub(1)..].windows(2);
        let mut steps = ids.filter_map(|pair| Some((pair[0].id?, pair[1].id?)));
        steps.any(|(id, next)| id.checked_add(1) != Some(next))
    }
}

/// What a reading brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// How many lines at the reading's begin are known; the rest is new.
    pub known: usize,
    /// Lines between those known and those read have fallen out; how many, where ids tell it.
    pub lost: Lost,
}

/// What a reading has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing.
    Nothing,
    /// So many lines.
    Lines(u64),
    /// Perhaps some: nothing that was known is there any more.
    Unknown,
}

impl Mark {
    /// The id to read from, which the answer must hold again; null when the whole log must be read.
    pub fn asks_from(&self) -> Option<u64> {
        self.last_id.filter(|_| !self.lost_track && !self.distrusts)
    }

    /// The id from which to ask for a shorter reading behind a whole one.
    pub fn asks_beside(&self) -> Option<u64> {
        self.last_id.filter(|_| !self.distrusts)
    }

    /// Takes a reading; null when it cannot say what is new, and the whole log must be read.
    pub fn take(&mut self, reading: &Reading) -> Option<News> {
        let restarted = match (&self.running, &reading.running) {
            (Some(before), Some(now)) => now.restarted_since(before),
            _ => false,
        };
        let by_id = if restarted { None } else { self.by_id(reading) };
        let news = match (by_id, reading.from) {
            (Some(known), from) => {
                let (gap, new) = (reading.gap_behind(known), &reading.lines[known..]);
                if from.is_some() && gap {
                    // As a router would leave out that compares ids as words: *10 between *9 and *20.
                    self.lost_track = true;
                    return None;
                }
                if let Some(ids) = &reading.beside {
                    let kept_back = |line: &Line| line.id.is_some_and(|id| !ids.contains(&id));
                    self.distrusts |= new.iter().any(kept_back);
                }
                News {
                    known,
                    lost: Lost::Nothing,
                }
            }
            // Lines without their predecessor mean nothing.
            (None, Some(_)) => {
                self.lost_track = true;
                return None;
            }
            (None, None) => self.by_lines(reading, restarted),
        };
        self.lost_track = false;
        self.advance(reading, news, restarted);
        Some(news)
    }

    /// How many lines are known, by the id of the last.
    fn by_id(&self, reading: &Reading) -> Option<usize> {
        let (last, newest) = (self.last_id?, self.seen.last()?);
        let place = reading.lines.iter().position(|l| l.id == Some(last))?;
        // The text of a time may change with the router's zone; what was said does not.
        (Seen::of(&reading.lines[place]).said == newest.said).then_some(place + 1)
    }

    /// How many lines are known, by what they say.
    fn by_lines(&self, reading: &Reading, restarted: bool) -> News {
        let nothing_lost = |known| News {
            known,
            lost: Lost::Nothing,
        };
        let held = self.seen.len();
        if held == 0 {
            return nothing_lost(0);
        }
        let first = reading.lines.first().and_then(|line| line.id);
        if let (false, Some(last), Some(first)) = (restarted, self.last_id, first)
            && first > last
        {
            // Numbers that went on say it all: what was known has fallen out.
            let lost = match first - last - 1 {
                0 => Lost::Nothing,
                lines => Lost::Lines(lines),
            };
            return News { known: 0, lost };
        }
        let all: Vec<Seen> = reading.lines.iter().map(Seen::of).collect();
        let whole = (held..=all.len()).find(|end| all[end - held..*end] == self.seen[..]);
        if let Some(known) = whole.filter(|_| !restarted || held >= SURE) {
            return nothing_lost(known);
        }
        // Some of the mark's lines have fallen out: the reading begins with the others.
        let rest = (1..held.min(all.len() + 1)).rev();
        let rest = rest
            .filter(|_| !restarted)
            .find(|n| all[..*n] == self.seen[held - n..]);
        rest.map_or(
            News {
                known: 0,
                lost: Lost::Unknown,
            },
            nothing_lost,
        )
    }

    fn advance(&mut self, reading: &Reading, news: News, restarted: bool) {
        if news.known == 0 {
            // What comes does not follow on what was.
            self.seen.clear();
        }
        self.seen
            .extend(reading.lines[news.known..].iter().map(Seen::of));
        let beyond = self.seen.len().saturating_sub(REMEMBERED);
        self.seen.drain(..beyond);
        // Also when nothing is new: after a restart known lines have other ids.
        self.last_id = match reading.lines.last() {
            Some(last) => last.id,
            None => self.last_id.filter(|_| !restarted),
        };
        self.running = reading.running.or(self.running);
    }
}

impl Mark {
    /// As it is kept: a version, then postcard.
    ///
    /// # Errors
    /// None that a mark could cause; those of the encoder.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    /// A mark as it was kept; null for another version's, whose device's log is then read anew.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mark) = bytes.split_first()?;
        (*version == VERSION)
            .then(|| postcard::from_bytes(mark).ok())
            .flatten()
    }
}

/// How long after a whole reading the next one is due, though shorter ones go well.
pub const WHOLE_EVERY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
