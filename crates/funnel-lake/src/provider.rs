//! DataFusion's view of a Delta table: exactly the files of one version.
//!
//! Files that cannot hold a wanted row are left out by their partition values and statistics
//! while planning; inside the files DataFusion skips by row group and page. Where every file that
//! is left is a sorted one, the scan declares the order of account, visitor and time.

mod bounds;
mod order;
#[cfg(target_os = "linux")]
mod resident;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::{DFSchema, DataFusionError, Result as DfResult, ScalarValue};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::datasource::{MemTable, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake::DeltaTable;
use object_store::{ObjectMeta, ObjectStore};

use self::bounds::{FileBounds, Files};
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::ledger::to_batch;
use crate::log::delta_failed;
use crate::storage::{Location, StorageOptions};
use crate::table::{DeltaLog, FileEntry, Snapshot};

/// One version of a Delta table for DataFusion. A newer version is a new provider.
#[derive(Debug)]
pub struct DeltaTableProvider {
    location: Location,
    version: i64,
    /// Columns inside the files, then the partition columns.
    schema: SchemaRef,
    file_schema: SchemaRef,
    partition_fields: Vec<FieldRef>,
    files: Vec<ScanFile>,
}

#[derive(Debug, Clone)]
struct ScanFile {
    meta: ObjectMeta,
    partition_values: Vec<ScalarValue>,
    bounds: FileBounds,
    /// In the order of account, visitor and time.
    sorted: bool,
}

/// The newest version of the Delta table at a local path or `file://` URL.
pub async fn table_provider(place: &str) -> Result<Arc<dyn TableProvider>> {
    open_table(place, &StorageOptions::default()).await
}

/// The newest version of the Delta table at a local path, a `file://` or an `s3://` URL.
pub async fn open_table(place: &str, options: &StorageOptions) -> Result<Arc<dyn TableProvider>> {
    provider_at(Location::parse(place, options)?).await
}

async fn provider_at(location: Location) -> Result<Arc<dyn TableProvider>> {
    let mut table = DeltaTable::new(location.log_store()?);
    table
        .load()
        .await
        .map_err(|e| delta_failed(&location, "open", e))?;
    let eager = table
        .snapshot()
        .map_err(|e| delta_failed(&location, "open", e))?
        .snapshot();
    let snapshot = Snapshot::new(location.clone(), eager, Arc::default())?;
    Ok(Arc::new(DeltaTableProvider::new(&snapshot)?))
}

impl Lake {
    /// The newest version of `events`.
    pub async fn events_provider(&self) -> Result<Arc<dyn TableProvider>> {
        self.events().provider().await
    }

    /// The newest version of the table in the folder `name`.
    pub async fn table_provider(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        provider_at(self.location().child(name)?).await
    }

    /// The newest version of `rejects`.
    pub async fn rejects_provider(&self) -> Result<Arc<dyn TableProvider>> {
        self.rejects().provider().await
    }

    /// `events` with the entries of its ledger, folded or still in its commits, and `rejects`: what
    /// the ledger claims is in the other two, whoever commits meanwhile.
    pub async fn providers(&self) -> Result<LakeProviders> {
        let events = self.events().load().await?;
        let folded = self.ledger().load().await?;
        let entries = self.ledger_entries_until(&folded, events.version()).await?;
        let ledger = to_batch(&entries, self.ledger())?;
        let ledger = MemTable::try_new(ledger.schema(), vec![vec![ledger]]).map_err(|e| {
            LakeError::corrupt("the entries of the ledger make no table").with_source(e)
        })?;
        Ok(LakeProviders {
            events: Arc::new(DeltaTableProvider::new(&events)?),
            // Rejects are committed before the events that claim them.
            rejects: self.rejects_provider().await?,
            ledger: Arc::new(ledger),
        })
    }
}

/// The tables of a lake that account for each other.
#[derive(Debug)]
pub struct LakeProviders {
    /// What was accepted.
    pub events: Arc<dyn TableProvider>,
    /// What was refused.
    pub rejects: Arc<dyn TableProvider>,
    /// What became of every offset.
    pub ledger: Arc<dyn TableProvider>,
}

impl DeltaLog {
    /// The newest version of this table.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>> {
        let snapshot = self.load().await?;
        Ok(Arc::new(DeltaTableProvider::new(&snapshot)?))
    }
}

