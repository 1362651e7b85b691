//! What a job cannot do right now, and what a person can do about it.
//!
//! A part that fails tells its trouble here and tries again; when it succeeds it takes the trouble back. Each is logged when
//! it begins and when it ends, however often it is tried in between, and is there to be asked for as long as it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mast_lake::LakeError;
use mast_log::LogError;
use mast_schemas::health::{State, Trouble};
use mast_schemas::metric::Metric;

use crate::error::{DataflowError, Lost, accept};

/// What can be in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The job itself, which ended.
    Job,
    /// Writing bindings to the log.
    Bindings,
    /// Committing views to Postgres.
    Commit,
    /// Committing history.
    Lake,
    /// Taking more history, of which as much waits for the lake as may.
    Stall,
    /// Rolling up, compacting and dropping history.
    Upkeep,
    /// Writing checkpoints.
    Checkpoint,
    /// The relay from the outbox to the control topic.
    Outbox,
    /// The relay of transitions to the event topic.
    Events,
    /// Writing gauges.
    Gauges,
}

impl Place {
    const fn what(self) -> &'static str {
        match self {
            Self::Job => "the job ended",
            Self::Bindings => "bindings cannot be appended",
            Self::Commit => "a group cannot be committed",
            Self::Lake => "the lake cannot be committed",
            Self::Stall => "views stand still",
            Self::Upkeep => "history cannot be rolled up or put in order",
            Self::Checkpoint => "no checkpoint can be written",
            Self::Outbox => "control records cannot be relayed",
            Self::Events => "events cannot be relayed",
            Self::Gauges => "gauges cannot be written",
        }
    }

    fn count(self, error: &DataflowError) {
        match self {
            Self::Lake => Metric::LakeFailures.add(&[], 1),
            Self::Checkpoint => Metric::DataflowCheckpointFailures.add(&[], 1),
            Self::Outbox => Metric::DataflowRelayFailures.add(&["outbox"], 1),
            Self::Events => Metric::DataflowRelayFailures.add(&["events"], 1),
            _ => {}
        }
        match error {
            DataflowError::Gap { lost, .. } => lost.iter().for_each(Lost::show),
            DataflowError::Postgres(_) => Metric::PostgresErrors.add(&["dataflow"], 1),
            DataflowError::Lake(LakeError::Postgres(_)) => {
                Metric::PostgresErrors.add(&["lake"], 1);
            }
            _ => {}
        }
    }
}

/// The troubles of a job; clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<Place, Trouble>>>);

impl Troubles {
    /// The troubles that there are now.
    pub fn now(&self) -> BTreeMap<Place, Trouble> {
        self.list().clone()
    }

    /// Takes note of a failure.
    pub(crate) fn tell(&self, place: Place, error: &DataflowError) {
        place.count(error);
        let trouble = trouble(place, error);
        let (known, remedy) = (self.list().insert(place, trouble.clone()), trouble.remedy);
        if known.is_none_or(|known| known.remedy != remedy) {
            let what = place.what();
            match trouble.state {
                State::Failed => tracing::error!(%error, remedy, "{what}"),
                _ => tracing::warn!(%error, remedy, "{what}; trying again"),
            }
        } else {
            tracing::debug!(%error, remedy, "{}; trying again", place.what());
        }
    }

