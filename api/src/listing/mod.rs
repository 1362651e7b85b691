//! Lists: filter, sort and page by one implementation, over a list of columns that each resource allows.
//!
//! A page begins behind the last row of the one before, not at an offset: what is inserted or deleted meanwhile shifts
//! nothing, and the last page costs what the first does. No text of a request ever becomes SQL: columns are found in the
//! list by name, values are parsed to the column's kind and bound.

mod cursor;
mod filter;
mod statement;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::problem::{Kind as ProblemKind, Problem};
use cursor::Cursor;
use statement::{Order, Statement};

pub(crate) use filter::Kind;
pub(crate) use statement::Bind;

/// Items of a page where none is named, and at most.
const LIMIT: u32 = 50;
const LIMIT_MOST: u32 = 500;

/// A column that a list can be filtered or sorted by.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// The expression.
    pub(crate) sql: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    /// Whether lists can be in its order. Then items have it too, under its name.
    pub(crate) sorts: bool,
    /// Whether an index of the tenant and it holds each value once.
    pub(crate) unique: bool,
}

impl Column {
    pub(crate) const fn new(name: &'static str, sql: &'static str, kind: Kind) -> Self {
        Self {
            name,
            sql,
            kind,
            nullable: false,
            sorts: true,
            unique: false,
        }
    }

    /// It can be null.
    pub(crate) const fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// No two rows of a tenant have the same, by an index: sorted by it, no row waits for others.
    pub(crate) const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// It is of no use to sort by.
    pub(crate) const fn unsorted(mut self) -> Self {
        self.sorts = false;
        self
    }
}

/// What a list reads.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Path of the list in the API.
    pub(crate) path: &'static str,
    /// The columns of an item.
    pub(crate) select: &'static str,
    /// From where, with the condition that the rows are those of the tenant `$1`.
    pub(crate) from: &'static str,
    /// What can be named in `filter` and `sort`.
    pub(crate) columns: &'static [Column],
    /// Names of the columns that tell each item from all others.
    pub(crate) key: &'static [&'static str],
    /// Order where none is named.
    pub(crate) sort: &'static str,
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the page before. `filter` and `sort` must be the same as there.
    cursor: Option<String>,
    /// Conditions, all of which hold.
    filter: Option<String>,
    /// Order.
    sort: Option<String>,
}

impl ListQuery {
    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.cursor, &self.filter, &self.sort];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items.
    items: Vec<T>,
    /// `cursor` of the next page; null at the end.
    next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is never so long that it comes in pages.
    pub(crate) const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    pub(crate) const fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidParameter, detail)
}

impl Listing {
    fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A page of the list.
    pub(crate) async fn page<T>(
        &self,
        tx: &mut PgConnection,
        tenant: Uuid,
        query: &ListQuery,
    ) -> Result<Page<T>, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let limit = query.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MOST).contains(&limit) {
            return Err(invalid(format!("limit: give 1 to {LIMIT_MOST}")));
        }
        let sort = query.sort.as_deref().unwrap_or(self.sort);
        let filter = query.filter.as_deref().unwrap_or_default();
        let order = Order::parse(self, sort)?;
        let mut statement = Statement::new(self, tenant);
        statement.filter(filter)?;
        if let Some(cursor) = &query.cursor {
            let values = Cursor::read(cursor, sort, filter)
                .and_then(|cursor| cursor.values(&order))
                .ok_or_else(|| invalid("cursor: it is none of a list with this filter and sort"))?;
            statement.after(&order, values);
        }
        let (sql, binds) = statement.page(&order, limit);
        let mut rows = statement::fetch(&mut *tx, sql, binds).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last() {
            Some(last) if more => {
                let values = order.0.iter().map(|by| by.column.shown(last));
                Some(Cursor::new(sort, filter, values.collect::<Result<_, _>>()?).text())
            }
            _ => None,
        };
        let items = rows.iter().map(T::from_row).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    /// What Postgres is asked for a page in the list's own order: `$1` is the tenant, `$2` and so on hold what the row before it
    /// is sorted by, arrays of one.
    ///
    /// # Errors
    /// A list whose own order is none of its columns.
    pub(crate) fn statement(&self, limit: u32) -> Result<String, Problem> {
        let order = Order::parse(self, self.sort)?;
        let before = order.0.iter().map(|by| by.column.kind.read(&[]));
        let before: Vec<_> = before.collect();
        let mut statement = Statement::new(self, Uuid::nil());
        statement.after(&order, before);
        Ok(statement.page(&order, limit).0)
    }

    /// The one item with this key; null where this tenant has none.
    pub(crate) async fn one<T>(
        &self,
        tx: &mut PgConnection,
        tenant: Uuid,
        key: Vec<Bind>,
    ) -> Result<Option<T>, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut statement = Statement::new(self, tenant);
        statement.is(key);
        let (sql, binds) = statement.all();
        let rows = statement::fetch(tx, sql, binds).await?;
        Ok(rows.first().map(T::from_row).transpose()?)
    }

    /// The item with this id.
    ///
    /// # Errors
    /// [`ProblemKind::NotFound`] where this tenant has none.
    pub(crate) async fn by_id<T>(
        &self,
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
    ) -> Result<T, Problem>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let found = self.one(tx, tenant, vec![Bind::Id(vec![id])]).await?;
        found.ok_or_else(Problem::not_found)
    }
}
