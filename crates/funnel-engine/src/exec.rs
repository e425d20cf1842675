//! The operator that streams sorted input: no hash table, and of each key only the rows of the run
//! that is being read.
//!
//! | File | What |
//! | --- | --- |
//! | `exec.rs` | the node: properties, what it asks of its input, how EXPLAIN shows it |
//! | `exec/hashed.rs` | another node: input in any order |
//! | `exec/merged.rs` | another node: many sorted streams whose keys overlap |
//! | `exec/in_order.rs` | another node: all partitions of a scan, one after the other |
//! | `exec/stream.rs` | batches in, batches out; keys that straddle two partitions |
//! | `exec/keys.rs` | where keys change |
//! | `exec/runs.rs` | arrays in, arrays out: the runs that have ended, and the one that is open |

mod hashed;
mod in_order;
mod keys;
mod merged;
mod runs;
mod stream;

pub(crate) use hashed::HashedFunnelExec;
pub(crate) use in_order::InOrderExec;
pub(crate) use keys::as_view;
pub(crate) use merged::MergedFunnelExec;

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionMapping;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements,
};
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
    parts: FunnelParts,
    /// What the input is sorted by: the group keys in some order, then time.
    ordering: LexOrdering,
    /// The partitions of the input are consecutive ranges of one sorted sequence.
    ranges: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What is asked of the input, whatever its order.
#[derive(Debug, Clone)]
pub(crate) struct FunnelParts {
    pub(crate) group: Arc<[(Arc<dyn PhysicalExpr>, String)]>,
    pub(crate) calls: Arc<[StreamCall]>,
    /// Group keys, then one column for each call. A text that is a key may be read as another type of text.
    pub(crate) schema: SchemaRef,
    /// Are the group keys part of the output? The calls are.
    pub(crate) keys: bool,
}

impl FunnelParts {
    /// The same parts over another input: keys changed by `key`, everything else by `expr`.
    pub(crate) fn over(
        &self,
        key: impl Fn(&Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>>,
        expr: impl Fn(&Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let group = self.group.iter();
        let group = group.map(|(by, name)| Ok((key(by)?, name.clone())));
        let calls = self.calls.iter().map(|call| call.over(&expr));
        Ok(Self {
            group: group.collect::<Result<_>>()?,
            calls: calls.collect::<Result<_>>()?,
            schema: Arc::clone(&self.schema),
            keys: self.keys,
        })
    }

    fn output_schema(&self) -> Result<SchemaRef> {
        if self.keys {
            return Ok(Arc::clone(&self.schema));
        }
        let calls: Vec<usize> = (self.group.len()..self.schema.fields().len()).collect();
        Ok(Arc::new(self.schema.project(&calls)?))
    }

    /// How many columns of the output are group keys.
    pub(crate) fn key_columns(&self) -> usize {
        if self.keys { self.group.len() } else { 0 }
    }

    fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        let keys = self.group.iter().map(|(expr, _)| expr);
        keys.chain(self.calls.iter().flat_map(StreamCall::expressions))
    }

    fn fmt(&self, node: &str, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.group.iter().map(|(expr, _)| expr.to_string());
        let keys = keys.collect::<Vec<_>>().join(", ");
        let calls = self.calls.iter().map(|call| call.name.as_str());
        let calls = calls.collect::<Vec<_>>().join(", ");
        match t {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "{node}: gby=[{keys}], aggr=[{calls}]")
            }
            DisplayFormatType::TreeRender => write!(f, "gby={keys}\naggr={calls}"),
        }
    }
}

/// A funnel operator that need not make the group keys, and how many columns those are; none if
/// `plan` is no funnel operator.
pub(crate) fn without_keys(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<(Arc<dyn ExecutionPlan>, usize)>> {
    Ok(
        if let Some(node) = plan.downcast_ref::<SortedFunnelExec>() {
            Some((Arc::new(node.without_keys()?), node.parts.key_columns()))
        } else if let Some(node) = plan.downcast_ref::<MergedFunnelExec>() {
            Some((Arc::new(node.without_keys()?), node.parts().key_columns()))
        } else if let Some(node) = plan.downcast_ref::<HashedFunnelExec>() {
            Some((Arc::new(node.without_keys()?), node.parts().key_columns()))
        } else {
            None
        },
    )
}

impl SortedFunnelExec {
    /// `ranges`: the partitions of the input are consecutive ranges of one sorted sequence.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        parts: FunnelParts,
        ordering: LexOrdering,
        ranges: bool,
    ) -> Result<Self> {
        let schema = parts.output_schema()?;
        let equivalences = if parts.keys {
            let mapping = ProjectionMapping::try_new(parts.group.iter().cloned(), &input.schema())?;
            input.equivalence_properties().project(&mapping, schema)
        } else {
            EquivalenceProperties::new(schema)
        };
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            input,
            parts,
            ordering,
            ranges,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same without the group keys in the output.
    fn without_keys(&self) -> Result<Self> {
        let parts = FunnelParts {
            keys: false,
            ..self.parts.clone()
        };
        let input = Arc::clone(&self.input);
        Self::try_new(input, parts, self.ordering.clone(), self.ranges)
    }
}

impl DisplayAs for SortedFunnelExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt("SortedFunnelExec", t, f)?;
        if self.ranges && t != DisplayFormatType::TreeRender {
            write!(f, ", input=consecutive ranges")?;
        }
        Ok(())
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
        apply_expression_roots(self.parts.expressions(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([input]) = <[_; 1]>::try_from(children) else {
            return Err(plan_datafusion_err!("SortedFunnelExec has one input"));
        };
        let (parts, ordering) = (self.parts.clone(), self.ordering.clone());
        Ok(Arc::new(Self::try_new(
            input,
            parts,
            ordering,
            self.ranges,
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
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        stream::open(self, partition, &context, metrics)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
