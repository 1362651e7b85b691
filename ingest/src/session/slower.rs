//! The slower kinds within an exchange: what of them is asked now, and what the answers mean.

use mast_schemas::Timestamp;
use mast_schemas::records::{Event, EventOrigin, Firmware, Tables};
use routeros_api::{CallError, Command, Reply, Sentence};
use tokio::time::Instant;

use super::{Polled, Round, Session};
use crate::parse::{self, Parsed, RouterClock, Stamp};
use crate::plan::is_absent;
use crate::slower::{self, Kind, PROTOCOLS, Schedule};
use crate::tail::{Line, Lost, Mark, Reading, Running, WHOLE_EVERY};

/// What a session knows for the slower kinds. Outlives reconnects and changes of the device.
pub(super) struct SlowState {
    schedule: Schedule,
    /// Routes in all at the last count.
    routes: Option<u32>,
    /// What `/system/routerboard` said.
    board: Option<Sentence>,
    clock: Option<RouterClock>,
    /// How far the log was read; null until it is known from earlier times.
    mark: Option<Mark>,
    /// When the log is next read whole although shorter readings go well.
    whole_due: Option<Instant>,
    /// What happened to the session since the last poll that could tell it.
    notes: Vec<String>,
    version: Option<String>,
}

/// A command of a slower kind, and what its answer is for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The rows of a menu.
    Rows(Kind),
    /// Routes: of all or of a protocol, the active ones or any.
    Count {
        protocol: Option<usize>,
        active: bool,
    },
    /// The log from here on, or the whole of it.
    Log { from: Option<u64> },
    /// The log from here on, behind a whole reading.
    Beside,
}

impl Asked {
    const fn kind(self) -> Kind {
        match self {
            Self::Rows(kind) => kind,
            Self::Count { .. } => Kind::Routes,
            Self::Log { .. } | Self::Beside => Kind::Log,
        }
    }
}

/// What is asked in an exchange.
#[derive(Default)]
pub(super) struct SlowAsk {
    asked: Vec<Asked>,
    pub(super) commands: Vec<Command>,
}

impl SlowAsk {
    fn add(&mut self, asked: Asked, command: Command) {
        self.asked.push(asked);
        self.commands.push(command);
    }
}

impl SlowState {
    pub(super) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            routes: None,
            board: None,
            clock: None,
            mark: None,
            whole_due: None,
            notes: Vec::new(),
            version: None,
        }
    }

    /// Something happened that the device's own log may not tell.
    pub(super) fn note(&mut self, text: String) {
        // A device that can't be polled has its reason in its poll rows; this is no second log of them.
        if self.notes.len() < 16 && self.notes.last() != Some(&text) {
            self.notes.push(text);
        }
    }

    /// What was noted is told to nobody.
    pub(super) fn forget_notes(&mut self) {
        self.notes.clear();
    }

    /// Another version may have other menus.
    pub(super) fn version_changed(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }
}

impl Session {
    /// What of the slower kinds is due; nothing, most often.
    pub(super) async fn slow_ask(&mut self) -> SlowAsk {
        let now = Instant::now();
        let mut ask = SlowAsk::default();
        for kind in Kind::ALL {
            if !self.slow.schedule.is_due(kind, now) {
                continue;
            }
            match kind {
                Kind::Routes => self.ask_routes(&mut ask),
                Kind::Log => self.ask_log(&mut ask, now).await,
                _ => ask.add(Asked::Rows(kind), slower::print(kind).clone()),
            }
        }
        ask
    }

    fn ask_routes(&self, ask: &mut SlowAsk) {
        let counts = slower::route_counts();
        let pair = |protocol| [false, true].map(|active| Asked::Count { protocol, active });
        for (asked, command) in pair(None).into_iter().zip(&counts.all) {
            ask.add(asked, command.clone());
        }
        let few = |routes: u32| routes <= slower::COUNTED_BY_PROTOCOL;
        if self.slow.routes.is_some_and(few) {
            for (n, commands) in counts.by_protocol.iter().enumerate() {
                for (asked, command) in pair(Some(n)).into_iter().zip(commands) {
                    ask.add(asked, command.clone());
                }
            }
        }
    }

    async fn ask_log(&mut self, ask: &mut SlowAsk, now: Instant) {
        if self.slow.mark.is_none() {
            match self.slower.marks.read(self.spec.device.id).await {
                Ok(mark) => self.slow.mark = Some(mark),
                Err(error) => {
                    // Without it, lines would come twice. They wait on the router.
                    tracing::debug!(%error, device = %self.spec.device.id, "how far its log was read is not known yet");
                    return;
                }
            }
        }
        let mark = self.slow.mark.as_ref();
        let from = mark.and_then(Mark::asks_from);
        let beside = mark.and_then(Mark::asks_beside);
        let whole = self.slow.whole_due.is_none_or(|due| due <= now);
        match from {
            Some(id) if !whole => ask.add(Asked::Log { from }, slower::log_from(id)),
            _ => {
                ask.add(Asked::Log { from: None }, slower::print(Kind::Log).clone());
                if let Some(id) = beside {
                    ask.add(Asked::Beside, slower::log_from(id));
                }
            }
        }
    }

