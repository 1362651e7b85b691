//! A router of the mind, which is read at odd moments, restarts, and has a clock of its own. It knows which of its lines
//! was told; the mark must find out by what it shows.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
struct Written {
    /// Which line this is, over all starts.
    serial: usize,
    id: u64,
    day: u32,
    second: u32,
    message: u8,
}

/// How a router behaves.
#[derive(Clone, Copy, Debug)]
struct Ways {
    capacity: usize,
    /// The log survives a restart, with other ids.
    disk: bool,
    /// The clock begins anew at a restart.
    forgets_time: bool,
    /// Ids are compared as words.
    words: bool,
    /// Every third number is left out.
    gaps: bool,
    /// Times as version 7 writes them.
    v7: bool,
}

struct Router {
    ways: Ways,
    lines: VecDeque<Written>,
    serials: usize,
    next_id: u64,
    uptime_s: u64,
    /// By its own clock.
    clock: i64,
    /// By ours.
    now_s: i64,
}

const DAY: i64 = 86_400;

impl Router {
    fn new(ways: Ways) -> Self {
        Self {
            ways,
            lines: VecDeque::new(),
            serials: 0,
            next_id: 1,
            uptime_s: 40,
            clock: 20_000 * DAY + 80_000,
            now_s: 1_700_000_000,
        }
    }

    fn pass(&mut self, seconds: u32) {
        self.uptime_s += u64::from(seconds);
        self.clock += i64::from(seconds);
        self.now_s += i64::from(seconds);
    }

    fn write(&mut self, message: u8) {
        self.lines.push_back(Written {
            serial: self.serials,
            id: self.next_id,
            day: (self.clock / DAY) as u32,
            second: (self.clock % DAY) as u32,
            message,
        });
        (self.serials, self.next_id) = (self.serials + 1, self.next_id + 1);
        if self.ways.gaps && self.next_id.is_multiple_of(3) {
            self.next_id += 1;
        }
        if self.lines.len() > self.ways.capacity {
            self.lines.pop_front();
        }
    }

    fn restart(&mut self, down_s: u32) {
        self.now_s += i64::from(down_s);
        self.clock += i64::from(down_s);
        (self.uptime_s, self.next_id) = (0, 1);
        if self.ways.forgets_time {
            self.clock = 0;
        }
        if self.ways.disk {
            for line in &mut self.lines {
                line.id = self.next_id;
                self.next_id += 1;
            }
        } else {
            self.lines.clear();
        }
        self.pass(12);
        self.write(200);
        self.pass(3);
        self.write(201);
    }

    fn time(&self, line: &Written) -> String {
        let clock = format!(
            "{:02}:{:02}:{:02}",
            line.second / 3_600,
            line.second / 60 % 60,
            line.second % 60
        );
        match () {
            () if self.ways.v7 => format!("2026-01-{:02} {clock}", line.day % 28 + 1),
            () if i64::from(line.day) == self.clock / DAY => clock,
            () => format!("jan/{:02} {clock}", line.day % 28 + 1),
        }
    }

    fn answer(&self, from: Option<u64>) -> Vec<(usize, Line)> {
        let word = |id: u64| format!("*{id:X}");
        let wanted = |line: &&Written| match from {
            None => true,
            Some(from) if self.ways.words => word(line.id) >= word(from),
            Some(from) => line.id >= from,
        };
        let shown = |line: &Written| {
            let shown = Line {
                id: Some(line.id),
                time: self.time(line),
                topics: "system,info".to_owned(),
                // Of lines that are alike and of one second nobody can say, after a restart, which of them fell out.
                message: match self.ways.disk {
                    true => format!("message {}: {}", line.message, line.serial),
                    false => format!("message {}", line.message),
                },
            };
            (line.serial, shown)
        };
        self.lines.iter().filter(wanted).map(shown).collect()
    }

    fn running(&self) -> Running {
        Running {
            at: Timestamp::from_secs(self.now_s),
            uptime_s: self.uptime_s,
        }
    }
}

