//! Conditions that all look at one column of few values: evaluated once for each value that a batch
//! has, then looked up row by row.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Int8Type, Schema, UInt8Type};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::PhysicalExpr;

use super::masks::Steps;

/// A batch with more values than this is read row by row.
const VALUES_MAX: usize = 128;
/// Slots of the table that knows the values of a batch: four times as many, so that the first is mostly the one.
const SLOTS: usize = 4 * VALUES_MAX;
/// A dictionary with more values than this is not looked through.
const DICTIONARY_MAX: usize = 64 * VALUES_MAX;

/// Conditions over one column.
#[derive(Debug, Clone)]
pub(super) struct Coded {
    column: usize,
    /// Over a batch that has this column only.
    steps: Vec<Arc<dyn PhysicalExpr>>,
}

impl Coded {
    /// None if the conditions look at several columns, or do not depend on their columns alone.
    pub(super) fn of(steps: &[Arc<dyn PhysicalExpr>]) -> Result<Option<Self>> {
        if steps.iter().any(is_volatile) {
            return Ok(None);
        }
        let columns: BTreeSet<usize> = steps
            .iter()
            .flat_map(collect_columns)
            .map(|column| column.index())
            .collect();
        let (Some(&column), 1) = (columns.first(), columns.len()) else {
            return Ok(None);
        };
        let steps = steps
            .iter()
            .map(|step| Arc::clone(step).transform_up(|expr| Ok(moved(expr))))
            .map(|step| step.map(|step| step.data))
            .collect::<Result<_>>()?;
        Ok(Some(Self { column, steps }))
    }

    /// The column that the conditions look at.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// The steps of each of these values of the column.
    pub(super) fn of_values(&self, values: ArrayRef, null_hides: bool) -> Result<Steps> {
        let field = Field::new("value", values.data_type().clone(), true);
        let rows = values.len();
        let each = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values])?;
        let conditions = self
            .steps
            .iter()
            .map(|step| step.evaluate(&each)?.into_array(rows))
            .collect::<Result<Vec<_>>>()?;
        Ok(Steps::of(&conditions, rows, null_hides))
    }

    /// None if the column has too many values in this batch, or is of a type that holds many.
    pub(super) fn read(&self, batch: &RecordBatch, null_hides: bool) -> Result<Option<Steps>> {
        let Some(values) = Values::of(batch.column(self.column)) else {
            return Ok(None);
        };
        let first = UInt32Array::from(values.firsts);
        let column = take(batch.column(self.column).as_ref(), &first, None)?;
        let each = self.of_values(column, null_hides)?;
        Ok(Some(Steps {
            masks: each.masks.gather(&values.codes),
            seen: each.seen.map(|seen| {
                let codes = values.codes.iter();
                codes.map(|code| seen.value(usize::from(*code))).collect()
            }),
        }))
    }
}

/// Every column is the only one of the batch.
fn moved(expr: Arc<dyn PhysicalExpr>) -> Transformed<Arc<dyn PhysicalExpr>> {
    match expr.downcast_ref::<Column>() {
        Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), 0))),
        None => Transformed::no(expr),
    }
}

/// The values of a column, numbered in the order in which they come.
struct Values {
    /// The number of the value of each row.
    codes: Vec<u8>,
    /// The first row of each value.
    firsts: Vec<u32>,
}

impl Values {
    fn of(column: &ArrayRef) -> Option<Self> {
        match column.data_type() {
            DataType::UInt8 => {
                let bytes = column.as_primitive::<UInt8Type>().values();
                Self::small(column, bytes.iter().map(|byte| usize::from(*byte)), 256)
            }
            DataType::Int8 => {
                let bytes = column.as_primitive::<Int8Type>().values();
                let bytes = bytes.iter().map(|byte| usize::from(byte.cast_unsigned()));
                Self::small(column, bytes, 256)
            }
            DataType::Dictionary(_, _) => {
                let dictionary = column.as_any_dictionary();
                let values = dictionary.values().len();
                if values == 0 || values > DICTIONARY_MAX {
                    return None;
                }
                Self::small(column, dictionary.normalized_keys().into_iter(), values)
            }
            DataType::Utf8View => Self::views(column, column.as_string_view().views()),
            DataType::BinaryView => Self::views(column, column.as_binary_view().views()),
            _ => None,
        }
    }

    /// `keys` are below `keys_max`, except where the column is null.
    fn small(
        column: &ArrayRef,
        keys: impl Iterator<Item = usize>,
        keys_max: usize,
    ) -> Option<Self> {
        let mut values = Numbers::default();
        let mut known = vec![0_u8; keys_max];
        let mut codes = Vec::with_capacity(column.len());
        let nulls = column.nulls();
        for (row, key) in keys.enumerate() {
            let code = if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                values.null(row)?
            } else {
                let slot = known.get_mut(key)?;
                if *slot == 0 {
                    *slot = values.next(row)? + 1;
                }
                *slot - 1
            };
            codes.push(code);
        }
        Some(Self {
            codes,
            firsts: values.firsts,
        })
    }

    /// Equal views are equal texts; that two views of one text may differ costs a second number.
    fn views(column: &ArrayRef, views: &[u128]) -> Option<Self> {
        let mut values = Numbers::default();
        let mut known = [(0_u128, u8::MAX); SLOTS];
        let mut codes = vec![0; views.len()];
        let nulls = column.nulls();
        for (row, (view, code)) in views.iter().zip(&mut codes).enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                *code = values.null(row)?;
                continue;
            }
            let slot = slot_of(*view);
            let (found, of_found) = known[slot];
            *code = match found == *view && of_found != u8::MAX {
                true => of_found,
                false => Self::search(&mut known, slot, *view, || values.next(row))?,
            };
        }
        Some(Self {
            codes,
            firsts: values.firsts,
        })
    }

    /// The number of a view that is not the first of its slot.
    fn search(
        known: &mut [(u128, u8); SLOTS],
        mut slot: usize,
        view: u128,
        next: impl FnOnce() -> Option<u8>,
    ) -> Option<u8> {
        loop {
            match known[slot] {
                (_, u8::MAX) => {
                    let code = next()?;
                    known[slot] = (view, code);
                    return Some(code);
                }
                (found, code) if found == view => return Some(code),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }
}

fn slot_of(view: u128) -> usize {
    let folded = (view ^ (view >> 64)) as u64; // The upper half is in the lower one by now.
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % SLOTS
}

/// Gives out numbers, [`VALUES_MAX`] at most.
#[derive(Default)]
struct Numbers {
    firsts: Vec<u32>,
    null: Option<u8>,
}

impl Numbers {
    fn next(&mut self, row: usize) -> Option<u8> {
        let code = self.firsts.len();
        if code == VALUES_MAX {
            return None;
        }
        self.firsts.push(u32::try_from(row).ok()?);
        u8::try_from(code).ok()
    }

    fn null(&mut self, row: usize) -> Option<u8> {
        if self.null.is_none() {
            self.null = Some(self.next(row)?);
        }
        self.null
    }
}

#[cfg(test)]
mod tests;
