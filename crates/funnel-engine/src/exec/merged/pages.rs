//! Sorted Parquet files from their pages: texts stay the numbers of dictionary values that they are in the file.
//!
//! ```text
//! visitor_id  3 3 3 4 4 …   a run ends where the number changes; the text is looked at once for each run
//! event_type  0 2 2 0 1 …   conditions are evaluated once for each value of a row group, then looked up
//! event_time  …             decoded into the column that the kernel reads
//! ```
//!
//! An array of texts has 16 bytes for each row, which would be written, hashed and compared. A file that is not as it has
//! to be is read batch by batch: see [`Needed::places`].
//!
//! | File | What |
//! | --- | --- |
//! | `pages.rs` | which plans and files are read so, and the task that reads a stream |
//! | `pages/group.rs` | the columns of a row group, from pages to pieces |
//! | `pages/column.rs` | one column: pages, levels, the dictionary |
//! | `pages/hybrid.rs`, `pages/delta.rs`, `pages/bits.rs` | the encodings of numbers |

mod bits;
mod column;
mod delta;
mod group;
mod hybrid;

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use datafusion::parquet::basic::{
    ConvertedType, Encoding, LogicalType, PageType, TimeUnit as FileUnit, Type,
};
use datafusion::parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData,
};
use datafusion::parquet::schema::types::ColumnDescriptor;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use tokio::sync::mpsc::Sender;

use super::MergedFunnelExec;
use super::order::Order;
use super::piece::{Batches, Read};
use crate::exec::FunnelParts;
use group::Group;

/// A scan whose files may be read from their pages.
#[derive(Debug)]
pub(super) struct Pages {
    config: FileScanConfig,
    readers: Option<Arc<dyn ParquetFileReaderFactory>>,
    /// So many bytes of a file's end are read at first.
    footer_bytes: Option<usize>,
    /// What is asked of the columns of the files: a condition that several calls share may be one of the scan.
    parts: FunnelParts,
    needed: Needed,
}

/// The columns that a funnel needs.
#[derive(Debug, Clone, Default)]
struct Needed {
    columns: Vec<NeededColumn>,
    /// The group keys, by number among the texts.
    keys: Vec<usize>,
    calls: Vec<OfCall>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NeededColumn {
    name: String,
    data_type: DataType,
}

/// What a call reads.
#[derive(Debug, Clone, Copy)]
struct OfCall {
    /// Its number among the times.
    time: usize,
    /// Its number among the texts.
    steps: usize,
}

/// The number of a column in a file.
#[derive(Debug, Clone, Copy)]
struct Place(usize);

impl NeededColumn {
    fn is_text(&self) -> bool {
        matches!(self.data_type, DataType::Utf8View | DataType::BinaryView)
    }

    /// Does a file hold it as it is expected?
    fn is(&self, column: &ColumnDescriptor) -> bool {
        if column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return false;
        }
        let is_long = column.physical_type() == Type::INT64;
        // Nothing says that the values are more than they are.
        let is_bare =
            column.logical_type_ref().is_none() && column.converted_type() == ConvertedType::NONE;
        match &self.data_type {
            DataType::Utf8View => is_text(column),
            DataType::BinaryView => column.physical_type() == Type::BYTE_ARRAY && is_bare,
            DataType::Timestamp(unit, zone) => {
                // From a zone to none, or the other way, a cast moves times.
                is_long && unit_of(column) == Some((*unit, zone.is_some()))
            }
            DataType::Int64 => is_long && is_bare,
            _ => false,
        }
    }

    /// Can this be read from its pages?
    fn is_laid_out(&self, chunk: &ColumnChunkMetaData) -> bool {
        let of_pages: Vec<Encoding> = match (
            chunk.page_encoding_stats_mask(),
            chunk.page_encoding_stats(),
        ) {
            (Some(mask), _) => mask.encodings().collect(),
            (None, Some(stats)) => {
                let of_values = stats.iter();
                let of_values = of_values.filter(|of| of.page_type != PageType::DICTIONARY_PAGE);
                of_values.map(|of| of.encoding).collect()
            }
            (None, None) => return false,
        };
        let allowed = match self.is_text() {
            true => [Encoding::RLE_DICTIONARY, Encoding::PLAIN_DICTIONARY],
            false => [Encoding::DELTA_BINARY_PACKED, Encoding::PLAIN],
        };
        let are_known = !of_pages.is_empty() || chunk.num_values() == 0;
        are_known && of_pages.iter().all(|encoding| allowed.contains(encoding))
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY
        && (matches!(column.logical_type_ref(), Some(LogicalType::String))
            || column.converted_type() == ConvertedType::UTF8)
}

/// The unit of a column of times, and whether they are of UTC.
fn unit_of(column: &ColumnDescriptor) -> Option<(TimeUnit, bool)> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(time)), _) => {
            let unit = match time.unit {
                FileUnit::MILLIS => TimeUnit::Millisecond,
                FileUnit::MICROS => TimeUnit::Microsecond,
                FileUnit::NANOS => TimeUnit::Nanosecond,
            };
            Some((unit, time.is_adjusted_to_u_t_c))
        }
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some((TimeUnit::Millisecond, true)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some((TimeUnit::Microsecond, true)),
        _ => None,
    }
}

