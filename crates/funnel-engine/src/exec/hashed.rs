//! The operator for input that is not sorted: keys are numbered in hash tables that all readers
//! share, rows are kept as time and steps, and every key is matched once, at the end.
//!
//! ```text
//! batches → by hash of the key → 256 partitions: key → number, (number, time, steps) in blocks
//!                                   ↓ all read; a partition at a time
//!                              rows by number, each run by time → kernel → (key, answer)
//! ```
//!
//! Against aggregation in two stages no row is held, sent or hashed twice, and rows that satisfy no
//! step cost nothing but the look-up of their key. Under a memory limit partitions move to disk.
//!
//! | File | What |
//! | --- | --- |
//! | `hashed.rs` | the node, and the stream of answers |
//! | `hashed/share.rs` | what the partitions of the output wait for together |
//! | `hashed/build.rs` | reads the input and deals it out |
//! | `hashed/partition.rs` | a part of the keys, with their rows; its way to disk and back |
//! | `hashed/table.rs`, `keys.rs`, `spill.rs` | keys as numbers, as bytes, in a file |

mod build;
mod keys;
mod partition;
mod share;
mod spill;
mod table;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PhysicalExpr, PlanProperties,
};
use futures::future::FutureExt;
use futures::stream::try_unfold;

use super::FunnelParts;
use build::{Built, PARTITIONS};
use share::{Place, Share};

/// `GROUP BY` with funnel functions over input in any order.
#[derive(Debug, Clone)]
pub(crate) struct HashedFunnelExec {
    input: Arc<dyn ExecutionPlan>,
    parts: FunnelParts,
    wanted: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    building: Share<Built>,
}

impl HashedFunnelExec {
    /// The answers come in `wanted` partitions, or fewer: each that is read holds a part of the keys.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        parts: FunnelParts,
        wanted: usize,
    ) -> Result<Self> {
        let inputs = input.output_partitioning().partition_count();
        let partitions = inputs.min(wanted).clamp(1, PARTITIONS);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(parts.output_schema()?),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            input.boundedness(),
        );
        Ok(Self {
            input,
            parts,
            wanted,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            building: Share::default(),
        })
    }

    /// The same without the group keys in the output.
    pub(super) fn without_keys(&self) -> Result<Self> {
        let parts = FunnelParts {
            keys: false,
            ..self.parts.clone()
        };
        Self::try_new(Arc::clone(&self.input), parts, self.wanted)
    }

    pub(super) fn parts(&self) -> &FunnelParts {
        &self.parts
    }

    /// The node without what its streams hold.
    fn detached(&self) -> Self {
        Self {
            building: Share::default(),
            ..self.clone()
        }
    }
}

/// Answers of the partitions that one partition of the output is made of.
struct Answers {
    node: HashedFunnelExec,
    building: Place<Built>,
    next: usize,
    out: BatchCoalescer,
    /// What the rows of the last partition took.
    bytes: usize,
    metrics: BaselineMetrics,
}

impl Answers {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.out.next_completed_batch() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            if self.next >= PARTITIONS {
                self.out.finish_buffered_batch()?;
                return Ok(self.out.next_completed_batch().inspect(|batch| {
                    self.metrics.record_output(batch.num_rows());
                }));
            }
            let built = self.building.done().await?;
            built.release(std::mem::take(&mut self.bytes));
            let parts = &self.node.parts;
            let mut partition = built.take(self.next);
            self.bytes = partition.size();
            partition.restore(&parts.calls).await?;
            let restored = partition.size().saturating_sub(self.bytes);
            built.reserve(restored)?;
            self.bytes += restored;
            let compute = self.metrics.elapsed_compute().clone();
            let _timer = compute.timer();
            let codec = parts.keys.then_some(&built.codec);
            if let Some(columns) = partition.answers(codec, &parts.calls)? {
                let batch = RecordBatch::try_new(self.node.schema(), columns)?;
                self.out.push_batch(batch)?;
            }
            self.next += self.node.properties.partitioning.partition_count();
        }
    }
}

impl DisplayAs for HashedFunnelExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt("HashedFunnelExec", t, f)
    }
}

impl ExecutionPlan for HashedFunnelExec {
    fn name(&self) -> &'static str {
        "HashedFunnelExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.parts.expressions(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return Err(plan_datafusion_err!("HashedFunnelExec has one input"));
        };
        Ok(Arc::new(Self::try_new(
            input,
            self.parts.clone(),
            self.wanted,
        )?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let partitions = self.properties.partitioning.partition_count();
        let building = self.building.place(partition, partitions, || {
            build::build(self.detached(), Arc::clone(&context)).boxed()
        });
        let answers = Answers {
            building,
            next: partition,
            out: BatchCoalescer::new(self.schema(), context.session_config().batch_size()),
            bytes: 0,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            node: self.detached(),
        };
        let batches = try_unfold(answers, |mut answers| async move {
            Ok(answers.next().await?.map(|batch| (batch, answers)))
        });
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
