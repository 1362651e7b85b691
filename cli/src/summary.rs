//! The live summary in the terminal.

use std::io::{IsTerminal, Write};

use crossterm::{cursor, queue, terminal};

/// What the summary shows.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// Seconds since the start.
    pub(crate) elapsed_s: u64,
    /// What ingest is doing, if it is not polling.
    pub(crate) waiting: Option<String>,
    /// Polls a second, over the last second.
    pub(crate) polls_per_s: f64,
    /// Rows a second.
    pub(crate) rows_per_s: f64,
    /// Polls that read nothing, in all.
    pub(crate) polls_failed: u64,
    /// How far the views are behind the clock.
    pub(crate) lag_ms: i64,
    /// Observation to commit, half and 99 of 100 rows.
    pub(crate) fresh_ms: (Option<u64>, Option<u64>),
    /// Devices in all.
    pub(crate) devices: usize,
    /// Devices online, offline, unmanageable, unobserved.
    pub(crate) device_states: [usize; 4],
    /// Links discovered, active, degraded, down, stale.
    pub(crate) link_states: [usize; 5],
    /// Live links by the truth.
    pub(crate) links_truth: usize,
    /// Differences from the truth.
    pub(crate) differences: Vec<String>,
    /// The newest transitions.
    pub(crate) transitions: Vec<String>,
    /// What to try next.
    pub(crate) hints: Vec<String>,
}

impl Picture {
    fn lines(&self) -> Vec<String> {
        let [online, offline, unmanageable, unobserved] = self.device_states;
        let [discovered, active, degraded, down, stale] = self.link_states;
        let ms = |v: Option<u64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v} ms"));
        let mut lines = vec![
            format!("Mast demo, {} s", self.elapsed_s),
            String::new(),
            format!(
                "polls    {:>7.0}/s   rows {:>7.0}/s   failed {}",
                self.polls_per_s, self.rows_per_s, self.polls_failed
            ),
            format!(
                "views    {:>5} ms behind the clock, rows visible after {} (p50), {} (p99)",
                self.lag_ms,
                ms(self.fresh_ms.0),
                ms(self.fresh_ms.1)
            ),
            format!(
                "devices  {:>5}  online {online}  offline {offline}  unmanageable {unmanageable}  unobserved {unobserved}",
                self.devices
            ),
            format!(
                "links    {:>5}  active {active}  degraded {degraded}  discovered {discovered}  down {down}  stale {stale}",
                discovered + active + degraded + down + stale
            ),
            match self.differences.len() {
                0 => format!(
                    "truth    {:>5} live links; views and truth agree",
                    self.links_truth
                ),
                n => format!(
                    "truth    {:>5} live links; {n} differences, such as: {}",
                    self.links_truth, self.differences[0]
                ),
            },
        ];
        lines.extend(
            self.waiting
                .iter()
                .map(|reason| format!("ingest   waits: {reason}")),
        );
        lines.push(String::new());
        lines.push("Recent transitions".to_owned());
        lines.extend(self.transitions.iter().map(|t| format!("  {t}")));
        if self.transitions.is_empty() {
            lines.push("  none yet".to_owned());
        }
        lines.push(String::new());
        lines.push("Try, in another terminal".to_owned());
        lines.extend(self.hints.iter().map(|h| format!("  {h}")));
        lines.push("Ctrl-C stops; starting again goes on from here.".to_owned());
        lines
    }

    fn line(&self) -> String {
        let [online, offline, unmanageable, unobserved] = self.device_states;
        let [discovered, active, degraded, down, stale] = self.link_states;
        format!(
            "{} s: {:.0} polls/s, {} ms behind; devices {online} online, {offline} offline, {unmanageable} unmanageable, \
             {unobserved} unobserved; links {active} active, {degraded} degraded, {discovered} discovered, {down} down, \
             {stale} stale; {} differences from the truth",
            self.elapsed_s,
            self.polls_per_s,
            self.lag_ms,
            self.differences.len()
        )
    }
}

/// Draws pictures: over each other in a terminal, else a line every few seconds. To standard error: standard output is
/// for results.
pub(crate) struct Screen {
    terminal: bool,
    drawn: bool,
    last_line_s: Option<u64>,
}

impl Screen {
    /// A screen for this process.
    pub(crate) fn new(plain: bool) -> Self {
        Self {
            terminal: !plain && std::io::stderr().is_terminal(),
            drawn: false,
            last_line_s: None,
        }
    }

    /// Says what is being done while there is no picture yet.
    pub(crate) fn step(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Draws a picture. A terminal that went away is not worth failing for.
    pub(crate) fn draw(&mut self, picture: &Picture) {
        if !self.terminal {
            if self
                .last_line_s
                .is_none_or(|last| picture.elapsed_s >= last + 5)
            {
                self.last_line_s = Some(picture.elapsed_s);
                eprintln!("{}", picture.line());
            }
            return;
        }
        let mut out = std::io::stderr().lock();
        let (width, height) = terminal::size().unwrap_or((120, 40));
        let clear = if self.drawn {
            terminal::ClearType::FromCursorDown
        } else {
            terminal::ClearType::All
        };
        let _ = queue!(out, terminal::Clear(clear), cursor::MoveTo(0, 0));
        for line in picture
            .lines()
            .iter()
            .take(usize::from(height).saturating_sub(1))
        {
            let text: String = line
                .chars()
                .take(usize::from(width).saturating_sub(1))
                .collect();
            let _ = queue!(out, terminal::Clear(terminal::ClearType::CurrentLine));
            let _ = write!(out, "{text}\r\n");
        }
        let _ = queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown));
        let _ = out.flush();
        self.drawn = true;
    }
}
