//! The changes of a tenant, as they are read: with the position that they lead to, in one snapshot of the database, under the
//! tenant's scope.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use mast_postgres::tenant_snapshot;
use mast_schemas::TenantId;
use mast_schemas::views::View;
use sqlx::{PgConnection, PgPool};

use super::event;
use super::position::Position;
use super::row::RowChange;
use super::views::Views;

/// How far the views are.
pub(super) struct Head {
    /// Behind all that is committed.
    pub(super) position: Position,
    /// Changes of earlier slots may be gone.
    kept_from: i64,
}

/// How far the views are; null where the tenant is gone.
pub(super) async fn head(
    tx: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<Head>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT p.era AS "era?", p.epoch AS "epoch?", p.changes_from AS "changes_from?"
           FROM tenants t LEFT JOIN job_progress p ON true WHERE t.id = $1 ORDER BY p.epoch LIMIT 1"#,
        tenant.0
    )
    .fetch_optional(tx)
    .await?;
    // Before the first job there is nothing.
    Ok(row.map(|row| Head {
        position: Position::behind(row.era.unwrap_or(0), row.epoch.unwrap_or(0)),
        kept_from: row.changes_from.unwrap_or(0),
    }))
}

impl Head {
    /// Whether all changes behind a position are there. One of another era is none, nor is one that lies ahead: so it is
    /// where the database is one of before.
    fn knows(&self, after: Position) -> bool {
        let here = after.era == self.position.era && after <= self.position;
        here && (after.epoch >= self.kept_from || after == self.position)
    }
}

/// What is known behind a position.
pub(super) enum Behind {
    /// This.
    Known(Frame),
    /// Nobody knows what changed.
    Unknown,
    /// There is no such tenant any more.
    NoTenant,
}

/// Changes behind one position, up to another.
pub(super) struct Frame {
    pub(super) from: Position,
    /// Behind the last of them; where there are no more, behind all that is committed.
    pub(super) upto: Position,
    pub(super) more: bool,
    changes: Vec<Encoded>,
    /// Events of all of them, by what listeners chose: each is made once.
    events: Mutex<HashMap<Views, Option<Bytes>>>,
}

struct Encoded {
    position: Position,
    view: View,
    json: String,
}

impl Frame {
    /// Without changes.
    pub(super) fn empty(from: Position, upto: Position) -> Self {
        Self {
            from,
            upto,
            more: false,
            changes: Vec::new(),
            events: Mutex::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The event for who is at a position and chose some views; null where it has nothing for them.
    pub(super) fn event(&self, views: Views, at: Position) -> Option<Bytes> {
        let make = || {
            let new = self.changes.iter();
            let new = new.filter(|change| change.position > at && views.has(change.view));
            event::changes(new.map(|change| change.json.as_str()), self.upto)
        };
        if self.changes.first().is_some_and(|c| c.position <= at) {
            return make();
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.entry(views).or_insert_with(make).clone()
    }
}

/// What is known behind a position, at most so many changes of it.
pub(super) async fn behind(
    pool: &PgPool,
    tenant: TenantId,
    after: Position,
    most: u16,
) -> Result<Behind, sqlx::Error> {
    let mut tx = tenant_snapshot(pool, tenant).await?;
    let Some(head) = head(&mut tx, tenant).await? else {
        return Ok(Behind::NoTenant);
    };
    if !head.knows(after) {
        return Ok(Behind::Unknown);
    }
    let rows = sqlx::query!(
        r#"SELECT epoch, n, view, key::text AS "key!", row::text AS row FROM view_change
           WHERE tenant_id = $1 AND (epoch, n) > ($2, $3) ORDER BY epoch, n LIMIT $4"#,
        tenant.0,
        after.epoch,
        after.n,
        i64::from(most),
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let era = head.position.era;
    let more = rows.len() == usize::from(most);
    let upto = match rows.last() {
        Some(last) if more => Position {
            era,
            epoch: last.epoch,
            n: last.n,
        },
        _ => head.position,
    };
    let mut frame = Frame::empty(after, upto);
    frame.more = more;
    frame.changes.reserve(rows.len());
    for row in rows {
        // A view of a newer version is none that anybody chose.
        let Ok(view) = row.view.parse::<View>() else {
            continue;
        };
        match RowChange::read(view, &row.key, row.row.as_deref()) {
            Ok(change) => frame.changes.push(Encoded {
                position: Position {
                    era,
                    epoch: row.epoch,
                    n: row.n,
                },
                view,
                json: event::json(&change),
            }),
            Err(error) => {
                let (epoch, n) = (row.epoch, row.n);
                tracing::warn!(%error, epoch, n, %view, "a change cannot be read: listeners get a snapshot instead");
                return Ok(Behind::Unknown);
            }
        }
    }
    Ok(Behind::Known(frame))
}
