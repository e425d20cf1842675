//! Replaces aggregation in a hash table by [`SortedFunnelExec`] where the input is sorted.
//!
//! Before:
//!
//! ```text
//! AggregateExec: mode=FinalPartitioned, gby=[user], aggr=[window_funnel(…)]
//!   RepartitionExec: partitioning=Hash([user], 2)
//!     AggregateExec: mode=Partial, gby=[user], aggr=[window_funnel(…)]
//!       DataSourceExec: file_groups={2 groups: [[t.parquet:0..9], [t.parquet:9..18]]}, output_ordering=[user, ts]
//! ```
//!
//! After:
//!
//! ```text
//! SortedFunnelExec: gby=[user], aggr=[window_funnel(…)], input=consecutive ranges
//!   DataSourceExec: file_groups={2 groups: [[t.parquet:0..9], [t.parquet:9..18]]}, output_ordering=[user, ts]
//! ```
//!
//! - Every aggregate of the node is a funnel function; others are left to DataFusion.
//! - The rows are sorted by the group keys, in any order of the keys, and then by time, ascending.
//! - Exchanges between the scan and the aggregation are taken out: they only served the hash table.
//! - Sorted partitions that are not consecutive are merged by [`MergedFunnelExec`]: files that are
//!   sorted, but overlap, become a partition each, or one for several that follow each other.
//!
//! Input that is not sorted, or not by all keys and the time, is read by `HashedFunnelExec`
//! (`unsorted.rs`).
//!
//! Where the input is not sorted and an answer depends on the order in which rows of the same time
//! come (`Mode::depends_on_row_order`), the aggregation is done in one partition, over the rows in
//! the order in which they lie in their files.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_expr::{Distribution, LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::InterleaveExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, replace_children_if_necessary,
};

use super::{ranges, unsorted, views};
use crate::exec::{FunnelParts, InOrderExec, MergedFunnelExec, SortedFunnelExec};
use crate::udaf::{Sequence, StreamCall};

/// See the module.
#[derive(Debug)]
pub(crate) struct SortedFunnels;

impl PhysicalOptimizerRule for SortedFunnels {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan, Above::whole(), config.execution.target_partitions)
    }

    fn name(&self) -> &str {
        "funnels over sorted input"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What is relied on above a node.
#[derive(Debug, Clone, Copy)]
struct Above {
    /// Rows are dealt out by the hash of their keys.
    hashed: bool,
    /// Rows come in the order that the node says.
    ordered: bool,
}

impl Above {
    /// Whoever reads the answer may have asked for an order that needed no sorting.
    fn whole() -> Self {
        Self {
            hashed: false,
            ordered: true,
        }
    }
}

fn rewrite(
    plan: Arc<dyn ExecutionPlan>,
    above: Above,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let found = match replacement(&plan)? {
        Some(sorted) => Some(sorted),
        None => match in_order_of_rows(&plan)? {
            Some(single) => Some(single),
            None => unsorted::replacement(&plan, above.ordered, partitions)?,
        },
    };
    let plan = match found {
        Some(found) => fit(found, &plan, above.hashed)?,
        None => plan,
    };
    let children = plan.children();
    let required = plan.input_distribution_requirements().into_per_child();
    let (orders, keeps) = (plan.required_input_ordering(), plan.maintains_input_order());
    let mut rewritten = Vec::with_capacity(children.len());
    for (index, (child, required)) in children.into_iter().zip(&required).enumerate() {
        let hashed = match required {
            Distribution::KeyPartitioned(_) => true,
            Distribution::SinglePartition => false,
            _ => (above.hashed && !is_exchange(&plan)) || plan.is::<InterleaveExec>(),
        };
        let ordered = orders.get(index).is_some_and(Option::is_some)
            || above.ordered && keeps.get(index).is_some_and(|keeps| *keeps);
        let above = Above { hashed, ordered };
        rewritten.push(rewrite(Arc::clone(child), above, partitions)?);
    }
    if rewritten.is_empty() {
        return Ok(plan);
    }
    unsorted::without_keys(replace_children_if_necessary(plan, rewritten)?)
}

/// Gives `sorted` the partitions that the parents of `replaced` count on.
fn fit(
    sorted: Arc<dyn ExecutionPlan>,
    replaced: &Arc<dyn ExecutionPlan>,
    hashed: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    let wanted = replaced.output_partitioning();
    if wanted.partition_count() == 1 {
        if sorted.output_partitioning().partition_count() == 1 {
            return Ok(sorted);
        }
        return Ok(match order_of(&sorted, replaced) {
            Some(order) => Arc::new(SortPreservingMergeExec::new(order.clone(), sorted)),
            None => Arc::new(CoalescePartitionsExec::new(sorted)),
        });
    }
    if !hashed {
        return Ok(sorted);
    }
    let order = order_of(&sorted, replaced).is_some();
    let dealt = RepartitionExec::try_new(sorted, wanted.clone())?;
    Ok(Arc::new(match order {
        true => dealt.with_preserve_order(),
        false => dealt,
    }))
}

/// The order of `replaced`, unless it was given up because nothing above relies on it.
fn order_of<'a>(
    sorted: &Arc<dyn ExecutionPlan>,
    replaced: &'a Arc<dyn ExecutionPlan>,
) -> Option<&'a LexOrdering> {
    replaced
        .output_ordering()
        .filter(|_| sorted.output_ordering().is_some())
}

