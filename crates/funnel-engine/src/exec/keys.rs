//! Where the key changes from one row to the next.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ByteView, downcast_integer_array};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

/// The first row of each run of equal keys; two nulls are equal.
pub(super) fn starts(keys: &[ArrayRef]) -> Result<Vec<usize>> {
    let rows = keys.first().map_or(0, |key| key.len());
    if rows == 0 {
        return Ok(Vec::new());
    }
    let mut changes = vec![false; rows];
    changes[0] = true;
    for key in keys {
        mark(key, &mut changes)?;
    }
    let rows = changes.iter().enumerate();
    Ok(rows
        .filter(|(_, change)| **change)
        .map(|(row, _)| row)
        .collect())
}

/// Sets the rows whose value of `key` is not that of the row before.
fn mark(key: &ArrayRef, changes: &mut [bool]) -> Result<()> {
    if key.null_count() == 0 {
        match key.data_type() {
            DataType::Utf8View => {
                let texts = key.as_string_view();
                mark_views(texts.views(), changes, |row| texts.value(row).as_bytes());
                return Ok(());
            }
            DataType::BinaryView => {
                let bytes = key.as_binary_view();
                mark_views(bytes.views(), changes, |row| bytes.value(row));
                return Ok(());
            }
            _ => {}
        }
        let key = key.as_ref();
        downcast_integer_array!(
            key => {
                mark_numbers(key.values(), changes);
                return Ok(());
            },
            _ => {}
        );
    }
    for range in partition(&[ArrayRef::clone(key)])?.ranges() {
        changes[range.start] = true;
    }
    Ok(())
}

fn mark_numbers<T: PartialEq>(values: &[T], changes: &mut [bool]) {
    let rest = changes.iter_mut().skip(1);
    for (change, pair) in rest.zip(values.windows(2)) {
        *change |= pair[0] != pair[1];
    }
}

/// Equal views are equal values; two that differ are looked at only where length and beginning are
/// the same and there is more.
fn mark_views<'a>(views: &[u128], changes: &mut [bool], value: impl Fn(usize) -> &'a [u8]) {
    let rest = changes.iter_mut().enumerate().skip(1);
    for ((row, change), pair) in rest.zip(views.windows(2)) {
        let (before, view) = (ByteView::from(pair[0]), ByteView::from(pair[1]));
        if pair[0] == pair[1] || *change {
            continue;
        }
        let is_long = view.length > INLINE_MAX;
        let alike = before.length == view.length && before.prefix == view.prefix;
        *change = !(is_long && alike && value(row - 1) == value(row));
    }
}

/// Bytes that a view holds itself.
const INLINE_MAX: u32 = datafusion::arrow::array::MAX_INLINE_VIEW_LEN;

#[cfg(test)]
mod tests;