    /// Takes note that it works again.
    pub(crate) fn mended(&self, place: Place) {
        if self.list().remove(&place).is_some() {
            tracing::info!("it works again after: {}", place.what());
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Trouble>> {
        // A list of what is wrong is whole between any two changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error in words for whoever can mend it.
fn trouble(place: Place, error: &DataflowError) -> Trouble {
    let (state, remedy) = remedy(error);
    // What has ended does not go on by itself, whatever ended it.
    let state = if place == Place::Job {
        State::Failed
    } else {
        state
    };
    Trouble {
        state,
        reason: format!("{}: {}", place.what(), chain(error)),
        remedy,
    }
}

/// How bad an error is, and what to do.
pub fn remedy(error: &DataflowError) -> (State, String) {
    let (state, remedy) = match error {
        DataflowError::Postgres(e) | DataflowError::Lake(LakeError::Postgres(e)) => {
            if mast_postgres::is_passing(e) {
                (
                    State::Waiting,
                    "see that PostgreSQL runs, can be reached and has room on its disk; the job goes on by itself",
                )
            } else {
                (
                    State::Failed,
                    "see PostgreSQL's log; then start the job again",
                )
            }
        }
        DataflowError::Log { source, .. } => return log_remedy(source),
        DataflowError::Lake(LakeError::File { path, .. } | LakeError::Parquet { path, .. })
        | DataflowError::File { path, .. } => {
            let folder = path.parent().unwrap_or(path).display();
            return (
                State::Failed,
                format!(
                    "make room on the disk of {folder}, or see that the folder can be written; the job goes on by itself"
                ),
            );
        }
        DataflowError::Checkpoint { .. } => (
            State::Failed,
            "put the file back from a copy, or remove its folder: an older checkpoint then stands in",
        ),
        DataflowError::Gap { checkpoints, .. } => return (State::Failed, accept(checkpoints)),
        DataflowError::Waiting { .. } => (
            State::Failed,
            "as the part `lake` says; the job goes on by itself",
        ),
        DataflowError::Foreign { .. } => (State::Failed, "as the reason says"),
        DataflowError::Held { .. }
        | DataflowError::Locked { .. }
        | DataflowError::Fenced { .. }
        | DataflowError::Bindings { .. } => (
            State::Failed,
            "see which other process runs the job; stop one of the two",
        ),
        DataflowError::Partitions { .. } => (
            State::Failed,
            "configure the number of partitions that the topic was made with",
        ),
        _ => (
            State::Failed,
            "start the job again; if it ends again, this is a defect: keep the log and report it",
        ),
    };
    (state, remedy.to_owned())
}

fn log_remedy(error: &LogError) -> (State, String) {
    let remedy = match error {
        LogError::Full {
            limit_bytes: None, ..
        } => "make room on the log's disk; the job goes on by itself",
        LogError::Full { .. } => {
            "see why checkpoints, which let the log be trimmed, are not written; or give the log more room"
        }
        LogError::Broker { .. } => {
            return (
                State::Waiting,
                "see that the broker runs and can be reached; the job goes on by itself".to_owned(),
            );
        }
        LogError::Corrupt { .. } => {
            "as the reason says: put the file back from a copy, or cut it there"
        }
        _ => "see the log's folder or broker; then start the job again",
    };
    (State::Failed, remedy.to_owned())
}

/// An error with its causes, where they are not in its own words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> DataflowError {
        DataflowError::File {
            path: "data/checkpoints/x".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        }
    }

    #[test]
    fn a_trouble_lasts_until_it_is_mended_and_names_the_remedy() {
        let troubles = Troubles::default();
        troubles.tell(Place::Checkpoint, &full());
        let now = troubles.now();
        let told = &now[&Place::Checkpoint];
        assert_eq!(told.state, State::Failed);
        assert!(
            told.remedy
                .contains("make room on the disk of data/checkpoints"),
            "{told:?}"
        );
        troubles.mended(Place::Commit);
        assert_eq!(troubles.now().len(), 1, "another part's trouble stays");
        troubles.mended(Place::Checkpoint);
        assert!(troubles.now().is_empty());
    }

    #[test]
    fn what_passes_by_itself_is_waited_for_unless_the_job_ended() {
        let away = DataflowError::Postgres(sqlx::Error::PoolTimedOut);
        assert_eq!(trouble(Place::Commit, &away).state, State::Waiting);
        assert_eq!(trouble(Place::Job, &away).state, State::Failed);
    }
}