/// The sorted operator in place of an aggregation, where that is possible.
fn replacement(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else {
        return Ok(None);
    };
    let Some(first) = first_stage(last) else {
        return Ok(None);
    };
    if first.group_expr().expr().is_empty() {
        return Ok(None);
    }
    let Some(calls) = calls(first)? else {
        return Ok(None);
    };
    let input = without_exchanges(Arc::clone(first.input()))?;
    let group = first.group_expr().expr();
    let Some(ordering) = ordering(&input, group, &calls)? else {
        return Ok(None);
    };
    let partitions = input.output_partitioning().partition_count();
    let consecutive = partitions > 1 && ranges::are_consecutive(&input);
    let parts = FunnelParts {
        group: group.into(),
        calls: calls.into(),
        schema: last.schema(),
        keys: true,
    };
    let (viewed, parts_over_views) = views::below(Arc::clone(&input), parts.clone())?;
    let keeps_order = viewed
        .equivalence_properties()
        .ordering_satisfy(ordering.iter().cloned())?;
    let (input, parts) = match keeps_order {
        true => (viewed, parts_over_views),
        false => (input, parts),
    };
    let sorted: Arc<dyn ExecutionPlan> = if partitions > 1 && !consecutive {
        Arc::new(MergedFunnelExec::try_new(input, parts, ordering)?)
    } else {
        Arc::new(SortedFunnelExec::try_new(
            input,
            parts,
            ordering,
            consecutive,
        )?)
    };
    let keeps_order = match plan.output_ordering() {
        Some(order) => sorted
            .equivalence_properties()
            .ordering_satisfy(order.iter().cloned())?,
        None => true,
    };
    Ok(keeps_order.then_some(sorted))
}

/// An aggregation in one partition, over the rows in the order of the files, where an answer is one
/// of that order.
fn in_order_of_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else {
        return Ok(None);
    };
    let Some(first) = first_stage(last) else {
        return Ok(None);
    };
    let schema = first.input_schema();
    let mut by_order = false;
    for (aggregate, filter) in first.aggr_expr().iter().zip(first.filter_expr()) {
        by_order |= aggregate.fun().inner().is::<Sequence>();
        by_order |= StreamCall::of(aggregate, filter.as_ref(), &schema)?
            .is_some_and(|call| call.is_by_order_of_rows());
    }
    if !by_order {
        return Ok(None);
    }
    let mut input = without_exchanges(Arc::clone(first.input()))?;
    if input.output_partitioning().partition_count() > 1 {
        input = Arc::new(InOrderExec::new(input));
    }
    Ok(Some(Arc::new(AggregateExec::try_new(
        AggregateMode::Single,
        first.group_expr().clone(),
        first.aggr_expr().to_vec(),
        first.filter_expr().to_vec(),
        input,
        schema,
    )?)))
}

