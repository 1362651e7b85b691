//! Devices, with what the dataflow last said of each.
//!
//! Credentials go in and never come out: they are sealed before they are stored, and a device tells only whether it has
//! some. Their version rises in the same change of the row, so that ingest hears of both at once.

mod input;
mod write;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use self::input::DeviceInput;
use self::write::{insert, no_ring, seal, store, update};
use super::crud;
use crate::http::access::{Admin, Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::Problem;
use crate::http::reply::{self, Versioned};
use crate::http::wire::Time;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// What the dataflow says of a device.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct DeviceStatus {
    /// `online`, `offline`, `unmanageable` or `unobserved`.
    pub(crate) state: String,
    /// Since when it is in this state.
    pub(crate) since: Option<Time>,
    /// Outcome of the poll that decided; null where time did.
    pub(crate) outcome: Option<String>,
    /// Name that it gives itself.
    pub(crate) identity: Option<String>,
    /// RouterOS.
    pub(crate) routeros_version: Option<String>,
    pub(crate) board: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) serial: Option<String>,
    /// RouterBOOT.
    pub(crate) firmware: Option<String>,
}

/// A device in live streams.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveDevice {
    pub(crate) id: Uuid,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub(crate) status: DeviceStatus,
}

/// What the dataflow says of a device, if it has said something; its row is `s`.
macro_rules! device_status_columns {
    () => {
        "coalesce(s.state, 'unobserved') AS state, s.since, s.outcome, s.identity,
 s.version AS routeros_version, s.board, s.architecture, s.serial, s.firmware"
    };
}
pub(crate) use device_status_columns;

/// A device that is watched.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Device {
    id: Uuid,
    name: String,
    /// IP address or host name.
    address: String,
    /// Port of the plain API.
    api_port: i32,
    /// Port of the API over TLS.
    api_ssl_port: i32,
    /// How it is trusted: `auto`, `verified`, `pinned`, `insecure`, `anonymous` or `plain`.
    tls: String,
    site_id: Option<Uuid>,
    site: Option<String>,
    sector_id: Option<Uuid>,
    sector: Option<String>,
    /// The device that it hangs on.
    parent_id: Option<Uuid>,
    group_ids: Vec<Uuid>,
    tag_ids: Vec<Uuid>,
    /// `router`, `ap`, `cpe`, `backhaul`, `controller`, `switch` or `other`.
    role: String,
    /// Interval of its polls.
    interval_ms: i32,
    /// Whether it is polled.
    enabled: bool,
    /// Whether there are credentials for it. They are never shown.
    has_credentials: bool,
    /// Rises with each change.
    version: i64,
    #[serde(flatten)]
    #[sqlx(flatten)]
    status: DeviceStatus,
    /// When the measurements were taken.
    measured_at: Option<Time>,
    round_trip_ms: Option<i64>,
    cpu_load_percent: Option<i16>,
    memory_free_bytes: Option<i64>,
    uptime_s: Option<i64>,
}

impl Versioned for Device {
    fn version(&self) -> i64 {
        self.version
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/devices",
    select: concat!(
        "d.id, d.name, d.address, d.api_port, d.api_ssl_port, d.tls, d.site_id, p.name AS site, d.sector_id,
 e.name AS sector, d.parent_id, d.group_ids, d.tag_ids, d.role, d.interval_ms, d.enabled,
 d.has_credentials, d.version, ",
        device_status_columns!(),
        ", g.observed_at AS measured_at, g.round_trip_ms, g.cpu_load_percent, g.memory_free_bytes, g.uptime_s"
    ),
    // Each is found by a key that no two tenants share, and row level security lets pass this tenant's alone. To say the tenant
    // here once more, as other lists do, has Postgres compare it again for each row that is looked up: this list is asked for most.
    from: "devices d
 LEFT JOIN device_status s ON s.device_id = d.id
 LEFT JOIN device_gauges g ON g.device_id = d.id
 LEFT JOIN sites p ON p.id = d.site_id
 LEFT JOIN sectors e ON e.id = d.sector_id
 WHERE d.tenant_id = $1",
    columns: &[
        Column::new("id", "d.id", Kind::Id),
        Column::new("name", "d.name", Kind::Text).unique(),
        Column::new("address", "d.address", Kind::Text),
        Column::new("role", "d.role", Kind::Text),
        Column::new("tls", "d.tls", Kind::Text),
        Column::new("enabled", "d.enabled", Kind::Bool).unsorted(),
        Column::new("site_id", "d.site_id", Kind::Id).or_null(),
        Column::new("site", "p.name", Kind::Text).or_null(),
        Column::new("sector_id", "d.sector_id", Kind::Id).or_null(),
        Column::new("parent_id", "d.parent_id", Kind::Id).or_null(),
        Column::new("group_ids", "d.group_ids", Kind::Ids).unsorted(),
        Column::new("tag_ids", "d.tag_ids", Kind::Ids).unsorted(),
        Column::new("state", "coalesce(s.state, 'unobserved')", Kind::Text),
        Column::new("since", "s.since", Kind::Time).or_null(),
        Column::new("outcome", "s.outcome", Kind::Text).or_null(),
        Column::new("identity", "s.identity", Kind::Text).or_null(),
        Column::new("routeros_version", "s.version", Kind::Text).or_null(),
        Column::new("board", "s.board", Kind::Text).or_null(),
        Column::new("serial", "s.serial", Kind::Text).or_null(),
        Column::new("cpu_load_percent", "g.cpu_load_percent", Kind::Int).or_null(),
        Column::new("round_trip_ms", "g.round_trip_ms", Kind::Int).or_null(),
        Column::new("uptime_s", "g.uptime_s", Kind::Int).or_null(),
    ],
    key: &["id"],
    sort: "name",
};

/// The statement that reads a page of devices by name: `$1` is the tenant, `$2` an array of the name behind which it begins.
/// For benchmarks, which run it without the API.
pub fn device_page_statement(limit: u32) -> Option<String> {
    LISTING.statement(limit).ok()
}

/// Devices, with their state.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", params(ListQuery), responses((status = 200, body = Page<Device>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Device>(&who, &LISTING, query, &headers).await
}

