//! Sorts again what is merged by more than it is sorted by.
//!
//! ```text
//! SortPreservingMergeExec: [account, step]
//!   SortExec: expr=[step]
//!     HashJoinExec: …                      # below it, account = 'a'
//! ```
//!
//! DataFusion leaves a column out of a sort where a filter makes it constant, and forgets that it is above a join of
//! partitions; then it refuses its own plan (`SanityCheckPlan`).

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary,
};

/// See the module. It belongs before the check that refuses.
#[derive(Debug)]
pub(crate) struct SortedMerges;

impl SortedMerges {
    /// The rule that looks at the finished plan.
    pub(crate) const BEFORE: &str = "SanityCheckPlan";
}

impl PhysicalOptimizerRule for SortedMerges {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        rewrite(plan)
    }

    fn name(&self) -> &str {
        "sorted merges"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn rewrite(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children().into_iter();
    let children = children
        .map(|child| rewrite(Arc::clone(child)))
        .collect::<Result<Vec<_>>>()?;
    if children.is_empty() {
        return Ok(plan);
    }
    let plan = replace_children_if_necessary(plan, children)?;
    let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() else {
        return Ok(plan);
    };
    let (order, input) = (merge.expr(), merge.input());
    let is_sorted = input
        .equivalence_properties()
        .ordering_satisfy(order.iter().cloned())?;
    if is_sorted {
        return Ok(plan);
    }
    let (rows, fetch) = match input.downcast_ref::<SortExec>() {
        Some(sort) => (sort.input(), sort.fetch()),
        None => (input, None),
    };
    let sort = SortExec::new(order.clone(), Arc::clone(rows))
        .with_preserve_partitioning(true)
        .with_fetch(fetch);
    replace_children_if_necessary(plan, vec![Arc::new(sort)])
}
