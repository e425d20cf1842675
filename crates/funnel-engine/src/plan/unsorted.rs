//! Aggregation over input in any order by [`HashedFunnelExec`], and group keys that nobody asks for.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};

use super::sorted::{calls, first_stage};
use super::views;
use crate::exec::{self, FunnelParts, HashedFunnelExec};

/// The operator in place of an aggregation of funnel functions alone. Input that is sorted by some of the
/// keys gives answers in that order; where that is relied on above (`ordered`), it is left to DataFusion.
/// The answers come in `partitions`, at most.
pub(super) fn replacement(
    plan: &Arc<dyn ExecutionPlan>,
    ordered: bool,
    partitions: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else {
        return Ok(None);
    };
    let Some(first) = first_stage(last) else {
        return Ok(None);
    };
    let group = first.group_expr().expr();
    if group.is_empty() || ordered && plan.output_ordering().is_some() {
        return Ok(None);
    }
    let Some(calls) = calls(first)? else {
        return Ok(None);
    };
    let parts = FunnelParts {
        group: group.into(),
        calls: calls.into(),
        schema: last.schema(),
        keys: true,
    };
    let input = not_dealt_out(Arc::clone(first.input()));
    let (input, parts) = views::below(input, parts)?;
    let hashed = HashedFunnelExec::try_new(input, parts, partitions)?;
    Ok(Some(Arc::new(hashed)))
}

/// Without an exchange that brings equal keys together: the operator does that itself.
fn not_dealt_out(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match input.downcast_ref::<RepartitionExec>() {
        Some(exchange) if matches!(exchange.partitioning(), Partitioning::Hash(_, _)) => {
            Arc::clone(exchange.input())
        }
        _ => input,
    }
}

/// A projection that uses no group key of the operator below it: that need not make them.
pub(super) fn without_keys(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else {
        return Ok(plan);
    };
    let Some((input, keys)) = exec::without_keys(projection.input())? else {
        return Ok(plan);
    };
    let mut columns = projection
        .expr()
        .iter()
        .flat_map(|expr| collect_columns(&expr.expr));
    if keys == 0 || columns.any(|column| column.index() < keys) {
        return Ok(plan);
    }
    let moved = projection.expr().iter().map(|projected| {
        let moved = |expr: Arc<dyn PhysicalExpr>| {
            Ok(match expr.downcast_ref::<Column>() {
                Some(column) => {
                    let index = column.index() - keys;
                    Transformed::yes(Arc::new(Column::new(column.name(), index)) as _)
                }
                None => Transformed::no(expr),
            })
        };
        let expr = Arc::clone(&projected.expr).transform_up(moved)?.data;
        Ok(ProjectionExpr::new(expr, projected.alias.clone()))
    });
    let moved = moved.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(moved, input)?))
}
