//! Reads the texts below a funnel as views.
//!
//! A column of type `Utf8` is decoded by copying each of its values; views say where the value lies, and equal values
//! of a row group have equal views, by which changes of key and the values of steps are found. Who made the table chose
//! the type, and answers keep it: only what the operators themselves read is changed.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{Partitioning, PhysicalExprSimplifier};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, replace_children_if_necessary};

use crate::exec::{FunnelParts, as_view};

/// A plan of the same rows.
struct Viewed {
    plan: Arc<dyn ExecutionPlan>,
    columns: Columns,
}

/// The columns of a plan, some of which have become views.
struct Columns {
    schema: SchemaRef,
    /// The types that they had.
    types: Vec<Option<DataType>>,
}

/// The input of a funnel, and its parts over it, with texts as views where that can be.
pub(super) fn below(
    input: Arc<dyn ExecutionPlan>,
    parts: FunnelParts,
) -> Result<(Arc<dyn ExecutionPlan>, FunnelParts)> {
    Ok(match viewed(&input)? {
        Some(Viewed { plan, columns }) => {
            let parts = parts.over(|key| columns.key(key), |expr| columns.expr(expr))?;
            (plan, parts)
        }
        None => (input, parts),
    })
}

/// `plan` with its texts as views; none if it reads no Parquet files row by row, or has no texts.
fn viewed(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Viewed>> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        return match source.data_source().downcast_ref::<FileScanConfig>() {
            Some(config) => scan(config),
            None => Ok(None),
        };
    }
    let children = plan.children();
    let [child] = children.as_slice() else {
        return Ok(None);
    };
    if plan.fetch().is_some() {
        return Ok(None);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return Ok(match viewed(child)? {
            Some(below) => Some(filtered(filter, below)?),
            None => None,
        });
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return Ok(match viewed(child)? {
            Some(below) => Some(projected(projection.expr(), &below)?),
            None => None,
        });
    }
    if passes_on(plan)
        && let Some(Viewed {
            plan: child,
            columns,
        }) = viewed(child)?
    {
        let plan = replace_children_if_necessary(Arc::clone(plan), vec![child])?;
        return Ok(Some(Viewed { plan, columns }));
    }
    Ok(None)
}

/// Does `plan` give the rows that it reads, without a look at them?
fn passes_on(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        return matches!(exchange.partitioning(), Partitioning::RoundRobinBatch(_));
    }
    plan.is::<CooperativeExec>() || plan.is::<CoalescePartitionsExec>()
}

impl Columns {
    /// `expr` over the changed columns, of the type that it had.
    fn expr(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let with_cast = |expr: Arc<dyn PhysicalExpr>| {
            let before = expr.downcast_ref::<Column>();
            let before = before.and_then(|column| self.types.get(column.index())?.clone());
            Ok(match before {
                Some(before) => Transformed::yes(Arc::new(CastExpr::new(expr, before, None)) as _),
                None => Transformed::no(expr),
            })
        };
        let cast = Arc::clone(expr).transform_up(with_cast)?;
        if !cast.transformed {
            return Ok(cast.data);
        }
        // Compares a column as it is with a constant that is cast.
        PhysicalExprSimplifier::new(&self.schema).simplify(cast.data)
    }

    /// Like [`Self::expr`], but for a column alone, which may have the type that it has now.
    fn key(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        match expr.is::<Column>() {
            true => Ok(Arc::clone(expr)),
            false => self.expr(expr),
        }
    }

    /// `statistics` with the bounds of the changed columns in their type: a group of files is in order
    /// only where those of one file can be compared with those of the next as values of the column.
    fn statistics(&self, mut statistics: Statistics) -> Result<Statistics> {
        let fields = self.schema.fields().iter().zip(&self.types);
        let bounds = statistics.column_statistics.iter_mut();
        for (bounds, (field, before)) in bounds.zip(fields) {
            if before.is_some() {
                bounds.min_value = bounds.min_value.cast_to(field.data_type())?;
                bounds.max_value = bounds.max_value.cast_to(field.data_type())?;
            }
        }
        Ok(statistics)
    }

    fn file(&self, file: &PartitionedFile) -> Result<PartitionedFile> {
        let mut file = file.clone();
        if let Some(statistics) = file.statistics.take() {
            let statistics = self.statistics(Arc::unwrap_or_clone(statistics))?;
            file.statistics = Some(Arc::new(statistics));
        }
        Ok(file)
    }

    /// The columns that `exprs` are made from these.
    fn projected<'a>(
        &self,
        exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
    ) -> Vec<Option<DataType>> {
        exprs
            .map(|expr| {
                let column = expr.downcast_ref::<Column>()?;
                self.types.get(column.index())?.clone()
            })
            .collect()
    }
}

