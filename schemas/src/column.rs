//! How a field of a record becomes an Arrow column and back.
//!
//! [`record!`](crate::record) makes, from one list of fields, the row struct, its Arrow schema, a builder and a reader,
//! so that wire, lake and SQL cannot drift apart.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder,
    StringBuilder,
};
use arrow::datatypes::{
    DataType, Float32Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::{DeviceId, Mac, RuleId, SchemaError, SectorId, SiteId, TenantId, Timestamp};

/// A field type that has an Arrow column.
pub trait Column: Sized {
    /// What collects values of this type.
    type Builder: Default;
    /// The type of the column.
    fn data_type() -> DataType;
    /// Whether the column may hold nulls.
    const NULLABLE: bool = false;
    /// Appends a value.
    fn append(&self, builder: &mut Self::Builder);
    /// Appends a null.
    fn append_null(builder: &mut Self::Builder);
    /// Ends the column.
    fn finish(builder: &mut Self::Builder) -> ArrayRef;
    /// The value in a row of a column that has [`Column::data_type`].
    fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError>;
}

macro_rules! primitive {
    ($($ty:ty => $arrow:ty, $to:expr, $from:expr);+ $(;)?) => {$(
        impl Column for $ty {
            type Builder = PrimitiveBuilder<$arrow>;
            fn data_type() -> DataType {
                <$arrow as arrow::datatypes::ArrowPrimitiveType>::DATA_TYPE
            }
            fn append(&self, builder: &mut Self::Builder) {
                let to: fn(&$ty) -> _ = $to;
                builder.append_value(to(self));
            }
            fn append_null(builder: &mut Self::Builder) {
                builder.append_null();
            }
            fn finish(builder: &mut Self::Builder) -> ArrayRef {
                Arc::new(builder.finish())
            }
            fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
                let from: fn(_) -> $ty = $from;
                Ok(from(array.as_primitive::<$arrow>().value(row)))
            }
        }
    )+};
}

primitive! {
    u8 => UInt8Type, |v| *v, |v| v;
    u16 => UInt16Type, |v| *v, |v| v;
    u32 => UInt32Type, |v| *v, |v| v;
    u64 => UInt64Type, |v| *v, |v| v;
    i16 => Int16Type, |v| *v, |v| v;
    i32 => Int32Type, |v| *v, |v| v;
    i64 => Int64Type, |v| *v, |v| v;
    f32 => Float32Type, |v| *v, |v| v;
    Mac => UInt64Type, |v| v.0, Mac;
}

/// Builder of a UTC timestamp column.
pub struct TimestampBuilder(PrimitiveBuilder<TimestampMicrosecondType>);

impl Default for TimestampBuilder {
    fn default() -> Self {
        Self(PrimitiveBuilder::new().with_data_type(Timestamp::data_type()))
    }
}

impl Column for Timestamp {
    type Builder = TimestampBuilder;
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.0.append_value(self.0);
    }
    fn append_null(builder: &mut Self::Builder) {
        builder.0.append_null();
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.0.finish())
    }
    fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
        Ok(Timestamp(
            array.as_primitive::<TimestampMicrosecondType>().value(row),
        ))
    }
}

/// Builder of a column of 16-byte ids.
pub struct IdBuilder(FixedSizeBinaryBuilder);

impl Default for IdBuilder {
    fn default() -> Self {
        Self(FixedSizeBinaryBuilder::new(16))
    }
}

macro_rules! id_column {
    ($($ty:ident),+) => {$(
        impl Column for $ty {
            type Builder = IdBuilder;
            fn data_type() -> DataType {
                DataType::FixedSizeBinary(16)
            }
            fn append(&self, builder: &mut Self::Builder) {
                // The width is right by type; the builder's only error is a wrong width.
                let _ = builder.0.append_value(self.as_bytes());
            }
            fn append_null(builder: &mut Self::Builder) {
                builder.0.append_null();
            }
            fn finish(builder: &mut Self::Builder) -> ArrayRef {
                Arc::new(builder.0.finish())
            }
            fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
                let bytes = array.as_fixed_size_binary().value(row);
                <[u8; 16]>::try_from(bytes).map($ty::from_bytes).map_err(|_| SchemaError::Word {
                    what: "16-byte id",
                    word: format!("{} bytes", bytes.len()),
                })
            }
        }
    )+};
}

id_column!(TenantId, DeviceId, SiteId, SectorId, RuleId);

impl Column for bool {
    type Builder = BooleanBuilder;
    fn data_type() -> DataType {
        DataType::Boolean
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(*self);
    }
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
        Ok(array.as_boolean().value(row))
    }
}

impl Column for String {
    type Builder = StringBuilder;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn append(&self, builder: &mut Self::Builder) {
        builder.append_value(self);
    }
    fn append_null(builder: &mut Self::Builder) {
        builder.append_null();
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        Arc::new(builder.finish())
    }
    fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
        Ok(array.as_string::<i32>().value(row).to_owned())
    }
}