    /// Takes the answers, in the order of the commands.
    pub(super) fn slow_answers(
        &mut self,
        round: &mut Round,
        ask: &SlowAsk,
        answers: Vec<Result<Reply, CallError>>,
    ) {
        if answers.is_empty() {
            return;
        }
        let (alive, observed_at) = (round.whole > 0, self.slower.clock.now());
        let mut heard: Vec<(Asked, Reply)> = Vec::with_capacity(answers.len());
        let mut without: Vec<Kind> = Vec::new();
        for (asked, answer) in ask.asked.iter().zip(answers) {
            match answer {
                Ok(reply) => heard.push((*asked, reply)),
                Err(error) => {
                    let kind = asked.kind();
                    if !without.contains(&kind) {
                        without.push(kind);
                        self.unanswered(round, kind, error, alive);
                    }
                }
            }
        }
        heard.retain(|(asked, _)| !without.contains(&asked.kind()));
        if !heard.is_empty() {
            round.whole += 1;
        }
        let now = Instant::now();
        for (asked, reply) in &heard {
            match asked {
                Asked::Rows(kind) => {
                    self.slow_rows(round, *kind, reply);
                    self.slow.schedule.done(*kind, &self.slower.cadences, now);
                }
                Asked::Log { from } => {
                    let beside = heard.iter().find(|(a, _)| matches!(a, Asked::Beside));
                    self.log_lines(round, *from, reply, beside.map(|(_, r)| r), observed_at);
                }
                Asked::Count { .. } | Asked::Beside => {}
            }
        }
        self.route_counts(round, &heard, now);
    }

    fn unanswered(&mut self, round: &mut Round, kind: Kind, error: CallError, alive: bool) {
        let (schedule, cadences, now) = (
            &mut self.slow.schedule,
            &self.slower.cadences,
            Instant::now(),
        );
        if is_absent(&error) {
            schedule.absent(kind);
            return;
        }
        if alive {
            schedule.failed(kind, cadences, now);
        }
        if let CallError::Trap { .. } = &error {
            // Not allowed, or broken in itself: no failure of the device.
            self.slow.note(format!("{} not read: {error}", kind.name()));
            return;
        }
        round.count(kind.name(), Err(error));
    }

    fn slow_rows(&mut self, round: &mut Round, kind: Kind, reply: &Reply) {
        fn all<R>(
            reply: &Reply,
            issues: &mut u32,
            parse: impl Fn(&Sentence) -> Parsed<R>,
        ) -> Vec<R> {
            let one = |sentence| {
                let parsed = parse(sentence);
                *issues += parsed.issues.len() as u32;
                parsed.row
            };
            reply.rows.iter().map(one).collect()
        }
        let (stamp, polled) = (round.stamp, &mut round.polled);
        let (slow, issues) = (&mut polled.slow, &mut polled.issues);
        let table = match kind {
            Kind::Arp => {
                slow.arp = all(reply, issues, |s| parse::arp(stamp, s));
                Tables::ARP
            }
            Kind::DhcpLease => {
                slow.dhcp_leases = all(reply, issues, |s| parse::dhcp_lease(stamp, s));
                Tables::DHCP_LEASE
            }
            Kind::Neighbor => {
                slow.neighbors = all(reply, issues, |s| parse::neighbor(stamp, s));
                Tables::NEIGHBOR
            }
            Kind::Firmware => {
                let mut found: Vec<Firmware> = all(reply, issues, |s| parse::firmware(stamp, s));
                found.truncate(1);
                if let (Some(row), Some(board)) = (found.first_mut(), &self.slow.board) {
                    parse::board(row, board);
                }
                slow.firmware = found;
                Tables::FIRMWARE
            }
            Kind::Routes | Kind::Log => return,
        };
        polled.tables = polled.tables.with(table);
    }

    /// The counts, if all of them came.
    fn route_counts(&mut self, round: &mut Round, heard: &[(Asked, Reply)], now: Instant) {
        let count = |wanted: Option<usize>, only_active: bool| {
            let found = heard.iter().find(|(asked, _)| {
                matches!(asked, Asked::Count { protocol, active }
                    if *protocol == wanted && *active == only_active)
            });
            found.map(|(_, reply)| counted(reply))
        };
        let (Some(total), Some(active)) = (count(None, false), count(None, true)) else {
            return;
        };
        let stamp = round.stamp;
        let mut rows = vec![parse::route_summary(stamp, "all", active, total)];
        let (mut other_active, mut other) = (active, total);
        for (n, protocol) in PROTOCOLS.iter().enumerate() {
            let (Some(total), Some(active)) = (count(Some(n), false), count(Some(n), true)) else {
                continue;
            };
            // Routes come and go between the counts.
            other = other.saturating_sub(total);
            other_active = other_active.saturating_sub(active);
            if total > 0 {
                rows.push(parse::route_summary(stamp, protocol, active, total));
            }
        }
        if rows.len() > 1 && other > 0 {
            let row = parse::route_summary(stamp, "other", other_active.min(other), other);
            rows.push(row);
        }
        let first = self.slow.routes.replace(total).is_none();
        self.slow
            .schedule
            .done(Kind::Routes, &self.slower.cadences, now);
        if first && total <= slower::COUNTED_BY_PROTOCOL {
            // Now that it is known to be cheap.
            self.slow.schedule.again(Kind::Routes, now);
        }
        round.polled.slow.routes = rows;
        round.polled.tables = round.polled.tables.with(Tables::ROUTE_SUMMARY);
    }

