//! The SELECT of a page.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, AssertSqlSafe, Decode, PgConnection, Postgres, Row};
use uuid::Uuid;

use super::filter::{self, Kind, Op, Term};
use super::{Column, Listing, invalid};
use crate::http::problem::Problem;
use crate::http::wire::Time;

/// Values of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Text(Vec<String>),
    Id(Vec<Uuid>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

impl Bind {
    /// One value, of a kind of several.
    fn first(&self) -> Self {
        match self {
            Self::Text(v) => Self::Text(v.iter().take(1).cloned().collect()),
            Self::Id(v) => Self::Id(v.iter().take(1).copied().collect()),
            Self::Int(v) => Self::Int(v.iter().take(1).copied().collect()),
            Self::Float(v) => Self::Float(v.iter().take(1).copied().collect()),
            Self::Bool(v) => Self::Bool(v.iter().take(1).copied().collect()),
        }
    }

    const fn array(&self) -> &'static str {
        match self {
            Self::Text(_) => "text[]",
            Self::Id(_) => "uuid[]",
            Self::Int(_) => "bigint[]",
            Self::Float(_) => "double precision[]",
            Self::Bool(_) => "boolean[]",
        }
    }
}

impl Column {
    /// What an item has of it, as a text that [`Column::read_shown`] reads.
    pub(super) fn shown(&self, item: &PgRow) -> Result<Option<String>, sqlx::Error> {
        match self.kind {
            Kind::Text => item.try_get(self.name),
            Kind::Id => text::<Uuid>(item, self.name),
            // Of any width: all are read as the widest.
            Kind::Mac | Kind::Int => text::<i64>(item, self.name),
            Kind::Time => {
                let time: Option<Time> = item.try_get(self.name)?;
                Ok(time.map(|time| time.0.to_string()))
            }
            Kind::Float => text::<f64>(item, self.name),
            Kind::Bool => text::<bool>(item, self.name),
            // No list is in the order of one.
            Kind::Ids => Ok(None),
        }
    }

    pub(super) fn read_shown(&self, value: String) -> Option<Bind> {
        let kind = match self.kind {
            Kind::Time | Kind::Mac => Kind::Int,
            kind => kind,
        };
        kind.read(&[value])
    }
}

fn text<'r, T>(item: &'r PgRow, name: &str) -> Result<Option<String>, sqlx::Error>
where
    T: Decode<'r, Postgres> + ToString,
{
    let value: Option<T> = item.try_get_unchecked(name)?;
    Ok(value.map(|value| value.to_string()))
}

/// A column of an order.
#[derive(Debug)]
pub(super) struct By {
    pub(super) column: &'static Column,
    pub(super) descending: bool,
}

/// An order in which no two rows are equal.
#[derive(Debug)]
pub(super) struct Order(pub(super) Vec<By>);