impl Needed {
    /// None if something else than columns of texts and times is needed.
    fn of(parts: &FunnelParts, column: impl Fn(usize) -> Option<NeededColumn>) -> Option<Self> {
        let mut needed = Self::default();
        let (mut texts, mut times) = (Vec::new(), Vec::new());
        for (key, _) in parts.group.iter() {
            let key = column(key.downcast_ref::<Column>()?.index())?;
            needed.keys.push(number(&mut texts, key));
        }
        for call in parts.calls.iter() {
            let columns = call.columns()?;
            let (time, steps) = (column(columns.time)?, column(columns.steps)?);
            if !call.is_in_ticks(&time.data_type) {
                return None;
            }
            needed.calls.push(OfCall {
                time: number(&mut times, time),
                steps: number(&mut texts, steps),
            });
        }
        let are_texts = texts.iter().all(NeededColumn::is_text);
        needed.columns = texts;
        needed.columns.extend(times);
        are_texts.then_some(needed)
    }

    /// Are times without a zone such in the schema that an Arrow writer left in the file, too? There they may have one that the
    /// format does not know of, from which a cast moves them.
    fn have_zones(&self, metadata: &ParquetMetaData) -> bool {
        let has_none =
            |column: &&NeededColumn| matches!(column.data_type, DataType::Timestamp(_, None));
        let mut without = self.columns.iter().filter(has_none).peekable();
        let of_file = metadata.file_metadata();
        let notes = of_file.key_value_metadata();
        let has_schema =
            notes.is_some_and(|notes| notes.iter().any(|note| note.key == ARROW_SCHEMA_META_KEY));
        if without.peek().is_none() || !has_schema {
            return true;
        }
        let schema = parquet_to_arrow_schema(of_file.schema_descr(), notes);
        schema.is_ok_and(|schema| {
            without.all(|column| {
                let of_file = schema.field_with_name(&column.name);
                of_file.is_ok_and(|of_file| *of_file.data_type() == column.data_type)
            })
        })
    }

    /// Where a file has the columns; none if it lacks one, or has one of another type or one that is laid out in a way
    /// that is not read here.
    fn places(
        &self,
        metadata: &ParquetMetaData,
        groups: &[&RowGroupMetaData],
    ) -> Option<Vec<Place>> {
        let of_file = metadata.file_metadata().schema_descr().columns();
        let place = |column: &NeededColumn| {
            let mut found = of_file.iter().enumerate().filter(
                |(_, found)| matches!(found.path().parts(), [name] if *name == column.name),
            );
            let (place, descriptor) = found.next()?;
            let is_laid_out = |group: &&RowGroupMetaData| column.is_laid_out(group.column(place));
            let is_read =
                found.next().is_none() && column.is(descriptor) && groups.iter().all(is_laid_out);
            is_read.then_some(Place(place))
        };
        self.columns.iter().map(place).collect()
    }
}

/// The place of `column` among `columns`, to which it is added if it is new.
fn number(columns: &mut Vec<NeededColumn>, column: NeededColumn) -> usize {
    let found = columns.iter().position(|known| *known == column);
    found.unwrap_or_else(|| {
        columns.push(column);
        columns.len() - 1
    })
}

impl Pages {
    /// None if `input` is no scan without a condition, or the funnel needs more than keys, times and steps as they are read here.
    pub(super) fn of(input: &Arc<dyn ExecutionPlan>, parts: &FunnelParts) -> Option<Self> {
        let source = input.downcast_ref::<DataSourceExec>()?.data_source();
        let config = source.downcast_ref::<FileScanConfig>()?;
        let source = config.file_source();
        let parquet = source.downcast_ref::<ParquetSource>()?;
        let crypto = &parquet.table_parquet_options().crypto;
        let is_plain = config.limit.is_none()
            && config.expr_adapter_factory.is_none()
            && source.filter().is_none()
            && source.table_schema().virtual_columns().is_empty()
            && crypto.file_decryption.is_none()
            && crypto.factory_id.is_none();
        let projection = source.projection().filter(|_| is_plain)?.as_ref();
        let of_files = |expr: &Arc<dyn PhysicalExpr>| {
            let replaced = Arc::clone(expr).transform_up(|expr| Ok(projected(expr, projection)));
            Ok(replaced?.data)
        };
        let parts = parts.over(of_files, of_files).ok()?;
        let fields = source.table_schema().file_schema().fields();
        let column = |index: usize| {
            let field = fields.get(index)?;
            Some(NeededColumn {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
            })
        };
        Some(Self {
            needed: Needed::of(&parts, column)?,
            parts,
            readers: parquet.parquet_file_reader_factory().cloned(),
            footer_bytes: parquet.table_parquet_options().global.metadata_size_hint,
            config: config.clone(),
        })
    }