impl DeltaTableProvider {
    /// The table as of `snapshot`.
    pub fn new(snapshot: &Snapshot) -> Result<Self> {
        let is_partition = |f: &&FieldRef| snapshot.partition_columns().contains(f.name());
        let fields = snapshot.schema().fields();
        let partition_fields: Vec<FieldRef> = snapshot
            .partition_columns()
            .iter()
            .filter_map(|name| fields.iter().find(|f| f.name() == name).cloned())
            .collect();
        let in_files: Vec<FieldRef> = fields
            .iter()
            .filter(|f| !is_partition(f))
            .cloned()
            .collect();
        let all: Vec<FieldRef> = in_files.iter().chain(&partition_fields).cloned().collect();
        let file_schema = Arc::new(Schema::new(in_files));
        let files = snapshot
            .files()
            .iter()
            .map(|file| ScanFile::new(file, snapshot.location(), &file_schema, &partition_fields))
            .collect::<Result<_>>()?;
        Ok(Self {
            location: snapshot.location().clone(),
            version: snapshot.version(),
            schema: Arc::new(Schema::new(all)),
            file_schema,
            partition_fields,
            files,
        })
    }

    /// The version that is read.
    pub fn version(&self) -> i64 {
        self.version
    }

    fn only_partition_columns(&self, filter: &Expr) -> bool {
        let of_partition = |name: &str| self.partition_fields.iter().any(|f| f.name() == name);
        !filter.is_volatile()
            && !filter.column_refs().is_empty()
            && filter.column_refs().iter().all(|c| of_partition(c.name()))
            && !contains_subquery(filter)
    }

    fn physical(
        &self,
        state: &dyn Session,
        filters: Vec<Expr>,
    ) -> DfResult<Option<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        conjunction(filters)
            .map(|filter| state.create_physical_expr(filter, &schema))
            .transpose()
    }

    /// The files that may hold a wanted row: exact for conditions on partition columns.
    fn wanted(&self, state: &dyn Session, filters: &[Expr]) -> DfResult<Vec<&ScanFile>> {
        let (exact, others): (Vec<Expr>, Vec<Expr>) = filters
            .iter()
            .cloned()
            .partition(|filter| self.only_partition_columns(filter));
        let mut files: Vec<&ScanFile> = self.files.iter().collect();
        if !exact.is_empty() {
            let schema = Arc::new(Schema::new(self.partition_fields.clone()));
            let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
            for filter in exact {
                let filter = state.create_physical_expr(filter, &df_schema)?;
                let kept = evaluate(filter.as_ref(), &schema, &files)?;
                let mut kept = kept.iter();
                files.retain(|_| kept.next().flatten() == Some(true));
            }
        }
        if let Some(filter) = self.physical(state, others)? {
            let predicate = PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(&self.schema))
                .try_build(filter);
            // A condition that says nothing about ranges skips nothing.
            if let Ok(predicate) = predicate {
                let kept = predicate.prune(&Files {
                    files: &files,
                    schema: &self.schema,
                })?;
                let mut kept = kept.into_iter();
                files.retain(|_| kept.next().unwrap_or(true));
            }
        }
        Ok(files)
    }
}

#[async_trait]
impl TableProvider for DeltaTableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if self.only_partition_columns(filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Inexact
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut files = self.wanted(state, filters)?;
        if let Some(limit) = limit {
            keep_rows(&mut files, limit);
        }
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema.project(columns)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let table_schema = TableSchema::builder(Arc::clone(&self.file_schema))
            .with_table_partition_cols(self.partition_fields.clone())
            .build();
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let url = self.store_url(state)?;
        let runtime = state.runtime_env();
        // Files do not change: a footer is parsed once for all queries.
        let readers = match self.location.remote() {
            Some(remote) => CachedParquetFileReaderFactory::new(
                Arc::clone(self.location.root_store()),
                Arc::clone(remote.footers()),
            ),
            None => CachedParquetFileReaderFactory::new(
                local(runtime.object_store(&url)?),
                runtime.cache_manager.get_file_metadata_cache(),
            ),
        };
        let mut source = ParquetSource::new(table_schema)
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let inside: Vec<Expr> = filters
            .iter()
            .filter(|filter| !self.only_partition_columns(filter) && !filter.is_volatile())
            .cloned()
            .collect();
        if let Some(predicate) = self.physical(state, inside)? {
            source = source.with_predicate(predicate);
        }
        let partitions = state.config().target_partitions().max(1);
        let ordered = order::ordered(&files, &self.schema, partitions)?;
        let wanted = self.columns_of(projection, filters);
        let partitioned = |file: &&ScanFile| file.to_partitioned(&self.file_schema, &wanted);
        let (groups, ordering): (Vec<FileGroup>, _) = match ordered {
            Some((groups, order)) => {
                let group = |files: Vec<&ScanFile>| files.iter().map(partitioned).collect();
                (groups.into_iter().map(group).collect(), vec![order])
            }
            None => {
                let all: FileGroup = files.iter().map(partitioned).collect();
                (all.split_files(partitions), Vec::new())
            }
        };
        let statistics = bounds::merge(groups.iter().flat_map(FileGroup::iter), &self.schema)?;
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_output_ordering(ordering)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// The store through which local files are read.
#[cfg(target_os = "linux")]
fn local(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    Arc::new(resident::Resident(store))
}

#[cfg(not(target_os = "linux"))]
fn local(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    store
}

impl DeltaTableProvider {
    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.meta.size).sum()
    }

    /// The columns that a scan gives or looks at.
    fn columns_of(&self, projection: Option<&Vec<usize>>, filters: &[Expr]) -> HashSet<usize> {
        let given = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let looked_at = filters.iter().flat_map(Expr::column_refs);
        let looked_at = looked_at.filter_map(|column| self.schema.index_of(column.name()).ok());
        given.into_iter().chain(looked_at).collect()
    }

    /// The store under which DataFusion finds the files.
    fn store_url(&self, state: &dyn Session) -> DfResult<ObjectStoreUrl> {
        if self.location.local().is_some() {
            return Ok(ObjectStoreUrl::local_filesystem());
        }
        let url = ObjectStoreUrl::parse(&self.location.url()[..url::Position::BeforePath])?;
        let store = Arc::clone(self.location.root_store());
        state
            .runtime_env()
            .register_object_store(url.as_ref(), store);
        Ok(url)
    }
}

