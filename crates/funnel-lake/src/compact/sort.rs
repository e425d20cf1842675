//! Sorting one day: read, sort within a memory limit, write, read back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::SchemaRef;
use chrono::{NaiveDate, Utc};
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::SessionConfig;
use funnel_events::EVENT_DATE;
use futures::StreamExt;

use super::cuts::Cuts;
use super::totals::Totals;
use super::{CompactOptions, file_schema};
use crate::error::{LakeError, Result};
use crate::order::SORT_KEY;
use crate::rows;
use crate::storage::blocking;
use crate::table::{DeltaLog, FileEntry, Snapshot};
use crate::writer::{DataFile, FileWriter, Layout, discard_files};

/// Rows that pass from step to step at once; rows of `events` are wide.
const BATCH_ROWS: usize = 4096;
/// The part of the memory that is set aside for merging what was spilled.
const MERGE_SHARE: usize = 8;

/// What is to be sorted, and under which name.
pub(super) struct Day<'a> {
    pub(super) date: NaiveDate,
    pub(super) files: &'a [FileEntry],
    pub(super) batch_id: &'a str,
}

/// Writes the rows of `day` in order. The new files are durable, hold exactly the old rows, and
/// no commit names them yet.
pub(super) async fn sort(
    table: &DeltaLog,
    snapshot: &Snapshot,
    day: &Day<'_>,
    options: &CompactOptions,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Vec<DataFile>> {
    let schema = file_schema(snapshot);
    let (at, files) = (snapshot.clone(), day.files.to_vec());
    let accounts = blocking(move || rows_by_account(&at, &files)).await?;
    let totals = Arc::new(Mutex::new(Totals::default()));
    let source = Source {
        schema: Arc::clone(&schema),
        snapshot: snapshot.clone(),
        files: day.files.to_vec(),
        totals: Arc::clone(&totals),
    };
    let mut sorted = sorted_stream(source, options)?;
    let rows_per_file = rows_per_file(day.files, &accounts, options.file_bytes);
    let mut output = Output {
        table: table.clone(),
        schema: Arc::clone(&schema),
        cuts: Cuts::new(rows_per_file, accounts),
        folder: format!("{EVENT_DATE}={}", day.date),
        date: day.date,
        batch_id: day.batch_id.to_owned(),
        writer: None,
        files: Vec::new(),
    };
    while let Some(batch) = sorted.next().await {
        let batch = batch.map_err(|e| not_sorted(day.date, e))?;
        let rows = batch.num_rows() as u64;
        output = blocking(move || output.write(&batch).map(|()| output)).await?;
        progress(rows);
    }
    drop(sorted);
    let read = *totals.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, to, date) = (snapshot.clone(), table.clone(), day.date);
    let old = day.files.to_vec();
    blocking(move || {
        let files = output.finish()?;
        let checked = check(&at, &schema, &old, &files, read, date);
        if checked.is_err() {
            discard_files(&to, &files);
        }
        checked.map(|()| files)
    })
    .await
}

fn not_sorted(date: NaiveDate, source: DataFusionError) -> LakeError {
    let message = format!("could not sort {EVENT_DATE}={date}");
    match source {
        DataFusionError::ResourcesExhausted(_) => LakeError::config(format!(
            "{message} in the memory it was given; give it more"
        ))
        .with_source(source),
        source => LakeError::unavailable(message, source),
    }
}

fn rows_by_account(snapshot: &Snapshot, files: &[FileEntry]) -> Result<HashMap<String, u64>> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for file in files {
        for batch in rows::scan(snapshot, &file.path, Some(&["account_id"]))? {
            let batch = batch?;
            for account in rows::texts(&batch, "account_id")?.iter().flatten() {
                match counts.get_mut(account) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(account.to_owned(), 1)),
                }
            }
        }
    }
    Ok(counts)
}

fn rows_per_file(files: &[FileEntry], accounts: &HashMap<String, u64>, file_bytes: u64) -> u64 {
    let bytes: u64 = files.iter().map(|file| file.size.unsigned_abs()).sum();
    let rows: u64 = accounts.values().sum();
    let per_row = (bytes / rows.max(1)).max(1);
    (file_bytes / per_row).max(1)
}

/// The rows of the old files, counted on their way.
#[derive(Debug)]
struct Source {
    schema: SchemaRef,
    snapshot: Snapshot,
    files: Vec<FileEntry>,
    totals: Arc<Mutex<Totals>>,
}

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 1);
        let rows = stream.tx();
        let (schema, snapshot) = (Arc::clone(&self.schema), self.snapshot.clone());
        let (files, shared) = (self.files.clone(), Arc::clone(&self.totals));
        stream.spawn_blocking(move || {
            let mut totals = Totals::default();
            for file in &files {
                for batch in rows_of(&snapshot, &file.path, &schema).map_err(external)? {
                    let batch = batch.map_err(external)?;
                    totals.add(&batch).map_err(external)?;
                    if rows.blocking_send(Ok(batch)).is_err() {
                        return Ok(()); // Nobody wants the rest.
                    }
                }
            }
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = totals;
            Ok(())
        });
        stream.build()
    }
}

