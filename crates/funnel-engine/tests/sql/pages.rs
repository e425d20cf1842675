//! Sorted files that are read from their pages: however they were written, the answers of the same rows in memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::{SortColumn, SortOptions};
use datafusion::arrow::compute::{cast, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{WriterProperties, WriterVersion};
use datafusion::parquet::schema::types::ColumnPath;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use funnel_engine::SessionBuilder;
use tempfile::TempDir;

use crate::oracle::Random;
use crate::{run, session, table, text};

const FILES: usize = 3;
const STEPS: [&str; 5] = ["shown", "clicked", "requested", "closed by the visitor", ""];

/// By account, visitor and step, over one kind of time each.
const QUERIES: [&str; 4] = [
    "SELECT a, v, window_funnel(900, t, s = 'shown', s = 'clicked', s = 'requested') AS level
     FROM t GROUP BY a, v ORDER BY a, v",
    "SELECT v, a, window_funnel(INTERVAL '1 hour', 'ch:strict_order', u, s LIKE 'cl%', s <> 'clicked') AS level,
         funnel_match(INTERVAL '1 day', 'ordered', u, s = 'shown', s IS NULL) AS found
     FROM t GROUP BY v, a ORDER BY a, v",
    "SELECT level, count(*) FROM (SELECT a, v, window_funnel(INTERVAL '9 seconds', m, v = 'visitor 3', v > 'visitor 5') AS level
     FROM t GROUP BY a, v) GROUP BY level ORDER BY level",
    "SELECT a, v, window_funnel(NULL, 'loose', t, s = 'shown', s = '') AS level,
         window_funnel(50, t, a = 'account 1', a = 'account 1') AS of_account,
         window_funnel(90, 'ordered', t, s = 'shown', s = 'clicked') AS other FROM t GROUP BY a, v ORDER BY a, v",
];

/// Rows sorted by account, visitor and time; `t`, `u` and `m` are the same times.
fn rows(random: &mut Random, rows: usize, nulls: u64) -> RecordBatch {
    let visitors = [4, 60, 4_000][random.below(3) as usize];
    let spread = [50, 1 << 20, 1 << 50][random.below(3) as usize];
    let is_null = |random: &mut Random| nulls > 0 && random.below(nulls) == 0;
    let (mut a, mut v, mut s, mut t) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let account = random.below(3);
        a.push((!is_null(random)).then(|| format!("account {account}")));
        let visitor = random.below(visitors);
        v.push((!is_null(random)).then(|| format!("visitor {visitor}")));
        s.push((!is_null(random)).then(|| STEPS[random.below(5) as usize]));
        t.push((!is_null(random)).then(|| random.int(spread) - spread / 2));
    }
    let t: ArrayRef = Arc::new(Int64Array::from(t));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let in_utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    let u = cast(&t, &micros).unwrap();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("a", Arc::new(StringArray::from(a)), true),
        ("v", Arc::new(StringArray::from(v)), true),
        ("t", Arc::clone(&t), true),
        ("u", cast(&u, &in_utc).unwrap(), true),
        ("m", cast(&t, &millis).unwrap(), true),
        // What cannot be null has no levels in the file.
        ("s", Arc::new(StringArray::from(s)), nulls > 0),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let by = batch.columns()[..3].iter().map(|values| SortColumn {
        values: Arc::clone(values),
        options: Some(SortOptions {
            descending: false,
            nulls_first: false,
        }),
    });
    let order = lexsort_to_indices(&by.collect::<Vec<_>>(), None).unwrap();
    take_record_batch(&batch, &order).unwrap()
}

/// The files say that they are sorted by account, visitor and this time.
fn sorted_by(time: &str, batch: &RecordBatch) -> Vec<SortingColumn> {
    let by = ["a", "v", time].map(|name| SortingColumn {
        column_idx: i32::try_from(batch.schema().index_of(name).unwrap()).unwrap(),
        descending: false,
        nulls_first: false,
    });
    by.to_vec()
}

/// Writes a file in a way of its own; can it be read from its pages?
fn write(path: &Path, batch: &RecordBatch, time: &str, random: &mut Random) -> bool {
    let mut pick = |choices: &[usize]| choices[random.below(choices.len() as u64) as usize];
    let compression = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    let version = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let (small_dictionary, times) = (pick(&[0, 0, 1]) > 0, pick(&[0, 0, 1, 2]));
    let mut properties = WriterProperties::builder()
        .set_writer_version(version[pick(&[0, 1])])
        .set_compression(compression[pick(&[0, 1, 2])])
        .set_max_row_group_row_count(Some(pick(&[90, 1_000, 100_000])))
        .set_data_page_row_count_limit(pick(&[7, 500, 20_000]))
        .set_write_batch_size(pick(&[5, 1_024]))
        .set_sorting_columns(Some(sorted_by(time, batch)));
    if small_dictionary {
        properties = properties.set_dictionary_page_size_limit(60);
    }
    for time in ["t", "u", "m"].map(ColumnPath::from) {
        let encoding = match times {
            0 => Encoding::DELTA_BINARY_PACKED,
            1 => Encoding::PLAIN,
            _ => break,
        };
        properties = properties
            .set_column_dictionary_enabled(time.clone(), false)
            .set_column_encoding(time, encoding);
    }
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    !small_dictionary && times < 2
}