fn filtered(filter: &FilterExec, below: Viewed) -> Result<Viewed> {
    let plan = FilterExecBuilder::from(filter)
        .with_predicate(below.columns.expr(filter.predicate())?)
        .with_input(below.plan)
        .build()?;
    let types = match filter.projection() {
        Some(kept) => {
            let kept = kept.iter();
            kept.map(|column| below.columns.types.get(*column).cloned().flatten())
                .collect()
        }
        None => below.columns.types,
    };
    let plan: Arc<dyn ExecutionPlan> = Arc::new(plan);
    let columns = Columns {
        schema: plan.schema(),
        types,
    };
    Ok(Viewed { plan, columns })
}

fn projected(exprs: &[ProjectionExpr], below: &Viewed) -> Result<Viewed> {
    let types = below
        .columns
        .projected(exprs.iter().map(|projected| &projected.expr));
    let exprs = over(exprs.iter(), &below.columns)?;
    let plan = ProjectionExec::try_new(exprs, Arc::clone(&below.plan))?;
    let plan: Arc<dyn ExecutionPlan> = Arc::new(plan);
    let columns = Columns {
        schema: plan.schema(),
        types,
    };
    Ok(Viewed { plan, columns })
}

/// The same projection, in which columns that stand alone have the type that they have now.
fn over<'a>(
    exprs: impl Iterator<Item = &'a ProjectionExpr>,
    columns: &Columns,
) -> Result<Vec<ProjectionExpr>> {
    exprs
        .map(|projected| {
            let expr = columns.key(&projected.expr)?;
            Ok(ProjectionExpr::new(expr, projected.alias.clone()))
        })
        .collect()
}

/// The same scan of the same files.
fn scan(config: &FileScanConfig) -> Result<Option<Viewed>> {
    let source = config.file_source();
    let Some(parquet) = source.downcast_ref::<ParquetSource>() else {
        return Ok(None);
    };
    let table = source.table_schema();
    let options = parquet.table_parquet_options();
    let Some(projection) = source.projection() else {
        return Ok(None);
    };
    // What a copy of the source would not have: columns that the reader makes, keys that it asks for.
    if !table.virtual_columns().is_empty() || options.crypto.factory_id.is_some() {
        return Ok(None);
    }
    let Some((table, columns)) = table_of_views(table, projection) else {
        return Ok(None);
    };
    let mut copy = ParquetSource::new(table).with_table_parquet_options(options.clone());
    if let Some(bytes) = options.global.metadata_size_hint {
        copy = copy.with_metadata_size_hint(bytes);
    }
    if let Some(readers) = parquet.parquet_file_reader_factory() {
        copy = copy.with_parquet_file_reader_factory(Arc::clone(readers));
    }
    if let Some(predicate) = source.filter() {
        copy = copy.with_predicate(columns.expr(&predicate)?);
    }
    let exprs = ProjectionExprs::new(over(projection.iter(), &columns)?);
    let Some(copy) = copy.try_pushdown_projection(&exprs)? else {
        return Ok(None);
    };
    let mut groups = config.file_groups.clone();
    for group in &mut groups {
        let files = group.files().iter();
        *group = files
            .map(|file| columns.file(file))
            .collect::<Result<FileGroup>>()?;
    }
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(copy)
        .with_file_groups(groups)
        .with_statistics(columns.statistics(config.statistics())?)
        .build();
    let plan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
    let columns = Columns {
        schema: plan.schema(),
        types: columns.projected(projection.iter().map(|projected| &projected.expr)),
    };
    Ok(Some(Viewed { plan, columns }))
}

/// The table with those texts of its files as views that `projection` gives as they are; none if
/// there are none.
fn table_of_views(
    table: &TableSchema,
    projection: &ProjectionExprs,
) -> Option<(TableSchema, Columns)> {
    let mut types = vec![None; table.table_schema().fields().len()];
    let mut fields: Vec<FieldRef> = table.file_schema().fields().to_vec();
    let given = projection.iter();
    let given = given.filter_map(|projected| projected.expr.downcast_ref::<Column>());
    for column in given {
        let Some(field) = fields.get_mut(column.index()) else {
            continue;
        };
        let view = as_view(field.data_type());
        if view != *field.data_type() {
            types[column.index()] = Some(field.data_type().clone());
            *field = Arc::new(Field::clone(field).with_data_type(view));
        }
    }
    if types.iter().all(Option::is_none) {
        return None;
    }
    let files = Schema::new_with_metadata(fields, table.file_schema().metadata().clone());
    let table = TableSchema::builder(Arc::new(files))
        .with_table_partition_cols(table.table_partition_cols().clone())
        .build();
    let columns = Columns {
        schema: Arc::clone(table.table_schema()),
        types,
    };
    Some((table, columns))
}
