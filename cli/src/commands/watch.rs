//! `mast watch`: views as they change.
//!
//! The API's stream says what changed, and when. Names and measurements, which it does not carry, are read from the list that it
//! makes outdated: at most once a second.

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use crossterm::event::{Event as Input, KeyCode, KeyModifiers};
use crossterm::style::Stylize;
use crossterm::{cursor, execute, queue, terminal};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::commands::link::{Chosen, FIELDS, STATES};
use crate::config::{Config, Flags};
use crate::events::Events;
use crate::local::{Asker, Filter, Of, shown};
use crate::standalone::stop_signal;
use crate::table::{Table, plain, size};

/// The list is read at most so often.
const PACE: Duration = Duration::from_secs(1);
/// Measurements are read anew after so long, where nothing else changed.
const STALE: Duration = Duration::from_secs(10);
/// People move and rename devices: they are asked for anew after so long.
const FORGET: Duration = Duration::from_secs(60);
/// A link is marked for so long after it changed.
const MARKED: Duration = Duration::from_secs(10);

/// Follow views as they change, in the terminal.
///
/// By the data folder, beside a running installation.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    of: Of,
}

const EXAMPLES: &str = "\
Examples:
  mast watch links --data noc
  mast watch links --data noc --state degraded --site hill
  mast watch links --data noc | grep down      a line a change
  mast watch links --data noc --json | jq .    an object a change";

#[derive(Subcommand)]
enum What {
    /// Links, the worst first; those that just changed stand out. q ends.
    ///
    /// Where standard output is no terminal, or with --json: a line for each change, from now on.
    Links {
        /// Those in this state alone; of changes, those to it.
        #[arg(long, value_parser = STATES.map(|(state, _)| state))]
        state: Option<String>,
        /// Those of this site alone, by name.
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
    },
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        let What::Links { state, site } = what;
        let stop = stop_signal()?;
        tokio::pin!(stop);
        of.with(config, async |api| {
            let chosen = Chosen::of(api, state.as_deref(), site.as_deref()).await?;
            let events = api.listen("links").await?;
            tokio::select! {
                watched = watch(api, &chosen, events, of.json) => watched,
                () = &mut stop => Ok(()),
            }
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn watch(api: &Asker, chosen: &Chosen<'_>, events: Events, json: bool) -> anyhow::Result<()> {
    if json || !std::io::stdout().is_terminal() {
        return lines(api, chosen, events, json).await;
    }
    screen(api, chosen, events).await
}

/// A line for each change.
async fn lines(
    api: &Asker,
    chosen: &Chosen<'_>,
    mut events: Events,
    json: bool,
) -> anyhow::Result<()> {
    let mut known = Known::default();
    let mut ready = false;
    while let Some(event) = events.next().await? {
        match event.name.as_str() {
            "reset" => known.states.clear(),
            "snapshot" => known.learn(array(&event.data, "rows")),
            "ready" if !ready => {
                ready = true;
                crate::output::note(&format!("watching {} links", known.states.len()));
            }
            "changes" => {
                for change in array(&event.data, "changes") {
                    let from = known.change(change);
                    if known.is_chosen(api, chosen, change).await? {
                        let line = match json {
                            true => change.to_string(),
                            false => known.line(change, from.as_deref()),
                        };
                        crate::output::line(&line)?;
                    }
                }
            }
            _ => {}
        }
    }
    anyhow::bail!("the stream has ended: is the tenant gone?")
}

fn array<'a>(data: &'a Value, field: &str) -> &'a [Value] {
    data[field].as_array().map_or(&[], Vec::as_slice)
}

/// What is known of links and devices.
#[derive(Default)]
struct Known {
    /// States of links.
    states: HashMap<String, String>,
    /// Devices that were asked for, and when.
    devices: HashMap<String, (Instant, Option<Value>)>,
}

impl Known {
    fn learn(&mut self, rows: &[Value]) {
        let rows = rows
            .iter()
            .map(|row| (shown(row, "id"), shown(row, "state")));
        self.states.extend(rows);
    }

    /// Takes a change in. Returns the state before it.
    fn change(&mut self, change: &Value) -> Option<String> {
        let id = shown(change, "id");
        match &change["row"] {
            Value::Null => self.states.remove(&id),
            row => self.states.insert(id, shown(row, "state")),
        }
    }

    async fn is_chosen(
        &mut self,
        api: &Asker,
        chosen: &Chosen<'_>,
        change: &Value,
    ) -> anyhow::Result<bool> {
        let row = &change["row"];
        if chosen.state.is_some_and(|state| row["state"] != state) {
            return Ok(false);
        }
        // The id of a link begins with that of its access point.
        let id = shown(change, "id");
        let ap = id.split('.').next().unwrap_or_default().to_owned();
        for device in [ap.clone(), shown(row, "cpe_device_id")] {
            let asked = self.devices.get(&device);
            let known = asked.is_some_and(|(at, _)| at.elapsed() < FORGET);
            if !device.is_empty() && !known {
                let filter = Filter::default().is("id", &device);
                let found = api.find("/api/v1/devices", &filter).await?;
                self.devices.insert(device, (Instant::now(), found));
            }
        }
        let site = self
            .devices
            .get(&ap)
            .and_then(|(_, device)| device.as_ref()?["site_id"].as_str());
        Ok(chosen.site_id.is_none() || chosen.site_id.as_deref() == site)
    }

