//! Passwords that a person gives: typed and not shown, or in a file. Never an argument, which every user of the machine sees.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, read as next_event};
use crossterm::terminal;

/// The first line of a file; `-` is standard input.
pub(crate) fn read(file: &Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin().lock()).context("read standard input")?
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("read the password file {}", file.display()))?
    };
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("{} has no first line", file.display());
    }
    Ok(line.to_owned())
}

/// Asks whoever sits at the terminal.
pub(crate) fn ask(question: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!("there is no terminal to ask for the password at; give it with --password-file");
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question}")?;
    err.flush()?;
    let typed = typed();
    writeln!(err)?;
    typed
}

/// The terminal is as it was afterwards, however this ends.
struct Raw;

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
    }
}

fn typed() -> anyhow::Result<String> {
    terminal::enable_raw_mode().context("set the terminal not to show what is typed")?;
    let _raw = Raw;
    let mut password = String::new();
    loop {
        let Event::Key(key) = next_event()? else {
            continue;
        };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Ok(password),
            KeyCode::Char('c' | 'd') if control => bail!("no password was given"),
            KeyCode::Char('u') if control => password.clear(),
            KeyCode::Backspace => drop(password.pop()),
            KeyCode::Char(letter) if !control => password.push(letter),
            _ => {}
        }
    }
}
