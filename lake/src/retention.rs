//! How long history is kept, by table and tenant.
//!
//! Time is that of the newest committed slot, not a clock: an installation that stands still forgets nothing. What is too
//! old goes by whole files; of a file that holds several tenants' rows, those whose time is over are left out of a copy.
//! What is still to be rolled up stays, however old it is.

use std::collections::BTreeMap;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use mast_schemas::rollups::Width;
use mast_schemas::time::Span;
use mast_schemas::{TenantId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::manifest;
use crate::read::Rows;
use crate::upkeep::{Change, Stop};
use crate::{FileSummary, LakeConfig, LakeError, Table, files, rollup};

/// How long rows are kept where nothing else is said for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Samples and events.
    pub raw: Span,
    /// Rollups of a minute.
    pub minute: Span,
    /// Rollups of a quarter of an hour.
    pub quarter: Span,
    /// Rollups of an hour.
    pub hour: Span,
    /// Rollups of a day.
    pub day: Span,
}

const DAY_HOURS: i64 = 24;

impl Default for Retention {
    fn default() -> Self {
        Self {
            raw: Span::hours(30 * DAY_HOURS),
            minute: Span::hours(90 * DAY_HOURS),
            quarter: Span::hours(365 * DAY_HOURS),
            hour: Span::hours(5 * 365 * DAY_HOURS),
            day: Span::hours(5 * 365 * DAY_HOURS),
        }
    }
}

impl Retention {
    /// How long rows of a table are kept.
    pub const fn of(&self, table: Table) -> Span {
        match table {
            Table::Rollup(_, Width::Minute) => self.minute,
            Table::Rollup(_, Width::Quarter) => self.quarter,
            Table::Rollup(_, Width::Hour) => self.hour,
            Table::Rollup(_, Width::Day) => self.day,
            _ => self.raw,
        }
    }

    /// Says how long rows of a table, and of those that are kept for as long, are kept.
    pub(crate) const fn set(&mut self, table: Table, keep: Span) {
        match table {
            Table::Rollup(_, Width::Minute) => self.minute = keep,
            Table::Rollup(_, Width::Quarter) => self.quarter = keep,
            Table::Rollup(_, Width::Hour) => self.hour = keep,
            Table::Rollup(_, Width::Day) => self.day = keep,
            _ => self.raw = keep,
        }
    }
}

/// What is too old in a table.
#[derive(Debug)]
struct Horizon {
    /// Rows before are too old,
    usual: Timestamp,
    /// but of these tenants those before this.
    own: BTreeMap<Uuid, Timestamp>,
}

/// What becomes of a file.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// Stays without rows of these tenants.
    Without(Vec<Uuid>),
}

impl Horizon {
    fn of(&self, tenant: Uuid) -> Timestamp {
        self.own.get(&tenant).copied().unwrap_or(self.usual)
    }

    fn fate(&self, file: &FileSummary) -> Fate {
        let newest = Timestamp(file.time_max_us);
        let unknown = [file.tenant_min, file.tenant_max];
        if file.tenants.is_empty() && file.tenant_min != file.tenant_max {
            // Anyone's between the two may be in it.
            let least = self
                .own
                .range(unknown[0]..=unknown[1])
                .map(|(_, at)| *at)
                .min();
            let least = least.unwrap_or(self.usual).min(self.usual);
            return if newest < least {
                Fate::Goes
            } else {
                Fate::Stays
            };
        }
        let tenants = if file.tenants.is_empty() {
            &unknown[..1]
        } else {
            &file.tenants
        };
        let over: Vec<Uuid> = tenants
            .iter()
            .copied()
            .filter(|t| newest < self.of(*t))
            .collect();
        match over.len() {
            0 => Fate::Stays,
            n if n == tenants.len() => Fate::Goes,
            _ => Fate::Without(over),
        }
    }
}

