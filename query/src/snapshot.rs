//! Whose rows a query reads, and the one transaction that it reads them in.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryReservation;
use mast_schemas::{Epoch, TenantId, Timestamp};
use sqlx::PgPool;

use crate::QueryError;
use crate::cancel::{CancelOnDrop, Turns};
use crate::tail::{History, Tail};

/// A tenant with the name that people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Id.
    pub id: TenantId,
    /// Name.
    pub name: String,
}

/// Whose rows a session reads. It is fixed outside of SQL; nothing in a query can widen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantScope {
    /// One tenant's.
    One(TenantId),
    /// Those of all the given tenants, one after the other, with a column `tenant` more in every table. For who runs the
    /// installation. Needs a connection a tenant at once.
    All(Vec<Tenant>),
}

/// One tenant's part of a snapshot.
#[derive(Clone)]
pub(crate) struct TenantSnapshot {
    pub(crate) tenant: Tenant,
    /// A REPEATABLE READ transaction that sees this tenant alone.
    pub(crate) transaction: Arc<Turns>,
}

impl std::fmt::Debug for TenantSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantSnapshot({})", self.tenant.id)
    }
}

/// What one query sees.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) tenants: Vec<TenantSnapshot>,
    /// Whether the tables have the column with the tenant's name.
    pub(crate) many: bool,
    /// End of the newest slot that is committed; null before the first.
    as_of: Option<Timestamp>,
    /// How history comes to the same end.
    pub(crate) history: History,
}

impl Snapshot {
    /// Opens the transactions of all tenants in scope. What history takes from the tail is counted in `memory`.
    pub(crate) async fn open(
        pool: &PgPool,
        scope: &TenantScope,
        tail: Option<Arc<Tail>>,
        memory: MemoryReservation,
    ) -> Result<Self, QueryError> {
        let (tenants, many) = match scope {
            TenantScope::One(id) => (
                vec![Tenant {
                    id: *id,
                    name: String::new(),
                }],
                false,
            ),
            TenantScope::All(tenants) => (tenants.clone(), true),
        };
        let connections = pool.options().get_max_connections() as usize;
        if tenants.is_empty() || tenants.len() > connections {
            return Err(QueryError::Limit(format!(
                "{} tenants at once, of at least 1 and at most {connections}; name one tenant",
                tenants.len()
            )));
        }
        let (mut parts, mut newest, mut jobs) = (Vec::new(), None, None);
        for tenant in tenants {
            let mut transaction = mast_postgres::tenant_lake_snapshot(pool, tenant.id).await?;
            let row = sqlx::query!(
                r#"SELECT pg_backend_pid() AS "process!", min(epoch) AS epoch FROM job_progress"#
            )
            .fetch_one(&mut *transaction)
            .await?;
            let as_of = row
                .epoch
                .and_then(|e| u64::try_from(e).ok())
                .map(|e| Epoch(e).end());
            // The manifest is read in the first.
            if jobs.is_none() {
                jobs = Some(mast_lake::job_places(&mut transaction).await?);
            }
            newest = newest.or(as_of).min(as_of);
            parts.push(TenantSnapshot {
                tenant,
                transaction: Arc::new(Turns::new(pool, transaction, row.process)),
            });
        }
        Ok(Self {
            tenants: parts,
            many,
            as_of: newest,
            history: History::new(tail, jobs.unwrap_or_default(), memory),
        })
    }

    /// Ids of the tenants.
    pub(crate) fn ids(&self) -> Vec<TenantId> {
        self.tenants.iter().map(|part| part.tenant.id).collect()
    }

    /// The instant that all tables which were read show.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        match self.history.lake_only() {
            Some(_) => self.as_of.min(self.history.lake_end()),
            None => self.as_of,
        }
    }

    /// Ends what the snapshot's transactions still run once it is dropped.
    pub(crate) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.tenants.iter().map(|t| t.transaction.clone()).collect())
    }
}
