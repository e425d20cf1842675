//! What is read ahead of each stream: its runs of equal keys, batch by batch.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::row::Rows;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::code::Code;
use super::order::Order;
use crate::exec::keys::starts_of_sorted;
use crate::exec::{FunnelParts, runs};
use crate::udaf::Piece as Rowed;

/// The runs of one batch.
#[derive(Debug)]
pub(super) struct Piece {
    /// Of each run.
    keys: Rows,
    /// How each key differs from the one before it in the stream.
    codes: Vec<Code>,
    /// The rows of each call, by run.
    pub(super) calls: Vec<Rowed>,
}

/// What a reader hands over: a piece, or that there are no more.
pub(super) type Read = Result<Option<Piece>>;

impl Piece {
    /// `before`: the last key of the piece before, which becomes that of this one.
    fn of(
        batch: &RecordBatch,
        parts: &FunnelParts,
        order: &Order,
        before: &mut Option<Vec<u8>>,
    ) -> Result<Self> {
        let columns = runs::keys(&parts.group, batch)?;
        let mut offsets = starts_of_sorted(&columns, order.first())?;
        let first = offsets.iter().map(|row| *row as u32); // A batch has fewer than 2^32 rows.
        let first = UInt32Array::from_iter_values(first);
        let columns = columns.iter();
        let keys = columns.map(|column| Ok(take(column.as_ref(), &first, None)?));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        offsets.push(batch.num_rows());
        let calls = parts.calls.iter();
        let calls = calls.map(|call| Ok(call.read(batch)?.into_piece(&offsets)));
        Self::new(&keys, order, before, calls.collect::<Result<_>>()?)
    }

    /// Of the group keys of each run and the rows of each call.
    pub(super) fn new(
        keys: &[ArrayRef],
        order: &Order,
        before: &mut Option<Vec<u8>>,
        calls: Vec<Rowed>,
    ) -> Result<Self> {
        let keys = order.encode(keys)?;
        Ok(Self {
            codes: codes(&keys, before),
            keys,
            calls,
        })
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn key(&self, run: usize) -> &[u8] {
        self.keys.row(run).data()
    }

    pub(super) fn code(&self, run: usize) -> Code {
        self.codes[run]
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        let rows: usize = self.calls.iter().map(Rowed::size).sum();
        self.keys.size() + self.codes.capacity() * size_of::<Code>() + rows
    }
}

/// How each key differs from the one before it.
fn codes(keys: &Rows, before: &mut Option<Vec<u8>>) -> Vec<Code> {
    let mut codes = Vec::with_capacity(keys.num_rows());
    let mut last = before.as_deref();
    for key in keys {
        let key = key.data();
        codes.push(last.map_or_else(|| Code::first(key), |last| Code::after(last, key)));
        last = Some(key);
    }
    let last = last.map(<[u8]>::to_vec);
    *before = last;
    codes
}

/// A stream of batches that is read piece by piece.
pub(super) struct Batches {
    pub(super) input: SendableRecordBatchStream,
    pub(super) parts: FunnelParts,
    pub(super) order: Arc<Order>,
}

impl Batches {
    /// Sends all pieces; `before` is the last key before them, and then their last one. Stops where nobody listens.
    pub(super) async fn send(
        mut self,
        before: &mut Option<Vec<u8>>,
        to: &Sender<Read>,
    ) -> Result<()> {
        while let Some(batch) = self.input.next().await.transpose()? {
            if batch.num_rows() == 0 {
                continue;
            }
            let piece = Piece::of(&batch, &self.parts, &self.order, before)?;
            if to.send(Ok(Some(piece))).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Says how sending has ended. If nobody listens any more, nobody needs to know.
pub(super) async fn end(sent: Result<()>, to: &Sender<Read>) {
    let _ = to.send(sent.map(|()| None)).await;
}
