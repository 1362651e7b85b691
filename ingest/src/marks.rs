//! How far the logs of devices have been read, over restarts of ingest.
//!
//! A mark is kept when the lines before it are in the log of records, never earlier: ingest that is killed in between reads
//! these lines once more, from the router, which still has them. So a kill may bring the lines of the last
//! seconds twice and never loses one; an orderly end keeps every mark and brings none twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mast_schemas::records::PollId;
use mast_schemas::{DeviceId, TenantId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::producer::{Producer, Ticket};
use crate::tail::Mark;

/// A mark on its way to where marks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMark {
    /// The device.
    pub device: DeviceId,
    /// Its owner.
    pub tenant: TenantId,
    /// The poll that read up to here. Of two marks of a device the one of the later poll counts.
    pub poll: PollId,
    /// How far.
    pub mark: Mark,
}

/// Where marks are kept.
pub trait MarkStore: Send + Sync {
    /// The mark of a device; null when none was kept.
    fn read(&self, device: DeviceId) -> BoxFuture<'_, Result<Option<Mark>, String>>;

    /// Keeps marks.
    fn keep<'a>(&'a self, marks: &'a [KeptMark]) -> BoxFuture<'a, Result<(), String>>;
}

/// The marks that are not kept yet, and where to keep them.
#[derive(Default)]
pub struct Marks {
    store: Option<Arc<dyn MarkStore>>,
    /// By device, the newest; with the poll whose rows must be safe first.
    waiting: Mutex<HashMap<DeviceId, (Ticket, KeptMark)>>,
}

impl Marks {
    /// Over a place that keeps them.
    pub fn new(store: Arc<dyn MarkStore>) -> Self {
        Self {
            store: Some(store),
            waiting: Mutex::default(),
        }
    }

    /// The mark of a device, an earlier session's of this process first. An error is a store that does not answer.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read(&self, device: DeviceId) -> Result<Mark, String> {
        let waiting = self
            .waiting()
            .get(&device)
            .map(|(_, kept)| kept.mark.clone());
        match (waiting, &self.store) {
            (Some(mark), _) => Ok(mark),
            (None, Some(store)) => Ok(store.read(device).await?.unwrap_or_default()),
            (None, None) => Ok(Mark::default()),
        }
    }

    /// A device's log has been read up to here; its rows are safe when the ticket's are.
    pub fn put(&self, ticket: Ticket, kept: KeptMark) {
        if self.store.is_some() {
            self.waiting().insert(kept.device, (ticket, kept));
        }
    }

    /// Keeps the marks whose rows are safe; returns how many were kept.
    pub async fn flush(&self, producer: &Producer) -> usize {
        let Some(store) = &self.store else {
            return 0;
        };
        let safe: Vec<KeptMark> = {
            let waiting = self.waiting();
            let safe = waiting.values().filter(|(t, _)| producer.is_safe(*t));
            safe.map(|(_, kept)| kept.clone()).collect()
        };
        if safe.is_empty() {
            return 0;
        }
        if let Err(error) = store.keep(&safe).await {
            tracing::warn!(%error, marks = safe.len(), "how far logs were read was not kept; tried again");
            return 0;
        }
        let mut waiting = self.waiting();
        for kept in &safe {
            let same = waiting
                .get(&kept.device)
                .is_some_and(|(_, now)| now.poll == kept.poll);
            if same {
                waiting.remove(&kept.device);
            }
        }
        safe.len()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<DeviceId, (Ticket, KeptMark)>> {
        // Each change under it is one call.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often marks are kept.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps marks from time to time until stopped.
pub async fn keep(marks: Arc<Marks>, producer: Arc<Producer>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        marks.flush(&producer).await;
    }
}

/// Marks in Postgres, as the role `mast_ingest`.
pub struct PgMarks(pub PgPool);

impl MarkStore for PgMarks {
    fn read(&self, device: DeviceId) -> BoxFuture<'_, Result<Option<Mark>, String>> {
        async move {
            let kept = sqlx::query_scalar!(
                "SELECT mark FROM device_log_marks WHERE device_id = $1",
                device.0
            );
            let kept = kept.fetch_optional(&self.0).await;
            let kept = kept.map_err(|e| e.to_string())?;
            Ok(kept.and_then(|bytes| Mark::decode(&bytes)))
        }
        .boxed()
    }

    fn keep<'a>(&'a self, marks: &'a [KeptMark]) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let encoded: Result<Vec<Vec<u8>>, _> = marks.iter().map(|k| k.mark.encode()).collect();
            let encoded = encoded.map_err(|e| e.to_string())?;
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let devices: Vec<Uuid> = marks.iter().map(|k| k.device.0).collect();
            let tenants: Vec<Uuid> = marks.iter().map(|k| k.tenant.0).collect();
            let leases: Vec<i64> = marks.iter().map(|k| number(k.poll.lease_epoch)).collect();
            let sequences: Vec<i64> = marks.iter().map(|k| number(k.poll.sequence)).collect();
            // A device that was deleted meanwhile has no mark; a node that lost its lease takes none back.
            let done = sqlx::query!(
                "INSERT INTO device_log_marks AS m (device_id, tenant_id, lease_epoch, sequence, mark)
                 SELECT k.device_id, k.tenant_id, k.lease_epoch, k.sequence, k.mark
                 FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bytea[])
                   AS k (device_id, tenant_id, lease_epoch, sequence, mark)
                 JOIN devices d ON d.id = k.device_id AND d.tenant_id = k.tenant_id
                 ON CONFLICT (device_id) DO UPDATE
                 SET lease_epoch = excluded.lease_epoch, sequence = excluded.sequence, mark = excluded.mark
                 WHERE (m.lease_epoch, m.sequence) < (excluded.lease_epoch, excluded.sequence)",
                &devices,
                &tenants,
                &leases,
                &sequences,
                &encoded,
            );
            done.execute(&self.0).await.map_err(|e| e.to_string())?;
            Ok(())
        }
        .boxed()
    }
}
