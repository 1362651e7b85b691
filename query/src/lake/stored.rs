//! Stored columns and shown ones: ids and MAC addresses lie in files as bytes and numbers, and are text in SQL.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarUDF, Volatility, create_udf, lit,
};
use mast_schemas::Mac;
use uuid::Uuid;

use crate::columns::{shown_id, shown_mac};

/// How a stored column is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Same,
    /// A UUID of 16 bytes.
    Id,
    /// A MAC address in 48 bits.
    Mac,
}

/// How a column of the files is shown.
pub(super) fn form(field: &Field) -> Form {
    match field.data_type() {
        DataType::FixedSizeBinary(16) => Form::Id,
        DataType::UInt64 if matches!(field.name().as_str(), "mac" | "radio_mac" | "active_mac") => {
            Form::Mac
        }
        _ => Form::Same,
    }
}

/// An id as it lies in files.
pub(super) fn stored_id(id: Uuid) -> ScalarValue {
    ScalarValue::FixedSizeBinary(16, Some(id.as_bytes().to_vec()))
}

/// Shows ids.
pub(super) fn id_text() -> ScalarUDF {
    create_udf(
        "id_text",
        vec![DataType::FixedSizeBinary(16)],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let ids = arrays[0].as_fixed_size_binary();
            let shown = |b: &[u8]| Uuid::from_slice(b).map(|id| id.to_string()).ok();
            let text: StringArray = ids.iter().map(|id| id.and_then(shown)).collect();
            Ok(ColumnarValue::Array(Arc::new(text)))
        }),
    )
}

/// Shows addresses.
pub(super) fn mac_text() -> ScalarUDF {
    create_udf(
        "mac_text",
        vec![DataType::UInt64],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let macs = arrays[0].as_primitive::<UInt64Type>();
            let text: StringArray = macs
                .iter()
                .map(|mac| mac.map(|mac| Mac(mac).to_string()))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(text)))
        }),
    )
}

/// A condition on shown columns as one on stored columns; null for what can't be said of them. `epoch` and `late` differ
/// between repetitions of a row, so conditions on them must stay above the choice of one.
pub(super) fn stored_condition(schema: &Schema, expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or) => {
            let (left, right) = (
                stored_condition(schema, &b.left)?,
                stored_condition(schema, &b.right)?,
            );
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                b.op,
                Box::new(right),
            )))
        }
        Expr::BinaryExpr(b) => {
            let (column, op, value) = match (b.left.as_ref(), b.right.as_ref()) {
                (Expr::Column(c), value) => (c, b.op, value),
                (value, Expr::Column(c)) => (c, b.op.swap()?, value),
                _ => return None,
            };
            let comparison = matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            );
            let (column, value) = comparison.then(|| stored_pair(schema, column, value))??;
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(column),
                op,
                Box::new(value),
            )))
        }
        Expr::InList(list) => {
            let Expr::Column(column) = list.expr.as_ref() else {
                return None;
            };
            let pairs = list
                .list
                .iter()
                .map(|v| stored_pair(schema, column, v))
                .collect::<Option<Vec<_>>>()?;
            let stored = pairs.first()?.0.clone();
            Some(stored.in_list(pairs.into_iter().map(|(_, v)| v).collect(), list.negated))
        }
        Expr::IsNull(inner) => Some(stored_column(schema, inner)?.is_null()),
        Expr::IsNotNull(inner) => Some(stored_column(schema, inner)?.is_not_null()),
        _ => None,
    }
}

fn stored_column(schema: &Schema, expr: &Expr) -> Option<Expr> {
    let Expr::Column(column) = expr else {
        return None;
    };
    let known = schema.field_with_name(&column.name).is_ok()
        && !matches!(column.name.as_str(), "epoch" | "late");
    known.then(|| Expr::Column(Column::from_name(&column.name)))
}

fn stored_pair(schema: &Schema, column: &Column, value: &Expr) -> Option<(Expr, Expr)> {
    let stored = stored_column(schema, &Expr::Column(column.clone()))?;
    let Expr::Literal(value, _) = value else {
        return None;
    };
    let field = schema.field_with_name(&column.name).ok()?;
    let value = match form(field) {
        Form::Id => stored_id(shown_id(value.try_as_str()??)?),
        Form::Mac => ScalarValue::UInt64(Some(shown_mac(value.try_as_str()??)?.0)),
        Form::Same if !value.is_null() && value.data_type() == *field.data_type() => value.clone(),
        Form::Same => return None,
    };
    Some((stored, lit(value)))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::col;
    use mast_lake::Table;

    use super::*;

    #[test]
    fn conditions_on_shown_ids_and_addresses_become_stored_ones() {
        let schema = Table::RegistrationSamples.schema();
        let to = |e: Expr| stored_condition(&schema, &e).map(|e| e.to_string());
        assert!(
            to(col("mac").eq(lit("AA:BB:CC:DD:EE:FF")))
                .unwrap()
                .contains("UInt64(187723572702975)")
        );
        assert_eq!(
            to(col("mac").eq(lit("aa:bb:cc:dd:ee:ff"))),
            None,
            "no address is shown in small letters"
        );
        assert!(to(col("device_id").eq(lit("00000000-0000-0000-0000-000000000001"))).is_some());
        assert_eq!(
            to(col("late").eq(lit(false))),
            None,
            "repetitions differ in it"
        );
        assert_eq!(
            to(col("ssid").eq(lit("x")).or(col("late").eq(lit(false)))),
            None
        );
        assert!(to(col("ssid").is_null()).is_some());
    }
}