/// Who reads it.
#[derive(Default)]
struct Reader {
    mark: Mark,
    told: Vec<usize>,
    /// Serials up to which the reader said that lines are lost.
    admitted: Vec<usize>,
}

impl Reader {
    /// Reads; whether what is new is known now.
    fn read(&mut self, router: &Router, whole: bool) -> bool {
        let from = self.mark.asks_from().filter(|_| !whole);
        let shorter = self.mark.asks_beside().filter(|_| from.is_none());
        let answer = router.answer(from);
        let beside = shorter.map(|from| {
            let shorter = router.answer(Some(from));
            shorter.into_iter().filter_map(|(_, l)| l.id).collect()
        });
        let reading = Reading {
            lines: answer.iter().map(|(_, line)| line.clone()).collect(),
            from,
            beside,
            running: Some(router.running()),
        };
        let Some(news) = self.mark.take(&reading) else {
            return false;
        };
        let new = &answer[news.known..];
        if news.lost != Lost::Nothing {
            let next = new.first().map_or(router.serials, |(serial, _)| *serial);
            self.admitted.push(next);
            if let Lost::Lines(lines) = news.lost {
                let before = self.told.last().map_or(0, |last| last + 1);
                let (lost, told) = (next - before, lines as usize);
                assert!(
                    lost == told || router.ways.gaps && lost < told,
                    "it says how many"
                );
            }
        }
        self.told.extend(new.iter().map(|(serial, _)| *serial));
        true
    }

    fn knows(&self, router: &Router) -> bool {
        let held = self.mark.seen.len();
        let there = router
            .lines
            .iter()
            .filter(|l| self.told.contains(&l.serial));
        held >= SURE && there.count() >= held
    }

    fn has_all(&self, router: &Router) -> bool {
        router.lines.iter().all(|l| self.told.contains(&l.serial))
    }
}

#[derive(Clone, Debug)]
enum Act {
    Write(Vec<u8>),
    Pass(u32),
    Clock(i64),
    Read,
    ReadWhole,
    Restart(u32),
    /// Ingest starts anew, with the mark that it kept.
    Anew,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => prop::collection::vec(0u8..6, 1..14).prop_map(Act::Write),
        2 => prop::collection::vec(0u8..6, 30..70).prop_map(Act::Write),
        4 => (0u32..4).prop_map(Act::Pass),
        2 => (0u32..20_000).prop_map(Act::Pass),
        1 => (-90_000i64..90_000).prop_map(Act::Clock),
        8 => Just(Act::Read),
        2 => Just(Act::ReadWhole),
        // Less than clocks may drift apart meanwhile would go unnoticed.
        1 => (120u32..400).prop_map(Act::Restart),
        1 => Just(Act::Anew),
    ]
}

fn ways() -> impl Strategy<Value = Ways> {
    let ways = (12usize..60, any::<[bool; 5]>());
    ways.prop_map(|(capacity, [disk, forgets_time, words, v7, gaps])| Ways {
        capacity,
        disk,
        forgets_time,
        words,
        v7,
        gaps,
    })
}

