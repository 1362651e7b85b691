//! Conditions of a query as parameterised Postgres SQL.
//!
//! What is translated means in Postgres what it means here, so it need not be checked again; what isn't, stays above the
//! scan. No value ever becomes SQL text. The traps: text is ordered by bytes here and by collation there (so `COLLATE
//! "C"`), and a text that shows no id or address must not become one.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use uuid::Uuid;

use crate::columns::{Kind, shown_id, shown_mac};

/// A value that is bound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    /// `text`.
    Text(String),
    /// `uuid`.
    Id(Uuid),
    /// `smallint`.
    I16(i16),
    /// `integer`.
    I32(i32),
    /// `bigint`.
    I64(i64),
    /// `double precision`.
    F64(f64),
    /// `boolean`.
    Bool(bool),
}

/// The last time that Postgres' `instant()` converts exactly: the end of 2105, in microseconds.
const EXACT_UNTIL_US: i64 = 4_291_747_200_000_000;

/// Writes conditions over known columns.
pub(crate) struct Filters<'a> {
    columns: &'a [(&'a str, Kind)],
    /// Values, `$1` first.
    pub(crate) binds: Vec<Bind>,
}

impl<'a> Filters<'a> {
    /// A writer whose `binds` are already used in the query.
    pub(crate) fn new(columns: &'a [(&'a str, Kind)], binds: Vec<Bind>) -> Self {
        Self { columns, binds }
    }

    /// Whether a condition can be translated whole.
    pub(crate) fn knows(columns: &'a [(&'a str, Kind)], expr: &Expr) -> bool {
        Filters::new(columns, Vec::new()).condition(expr).is_some()
    }

    /// The condition in SQL; null when it can't be translated. Values are appended to `binds`.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or) => {
                let (left, right) = (self.condition(&b.left)?, self.condition(&b.right)?);
                Some(format!(
                    "({left} {} {right})",
                    if b.op == Operator::And { "AND" } else { "OR" }
                ))
            }
            Expr::BinaryExpr(b) => match (b.left.as_ref(), b.right.as_ref()) {
                (column @ Expr::Column(_), Expr::Literal(value, _)) => {
                    self.compare(column, b.op, value)
                }
                (Expr::Literal(value, _), column @ Expr::Column(_)) => {
                    self.compare(column, b.op.swap()?, value)
                }
                _ => None,
            },
            Expr::Not(inner) => Some(format!("(NOT {})", self.condition(inner)?)),
            Expr::IsNull(inner) => Some(format!("({} IS NULL)", self.column(inner)?.0)),
            Expr::IsNotNull(inner) => Some(format!("({} IS NOT NULL)", self.column(inner)?.0)),
            Expr::Column(_) => self
                .column(expr)
                .filter(|(_, kind)| *kind == Kind::Bool)
                .map(|(sql, _)| sql),
            Expr::InList(list) => {
                let (sql, kind) = self.column(&list.expr)?;
                let values = list
                    .list
                    .iter()
                    .map(|v| self.literal(kind, v))
                    .collect::<Option<Vec<_>>>()?;
                let not = if list.negated { "NOT " } else { "" };
                (!values.is_empty()).then(|| format!("({sql} {not}IN ({}))", values.join(", ")))
            }
            Expr::Between(between) if !between.negated => {
                let low = self.compare_expr(&between.expr, Operator::GtEq, &between.low)?;
                let high = self.compare_expr(&between.expr, Operator::LtEq, &between.high)?;
                Some(format!("({low} AND {high})"))
            }
            Expr::Like(like) if !like.case_insensitive && like.escape_char.is_none() => {
                let (sql, kind) = self.column(&like.expr)?;
                let Expr::Literal(pattern, _) = like.pattern.as_ref() else {
                    return None;
                };
                let prefix = pattern.try_as_str()??.strip_suffix('%')?.to_owned();
                let plain = kind == Kind::Text && !prefix.contains(['%', '_', '\\', '\0']);
                let value = plain.then(|| self.bind(Bind::Text(prefix)))?;
                Some(format!(
                    "({}starts_with({sql}, {value}))",
                    if like.negated { "NOT " } else { "" }
                ))
            }
            _ => None,
        }
    }

    fn compare_expr(&mut self, column: &Expr, op: Operator, value: &Expr) -> Option<String> {
        let Expr::Literal(value, _) = value else {
            return None;
        };
        self.compare(column, op, value)
    }

    fn compare(&mut self, column: &Expr, op: Operator, value: &ScalarValue) -> Option<String> {
        let (sql, kind) = self.column(column)?;
        let ordering = match op {
            Operator::Eq | Operator::NotEq => false,
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => true,
            _ => return None,
        };
        if kind == Kind::Bool && ordering {
            return None;
        }
        let collate = if kind == Kind::Text && ordering {
            " COLLATE \"C\""
        } else {
            ""
        };
        let op = if op == Operator::NotEq {
            "<>".to_owned()
        } else {
            op.to_string()
        };
        let value = self.value(kind, value)?;
        Some(format!("({sql}{collate} {op} {value})"))
    }

    /// A known column. Names come from our own list, never from the query's text.
    fn column(&self, expr: &Expr) -> Option<(String, Kind)> {
        let Expr::Column(column) = expr else {
            return None;
        };
        let (name, kind) = self.columns.iter().find(|(name, _)| *name == column.name)?;
        Some((format!("t.{name}"), *kind))
    }

    fn literal(&mut self, kind: Kind, expr: &Expr) -> Option<String> {
        let Expr::Literal(value, _) = expr else {
            return None;
        };
        self.value(kind, value)
    }

    fn value(&mut self, kind: Kind, value: &ScalarValue) -> Option<String> {
        let text = || value.try_as_str().flatten();
        let bind = match (kind, value) {
            (Kind::Text, _) => Bind::Text(text().filter(|t| !t.contains('\0'))?.to_owned()),
            (Kind::Id, _) => Bind::Id(shown_id(text()?)?),
            (Kind::Mac, _) => Bind::I64(i64::try_from(shown_mac(text()?)?.0).ok()?),
            (Kind::Time, ScalarValue::TimestampMicrosecond(Some(us), _))
                if (0..EXACT_UNTIL_US).contains(us) =>
            {
                return Some(format!("instant({})", self.bind(Bind::I64(*us))));
            }
            (Kind::I16, ScalarValue::Int16(Some(v))) => Bind::I16(*v),
            (Kind::I32, ScalarValue::Int32(Some(v))) => Bind::I32(*v),
            (Kind::I64, ScalarValue::Int64(Some(v))) => Bind::I64(*v),
            (Kind::F64, ScalarValue::Float64(Some(v))) if v.is_finite() => Bind::F64(*v),
            (Kind::Bool, ScalarValue::Boolean(Some(v))) => Bind::Bool(*v),
            _ => return None,
        };
        Some(self.bind(bind))
    }

    fn bind(&mut self, value: Bind) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }
}