    /// The stream of a partition.
    pub(super) fn reader(
        self: &Arc<Self>,
        node: &MergedFunnelExec,
        partition: usize,
        order: &Arc<Order>,
        context: &Arc<TaskContext>,
    ) -> Result<Reader> {
        let readers = match &self.readers {
            Some(readers) => Arc::clone(readers),
            None => {
                let url = &self.config.object_store_url;
                let store = context.runtime_env().object_store(url)?;
                Arc::new(DefaultParquetFileReaderFactory::new(store))
            }
        };
        Ok(Reader {
            pages: Arc::clone(self),
            readers,
            partition,
            parts: node.parts.clone(),
            order: Arc::clone(order),
            context: Arc::clone(context),
            metrics: node.metrics.clone(),
        })
    }
}

/// A column of a scan as what it is made of.
fn projected(
    expr: Arc<dyn PhysicalExpr>,
    projection: &[ProjectionExpr],
) -> Transformed<Arc<dyn PhysicalExpr>> {
    let column = expr.downcast_ref::<Column>();
    match column.and_then(|column| projection.get(column.index())) {
        Some(made) => Transformed::yes(Arc::clone(&made.expr)),
        None => Transformed::no(expr),
    }
}

/// Reads the files of a partition, one after the other.
pub(super) struct Reader {
    pages: Arc<Pages>,
    readers: Arc<dyn ParquetFileReaderFactory>,
    partition: usize,
    parts: FunnelParts,
    order: Arc<Order>,
    context: Arc<TaskContext>,
    metrics: ExecutionPlanMetricsSet,
}

impl Reader {
    /// Sends all pieces. Stops where nobody listens.
    pub(super) async fn send(self, to: &Sender<Read>) -> Result<()> {
        let mut before = None;
        let groups = &self.pages.config.file_groups;
        let files = groups.get(self.partition).map(FileGroup::files);
        for file in files.unwrap_or_default() {
            let sent = self.file(file, &mut before, to).await;
            sent.map_err(|error| error.context(format!("reading {}", file.path())))?;
            if to.is_closed() {
                break;
            }
        }
        Ok(())
    }

    async fn file(
        &self,
        file: &PartitionedFile,
        before: &mut Option<Vec<u8>>,
        to: &Sender<Read>,
    ) -> Result<()> {
        let mut reader = self.open(file)?;
        let footer = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
        let metadata = reader.get_metadata(Some(&footer)).await?;
        let groups: Vec<&RowGroupMetaData> = metadata
            .row_groups()
            .iter()
            .filter(|group| group.num_rows() > 0 && is_within(group, file))
            .collect();
        let needed = &self.pages.needed;
        // Which rows are to be read may be said beside the file, for DataFusion's reader.
        let is_whole = file.extensions.is_empty() && needed.have_zones(&metadata);
        let places = needed.places(&metadata, &groups).filter(|_| is_whole);
        let Some(places) = places else {
            self.count("files_by_batches");
            return self.batches(file)?.send(before, to).await;
        };
        self.count("files_by_pages");
        for group in groups {
            let ranges = places.iter().map(|place| {
                let (begin, length) = group.column(place.0).byte_range();
                begin..begin + length
            });
            let chunks = reader.get_byte_ranges(ranges.collect()).await?;
            let mut group = Group::new(needed, &self.pages.parts, group, &places, chunks)?;
            while let Some(piece) = group.next(&self.pages.parts, &self.order, before)? {
                if to.send(Ok(Some(piece))).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// EXPLAIN ANALYZE shows how many files were read in which way.
    fn count(&self, metric: &'static str) {
        let metric = MetricBuilder::new(&self.metrics).counter(metric, self.partition);
        metric.add(1);
    }

    fn open(&self, file: &PartitionedFile) -> Result<Box<dyn AsyncFileReader + Send>> {
        let hint = file.metadata_size_hint.or(self.pages.footer_bytes);
        self.readers
            .create_reader(self.partition, file.clone(), hint, &self.metrics)
    }

    /// One file, read as DataFusion reads it.
    fn batches(&self, file: &PartitionedFile) -> Result<Batches> {
        let config = FileScanConfigBuilder::from(self.pages.config.clone())
            .with_file_groups(vec![FileGroup::new(vec![file.clone()])])
            .build();
        let scan = DataSourceExec::from_data_source(config);
        Ok(Batches {
            input: scan.execute(0, Arc::clone(&self.context))?,
            parts: self.parts.clone(),
            order: Arc::clone(&self.order),
        })
    }
}

/// Does a row group belong to the part of the file that is read? It does where it begins.
fn is_within(group: &RowGroupMetaData, file: &PartitionedFile) -> bool {
    let Some(range) = &file.range else {
        return true;
    };
    let first = group.columns().first();
    let begin = first.map(|chunk| {
        let dictionary = chunk.dictionary_page_offset();
        dictionary.unwrap_or_else(|| chunk.data_page_offset())
    });
    begin.is_some_and(|begin| (range.start..range.end).contains(&begin))
}
