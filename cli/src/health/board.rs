//! The newest word of each part of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mast_schemas::health::{Health, Part, State};

/// Shared by those who tell and those who are asked.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<(Part, String), Health>>>);

impl Board {
    pub(crate) fn put(&self, parts: &[Health]) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts {
            held.insert((part.part, part.name.clone()), part.clone());
        }
    }

    pub(crate) fn parts(&self) -> Vec<Health> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
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
