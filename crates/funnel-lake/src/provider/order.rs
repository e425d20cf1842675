//! In which groups files are read so that every group comes in the order that is declared.
//!
//! A sorted file is in order by itself, and several are one after the other where each ends before
//! the next begins. Days overlap, so each has groups of its own, which plans merge.

use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};

use super::ScanFile;
use crate::order::{DECLARED_COLUMNS, SORT_KEY};

/// More groups than this are not merged: each has a file open.
const GROUPS_MAX: usize = 400;
/// Where `account_id` and `visitor_id` are in the key.
const ACCOUNT: usize = 0;
const VISITOR: usize = 1;

/// Files that are read one after the other, and others beside them.
pub(super) type Groups<'a> = Vec<Vec<&'a ScanFile>>;

/// Groups of files in order, and the order; `None` where a file is not sorted, or where there would
/// be too many groups. About `wanted` groups where the files allow it.
pub(super) fn ordered<'a>(
    files: &[&'a ScanFile],
    schema: &Schema,
    wanted: usize,
) -> DfResult<Option<(Groups<'a>, LexOrdering)>> {
    if files.is_empty() || !files.iter().all(|file| file.sorted) {
        return Ok(None);
    }
    let key = SORT_KEY.iter().take(DECLARED_COLUMNS);
    let Some(columns) = key
        .clone()
        .map(|name| schema.index_of(name).ok())
        .collect::<Option<Vec<usize>>>()
    else {
        return Ok(None);
    };
    let order = key
        .map(|name| {
            Ok(PhysicalSortExpr::new(
                col(name, schema)?,
                SortOptions::new(false, false),
            ))
        })
        .collect::<DfResult<Vec<_>>>()?;
    let Some(order) = LexOrdering::new(order) else {
        return Ok(None);
    };
    let groups = spread(chains(files, &columns), wanted);
    Ok((groups.len() <= GROUPS_MAX).then_some((groups, order)))
}

/// Files that follow each other.
fn chains<'a>(files: &[&'a ScanFile], columns: &[usize]) -> Groups<'a> {
    // Names of one compaction follow each other as its files do.
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.meta.location.cmp(&b.meta.location));
    let mut chains: Groups<'a> = Vec::new();
    for file in files {
        match chains.last_mut() {
            Some(chain)
                if chain
                    .last()
                    .is_some_and(|last| follows(last, file, columns)) =>
            {
                chain.push(file);
            }
            _ => chains.push(vec![file]),
        }
    }
    chains
}

/// Whether every row of `file` surely comes after those of `last`. The greatest values of columns
/// taken one by one lie at or above every row, the least ones at or below.
fn follows(last: &ScanFile, file: &ScanFile, columns: &[usize]) -> bool {
    if last.partition_values != file.partition_values {
        return false;
    }
    let highest: Option<Vec<&ScalarValue>> =
        columns.iter().map(|at| last.bounds.max(*at)).collect();
    let lowest: Option<Vec<&ScalarValue>> = columns.iter().map(|at| file.bounds.min(*at)).collect();
    let (Some(highest), Some(lowest)) = (highest, lowest) else {
        return false;
    };
    // Nulls come last, above the greatest value: no visitor of the same account may follow them.
    let nulls = columns.get(VISITOR).map(|at| last.bounds.nulls(*at)) != Some(Some(0));
    let same_account = highest.get(ACCOUNT) == lowest.get(ACCOUNT);
    highest
        .partial_cmp(&lowest)
        .is_some_and(std::cmp::Ordering::is_le)
        && !(nulls && same_account)
}

/// Cuts the longest chains in two until there are as many as wanted.
fn spread(mut chains: Groups<'_>, wanted: usize) -> Groups<'_> {
    while chains.len() < wanted {
        let Some(longest) = chains.iter_mut().max_by_key(|chain| chain.len()) else {
            break;
        };
        if longest.len() < 2 {
            break;
        }
        let rest = longest.split_off(longest.len() / 2);
        chains.push(rest);
    }
    chains
}