/// A device.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "devices", params(("id" = Uuid, Path)), responses((status = 200, body = Device)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let device: Device = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    reply::thing(&headers, &device)
}

/// Makes a device: it is polled from now on.
#[utoipa::path(post, path = "/api/v1/devices", tag = "devices", request_body = DeviceInput, responses((status = 201, body = Device)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(mut input): Body<DeviceInput>,
) -> Result<Response, Problem> {
    input.check()?;
    let mut once = match key.begin(&who, &input).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let (tenant, id) = (who.tenant().0, Uuid::now_v7());
    input.place(&mut once.tx, tenant).await?;
    let sealed = seal(&who, input.credentials.as_ref())?;
    insert(
        &mut once.tx,
        tenant,
        id,
        &input,
        sealed.is_some(),
        who.default_interval_ms(),
    )
    .await?;
    if let Some(sealed) = sealed {
        store(&mut once.tx, tenant, id, &sealed, 1).await?;
    }
    let device: Device = LISTING.by_id(&mut once.tx, tenant, id).await?;
    let answer = reply::created(&format!("{}/{id}", LISTING.path), &device)?;
    once.done(answer).await
}

/// Changes a device. Moving it to another site without naming a sector takes it out of its sector.
#[utoipa::path(patch, path = "/api/v1/devices/{id}", tag = "devices", params(("id" = Uuid, Path)),
    request_body(content = DeviceInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Device)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    mut patch: MergePatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let device: Device = LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(device.version)?;
    let taken_away = patch.0.get("credentials") == Some(&Value::Null);
    // Half of a place is meant as the whole of it: the other half would be of the place before.
    let names = |field: &str| patch.0.contains_key(field);
    if names("site_id") != names("sector_id") {
        let other = if names("site_id") {
            "sector_id"
        } else {
            "site_id"
        };
        let stays = other == "site_id" && patch.0.get("sector_id") == Some(&Value::Null);
        if !stays {
            patch.0.insert(other.to_owned(), Value::Null);
        }
    }
    let before = DeviceInput::of(&device);
    let mut input = patch.apply(&before)?;
    input.check()?;
    input.place(&mut tx, tenant).await?;
    if input == before && !taken_away {
        return reply::written(&device);
    }
    let sealed = seal(&who, input.credentials.as_ref())?;
    let changed = sealed.is_some() || (taken_away && device.has_credentials);
    let has_credentials = sealed.is_some() || (device.has_credentials && !taken_away);
    let version = update(&mut tx, tenant, id, &input, changed, has_credentials).await?;
    if let Some(sealed) = sealed {
        store(&mut tx, tenant, id, &sealed, version).await?;
    } else if taken_away {
        sqlx::query!(
            "DELETE FROM device_credentials WHERE tenant_id = $1 AND device_id = $2",
            tenant,
            id
        )
        .execute(&mut *tx)
        .await?;
    }
    no_ring(&mut tx, tenant, id).await?;
    let device: Device = LISTING.by_id(&mut tx, tenant, id).await?;
    tx.commit().await?;
    reply::written(&device)
}

/// Deletes a device. Its history stays.
#[utoipa::path(delete, path = "/api/v1/devices/{id}", tag = "devices", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let device: Device = LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(device.version)?;
    sqlx::query!(
        "DELETE FROM devices WHERE tenant_id = $1 AND id = $2",
        tenant,
        id
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_by_name_asks_for_a_tenant_and_a_name() {
        let statement = device_page_statement(50).unwrap();
        assert!(statement.starts_with("SELECT d.id, "), "{statement}");
        let end = " AND (d.name) > (($2::text[])[1]) ORDER BY d.name LIMIT 51";
        assert!(statement.ends_with(end), "{statement}");
        assert_eq!(statement.matches('$').count(), 2, "{statement}");
    }
}
