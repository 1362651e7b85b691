//! Who may run the job: a lock on the data folder, and a lease in Postgres.
//!
//! The lock lets one process at a time use the folder, so the name under which it holds the lease may be kept there: a
//! process that was killed is followed at once by its successor, which need not wait for the lease to expire. A process
//! with another folder has another name and waits.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mast_postgres::lease::{self, Lease};
use rustix::fs::{FlockOperation, flock};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use super::Shared;
use crate::error::DataflowError;

/// How long the lease lasts without renewal.
const TIME_TO_LIVE: Duration = Duration::from_secs(10);

/// The data folder's lock; holds until it is dropped or the process ends.
pub(crate) struct FolderLock {
    pub(crate) holder: Uuid,
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(dir: &Path, job: &str) -> Result<Self, DataflowError> {
        std::fs::create_dir_all(dir).map_err(DataflowError::file(dir))?;
        let path = dir.join(format!("dataflow-{job}.lock"));
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = open.map_err(DataflowError::file(&path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| DataflowError::Locked { path: path.clone() })?;
        let mut text = String::new();
        // What is no id is written anew, as at the first start.
        let known = file
            .read_to_string(&mut text)
            .ok()
            .and_then(|_| Uuid::parse_str(text.trim()).ok());
        let holder = known.unwrap_or_else(Uuid::now_v7);
        if known.is_none() {
            let write = |file: &mut File| {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(holder.to_string().as_bytes())?;
                file.sync_all()
            };
            write(&mut file).map_err(DataflowError::file(&path))?;
        }
        Ok(Self {
            holder,
            _file: file,
        })
    }
}

/// Takes the job's lease.
pub(crate) async fn acquire(
    pool: &PgPool,
    job: &str,
    holder: Uuid,
) -> Result<Lease, DataflowError> {
    let name = format!("dataflow/{job}");
    lease::acquire(pool, &name, holder, TIME_TO_LIVE)
        .await?
        .ok_or_else(|| DataflowError::Held {
            job: job.to_owned(),
            lease: name,
        })
}

/// Renews the lease until told to stop, then gives it back. While Postgres is away it tries again: nothing can be
/// committed then, and the first commit after it is fenced if somebody took over.
pub(crate) async fn keep(
    pool: PgPool,
    mut held: Lease,
    mut stop: watch::Receiver<bool>,
    shared: Arc<Shared>,
) {
    let mut ticks = tokio::time::interval(TIME_TO_LIVE / 4);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = crate::relay::outbox::stopped(&mut stop) => break,
        }
        match lease::renew(&pool, &held, TIME_TO_LIVE).await {
            Ok(Some(renewed)) => held = renewed,
            Ok(None) => {
                let job = held.name.trim_start_matches("dataflow/").to_owned();
                shared.fail(DataflowError::Fenced {
                    job,
                    generation: held.fencing_epoch,
                });
                return;
            }
            Err(error) => {
                tracing::warn!(%error, lease = held.name, "the lease cannot be renewed; trying again");
            }
        }
    }
    if let Err(error) = lease::release(&pool, &held).await {
        tracing::warn!(%error, lease = held.name, "the lease was not given back; it expires by itself");
    }
}
