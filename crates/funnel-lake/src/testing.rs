//! A small lake to test with, and a store that misbehaves on purpose.

use std::fmt;
use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use tempfile::TempDir;

use crate::{
    Commit, DataFile, Lake, LedgerEntry, LedgerKind, OffsetAdvance, OffsetKey, Outcome,
    encode_files,
};

/// 2026-05-01T00:00:00Z.
pub(crate) const MAY_FIRST: i64 = 1_777_593_600_000_000;
const DAY: i64 = 86_400_000_000;

/// A lake in a folder that goes away with it.
pub(crate) struct TestLake {
    pub(crate) dir: TempDir,
    pub(crate) lake: Lake,
}

/// One row of `events` or `rejects`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) entry: Option<i32>,
    pub(crate) day: i64,
}

impl TestLake {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::create_or_open(place(dir.path())).await.unwrap();
        Self { dir, lake }
    }

    /// The same tables, opened again: as another process would see them.
    pub(crate) async fn reopen(&self) -> Lake {
        Lake::open(place(self.dir.path())).await.unwrap()
    }

    /// The same tables through a store that follows `faults`.
    pub(crate) async fn with_faults(&self, faults: &Arc<Faults>) -> Lake {
        let store = faults.over(Arc::new(LocalFileSystem::new()));
        Lake::create_or_open_in(place(self.dir.path()), store)
            .await
            .unwrap()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

pub(crate) fn place(path: &LocalPath) -> &str {
    path.to_str().unwrap()
}

pub(crate) fn key(partition: i32) -> OffsetKey {
    OffsetKey {
        job: "funnel".to_owned(),
        topic: "lp.chat.v1".to_owned(),
        topic_uuid: "uuid-1".to_owned(),
        partition,
    }
}

pub(crate) fn row(partition: i32, offset: i64) -> Row {
    Row {
        partition,
        offset,
        entry: None,
        day: 0,
    }
}

pub(crate) fn plain_rows(partition: i32, offsets: Range<i64>) -> Vec<Row> {
    offsets.map(|offset| row(partition, offset)).collect()
}

/// Rows with the coordinates of `rows` and something plausible in every other column.
pub(crate) fn batch(schema: &SchemaRef, rows: &[Row], batch_id: &str) -> RecordBatch {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let name = field.name().as_str();
            let column: ArrayRef = match field.data_type() {
                DataType::Timestamp(..) => Arc::new(
                    rows.iter()
                        .map(|r| Some(MAY_FIRST + r.day * DAY + r.offset * 1000))
                        .collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ),
                DataType::Date32 => {
                    let first = MAY_FIRST / DAY;
                    Arc::new(
                        rows.iter()
                            .map(|r| Some(first + r.day))
                            .collect::<Int64Array>(),
                    )
                }
                DataType::Utf8 => Arc::new(text_column(name, rows, batch_id)),
                _ => number_column(name, rows),
            };
            if field.is_nullable() && !["entry_index", "visitor_id"].contains(&name) {
                return arrow::array::new_null_array(field.data_type(), rows.len());
            }
            let column = match (column.data_type(), field.data_type()) {
                (DataType::Int64, DataType::Date32) => cast(&column, &DataType::Int32).unwrap(),
                _ => column,
            };
            cast(&column, field.data_type()).unwrap()
        })
        .collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn text_column(name: &str, rows: &[Row], batch_id: &str) -> StringArray {
    rows.iter()
        .map(|row| {
            Some(match name {
                "event_id" => format!("{:032x}", row.offset),
                "kafka_topic" => key(0).topic,
                "topic_uuid" => key(0).topic_uuid,
                "batch_id" => batch_id.to_owned(),
                "visitor_id" => format!("visitor-{}", row.offset),
                other => other.to_owned(),
            })
        })
        .collect()
}

fn number_column(name: &str, rows: &[Row]) -> ArrayRef {
    match name {
        "kafka_partition" => Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|r| r.partition),
        )),
        "entry_index" => Arc::new(rows.iter().map(|r| r.entry).collect::<Int32Array>()),
        "kafka_offset" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.offset))),
        _ => Arc::new(Int64Array::from_iter_values(rows.iter().map(|_| 0))),
    }
}

/// Files of `events` with these rows.
pub(crate) fn event_files(lake: &Lake, rows: &[Row], batch_id: &str) -> Vec<DataFile> {
    let rows = batch(lake.events().schema(), rows, batch_id);
    encode_files(&[rows], lake.events(), batch_id).unwrap()
}

