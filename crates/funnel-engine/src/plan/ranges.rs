//! Is the input of a plan one sorted sequence, cut into its partitions?

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// The scan below row-by-row operators.
fn scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        return source.data_source().downcast_ref::<FileScanConfig>();
    }
    match plan.children().as_slice() {
        [child] if is_row_by_row(plan) => scan(child),
        _ => None,
    }
}

/// Does each row of the output come from one row of the input, in the same order?
pub(super) fn is_row_by_row(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.fetch().is_none()
        && (plan.is::<ProjectionExec>() || plan.is::<FilterExec>() || plan.is::<CooperativeExec>())
}

/// A scan whose partitions keep their files: idle ones do not take those of others.
pub(super) fn in_order(source: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let config = source.data_source().downcast_ref::<FileScanConfig>()?;
    let config = FileScanConfigBuilder::from(config.clone())
        .with_preserve_order(true)
        .build();
    Some(DataSourceExec::from_data_source(config))
}

/// Does every partition of `plan` go on where the one before it ended?
pub(super) fn are_consecutive(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(scan) = scan(plan).filter(|scan| scan.limit.is_none()) else {
        return false;
    };
    if scan.file_groups.len() != plan.output_partitioning().partition_count() {
        return false;
    }
    // With several orderings it is not known which of them the keys follow.
    let [ordering] = scan.output_ordering.as_slice() else {
        return false;
    };
    let first = ordering.first();
    let Some(column) = first.expr.downcast_ref::<Column>() else {
        return false;
    };
    let files: Vec<&PartitionedFile> = scan
        .file_groups
        .iter()
        .flat_map(|group| group.files())
        .collect();
    !first.options.descending
        && files
            .windows(2)
            .all(|pair| continues(pair[0], pair[1], column.index()))
}

/// Do all rows of `next` come after those of `file`?
fn continues(file: &PartitionedFile, next: &PartitionedFile, column: usize) -> bool {
    if file.object_meta.location == next.object_meta.location {
        return match (&file.range, &next.range) {
            (Some(range), Some(next)) => range.end <= next.start,
            _ => false,
        };
    }
    let (Some(left), Some(right)) = (&file.statistics, &next.statistics) else {
        return false;
    };
    match (bounds(left, column), bounds(right, column)) {
        // With the same key on both sides, its times could be in any order.
        (Some((_, max)), Some((min, _))) => max.partial_cmp(min) == Some(Ordering::Less),
        _ => false,
    }
}

/// The exact smallest and largest value of a column without nulls.
fn bounds(statistics: &Statistics, column: usize) -> Option<(&ScalarValue, &ScalarValue)> {
    let column = statistics.column_statistics.get(column)?;
    match (&column.null_count, &column.min_value, &column.max_value) {
        (Precision::Exact(0), Precision::Exact(min), Precision::Exact(max)) => Some((min, max)),
        _ => None,
    }
}
