//! How far samples and their rollups reach, back and forth: what a reader must know to take each instant from one of them.

use std::collections::BTreeMap;

use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, TenantId, Timestamp};
use sqlx::PgConnection;

use crate::{LakeError, Retention, Table};

/// How far the tables of one kind of sample reach, for a tenant.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Of what.
    pub of: Rolled,
    /// End of the newest slot whose samples are there.
    pub newest: Timestamp,
    /// By width: buckets that begin before are made, of all jobs; those from here on may be missing.
    pub made: [Timestamp; Width::ALL.len()],
    /// How long rows are kept.
    pub kept: Retention,
}

impl Reach {
    /// Reads it, in the tenant's transaction; `usual` is how long rows are kept where the tenant has not said otherwise.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn read(
        conn: &mut PgConnection,
        tenant: TenantId,
        of: Rolled,
        usual: Retention,
    ) -> Result<Self, LakeError> {
        let rollups = Width::ALL.map(|width| Table::Rollup(of, width));
        let names: Vec<&str> = rollups.iter().map(|t| t.as_str()).collect();
        let samples = Table::samples(of).as_str();
        let committed: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT job, table_name, max(epoch_to) FROM lake_manifest WHERE table_name = $1 OR table_name = ANY($2)
             GROUP BY job, table_name",
        )
        .bind(samples)
        .bind(&names)
        .fetch_all(&mut *conn)
        .await?;
        let epoch = |value: i64| Epoch(u64::try_from(value).unwrap_or(0));
        let committed: BTreeMap<(&str, &str), Epoch> = committed
            .iter()
            .map(|(job, table, to)| ((job.as_str(), table.as_str()), epoch(*to)))
            .collect();
        let jobs = || committed.iter().filter(|((_, table), _)| *table == samples);
        let made = Width::ALL.map(|width| {
            let name = Table::Rollup(of, width).as_str();
            let opens =
                jobs().map(|((job, _), _)| width.open(committed.get(&(*job, name)).copied()));
            opens.min().unwrap_or_default()
        });
        let own: Vec<(String, i32)> = sqlx::query_as(
            "SELECT table_name, keep_days FROM lake_retention
             WHERE tenant_id = $1 AND (table_name = $2 OR table_name = ANY($3))",
        )
        .bind(tenant.0)
        .bind(samples)
        .bind(&names)
        .fetch_all(conn)
        .await?;
        let mut kept = usual;
        for (table, days) in own {
            kept.set(table.parse()?, Span::hours(24 * i64::from(days)));
        }
        Ok(Self {
            of,
            newest: jobs().map(|(_, to)| to.end()).max().unwrap_or_default(),
            made,
            kept,
        })
    }

    /// From here on a table's rows are kept.
    pub fn back_to(&self, table: Table) -> Timestamp {
        self.newest - self.kept.of(table)
    }
}
