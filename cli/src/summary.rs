//! The live summary in the terminal.

use std::io::{IsTerminal, Write};

use crossterm::style::{Attribute, Color, Stylize};
use crossterm::{cursor, queue, terminal};

/// What the summary shows.
#[derive(Clone, Debug, Default)]
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
    pub(crate) lag_ms: Option<i64>,
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
    /// Whether all devices have been online at once.
    pub(crate) warm: bool,
    /// What is not as it should be with the parts, a line each.
    pub(crate) trouble: Vec<String>,
}

impl Picture {
    fn lines(&self, hints: &[String]) -> Vec<String> {
        let [online, offline, unmanageable, unobserved] = self.device_states;
        let [discovered, active, degraded, down, stale] = self.link_states;
        let ms = |v: Option<u64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v} ms"));
        let views = match self.lag_ms {
            Some(lag) => format!("views    {lag:>5} ms behind"),
            None => "views    none yet".to_owned(),
        };
        let mut lines = vec![
            format!("Mast demo, {} s{}", self.elapsed_s, self.progress()),
            String::new(),
            format!(
                "polls    {:>7.0}/s   rows {:>7.0}/s   failed {}",
                self.polls_per_s, self.rows_per_s, self.polls_failed
            ),
            format!(
                "{views}; rows visible after {} (p50), {} (p99)",
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
                n if !self.warm => format!(
                    "truth    {:>5} live links; the views have yet to see {n} links and devices",
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
        lines.extend(self.trouble.iter().map(|part| format!("trouble  {part}")));
        if !self.trouble.is_empty() {
            lines.push("trouble  `mast status` tells what to do".to_owned());
        }
        lines.push(String::new());
        lines.push("Recent transitions".to_owned());
        lines.extend(self.transitions.iter().map(|t| format!("  {t}")));
        if self.transitions.is_empty() {
            lines.push("  none yet".to_owned());
        }
        lines.push(String::new());
        lines.push("Try, in another terminal".to_owned());
        lines.extend(hints.iter().map(|h| format!("  {h}")));
        lines.push("Ctrl-C stops; starting again goes on from here.".to_owned());
        lines
    }

    /// How far the start has come.
    fn progress(&self) -> String {
        let [online, ..] = self.device_states;
        match (self.warm, online) {
            (true, _) => String::new(),
            (false, 0) => ": starting up, no device has answered yet".to_owned(),
            (false, _) => format!(": starting up, {online} of {} devices online", self.devices),
        }
    }

    fn line(&self) -> String {
        let [online, offline, unmanageable, unobserved] = self.device_states;
        let [discovered, active, degraded, down, stale] = self.link_states;
        format!(
            "{} s{}: {:.0} polls/s, {}; devices {online} online, {offline} offline, {unmanageable} unmanageable, \
             {unobserved} unobserved; links {active} active, {degraded} degraded, {discovered} discovered, {down} down, \
             {stale} stale; {} differences from the truth",
            self.elapsed_s,
            if self.warm { "" } else { " (starting up)" },
            self.polls_per_s,
            self.lag_ms.map_or_else(
                || "no views yet".to_owned(),
                |lag| format!("{lag} ms behind")
            ),
            self.differences.len()
        ) + &self
            .trouble
            .iter()
            .map(|part| format!("; {part}"))
            .collect::<String>()
    }
}

/// Draws pictures: over each other in a terminal, else a line every few seconds. To standard error: standard output is
/// for results.
pub(crate) struct Screen {
    terminal: bool,
    colours: bool,
    drawn: bool,
    hints: Vec<String>,
    last_line_s: Option<u64>,
}

impl Screen {
    /// A screen for this process.
    pub(crate) fn new(plain: bool) -> Self {
        Self {
            terminal: !plain && std::io::stderr().is_terminal(),
            colours: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            drawn: false,
            hints: Vec::new(),
            last_line_s: None,
        }
    }

    /// Says what is being done while there is no picture yet.
    pub(crate) fn step(&self, text: &str) {
        crate::output::note(text);
    }

    /// What to try next: under each picture, or said once.
    pub(crate) fn hints(&mut self, hints: Vec<String>) {
        self.hints = hints;
        if !self.terminal {
            self.step("to try, in another terminal:");
            for hint in &self.hints {
                self.step(&format!("  {hint}"));
            }
        }
    }

    /// Draws a picture. A terminal that went away is not worth failing for.
    pub(crate) fn draw(&mut self, picture: &Picture) {
        if !self.terminal {
            if self
                .last_line_s
                .is_none_or(|last| picture.elapsed_s >= last + 5)
            {
                self.last_line_s = Some(picture.elapsed_s);
                crate::output::note(&picture.line());
            }
            return;
        }
        let size = terminal::size().unwrap_or((120, 40));
        let mut out = std::io::stderr().lock();
        let _ = self.paint(&mut out, picture, size);
        let _ = out.flush();
        self.drawn = true;
    }

    /// Each line is cleared behind its text: it may be shorter than the one that was there.
    fn paint(
        &self,
        out: &mut impl Write,
        picture: &Picture,
        (width, height): (u16, u16),
    ) -> std::io::Result<()> {
        let (width, mut room) = (
            usize::from(width).max(20),
            usize::from(height).saturating_sub(1),
        );
        let clear = if self.drawn {
            terminal::ClearType::FromCursorDown
        } else {
            terminal::ClearType::All
        };
        queue!(out, terminal::Clear(clear), cursor::MoveTo(0, 0))?;
        for line in picture.lines(&self.hints) {
            // A command is never cut: half of one can't be pasted. The terminal wraps it.
            let command = self.hints.iter().any(|hint| line.trim_start() == hint);
            let text = if command { line } else { cut(&line, width - 1) };
            let rows = text.chars().count().div_ceil(width).max(1);
            if rows > room {
                break;
            }
            room -= rows;
            write!(out, "{}", self.coloured(text))?;
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
            write!(out, "\r\n")?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))
    }

    /// Headings stand out; so does what is wrong.
    fn coloured(&self, line: String) -> String {
        if !self.colours {
            return line;
        }
        let wrong = [
            "offline ",
            "unmanageable ",
            "unobserved ",
            "degraded ",
            "down ",
        ];
        let counts = line.starts_with("devices ") || line.starts_with("links ");
        if counts {
            return wrong
                .iter()
                .fold(line, |line, word| emphasized(&line, word));
        }
        let heading = !line.is_empty() && !line.starts_with(' ') && !line.contains("  ");
        match heading {
            true => line.attribute(Attribute::Bold).to_string(),
            false if line.starts_with("trouble ") => line.with(Color::Red).to_string(),
            false if line.contains(" differences, ") => line.with(Color::Yellow).to_string(),
            false => line,
        }
    }
}

/// `word` and the number behind it in red, unless that is 0.
fn emphasized(line: &str, word: &str) -> String {
    let Some(start) = line.find(&format!(" {word}")).map(|at| at + 1) else {
        return line.to_owned();
    };
    let digits = line[start + word.len()..]
        .find(|c: char| !c.is_ascii_digit())
        .map_or(line.len(), |n| start + word.len() + n);
    let (before, rest) = line.split_at(start);
    let (part, after) = rest.split_at(digits - start);
    match part.ends_with(" 0") {
        true => line.to_owned(),
        false => format!("{before}{}{after}", part.with(Color::Red)),
    }
}

/// At most `width` characters; what was cut is shown to be.
pub(crate) fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut text: String = line.chars().take(width.saturating_sub(1)).collect();
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            elapsed_s: 12,
            devices: 300,
            device_states: [290, 10, 0, 0],
            link_states: [0, 270, 9, 0, 0],
            links_truth: 280,
            differences: vec!["device tower-01-s1-ap is online, served as offline".to_owned()],
            ..Picture::default()
        }
    }

    #[test]
    fn the_lines_fit_a_narrow_terminal_or_say_that_they_are_cut() {
        for line in picture().lines(&[]) {
            let shown = cut(&line, 79);
            assert!(shown.chars().count() <= 79 && (shown == line || shown.ends_with('…')));
        }
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }

    #[test]
    fn the_start_is_told_until_all_were_online() {
        let mut picture = picture();
        assert!(picture.lines(&[])[0].contains("starting up, 290 of 300 devices online"));
        picture.warm = true;
        assert_eq!(picture.lines(&[])[0], "Mast demo, 12 s");
    }

    #[test]
    fn nothing_is_left_of_the_picture_before() {
        let mut screen = Screen::new(true);
        screen.drawn = true;
        let mut drawn = Vec::new();
        screen.paint(&mut drawn, &picture(), (100, 40)).unwrap();
        let drawn = String::from_utf8(drawn).unwrap();
        let (lines, cleared) = (drawn.matches("\r\n"), drawn.matches("\x1b[K\r\n"));
        assert_eq!(lines.count(), picture().lines(&[]).len());
        assert_eq!(cleared.count(), picture().lines(&[]).len());
        assert!(drawn.ends_with("\x1b[J"), "nor below it");
    }

    #[test]
    fn only_what_is_wrong_is_red() {
        let line = "devices    300  online 290  offline 10  unmanageable 0";
        let red = emphasized(line, "offline ");
        assert!(red.contains("offline 10") && red.len() > line.len());
        assert_eq!(emphasized(line, "unmanageable "), line);
        assert_eq!(emphasized(line, "degraded "), line);
    }
}
