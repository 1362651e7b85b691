//! A process's parts, each with somebody who tells of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use mast_dataflow::DataflowError;
use mast_dataflow::job::JobHandle;
use mast_dataflow::troubles;
use mast_ingest::NodeHandle;
use mast_postgres::Role;
use mast_schemas::Timestamp;
use mast_schemas::health::{Health, Part, State};
use mast_schemas::metric;

use super::exporter::Exporter;
use super::{Board, Look, Reporter, last_words};
use crate::config::Config;
use crate::standalone::{Database, JOB, Paths};

/// Tells of the parts of this process until [`Process::stop`].
pub(crate) struct Process {
    /// Answers until it is dropped.
    _exporter: Exporter,
    board: Board,
    folder: PathBuf,
    job: Option<Reporter>,
    node: Option<Reporter>,
}

impl Process {
    /// Begins to record and to answer; `command` is whose process it is.
    pub(crate) async fn start(
        config: &Config,
        paths: &Paths,
        command: &str,
        parts: &[metric::Part],
    ) -> Self {
        let board = Board::default();
        let exporter = Exporter::start(config.metrics.address(), parts, board.clone()).await;
        exporter.note(&paths.address(command));
        if let Some(address) = exporter.address() {
            tracing::info!(%address, "metrics and health are served");
        }
        Self {
            _exporter: exporter,
            board,
            folder: paths.health(),
            job: None,
            node: None,
        }
    }

    /// Keeps the server running if it is this process's own, and tells of it.
    pub(crate) fn keep(&self, database: &mut Database) {
        if let Some(kept) = database.keep() {
            self.board.watch(kept);
        }
    }

    /// What `/health/ready` of this process shows.
    pub(crate) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Tells of a job from now on.
    pub(crate) async fn job(&mut self, database: &Database, job: &JobHandle) -> anyhow::Result<()> {
        let status = job.status();
        let look = move || {
            let status = status.borrow().clone();
            let now = Timestamp::from_system(SystemTime::now());
            status.export(now);
            status.health(JOB, now)
        };
        let reporter = self.tell(database, Role::Dataflow, Box::new(look)).await?;
        self.job = Some(reporter);
        Ok(())
    }

    /// Tells of a node from now on.
    pub(crate) async fn node(
        &mut self,
        database: &Database,
        name: String,
        node: Arc<NodeHandle>,
    ) -> anyhow::Result<()> {
        let mut before = None;
        let look = move || {
            let stats = node.stats();
            let health = stats.health(&name, before.as_ref());
            before = Some(stats);
            vec![health]
        };
        let reporter = self.tell(database, Role::Ingest, Box::new(look)).await?;
        self.node = Some(reporter);
        Ok(())
    }

    async fn tell(&self, database: &Database, role: Role, look: Look) -> anyhow::Result<Reporter> {
        let pool = database.pool(role, 1).await?;
        let (folder, board) = (self.folder.clone(), self.board.clone());
        Ok(Reporter::start(pool, folder, board, look))
    }

    /// Tells that the job could not start, for as long as this process lives. Another process that runs it speaks for itself.
    pub(crate) async fn job_failed(&mut self, database: &Database, error: &anyhow::Error) {
        let known = error.downcast_ref::<DataflowError>();
        if matches!(
            known,
            Some(DataflowError::Held { .. } | DataflowError::Locked { .. })
        ) {
            return;
        }
        let remedy = known.map_or_else(String::new, |error| troubles::remedy(error).1);
        let part = Health::ok(Part::Dataflow, JOB);
        let part = part.troubled(State::Failed, format!("{error:#}"), remedy);
        if let Ok(pool) = database.pool(Role::Dataflow, 1).await {
            last_words(&pool, self.folder.clone(), vec![part.clone()]).await;
        }
        let look = Box::new(move || vec![part.clone()]);
        self.job = self.tell(database, Role::Dataflow, look).await.ok();
    }

    /// What is not as it should be, a line a part.
    pub(crate) fn trouble(&self) -> Vec<String> {
        let parts = self.board.parts().into_iter();
        parts
            .filter(|part| part.state > State::Starting)
            .map(|part| {
                let of = match part.part {
                    Part::Relay => format!("{} {}", part.part, part.name),
                    _ => part.part.to_string(),
                };
                format!("{of} {}: {}", part.state, part.reason)
            })
            .collect()
    }

    /// Says goodbye for the node, and lets go of it.
    pub(crate) async fn node_stops(&mut self) {
        if let Some(reporter) = self.node.take() {
            reporter.stop().await;
        }
    }

    /// Says goodbye for the others. To be called when they have stopped, and before Postgres does.
    pub(crate) async fn stop(mut self) {
        self.node_stops().await;
        if let Some(reporter) = self.job.take() {
            reporter.stop().await;
        }
    }
}
