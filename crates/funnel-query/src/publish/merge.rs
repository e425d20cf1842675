//! The rows of some keys in the place of those that they had before.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use hashbrown::HashSet;

/// Rows with the key of each.
pub(super) struct Keyed {
    pub(super) rows: RecordBatch,
    pub(super) keys: Int64Array,
}

/// `old` with `new` in the place of all rows whose key is among `touched`, and the keys of which the
/// rows are not what they were.
pub(super) fn replace(
    old: &Keyed,
    new: &Keyed,
    touched: &HashSet<i64>,
) -> Result<(RecordBatch, BTreeSet<i64>), ArrowError> {
    if old.rows.num_rows() == 0 {
        return Ok((new.rows.clone(), new.keys.iter().flatten().collect()));
    }
    let is_touched = |key: Option<i64>| key.is_some_and(|key| touched.contains(&key));
    let kept: BooleanArray = old.keys.iter().map(|key| Some(!is_touched(key))).collect();
    let merged = concat_batches(
        &new.rows.schema(),
        [&filter_record_batch(&old.rows, &kept)?, &new.rows],
    )?;
    let fields = new
        .rows
        .schema()
        .fields()
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    let converter = RowConverter::new(fields)?;
    let before = by_key(&converter, old, |row| !kept.value(row))?;
    let after = by_key(&converter, new, |_| true)?;
    let all = before.keys().chain(after.keys());
    let differs = |key: &&i64| before.get(key) != after.get(key);
    Ok((merged, all.filter(differs).copied().collect()))
}

/// The rows of each key, in an order of their own.
fn by_key(
    converter: &RowConverter,
    keyed: &Keyed,
    wanted: impl Fn(usize) -> bool,
) -> Result<BTreeMap<i64, Vec<OwnedRow>>, ArrowError> {
    let rows = converter.convert_columns(keyed.rows.columns())?;
    let mut found: BTreeMap<i64, Vec<OwnedRow>> = BTreeMap::new();
    for row in (0..rows.num_rows()).filter(|row| keyed.keys.is_valid(*row) && wanted(*row)) {
        let of_key = found.entry(keyed.keys.value(row)).or_default();
        of_key.push(rows.row(row).owned());
    }
    found.values_mut().for_each(|rows| rows.sort_unstable());
    Ok(found)
}
