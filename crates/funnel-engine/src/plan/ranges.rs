//! Is the input of a plan one sorted sequence, cut into its partitions?

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
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

/// More sorted streams than this are not merged: each has a file open.
const STREAMS_MAX: usize = 400;

/// A scan whose partitions keep their files: idle ones do not take those of others. Files that are
/// sorted by themselves, but not one after the other, get partitions of their own.
pub(super) fn in_order(source: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let config = source.data_source().downcast_ref::<FileScanConfig>()?;
    let mut builder = FileScanConfigBuilder::from(config.clone()).with_preserve_order(true);
    let is_lost = source.properties().output_ordering().is_none();
    if is_lost && let Some((groups, ordering)) = apart(config) {
        builder = builder
            .with_file_groups(groups)
            .with_output_ordering(vec![ordering]);
    }
    Some(DataSourceExec::from_data_source(builder.build()))
}

/// The files of a scan, each in a group of its own but where it goes on after the one before it, and
/// the order of every group; none if the files are not sorted, or too many.
fn apart(config: &FileScanConfig) -> Option<(Vec<FileGroup>, LexOrdering)> {
    let groups = config.file_groups.iter();
    let mut files: Vec<&PartitionedFile> = groups.flat_map(FileGroup::files).collect();
    // Plans reorder files by their statistics; rows of the same time come in the order of the names.
    files.sort_by_key(|file| {
        let begin = file.range.as_ref().map_or(0, |range| range.start);
        (file.object_meta.location.clone(), begin)
    });
    let ordering = match config.output_ordering.as_slice() {
        [] => common_ordering(&files)?,
        [one] => one.clone(),
        _ => return None,
    };
    let column = first_column(&ordering)?;
    let mut groups: Vec<Vec<PartitionedFile>> = Vec::new();
    for file in files {
        let group = groups.last_mut();
        match group.filter(|group| {
            group
                .last()
                .is_some_and(|last| continues(last, file, column))
        }) {
            Some(group) => push(group, file),
            None => groups.push(vec![file.clone()]),
        }
    }
    let groups: Vec<_> = groups.into_iter().map(FileGroup::new).collect();
    (groups.len() <= STREAMS_MAX).then_some((groups, ordering))
}

/// Appends `file` to the group that it continues. Two ranges of a file become one: by their statistics,
/// which are those of the file, the second would not come after the first.
fn push(group: &mut Vec<PartitionedFile>, file: &PartitionedFile) {
    match (group.last_mut(), &file.range) {
        (Some(last), Some(range)) if last.object_meta.location == file.object_meta.location => {
            if let Some(before) = &mut last.range {
                before.end = range.end;
            }
        }
        _ => group.push(file.clone()),
    }
}

/// What every one of these files is sorted by.
fn common_ordering(files: &[&PartitionedFile]) -> Option<LexOrdering> {
    let (first, rest) = files.split_first()?;
    let mut common: Vec<PhysicalSortExpr> = first.ordering.as_ref()?.to_vec();
    for file in rest {
        let ordering = file.ordering.as_ref()?.iter();
        let same = common.iter().zip(ordering).take_while(|(a, b)| a == b);
        let same = same.count();
        common.truncate(same);
    }
    LexOrdering::new(common)
}

/// The column that comes first in an order, ascending.
fn first_column(ordering: &LexOrdering) -> Option<usize> {
    let first = ordering.first();
    let column = first.expr.downcast_ref::<Column>()?;
    (!first.options.descending).then(|| column.index())
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
    let Some(column) = first_column(ordering) else {
        return false;
    };
    let files: Vec<&PartitionedFile> = scan
        .file_groups
        .iter()
        .flat_map(|group| group.files())
        .collect();
    files
        .windows(2)
        .all(|pair| continues(pair[0], pair[1], column))
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
