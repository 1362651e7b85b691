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
    /// Both ends, microseconds since 1970.
    pub(super) const fn bounds(self) -> (i64, i64) {
        (self.from_us, self.to_us)
    }

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

/// The least and the greatest device that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Devices {
    least: Uuid,
    greatest: Uuid,
}

impl Devices {
    /// What conditions, which must all hold, leave of all devices.
    pub(super) fn of(conditions: &[Expr]) -> Self {
        let mut devices = Self {
            least: Uuid::nil(),
            greatest: Uuid::max(),
        };
        for condition in conditions.iter().flat_map(split_conjunction) {
            let ends =
                named(condition).and_then(|ids| Some((*ids.iter().min()?, *ids.iter().max()?)));
            if let Some((least, greatest)) = ends {
                devices.least = devices.least.max(least);
                devices.greatest = devices.greatest.min(greatest);
            }
        }
        devices
    }
}

/// The devices of which a row must be one for a condition to hold; null where it bounds them not so.
fn named(condition: &Expr) -> Option<Vec<Uuid>> {
    match condition {
        Expr::BinaryExpr(b) if b.op == Operator::Eq && is_device(&b.left) => {
            device(&b.right).map(|id| vec![id])
        }
        // What a short list becomes.
        Expr::BinaryExpr(b) if b.op == Operator::Or => {
            Some([named(&b.left)?, named(&b.right)?].concat())
        }
        Expr::InList(list) if !list.negated && is_device(&list.expr) => {
            list.list.iter().map(device).collect()
        }
        _ => None,
    }
}

fn is_device(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(c) if c.name == "device_id")
}

fn device(expr: &Expr) -> Option<Uuid> {
    match expr {
        Expr::Literal(ScalarValue::FixedSizeBinary(16, Some(id)), _) => Uuid::from_slice(id).ok(),
        _ => None,
    }
}

/// The files of a table that can hold rows of these tenants, devices and times, in the order they were committed. The rows of
/// a file are in the order of tenants, then of devices: so its first device bounds those of its first tenant alone, and
/// its last those of its last.
pub(super) async fn files(
    conn: &mut PgConnection,
    table: Table,
    tenants: &[Uuid],
    devices: Devices,
    times: Times,
) -> Result<Vec<FileSummary>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT file AS "file!: Json<FileSummary>"
           FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file
           WHERE table_name = $1 AND rows > 0
             AND (file ->> 'time_max_us')::bigint >= $2 AND (file ->> 'time_min_us')::bigint <= $3
             AND EXISTS (SELECT 1 FROM unnest($4::uuid[]) AS own
                         WHERE own BETWEEN (file ->> 'tenant_min')::uuid AND (file ->> 'tenant_max')::uuid
                           AND (own > (file ->> 'tenant_min')::uuid OR $6 >= coalesce((file ->> 'device_first')::uuid, $6))
                           AND (own < (file ->> 'tenant_max')::uuid OR $5 <= coalesce((file ->> 'device_last')::uuid, $5)))
           ORDER BY version"#,
        table.as_str(),
        times.from_us,
        times.to_us,
        tenants,
        devices.least,
        devices.greatest,
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

    #[test]
    fn conditions_on_the_device_bound_it() {
        let id = Uuid::from_u128;
        let stored = |n: u128| {
            lit(ScalarValue::FixedSizeBinary(
                16,
                Some(id(n).as_bytes().to_vec()),
            ))
        };
        let of = |conditions: &[Expr]| {
            let devices = Devices::of(conditions);
            (devices.least, devices.greatest)
        };
        let all = (Uuid::nil(), Uuid::max());
        let one = col("device_id").eq(stored(7));
        let some =
            |negated| col("device_id").in_list(vec![stored(9), stored(3), stored(5)], negated);
        assert_eq!(of(&[]), all);
        assert_eq!(of(std::slice::from_ref(&one)), (id(7), id(7)));
        assert_eq!(of(&[some(false)]), (id(3), id(9)));
        assert_eq!(of(&[one.clone().and(some(false))]), (id(7), id(7)));
        assert_eq!(of(&[one.clone().or(some(false))]), (id(3), id(9)));
        for unbounded in [
            one.or(col("mac").eq(stored(9))),
            some(true),
            col("device_id").not_eq(stored(7)),
            col("mac").eq(stored(7)),
        ] {
            assert_eq!(of(&[unbounded]), all);
        }
    }
}