/// The aggregation that reads rows: `last` itself, or the partial one below it.
pub(super) fn first_stage(last: &AggregateExec) -> Option<&AggregateExec> {
    let first = match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => last,
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let mut below = last.input();
            while below.fetch().is_none() && is_exchange(below) {
                below = below.children().first().copied()?;
            }
            below
                .downcast_ref::<AggregateExec>()
                .filter(|partial| *partial.mode() == AggregateMode::Partial)?
        }
        _ => return None,
    };
    let plain = first.group_expr().is_single()
        && last.limit_options().is_none()
        && first.limit_options().is_none();
    plain.then_some(first)
}

fn is_exchange(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<SortPreservingMergeExec>()
}

/// The calls of an aggregation, if all are funnel functions and its keys can be compared as they lie.
pub(super) fn calls(first: &AggregateExec) -> Result<Option<Vec<StreamCall>>> {
    let input = first.input_schema();
    for (key, _) in first.group_expr().expr() {
        if !comparable(&key.data_type(&input)?) {
            return Ok(None);
        }
    }
    let mut calls = Vec::new();
    for (aggregate, filter) in first.aggr_expr().iter().zip(first.filter_expr()) {
        match StreamCall::of(aggregate, filter.as_ref(), &input)? {
            Some(call) => calls.push(call),
            None => return Ok(None),
        }
    }
    Ok(Some(calls).filter(|calls| !calls.is_empty()))
}

/// Are equal values the same bits? Not so for floats (0.0 and -0.0) and what holds them.
fn comparable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => comparable(value),
        DataType::Boolean | DataType::Decimal128(_, _) => true,
        other => {
            other.is_integer() || other.is_temporal() || other.is_string() || other.is_binary()
        }
    }
}

/// The order that the operator needs, if `input` has it.
fn ordering(
    input: &Arc<dyn ExecutionPlan>,
    group: &[(Arc<dyn PhysicalExpr>, String)],
    calls: &[StreamCall],
) -> Result<Option<LexOrdering>> {
    let equivalences = input.equivalence_properties();
    let keys: Vec<_> = group.iter().map(|(expr, _)| Arc::clone(expr)).collect();
    let (keys, found) = equivalences.find_longest_permutation(&keys)?;
    if found.len() != group.len() {
        return Ok(None);
    }
    let mut ordering = None;
    for call in calls {
        let Some(time) = call.time() else {
            return Ok(None);
        };
        let time = uncast(time, input)?;
        let mut satisfied = None;
        for nulls_first in [false, true] {
            let options = SortOptions {
                descending: false,
                nulls_first,
            };
            let time = PhysicalSortExpr::new(Arc::clone(time), options);
            let order: Vec<_> = keys.iter().cloned().chain([time]).collect();
            if equivalences.ordering_satisfy(order.iter().cloned())? {
                satisfied = LexOrdering::new(order);
            }
        }
        if satisfied.is_none() {
            return Ok(None);
        }
        ordering = satisfied;
    }
    Ok(ordering)
}

/// What is below a cast of integers, which keeps their order.
fn uncast<'a>(
    expr: &'a Arc<dyn PhysicalExpr>,
    input: &Arc<dyn ExecutionPlan>,
) -> Result<&'a Arc<dyn PhysicalExpr>> {
    if let Some(cast) = expr.downcast_ref::<CastExpr>()
        && *cast.cast_type() == DataType::Int64
        && cast.expr().data_type(&input.schema())?.is_integer()
    {
        return Ok(cast.expr());
    }
    Ok(expr)
}

/// `plan` without the exchanges above its scan.
fn without_exchanges(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        return Ok(ranges::in_order(source).unwrap_or(plan));
    }
    let child = match plan.children().as_slice() {
        [child] => Arc::clone(child),
        _ => return Ok(plan),
    };
    if plan.fetch().is_none() && is_exchange(&plan) {
        return without_exchanges(child);
    }
    if !ranges::is_row_by_row(&plan) {
        return Ok(plan);
    }
    replace_children_if_necessary(plan, vec![without_exchanges(child)?])
}
