//! A node's counters in the words of [`mast_schemas::health`].

use mast_schemas::health::{Health, Part, State};

use crate::node::{Concern, NodeStats, Status};

/// Polls that begin later than this are a machine that can't follow.
const LATE_MS: u64 = 5_000;
const LOG: &str = "see the log's state: it may be full, its disk may be, or its broker away";

impl NodeStats {
    /// How the node is; `before` are its counters some seconds ago.
    pub fn health(&self, name: &str, before: Option<&Self>) -> Health {
        let health = Health::ok(Part::Ingest, name)
            .number("devices", self.devices)
            .number("sessions", self.sessions)
            .number("polls", self.polls)
            .number("polls_failed", self.polls_failed)
            .number("rows", self.rows)
            .number("waiting_bytes", self.waiting_bytes)
            .number("spool_bytes", self.spool_bytes)
            .number("dropped_polls", self.polls_dropped)
            .number("late_ms", self.late_ms);
        let mut health = match &self.status {
            Status::Waiting(reason) if reason == "starting" => {
                health.troubled(State::Starting, "begins", "wait")
            }
            Status::Waiting(reason) => health.troubled(
                State::Waiting,
                reason,
                "mend what it waits for; it goes on by itself",
            ),
            Status::Polling(_) => health,
            Status::Stopped => health.troubled(State::Stopped, "", ""),
        };
        for (concern, reason) in &self.troubles {
            health = health.troubled(State::Degraded, reason, remedy(*concern));
        }
        let Some(before) = before else {
            return health;
        };
        let dropped = self.polls_dropped.saturating_sub(before.polls_dropped);
        if dropped > 0 {
            let reason = format!(
                "{dropped} polls were dropped: the log takes none, and no more may wait for it"
            );
            health = health.troubled(State::Failed, reason, LOG);
        }
        let stuck = self.waiting_bytes > 0
            && before.waiting_bytes > 0
            && self.polls_appended == before.polls_appended;
        if stuck {
            let reason = format!(
                "the log takes nothing; {} KiB wait for it",
                self.waiting_bytes >> 10
            );
            health = health.troubled(State::Degraded, reason, LOG);
        }
        if self.late_ms > LATE_MS {
            let reason = format!("polls begin up to {} s late", self.late_ms / 1_000);
            let remedy =
                "give this machine fewer devices, longer intervals, or more processor time";
            health = health.troubled(State::Degraded, reason, remedy);
        }
        health
    }
}

/// What helps, beyond what the reason says of itself.
const fn remedy(concern: Concern) -> &'static str {
    match concern {
        Concern::Clock => "set the clocks of this machine and of PostgreSQL's by NTP",
        Concern::Keys => "put the key of this installation back from its backup",
        Concern::Postgres => "see that PostgreSQL runs and can be reached",
        Concern::Log | Concern::Control => LOG,
        Concern::Spool => "make room on the spool's disk, and see that it can be written",
        Concern::Capacity => "raise the limit of open files, or start another ingest node",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(status: Status) -> NodeStats {
        NodeStats {
            status,
            devices: 3,
            polls: 9,
            polls_failed: 0,
            outcomes: [0; 8],
            rows: 0,
            issues: 0,
            polls_appended: 9,
            polls_dropped: 0,
            bytes: 0,
            waiting_bytes: 0,
            spool_bytes: 0,
            spool_polls: 0,
            sessions: 3,
            breakers_open: 0,
            late_ms: 0,
            troubles: Vec::new(),
        }
    }

    #[test]
    fn a_node_that_waits_says_for_what() {
        let why = "this machine's clock is 300000 ms off";
        let health = stats(Status::Waiting(why.to_owned())).health("a", None);
        assert_eq!(
            (health.state, health.reason.as_str()),
            (State::Waiting, why)
        );
        assert!(!health.remedy.is_empty());
    }

    #[test]
    fn a_log_that_takes_nothing_shows_before_polls_are_dropped() {
        let ok = stats(Status::Polling(4));
        let stuck = NodeStats {
            waiting_bytes: 5 << 20,
            ..ok.clone()
        };
        let health = stuck.health("a", Some(&ok));
        assert_eq!(health.state, State::Ok, "a batch on its way is no trouble");
        let health = stuck.health("a", Some(&stuck));
        assert_eq!(health.state, State::Degraded);
        let dropping = NodeStats {
            polls_dropped: 7,
            ..stuck.clone()
        };
        let health = dropping.health("a", Some(&stuck));
        assert_eq!(health.state, State::Failed);
        assert!(health.reason.starts_with("7 polls"), "{health:?}");
    }
}
