//! What was said to a fleet and when, so that a restarted one goes on where it would be.
//!
//! One line of text each: the first names the fleet and its origin, the others are
//! `MILLISECONDS control line`. A line is handed to the kernel before it is carried out; a line cut
//! short by a crash of the machine is left out.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use routeros_api::{Sentence, server::Request};

use crate::{error::SimulatorError, world::model::Plan};

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
            line.extend(word.iter().map(|byte| format!("{byte:02x}")));
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
