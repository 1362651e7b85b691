//! What a poll found.

use std::time::Duration;

use mast_schemas::message::SlowRows;
use mast_schemas::records::{Event, Interface, Outcome, Radio, Registration, Tables};

use super::slower::ingest_event;
use crate::parse::{DeviceFacts, Stamp};
use crate::tail::Mark;

/// Everything that a poll found; rows carry the default stamp until the producer sets it.
#[derive(Debug)]
pub struct Polled {
    /// How it ended.
    pub outcome: Outcome,
    /// What failed.
    pub detail: Option<String>,
    /// From the first byte sent to the last reply.
    pub round_trip: Option<Duration>,
    /// Of the device itself.
    pub facts: DeviceFacts,
    /// Tables read whole.
    pub tables: Tables,
    /// Rows in whole registration tables; null when none was read.
    pub registrations_read: Option<u32>,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Registrations.
    pub registrations: Vec<Registration>,
    /// Radios.
    pub radios: Vec<Radio>,
    /// Rows of the slower kinds.
    pub slow: SlowRows,
    /// How far the log has been read, where that is further than before.
    pub mark: Option<Mark>,
    /// Values that could not be typed.
    pub issues: u32,
}

impl Polled {
    /// A poll that read nothing.
    pub fn failed(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: Some(detail.into()),
            round_trip: None,
            facts: DeviceFacts::default(),
            tables: Tables::default(),
            registrations_read: None,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
            slow: SlowRows::default(),
            mark: None,
            issues: 0,
        }
    }

    /// Adds something that we have to say, behind what is there.
    pub(crate) fn add_event(&mut self, topics: &str, message: String) {
        let events = &mut self.slow.events;
        events.push(Event {
            line: events.len() as u32,
            topics: topics.to_owned(),
            ..ingest_event(Stamp::default(), message)
        });
    }
}
