//! The newest word of each part of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mast_postgres::Kept;
use mast_schemas::health::{Health, Part, State};

/// Shared by those who tell and those who are asked.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Shared>);

#[derive(Default)]
struct Shared {
    said: Mutex<BTreeMap<(Part, String), Health>>,
    /// The private server, where this process has one: it is asked, as it can't tell of itself.
    server: OnceLock<Kept>,
}

impl Board {
    pub(crate) fn put(&self, parts: &[Health]) {
        let mut held = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            held.insert((part.part, part.name.clone()), part.clone());
        }
    }

    /// Asks for the private server, too, from now on.
    pub(crate) fn watch(&self, server: Kept) {
        // A process has one.
        let _ = self.0.server.set(server);
    }

    /// Nothing until a part has said something.
    pub(crate) fn parts(&self) -> Vec<Health> {
        let held = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts: Vec<Health> = held.values().cloned().collect();
        if !parts.is_empty() {
            parts.extend(self.0.server.get().map(Kept::health));
        }
        parts
    }

    /// The worst of all parts; starting until one has said something.
    pub(crate) fn state(&self) -> State {
        let states = self.parts().into_iter().map(|part| part.state);
        states.max().unwrap_or(State::Starting)
    }

    /// Whether every part does its work. A degraded one does, and does not hide one that waits.
    pub(crate) fn is_ready(&self) -> bool {
        let parts = self.parts();
        let works = |part: &Health| matches!(part.state, State::Ok | State::Degraded);
        !parts.is_empty() && parts.iter().all(works)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degraded_part_does_not_hide_one_that_waits() {
        let board = Board::default();
        assert!(!board.is_ready(), "nobody has said anything yet");
        let ingest = Health::ok(Part::Ingest, "a").troubled(State::Degraded, "why", "what to do");
        board.put(&[ingest]);
        assert!(board.is_ready());
        let job = Health::ok(Part::Dataflow, "main").troubled(State::Waiting, "why", "what to do");
        board.put(&[job]);
        assert_eq!(board.state(), State::Degraded);
        assert!(!board.is_ready());
    }
}
