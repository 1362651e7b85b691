//! Compaction: the files of many short ranges become few sorted ones.
//!
//! Ranges of the same hour become one, those of the same day again (of rollups wider than a minute: of a day, of thirty
//! days), a while after its end. No file reaches across such a period, so that what is too old can be dropped by files.

use mast_schemas::Epoch;
use mast_schemas::rollups::Width;
use mast_schemas::time::{SLOT, Span};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::manifest::{self, Stored};
use crate::merge::Merge;
use crate::upkeep::{Change, Stop};
use crate::{FileSummary, LakeConfig, LakeError, Table, files};

/// How long after its end a period is left alone: rollups read behind themselves, and should find small files there.
const REST: Span = Span::secs(1_800);

const HOUR: Span = Span::hours(1);
const DAY: Span = Span::hours(24);
const MONTH: Span = Span::hours(24 * 30);

/// Periods of which the ranges become one.
const fn periods(table: Table) -> [Span; 2] {
    match table {
        Table::Rollup(_, Width::Quarter | Width::Hour | Width::Day) => [DAY, MONTH],
        _ => [HOUR, DAY],
    }
}

/// The first run of ranges that should be one. `stored` are all of a table's, in their order, up to slot `committed`.
fn plan(
    periods: &[Span],
    stored: &[Stored],
    committed: Epoch,
    target_bytes: u64,
) -> Option<std::ops::Range<usize>> {
    for period in periods {
        // A range is of the period in which its last slot ends.
        let of = |s: &Stored| (s.epochs.1.0 as i64).saturating_mul(SLOT.0) / period.0;
        let over = |p: i64| (p + 1) * period.0 + REST.0 <= committed.end().0;
        let mut begin = 0;
        for run in stored.chunk_by(|a, b| of(a) == of(b)) {
            if run.len() > 1 && over(of(&run[0])) && small(run, target_bytes) {
                return Some(begin..begin + run.len());
            }
            begin += run.len();
        }
    }
    None
}

/// Whether files are, on average, less than half of what they should be.
fn small(run: &[Stored], target_bytes: u64) -> bool {
    let files = || run.iter().flat_map(|s| &s.files);
    let bytes: u64 = files().map(|f| f.bytes).sum();
    bytes < files().count() as u64 * (target_bytes / 2) || bytes == 0
}

/// Makes the files of the table's next compaction; null when there is nothing to do.
pub(crate) async fn next(
    conn: &mut PgConnection,
    config: &LakeConfig,
    table: Table,
    stop: &Stop,
) -> Result<Option<Change>, LakeError> {
    let mut stored = manifest::stored(conn, &config.job, table).await?;
    let Some(committed) = manifest::committed(conn, &config.job).await? else {
        return Ok(None);
    };
    let planned = plan(&periods(table), &stored, committed, config.target_bytes);
    let Some(run) = planned.map(|range| stored.drain(range).collect::<Vec<_>>()) else {
        return Ok(None);
    };
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(None);
    };
    let epochs = (first.epochs.0, last.epochs.1);
    let replaces = run.iter().map(|s| s.version).collect();
    let sources: Vec<FileSummary> = run.into_iter().flat_map(|s| s.files).collect();
    let (config, stop) = (config.clone(), stop.clone());
    let merged = tokio::task::spawn_blocking(move || merge(&config, table, &sources, &stop));
    let files: Vec<FileSummary> = merged.await??;
    Ok(Some(Change {
        table,
        epochs,
        made: files.iter().map(|file| file.path.clone()).collect(),
        files,
        replaces,
    }))
}

fn merge(
    config: &LakeConfig,
    table: Table,
    sources: &[FileSummary],
    stop: &Stop,
) -> Result<Vec<FileSummary>, LakeError> {
    let rows = Merge::of_files(table, &config.root, table.schema(), sources)?;
    let id = Uuid::now_v7();
    let name = |part| files::made_name(table, &config.job, config.generation, id, part);
    files::write_sorted_files(
        &config.root,
        table,
        stop.over(rows),
        config.target_bytes,
        name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A range of a minute that ends `minute` minutes after 1970.
    fn minute(minute: u64) -> Stored {
        Stored {
            version: minute as i64,
            epochs: (Epoch((minute - 1) * 240 + 1), Epoch(minute * 240)),
            files: Vec::new(),
        }
    }

    fn planned(stored: &[Stored], committed_minute: u64) -> Option<std::ops::Range<usize>> {
        plan(&[HOUR, DAY], stored, Epoch(committed_minute * 240), 100)
    }

    #[test]
    fn an_hour_becomes_one_range_when_it_has_rested_and_a_day_of_hours_after_that() {
        let minutes: Vec<_> = (1..=90).map(minute).collect();
        assert_eq!(planned(&minutes, 89), None, "the hour rests");
        // The slot that ends with the hour is of the next one.
        assert_eq!(planned(&minutes, 90), Some(0..59));
        let hours: Vec<_> = (1..=24).map(|h| minute(h * 60 - 1)).collect();
        assert_eq!(planned(&hours, 24 * 60 + 29), None, "the day rests");
        assert_eq!(planned(&hours, 24 * 60 + 30), Some(0..24));
    }

    #[test]
    fn what_is_large_stays() {
        let file = |bytes| FileSummary {
            path: String::new(),
            rows: 1,
            bytes,
            late_rows: 0,
            tenant_min: Uuid::nil(),
            tenant_max: Uuid::nil(),
            device_first: None,
            device_last: None,
            time_min_us: 0,
            time_max_us: 0,
            tenants: Vec::new(),
        };
        let with = |bytes| {
            let mut stored = vec![minute(1), minute(2)];
            stored.iter_mut().for_each(|s| s.files = vec![file(bytes)]);
            stored
        };
        assert_eq!(planned(&with(49), 600), Some(0..2));
        assert_eq!(planned(&with(50), 600), None);
    }
}
