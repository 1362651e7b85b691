//! What was said to a fleet and when, so that a restarted one goes on where it would be.
//!
//! One line of text each: the first names the fleet and its origin, the others are
//! `MILLISECONDS control line`. A line is handed to the kernel before it is carried out; a line cut
//! short by a crash of the machine is left out.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::Ipv4Addr,
    path::Path,
};

use routeros_api::{Sentence, server::Request};

use crate::{
    error::SimulatorError,
    world::{logbook::What, model::Plan},
};

/// What was said: when (simulated milliseconds), and the line.
pub(crate) type Said = Vec<(i64, String)>;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens or begins the journal of `fleet`; gives its origin (Unix ms) and what was said.
    pub(crate) fn open(
        path: &Path,
        fleet: &str,
        now_unix_ms: i64,
    ) -> Result<(Self, i64, Said), SimulatorError> {
        let what = || format!("opening the journal {}", path.display());
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(SimulatorError::io(what()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(SimulatorError::io(what()))?;
        let wrong = |reason: String| SimulatorError::Journal {
            path: path.to_owned(),
            reason,
        };
        let Some((first, rest)) = text.split_once('\n') else {
            file.set_len(0).map_err(SimulatorError::io(what()))?;
            writeln!(file, "{now_unix_ms} {fleet}").map_err(SimulatorError::io(what()))?;
            return Ok((Self(file), now_unix_ms, Vec::new()));
        };
        let (origin, of) = split(first).ok_or_else(|| wrong("it is no journal".into()))?;
        if of != fleet {
            return Err(wrong(format!("it is of the fleet {of}, not {fleet}")));
        }
        let whole = rest.rfind('\n').map_or(0, |end| end + 1);
        if whole < rest.len() {
            let kept = (first.len() + 1 + whole) as u64;
            file.set_len(kept).map_err(SimulatorError::io(what()))?;
        }
        let said = rest[..whole].lines().map(|line| {
            split(line)
                .map(|(at, said)| (at, said.to_owned()))
                .ok_or_else(|| wrong(format!("bad line {line:?}")))
        });
        Ok((Self(file), origin, said.collect::<Result<_, _>>()?))
    }

    /// Adds a line.
    pub(crate) fn append(&mut self, at_ms: i64, line: &str) -> io::Result<()> {
        self.0
            .write_all(format!("{at_ms} {}\n", line.replace('\n', " ")).as_bytes())
    }
}

/// A command that changed a device, as a line: its words in hex.
#[derive(Debug)]
pub(crate) struct Configured;

impl Configured {
    const WORD: &str = "config";

    pub(crate) fn line(plan: &Plan, device: usize, request: &Request) -> String {
        let mut line = format!("{} {}", Self::WORD, plan.devices[device].address);
        for word in request.sentence().words() {
            line.push(' ');
            line.push_str(&hex(word));
        }
        line
    }

    /// `None` = it is another line.
    pub(crate) fn read(plan: &Plan, line: &str) -> Option<Result<(usize, Request), String>> {
        let mut parts = line.strip_prefix(Self::WORD)?.strip_prefix(' ')?.split(' ');
        let device = parts.next().and_then(|text| text.parse().ok());
        let device = device.and_then(|address| plan.device_at(address));
        let words: Option<Vec<Vec<u8>>> = parts.map(unhex).collect();
        Some(match (device, words) {
            (Some(device), Some(words)) => Ok((device, Request::new(Sentence::from_words(words)))),
            _ => Err(format!("bad line {line:?}")),
        })
    }
}

/// What a session left in a device's log, as a line. All else that is in a log follows from what happens.
#[derive(Debug)]
pub(crate) struct Noted;

impl Noted {
    const WORD: &str = "log";

    /// `None` = it follows from what happens.
    pub(crate) fn line(plan: &Plan, device: usize, what: &What) -> Option<String> {
        let (verb, from, tls, user) = match what {
            What::LoggedIn { from, tls } => ("in", from, tls, None),
            What::LoggedOut { from, tls } => ("out", from, tls, None),
            What::LoginFailed { user, from, tls } => ("failed", from, tls, Some(user)),
            _ => return None,
        };
        let address = plan.devices[device].address;
        let door = if *tls { "tls" } else { "plain" };
        let user = user.map_or_else(String::new, |user| format!(" {}", hex(user.as_bytes())));
        Some(format!(
            "{} {address} {verb} {from} {door}{user}",
            Self::WORD
        ))
    }

    /// `None` = it is another line.
    pub(crate) fn read(plan: &Plan, line: &str) -> Option<Result<(usize, What), String>> {
        let rest = line.strip_prefix(Self::WORD)?.strip_prefix(' ')?;
        Some(Self::parse(plan, rest).ok_or_else(|| format!("bad line {line:?}")))
    }

    fn parse(plan: &Plan, rest: &str) -> Option<(usize, What)> {
        let mut parts = rest.split(' ');
        let device = plan.device_at(parts.next()?.parse().ok()?)?;
        let verb = parts.next()?;
        let from: Ipv4Addr = parts.next()?.parse().ok()?;
        let tls = match parts.next()? {
            "tls" => true,
            "plain" => false,
            _ => return None,
        };
        let what = match verb {
            "in" => What::LoggedIn { from, tls },
            "out" => What::LoggedOut { from, tls },
            "failed" => {
                let user = String::from_utf8(unhex(parts.next()?)?).ok()?.into();
                What::LoginFailed { user, from, tls }
            }
            _ => return None,
        };
        parts.next().is_none().then_some((device, what))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| (pair[0] * 16 + pair[1]) as u8)
            .collect(),
    )
}

fn split(line: &str) -> Option<(i64, &str)> {
    let (number, rest) = line.split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sessions_leave_in_a_log_is_read_again() {
        let plan = crate::world::layout::lay_out(1, 10, 0);
        let from = Ipv4Addr::LOCALHOST;
        let user = "m\u{e9} \n".into();
        for what in [
            What::LoggedIn { from, tls: true },
            What::LoggedOut { from, tls: false },
            What::LoginFailed {
                user,
                from,
                tls: true,
            },
        ] {
            let line = Noted::line(&plan, 3, &what).unwrap();
            assert_eq!(Noted::read(&plan, &line), Some(Ok((3, what))), "{line}");
        }
        assert_eq!(Noted::line(&plan, 3, &What::Rebooted), None);
        assert_eq!(Noted::read(&plan, "heal"), None);
        for bad in ["log", "log 127.9.9.9 in 127.0.0.1 tls", "log x"] {
            assert!(!matches!(Noted::read(&plan, bad), Some(Ok(_))), "{bad}");
        }
    }

    #[test]
    fn what_was_said_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, origin, said) = Journal::open(&path, "seed=1", 5_000).unwrap();
        assert_eq!((origin, said.len()), (5_000, 0));
        journal.append(1_250, "reboot device=1").unwrap();
        drop(journal);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"2000 heal")
            .unwrap();
        for _ in 0..2 {
            let (_, origin, said) = Journal::open(&path, "seed=1", 9_000).unwrap();
            assert_eq!(origin, 5_000);
            assert_eq!(
                said,
                [(1_250, "reboot device=1".to_owned())],
                "a cut line is left out"
            );
        }
        assert!(matches!(
            Journal::open(&path, "seed=2", 9_000),
            Err(SimulatorError::Journal { .. })
        ));
    }
}
