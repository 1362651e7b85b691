//! Bearer tokens: `mast_` and 256 random bits. Postgres holds their SHA-256 alone; what is random to that many bits needs
//! no slow hash.
//!
//! They are made and taken back as the database's owner, by `mast token`; the API can only ask whose one is.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mast_schemas::{TenantId, Timestamp};
use mast_secrets::Secret;
use rand::RngCore;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::ApiError;

/// What every token begins with, so that a search for leaked ones finds it.
pub const PREFIX: &str = "mast_";
/// So many characters of a token are kept for people to know it by.
const KNOWN_BY: usize = 12;

mast_schemas::words! {
    /// What a token may do: each what those before it may.
    Role, "role" {
        /// Read.
        Viewer = "viewer",
        /// Change the fleet.
        Operator = "operator",
        /// Delete what many things hang on.
        Admin = "admin",
        /// Everything, of every tenant, and tenants themselves.
        SuperAdmin = "super_admin",
    }
}

/// The hash by which a token is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of any text, a token or not.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// What is known of a token. It can't be used: the token itself is shown once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Id, to revoke it by.
    pub id: Uuid,
    /// Name of its tenant; null: all tenants'.
    pub tenant: Option<String>,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its first characters.
    pub prefix: String,
    /// When it was made, microseconds since 1970.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// What a token is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Whose; null: a super-admin's.
    pub tenant_id: Option<TenantId>,
    /// What it is for.
    pub name: String,
    /// What it may do. A tenant's is at most an admin.
    pub role: Role,
    /// How long it is good, seconds.
    pub lifetime_s: u32,
}

/// Makes a token. The text is shown to its owner now, and to nobody later. As the database's owner.
///
/// # Errors
/// [`ApiError::Token`] where role and tenant don't fit; [`ApiError::Sql`].
pub async fn create(owner: &PgPool, new: &NewToken) -> Result<(Uuid, Secret), ApiError> {
    if (new.role == Role::SuperAdmin) != new.tenant_id.is_none() {
        return Err(ApiError::Token {
            reason: "a tenant's token is a viewer's, an operator's or an admin's, and a super-admin's has no tenant"
                .to_owned(),
        });
    }
    if new.name.trim().is_empty() || new.name.len() > 200 {
        return Err(ApiError::Token {
            reason: "its name must have 1 to 200 bytes".to_owned(),
        });
    }
    let mut random = [0u8; 32];
    rand::rng().fill_bytes(&mut random);
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let (id, hash) = (Uuid::now_v7(), TokenHash::of(&text));
    sqlx::query!(
        "INSERT INTO api_tokens (id, tenant_id, name, role, prefix, sha256, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
        id,
        new.tenant_id.map(|id| id.0),
        new.name,
        new.role.as_str(),
        &text[..KNOWN_BY],
        hash.as_bytes().as_slice(),
        f64::from(new.lifetime_s),
    )
    .execute(owner)
    .await?;
    Ok((id, Secret::new(text)))
}

/// All tokens, newest first. As the database's owner.
///
/// # Errors
/// [`ApiError::Sql`].
pub async fn list(owner: impl PgExecutor<'_>) -> Result<Vec<Token>, ApiError> {
    let rows = sqlx::query!(
        r#"SELECT k.id, t.name AS "tenant?", k.name, k.role, k.prefix, micros(k.created_at) AS "created_at!",
                  micros(k.expires_at) AS "expires_at!", micros(k.revoked_at) AS revoked_at
           FROM api_tokens k LEFT JOIN tenants t ON t.id = k.tenant_id ORDER BY k.created_at DESC, k.id"#
    )
    .fetch_all(owner)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Token {
                id: row.id,
                tenant: row.tenant,
                name: row.name,
                role: role(&row.role)?,
                prefix: row.prefix,
                created_at: Timestamp(row.created_at),
                expires_at: Timestamp(row.expires_at),
                revoked_at: row.revoked_at.map(Timestamp),
            })
        })
        .collect()
}

/// Takes a token back; whether there was one that was good. As the database's owner.
///
/// # Errors
/// [`ApiError::Sql`].
pub async fn revoke(owner: impl PgExecutor<'_>, id: Uuid) -> Result<bool, ApiError> {
    let done = sqlx::query!(
        "UPDATE api_tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL",
        id
    )
    .execute(owner)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) token_id: Uuid,
    /// By which the token is found again; null: there is none.
    pub(crate) hash: Option<TokenHash>,
    pub(crate) name: String,
    /// Null: a super-admin.
    pub(crate) tenant: Option<(TenantId, String)>,
    pub(crate) role: Role,
    pub(crate) expires_at: Timestamp,
}

impl Identity {
    /// Who runs the installation, in its own process.
    pub(crate) fn of_this_process() -> Self {
        Self {
            hash: None,
            token_id: Uuid::nil(),
            name: "this process".to_owned(),
            tenant: None,
            role: Role::SuperAdmin,
            expires_at: Timestamp(i64::MAX),
        }
    }
}

/// Whose token this is the hash of; null where it is nobody's, or no good any more.
pub(crate) async fn find(
    api: impl PgExecutor<'_>,
    hash: TokenHash,
) -> Result<Option<Identity>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", tenant_id, tenant, name AS "name!", role AS "role!", expires_at AS "expires_at!"
           FROM find_token($1)"#,
        hash.as_bytes().as_slice()
    )
    .fetch_optional(api)
    .await?;
    row.map(|row| {
        Ok(Identity {
            token_id: row.id,
            hash: Some(hash),
            name: row.name,
            tenant: row.tenant_id.map(TenantId).zip(row.tenant),
            role: role(&row.role)?,
            expires_at: Timestamp(row.expires_at),
        })
    })
    .transpose()
}

/// Those of some tokens that are good now.
pub(crate) async fn good(
    api: impl PgExecutor<'_>,
    tokens: &HashSet<TokenHash>,
) -> Result<HashSet<TokenHash>, sqlx::Error> {
    if tokens.is_empty() {
        return Ok(HashSet::new());
    }
    let hashes: Vec<_> = tokens.iter().map(|token| token.0.to_vec()).collect();
    let good = sqlx::query_scalar!(
        r#"SELECT h AS "hash!" FROM unnest($1::bytea[]) AS h WHERE EXISTS (SELECT FROM find_token(h))"#,
        &hashes
    )
    .fetch_all(api)
    .await?;
    let hashes = good.into_iter().filter_map(|hash| hash.try_into().ok());
    Ok(hashes.map(TokenHash).collect())
}

/// The words of the column are those of the type: a test of the schema says so.
fn role(word: &str) -> Result<Role, sqlx::Error> {
    word.parse()
        .map_err(|e: mast_schemas::SchemaError| sqlx::Error::Decode(Box::new(e)))
}