impl ScanFile {
    fn new(
        file: &FileEntry,
        location: &Location,
        file_schema: &Schema,
        partition_fields: &[FieldRef],
    ) -> Result<Self> {
        let values = partition_fields
            .iter()
            .map(|field| {
                let text = file.partition_values.get(field.name()).cloned().flatten();
                // An empty text is Delta's way to write null.
                match text.filter(|text| !text.is_empty()) {
                    Some(text) => ScalarValue::try_from_string(text, field.data_type()),
                    None => ScalarValue::try_from(field.data_type()),
                }
            })
            .collect::<DfResult<Vec<_>>>()
            .map_err(|e| {
                LakeError::corrupt(format!(
                    "the partition of file `{}` cannot be read",
                    file.path
                ))
                .with_source(e)
            })?;
        Ok(Self {
            meta: ObjectMeta {
                location: location.full_path(&file.path)?,
                last_modified: DateTime::from_timestamp_millis(file.modification_time)
                    .unwrap_or_default(),
                size: u64::try_from(file.size).unwrap_or_default(),
                e_tag: None,
                version: None,
            },
            partition_values: values,
            bounds: FileBounds::parse(file, file_schema),
            sorted: file.sorted,
        })
    }

    /// With what is known of the `wanted` columns, which are few of many.
    fn to_partitioned(&self, file_schema: &Schema, wanted: &HashSet<usize>) -> PartitionedFile {
        let mut file = PartitionedFile::new_from_meta(self.meta.clone())
            .with_partition_values(self.partition_values.clone());
        let statistics =
            self.bounds
                .statistics(file_schema, &self.partition_values, self.sorted, wanted);
        file.statistics = Some(Arc::new(statistics));
        file
    }
}

/// Cuts the list once its files certainly hold `limit` rows.
fn keep_rows(files: &mut Vec<&ScanFile>, limit: usize) {
    let mut rows = 0_usize;
    files.retain(|file| {
        let wanted = rows < limit;
        rows = rows.saturating_add(file.bounds.rows().unwrap_or(0));
        wanted
    });
}

fn evaluate(
    filter: &dyn PhysicalExpr,
    schema: &SchemaRef,
    files: &[&ScanFile],
) -> DfResult<BooleanArray> {
    let columns = (0..schema.fields().len())
        .map(|at| {
            let values = files
                .iter()
                .filter_map(|f| f.partition_values.get(at).cloned());
            if files.is_empty() {
                return Ok(arrow::array::new_empty_array(schema.field(at).data_type()));
            }
            ScalarValue::iter_to_array(values)
        })
        .collect::<DfResult<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect();
    let batch =
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
    let kept = filter.evaluate(&batch)?.into_array(files.len())?;
    as_boolean_array(&kept).cloned()
}

fn contains_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    filter
        .exists(|expr| {
            Ok::<_, DataFusionError>(matches!(
                expr,
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)
            ))
        })
        .unwrap_or(true)
}

#[cfg(test)]
mod tests;