    fn log_lines(
        &mut self,
        round: &mut Round,
        from: Option<u64>,
        reply: &Reply,
        beside: Option<&Reply>,
        observed_at: Timestamp,
    ) {
        let id = |sentence: &Sentence| sentence.get(".id").and_then(parse::row_id);
        let uptime_s = round.polled.facts.uptime_s;
        let reading = Reading {
            lines: reply.rows.iter().map(parse::log_line).collect(),
            from,
            beside: beside.map(|reply| reply.rows.iter().filter_map(id).collect()),
            running: uptime_s.map(|uptime_s| Running {
                at: observed_at,
                uptime_s,
            }),
        };
        let (now, cadences) = (Instant::now(), &self.slower.cadences);
        let Some(mark) = self.slow.mark.as_mut() else {
            return;
        };
        let asked_from = mark.asks_from();
        let Some(news) = mark.take(&reading) else {
            // The whole log, at the next poll.
            self.slow.schedule.again(Kind::Log, now);
            return;
        };
        let new = &reading.lines[news.known..];
        let moved = !new.is_empty() || mark.asks_from() != asked_from;
        let changed = moved.then(|| mark.clone());
        self.slow.schedule.done(Kind::Log, cadences, now);
        if from.is_none() {
            self.slow.whole_due = Some(now + WHOLE_EVERY);
        }
        match news.lost {
            Lost::Nothing => {}
            Lost::Lines(lines) => self.slow.note(format!(
                "{lines} lines of the log were lost: it ran over before it was read"
            )),
            Lost::Unknown => self.slow.note(
                "lines of the log may be lost: it began anew since it was last read".to_owned(),
            ),
        }
        let events = &mut round.polled.slow.events;
        events.extend(
            new.iter()
                .map(|line| device_event(round.stamp, line, self.slow.clock, observed_at)),
        );
        round.polled.tables = round.polled.tables.with(Tables::EVENT);
        round.polled.mark = changed;
    }

    /// A menu of the poll that the slower kinds need too.
    pub(super) fn learn_clock(&mut self, reply: &Reply) {
        if let Some(row) = reply.rows.first() {
            self.slow.clock = RouterClock::read(row, self.slower.clock.now());
        }
    }

    /// As [`Session::learn_clock`].
    pub(super) fn learn_board(&mut self, reply: &Reply) {
        if let Some(row) = reply.rows.first() {
            self.slow.board = Some(row.clone());
        }
    }

    /// Tells what happened to the session, and numbers the events of the poll.
    pub(super) fn tell(&mut self, stamp: Stamp, polled: &mut Polled) {
        let known = &mut self.slow.version;
        if let Some(version) = &polled.facts.version
            && known.as_ref() != Some(version)
            && let Some(before) = known.replace(version.clone())
        {
            self.slow.note(format!("version {before} became {version}"));
        }
        let slow = &mut polled.slow;
        if self.slow.notes.is_empty() && slow.events.is_empty() {
            return;
        }
        let notes = std::mem::take(&mut self.slow.notes);
        let notes = notes.into_iter().map(|note| ingest_event(stamp, note));
        let of_device = std::mem::take(&mut slow.events);
        slow.events = notes.chain(of_device).collect();
        for (line, event) in slow.events.iter_mut().enumerate() {
            event.line = line as u32;
        }
    }
}

/// The number that `=ret=` tells; the rows, where a router did not count.
fn counted(reply: &Reply) -> u32 {
    let told = reply.ret().and_then(|ret| std::str::from_utf8(ret).ok());
    let told = told.and_then(|text| text.trim().parse().ok());
    told.unwrap_or(reply.rows.len() as u32)
}

fn device_event(
    stamp: Stamp,
    line: &Line,
    clock: Option<RouterClock>,
    observed_at: Timestamp,
) -> Event {
    Event {
        happened_at: clock.and_then(|clock| clock.instant(&line.time, observed_at)),
        topics: line.topics.clone(),
        message: line.message.clone(),
        origin: EventOrigin::Device,
        device_time: Some(line.time.clone()).filter(|time| !time.is_empty()),
        ..ingest_event(stamp, String::new())
    }
}

pub(super) fn ingest_event(stamp: Stamp, message: String) -> Event {
    Event {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        happened_at: None,
        topics: "mast,session".to_owned(),
        message,
        line: 0,
        origin: EventOrigin::Ingest,
        device_time: None,
    }
}