proptest! {
    #[test]
    fn each_line_is_told_once_in_order_or_known_to_be_lost(
        ways in ways(), acts in prop::collection::vec(act(), 1..80),
    ) {
        let (mut router, mut reader) = (Router::new(ways), Reader::default());
        // A log that lives through a restart is known again if all lines of the mark are still there, and enough.
        let (mut sure, mut restarted) = (true, false);
        for act in acts {
            match act {
                Act::Write(messages) => {
                    for message in messages {
                        router.pass(u32::from(message % 2));
                        router.write(message);
                    }
                }
                Act::Pass(seconds) => router.pass(seconds),
                Act::Clock(seconds) => router.clock = (router.clock + seconds).max(0),
                Act::Restart(down_s) => {
                    restarted = true;
                    router.restart(down_s);
                }
                Act::Anew => {
                    let kept = reader.mark.encode().unwrap();
                    reader.mark = Mark::decode(&kept).unwrap();
                }
                Act::Read | Act::ReadWhole => {
                    let whole = matches!(act, Act::ReadWhole);
                    sure &= !(restarted && ways.disk) || reader.knows(&router);
                    if reader.read(&router, whole) && (whole || !ways.words) {
                        prop_assert!(reader.has_all(&router), "what is there is told");
                        restarted = false;
                    }
                }
            }
        }
        sure &= !(restarted && ways.disk) || reader.knows(&router);
        reader.read(&router, true);
        prop_assert!(reader.has_all(&router));
        let rises = reader.told.windows(2).all(|pair| pair[0] < pair[1]);
        prop_assert!(rises || !sure, "none twice: {:?}", reader.told);
        for gap in reader.told.windows(2).filter(|pair| pair[0] + 1 < pair[1]) {
            prop_assert!(reader.admitted.contains(&gap[1]), "lost without a word before {}", gap[1]);
        }
    }

    #[test]
    fn any_kept_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Mark::decode(&bytes);
    }
}

fn router(v7: bool, words: bool) -> Router {
    Router::new(Ways {
        capacity: 1_000,
        disk: false,
        forgets_time: true,
        words,
        gaps: false,
        v7,
    })
}

#[test]
fn the_turn_of_a_day_tells_nothing_twice() {
    let (mut router, mut reader) = (router(false, false), Reader::default());
    for _ in 0..3 {
        router.write(1);
    }
    assert!(reader.read(&router, true));
    assert!(!router.answer(None)[0].1.time.contains("jan"), "today");
    router.pass(86_400);
    assert!(router.answer(None)[0].1.time.contains("jan"), "yesterday");
    // Without its id a line is known by its time of day.
    reader.mark.last_id = None;
    assert!(reader.read(&router, true));
    assert_eq!(reader.told, [0, 1, 2]);
}

#[test]
fn a_log_that_ran_over_says_how_many_lines_are_lost() {
    let (mut router, mut reader) = (router(true, false), Reader::default());
    router.write(1);
    assert!(reader.read(&router, false));
    (0..1_205).for_each(|_| router.write(1));
    assert!(!reader.read(&router, false), "the line asked from is gone");
    assert!(reader.read(&router, false));
    assert_eq!(reader.admitted, [206]);
    assert_eq!(reader.told.len(), 1_001);
}

#[test]
fn the_same_start_twice_is_two_starts() {
    // Without a clock each start writes the same lines at the same times, under the same ids.
    let (mut router, mut reader) = (router(true, false), Reader::default());
    router.restart(5);
    assert!(reader.read(&router, false));
    router.pass(1_000);
    router.restart(5);
    while !reader.read(&router, false) {}
    assert_eq!(reader.told, [0, 1, 2, 3]);
}

#[test]
fn a_router_that_compares_ids_as_words_is_found_out() {
    let (mut router, mut reader) = (router(true, true), Reader::default());
    (0..15).for_each(|_| router.write(1));
    assert!(reader.read(&router, false));
    (0..5).for_each(|_| router.write(2));
    assert!(reader.read(&router, false));
    assert_eq!(reader.told.len(), 15, "*10 is less than *F to it");
    (0..300).for_each(|_| router.write(2));
    assert!(!reader.read(&router, false), "*F0 behind *F");
    assert!(reader.read(&router, true));
    assert_eq!(reader.told.len(), 320);
    assert_eq!(
        reader.mark.asks_from(),
        None,
        "from now on it is read whole"
    );
}

#[test]
fn seconds_of_a_day_in_every_form() {
    for (text, second) in [
        ("09:22:08", Some(33_728)),
        ("jul/19 14:27:01", Some(52_021)),
        ("jan/02/1970 00:00:12", Some(12)),
        ("2026-08-21 11:33:18", Some(41_598)),
        ("11:33:18.250", Some(41_598)),
        ("yesterday", None),
        ("25:00:00", None),
        ("", None),
    ] {
        assert_eq!(second_of_day(text), second, "{text}");
    }
}
