//! Where the key changes from one row to the next.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, ByteView, StringViewArray, downcast_integer_array,
};
use datafusion::arrow::compute::partition;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

/// The first row of each run of equal keys; two nulls are equal.
pub(super) fn starts(keys: &[ArrayRef]) -> Result<Vec<usize>> {
    starts_of_sorted(keys, None)
}

/// The same of rows that are sorted by `first` of the keys, then by the others. A first key that ends as it begins, such
/// as the account, is the same in all rows.
pub(super) fn starts_of_sorted(keys: &[ArrayRef], first: Option<usize>) -> Result<Vec<usize>> {
    let rows = keys.first().map_or(0, |key| key.len());
    if rows == 0 {
        return Ok(Vec::new());
    }
    let mut changes = vec![SAME; rows];
    changes[0] = CHANGED;
    let mut views = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        match Views::of(key) {
            Some(of_key) if Some(index) == first && of_key.end_as_they_begin() => {}
            Some(of_key) => {
                of_key.mark(&mut changes);
                views.push(of_key);
            }
            None => mark(key, &mut changes)?,
        }
    }
    Ok(changed(&changes, |row| {
        views.iter().any(|views| views.differ(row))
    }))
}

/// The rows that are marked as changed, or where `differ` says so. Most rows are like the one before them: of eight at
/// once, only those that are marked are looked at.
fn changed(changes: &[u8], differ: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut rows = Vec::new();
    let mut look_at = |row: usize, change: u8| {
        if change & CHANGED != 0 || differ(row) {
            rows.push(row);
        }
    };
    let (groups, rest) = changes.as_chunks::<8>();
    for (group, of) in groups.iter().enumerate() {
        let mut marks = u64::from_le_bytes(*of);
        while marks != 0 {
            let place = marks.trailing_zeros() as usize / 8;
            look_at(8 * group + place, of[place]);
            marks &= !(0xFF << (8 * place));
        }
    }
    for (row, change) in (8 * groups.len()..).zip(rest) {
        if *change != SAME {
            look_at(row, *change);
        }
    }
    rows
}

/// What is known of a row and the one before it.
const SAME: u8 = 0;
/// Texts may be the same all the same.
const VIEWS_DIFFER: u8 = 1;
const CHANGED: u8 = 2;

/// The type of texts or bytes that need not be copied; of other types the same.
pub(crate) fn as_view(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Sets the rows whose value of `key` is not that of the row before.
fn mark(key: &ArrayRef, changes: &mut [u8]) -> Result<()> {
    if key.null_count() == 0 {
        let key = key.as_ref();
        downcast_integer_array!(
            key => {
                mark_differing(key.values(), changes, CHANGED);
                return Ok(());
            },
            _ => {}
        );
    }
    for range in partition(&[ArrayRef::clone(key)])?.ranges() {
        changes[range.start] |= CHANGED;
    }
    Ok(())
}

/// Without a branch, so that several rows are looked at together.
fn mark_differing<T: PartialEq>(values: &[T], changes: &mut [u8], mark: u8) {
    let rest = changes.iter_mut().skip(1);
    for (change, pair) in rest.zip(values.windows(2)) {
        *change |= u8::from(pair[0] != pair[1]) * mark;
    }
}

/// A key of texts or bytes, none of them null.
enum Views<'a> {
    Texts(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
}

impl<'a> Views<'a> {
    fn of(key: &'a ArrayRef) -> Option<Self> {
        if key.null_count() > 0 {
            return None;
        }
        match key.data_type() {
            DataType::Utf8View => Some(Self::Texts(key.as_string_view())),
            DataType::BinaryView => Some(Self::Bytes(key.as_binary_view())),
            _ => None,
        }
    }

    fn views(&self) -> &[u128] {
        match self {
            Self::Texts(texts) => texts.views(),
            Self::Bytes(bytes) => bytes.views(),
        }
    }

    fn value(&self, row: usize) -> &[u8] {
        match self {
            Self::Texts(texts) => texts.value(row).as_bytes(),
            Self::Bytes(bytes) => bytes.value(row),
        }
    }

    fn end_as_they_begin(&self) -> bool {
        self.views().first() == self.views().last()
    }

    /// Equal views are equal values.
    fn mark(&self, changes: &mut [u8]) {
        mark_differing(self.views(), changes, VIEWS_DIFFER);
    }

    /// Is the value at `row` not that of the row before? Two views that differ are looked at only where length and
    /// beginning are the same and there is more.
    fn differ(&self, row: usize) -> bool {
        let views = self.views();
        if views[row - 1] == views[row] {
            return false;
        }
        let (before, view) = (ByteView::from(views[row - 1]), ByteView::from(views[row]));
        let alike = before.length == view.length && before.prefix == view.prefix;
        let is_long = view.length > INLINE_MAX;
        !(is_long && alike && self.value(row - 1) == self.value(row))
    }
}

/// Bytes that a view holds itself.
const INLINE_MAX: u32 = datafusion::arrow::array::MAX_INLINE_VIEW_LEN;

#[cfg(test)]
mod tests;
