//! From requests to deliveries, in one transaction: either both are seen, or neither.
//!
//! The requests of a tenant are routed by one process at a time, in the order in which they happened: the end of an incident is
//! told where its begin was, so who decides over the end must see what was decided over the begin.

use std::collections::HashMap;

use chrono_tz::Tz;
use mast_schemas::hours::{Days, Hours};
use mast_schemas::notifications::{Occasion, Severity};
use mast_schemas::{SchemaError, TenantId, Timestamp};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::notice::delivery_id;
use crate::route::{Asked, Channels, Route, Told, decide};

/// Requests of one transaction.
const ROUND: i64 = 500;

/// A request with its ids.
struct Request {
    id: Uuid,
    incident: Uuid,
    asked: Asked,
}

/// Decides who is told of a tenant's requests. How many there were.
pub(crate) async fn route(pool: &PgPool, tenant: TenantId) -> Result<usize, sqlx::Error> {
    let mut tx = mast_postgres::tenant_tx(pool, tenant).await?;
    let turn = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('mast.notifications.' || $1::text, 0)) AS "turn!""#,
        tenant.0.to_string(),
    );
    if !turn.fetch_one(&mut *tx).await? {
        return Ok(0);
    }
    let requests = requests(&mut tx, tenant).await?;
    if requests.is_empty() {
        return Ok(0);
    }
    let rows = sqlx::query!(
        "SELECT id, enabled FROM notification_channels WHERE tenant_id = $1",
        tenant.0
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    let open = rows.iter().filter(|row| row.enabled);
    let channels = Channels {
        open: open.map(|row| row.id).collect(),
        all: rows.iter().map(|row| row.id).collect(),
    };
    let routes = routes(&mut tx, tenant).await?;
    let mut before = told_before(&mut tx, tenant, &requests).await?;
    let mut new = Deliveries::default();
    for request in &requests {
        let told = before.entry(request.incident).or_default();
        let decided = decide(&request.asked, &routes, &channels, told);
        decided.iter().for_each(|to| new.add(request, *to));
        told.extend(decided);
    }
    new.insert(&mut tx, tenant).await?;
    let ids: Vec<Uuid> = requests.iter().map(|request| request.id).collect();
    sqlx::query!(
        "UPDATE notification_requests SET routed_at = clock_timestamp() WHERE tenant_id = $1 AND id = ANY ($2)",
        tenant.0,
        &ids,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(requests.len())
}

async fn requests(tx: &mut PgConnection, tenant: TenantId) -> Result<Vec<Request>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, incident_id, kind, severity, site_id, micros(happened_at) AS "happened_at!"
           FROM notification_requests WHERE tenant_id = $1 AND routed_at IS NULL
           ORDER BY happened_at, array_position(ARRAY['opened', 'escalated', 'resolved'], kind), id
           LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        tenant.0,
        ROUND,
    )
    .fetch_all(tx)
    .await?;
    let read = rows.into_iter().map(|row| {
        let asked = Asked {
            occasion: row.kind.parse().map_err(word)?,
            severity: row.severity.parse().map_err(word)?,
            site: row.site_id,
            happened_at: Timestamp(row.happened_at),
        };
        Ok(Request {
            id: row.id,
            incident: row.incident_id,
            asked,
        })
    });
    read.collect()
}

async fn routes(tx: &mut PgConnection, tenant: TenantId) -> Result<Vec<Route>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT least_severity, kinds, site_ids, days, from_minute, to_minute, time_zone, fallback, channel_ids
         FROM notification_routes WHERE tenant_id = $1 AND enabled ORDER BY id",
        tenant.0,
    )
    .fetch_all(tx)
    .await?;
    let minute = |minute: Option<i16>| minute.map(i16::cast_unsigned);
    let read = rows.into_iter().map(|row| {
        let occasions = row
            .kinds
            .iter()
            .map(|kind| kind.parse::<Occasion>().map_err(word));
        let number = |day: i16| u8::try_from(day).ok();
        let days = row.days.map_or(Days::ALL, |days| {
            days.into_iter().filter_map(number).collect()
        });
        Ok(Route {
            least_severity: row.least_severity.parse::<Severity>().map_err(word)?,
            occasions: occasions.collect::<Result<_, _>>()?,
            sites: row.site_ids,
            // Checked when it was written; a zone that is not known any more is no reason to tell nobody.
            hours: Hours {
                days,
                span: minute(row.from_minute).zip(minute(row.to_minute)),
                zone: row.time_zone.parse().unwrap_or(Tz::UTC),
            },
            fallback: row.fallback,
            channels: row.channel_ids,
        })
    });
    read.collect()
}

/// Who was told of the incidents that end.
async fn told_before(
    tx: &mut PgConnection,
    tenant: TenantId,
    requests: &[Request],
) -> Result<HashMap<Uuid, Vec<Told>>, sqlx::Error> {
    let ends = requests
        .iter()
        .filter(|request| request.asked.occasion == Occasion::Resolved);
    let ends: Vec<Uuid> = ends.map(|request| request.incident).collect();
    let rows = sqlx::query!(
        "SELECT incident_id, channel_id, tells_end FROM notification_deliveries WHERE tenant_id = $1 AND incident_id = ANY ($2)",
        tenant.0,
        &ends,
    )
    .fetch_all(tx)
    .await?;
    let mut told: HashMap<Uuid, Vec<Told>> = HashMap::new();
    for row in rows {
        let of = told.entry(row.incident_id).or_default();
        of.push(Told {
            channel: row.channel_id,
            tells_end: row.tells_end,
        });
    }
    Ok(told)
}

/// Deliveries to be made, by column.
#[derive(Default)]
struct Deliveries {
    ids: Vec<Uuid>,
    requests: Vec<Uuid>,
    channels: Vec<Uuid>,
    tell_end: Vec<bool>,
}

impl Deliveries {
    fn add(&mut self, request: &Request, to: Told) {
        self.ids.push(delivery_id(request.id, to.channel));
        self.requests.push(request.id);
        self.channels.push(to.channel);
        self.tell_end.push(to.tells_end);
    }

    async fn insert(&self, tx: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO notification_deliveries (id, tenant_id, request_id, channel_id, incident_id, kind, severity, happened_at, tells_end)
             SELECT d.id, $1, r.id, d.channel_id, r.incident_id, r.kind, r.severity, r.happened_at, d.tells_end
             FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::boolean[]) AS d (id, request_id, channel_id, tells_end)
             JOIN notification_requests r ON r.tenant_id = $1 AND r.id = d.request_id
             ON CONFLICT DO NOTHING",
            tenant.0,
            &self.ids,
            &self.requests,
            &self.channels,
            &self.tell_end,
        )
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// A word that the table's checks let in and this program does not know: it is older than the table.
pub(super) fn word(error: SchemaError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
