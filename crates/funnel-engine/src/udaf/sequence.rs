//! `sequence_match(pattern, time, c1, …)` and `sequence_count(pattern, time, c1, …)`: patterns over
//! the rows of a group, with ClickHouse's meaning.

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, Signature,
    Volatility,
};
use funnel_match::{ClickHouse, Mode, Pattern, Spec};

use super::accumulator::FunnelAccumulator;
use super::answer::Answer;
use super::axis::Axis;
use super::call::{Call, constant, not_constant, time_coerced, wrong_time};
use super::groups::FunnelGroups;
use super::matched::Extra;
use super::{check, rows};

/// `sequence_match(pattern, time, c1, …) → BOOLEAN`: is the pattern found among the rows?
pub fn sequence_match() -> AggregateUDF {
    AggregateUDF::from(Sequence::new(Answer::SequenceMatch))
}

/// `sequence_count(pattern, time, c1, …) → BIGINT`: how often, without overlaps?
pub fn sequence_count() -> AggregateUDF {
    AggregateUDF::from(Sequence::new(Answer::SequenceCount))
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sequence {
    answer: Answer,
    signature: Signature,
    documentation: Documentation,
}

impl Sequence {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: answer.documentation(),
        }
    }

    fn call(&self, args: &AccumulatorArgs<'_>) -> Result<Call> {
        check::refuse_distinct(self.name(), args.is_distinct)?;
        let types: Vec<DataType> = args
            .expr_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let pattern = constant(args.exprs.first())
            .ok_or_else(|| not_constant(self.name(), "pattern"))
            .and_then(|value| pattern_of(self.name(), value, &types))?;
        let Signs { axis, conditions } = Signs::of(self.name(), &types)?;
        // Only its rule for nulls is used.
        let mode = Mode::ClickHouse(ClickHouse::default());
        let spec = Spec::new(mode, conditions, None)
            .map_err(|error| plan_datafusion_err!("{}: {error}", self.name()))?;
        Ok(Call {
            spec,
            axis,
            time: 1,
            extra: Extra::default(),
            pattern: Some(pattern),
        })
    }
}

/// What the types of the arguments say.
struct Signs {
    axis: Axis,
    conditions: usize,
}

impl Signs {
    fn of(function: &str, types: &[DataType]) -> Result<Self> {
        let types = coerced(function, types)?;
        let axis = types
            .get(1)
            .and_then(Axis::of)
            .ok_or_else(|| plan_datafusion_err!("{}", usage(function)))?;
        Ok(Self {
            axis,
            conditions: types.len() - 2,
        })
    }
}

fn coerced(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let [pattern, time, conditions @ ..] = types else {
        return plan_err!("{}", usage(function));
    };
    if !pattern.is_string() && !pattern.is_null() {
        return plan_err!(
            "{function}: `pattern` must be text such as '(?1).*(?2)', found {pattern}"
        );
    }
    let time = time_coerced(time).ok_or_else(|| wrong_time(function, time))?;
    let max = funnel_match::PATTERN_CONDITIONS_MAX;
    match conditions.len() {
        0 => return plan_err!("{}", usage(function)),
        found if found > max => {
            return plan_err!("{function}: there are at most {max} conditions, found {found}");
        }
        _ => {}
    }
    let mut types = vec![DataType::Utf8, time];
    for (index, condition) in conditions.iter().enumerate() {
        check::is_condition(function, "condition", index, condition)?;
        types.push(DataType::Boolean);
    }
    Ok(types)
}

fn usage(function: &str) -> String {
    format!("{function} needs a pattern, a time and a condition: {function}(pattern, time, c1, …)")
}

/// The pattern that `value` writes, for arguments of these types.
pub(super) fn pattern_of(
    function: &str,
    value: &ScalarValue,
    types: &[DataType],
) -> Result<Pattern> {
    let Signs { axis, conditions } = Signs::of(function, types)?;
    let Some(Some(text)) = value.try_as_str() else {
        return plan_err!("{function}: `pattern` must be text such as '(?1).*(?2)', found {value}");
    };
    Pattern::new(text, conditions, axis.ticks_per_second())
        .map_err(|error| plan_datafusion_err!("{function}: `pattern`: {error}"))
}

impl AggregateUDFImpl for Sequence {
    fn name(&self) -> &str {
        self.answer.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Never fails: DataFusion would bury the message under its own. `return_type` is asked next.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(self.name(), types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        coerced(self.name(), types)?;
        Ok(self.answer.data_type(&DataType::Null, &Extra::default()))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(match self.answer {
            Answer::SequenceCount => ScalarValue::Int64(Some(0)),
            _ => ScalarValue::Boolean(Some(false)),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FunnelAccumulator::new(
            self.call(&args)?,
            self.answer,
        )))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FunnelGroups::new(self.call(&args)?, self.answer)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        rows::state_fields(args.name)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
