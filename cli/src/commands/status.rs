//! `mast status`: how each part is, why, and what to do.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crossterm::style::{Color, Stylize};
use mast_schemas::Timestamp;
use mast_schemas::health::{Health, Part, State};
use serde::Serialize;

use super::Pace;
use crate::config::{Config, Flags};
use crate::health::looks::{self, Told};
use crate::health::{GONE, files};
use crate::output::instant;
use crate::standalone::{Paths, log};

/// Show how each part of an installation is: ingest, log, dataflow, lake, relays, notifications, Postgres, disks, key; since
/// when, why, and what to do.
///
/// Parts tell of themselves every two seconds; what they stand on is looked at here. Works beside a running installation,
/// while Postgres or a broker is away, and while nothing runs. It changes nothing. What the states mean and what to do is in
/// docs/operating.md.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Again and again, until Ctrl-C.
    #[arg(long, value_name = "EVERY", num_args = 0..=1, default_missing_value = "2s")]
    watch: Option<Pace>,
}

const EXAMPLES: &str = "\
Exit code: 0 all is ok, 1 something starts, waits or is degraded, 2 something failed, 3 nothing runs.

Examples:
  mast status --data demo            a table
  mast status --data demo --watch    again every 2 seconds
  mast status --data demo --json     for programs";

/// What a look found.
#[derive(Serialize)]
struct Report {
    /// Worst of all parts; `stopped` while nothing runs.
    state: State,
    /// Whether anything of the installation runs.
    running: bool,
    /// When it was looked at.
    at: String,
    /// The data folder.
    data: PathBuf,
    parts: Vec<Row>,
}

/// A part.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    health: Health,
    /// Since when it is so; null for what is looked at here.
    since: Option<String>,
    /// When it said so; null for what is looked at here.
    seen: Option<String>,
    #[serde(skip)]
    age_ms: Option<i64>,
}

impl Row {
    fn looked(health: Health) -> Self {
        Self {
            health,
            since: None,
            seen: None,
            age_ms: None,
        }
    }

    /// What a part said; one that has long said nothing is gone, whatever its last word was.
    fn said(health: Health, since: Timestamp, seen: Timestamp, age_ms: i64) -> Self {
        let silent = age_ms > i64::try_from(GONE.as_millis()).unwrap_or(i64::MAX);
        let health = match (silent, health.state) {
            (true, State::Ok | State::Starting | State::Waiting | State::Degraded) => {
                let last = match health.reason.as_str() {
                    "" => health.state.to_string(),
                    reason => format!("{}: {reason}", health.state),
                };
                let reason = format!(
                    "has not been heard of for {}; its last word: {last}",
                    span(age_ms)
                );
                let remedy = "see whether its process runs; start it again if not";
                health.troubled(State::Failed, reason, remedy)
            }
            _ => health,
        };
        Self {
            health,
            since: Some(instant(since)),
            seen: Some(instant(seen)),
            age_ms: Some(age_ms),
        }
    }

    fn is_alive(&self) -> bool {
        let fresh = self
            .age_ms
            .is_some_and(|age| age <= i64::try_from(GONE.as_millis()).unwrap_or(i64::MAX));
        fresh && self.health.state != State::Stopped
    }
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let paths = Paths::new(&config.data);
        loop {
            let report = look(config, &paths).await?;
            self.show(&report)?;
            let Some(every) = self.watch else {
                return Ok(report.code());
            };
            tokio::select! {
                () = tokio::time::sleep(every.0.max(Duration::from_millis(200))) => {}
                stopped = tokio::signal::ctrl_c() => {
                    stopped?;
                    return Ok(report.code());
                }
            }
        }
    }

    fn show(&self, report: &Report) -> anyhow::Result<()> {
        if self.json {
            return crate::output::json(report);
        }
        let terminal = std::io::stdout().is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let mut text = report.lines(colours).join("\n");
        if self.watch.is_some() && terminal {
            // From the upper left corner, and nothing left of the picture before.
            text = format!("\x1b[H\x1b[J{text}");
        }
        crate::output::line(&text)
    }
}

/// Looks at everything once.
async fn look(config: &Config, paths: &Paths) -> anyhow::Result<Report> {
    anyhow::ensure!(
        paths.root().is_dir(),
        "there is no folder {}; name the installation's with --data",
        paths.root().display()
    );
    let words = files::read(&paths.health());
    let here = |word: files::Word| {
        let age_ms = word.age_ms();
        Row::said(word.health, word.since, word.seen_at, age_ms)
    };
    let mut said: Vec<Row> = words.into_iter().map(here).collect();
    let running = said.iter().any(Row::is_alive);
    let (postgres, told) = looks::database(config, paths, running).await;
    if let Some(told) = &told {
        // What Postgres knows is of all machines, and by one clock.
        let rows = told.parts.iter();
        said = rows
            .map(|s| Row::said(s.health.clone(), s.since, s.seen_at, s.age_ms))
            .collect();
    }
    let running = running || said.iter().any(Row::is_alive);
    let polls_here = said.iter().any(|row| row.health.part == Part::Ingest);
    let mut parts = said;
    parts.push(Row::looked(postgres));
    let stored = stored(config, paths, told, polls_here).await?;
    parts.extend(stored.into_iter().map(Row::looked));
    parts.sort_by(|a, b| (a.health.part, &a.health.name).cmp(&(b.health.part, &b.health.name)));
    if !running {
        parts.iter_mut().for_each(at_rest);
    }
    let worst = parts.iter().map(|row| row.health.state).max();
    let state = match (running, worst.unwrap_or(State::Ok)) {
        (false, state) if state < State::Failed => State::Stopped,
        (_, State::Stopped) => State::Ok,
        (_, state) => state,
    };
    Ok(Report {
        state,
        running,
        at: instant(Timestamp::from_system(std::time::SystemTime::now())),
        data: paths.root().to_owned(),
        parts,
    })
}

