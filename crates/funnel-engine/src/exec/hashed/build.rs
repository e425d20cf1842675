//! Reads the whole input and deals it out to partitions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::hash_utils::{QualityRandomState, create_hashes};
use datafusion::common::runtime::JoinSet;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{Count, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;

use super::HashedFunnelExec;
use super::keys::Codec;
use super::partition::{Input, Partition, Waiting};
use crate::exec::{FunnelParts, runs};

/// So many parts that the table of each fits the caches, with some ten million keys in all.
pub(super) const PARTITIONS: usize = 256;
/// Rows of a reader that wait before a partition takes them: more than its table has cache lines, so
/// that each line is fetched less than once a row.
const WAITING_ROWS: usize = 32 * 1024;

const PARTITION_SHIFT: u32 = u64::BITS - PARTITIONS.trailing_zeros();

/// The hash of a key is the same everywhere.
const SEED: u64 = 7;

/// All partitions, while they are filled and after.
#[derive(Debug)]
pub(super) struct Built {
    partitions: Vec<Mutex<Partition>>,
    pub(super) codec: Codec,
    memory: MemoryReservation,
    spills: Count,
    /// Where the next reader begins.
    turn: AtomicUsize,
    /// The partition of the input that is read next.
    next_input: AtomicUsize,
}

impl Built {
    /// Takes a partition out.
    pub(super) fn take(&self, partition: usize) -> Partition {
        std::mem::take(&mut *self.lock(partition))
    }

    /// What was taken out holds so many bytes no more.
    pub(super) fn release(&self, bytes: usize) {
        self.memory.shrink(bytes.min(self.memory.size()));
    }

    /// Asks for memory for what comes back from disk.
    pub(super) fn reserve(&self, bytes: usize) -> Result<()> {
        self.memory.try_grow(bytes)
    }

    /// A reader that fails ends the query, so that no half-filled partition is read.
    fn lock(&self, partition: usize) -> MutexGuard<'_, Partition> {
        let partition = &self.partitions[partition];
        partition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves every partition to disk. Gives how many bytes that freed.
    fn spill(&self, context: &TaskContext) -> Result<usize> {
        let mut freed = 0;
        for partition in 0..PARTITIONS {
            let mut partition = self.lock(partition);
            let bytes = partition.size();
            partition.spill(context)?;
            self.release(bytes);
            freed += bytes;
        }
        self.spills.add(1);
        Ok(freed)
    }
}

/// Reads all partitions of the input side by side.
pub(super) async fn build(node: HashedFunnelExec, context: Arc<TaskContext>) -> Result<Arc<Built>> {
    let consumer = MemoryConsumer::new("HashedFunnelExec").with_can_spill(true);
    let built = Arc::new(Built {
        partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
        codec: Codec::new(&node.parts.schema, node.parts.group.len())?,
        memory: consumer.register(context.memory_pool()),
        spills: MetricBuilder::new(&node.metrics).global_counter("spills"),
        turn: AtomicUsize::new(0),
        next_input: AtomicUsize::new(0),
    });
    let mut readers = JoinSet::new();
    // Each reader has rows that wait: more readers than cores would only hold more of them.
    let inputs = node.input.output_partitioning().partition_count();
    for _ in 0..inputs.min(context.session_config().target_partitions().max(1)) {
        let reader = Reader {
            parts: node.parts.clone(),
            context: Arc::clone(&context),
            built: Arc::clone(&built),
            order: Vec::new(),
            hashes: Vec::new(),
            waiting: (0..PARTITIONS).map(|_| Waiting::default()).collect(),
            waiting_bytes: 0,
            spills_seen: 0,
        };
        readers.spawn(reader.read(Arc::clone(&node.input)));
    }
    while let Some(reader) = readers.join_next().await {
        reader.map_err(|error| exec_datafusion_err!("a reader of a funnel failed: {error}"))??;
    }
    if built.spills.value() > 0 {
        // What comes back needs the room.
        built.spill(&context)?;
    }
    Ok(built)
}

struct Reader {
    parts: FunnelParts,
    context: Arc<TaskContext>,
    built: Arc<Built>,
    hashes: Vec<u64>,
    /// Rows of the batch at hand, by partition.
    order: Vec<u32>,
    /// By partition.
    waiting: Vec<Waiting>,
    /// What they take, as the memory pool knows it.
    waiting_bytes: usize,
    /// The spills of all readers that this one knows of.
    spills_seen: usize,
}

impl Reader {
    /// Reads partitions that no other reader has taken, one after the other.
    async fn read(mut self, input: Arc<dyn ExecutionPlan>) -> Result<()> {
        let inputs = input.output_partitioning().partition_count();
        loop {
            let next = self.built.next_input.fetch_add(1, Ordering::Relaxed);
            if next >= inputs {
                break;
            }
            let mut batches = input.execute(next, Arc::clone(&self.context))?;
            while let Some(batch) = batches.next().await.transpose()? {
                if batch.num_rows() > 0 {
                    self.deal(&batch)?;
                }
            }
        }
        let grown = self.hand_over(1)?;
        self.forget_waiting();
        self.account(grown)
    }

    /// Gives back the room for rows that wait; none do.
    fn forget_waiting(&mut self) {
        self.waiting.fill_with(Waiting::default);
    }

    fn deal(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = runs::keys(&self.parts.group, batch)?;
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), 0);
        create_hashes(
            &columns,
            &QualityRandomState::with_seed(SEED),
            &mut self.hashes,
        )?;
        let keys = self.built.codec.encode(&columns)?;
        let calls = self.parts.calls.iter();
        let batches = calls
            .map(|call| call.read(batch))
            .collect::<Result<Vec<_>>>()?;
        let ends = self.by_partition();
        let input = Input {
            keys: &keys,
            hashes: &self.hashes,
            batches: &batches,
        };
        for (partition, waiting) in self.waiting.iter_mut().enumerate() {
            let begin = partition.checked_sub(1).map_or(0, |before| ends[before]);
            let rows = &self.order[begin..ends[partition]];
            if !rows.is_empty() {
                waiting.push(&input, rows, &self.parts.calls)?;
            }
        }
        // Memory was short: what waits here is what another reader could not free.
        let spills = self.built.spills.value();
        let is_short = std::mem::replace(&mut self.spills_seen, spills) != spills;
        let grown = self.hand_over(if is_short { 1 } else { WAITING_ROWS })?;
        if is_short {
            self.forget_waiting();
        }
        self.account(grown)
    }

    /// Gives each partition its rows, where so many wait. Gives by how many bytes that grew.
    fn hand_over(&mut self, rows: usize) -> Result<usize> {
        let mut all = 0;
        // Each reader begins elsewhere, so that they seldom wait for each other.
        let turn = self
            .built
            .turn
            .fetch_add(PARTITIONS / 2 + 1, Ordering::Relaxed);
        for partition in (0..PARTITIONS).map(|partition| (partition + turn) % PARTITIONS) {
            let waiting = &mut self.waiting[partition];
            if waiting.len() >= rows {
                let mut partition = self.built.lock(partition);
                let grown = partition.take(waiting, &self.parts.calls)?;
                // While no other reader can spill it: that gives back what is counted here.
                self.built.memory.grow(grown);
                all += grown;
            }
        }
        Ok(all)
    }

    /// Tells the memory pool what waits, after partitions grew by so many bytes; makes room if it must.
    fn account(&mut self, grown: usize) -> Result<()> {
        let waiting = self.waiting.iter().map(Waiting::size).sum();
        let memory = &self.built.memory;
        memory.grow(waiting);
        self.built.release(self.waiting_bytes);
        let grown = grown + waiting.saturating_sub(self.waiting_bytes);
        self.waiting_bytes = waiting;
        match memory.try_grow(0) {
            Ok(()) => Ok(()),
            Err(DataFusionError::ResourcesExhausted(why)) => {
                self.hand_over(1)?;
                self.forget_waiting();
                self.built.release(std::mem::take(&mut self.waiting_bytes));
                self.built.spill(&self.context)?;
                // What is still held are rows that wait in other readers, which hand them over next.
                let memory = &self.built.memory;
                if memory.size() >= grown {
                    return Ok(());
                }
                let room = memory.try_grow(grown);
                room.map_err(|_| DataFusionError::ResourcesExhausted(why))?;
                memory.shrink(grown);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Brings the rows into the order of their partitions; gives where each partition ends.
    fn by_partition(&mut self) -> [usize; PARTITIONS] {
        let partition = |hash: &u64| (hash >> PARTITION_SHIFT) as usize;
        let mut ends = [0; PARTITIONS];
        for hash in &self.hashes {
            ends[partition(hash)] += 1;
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        self.order.clear();
        self.order.resize(self.hashes.len(), 0);
        for (row, hash) in (0..).zip(&self.hashes) {
            let at = &mut ends[partition(hash)];
            self.order[*at] = row;
            *at += 1;
        }
        ends
    }
}
