//! The operator that streams sorted input: no hash table, and of each key only the rows of the run
//! that is being read.
//!
//! | File | What |
//! | --- | --- |
//! | `exec.rs` | the node: properties, what it asks of its input, how EXPLAIN shows it |
//! | `exec/in_order.rs` | another node: all partitions of a scan, one after the other |
//! | `exec/stream.rs` | batches in, batches out; keys that straddle two partitions |
//! | `exec/runs.rs` | arrays in, arrays out: where keys change, and the rows of each call |

mod in_order;
mod runs;
mod stream;

pub(crate) use in_order::InOrderExec;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::{Distribution, LexOrdering, OrderingRequirements};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PhysicalExpr, PlanProperties,
};

use crate::udaf::StreamCall;

/// `GROUP BY` with funnel functions over input that is sorted by the group keys and, within a key,
/// by time.
///
/// With one input partition this is all. With several, each one continues where the one before it
/// ended (`ranges`): row groups of one file, or files that do not overlap. A key whose rows
/// straddle such a border belongs to the partition in which it begins; that partition reads the
/// next one up to the first change of key, and every partition but the first leaves out the rows
/// before its first change of key. So each partition can be run on its own, in any order.
#[derive(Debug, Clone)]
pub(crate) struct SortedFunnelExec {
    input: Arc<dyn ExecutionPlan>,
    group: Arc<[(Arc<dyn PhysicalExpr>, String)]>,
    calls: Arc<[StreamCall]>,
    /// What the input is sorted by: the group keys in some order, then time.
    ordering: LexOrdering,
    ranges: bool,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What a [`SortedFunnelExec`] is made of, besides its input.
#[derive(Debug, Clone)]
pub(crate) struct SortedFunnel {
    pub(crate) group: Arc<[(Arc<dyn PhysicalExpr>, String)]>,
    pub(crate) calls: Arc<[StreamCall]>,
    pub(crate) ordering: LexOrdering,
    /// The partitions of the input are consecutive ranges of one sorted sequence.
    pub(crate) ranges: bool,
    /// Group keys, then one column for each call.
    pub(crate) schema: SchemaRef,
}

impl SortedFunnelExec {
    pub(crate) fn try_new(input: Arc<dyn ExecutionPlan>, parts: SortedFunnel) -> Result<Self> {
        let mapping = ProjectionMapping::try_new(parts.group.iter().cloned(), &input.schema())?;
        let equivalences = input
            .equivalence_properties()
            .project(&mapping, Arc::clone(&parts.schema));
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            input,
            group: parts.group,
            calls: parts.calls,
            ordering: parts.ordering,
            ranges: parts.ranges,
            schema: parts.schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn parts(&self) -> SortedFunnel {
        SortedFunnel {
            group: Arc::clone(&self.group),
            calls: Arc::clone(&self.calls),
            ordering: self.ordering.clone(),
            ranges: self.ranges,
            schema: Arc::clone(&self.schema),
        }
    }
}

impl DisplayAs for SortedFunnelExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.group.iter().map(|(expr, _)| expr.to_string());
        let keys = keys.collect::<Vec<_>>().join(", ");
        let calls = self.calls.iter().map(|call| call.name.as_str());
        let calls = calls.collect::<Vec<_>>().join(", ");
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "SortedFunnelExec: gby=[{keys}], aggr=[{calls}]")?;
                if self.ranges {
                    write!(f, ", input=consecutive ranges")?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => write!(f, "gby={keys}\naggr={calls}"),
        }
    }
}

impl ExecutionPlan for SortedFunnelExec {
    fn name(&self) -> &'static str {
        "SortedFunnelExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![if self.ranges {
            Distribution::UnspecifiedDistribution
        } else {
            Distribution::SinglePartition
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.ordering.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        let keys = self.group.iter().map(|(expr, _)| expr);
        let arguments = self.calls.iter().flat_map(StreamCall::expressions);
        apply_expression_roots(keys.chain(arguments), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return Err(plan_datafusion_err!("SortedFunnelExec has one input"));
        };
        Ok(Arc::new(Self::try_new(input, self.parts())?))
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
        stream::open(self, partition, &context, metrics)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