/// While nothing runs, a part without a goodbye is no failure of its own: its process was ended, and a start mends that.
fn at_rest(row: &mut Row) {
    if row.age_ms.is_some() && row.health.reason.starts_with("has not been heard of") {
        row.health.state = State::Stopped;
        row.health.remedy = "start it again; nothing that was acknowledged is lost".to_owned();
    }
}

/// Looks at disks, on a thread that may wait for them.
async fn stored(
    config: &Config,
    paths: &Paths,
    told: Option<Told>,
    polls_here: bool,
) -> anyhow::Result<Vec<Health>> {
    let opened = tokio::time::timeout(looks::PATIENCE, log::look(&config.log, paths)).await;
    let paths = paths.clone();
    let look = move || {
        let mut found = looks::disks(&paths);
        found.push(match opened {
            Ok(Ok(log)) => looks::log(log.as_ref()),
            Ok(Err(error)) => unopened(format!("{error:#}")),
            Err(_) => unopened("the log does not answer".to_owned()),
        });
        let checkpoint = told.as_ref().and_then(|told| told.progress);
        let noted = checkpoint.map(|(_, checkpoint)| checkpoint);
        found.push(looks::checkpoints(&paths.checkpoints(), noted));
        if let Some(told) = told {
            found.push(looks::lake(&paths.lake(), &told.lake));
            found.push(looks::notifications(&told.backlog));
        }
        found.push(looks::keys(&paths.key_file(), polls_here));
        found
    };
    Ok(tokio::task::spawn_blocking(look).await?)
}

fn unopened(reason: String) -> Health {
    let remedy = "see that the log's folder is there, or that its broker runs and can be reached";
    Health::ok(Part::Log, "main").troubled(State::Failed, reason, remedy)
}

impl Report {
    fn code(&self) -> ExitCode {
        ExitCode::from(match self.state {
            State::Ok => 0,
            State::Starting | State::Waiting | State::Degraded => 1,
            State::Failed => 2,
            State::Stopped => 3,
        })
    }

    fn lines(&self, colours: bool) -> Vec<String> {
        let running = if self.running {
            "running"
        } else {
            "not running"
        };
        let mut lines = vec![
            format!(
                "{} at {}: {}, {running}",
                self.data.display(),
                self.at,
                word(self.state, 0, colours)
            ),
            String::new(),
        ];
        let wide = |text: fn(&Row) -> &str| {
            let widths = self.parts.iter().map(|row| text(row).chars().count());
            widths.max().unwrap_or(0)
        };
        let (kinds, names) = (
            wide(|r| r.health.part.as_str()),
            wide(|r| r.health.name.as_str()),
        );
        for row in &self.parts {
            let h = &row.health;
            let since = row.since.as_ref().map_or_else(String::new, |since| {
                format!("  since {}", since.trim_end_matches('Z').replace('T', " "))
            });
            lines.push(format!(
                "{:kinds$}  {:names$}  {}{since}",
                h.part.as_str(),
                h.name,
                word(h.state, 8, colours),
            ));
            let told = [&h.reason, &h.remedy];
            for (label, text) in ["why", "do"].iter().zip(told) {
                if !text.is_empty() {
                    lines.push(format!("    {label:<4}{text}"));
                }
            }
            let numbers: Vec<String> = h.numbers.iter().map(|(k, v)| format!("{k} {v}")).collect();
            if !numbers.is_empty() {
                lines.push(format!("    {}", numbers.join("  ")));
            }
        }
        lines
    }
}

fn word(state: State, width: usize, colours: bool) -> String {
    let text = format!("{:<width$}", state.as_str());
    if !colours {
        return text;
    }
    let colour = match state {
        State::Ok => Color::Green,
        State::Stopped => Color::Grey,
        State::Starting | State::Waiting | State::Degraded => Color::Yellow,
        State::Failed => Color::Red,
    };
    text.with(colour).to_string()
}

/// A duration in the largest unit that fits.
fn span(ms: i64) -> String {
    match ms / 1_000 {
        s @ ..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: State, age_ms: i64) -> Row {
        let health = Health::ok(Part::Ingest, "a").troubled(state, "why", "what to do");
        Row::said(health, Timestamp(0), Timestamp(0), age_ms)
    }

    #[test]
    fn a_part_that_says_nothing_any_more_has_failed_unless_it_said_goodbye() {
        let gone = said(State::Waiting, 60_000);
        assert_eq!(gone.health.state, State::Failed);
        assert!(
            gone.health.reason.contains("60 s"),
            "{}",
            gone.health.reason
        );
        assert!(gone.health.reason.contains("waiting: why"));
        assert_eq!(said(State::Stopped, 60_000).health.state, State::Stopped);
        assert_eq!(said(State::Waiting, 3_000).health.state, State::Waiting);
    }

    #[test]
    fn each_trouble_is_shown_with_its_remedy() {
        let report = Report {
            state: State::Waiting,
            running: true,
            at: instant(Timestamp(0)),
            data: "demo".into(),
            parts: vec![said(State::Waiting, 10)],
        };
        let lines = report.lines(false).join("\n");
        assert!(
            lines.contains("waiting") && lines.contains("do  what to do"),
            "{lines}"
        );
        assert!(lines.contains("since 1970-01-01 00:00:00"), "{lines}");
    }
}
