//! One partition of a [`SortedFunnelExec`](super::SortedFunnelExec).

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use futures::stream::try_unfold;

use super::keys::starts;
use super::runs::{self, Ended, Runs};
use super::{FunnelParts, SortedFunnelExec};

/// Which rows of the partition that is read are ours.
#[derive(Debug)]
enum Phase {
    /// None until the key changes: they belong to a run of an earlier partition. Holds the key
    /// that the partition begins with.
    Before(Option<Vec<ArrayRef>>),
    /// All.
    Own,
    /// Those before the first change of key, of the partition with this number. Holds the key that
    /// it begins with.
    Beyond(usize, Option<Vec<ArrayRef>>),
    Done,
}

struct Reader {
    input: Arc<dyn ExecutionPlan>,
    parts: FunnelParts,
    context: Arc<TaskContext>,
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    partition: usize,
    phase: Phase,
    runs: Runs,
    out: BatchCoalescer,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

pub(super) fn open(
    node: &SortedFunnelExec,
    partition: usize,
    context: &Arc<TaskContext>,
    metrics: BaselineMetrics,
) -> Result<SendableRecordBatchStream> {
    let consumer = MemoryConsumer::new(format!("SortedFunnelExec[{partition}]"));
    let reader = Reader {
        stream: node.input.execute(partition, Arc::clone(context))?,
        input: Arc::clone(&node.input),
        parts: node.parts.clone(),
        context: Arc::clone(context),
        schema: node.schema(),
        partition,
        phase: if partition == 0 {
            Phase::Own
        } else {
            Phase::Before(None)
        },
        runs: Runs::new(&node.parts),
        out: BatchCoalescer::new(node.schema(), context.session_config().batch_size()),
        memory: consumer.register(context.memory_pool()),
        metrics,
    };
    let batches = try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|batch| (batch, reader)))
    });
    let schema = node.schema();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

impl Reader {
    /// The next batch of answers.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.out.next_completed_batch() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            if matches!(self.phase, Phase::Done) {
                return Ok(None);
            }
            match self.stream.next().await.transpose()? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    let compute = self.metrics.elapsed_compute().clone();
                    let _timer = compute.timer();
                    self.read(&batch)?;
                    self.memory.try_resize(self.runs.size())?;
                }
                None => self.end_of_partition()?,
            }
        }
    }

    fn read(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = runs::keys(&self.parts.group, batch)?;
        match &mut self.phase {
            Phase::Own => {
                let ended = self.runs.push(batch, &keys)?;
                self.emit(ended)
            }
            Phase::Before(first) => {
                let Some(change) = change_of_key(first, &keys)? else {
                    return Ok(());
                };
                self.phase = Phase::Own;
                let length = batch.num_rows() - change;
                let keys: Vec<_> = keys.iter().map(|key| key.slice(change, length)).collect();
                let ended = self.runs.push(&batch.slice(change, length), &keys)?;
                self.emit(ended)
            }
            Phase::Beyond(_, first) => {
                let change = change_of_key(first, &keys)?;
                let length = change.unwrap_or(batch.num_rows());
                if length > 0 {
                    let keys: Vec<_> = keys.iter().map(|key| key.slice(0, length)).collect();
                    let ended = self.runs.push(&batch.slice(0, length), &keys)?;
                    self.emit(ended)?;
                }
                if change.is_some() {
                    self.finish()?;
                }
                Ok(())
            }
            Phase::Done => Ok(()),
        }
    }

    /// Goes on to the next partition, if a run of ours may go on there.
    fn end_of_partition(&mut self) -> Result<()> {
        let next = match self.phase {
            Phase::Own => self.partition + 1,
            Phase::Beyond(partition, _) => partition + 1,
            // All rows belonged to a run of an earlier partition.
            Phase::Before(_) | Phase::Done => {
                self.phase = Phase::Done;
                return Ok(());
            }
        };
        if next < self.input.output_partitioning().partition_count() {
            self.stream = self.input.execute(next, Arc::clone(&self.context))?;
            self.phase = Phase::Beyond(next, None);
            return Ok(());
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        self.phase = Phase::Done;
        // What is left of the partition is not read.
        self.stream = Box::pin(datafusion::physical_plan::EmptyRecordBatchStream::new(
            self.input.schema(),
        ));
        let ended = self.runs.finish()?;
        self.emit(ended)?;
        self.out.finish_buffered_batch()?;
        self.memory.free();
        Ok(())
    }

    fn emit(&mut self, ended: Ended) -> Result<()> {
        if let Some(columns) = ended {
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            self.out.push_batch(batch)?;
        }
        Ok(())
    }
}

/// The first row whose key is not `first`, which is set from the first row ever seen.
fn change_of_key(first: &mut Option<Vec<ArrayRef>>, keys: &[ArrayRef]) -> Result<Option<usize>> {
    let first = match first {
        Some(first) => first,
        None => first.insert(keys.iter().map(|key| key.slice(0, 1)).collect()),
    };
    let starts = starts(keys)?;
    match starts.first() {
        Some(start) if !runs::same_key((first, 0), (keys, *start))? => Ok(Some(0)),
        _ => Ok(starts.get(1).copied()),
    }
}
