//! Refuses wrong constants of a call while its query is being planned, with GROUP BY and with OVER
//! alike. Types are checked before that, as with every function; values are not known then.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::answer::Answer;
use super::call::{Arguments, Constants, not_constant};
use super::level::{self, FunnelLevel};
use super::merge::Merge;
use super::sequence::pattern_of;
use super::{Funnel, Sequence};

/// Looks at every call of a funnel function. Parameters that are not bound yet are let through.
#[derive(Debug)]
pub(crate) struct CheckCalls;

impl AnalyzerRule for CheckCalls {
    /// Stands above the message of an error.
    fn name(&self) -> &str {
        "arguments of funnel functions"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    check(expr, node)?;
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(plan)
    }
}

fn check(expr: &Expr, node: &LogicalPlan) -> Result<()> {
    let (function, args, distinct) = match expr {
        Expr::AggregateFunction(call) => (&call.func, &call.params.args, call.params.distinct),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                (function, &call.params.args, call.params.distinct)
            }
            WindowFunctionDefinition::WindowUDF(_) => return Ok(()),
        },
        Expr::ScalarFunction(call) if call.func.inner().is::<FunnelLevel>() => {
            let schema = merge_schema(&node.inputs());
            if let [_, window] = call.args.as_slice()
                && let Some(window) = constant(call.func.name(), "window", window, &schema)?
            {
                level::check_window(&window)?;
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    let inner = function.inner();
    let funnel = inner.downcast_ref::<Funnel>();
    let is_sequence = inner.is::<Sequence>();
    if funnel.is_none() && !is_sequence && !inner.is::<Merge>() {
        return Ok(());
    }
    let function = function.name();
    refuse_distinct(function, distinct)?;
    let schema = merge_schema(&node.inputs());
    let types = args
        .iter()
        .map(|arg| arg.get_type(&schema))
        .collect::<Result<Vec<_>>>()?;
    if let Some(funnel) = funnel {
        return check_funnel(funnel.answer, args, &types, &schema);
    }
    if is_sequence
        && let Some(pattern) = args.first()
        && let Some(pattern) = constant(function, "pattern", pattern, &schema)?
    {
        pattern_of(function, &pattern, &types)?;
    }
    Ok(())
}

fn check_funnel(
    answer: Answer,
    args: &[Expr],
    types: &[DataType],
    schema: &DFSchema,
) -> Result<()> {
    let arguments = Arguments::of(answer, types)?;
    let value = |position: Option<usize>, argument| -> Result<Option<ScalarValue>> {
        match position.and_then(|position| args.get(position)) {
            Some(arg) => constant(answer.function(), argument, arg, schema),
            None => Ok(None),
        }
    };
    let window = value(Some(0), "window")?;
    let mode = value(arguments.has_mode().then_some(1), "mode")?;
    let options = value(arguments.options(), "options")?;
    arguments.spec_of(&Constants {
        window: window.as_ref(),
        mode: mode.as_ref(),
        options: options.as_ref(),
    })?;
    Ok(())
}

/// Refuses an argument that is not a condition; `what` it is called, and its position. UInt8 is what
/// ClickHouse makes of a comparison and writes to Parquet: there, anything but 0 is true.
pub(super) fn is_condition(
    function: &str,
    what: &str,
    index: usize,
    data_type: &DataType,
) -> Result<()> {
    if !matches!(
        data_type,
        DataType::Boolean | DataType::Null | DataType::UInt8
    ) {
        return plan_err!(
            "{function}: {what} {} must be a condition (BOOLEAN), found {data_type}",
            index + 1
        );
    }
    Ok(())
}

pub(super) fn refuse_distinct(function: &str, distinct: bool) -> Result<()> {
    if distinct {
        return plan_err!(
            "{function}: DISTINCT has no meaning here; remove duplicate rows by their event id first"
        );
    }
    Ok(())
}

/// The value of an argument that must be constant; none while a parameter in it is not bound.
fn constant(
    function: &str,
    argument: &str,
    expr: &Expr,
    schema: &DFSchema,
) -> Result<Option<ScalarValue>> {
    if expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))? {
        return Ok(None);
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .build();
    match ExprSimplifier::new(context)
        .simplify(expr.clone())?
        .unalias_nested()
        .data
    {
        Expr::Literal(value, _) => Ok(Some(value)),
        _ => Err(not_constant(function, argument)),
    }
}
