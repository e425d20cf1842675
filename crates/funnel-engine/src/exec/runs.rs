//! Runs of equal keys in a batch, and the rows that each call still holds.

use std::cmp::Ordering;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array, make_comparator};
use datafusion::arrow::compute::{SortOptions, cast, concat, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

use super::FunnelParts;
use super::keys::starts;
use crate::udaf::{StreamCall, StreamRows};

/// The key columns of a batch.
pub(super) fn keys(
    group: &[(Arc<dyn PhysicalExpr>, String)],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    group
        .iter()
        .map(|(expr, _)| expr.evaluate(batch)?.into_array(batch.num_rows()))
        .collect()
}

/// Is the key at `left` of one batch the key at `right` of another? Two nulls are the same key.
pub(super) fn same_key(
    (left, at): (&[ArrayRef], usize),
    (right, row): (&[ArrayRef], usize),
) -> Result<bool> {
    for (left, right) in left.iter().zip(right) {
        let compare = make_comparator(left.as_ref(), right.as_ref(), SortOptions::default())?;
        if compare(at, row) != Ordering::Equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs that are read: the one that is still open, and how it began.
#[derive(Debug)]
pub(super) struct Runs {
    calls: Arc<[StreamCall]>,
    /// The columns of answers: keys, then calls.
    schema: SchemaRef,
    /// Are keys part of the answers?
    with_keys: bool,
    /// The rows of each call that belong to the open run.
    rows: Vec<StreamRows>,
    /// Key columns of one row: the key of the open run.
    open: Option<Vec<ArrayRef>>,
}

/// Key columns and answers of runs that have ended.
pub(super) type Ended = Option<Vec<ArrayRef>>;

impl Runs {
    pub(super) fn new(parts: &FunnelParts) -> Self {
        Self {
            calls: Arc::clone(&parts.calls),
            schema: Arc::clone(&parts.schema),
            with_keys: parts.keys,
            rows: parts.calls.iter().map(StreamRows::new).collect(),
            open: None,
        }
    }

    /// Takes the rows of `batch`; gives the runs that have ended, which are all but its last.
    pub(super) fn push(&mut self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<Ended> {
        let mut offsets = starts(keys)?;
        let continues = match (&self.open, offsets.first()) {
            (_, None) => return Ok(None),
            (Some(open), Some(first)) => same_key((open, 0), (keys, *first))?,
            (None, Some(_)) => false,
        };
        let before = self.open.take();
        let last = offsets.last().copied().unwrap_or_default();
        self.open = Some(
            keys.iter()
                .map(|key| compacted(key, last))
                .collect::<Result<_>>()?,
        );
        if before.is_some() && !continues {
            // The open run has ended before the first row.
            offsets.insert(0, 0);
        }
        let ended = offsets.len() - 1;
        offsets.push(batch.num_rows());
        let answers = self
            .rows
            .iter_mut()
            .zip(self.calls.iter())
            .map(|(rows, call)| rows.push(call, batch, &offsets))
            .collect::<Result<Vec<_>>>()?;
        if ended == 0 {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(keys.len() + answers.len());
        if self.with_keys {
            // The first run that ended may have begun in an earlier batch.
            let first = usize::from(before.is_some());
            columns = ended_keys(keys, before.as_deref(), &offsets[first..ended])?;
            self.declare(&mut columns)?;
        }
        columns.extend(answers);
        Ok(Some(columns))
    }

    /// The open run has ended.
    pub(super) fn finish(&mut self) -> Result<Ended> {
        let Some(mut columns) = self.open.take() else {
            return Ok(None);
        };
        if self.with_keys {
            self.declare(&mut columns)?;
        } else {
            columns.clear();
        }
        for (rows, call) in self.rows.iter_mut().zip(self.calls.iter()) {
            columns.push(rows.finish(call)?);
        }
        Ok(Some(columns))
    }

    /// Gives keys the types that answers have.
    fn declare(&self, keys: &mut [ArrayRef]) -> Result<()> {
        for (key, field) in keys.iter_mut().zip(self.schema.fields()) {
            *key = cast(key, field.data_type())?;
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.rows.iter().map(StreamRows::size).sum()
    }
}

/// The key that was open before, if it has ended, and the keys at `starts`.
fn ended_keys(
    keys: &[ArrayRef],
    before: Option<&[ArrayRef]>,
    starts: &[usize],
) -> Result<Vec<ArrayRef>> {
    let starts = starts
        .iter()
        .map(|start| u32::try_from(*start).map_err(|_| too_long()))
        .collect::<Result<Vec<u32>>>()?;
    let starts = UInt32Array::from(starts);
    let column = |(column, key): (usize, &ArrayRef)| -> Result<ArrayRef> {
        let own = take(key.as_ref(), &starts, None)?;
        Ok(match before.and_then(|before| before.get(column)) {
            Some(before) => concat(&[before.as_ref(), own.as_ref()])?,
            None => own,
        })
    };
    keys.iter().enumerate().map(column).collect()
}

/// One row of `key` in memory of its own: a slice would keep its whole batch.
fn compacted(key: &ArrayRef, row: usize) -> Result<ArrayRef> {
    let row = UInt32Array::from(vec![u32::try_from(row).map_err(|_| too_long())?]);
    Ok(take(key.as_ref(), &row, None)?)
}

fn too_long() -> datafusion::error::DataFusionError {
    exec_datafusion_err!("a batch of more than 2^32 rows")
}
