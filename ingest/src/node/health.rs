//! What is wrong with a node, each thing told once when it begins and once when it ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// This machine's clock.
    Clock,
    /// Credentials that can't be opened.
    Keys,
    /// PostgreSQL is away.
    Postgres,
    /// The log takes nothing.
    Log,
    /// The spool takes nothing.
    Spool,
    /// The control topic can't be read.
    Control,
    /// Not enough room for all devices.
    Capacity,
}

impl Concern {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Clock,
        Self::Keys,
        Self::Postgres,
        Self::Log,
        Self::Spool,
        Self::Control,
        Self::Capacity,
    ];

    /// Its name in rows, metrics and log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Keys => "keys",
            Self::Postgres => "postgres",
            Self::Log => "log",
            Self::Spool => "spool",
            Self::Control => "control",
            Self::Capacity => "capacity",
        }
    }
}

/// What is wrong now.
#[derive(Debug, Default)]
pub(super) struct Health {
    now: Mutex<BTreeMap<Concern, String>>,
}

impl Health {
    /// Notes what is wrong, or that it is not any more; the log hears of changes of what, not of each change of the words.
    pub(super) fn note(&self, concern: Concern, reason: Option<String>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let known = now.contains_key(&concern);
        match reason {
            Some(reason) => {
                if !known {
                    tracing::error!(concern = concern.name(), reason, "ingest is in trouble");
                }
                now.insert(concern, reason);
            }
            None if known => {
                tracing::info!(concern = concern.name(), "ingest's trouble is over");
                now.remove(&concern);
            }
            None => {}
        }
    }

    /// All that is wrong.
    pub(super) fn all(&self) -> Vec<(Concern, String)> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.iter().map(|(c, reason)| (*c, reason.clone())).collect()
    }
}
