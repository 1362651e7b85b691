//! Columns as SQL shows them: ids and MAC addresses as text, times as UTC timestamps, units in the names.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int16Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use mast_schemas::Mac;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// What a column holds, and so how it is read from Postgres, shown and filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `text`.
    Text,
    /// `uuid`, shown as text.
    Id,
    /// A MAC address in a `bigint`, shown as `AA:BB:CC:DD:EE:FF`.
    Mac,
    /// `timestamptz`.
    Time,
    /// `smallint`.
    I16,
    /// `integer`.
    I32,
    /// `bigint`.
    I64,
    /// `double precision`.
    F64,
    /// `boolean`.
    Bool,
}

impl Kind {
    /// The Arrow type that SQL sees.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text | Self::Id | Self::Mac => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::I16 => DataType::Int16,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::F64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
        }
    }

    /// The column at `index` of all rows.
    pub(crate) fn read(self, rows: &[PgRow], index: usize) -> Result<ArrayRef, sqlx::Error> {
        fn all<'r, T>(rows: &'r [PgRow], index: usize) -> Result<Vec<Option<T>>, sqlx::Error>
        where
            T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        {
            rows.iter()
                .map(|row| row.try_get::<Option<T>, _>(index))
                .collect()
        }
        let text = |value: Option<String>| value;
        Ok(match self {
            Self::Text => Arc::new(StringArray::from(all::<&str>(rows, index)?)),
            Self::Id => {
                let ids = all::<Uuid>(rows, index)?;
                Arc::new(
                    ids.iter()
                        .map(|id| text(id.map(|id| id.to_string())))
                        .collect::<StringArray>(),
                )
            }
            Self::Mac => {
                let macs = all::<i64>(rows, index)?;
                Arc::new(
                    macs.iter()
                        .map(|mac| text(mac.map(mac_text)))
                        .collect::<StringArray>(),
                )
            }
            Self::Time => Arc::new(
                TimestampMicrosecondArray::from(all::<i64>(rows, index)?).with_timezone("UTC"),
            ),
            Self::I16 => Arc::new(Int16Array::from(all::<i16>(rows, index)?)),
            Self::I32 => Arc::new(Int32Array::from(all::<i32>(rows, index)?)),
            Self::I64 => Arc::new(Int64Array::from(all::<i64>(rows, index)?)),
            Self::F64 => Arc::new(Float64Array::from(all::<f64>(rows, index)?)),
            Self::Bool => Arc::new(BooleanArray::from(all::<bool>(rows, index)?)),
        })
    }
}

fn mac_text(mac: i64) -> String {
    Mac(u64::try_from(mac).unwrap_or(0)).to_string()
}

/// The id that `text` shows; null for a text that no id is shown as, such as one in capitals.
pub(crate) fn shown_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

/// The address that `text` shows; null for a text that no address is shown as.
pub(crate) fn shown_mac(text: &str) -> Option<Mac> {
    let mac: Mac = text.parse().ok()?;
    (mac.to_string() == text).then_some(mac)
}

/// Name of the column with the tenant's name, which exists only where several tenants are read.
pub(crate) const TENANT: &str = "tenant";

/// A schema of these columns, with the tenant's name before them if `many` tenants are read.
pub(crate) fn schema(columns: &[(&str, Kind)], many: bool) -> SchemaRef {
    let tenant = many.then(|| Field::new(TENANT, DataType::Utf8, false));
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.data_type(), true));
    Arc::new(Schema::new(
        tenant.into_iter().chain(fields).collect::<Vec<_>>(),
    ))
}
