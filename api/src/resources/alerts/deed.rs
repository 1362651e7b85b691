//! What a person does with an alert or an incident: done once, with a note, in one transaction, and answered with the thing as it
//! is then.

use std::marker::PhantomData;

use axum::response::Response;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::notes::{self, CommentInput, On};
use crate::http::access::Operator;
use crate::http::idempotency::{Begun, IdempotencyKey, Once};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::listing::Listing;

/// A thing with which people do something.
pub(crate) trait Noted: Serialize + for<'r> FromRow<'r, PgRow> + Send + Unpin {
    /// How it is read.
    const LISTING: &'static Listing;

    /// How notes name it.
    fn on(id: Uuid) -> On;
}

/// A deed, begun.
pub(crate) struct Deed<'a, T> {
    once: Once,
    tenant: Uuid,
    id: Uuid,
    by: &'a str,
    thing: PhantomData<T>,
}

impl<'a, T: Noted> Deed<'a, T> {
    /// Begins a deed on a thing that there is; or the answer, where it was done before.
    pub(crate) async fn begin(
        who: &'a Operator,
        id: Uuid,
        key: IdempotencyKey,
        input: &impl Serialize,
    ) -> Result<Result<(Self, T), Response>, Problem> {
        let mut once = match key.begin(who, input).await? {
            Begun::Now(once) => once,
            Begun::Before(answer) => return Ok(Err(answer)),
        };
        let tenant = who.tenant().0;
        let thing: T = T::LISTING.by_id(&mut once.tx, tenant, id).await?;
        let deed = Self {
            once,
            tenant,
            id,
            by: who.by(),
            thing: PhantomData,
        };
        Ok(Ok((deed, thing)))
    }

    pub(crate) fn tx(&mut self) -> &mut PgConnection {
        &mut self.once.tx
    }

    pub(crate) async fn note(&mut self, action: &str, note: Option<&str>) -> Result<(), Problem> {
        let who = (self.tenant, self.by);
        notes::add(&mut self.once.tx, who, T::on(self.id), action, note).await?;
        Ok(())
    }

    /// Answers with the thing as it is now.
    pub(crate) async fn done(mut self) -> Result<Response, Problem> {
        let thing: T = T::LISTING
            .by_id(&mut self.once.tx, self.tenant, self.id)
            .await?;
        let answer = reply::done(&thing)?;
        self.once.done(answer).await
    }

    /// Answers with a comment.
    pub(crate) async fn comment(self, input: &CommentInput) -> Result<Response, Problem> {
        let (who, on) = ((self.tenant, self.by), T::on(self.id));
        notes::made(self.once, who, on, "comment", Some(&input.note)).await
    }
}
