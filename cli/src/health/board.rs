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
}
