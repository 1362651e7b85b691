//! History rolled up: what is due, and the step that makes it.
//!
//! A step reads the committed files of the source, folds the buckets that have closed since the last step, and adds their
//! rows by one row of the manifest, whose range of epochs says which buckets are done. Nothing of it is held anywhere
//! else: a bucket that is open when a job ends is made by the next one, from the lake. So each bucket is written once,
//! whatever is killed when.

use mast_schemas::counters::PAIR;
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, Timestamp};
use sqlx::PgConnection;

use crate::fold::{Fold, source_columns};
use crate::merge::Merge;
use crate::read::columns;
use crate::upkeep::{Change, Stop};
use crate::{FileSummary, LakeConfig, LakeError, Table, files, manifest};

/// What a step is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// Buckets that begin in `[from, to)`.
    from: Timestamp,
    to: Timestamp,
    /// Their range in the manifest.
    epochs: (Epoch, Epoch),
}

/// Buckets of one step at most: a step after a long pause must not hold its files open for hours.
const fn step(width: Width) -> Span {
    Span(
        width.span().0
            * match width {
                Width::Minute => 60,
                Width::Quarter => 96,
                Width::Hour => 168,
                Width::Day => 30,
            },
    )
}

/// What is due when a rollup is made up to `done` and its source is whole up to `have`. `first` is the earliest time of a
/// row of the source from the first open bucket on: before it there is nothing.
fn due(width: Width, done: Option<Epoch>, have: Epoch, first: Option<Timestamp>) -> Option<Due> {
    let (from, open) = (width.open(done), width.open(Some(have)));
    if open <= from {
        return None;
    }
    let first = first.map_or(open, |at| width.bucket(at).clamp(from, open));
    let to = open.min(first + step(width));
    let last = to - width.span();
    Some(Due {
        from: first,
        to,
        epochs: (done.map_or(Epoch(0), Epoch::next), width.closes(last)),
    })
}

/// Makes the files of what is due next of a rollup; null when nothing is due.
pub(crate) async fn next(
    conn: &mut PgConnection,
    config: &LakeConfig,
    of: Rolled,
    width: Width,
    stop: &Stop,
) -> Result<Option<Change>, LakeError> {
    let (table, job) = (Table::Rollup(of, width), &config.job);
    let Some(source) = table.source() else {
        return Ok(None);
    };
    let Some(have) = manifest::committed_table(conn, job, source).await? else {
        return Ok(None);
    };
    let done = manifest::committed_table(conn, job, table).await?;
    if width.open(Some(have)) <= width.open(done) {
        // How most calls end: no need to look through the manifest.
        return Ok(None);
    }
    let first = manifest::first_time(conn, job, source, width.open(done)).await?;
    let Some(due) = due(width, done, have, first) else {
        return Ok(None);
    };
    // A pair of counters that ends in the first bucket began before it.
    let times = (due.from - look_back(of, width), due.to);
    let sources = manifest::files_between(conn, job, source, times).await?;
    let (own, stop) = (config.clone(), stop.clone());
    let made =
        tokio::task::spawn_blocking(move || make(&own, (of, width), source, due, &sources, &stop));
    let files: Vec<FileSummary> = made.await??;
    Ok(Some(Change {
        table,
        epochs: due.epochs,
        made: files.iter().map(|file| file.path.clone()).collect(),
        files,
        replaces: Vec::new(),
    }))
}

/// How long before a bucket rows count in it.
fn look_back(of: Rolled, width: Width) -> Span {
    if width.narrower().is_none() && !of.spec().counters.is_empty() {
        PAIR
    } else {
        Span(0)
    }
}

/// Rows of `table` from here on are still to be rolled up; null when nothing is made of it.
pub(crate) async fn needed(
    conn: &mut PgConnection,
    job: &str,
    table: Table,
) -> Result<Option<Timestamp>, LakeError> {
    let Some((of, width)) = table.rolled_up() else {
        return Ok(None);
    };
    let done = manifest::committed_table(conn, job, Table::Rollup(of, width)).await?;
    Ok(Some(width.open(done) - look_back(of, width)))
}

/// Folds the files of the source to files of the rollup.
fn make(
    config: &LakeConfig,
    (of, width): (Rolled, Width),
    source: Table,
    due: Due,
    sources: &[FileSummary],
    stop: &Stop,
) -> Result<Vec<FileSummary>, LakeError> {
    let table = Table::Rollup(of, width);
    let names = source_columns(of, width);
    let schema = columns(source, names.iter().map(String::as_str));
    let mut merge = Merge::of_files(source, &config.root, schema, sources)?;
    let mut fold = Fold::new(of, width, (due.from, due.to))?;
    let mut ended = false;
    let rows = std::iter::from_fn(move || {
        loop {
            if let Some(batch) = fold.pop() {
                return Some(Ok(batch));
            }
            if ended {
                return None;
            }
            let pushed = match merge.next() {
                Some(batch) => batch.and_then(|batch| fold.push(&batch)),
                None => {
                    ended = true;
                    fold.end()
                }
            };
            if let Err(error) = pushed {
                ended = true;
                return Some(Err(error));
            }
        }
    });
    let name = |part| {
        let (from, to) = due.epochs;
        files::name(table, &config.job, config.generation, from, to, part)
    };
    let rows = stop.over(rows);
    files::write_sorted_files(&config.root, table, rows, config.target_bytes, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(m: i64) -> Timestamp {
        Timestamp::from_secs(m * 60)
    }

    #[test]
    fn what_is_due_is_seamless_and_no_more_than_a_step() {
        let have = Width::Minute.closes(minutes(1_000));
        let first = due(Width::Minute, None, have, Some(minutes(900))).unwrap();
        assert_eq!((first.from, first.to), (minutes(900), minutes(960)));
        assert_eq!(first.epochs, (Epoch(0), Width::Minute.closes(minutes(959))));
        let done = first.epochs.1;
        let next = due(Width::Minute, Some(done), have, Some(minutes(930))).unwrap();
        assert_eq!((next.from, next.to), (minutes(960), minutes(1_001)));
        assert_eq!(next.epochs, (done.next(), have));
        assert_eq!(due(Width::Minute, Some(have), have, None), None);
        let later = Epoch(have.0 + 1);
        assert_eq!(
            due(Width::Minute, Some(have), later, None),
            None,
            "the next is open"
        );
    }

    #[test]
    fn where_nothing_was_sampled_a_step_goes_to_the_end() {
        let have = Width::Hour.closes(minutes(60_000));
        let all = due(Width::Hour, None, have, None).unwrap();
        assert_eq!(all.from, all.to);
        assert_eq!(all.epochs, (Epoch(0), have));
    }
}
