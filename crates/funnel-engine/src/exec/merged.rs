//! The operator for several sorted streams whose keys overlap, such as the files of many days: they
//! are merged run by run, not row by row, and no stream holds more than two batches.
//!
//! ```text
//! stream 0 → runs of equal keys, their times and steps ┐
//! stream 1 → …                                         ├ least key first → histories → kernel
//! stream n → …                                         ┘
//! ```
//!
//! Streams are read side by side, each by a task of its own, which does all that is done for each
//! row; the merge compares and copies runs.
//!
//! | File | What |
//! | --- | --- |
//! | `merged.rs` | the node |
//! | `merged/piece.rs` | what is read ahead of each stream |
//! | `merged/pages.rs` | the same from the pages of Parquet files, without a batch |
//! | `merged/order.rs` | keys as bytes that compare as the streams are sorted |
//! | `merged/code.rs` | how a key differs from the one before it |
//! | `merged/tournament.rs` | which stream is next |
//! | `merged/merge.rs` | histories from runs, answers from histories |

mod code;
mod merge;
mod order;
mod pages;
mod piece;
mod tournament;

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, OrderingRequirements};
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PhysicalExpr, PlanProperties,
};
use futures::stream::try_unfold;

use super::FunnelParts;
use merge::Merge;
use pages::Pages;

/// `GROUP BY` with funnel functions over partitions that are each sorted by the group keys and,
/// within a key, by time.
#[derive(Debug, Clone)]
pub(crate) struct MergedFunnelExec {
    input: Arc<dyn ExecutionPlan>,
    parts: FunnelParts,
    /// What each partition of the input is sorted by: the group keys in some order, then time.
    ordering: LexOrdering,
    /// How its files are read without batches; none: they are not.
    pages: Option<Arc<Pages>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MergedFunnelExec {
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        parts: FunnelParts,
        ordering: LexOrdering,
    ) -> Result<Self> {
        let schema = parts.output_schema()?;
        let equivalences = if parts.keys {
            let mapping = ProjectionMapping::try_new(parts.group.iter().cloned(), &input.schema())?;
            let mut merged = input.equivalence_properties().clone();
            merged.clear_per_partition_constants();
            merged.project(&mapping, schema)
        } else {
            EquivalenceProperties::new(schema)
        };
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            pages: Pages::of(&input, &parts).map(Arc::new),
            input,
            parts,
            ordering,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same without the group keys in the output.
    pub(super) fn without_keys(&self) -> Result<Self> {
        let parts = FunnelParts {
            keys: false,
            ..self.parts.clone()
        };
        Self::try_new(Arc::clone(&self.input), parts, self.ordering.clone())
    }

    pub(super) fn parts(&self) -> &FunnelParts {
        &self.parts
    }
}

impl DisplayAs for MergedFunnelExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt("MergedFunnelExec", t, f)?;
        let streams = self.input.output_partitioning().partition_count();
        match t {
            DisplayFormatType::TreeRender => write!(f, "\nstreams={streams}")?,
            _ => write!(f, ", streams={streams}")?,
        }
        match (&self.pages, t) {
            (None, _) => Ok(()),
            (Some(_), DisplayFormatType::TreeRender) => write!(f, "\ninput=pages"),
            (Some(_), _) => write!(f, ", input=pages"),
        }
    }
}

impl ExecutionPlan for MergedFunnelExec {
    fn name(&self) -> &'static str {
        "MergedFunnelExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.ordering.clone()))]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Dealing batches out to more partitions would tear keys apart.
        vec![false]
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
            return Err(plan_datafusion_err!("MergedFunnelExec has one input"));
        };
        let (parts, ordering) = (self.parts.clone(), self.ordering.clone());
        Ok(Arc::new(Self::try_new(input, parts, ordering)?))
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
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let merge = Merge::open(self, &context, metrics)?;
        let batches = try_unfold(merge, |mut merge| async move {
            Ok(merge.next().await?.map(|batch| (batch, merge)))
        });
        let schema = self.schema();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
