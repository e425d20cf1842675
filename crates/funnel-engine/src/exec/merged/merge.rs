//! Pieces of many streams in, answers out.

use std::sync::Arc;

use datafusion::arrow::array::{BinaryBuilder, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::metrics::BaselineMetrics;
use tokio::sync::mpsc::{Receiver, channel};

use super::MergedFunnelExec;
use super::code::{Code, is_before};
use super::order::Order;
use super::piece::{Batches, Piece, Read, end};
use super::tournament::Tournament;
use crate::exec::FunnelParts;
use crate::udaf::Histories;

/// Rows of histories that have ended, beside a batch of them, after which they are answered: so many
/// fit the nearer caches.
const ROWS_MAX: usize = 64 * 1024;

/// A stream, and where in it the merge is.
struct Cursor {
    pieces: Receiver<Read>,
    /// None when it has ended.
    piece: Option<Piece>,
    run: usize,
}

impl Cursor {
    fn key(&self) -> Option<&[u8]> {
        self.piece.as_ref().map(|piece| piece.key(self.run))
    }

    fn size(&self) -> usize {
        self.piece.as_ref().map_or(0, Piece::size)
    }
}

pub(super) struct Merge {
    parts: FunnelParts,
    schema: SchemaRef,
    order: Arc<Order>,
    cursors: Vec<Cursor>,
    /// How the key at which each stream is differs from the one that it was compared with last: for the stream that is
    /// next that is the open key.
    codes: Vec<Code>,
    tournament: Option<Tournament>,
    /// Is there a key whose rows come at the moment?
    is_open: bool,
    /// By call.
    histories: Vec<Histories>,
    /// Keys of the histories, if they are asked for, and how many there are.
    keys: BinaryBuilder,
    count: usize,
    batch_rows: usize,
    memory: MemoryReservation,
    /// What the pieces at hand take.
    pieces_bytes: usize,
    metrics: BaselineMetrics,
    /// They end with the merge.
    _readers: JoinSet<()>,
}

impl Merge {
    pub(super) fn open(
        node: &MergedFunnelExec,
        context: &Arc<TaskContext>,
        metrics: BaselineMetrics,
    ) -> Result<Self> {
        let order = Arc::new(Order::new(&node.parts, &node.ordering)?);
        let mut readers = JoinSet::new();
        let mut cursors = Vec::new();
        for partition in 0..node.input.output_partitioning().partition_count() {
            // One piece is read ahead; more would take memory for each stream.
            let (to, pieces) = channel(1);
            match &node.pages {
                Some(pages) => {
                    let reader = pages.reader(node, partition, &order, context)?;
                    readers.spawn(async move { end(reader.send(&to).await, &to).await });
                }
                None => {
                    let batches = Batches {
                        input: node.input.execute(partition, Arc::clone(context))?,
                        parts: node.parts.clone(),
                        order: Arc::clone(&order),
                    };
                    let mut before = None;
                    readers
                        .spawn(async move { end(batches.send(&mut before, &to).await, &to).await });
                }
            }
            cursors.push(Cursor {
                pieces,
                piece: None,
                run: 0,
            });
        }
        let calls = node.parts.calls.iter();
        Ok(Self {
            parts: node.parts.clone(),
            schema: node.schema(),
            order,
            codes: vec![Code::ENDED; cursors.len()],
            cursors,
            tournament: None,
            is_open: false,
            histories: calls.map(Histories::new).collect(),
            keys: BinaryBuilder::new(),
            count: 0,
            batch_rows: context.session_config().batch_size(),
            memory: MemoryConsumer::new("MergedFunnelExec").register(context.memory_pool()),
            pieces_bytes: 0,
            metrics,
            _readers: readers,
        })
    }

    /// The next batch of answers.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.tournament.is_none() {
            for stream in 0..self.cursors.len() {
                self.fetch(stream).await?;
            }
            let (codes, cursors) = (&mut self.codes, &self.cursors);
            let before = |a, b| is_before(codes, |stream| cursors[stream].key(), (a, b));
            self.tournament = Some(Tournament::new(cursors.len(), before));
        }
        loop {
            let stream = self.tournament.as_ref().and_then(Tournament::winner);
            let stream = stream.filter(|stream| self.cursors[*stream].piece.is_some());
            let Some(stream) = stream else {
                return self.answers();
            };
            let ended = !self.goes_on(stream);
            if ended
                && self.is_full()
                && let Some(batch) = self.answers()?
            {
                return Ok(Some(batch));
            }
            if ended {
                self.begin(stream);
            }
            self.take_run(stream).await?;
        }
    }

    /// Is this stream at the key that is open?
    fn goes_on(&self, stream: usize) -> bool {
        self.is_open && self.codes[stream] == Code::SAME
    }

    fn is_full(&self) -> bool {
        let rows = self.histories.iter().map(Histories::rows);
        self.count >= self.batch_rows || rows.max().unwrap_or_default() >= ROWS_MAX
    }

    /// The key at which `stream` is becomes the open one.
    fn begin(&mut self, stream: usize) {
        self.is_open = true;
        if self.parts.keys {
            let key = self.cursors[stream].key();
            self.keys.append_value(key.unwrap_or_default());
        }
        self.count += 1;
        self.histories.iter_mut().for_each(Histories::begin);
    }

    /// The open history goes on with the run at which `stream` is, and the stream moves on.
    async fn take_run(&mut self, stream: usize) -> Result<()> {
        let cursor = &mut self.cursors[stream];
        let Some(piece) = &cursor.piece else {
            return Ok(());
        };
        for (histories, call) in self.histories.iter_mut().zip(&piece.calls) {
            histories.append(call, cursor.run);
        }
        cursor.run += 1;
        if cursor.run < piece.runs() {
            self.codes[stream] = piece.code(cursor.run);
        } else {
            self.fetch(stream).await?;
        }
        let (codes, cursors) = (&mut self.codes, &self.cursors);
        if let Some(tournament) = &mut self.tournament {
            tournament.replay(|a, b| is_before(codes, |stream| cursors[stream].key(), (a, b)));
        }
        Ok(())
    }

    /// The next piece of `stream`.
    async fn fetch(&mut self, stream: usize) -> Result<()> {
        let cursor = &mut self.cursors[stream];
        self.pieces_bytes -= cursor.size();
        let piece = cursor.pieces.recv().await;
        // A reader says when it has read all; one that is gone without a word has failed.
        let failed = || exec_datafusion_err!("a reader of a funnel ended before its stream");
        cursor.piece = piece.ok_or_else(failed)??;
        cursor.run = 0;
        let code = cursor.piece.as_ref().map(|piece| piece.code(0));
        self.codes[stream] = code.unwrap_or(Code::ENDED);
        self.pieces_bytes += cursor.size();
        let histories: usize = self.histories.iter().map(Histories::size).sum();
        // Beside each piece at hand lies the one that was read ahead.
        self.memory.try_resize(2 * self.pieces_bytes + histories)
    }

    /// The answers of all histories, which have ended; none if there are none.
    fn answers(&mut self) -> Result<Option<RecordBatch>> {
        self.is_open = false;
        if self.count == 0 {
            self.memory.free();
            return Ok(None);
        }
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let mut columns = Vec::new();
        if self.parts.keys {
            columns = self.order.decode(self.keys.finish())?;
        }
        for (histories, call) in self.histories.iter_mut().zip(self.parts.calls.iter()) {
            columns.push(histories.answers(call)?);
        }
        self.count = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.metrics.record_output(batch.num_rows());
        Ok(Some(batch))
    }
}
