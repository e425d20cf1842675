//! Operators with the operands that PostgreSQL takes, and the planner does not.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DFSchema, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarUDF, Volatility, create_udf, lit,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAYS_OF_MONTH: f64 = 30.0;
const NANOSECONDS_OF_DAY: f64 = 86_400e9;

#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let kind = |side: &Expr| side.get_type(schema).unwrap_or(DataType::Null);
        match expr.op {
            // `flag = 'f'`: a text that is compared with a boolean is one.
            BinaryOperator::Eq | BinaryOperator::NotEq => {
                let is_flag = |side: &Expr| kind(side) == DataType::Boolean;
                if let Some(value) = boolean(&expr.right).filter(|_| is_flag(&expr.left)) {
                    expr.right = lit(value);
                } else if let Some(value) = boolean(&expr.left).filter(|_| is_flag(&expr.right)) {
                    expr.left = lit(value);
                }
            }
            // `INTERVAL '5 minutes' * 2.5`, which Superset groups times by.
            BinaryOperator::Multiply => {
                let (left, right) = (kind(&expr.left), kind(&expr.right));
                if left == INTERVAL && right.is_numeric() {
                    return times(expr.left, expr.right, schema);
                }
                if right == INTERVAL && left.is_numeric() {
                    return times(expr.right, expr.left, schema);
                }
            }
            _ => {}
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// What a literal of text says as a boolean.
fn boolean(expr: &Expr) -> Option<bool> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr else {
        return None;
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

static TIMES: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let multiply = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let [intervals, factors] = arrays.as_slice() else {
            return exec_err!("it takes an interval and a number");
        };
        let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
        let factors = factors.as_primitive::<Float64Type>();
        let products = intervals.iter().zip(factors).map(|pair| match pair {
            (Some(interval), Some(factor)) => product(interval, factor).map(Some),
            _ => Ok(None),
        });
        let products = products.collect::<Result<IntervalMonthDayNanoArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(products)))
    };
    Arc::new(create_udf(
        "interval_times",
        vec![INTERVAL, DataType::Float64],
        INTERVAL,
        Volatility::Immutable,
        Arc::new(multiply),
    ))
});

fn times(interval: Expr, factor: Expr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    let factor = factor.cast_to(&DataType::Float64, schema)?;
    let product = ScalarFunction::new_udf(Arc::clone(&TIMES), vec![interval, factor]);
    Ok(PlannerResult::Planned(Expr::ScalarFunction(product)))
}

/// What is left of a month becomes days, what is left of a day becomes time.
fn product(interval: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    let months = f64::from(interval.months) * factor;
    let days = f64::from(interval.days) * factor + months.fract() * DAYS_OF_MONTH;
    #[expect(
        clippy::cast_precision_loss,
        reason = "below a microsecond for a century"
    )]
    let nanoseconds = interval.nanoseconds as f64 * factor + days.fract() * NANOSECONDS_OF_DAY;
    let range = |value: f64, most: f64| {
        if value.abs() < most {
            Ok(value)
        } else {
            Err(exec_datafusion_err!("interval out of range"))
        }
    };
    let months = range(months.trunc(), f64::from(i32::MAX))?;
    let days = range(days.trunc(), f64::from(i32::MAX))?;
    // The largest number of nanoseconds that an interval has.
    let nanoseconds = range(nanoseconds.round(), 9.2e18)?;
    #[expect(clippy::cast_possible_truncation, reason = "in range")]
    Ok(IntervalMonthDayNano::new(
        months as i32,
        days as i32,
        nanoseconds as i64,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_an_interval_become_smaller_units() {
        let hour = 3_600_000_000_000;
        for ((months, days, nanos), factor, wanted) in [
            ((0, 0, hour), 2.5, (0, 0, hour * 5 / 2)),
            ((1, 0, 0), 0.5, (0, 15, 0)),
            ((0, 1, 0), 1.5, (0, 1, 12 * hour)),
            ((1, 1, hour), -2.0, (-2, -2, -2 * hour)),
        ] {
            let found = product(IntervalMonthDayNano::new(months, days, nanos), factor).unwrap();
            assert_eq!((found.months, found.days, found.nanoseconds), wanted);
        }
        for factor in [1e10, f64::NAN, f64::INFINITY] {
            assert!(product(IntervalMonthDayNano::new(1, 0, 0), factor).is_err());
        }
    }
}
