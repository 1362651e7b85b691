//! Tables for people: aligned columns that fit the terminal.
//!
//! Routers name things as they like. The trap avoided: a name that holds what a terminal obeys.

use std::io::IsTerminal;

use crossterm::terminal;

use crate::summary::cut;

/// Room between columns.
const GAP: usize = 2;
/// No column is made narrower than this.
const NARROWEST: usize = 6;

/// Rows under a heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|name| name.to_uppercase());
        Self {
            rows: vec![head.collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|cell| plain(&cell)).collect());
    }

    /// To standard output: as wide as the terminal, or as wide as it takes where there is none.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(|| size().0);
        crate::output::line(&self.lines(width).join("\n"))
    }

    /// The widest columns give first.
    fn widths(&self, most: Option<usize>) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(n));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(wide).collect();
        let Some(most) = most else {
            return widths;
        };
        let gaps = GAP * columns.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > most {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }

    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let cells = cells.map(|(cell, width)| format!("{:<width$}", cut(cell, *width)));
            let cells: Vec<String> = cells.collect();
            cells.join(&" ".repeat(GAP)).trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// Columns and lines of the terminal; one that tells none is taken for an ordinary one.
pub(crate) fn size() -> (usize, usize) {
    match terminal::size() {
        Ok((width, height)) if width > 0 && height > 0 => (width.into(), height.into()),
        _ => (80, 24),
    }
}

/// Without what a terminal obeys.
pub(crate) fn plain(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["name", "state"]);
        table.row(["a".repeat(30), "online".to_owned()]);
        table.row(["b\x1b[2J".to_owned(), "down".to_owned()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_fit() {
        let lines = table().lines(None);
        assert_eq!(lines[0].find("STATE"), lines[1].find("online"));
        for width in [20, 30] {
            let lines = table().lines(Some(width));
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{lines:?}"
            );
            assert!(
                lines[1].contains('…') && lines[1].ends_with("online"),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert!(!table().lines(None).concat().contains('\x1b'));
    }
}
