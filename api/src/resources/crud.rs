//! How things are listed, shown, made, changed and deleted: once, for all resources whose rows are their own.

use std::future::Future;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::check::refused;
use crate::http::access::{Access, Viewer, Writes};
use crate::http::extract::{IfMatch, MergePatch};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::kept::{Answer, Asked, Question};
use crate::http::problem::{Kind, Problem};
use crate::http::reply::{self, Versioned};
use crate::listing::{ListQuery, Listing, Page};

/// A thing that people make and change.
pub(crate) trait Resource:
    Versioned + for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin + 'static
{
    /// What people decide of it.
    type Input: Serialize + DeserializeOwned + PartialEq + Send + Sync + for<'a> From<&'a Self>;
    /// How it is read.
    const LISTING: &'static Listing;
    /// Which field stands behind which foreign key, by a part of the constraint's name.
    const KEYS: &'static [(&'static str, &'static str)] = &[];

    /// So many a tenant may have, where each costs more than its row.
    const MOST: Option<i64> = None;

    /// What an input must be, beyond its types.
    fn check(input: &Self::Input) -> Result<(), Problem>;

    /// Makes it.
    fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &Self::Input,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Makes it what the input says.
    fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &Self::Input,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Deletes it.
    fn delete(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A page of a list, at most as old as answers are kept.
pub(crate) async fn list<T>(
    who: &Viewer,
    listing: &Listing,
    query: ListQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem>
where
    T: Serialize + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let question = Question {
        tenant: who.tenant(),
        path: listing.path,
        query,
    };
    let answer = match who.app().kept().ask(question).await {
        Asked::Answered(outcome) => outcome?,
        Asked::Turn(turn) => {
            let outcome = read::<T>(who, listing, turn.query()).await;
            turn.done(&outcome);
            outcome?
        }
    };
    Ok(reply::kept(headers, &answer))
}

async fn read<T>(who: &Viewer, listing: &Listing, query: &ListQuery) -> Result<Answer, Problem>
where
    T: Serialize + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut tx = who.read().await?;
    let page: Page<T> = listing.page(&mut tx, who.tenant().0, query).await?;
    reply::list_answer(&page)
}

pub(crate) async fn get<R: Resource>(
    who: &Viewer,
    id: Uuid,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let thing: R = R::LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    reply::thing(headers, &thing)
}

pub(crate) async fn create<R: Resource, W: Writes>(
    who: &Access<W>,
    key: IdempotencyKey,
    input: &R::Input,
) -> Result<Response, Problem> {
    R::check(input)?;
    let mut once = match key.begin(who, input).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let (tenant, id) = (who.tenant().0, Uuid::now_v7());
    let made = R::insert(&mut once.tx, tenant, id, input).await;
    made.map_err(|e| refused(e, R::KEYS))?;
    if let Some(most) = R::MOST {
        not_too_many(&mut once.tx, R::LISTING, tenant, most).await?;
    }
    let thing: R = R::LISTING.by_id(&mut once.tx, tenant, id).await?;
    let answer = reply::created(&format!("{}/{id}", R::LISTING.path), &thing)?;
    once.done(answer).await
}

/// Refuses what a tenant has too many of, once it is there.
pub(crate) async fn not_too_many(
    tx: &mut PgConnection,
    listing: &Listing,
    tenant: Uuid,
    most: i64,
) -> Result<(), Problem> {
    let count = format!("SELECT count(*) FROM {}", listing.from);
    let there: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .bind(tenant)
        .fetch_one(tx)
        .await?;
    if there > most {
        let detail = format!(
            "a tenant has {most} of {} at most; delete some",
            listing.path
        );
        return Err(Problem::new(Kind::TooMany, detail));
    }
    Ok(())
}

pub(crate) async fn patch<R: Resource, W: Writes>(
    who: &Access<W>,
    id: Uuid,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let thing: R = R::LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(thing.version())?;
    let before = R::Input::from(&thing);
    let input = patch.apply(&before)?;
    R::check(&input)?;
    if input == before {
        return reply::written(&thing);
    }
    let changed = R::update(&mut tx, tenant, id, &input).await;
    changed.map_err(|e| refused(e, R::KEYS))?;
    let thing: R = R::LISTING.by_id(&mut tx, tenant, id).await?;
    tx.commit().await?;
    reply::written(&thing)
}

pub(crate) async fn delete<R: Resource, W: Writes>(
    who: &Access<W>,
    id: Uuid,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let thing: R = R::LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(thing.version())?;
    R::delete(&mut tx, tenant, id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
