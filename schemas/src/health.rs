//! How a part is, in words that `mast status`, `/health/ready` and the log share.
//!
//! A part that is not ok says why, and what a person can do. The trap avoided: a state without a reason, which only says
//! that somebody must look elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

crate::words! {
    /// What is looked after.
    Part, "part" {
        /// An ingest node.
        Ingest = "ingest",
        /// The log of records.
        Log = "log",
        /// A dataflow job.
        Dataflow = "dataflow",
        /// A job's checkpoints.
        Checkpoints = "checkpoints",
        /// Writing history.
        Lake = "lake",
        /// A relay between Postgres and the log.
        Relay = "relay",
        /// What people are to be told.
        Notifications = "notifications",
        /// The database.
        Postgres = "postgres",
        /// The key of the devices' credentials.
        Keys = "keys",
        /// A file system.
        Disk = "disk",
    }
}

crate::words! {
    /// How a part is. The later, the worse.
    State, "state" {
        /// It does its work.
        Ok = "ok",
        /// It was stopped in order.
        Stopped = "stopped",
        /// It begins, or works off what was left.
        Starting = "starting",
        /// It can't work for want of another part, and goes on by itself once that is back.
        Waiting = "waiting",
        /// It works, but not as it should.
        Degraded = "degraded",
        /// It does not work, and a person must do something.
        Failed = "failed",
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Which part.
    pub part: Part,
    /// Which of its kind.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Why; empty where the state says it all.
    pub reason: String,
    /// What to do; empty where there is nothing to do.
    pub remedy: String,
    /// Key numbers, by name with unit.
    pub numbers: BTreeMap<String, i64>,
}

impl Health {
    /// A part that is ok.
    pub fn ok(part: Part, name: impl Into<String>) -> Self {
        Self {
            part,
            name: name.into(),
            state: State::Ok,
            reason: String::new(),
            remedy: String::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Takes on a trouble, unless a worse one is told already.
    #[must_use]
    pub fn troubled(
        mut self,
        state: State,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        if state > self.state {
            (self.state, self.reason, self.remedy) = (state, reason.into(), remedy.into());
        }
        self
    }

    /// With a number.
    #[must_use]
    pub fn number(mut self, name: &str, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.numbers.insert(name.to_owned(), value);
        self
    }
}

/// A trouble of a part that goes on, as it is told while the part tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How bad.
    pub state: State,
    /// What does not work, and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_trouble_is_the_one_that_is_told() {
        let lake = Health::ok(Part::Lake, "main")
            .troubled(State::Waiting, "Postgres is away", "")
            .troubled(State::Failed, "the disk is full", "make room")
            .troubled(State::Degraded, "slow", "");
        assert_eq!(
            (lake.state, lake.reason.as_str()),
            (State::Failed, "the disk is full")
        );
    }
}