fn external(error: LakeError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The rows of a file in the table's columns: those that a file does not have yet are null.
fn rows_of(
    snapshot: &Snapshot,
    path: &str,
    schema: &SchemaRef,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let schema = Arc::clone(schema);
    let misfit = format!("the rows of file `{path}` do not fit their table");
    let batches = rows::scan(snapshot, path, None)?;
    Ok(batches.map(move |batch| {
        let batch = batch?;
        let columns = schema
            .fields()
            .iter()
            .map(|field| match batch.column_by_name(field.name()) {
                Some(column) => cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            })
            .collect::<Result<_, _>>();
        columns
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns))
            .map_err(|e| LakeError::corrupt(misfit.clone()).with_source(e))
    }))
}

fn sorted_stream(source: Source, options: &CompactOptions) -> Result<SendableRecordBatchStream> {
    let failed =
        |e: DataFusionError| LakeError::internal("could not set up the sort").with_source(e);
    let schema = Arc::clone(&source.schema);
    let key = SORT_KEY
        .iter()
        .map(|name| {
            let ascending = SortOptions::new(false, false);
            Ok(PhysicalSortExpr::new(col(name, &schema)?, ascending))
        })
        .collect::<Result<Vec<_>, DataFusionError>>()
        .map_err(failed)?;
    let key = LexOrdering::new(key).ok_or_else(|| LakeError::internal("the order is empty"))?;
    let input = StreamingTableExec::try_new(schema, vec![Arc::new(source)], None, [], false, None);
    let sort = SortExec::new(key, Arc::new(input.map_err(failed)?));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(options.memory)))
        .build_arc()
        .map_err(failed)?;
    let config = SessionConfig::new()
        .with_batch_size(BATCH_ROWS)
        .with_target_partitions(1)
        .with_sort_spill_reservation_bytes(options.memory / MERGE_SHARE);
    let context = TaskContext::default()
        .with_session_config(config)
        .with_runtime(runtime);
    sort.execute(0, Arc::new(context)).map_err(failed)
}

/// The new files, one after the other. Dropped before its end it leaves nothing behind.
struct Output {
    table: DeltaLog,
    schema: SchemaRef,
    cuts: Cuts,
    folder: String,
    date: NaiveDate,
    batch_id: String,
    /// The file that is being written, and its path below the table.
    writer: Option<(String, FileWriter)>,
    files: Vec<DataFile>,
}

impl Output {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for piece in self.cuts.split(batch)? {
            if piece.starts_file {
                self.end_file()?;
                self.writer = Some(self.start_file()?);
            }
            let rows = batch.slice(piece.rows.start, piece.rows.len());
            if let Some((_, writer)) = &mut self.writer {
                writer.write(&rows)?;
            }
        }
        Ok(())
    }

    fn start_file(&self) -> Result<(String, FileWriter)> {
        let path = format!(
            "{}/{}-{:04}.parquet",
            self.folder,
            self.batch_id,
            self.files.len()
        );
        let writer = FileWriter::create(&path, &self.schema, &self.table, Layout::Sorted)?;
        Ok((path, writer))
    }

    fn end_file(&mut self) -> Result<()> {
        let Some((path, writer)) = self.writer.take() else {
            return Ok(());
        };
        let (size, stats) = writer.finish()?;
        self.files.push(DataFile {
            path,
            size,
            rows: stats.rows(),
            partition: Some((EVENT_DATE.to_owned(), self.date.to_string())),
            stats: stats.to_json(),
            modification_time: Utc::now().timestamp_millis(),
            sorted: true,
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<DataFile>> {
        self.end_file()?;
        Ok(std::mem::take(&mut self.files))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        discard_files(&self.table, &self.files);
    }
}

/// Reads the new files back: they must hold the rows that were read, and those be the rows that
/// the log knows.
fn check(
    snapshot: &Snapshot,
    schema: &SchemaRef,
    old: &[FileEntry],
    new: &[DataFile],
    read: Totals,
    date: NaiveDate,
) -> Result<()> {
    let known: Option<i64> = old.iter().map(|file| file.num_records).sum();
    if known.is_some_and(|known| known.unsigned_abs() != read.rows) {
        return Err(LakeError::corrupt(format!(
            "the files of {EVENT_DATE}={date} hold {} rows, the log says {known:?}; nothing was \
             changed",
            read.rows
        )));
    }
    let mut written = Totals::default();
    for file in new {
        for batch in rows_of(snapshot, &file.path, schema)? {
            written.add(&batch?)?;
        }
    }
    if written == read {
        return Ok(());
    }
    Err(LakeError::corrupt(format!(
        "the sorted files of {EVENT_DATE}={date} do not hold the rows that were read ({} rows \
         read, {} written); nothing was changed",
        read.rows, written.rows
    )))
}
