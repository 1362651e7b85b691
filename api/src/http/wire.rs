//! Values as Postgres gives and JSON shows them.

use std::fmt;

use chrono::{DateTime, Utc};
use mast_schemas::{Mac, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, ValueRef as _};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// A time, microseconds since 1970: a `timestamptz` of SQL, or these microseconds as a `bigint`; RFC 3339 in UTC in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) i64);

/// `timestamptz` in the catalogue of every Postgres.
const TIMESTAMPTZ: Oid = Oid(1184);
/// From 1970 to 2000, from which Postgres counts.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl sqlx::Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }

    fn compatible(kind: &PgTypeInfo) -> bool {
        *kind == Self::type_info() || *kind == <i64 as sqlx::Type<Postgres>>::type_info()
    }
}

/// Of prepared statements alone: they give numbers.
impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let of_postgres = *value.type_info() == <Self as sqlx::Type<Postgres>>::type_info();
        let micros = <i64 as Decode<'_, Postgres>>::decode(value)?;
        let since_1970 = match (of_postgres, micros) {
            (false, micros) => Some(micros),
            (true, i64::MIN | i64::MAX) => None,
            (true, micros) => micros.checked_add(POSTGRES_EPOCH_MICROS),
        };
        since_1970
            .map(Self)
            .ok_or_else(|| "an infinite time".into())
    }
}

impl Time {
    /// Reads RFC 3339, with any offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(time.timestamp_micros()))
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(time.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
        // RFC 3339, with as many digits of a second as it takes.
        fmt::Debug::fmt(&time, f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As one text: it is written digit by digit, and JSON looks at each piece for what must be escaped.
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("not a time; write it as 2026-01-31T10:00:00Z"))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {}

/// A MAC address: the `bigint` of SQL, `4C:5E:0C:A2:54:51` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct MacText(pub(crate) i64);

impl MacText {
    pub(crate) fn mac(self) -> Mac {
        Mac(self.0.cast_unsigned())
    }
}

impl From<Mac> for MacText {
    fn from(mac: Mac) -> Self {
        Self(mac.0.cast_signed())
    }
}

impl Serialize for MacText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.mac())
    }
}

impl PartialSchema for MacText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some("^[0-9A-F]{2}(:[0-9A-F]{2}){5}$"))
            .into()
    }
}

impl ToSchema for MacText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_whatever_their_offset() {
        let time = Time::parse("2026-01-31T12:00:00.25+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-31T10:00:00.250Z");
        assert_eq!(Time::parse(&time.to_string()), Some(time));
        for bad in ["", "now", "2026-01-31", "2026-01-31T25:00:00Z"] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }
}
