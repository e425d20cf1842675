//! `retention(c1, …)`: which conditions are met by groups that meet the first one.

use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};
use funnel_match::{RETENTION_CONDITIONS_MAX, retention as retained};

use super::answer::{self, SECTION};
use super::check;

const NAME: &str = "retention";

/// `retention(c1, …) → LIST<BOOLEAN>`: the first entry says whether any row of the group meets the
/// first condition, entry *i* whether rows meet the first and the *i*-th. Order does not matter.
pub fn retention() -> AggregateUDF {
    AggregateUDF::from(Retention {
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: Documentation::builder(
            SECTION,
            "One entry for each condition: does the group have a row that meets it, and one that \
             meets the first? ClickHouse's function of this name.",
            format!("{NAME}(condition1, condition2, …)"),
        )
        .with_argument("condition1, condition2, …", "1 to 32 conditions.")
        .build(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Retention {
    signature: Signature,
    documentation: Documentation,
}

fn coerced(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.len() {
        0 => return plan_err!("{NAME} needs a condition: {NAME}(condition1, …)"),
        found if found > RETENTION_CONDITIONS_MAX => {
            return plan_err!(
                "{NAME}: there are at most {RETENTION_CONDITIONS_MAX} conditions, found {found}"
            );
        }
        _ => {}
    }
    for (index, condition) in types.iter().enumerate() {
        check::is_condition(NAME, "condition", index, condition)?;
    }
    Ok(vec![DataType::Boolean; types.len()])
}

impl AggregateUDFImpl for Retention {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Never fails: DataFusion would bury the message under its own. `return_type` is asked next.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        coerced(types)?;
        Ok(DataType::List(answer::step_item()))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Met {
            conditions: args.exprs.len(),
            met: 0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "met");
        Ok(vec![Arc::new(Field::new(name, DataType::UInt32, false))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// One bit for each condition that some row meets.
#[derive(Debug)]
struct Met {
    conditions: usize,
    met: u32,
}

impl Accumulator for Met {
    /// As in ClickHouse, a row in which a condition is NULL is skipped.
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        let seen = values.iter().fold(None, |seen, column| {
            datafusion::arrow::buffer::NullBuffer::union(seen.as_ref(), column.nulls())
        });
        for (index, column) in values.iter().enumerate() {
            let column: &BooleanArray = column.as_boolean();
            let met = (0..rows).any(|row| {
                column.value(row) && seen.as_ref().is_none_or(|seen| seen.is_valid(row))
            });
            self.met |= u32::from(met) << index;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [met] = states else {
            return internal_err!("{NAME} state has {} columns instead of 1", states.len());
        };
        let met = met.as_primitive::<UInt32Type>().iter().flatten();
        self.met = met.fold(self.met, |all, met| all | met);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::UInt32(Some(self.met))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let met = retained(self.met);
        let flags: Vec<ScalarValue> = (0..self.conditions)
            .map(|condition| ScalarValue::from(met >> condition & 1 == 1))
            .collect();
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(
            &flags,
            &DataType::Boolean,
        )))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
