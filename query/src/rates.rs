//! `rate_bps`: what a byte counter of a thing went up by between two of its samples, in bits a second.
//!
//! `rate_bps(time before, time, counter before, counter, another before, another, …)`, times in microseconds. The rule is that of the
//! rollups, for which the other counters of the row tell a reset from a counter that came round. Null where there is no rate.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use mast_schemas::counters::{bits_per_second, gone_up};
use mast_schemas::time::Span;

/// Its name.
pub(crate) const RATE_BPS: &str = "rate_bps";

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RateBps(Signature);

impl RateBps {
    pub(crate) fn new() -> Self {
        Self(Signature::user_defined(Volatility::Immutable))
    }
}

impl ScalarUDFImpl for RateBps {
    fn name(&self) -> &str {
        RATE_BPS
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let whole = |t: &DataType| t.is_integer() || t.is_null();
        if types.len() < 4 || types.len() % 2 == 1 || !types.iter().all(whole) {
            return plan_err!(
                "{RATE_BPS} takes two times in microseconds as BIGINT, then each counter before and after"
            );
        }
        let counters = types.len() - 2;
        Ok([vec![DataType::Int64; 2], vec![DataType::UInt64; counters]].concat())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [before, after, counters @ ..] = arrays.as_slice() else {
            return plan_err!("{RATE_BPS} takes two times and counters");
        };
        let (before, after) = (
            cast(before, &DataType::Int64)?,
            cast(after, &DataType::Int64)?,
        );
        let (before, after) = (
            before.as_primitive::<Int64Type>(),
            after.as_primitive::<Int64Type>(),
        );
        let counters = counters
            .iter()
            .map(|array| {
                Ok(cast(array, &DataType::UInt64)?
                    .as_primitive::<UInt64Type>()
                    .clone())
            })
            .collect::<Result<Vec<UInt64Array>>>()?;
        let value = |array: &UInt64Array, row| array.is_valid(row).then(|| array.value(row));
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let rates: Int64Array = (0..before.len())
            .map(|row| {
                if before.is_null(row) || after.is_null(row) {
                    return None;
                }
                let apart = Span(after.value(row).saturating_sub(before.value(row)));
                old.clear();
                new.clear();
                for pair in counters.chunks_exact(2) {
                    old.push(value(&pair[0], row));
                    new.push(value(&pair[1], row));
                }
                let gone = gone_up(apart, &old, &new)?;
                bits_per_second((*gone.first()?)?, apart)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(rates)))
    }
}
