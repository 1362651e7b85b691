//! The inventory of a tenant as one document: out, and in again.
//!
//! What an import does is `crate::inventory`'s to say, which `mast import` has too. Credentials go in and never come out.

use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::inventory::{Inventory, Tenant};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use crate::ApiError;
use crate::http::accept::accepted;
use crate::http::access::{App, Operator, Viewer};
use crate::http::extract::{Query, body};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::{FieldError, Kind, Problem};
use crate::http::reply;
use crate::inventory::{
    Lines, Place, Report, check, export as exported, from_csv_at_most, import_tenant, parse,
    tenant_name, to_csv,
};

/// Bytes of an inventory, whatever other bodies may have: some 100,000 devices.
const BODY_MOST: usize = 32 << 20;

const JSON: &str = "application/json";
const CSV: &str = "text/csv";

/// What a body of the import may have.
pub(crate) fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(BODY_MOST)
}

/// How to import.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// The text of an inventory.
pub(crate) struct Text {
    kind: &'static str,
    text: String,
    _turn: OwnedSemaphorePermit,
}

impl FromRequest<App> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &App) -> Result<Self, Problem> {
        // Before the body is read: it is large.
        let turn = state.inventory_turn()?;
        let (kind, bytes) = body(request, state, &[JSON, CSV]).await?;
        let text = String::from_utf8(bytes.into()).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Problem::new(Kind::MalformedBody, format!("byte {at} is not of UTF-8"))
        })?;
        Ok(Self {
            kind,
            text,
            _turn: turn,
        })
    }
}

impl Text {
    fn read(&self, tenant: &str) -> Result<(Inventory, Lines), ApiError> {
        if self.kind == CSV {
            return from_csv_at_most(&self.text, tenant, DEVICES_MOST);
        }
        Ok((parse(&self.text)?, Lines::default()))
    }
}

/// What is done once, by a key: without what is secret in it.
#[derive(Serialize)]
struct Asked {
    inventory: Inventory,
}

impl Asked {
    fn of(inventory: &Inventory) -> Self {
        let mut inventory = inventory.clone();
        let devices = inventory.tenants.iter_mut().flat_map(|t| &mut t.devices);
        devices.for_each(|device| device.password = None);
        Self { inventory }
    }
}

/// The tenant's inventory: its sites, sectors and devices with all that people decided of them, but for credentials; as the
/// format of `mast import` (`application/json`), or devices alone as a table (`text/csv`), chosen by `Accept`. It imports again
/// to "all unchanged".
#[utoipa::path(get, path = "/api/v1/inventory", tag = "inventory", responses((status = 200, description = "The inventory",
    content((serde_json::Value = "application/json"), (String = "text/csv")))))]
pub(crate) async fn export(who: Viewer, headers: HeaderMap) -> Result<Response, Problem> {
    let (kind, ()) = accepted(&headers, &[(JSON, ()), (CSV, ())])?;
    let _turn = who.app().inventory_turn()?;
    let mut tx = who.read().await?;
    let tenant = exported(&mut tx, who.tenant()).await?;
    let tenant = tenant.ok_or_else(Problem::not_found)?;
    if kind == CSV {
        return Ok(reply::document(&headers, kind, to_csv(&tenant.devices)));
    }
    let inventory = Inventory {
        tenants: vec![tenant],
    };
    reply::list(&headers, &inventory)
}

/// Makes the tenant's inventory say what the body says, as a whole or not at all. What it does not name stays as it is, and so
/// does what it does not say of those that it names: nothing is deleted, and a second import changes nothing. The body is of
/// the format of `mast import` (`application/json`; it may name no other tenant), or has a row a device (`text/csv`): a header
/// row with some of `name`, `address`, `api_port`, `api_ssl_port`, `username`, `password`, `tls`, `site`, `sector`, `role`,
/// `interval_s`, `enabled`, `parent`, `groups`, `tags`; sites, sectors, groups and tags that it names are made. A device that is
/// there and comes without a password keeps its own. Up to 32 MiB.
#[utoipa::path(post, path = "/api/v1/inventory", tag = "inventory", params(ImportQuery),
    request_body(content((serde_json::Value = "application/json"), (String = "text/csv"))),
    responses((status = 200, body = Report)))]
pub(crate) async fn import(
    who: Operator,
    key: IdempotencyKey,
    Query(query): Query<ImportQuery>,
    text: Text,
) -> Result<Response, Problem> {
    let name = tenant_name(&mut *who.read().await?, who.tenant()).await?;
    let name = name.ok_or_else(Problem::not_found)?;
    let (inventory, lines) = text.read(&name)?;
    let tenant = checked(&inventory, &name).map_err(|e| lines.place(e))?;
    let (keys, interval_ms) = (who.keys().as_ref(), who.default_interval_ms());
    let place = Place {
        tenant_id: who.tenant(),
        path: "tenants[0]".to_owned(),
    };
    if query.dry_run {
        let mut tx = who.write().await?;
        let would = import_tenant(&mut tx, keys, &place, tenant, interval_ms).await;
        tx.rollback().await?;
        return reply::done(&would.map_err(|e| lines.place(e))?);
    }
    let mut once = match key.begin(&who, &Asked::of(&inventory)).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let report = import_tenant(&mut once.tx, keys, &place, tenant, interval_ms).await;
    let answer = reply::done(&report.map_err(|e| lines.place(e))?)?;
    once.done(answer).await
}

/// So many devices come in one request.
const DEVICES_MOST: usize = 200_000;
/// What to do where a file is not about the asker's tenant.
const OWN: &str = "name the tenant that the token is for, and it alone";

/// The one tenant of an inventory, which must be the asker's.
fn checked<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a Tenant, ApiError> {
    let wrong = |path: &str, reason: &str, remedy: &str| ApiError::Inventory {
        problems: vec![crate::inventory::Problem {
            path: path.to_owned(),
            line: None,
            reason: reason.to_owned(),
            remedy: remedy.to_owned(),
        }],
    };
    let remedy = format!("import at most {DEVICES_MOST} at once");
    match &inventory.tenants[..] {
        [tenant] if tenant.devices.len() > DEVICES_MOST => Err(wrong(
            "tenants[0].devices",
            "there are too many devices",
            &remedy,
        )),
        [tenant] if tenant.name == name => {
            check(inventory)?;
            Ok(tenant)
        }
        [_] => Err(wrong("tenants[0].name", "this is another tenant", OWN)),
        _ => Err(wrong("tenants", "there must be one tenant", OWN)),
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Json { .. } => Self::new(Kind::MalformedBody, error.to_string()),
            ApiError::Inventory { problems } => {
                Self::invalid(problems.into_iter().map(field_error).collect())
            }
            ApiError::Sql(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// `tenants[0].devices[3].sector` as `/tenants/0/devices/3/sector`.
fn field_error(problem: crate::inventory::Problem) -> FieldError {
    let parts = problem.path.split(['.', '[', ']']);
    let pointer = parts.filter(|part| !part.is_empty());
    let pointer = pointer.fold(String::new(), |all, part| format!("{all}/{part}"));
    FieldError {
        line: problem.line,
        ..FieldError::new(pointer, format!("{}; {}", problem.reason, problem.remedy))
    }
}