/// The table's next row of the manifest without what is too old; null when nothing is.
pub(crate) async fn next(
    conn: &mut PgConnection,
    config: &LakeConfig,
    retention: &Retention,
    table: Table,
    stop: &Stop,
) -> Result<Option<Change>, LakeError> {
    let Some(committed) = manifest::committed(conn, &config.job).await? else {
        return Ok(None);
    };
    let own = manifest::own_retention(conn, table).await?;
    let needed = rollup::needed(conn, &config.job, table).await?;
    let before = |keep: Span| {
        let old = committed.end() - keep;
        needed.map_or(old, |needed| old.min(needed))
    };
    let horizon = Horizon {
        usual: before(retention.of(table)),
        own: own
            .into_iter()
            .map(|(TenantId(id), keep)| (id, before(keep)))
            .collect(),
    };
    for row in manifest::stored(conn, &config.job, table).await? {
        let fates: Vec<Fate> = row.files.iter().map(|f| horizon.fate(f)).collect();
        if fates.iter().all(|f| *f == Fate::Stays) {
            continue;
        }
        let (config, stop) = (config.clone(), stop.clone());
        let keep = move || {
            let mut kept = Kept::default();
            let done = keep(&config, table, row.files, fates, &stop, &mut kept);
            if done.is_err() {
                // As where files are written: a full disk gets no fuller, and why matters more.
                let _ = files::remove(&config.root, kept.made.iter().map(String::as_str));
            }
            done.map(|()| kept)
        };
        let kept = tokio::task::spawn_blocking(keep).await??;
        return Ok(Some(Change {
            table,
            epochs: row.epochs,
            files: kept.files,
            made: kept.made,
            replaces: vec![row.version],
        }));
    }
    Ok(None)
}

/// What stays, and which files of it were made for that.
#[derive(Default)]
struct Kept {
    files: Vec<FileSummary>,
    made: Vec<String>,
}

fn keep(
    config: &LakeConfig,
    table: Table,
    all: Vec<FileSummary>,
    fates: Vec<Fate>,
    stop: &Stop,
    kept: &mut Kept,
) -> Result<(), LakeError> {
    for (file, fate) in all.into_iter().zip(fates) {
        match fate {
            Fate::Stays => kept.files.push(file),
            Fate::Goes => {}
            Fate::Without(tenants) => {
                let path = files::path_of(&config.root, &file.path);
                let rows = Rows::open(table, &path, table.schema())?;
                let rows = rows.map(|batch| without(table, &batch?, &tenants));
                let id = Uuid::now_v7();
                let name = |part| files::made_name(table, &config.job, config.generation, id, part);
                let rows = stop.over(rows);
                let written = files::write_sorted_files(&config.root, table, rows, u64::MAX, name)?;
                kept.made.extend(written.iter().map(|f| f.path.clone()));
                kept.files
                    .extend(written.into_iter().filter(|f| f.rows > 0));
            }
        }
    }
    Ok(())
}

fn without(table: Table, rows: &RecordBatch, tenants: &[Uuid]) -> Result<RecordBatch, LakeError> {
    let Some(of) = rows
        .column_by_name("tenant_id")
        .and_then(|c| c.as_fixed_size_binary_opt())
    else {
        return Ok(rows.clone());
    };
    let stays =
        |id: Option<&[u8]>| id.is_some_and(|id| !tenants.iter().any(|t| t.as_bytes() == id));
    let mask: BooleanArray = of.iter().map(|id| Some(stays(id))).collect();
    filter_record_batch(rows, &mask).map_err(|source| LakeError::Arrow { table, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tenants: &[u128], listed: bool, newest: i64) -> FileSummary {
        let ids: Vec<Uuid> = tenants.iter().map(|t| Uuid::from_u128(*t)).collect();
        FileSummary {
            path: String::new(),
            rows: 1,
            bytes: 1,
            late_rows: 0,
            tenant_min: ids[0],
            tenant_max: ids[ids.len() - 1],
            device_first: None,
            device_last: None,
            time_min_us: 0,
            time_max_us: newest,
            tenants: if listed { ids } else { Vec::new() },
        }
    }

    #[test]
    fn each_tenant_has_its_own_time_and_a_file_goes_when_all_of_them_are_over() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let horizon = Horizon {
            usual: Timestamp(100),
            own: [(a, Timestamp(200)), (b, Timestamp(50))].into(),
        };
        let fate = |tenants: &[u128], listed, newest| horizon.fate(&file(tenants, listed, newest));
        assert_eq!(fate(&[3], true, 99), Fate::Goes);
        assert_eq!(fate(&[3], false, 100), Fate::Stays);
        assert_eq!(fate(&[1], false, 199), Fate::Goes, "kept shorter");
        assert_eq!(fate(&[2], true, 60), Fate::Stays, "kept longer");
        assert_eq!(
            fate(&[1, 2, 3], true, 99),
            Fate::Without(vec![a, Uuid::from_u128(3)])
        );
        assert_eq!(fate(&[1, 2, 3], true, 49), Fate::Goes);
        assert_eq!(
            fate(&[1, 3], false, 60),
            Fate::Stays,
            "who is in it is not known"
        );
        assert_eq!(fate(&[1, 3], false, 49), Fate::Goes);
    }
}
