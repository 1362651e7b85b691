//! Which committed files a scan needs, narrowed by Postgres.
//!
//! The manifest grows with the age of the installation, a query mostly asks about the last hour of one table: so the
//! bounds of each file are compared where they lie, and only files that can hold a wanted row are read from the manifest.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator};
use mast_lake::{FileSummary, Table};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

/// A range of times in microseconds since 1970, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    from_us: i64,
    to_us: i64,
}

impl Times {
    /// What conditions, which must all hold, leave of all times of a table.
    pub(super) fn of(table: Table, conditions: &[Expr]) -> Self {
        let mut times = Self {
            from_us: i64::MIN,
            to_us: i64::MAX,
        };
        for condition in conditions.iter().flat_map(split_conjunction) {
            let Expr::BinaryExpr(b) = condition else {
                continue;
            };
            let (Expr::Column(c), Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), _), _)) =
                (b.left.as_ref(), b.right.as_ref())
            else {
                continue;
            };
            if c.name != table.time_column() {
                continue;
            }
            if matches!(b.op, Operator::Gt | Operator::GtEq | Operator::Eq) {
                times.from_us = times.from_us.max(*us);
            }
            if matches!(b.op, Operator::Lt | Operator::LtEq | Operator::Eq) {
                times.to_us = times.to_us.min(*us);
            }
        }
        times
    }
}

/// The files of a table that can hold rows of these tenants and times, in the order they were committed.
pub(super) async fn files(
    conn: &mut PgConnection,
    table: Table,
    tenants: &[Uuid],
    times: Times,
) -> Result<Vec<FileSummary>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT file AS "file!: Json<FileSummary>"
           FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file
           WHERE table_name = $1 AND rows > 0
             AND (file ->> 'time_max_us')::bigint >= $2 AND (file ->> 'time_min_us')::bigint <= $3
             AND EXISTS (SELECT 1 FROM unnest($4::uuid[]) AS own
                         WHERE own BETWEEN (file ->> 'tenant_min')::uuid AND (file ->> 'tenant_max')::uuid)
           ORDER BY version"#,
        table.as_str(),
        times.from_us,
        times.to_us,
        tenants,
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(|file| file.0).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn conditions_on_the_time_bound_it() {
        let at = |us| {
            lit(ScalarValue::TimestampMicrosecond(
                Some(us),
                Some("UTC".into()),
            ))
        };
        let of = |conditions: &[Expr]| {
            let times = Times::of(Table::Polls, conditions);
            (times.from_us, times.to_us)
        };
        let within = col("observed_at")
            .gt_eq(at(10))
            .and(col("observed_at").lt(at(20)));
        assert_eq!(of(&[]), (i64::MIN, i64::MAX));
        assert_eq!(of(std::slice::from_ref(&within)), (10, 20));
        assert_eq!(
            of(&[within.clone(), col("observed_at").eq(at(15))]),
            (15, 15)
        );
        assert_eq!(
            of(&[within.or(col("observed_at").eq(at(99)))]),
            (i64::MIN, i64::MAX),
            "either of two bounds nothing"
        );
        assert_eq!(of(&[col("next_due_at").gt(at(10))]), (i64::MIN, i64::MAX));
    }
}