impl<C: Column> Column for Option<C> {
    type Builder = C::Builder;
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        C::data_type()
    }
    fn append(&self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.append(builder),
            None => C::append_null(builder),
        }
    }
    fn append_null(builder: &mut Self::Builder) {
        C::append_null(builder);
    }
    fn finish(builder: &mut Self::Builder) -> ArrayRef {
        C::finish(builder)
    }
    fn read(array: &dyn Array, row: usize) -> Result<Self, SchemaError> {
        if array.is_null(row) {
            Ok(None)
        } else {
            C::read(array, row).map(Some)
        }
    }
}

/// A closed set of words: an enum that is a short text column and a lower-case word in JSON.
#[macro_export]
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// All members, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire, in the lake, in SQL and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::SchemaError;
            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::SchemaError::Word { what: $what, word: word.chars().take(64).collect() }),
                }
            }
        }

        impl $crate::column::Column for $name {
            type Builder = arrow::array::StringBuilder;
            fn data_type() -> arrow::datatypes::DataType {
                arrow::datatypes::DataType::Utf8
            }
            fn append(&self, builder: &mut Self::Builder) {
                builder.append_value(self.as_str());
            }
            fn append_null(builder: &mut Self::Builder) {
                builder.append_null();
            }
            fn finish(builder: &mut Self::Builder) -> arrow::array::ArrayRef {
                std::sync::Arc::new(builder.finish())
            }
            fn read(array: &dyn arrow::array::Array, row: usize) -> Result<Self, $crate::SchemaError> {
                arrow::array::AsArray::as_string::<i32>(array).value(row).parse()
            }
        }
    };
}

/// A record kind that has an Arrow schema.
pub trait Record: Sized {
    /// Name of the kind, as in `kind` columns, messages and lake tables.
    const KIND: &'static str;
    /// Collects rows into columns.
    type Columns: Default;
    /// The Arrow schema; fields are only ever appended to it, nullable.
    fn schema() -> arrow::datatypes::SchemaRef;
    /// Appends this row.
    fn append(&self, columns: &mut Self::Columns);
    /// Ends the batch and leaves `columns` empty.
    fn finish(columns: &mut Self::Columns) -> arrow::array::RecordBatch;
    /// Reads a row of a batch that has [`Record::schema`].
    fn read(batch: &arrow::array::RecordBatch, row: usize) -> Result<Self, SchemaError>;

    /// A batch of these rows.
    fn batch<'a>(rows: impl IntoIterator<Item = &'a Self>) -> arrow::array::RecordBatch
    where
        Self: 'a,
    {
        let mut columns = Self::Columns::default();
        for row in rows {
            row.append(&mut columns);
        }
        Self::finish(&mut columns)
    }

    /// All rows of a batch.
    fn rows(batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, SchemaError> {
        (0..batch.num_rows())
            .map(|row| Self::read(batch, row))
            .collect()
    }
}

/// Makes a row struct with its [`Record`] implementation. See the module documentation.
#[macro_export]
macro_rules! record {
    ($(#[$doc:meta])* $name:ident / $columns:ident, $kind:literal { $($(#[$fdoc:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: $ty),+
        }

        #[doc = concat!("Columns of [`", stringify!($name), "`] being built.")]
        #[derive(Default)]
        pub struct $columns {
            $($field: <$ty as $crate::column::Column>::Builder),+
        }

        impl $crate::column::Record for $name {
            const KIND: &'static str = $kind;
            type Columns = $columns;

            fn schema() -> arrow::datatypes::SchemaRef {
                static SCHEMA: std::sync::LazyLock<arrow::datatypes::SchemaRef> = std::sync::LazyLock::new(|| {
                    std::sync::Arc::new(arrow::datatypes::Schema::new(vec![$(
                        arrow::datatypes::Field::new(
                            stringify!($field),
                            <$ty as $crate::column::Column>::data_type(),
                            <$ty as $crate::column::Column>::NULLABLE,
                        )
                    ),+]))
                });
                SCHEMA.clone()
            }

            fn append(&self, columns: &mut Self::Columns) {
                $(<$ty as $crate::column::Column>::append(&self.$field, &mut columns.$field);)+
            }

            fn finish(columns: &mut Self::Columns) -> arrow::array::RecordBatch {
                let arrays = vec![$(<$ty as $crate::column::Column>::finish(&mut columns.$field)),+];
                match arrow::array::RecordBatch::try_new(Self::schema(), arrays) {
                    Ok(batch) => batch,
                    // All columns are appended together and have the schema's types.
                    Err(e) => unreachable!("columns of one length and type: {e}"),
                }
            }

            fn read(batch: &arrow::array::RecordBatch, row: usize) -> Result<Self, $crate::SchemaError> {
                let mut columns = batch.columns().iter();
                Ok(Self {
                    $($field: {
                        let column = columns.next().ok_or_else(|| $crate::SchemaError::Section {
                            kind: $kind,
                            reason: concat!("column ", stringify!($field), " is missing").to_owned(),
                        })?;
                        <$ty as $crate::column::Column>::read(column.as_ref(), row)?
                    }),+
                })
            }
        }
    };
}
