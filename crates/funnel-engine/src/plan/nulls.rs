//! Takes back the order of a scan that nulls may break.
//!
//! Files that are read one after the other are in order as a whole where each ends before the next begins. DataFusion
//! concludes that from the least and greatest values of their columns, which say nothing of nulls: rows without a
//! visitor lie behind all visitors of their account, and other visitors of it may follow in the next file. What counts on
//! such an order would count a key twice.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::ColumnStatistics;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// See the module. It belongs before all rules that look at orders.
#[derive(Debug)]
pub(crate) struct NullsInOrders;

impl PhysicalOptimizerRule for NullsInOrders {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match without_order(&plan) {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "nulls in orders"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A scan whose order nulls may break, without it: each of its files has it still.
fn without_order(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let source = plan.downcast_ref::<DataSourceExec>()?.data_source();
    let config = source.downcast_ref::<FileScanConfig>()?;
    let is_kept = |ordering: &LexOrdering| {
        let groups = config.file_groups.iter();
        let mut pairs = groups.flat_map(|group| group.files().windows(2));
        pairs.all(|pair| follows(&pair[0], &pair[1], ordering))
    };
    let orderings = config.output_ordering.iter().cloned();
    let (kept, lost): (Vec<_>, Vec<_>) = orderings.partition(is_kept);
    let lost = lost.into_iter().next()?;
    let mut groups = config.file_groups.clone();
    for group in &mut groups {
        let files = group.files().iter().cloned().map(|mut file| {
            file.ordering.get_or_insert_with(|| lost.clone());
            file
        });
        *group = files.collect::<FileGroup>();
    }
    let config = FileScanConfigBuilder::from(config.clone())
        .with_file_groups(groups)
        .with_output_ordering(kept);
    Some(DataSourceExec::from_data_source(config.build()))
}

/// Does `next` come after `file` in this order, whatever is null in them, if it does by its least and greatest values?
fn follows(file: &PartitionedFile, next: &PartitionedFile, ordering: &LexOrdering) -> bool {
    for column in ordering {
        let (Some(left), Some(right)) = (statistics(file, column), statistics(next, column)) else {
            return false;
        };
        let before_nulls = match column.options.nulls_first {
            true => right,
            false => left,
        };
        if before_nulls.null_count != Precision::Exact(0) {
            return false;
        }
        let (end, begin) = match column.options.descending {
            true => (&right.max_value, &left.min_value),
            false => (&left.max_value, &right.min_value),
        };
        let (Some(end), Some(begin)) = (end.get_value(), begin.get_value()) else {
            return false;
        };
        match end.partial_cmp(begin) {
            // What follows in the order does not matter.
            Some(Ordering::Less) => return true,
            Some(Ordering::Equal) => {}
            Some(Ordering::Greater) | None => return false,
        }
    }
    true
}

fn statistics<'a>(
    file: &'a PartitionedFile,
    column: &PhysicalSortExpr,
) -> Option<&'a ColumnStatistics> {
    let column = column.expr.downcast_ref::<Column>()?;
    let statistics = file.statistics.as_ref()?;
    statistics.column_statistics.get(column.index())
}
