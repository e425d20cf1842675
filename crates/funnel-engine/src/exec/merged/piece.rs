//! What is read ahead of each stream: its runs of equal keys, batch by batch.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::row::Rows;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::order::Order;
use crate::exec::keys::starts;
use crate::exec::{FunnelParts, runs};
use crate::udaf::Piece as Rowed;

/// The runs of one batch.
#[derive(Debug)]
pub(super) struct Piece {
    /// Of each run.
    keys: Rows,
    /// The first bytes of each key, as a number: most comparisons need no more.
    prefixes: Vec<u64>,
    /// The rows of each call, by run.
    pub(super) calls: Vec<Rowed>,
}

/// What a reader hands over: a piece, or that there are no more.
pub(super) type Read = Result<Option<Piece>>;

impl Piece {
    fn of(batch: &RecordBatch, parts: &FunnelParts, order: &Order) -> Result<Self> {
        let columns = runs::keys(&parts.group, batch)?;
        let mut offsets = starts(&columns)?;
        let first = offsets.iter().map(|row| *row as u32); // A batch has fewer than 2^32 rows.
        let first = UInt32Array::from_iter_values(first);
        let columns = columns.iter();
        let keys = columns.map(|column| Ok(take(column.as_ref(), &first, None)?));
        let keys = order.encode(&keys.collect::<Result<Vec<_>>>()?)?;
        offsets.push(batch.num_rows());
        let calls = parts.calls.iter();
        let calls = calls.map(|call| Ok(call.read(batch)?.into_piece(&offsets)));
        Ok(Self {
            prefixes: keys.iter().map(|key| prefix(key.data())).collect(),
            keys,
            calls: calls.collect::<Result<_>>()?,
        })
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> usize {
        self.prefixes.len()
    }

    pub(super) fn key(&self, run: usize) -> &[u8] {
        self.keys.row(run).data()
    }

    pub(super) fn prefix(&self, run: usize) -> u64 {
        self.prefixes[run]
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        let rows: usize = self.calls.iter().map(Rowed::size).sum();
        self.keys.size() + self.prefixes.capacity() * size_of::<u64>() + rows
    }
}

/// The first eight bytes, as a number that compares as they do; what is missing counts as zeros.
fn prefix(key: &[u8]) -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    for (byte, of) in bytes.iter_mut().zip(key) {
        *byte = *of;
    }
    u64::from_be_bytes(bytes)
}

/// Reads a stream to its end, or until nobody listens.
pub(super) async fn read(
    mut input: SendableRecordBatchStream,
    parts: FunnelParts,
    order: Arc<Order>,
    to: Sender<Read>,
) {
    while let Some(batch) = input.next().await {
        let piece = match batch {
            Ok(batch) if batch.num_rows() == 0 => continue,
            Ok(batch) => Piece::of(&batch, &parts, &order).map(Some),
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if to.send(piece).await.is_err() || is_last {
            return;
        }
    }
    // If nobody listens any more, nobody needs to know.
    let _ = to.send(Ok(None)).await;
}