/// In small row groups and pages, not compressed.
fn write_plainly(path: &Path, batch: &RecordBatch) {
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(700))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .set_sorting_columns(Some(sorted_by("t", batch)));
    for time in ["t", "u", "m"].map(ColumnPath::from) {
        properties = properties
            .set_column_dictionary_enabled(time.clone(), false)
            .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED);
    }
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

async fn over(dir: &Path, partitions: usize, batch_rows: usize) -> SessionContext {
    let session = SessionBuilder::new()
        .target_partitions(partitions)
        .batch_size(batch_rows)
        .build()
        .unwrap();
    let path = dir.to_str().unwrap();
    session
        .register_parquet("t", path, ParquetReadOptions::default())
        .await
        .unwrap();
    session
}

fn in_memory(batches: Vec<RecordBatch>) -> SessionContext {
    let session = session();
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

/// How many files of a query were read from their pages.
fn files_by_pages(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let metrics = plan.metrics();
    let own = metrics.and_then(|metrics| metrics.sum_by_name("files_by_pages"));
    let below = plan.children().into_iter().map(files_by_pages);
    own.map_or(0, |own| own.as_usize()) + below.sum::<usize>()
}

#[tokio::test]
async fn however_files_are_written_the_answers_are_the_same() {
    let mut random = Random(42);
    let (mut by_pages, mut by_batches) = (0, 0);
    for round in 0..30 {
        let time = ["t", "u", "m"][round % 3];
        let dir = TempDir::new().unwrap();
        let (mut all, mut readable) = (Vec::new(), 0);
        let nulls = [0, 0, 9][random.below(3) as usize];
        for file in 0..FILES {
            let count = [1, 300, 5_000][random.below(3) as usize];
            let batch = rows(&mut random, count, nulls);
            let path = dir.path().join(format!("{file}.parquet"));
            readable += usize::from(write(&path, &batch, time, &mut random));
            all.push(batch);
        }
        let expected = in_memory(all);
        let (partitions, batch_rows) = (1 + random.below(3), [11, 8_192][random.below(2) as usize]);
        let found = over(dir.path(), partitions as usize, batch_rows).await;
        for sql in QUERIES {
            let plan = found.sql(sql).await.unwrap();
            let plan = plan.create_physical_plan().await.unwrap();
            let answer = collect(Arc::clone(&plan), found.task_ctx()).await.unwrap();
            let shown = text(&found, &format!("EXPLAIN {sql}")).await;
            assert_eq!(table(&answer), text(&expected, sql).await, "{shown}");
            if shown.contains("MergedFunnelExec") {
                assert!(shown.contains("input=pages"), "{shown}");
                let read = files_by_pages(&plan);
                // A file with few values may have room for all of them.
                assert!(read >= readable, "{read} of {readable}");
                (by_pages, by_batches) = (by_pages + read, by_batches + FILES - read);
            }
        }
    }
    assert!(by_pages > 40 && by_batches > 40, "{by_pages} {by_batches}");
}

/// Whatever a page holds, a query ends, with an answer or with an error that says which file it was.
#[tokio::test]
async fn damaged_pages_are_told() {
    let mut random = Random(7);
    let dir = TempDir::new().unwrap();
    let path = |file: usize| dir.path().join(format!("{file}.parquet"));
    for file in 0..2 {
        let batch = rows(&mut random, 2_000, 9);
        write_plainly(&path(file), &batch);
    }
    let bytes = std::fs::read(path(1)).unwrap();
    let session = over(dir.path(), 2, 8_192).await;
    let mut told = 0;
    for _ in 0..150 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + random.below(4) {
            // The footer is left as it is.
            let at = 4 + random.below(bytes.len() as u64 / 2) as usize;
            damaged[at] = random.below(256) as u8;
        }
        std::fs::write(path(1), damaged).unwrap();
        for sql in [QUERIES[0], QUERIES[3]] {
            if let Err(error) = run(&session, sql).await {
                let error = error.to_string();
                assert!(error.contains("1.parquet"), "{sql}\n{error}");
                told += 1;
            }
        }
    }
    assert!(told > 20, "{told}");
}
