//! Reading history: queries that are written here, over the lake, in the tenant's session.
//!
//! Queries have no parameters, so values become text here, each by its type: ids are digits and dashes, times are numbers,
//! and texts are quoted by [`text`] alone.

use mast_query::{Fault, Format, QueryError, Session};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::problem::{Kind, Problem};
use crate::http::wire::Time;

/// A text as SQL has it.
pub(super) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A time as the lake has it, so that files and row groups can be left out by it.
pub(super) fn time(at: Time) -> String {
    format!(
        "arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')",
        at.0
    )
}

/// All rows of a query of ours.
pub(super) async fn rows<T: DeserializeOwned>(
    session: &Session,
    sql: &str,
) -> Result<Vec<T>, Problem> {
    let mut json = Vec::new();
    let result = session.sql(sql).await.map_err(|e| failed(&e))?;
    mast_query::format(result, Format::Json, &mut json)
        .await
        .map_err(|e| failed(&e))?;
    serde_json::from_slice(&json).map_err(|e| Problem::internal(&e))
}

/// A failure of a query that the asker did not write.
pub(super) fn failed(error: &QueryError) -> Problem {
    match error.fault() {
        Fault::Limit(why) => Problem::new(Kind::QueryLimit, why),
        Fault::Away => Problem::unavailable(),
        Fault::Asker(_) | Fault::Ours => Problem::internal(error),
    }
}

/// Refuses what is no device of this tenant.
pub(super) async fn must_be_device(
    tx: &mut PgConnection,
    tenant: Uuid,
    device: Uuid,
) -> Result<(), Problem> {
    let found = sqlx::query_scalar!(
        "SELECT 1 AS one FROM devices WHERE tenant_id = $1 AND id = $2",
        tenant,
        device
    )
    .fetch_optional(tx)
    .await?;
    found.map(drop).ok_or_else(Problem::not_found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_ends_no_text() {
        assert_eq!(text("o'hill\\"), "'o''hill\\'");
    }
}
