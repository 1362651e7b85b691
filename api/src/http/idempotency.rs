//! POST once: a request with an Idempotency-Key that comes again is answered with the first answer, and does nothing.
//!
//! The key is taken in the transaction of the write and the answer is stored in it: either both are there, or neither. A
//! second request with the key that comes before the first has ended waits for it, on the key's row. The trap: a key stored
//! before the work would answer for work that then failed.
//!
//! What was asked is compared by a hash of the body as it was read, without what is secret in it.

use axum::body::to_bytes;
use axum::extract::FromRequestParts;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mast_schemas::TenantId;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::access::{Access, App, SuperAdmin, Tx, Writes};
use super::problem::{Kind, Problem};

/// By this an asker names what it does once.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Headers that are part of the answer.
const KEPT: [HeaderName; 3] = [CONTENT_TYPE, ETAG, LOCATION];

/// The key of a request, if it has one.
pub(crate) struct IdempotencyKey {
    key: Option<String>,
    route: String,
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let key = parts.headers.get(KEY).map(|value| {
            let text = value.to_str().ok().filter(|t| (1..=128).contains(&t.len()));
            text.map(str::to_owned).ok_or_else(|| {
                let detail = "Idempotency-Key: must have 1 to 128 ASCII characters";
                Problem::new(Kind::InvalidParameter, detail)
            })
        });
        Ok(Self {
            key: key.transpose()?,
            route: format!("{} {}", parts.method, parts.uri.path()),
        })
    }
}

/// A write that is done once.
pub(crate) struct Once {
    pub(crate) tx: Tx,
    /// The tenant under which the key is kept, and the key.
    key: Option<(TenantId, String)>,
}

/// Whether it was done before.
pub(crate) enum Begun {
    /// No; do it.
    Now(Once),
    /// Yes; this was the answer.
    Before(Response),
}

impl IdempotencyKey {
    /// Begins a write of a tenant's.
    pub(crate) async fn begin<R: Writes>(
        self,
        who: &Access<R>,
        input: &impl Serialize,
    ) -> Result<Begun, Problem> {
        let tx = who.write().await?;
        self.begin_in(tx, who.tenant(), input).await
    }

    /// Begins the making of a tenant, as the installation.
    pub(crate) async fn begin_installation(
        self,
        who: &SuperAdmin,
        input: &impl Serialize,
    ) -> Result<Begun, Problem> {
        let nobody = TenantId(uuid::Uuid::nil());
        let tx = who.write(nobody).await?;
        self.begin_in(tx, nobody, input).await
    }

    async fn begin_in(
        self,
        mut tx: Tx,
        tenant: TenantId,
        input: &impl Serialize,
    ) -> Result<Begun, Problem> {
        let Some(key) = self.key else {
            return Ok(Begun::Now(Once { tx, key: None }));
        };
        let input = serde_json::to_vec(input).map_err(|e| Problem::internal(&e))?;
        let asked = Sha256::new()
            .chain_update(&self.route)
            .chain_update([0])
            .chain_update(&input)
            .finalize();
        let taken = sqlx::query!(
            "INSERT INTO idempotency_keys (tenant_id, key, sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            tenant.0,
            key,
            asked.as_slice(),
        )
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 1 {
            let key = Some((tenant, key));
            return Ok(Begun::Now(Once { tx, key }));
        }
        let before = sqlx::query!(
            "SELECT sha256, status, headers, body FROM idempotency_keys WHERE tenant_id = $1 AND key = $2",
            tenant.0,
            key,
        )
        .fetch_one(&mut *tx)
        .await?;
        if before.sha256 != asked.as_slice() {
            return Err(Problem::new(
                Kind::IdempotencyKeyReused,
                "it was used for another path or body; take a new key for each thing that is to be done",
            ));
        }
        Ok(Begun::Before(again(
            before.status,
            before.headers,
            before.body,
        )))
    }
}

/// The answer that was stored.
fn again(
    status: Option<i16>,
    headers: Option<serde_json::Value>,
    body: Option<Vec<u8>>,
) -> Response {
    let status = status.and_then(|s| u16::try_from(s).ok());
    let status = status.and_then(|s| StatusCode::from_u16(s).ok());
    let mut response = (status.unwrap_or_default(), body.unwrap_or_default()).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in headers.iter().flat_map(|h| h.as_object()).flatten() {
        let name = KEPT.iter().find(|kept| kept.as_str() == name);
        let value = value.as_str().and_then(|v| HeaderValue::from_str(v).ok());
        if let (Some(name), Some(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

impl Once {
    /// Stores the answer and commits; only then it is given.
    pub(crate) async fn done(mut self, answer: Response) -> Result<Response, Problem> {
        let Some((tenant, key)) = self.key else {
            self.tx.commit().await?;
            return Ok(answer);
        };
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX)
            .await
            .map_err(|e| Problem::internal(&e))?;
        mast_postgres::rescope(&mut self.tx, tenant).await?;
        sqlx::query!(
            "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE tenant_id = $1 AND key = $2",
            tenant.0,
            key,
            parts.status.as_u16().cast_signed(),
            kept(&parts.headers),
            body.as_ref(),
        )
        .execute(&mut *self.tx)
        .await?;
        self.tx.commit().await?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

fn kept(headers: &HeaderMap) -> serde_json::Value {
    let kept = KEPT.iter().filter_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.into()))
    });
    serde_json::Value::Object(kept.collect())
}

/// Drops answers that are older than a day.
pub(crate) async fn tidy(app: &App) -> Result<(), sqlx::Error> {
    let gone = app.forget_answers().await?;
    tracing::debug!(gone, "old answers are forgotten");
    Ok(())
}