impl Order {
    /// Reads `-signal_dbm,name`; the key is added, in the direction of the last. Behind a column that is unique nothing is left
    /// to decide.
    pub(super) fn parse(listing: &Listing, text: &str) -> Result<Self, Problem> {
        let mut order: Vec<By> = Vec::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (name, descending) = match word.strip_prefix('-') {
                Some(name) => (name, true),
                None => (word, false),
            };
            let column = listing.column(name).filter(|column| column.sorts);
            let column = column.ok_or_else(|| {
                let names = listing.columns.iter().filter(|c| c.sorts).map(|c| c.name);
                let names: Vec<_> = names.collect();
                invalid(format!("sort: this list sorts by {}", names.join(", ")))
            })?;
            if order.iter().any(|by| by.column.name == name) || order.len() == 4 {
                return Err(invalid("sort: name at most 4 columns, each once"));
            }
            order.push(By { column, descending });
        }
        if let Some(decides) = order.iter().position(|by| by.column.unique) {
            order.truncate(decides + 1);
            return Ok(Self(order));
        }
        let descending = order.last().is_some_and(|by| by.descending);
        for name in listing.key {
            let named = order.iter().any(|by| by.column.name == *name);
            if let (false, Some(column)) = (named, listing.column(name)) {
                order.push(By { column, descending });
            }
        }
        Ok(Self(order))
    }

    fn sql(&self) -> String {
        let words = self.0.iter().map(|by| {
            let direction = if by.descending { " DESC" } else { "" };
            // Nulls come last, whatever the direction: that is what the conditions of a cursor say too.
            let nulls = if by.column.nullable {
                " NULLS LAST"
            } else {
                ""
            };
            format!("{}{direction}{nulls}", by.column.sql)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Whether an index can find the place: one direction, no nulls.
    fn is_plain(&self) -> bool {
        let first = self.0.first().is_some_and(|by| by.descending);
        self.0
            .iter()
            .all(|by| !by.column.nullable && by.descending == first)
    }
}

/// A SELECT that is being written.
pub(super) struct Statement<'a> {
    listing: &'a Listing,
    conditions: String,
    binds: Vec<Bind>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(listing: &'a Listing, tenant: Uuid) -> Self {
        Self {
            listing,
            conditions: String::new(),
            binds: vec![Bind::Id(vec![tenant])],
        }
    }

    /// Binds an array; its text in SQL.
    fn array(&mut self, bind: Bind) -> String {
        let array = bind.array();
        self.binds.push(bind);
        format!("${}::{array}", self.binds.len())
    }

    /// Binds one value; its text in SQL.
    fn value(&mut self, column: &Column, bind: &Bind) -> String {
        let value = format!("({})[1]", self.array(bind.first()));
        match column.kind {
            Kind::Time => format!("instant({value})"),
            _ => value,
        }
    }

    fn and(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
    }

    pub(super) fn filter(&mut self, text: &str) -> Result<(), Problem> {
        let terms = filter::parse(text).map_err(|term| {
            invalid(format!("filter: {term:?} is no column, operator and value"))
        })?;
        if terms.len() > 20 {
            return Err(invalid("filter: at most 20 terms"));
        }
        for term in terms {
            let Some(column) = self.listing.column(&term.column) else {
                let names: Vec<_> = self.listing.columns.iter().map(|c| c.name).collect();
                let names = names.join(", ");
                return Err(invalid(format!(
                    "filter: this list has the columns {names}"
                )));
            };
            let condition = self.condition(column, &term)?;
            self.and(&condition);
        }
        Ok(())
    }

    fn condition(&mut self, column: &Column, term: &Term) -> Result<String, Problem> {
        let sign = filter::sign(term.op);
        if !column.kind.ops().split(' ').any(|op| op == sign) {
            let ops = column.kind.ops();
            return Err(invalid(format!(
                "filter: {} is compared by {ops}",
                column.name
            )));
        }
        let given: Vec<String> = term.values.iter().flatten().cloned().collect();
        let null = given.len() < term.values.len();
        if null && !column.nullable {
            return Err(invalid(format!("filter: {} is never null", column.name)));
        }
        let bind = column.kind.read(&given).ok_or_else(|| {
            let what = column.kind.what();
            invalid(format!("filter: a value of {} is {what}", column.name))
        })?;
        let sql = column.sql;
        if matches!(term.op, Op::Is | Op::IsNot) {
            let array = self.array(bind);
            let mut is = match column.kind {
                Kind::Ids => format!("{sql} && {array}"),
                _ => format!("{sql} = ANY ({array})"),
            };
            if null {
                is = format!("({is} OR {sql} IS NULL)");
            }
            return Ok(match term.op {
                Op::IsNot => format!("({is}) IS NOT TRUE"),
                _ => is,
            });
        }
        if null || given.len() != 1 {
            let name = column.name;
            return Err(invalid(format!("filter: {name} {sign} takes one value")));
        }
        let value = self.value(column, &bind);
        Ok(match term.op {
            Op::Contains => format!("strpos(lower({sql}), lower({value})) > 0"),
            op => format!("{sql} {} {value}", op.sql()),
        })
    }

    /// The row with these values of the key.
    pub(super) fn is(&mut self, key: Vec<Bind>) {
        for (name, bind) in self.listing.key.iter().zip(key) {
            if let Some(column) = self.listing.column(name) {
                let value = self.value(column, &bind);
                self.and(&format!("{} = {value}", column.sql));
            }
        }
    }

    /// The rows behind one.
    pub(super) fn after(&mut self, order: &Order, values: Vec<Option<Bind>>) {
        let columns = order.0.iter().zip(&values);
        let values: Vec<Option<String>> = columns
            .map(|(by, value)| Some(self.value(by.column, value.as_ref()?)))
            .collect();
        if order.is_plain() {
            let columns: Vec<_> = order.0.iter().map(|by| by.column.sql).collect();
            let values: Vec<_> = values.into_iter().flatten().collect();
            let than = if order.0[0].descending { "<" } else { ">" };
            let (columns, values) = (columns.join(", "), values.join(", "));
            self.and(&format!("({columns}) {than} ({values})"));
            return;
        }
        let mut condition = "false".to_owned();
        for (by, value) in order.0.iter().zip(&values).rev() {
            let sql = by.column.sql;
            let than = if by.descending { "<" } else { ">" };
            condition = match value {
                None => format!("({sql} IS NULL AND {condition})"),
                Some(value) if by.column.nullable => format!(
                    "({sql} {than} {value} OR {sql} IS NULL OR ({sql} = {value} AND {condition}))"
                ),
                Some(value) => {
                    format!("({sql} {than} {value} OR ({sql} = {value} AND {condition}))")
                }
            };
        }
        self.and(&condition);
    }

    /// One row more than the page has.
    pub(super) fn page(self, order: &Order, limit: u32) -> (String, Vec<Bind>) {
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT {}",
            self.listing.select,
            self.listing.from,
            self.conditions,
            order.sql(),
            limit + 1
        );
        (sql, self.binds)
    }

    /// All rows, in no order.
    pub(super) fn all(self) -> (String, Vec<Bind>) {
        let Listing { select, from, .. } = self.listing;
        (
            format!("SELECT {select} FROM {from}{}", self.conditions),
            self.binds,
        )
    }
}

/// Runs a statement. `$1` is the tenant, alone; all others are arrays.
pub(super) async fn fetch(
    tx: &mut PgConnection,
    sql: String,
    binds: Vec<Bind>,
) -> Result<Vec<PgRow>, Problem> {
    let mut arguments = PgArguments::default();
    for (n, bind) in binds.into_iter().enumerate() {
        let added = match bind {
            Bind::Id(ids) if n == 0 => arguments.add(ids.first().copied()),
            Bind::Id(ids) => arguments.add(ids),
            Bind::Text(texts) => arguments.add(texts),
            Bind::Int(numbers) => arguments.add(numbers),
            Bind::Float(numbers) => arguments.add(numbers),
            Bind::Bool(flags) => arguments.add(flags),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(sql), arguments)
        .fetch_all(tx)
        .await?)
}