    /// A change in words.
    fn line(&self, change: &Value, from: Option<&str>) -> String {
        let (id, row) = (shown(change, "id"), &change["row"]);
        let mut parts = id.split('.');
        let (ap, mac) = (
            parts.next().unwrap_or_default(),
            parts.nth(1).unwrap_or_default(),
        );
        let name = |id: &str, otherwise: &str| {
            let device = self.devices.get(id).and_then(|(_, device)| device.as_ref());
            device.map_or_else(|| otherwise.to_owned(), |device| shown(device, "name"))
        };
        let client = name(&shown(row, "cpe_device_id"), mac);
        let from = from.unwrap_or("new");
        let line = match row {
            Value::Null => format!("{} {client}: {from} -> forgotten", name(ap, ap)),
            row => format!(
                "{} {} {client}: {from} -> {} ({})",
                shown(row, "since"),
                name(ap, ap),
                shown(row, "state"),
                shown(row, "reason"),
            ),
        };
        plain(&line)
    }
}

/// The terminal is as it was afterwards, however this ends.
struct Screen;

impl Screen {
    fn take() -> anyhow::Result<Self> {
        terminal::enable_raw_mode().context("take the terminal")?;
        let screen = Self;
        execute!(
            std::io::stdout(),
            terminal::EnterAlternateScreen,
            cursor::Hide
        )?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody could be told.
        let _ = execute!(
            std::io::stdout(),
            cursor::Show,
            terminal::LeaveAlternateScreen
        );
        let _ = terminal::disable_raw_mode();
    }
}

/// A table that is kept up to date.
async fn screen(api: &Asker, chosen: &Chosen<'_>, mut events: Events) -> anyhow::Result<()> {
    let _screen = Screen::take()?;
    let mut inputs = inputs();
    let mut marks = Marks::default();
    let mut links = Vec::new();
    let mut more = false;
    let mut due = Instant::now();
    loop {
        tokio::select! {
            event = events.next() => {
                let event = event?.context("the stream has ended: is the tenant gone?")?;
                if event.name == "changes" {
                    let changed = array(&event.data, "changes");
                    marks.mark(changed.iter().map(|change| shown(change, "id")));
                    due = due.min(marks.read_at + PACE);
                }
            }
            () = sleep_until(due) => {
                (links, more) = chosen.worst(api, size().1).await?;
                let now = Instant::now();
                marks.read_at = now;
                due = now + STALE.min(marks.until(now));
                draw(&links, more, &marks)?;
            }
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if ends(&key) => return Ok(()),
                Some(Input::Resize(..)) => {
                    due = Instant::now();
                    draw(&links, more, &marks)?;
                }
                Some(_) => {}
                None => anyhow::bail!("the terminal is gone"),
            }
        }
    }
}

fn ends(key: &crossterm::event::KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        || (control && matches!(key.code, KeyCode::Char('c' | 'd')))
}

/// What is typed. Whoever reads a terminal can't be woken: the thread ends with the process.
fn inputs() -> mpsc::Receiver<Input> {
    let (sender, inputs) = mpsc::channel(8);
    std::thread::spawn(move || {
        while let Ok(input) = crossterm::event::read() {
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    inputs
}

/// Links that just changed.
struct Marks {
    marked: HashMap<String, Instant>,
    read_at: Instant,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            marked: HashMap::new(),
            read_at: Instant::now(),
        }
    }
}

impl Marks {
    fn mark(&mut self, ids: impl Iterator<Item = String>) {
        let now = Instant::now();
        self.marked.retain(|_, at| now - *at < MARKED);
        self.marked.extend(ids.map(|id| (id, now)));
    }

    /// Until the next of them is no longer marked.
    fn until(&self, now: Instant) -> Duration {
        let left = self
            .marked
            .values()
            .filter_map(|at| (*at + MARKED).checked_duration_since(now));
        left.filter(|left| !left.is_zero()).min().unwrap_or(STALE)
    }

    fn has(&self, id: &str, now: Instant) -> bool {
        self.marked.get(id).is_some_and(|at| now - *at < MARKED)
    }
}

fn draw(links: &[Value], more: bool, marks: &Marks) -> anyhow::Result<()> {
    let (width, height) = size();
    let mut table = Table::new(FIELDS);
    for link in links {
        table.row(FIELDS.iter().map(|field| shown(link, field)));
    }
    let now = Instant::now();
    let marked: HashSet<usize> = (1..)
        .zip(links)
        .filter(|(_, link)| marks.has(&shown(link, "id"), now))
        .map(|(line, _)| line)
        .collect();
    let mut out = std::io::stdout().lock();
    queue!(out, cursor::MoveTo(0, 0))?;
    let room = height.saturating_sub(1);
    for (n, line) in table.lines(Some(width)).iter().take(room).enumerate() {
        queue!(out, terminal::Clear(terminal::ClearType::CurrentLine))?;
        match (n, marked.contains(&n)) {
            (0, _) => write!(out, "{}\r\n", line.as_str().bold())?,
            (_, true) => write!(out, "{}\r\n", line.as_str().reverse())?,
            (_, false) => write!(out, "{line}\r\n")?,
        }
    }
    queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
    let foot = match (links.is_empty(), more || links.len() + 1 > room) {
        (true, _) => "no links; q ends",
        (_, true) => "the worst; there are more. q ends",
        (_, false) => "all there are. q ends",
    };
    write!(out, "{foot}")?;
    Ok(out.flush()?)
}
