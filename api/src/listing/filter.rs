//! The language of `filter`: `state=degraded|down,signal_dbm<-75,name~hill,site_id=null`.
//!
//! Terms parted by commas, all of which hold; a term is a column, an operator and values, parted by `|`, one of which holds.
//! A comma, a bar or a backslash of a value stands behind a backslash; so does the word `null`.

use mast_schemas::Mac;
use uuid::Uuid;

use super::Bind;
use crate::http::wire::Time;

/// What a column holds, and so what can be asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `text`.
    Text,
    /// `uuid`.
    Id,
    /// `uuid[]`: an element is asked for.
    Ids,
    /// A MAC address in a `bigint`.
    Mac,
    /// `timestamptz`.
    Time,
    /// Any whole number.
    Int,
    /// `double precision`.
    Float,
    /// `boolean`.
    Bool,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Is,
    IsNot,
    Less,
    AtMost,
    More,
    AtLeast,
    Contains,
}

/// The longer ones first.
const OPS: [(&str, Op); 7] = [
    ("!=", Op::IsNot),
    ("<=", Op::AtMost),
    (">=", Op::AtLeast),
    ("<", Op::Less),
    (">", Op::More),
    ("=", Op::Is),
    ("~", Op::Contains),
];

impl Op {
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Is | Self::IsNot | Self::Contains => "=",
        }
    }
}

/// How an operator is written.
pub(super) fn sign(op: Op) -> &'static str {
    let found = OPS.iter().find(|(_, known)| *known == op);
    found.map_or("", |(sign, _)| sign)
}

impl Kind {
    /// A value of this kind, in words.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Id | Self::Ids => "a UUID",
            Self::Mac => "a MAC address",
            Self::Time => "a time such as 2026-01-31T10:00:00Z",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
        }
    }

    /// The operators that mean something.
    pub(crate) const fn ops(self) -> &'static str {
        match self {
            Self::Text => "= != ~",
            Self::Id | Self::Mac | Self::Bool => "= !=",
            Self::Ids => "=",
            Self::Time => "< <= > >=",
            Self::Int | Self::Float => "= != < <= > >=",
        }
    }

    /// The values as they are bound; null where one is of another kind.
    pub(super) fn read(self, values: &[String]) -> Option<Bind> {
        fn all<T>(values: &[String], read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
            values.iter().map(|value| read(value)).collect()
        }
        Some(match self {
            Self::Text => Bind::Text(all(values, |v| {
                // The one character that no text of Postgres holds.
                (!v.contains('\0')).then(|| v.to_owned())
            })?),
            Self::Id | Self::Ids => Bind::Id(all(values, |v| Uuid::parse_str(v).ok())?),
            Self::Mac => Bind::Int(all(values, |v| {
                Some(v.parse::<Mac>().ok()?.0.cast_signed())
            })?),
            Self::Time => Bind::Int(all(values, |v| Some(Time::parse(v)?.0))?),
            Self::Int => Bind::Int(all(values, |v| v.parse().ok())?),
            Self::Float => Bind::Float(all(values, |v| {
                v.parse::<f64>().ok().filter(|v| v.is_finite())
            })?),
            Self::Bool => Bind::Bool(all(values, |v| v.parse().ok())?),
        })
    }
}

/// A term as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) column: String,
    pub(super) op: Op,
    /// Values; null is the word `null`.
    pub(super) values: Vec<Option<String>>,
}

/// Reads a filter.
///
/// # Errors
/// The term that can't be read.
pub(super) fn parse(text: &str) -> Result<Vec<Term>, String> {
    split(text, ',')
        .into_iter()
        .filter(|term| !term.is_empty())
        .map(|term| parse_term(term).ok_or_else(|| term.chars().take(100).collect()))
        .collect()
}

fn parse_term(term: &str) -> Option<Term> {
    let column: String = term
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    let rest = &term[column.len()..];
    let (sign, op) = OPS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    let values = split(&rest[sign.len()..], '|');
    let values = values.into_iter().map(|value| match value {
        "null" => None,
        value => Some(plain(value)),
    });
    Some(Term {
        column,
        op: *op,
        values: values.collect(),
    })
}

/// Parts at a sign that stands behind no backslash. Always at least one.
fn split(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut begin, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if !escaped && c == sign {
            parts.push(&text[begin..at]);
            begin = at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    parts.push(&text[begin..]);
    parts
}

/// A value without its backslashes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn term(column: &str, op: Op, values: &[Option<&str>]) -> Term {
        Term {
            column: column.to_owned(),
            op,
            values: values.iter().map(|v| v.map(str::to_owned)).collect(),
        }
    }

    #[test]
    fn a_filter_is_read_as_it_is_meant() {
        let terms =
            parse("state=degraded|down,signal_dbm<=-75,name~a\\,b\\|c\\\\,site_id=null,x!=\\null");
        assert_eq!(
            terms.unwrap(),
            [
                term("state", Op::Is, &[Some("degraded"), Some("down")]),
                term("signal_dbm", Op::AtMost, &[Some("-75")]),
                term("name", Op::Contains, &[Some("a,b|c\\")]),
                term("site_id", Op::Is, &[None]),
                term("x", Op::IsNot, &[Some("null")]),
            ]
        );
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("a=1,state"), Err("state".to_owned()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_value_comes_back(value in ".{1,20}") {
            let escaped: String = value
                .chars()
                .flat_map(|c| [Some('\\').filter(|_| !c.is_ascii_alphanumeric()), Some(c)])
                .flatten()
                .collect();
            prop_assume!(value != "null");
            let read = parse(&format!("name={escaped}")).unwrap();
            prop_assert_eq!(read, [term("name", Op::Is, &[Some(&value)])]);
        }
    }
}