/// The entry of a partition whose records were all accepted.
pub(crate) fn accepted(partition: i32, offsets: Range<i64>) -> LedgerEntry {
    let count = offsets.end - offsets.start;
    let key = key(partition);
    let mut entry = LedgerEntry::new(
        LedgerKind::Data,
        &key.topic,
        &key.topic_uuid,
        partition,
        offsets,
    );
    entry.accepted = count;
    entry.event_rows = count;
    entry
}

/// A commit of `events` with one row per offset.
pub(crate) fn plain_commit(
    lake: &Lake,
    partition: i32,
    offsets: Range<i64>,
    batch_id: &str,
) -> Commit {
    Commit {
        files: event_files(lake, &plain_rows(partition, offsets.clone()), batch_id),
        advances: vec![advance(partition, offsets.clone())],
        batch_id: batch_id.to_owned(),
        ledger: vec![accepted(partition, offsets)],
    }
}

/// From `offsets.start` (0: nothing stored yet) to `offsets.end`.
pub(crate) fn advance(partition: i32, offsets: Range<i64>) -> OffsetAdvance {
    OffsetAdvance {
        key: key(partition),
        from: (offsets.start > 0).then_some(offsets.start),
        to: offsets.end,
    }
}

pub(crate) async fn append(
    lake: &Lake,
    partition: i32,
    offsets: Range<i64>,
    batch_id: &str,
) -> i64 {
    let commit = plain_commit(lake, partition, offsets, batch_id);
    match lake.events().commit(commit).await.unwrap() {
        Outcome::Committed { version } => version,
        other => panic!("{other:?}"),
    }
}

/// Writes the next entry of a table's log by hand, as a foreign writer would.
pub(crate) async fn write_entry(lake: &TestLake, table: &str, lines: &[serde_json::Value]) -> i64 {
    let log = lake.path(&format!("{table}/_delta_log"));
    let version = (0..)
        .find(|v| !log.join(format!("{v:020}.json")).exists())
        .unwrap();
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(log.join(format!("{version:020}.json")), text.join("\n")).unwrap();
    version
}

/// What a [`FaultyStore`] does to the next log entries that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Writes nothing and says so.
    Refuse,
    /// Writes and says that it failed.
    LoseReply,
    /// Panics after writing.
    Panic,
    /// Sends the same request again, as a client does whose answer was lost.
    SendTwice,
}

/// Faults to come, and how many happened.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<Vec<Fault>>,
    pub(crate) happened: AtomicU32,
    /// Calls to the store.
    pub(crate) calls: AtomicU32,
    /// Whether conditions of puts are ignored.
    pub(crate) unconditional: AtomicBool,
}

impl Faults {
    pub(crate) fn plan(&self, faults: &[Fault]) {
        self.planned.lock().unwrap().extend(faults);
    }

    /// A store that follows these faults.
    pub(crate) fn over(self: &Arc<Self>, inner: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        let faults = Arc::clone(self);
        Arc::new(FaultyStore { inner, faults })
    }

    /// Drops the faults that did not happen.
    pub(crate) fn forget(&self) {
        self.planned.lock().unwrap().clear();
    }

    fn count(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    fn next(&self) -> Option<Fault> {
        let mut planned = self.planned.lock().unwrap();
        let fault = (!planned.is_empty()).then(|| planned.remove(0));
        self.happened
            .fetch_add(fault.is_some().into(), Ordering::SeqCst);
        fault
    }
}

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Arc<Faults>,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

fn io_failed() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: "no space left on device".into(),
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.faults.count();
        if self.faults.unconditional.load(Ordering::SeqCst) {
            opts.mode = PutMode::Overwrite;
        }
        let is_entry = location.as_ref().contains("_delta_log/0");
        match if is_entry { self.faults.next() } else { None } {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::Refuse) => Err(io_failed()),
            Some(Fault::LoseReply) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(io_failed())
            }
            Some(Fault::SendTwice) => {
                let again = (payload.clone(), opts.clone());
                self.inner.put_opts(location, payload, opts).await?;
                self.inner.put_opts(location, again.0, again.1).await
            }
            Some(Fault::Panic) => {
                self.inner.put_opts(location, payload, opts).await?;
                panic!("already shut down")
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.faults.count();
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.faults.count();
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.faults.count();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
