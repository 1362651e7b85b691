//! Starts the server again when it has died: killed for want of memory, by a fault of the machine, by somebody's mistake.
//!
//! A server that somebody stopped in order stays stopped: who did that is at work on it, and starts it again. The trap
//! avoided: a server that can't start is not tried in a loop, but ever more slowly, and says why in the log of its starter.

use std::time::Duration;

use mast_schemas::health::{Health, Part, State};
use mast_schemas::metric::Metric;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::server::Programs;

/// How often the server is looked for.
const EVERY: Duration = Duration::from_millis(500);
/// Time between attempts to start it, doubling up to
const FIRST: Duration = Duration::from_secs(1);
/// this.
const LONGEST: Duration = Duration::from_secs(60);

const REMEDY: &str =
    "wait, it is tried again; see `server.log` beside its data, and the room on its disk";

/// How a server that is kept is doing.
#[derive(Clone, Debug)]
pub struct Kept(watch::Receiver<Option<String>>);

impl Kept {
    /// In the words that all parts have.
    pub fn health(&self) -> Health {
        let health = Health::ok(Part::Postgres, "private");
        match self.0.borrow().as_deref() {
            None => health,
            Some(reason) => health.troubled(State::Failed, reason, REMEDY),
        }
    }
}

/// Watches a server until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: watch::Sender<bool>,
    kept: Kept,
    task: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(programs: Programs) -> Self {
        let (stop, stops) = watch::channel(false);
        let (told, kept) = watch::channel(None);
        Self {
            stop,
            kept: Kept(kept),
            task: Some(tokio::spawn(keep(programs, told, stops))),
        }
    }

    pub(super) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Watches no longer. A start that is under way is waited for: it would end after the stop of the server.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // It only watches; what it could not do it has told.
            let _ = task.await;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep(
    programs: Programs,
    told: watch::Sender<Option<String>>,
    mut stops: watch::Receiver<bool>,
) {
    let mut pause = EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stops.wait_for(|stop| *stop) => return,
        }
        let folder = &programs.folder;
        let down = told.borrow().is_some();
        if !down && !folder.server_died() {
            continue;
        }
        let root = folder.root.display();
        if !down {
            tracing::error!(folder = %root, "PostgreSQL has died; it is started again");
            told.send_replace(Some("it has died, and is started again".to_owned()));
            pause = FIRST / 2;
        }
        let started = match folder.server_pid() {
            // Somebody else was faster.
            Ok(Some(_)) => Ok(()),
            Ok(None) => programs.launch().await,
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => {
                Metric::PostgresRestarts.add(&[], 1);
                tracing::warn!(folder = %root, "PostgreSQL runs again");
                told.send_replace(None);
                pause = EVERY;
            }
            Err(error) => {
                pause = (pause * 2).min(LONGEST);
                let again_s = pause.as_secs();
                tracing::error!(folder = %root, %error, again_s, remedy = REMEDY, "PostgreSQL does not start");
                told.send_replace(Some(format!("it has died and does not start: {error}")));
            }
        }
    }
}
