//! Sorted files: streamed by an operator of ours, with the answers of the hash table.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::datasource::MemTable;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use funnel_engine::SessionBuilder;
use futures::StreamExt;
use tempfile::TempDir;

use crate::{run, session, text};

const ROWS: usize = 3_000;

/// A third of the rows belong to one key, which straddles row groups, batches and partitions.
const TRAFFIC: &str = "SELECT CASE WHEN value % 3 = 0 THEN 'everybody else together'
                ELSE 'visitor number ' || (value * 7919 % 397) END AS visitor,
            value * 31 % 1009 AS ts, value * 13 % 5 AS step, value AS n
     FROM generate_series(1, 3000)";

const CALLS: &str = "window_funnel(40, 'ordered', ts, step = 1, step = 2, step = 3),
    funnel_match(40, 'ordered', ts, step = 1, step = 2, step = 3) FILTER (WHERE n % 7 > 0),
    window_funnel(300, 'ch:strict_order', ts, step = 1, step = 2, step = 3),
    funnel_steps(NULL, 'loose', ts, step = 1, step = 4, step = 3)";

async fn traffic(part: &str) -> RecordBatch {
    let sql = format!("SELECT * FROM ({TRAFFIC}) WHERE {part} ORDER BY visitor, ts, n");
    let batches = run(&session(), &sql).await.unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Writes `batch`, and whether it is sorted by its first two columns.
fn write(path: &Path, batch: &RecordBatch, sorted: bool) {
    write_sorted_by(path, batch, if sorted { &[0, 1] } else { &[] });
}

/// Writes `batch`, which is sorted by these columns.
fn write_sorted_by(path: &Path, batch: &RecordBatch, columns: &[i32]) {
    let columns = columns.iter().map(|column| SortingColumn {
        column_idx: *column,
        descending: false,
        nulls_first: false,
    });
    let columns = Some(columns.collect()).filter(|columns: &Vec<_>| !columns.is_empty());
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(64))
        .set_sorting_columns(columns)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Table `t` over what lies at `path`, cut into ranges of bytes however small it is.
async fn over(path: &Path, partitions: usize, batch_rows: usize) -> SessionContext {
    let config = SessionConfig::new().with_repartition_file_min_size(1);
    let session = SessionBuilder::with_config(config)
        .target_partitions(partitions)
        .batch_size(batch_rows)
        .build()
        .unwrap();
    let path = path.to_str().unwrap();
    session
        .register_parquet("t", path, ParquetReadOptions::default())
        .await
        .unwrap();
    session
}

async fn plan(session: &SessionContext, sql: &str) -> String {
    text(session, &format!("EXPLAIN {sql}")).await
}

fn by_visitor() -> String {
    format!("SELECT visitor, {CALLS} FROM t GROUP BY visitor ORDER BY visitor")
}

/// The answers of the hash table, over the same rows in memory.
async fn expected(sql: &str) -> String {
    let session = session();
    let batch = traffic("true").await;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    assert!(!plan(&session, sql).await.contains("SortedFunnelExec"));
    text(&session, sql).await
}

#[tokio::test]
async fn ranges_of_a_sorted_file_are_streamed_with_the_same_answers() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.parquet");
    write(&file, &traffic("true").await, true);
    let sql = by_visitor();
    let expected = expected(&sql).await;
    assert_eq!(expected.lines().count(), 397 + 1);
    for partitions in [1, 2, 3, 8, 40] {
        for batch_rows in [1, 7, 8192] {
            let session = over(&file, partitions, batch_rows).await;
            let plan = plan(&session, &sql).await;
            assert!(plan.contains("SortedFunnelExec"), "{plan}");
            assert!(!plan.contains("AggregateExec"), "{plan}");
            assert_eq!(
                plan.contains("consecutive ranges"),
                // A file of less than a batch is not worth a second partition.
                partitions > 1 && batch_rows < ROWS,
                "{plan}"
            );
            let found = text(&session, &sql).await;
            assert!(
                found == expected,
                "{partitions} partitions, {batch_rows} rows a batch"
            );
        }
    }
}

#[tokio::test]
async fn sorted_files_that_overlap_are_merged() {
    let dir = TempDir::new().unwrap();
    for part in 0..3 {
        let rows = traffic(&format!("n % 5 % 3 = {part}")).await;
        write(&dir.path().join(format!("{part}.parquet")), &rows, true);
    }
    let sql = by_visitor();
    let expected = expected(&sql).await;
    for partitions in [1, 2, 3, 7] {
        for batch_rows in [1, 3, 8192] {
            let session = over(dir.path(), partitions, batch_rows).await;
            let plan = plan(&session, &sql).await;
            assert!(plan.contains("MergedFunnelExec"), "{plan}");
            // With more partitions than files, files are cut into ranges, which are merged as well.
            let streams = if partitions > 3 && batch_rows < ROWS {
                partitions
            } else {
                3
            };
            assert!(plan.contains(&format!("streams={streams}")), "{plan}");
            assert!(
                text(&session, &sql).await == expected,
                "{partitions} partitions, {batch_rows} rows a batch"
            );
        }
    }
}

#[tokio::test]
async fn files_that_follow_each_other_are_one_stream_of_a_merge() {
    let dir = TempDir::new().unwrap();
    // Two days, each in two files; the files of a day do not overlap.
    for (number, part) in [
        "ts < 500 AND visitor < 'visitor number 2'",
        "ts < 500 AND visitor >= 'visitor number 2'",
        "ts >= 500 AND visitor < 'visitor number 2'",
        "ts >= 500 AND visitor >= 'visitor number 2'",
    ]
    .iter()
    .enumerate()
    {
        let file = dir.path().join(format!("{number}.parquet"));
        write(&file, &traffic(part).await, true);
    }
    let sql = by_visitor();
    let session = over(dir.path(), 2, 100).await;
    let plan = plan(&session, &sql).await;
    assert!(plan.contains("streams=2"), "{plan}");
    assert!(text(&session, &sql).await == expected(&sql).await);
}

#[tokio::test]
async fn merged_keys_may_be_many_columns_of_any_order_and_null() {
    let dir = TempDir::new().unwrap();
    let keys = "SELECT CASE WHEN value % 11 > 0 THEN value % 5 END AS brand,
                       CASE WHEN value % 13 > 0 THEN concat('v', value % 17) END AS visitor,
                       value * 31 % 1009 AS ts, value * 13 % 5 AS step
                FROM generate_series(1, 2000)";
    for part in 0..4 {
        let sql = format!("SELECT * FROM ({keys}) WHERE ts * 4 / 1009 = {part} ORDER BY 1, 2, 3");
        let batches = run(&session(), &sql).await.unwrap();
        let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
        write_sorted_by(
            &dir.path().join(format!("{part}.parquet")),
            &rows,
            &[0, 1, 2],
        );
    }
    let level = "window_funnel(90, ts, step = 1, step = 2, step = 3) AS level";
    let sql =
        format!("SELECT visitor, brand, {level} FROM t GROUP BY visitor, brand ORDER BY 1, 2");
    let session = over(dir.path(), 2, 64).await;
    let plan = plan(&session, &sql).await;
    assert!(plan.contains("MergedFunnelExec"), "{plan}");
    let plain = crate::session();
    let rows = run(&plain, keys).await.unwrap();
    let table = MemTable::try_new(rows[0].schema(), vec![rows]).unwrap();
    plain.register_table("t", Arc::new(table)).unwrap();
    assert_eq!(text(&session, &sql).await, text(&plain, &sql).await);
}

/// By least and greatest values the second file goes on where the first ends; rows without a visitor lie between.
#[tokio::test]
async fn nulls_at_the_end_of_a_file_break_the_order_with_the_next() {
    let dir = TempDir::new().unwrap();
    let mut all = Vec::new();
    let parts = [
        "('a', 1, 1), ('b', 2, 1), (NULL, 3, 1)",
        "('c', 4, 1), (NULL, 5, 2)",
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let sql = format!("SELECT * FROM (VALUES {part}) AS rows (visitor, ts, step)");
        let batches = run(&session(), &sql).await.unwrap();
        let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
        write(&dir.path().join(format!("{number}.parquet")), &batch, true);
        all.push(batch);
    }
    let plain = crate::session();
    let table = MemTable::try_new(all[0].schema(), vec![all]).unwrap();
    plain.register_table("t", Arc::new(table)).unwrap();
    let over = SessionBuilder::new().target_partitions(1).build().unwrap();
    let path = dir.path().to_str().unwrap();
    let options = ParquetReadOptions::default();
    over.register_parquet("t", path, options).await.unwrap();
    for sql in [
        "SELECT visitor, ts FROM t ORDER BY visitor, ts",
        "SELECT visitor, count(*) FROM t GROUP BY visitor ORDER BY visitor",
        "SELECT visitor, window_funnel(9, ts, step = 1, step = 2) FROM t GROUP BY visitor ORDER BY visitor",
    ] {
        assert_eq!(text(&over, sql).await, text(&plain, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_fails_the_merge() {
    let dir = TempDir::new().unwrap();
    for part in 0..3 {
        let rows = traffic(&format!("n % 3 = {part}")).await;
        write(&dir.path().join(format!("{part}.parquet")), &rows, true);
    }
    let session = over(dir.path(), 2, 100).await;
    let file = dir.path().join("1.parquet");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle - 400..middle].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    assert!(run(&session, &by_visitor()).await.is_err());
}

#[tokio::test]
async fn other_operators_stay_above_and_below() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.parquet");
    write(&file, &traffic("true").await, true);
    let level = "window_funnel(40, 'ordered', ts, step = 1, step = 2) AS level";
    for sql in [
        format!(
            "SELECT level, count(*) FROM (SELECT visitor, {level} FROM t WHERE n > 100
                 GROUP BY visitor) GROUP BY level ORDER BY level"
        ),
        format!(
            "SELECT a.visitor, a.level FROM (SELECT visitor, {level} FROM t GROUP BY visitor) a
                 JOIN (SELECT visitor, {level} FROM t WHERE n % 2 = 0 GROUP BY visitor) b
                 USING (visitor) WHERE a.level > b.level ORDER BY 1"
        ),
    ] {
        let session = over(&file, 4, 100).await;
        let plan = plan(&session, &sql).await;
        assert!(plan.contains("SortedFunnelExec"), "{plan}");
        assert_eq!(text(&session, &sql).await, expected(&sql).await, "{sql}");
    }
}

#[tokio::test]
async fn unsorted_input_and_other_aggregates_are_left_alone() {
    let dir = TempDir::new().unwrap();
    let (sorted, unsorted) = (dir.path().join("a.parquet"), dir.path().join("b.parquet"));
    let rows = traffic("true").await;
    write(&sorted, &rows, true);
    write(&unsorted, &rows, false);
    let session = over(&sorted, 2, 8192).await;
    for sql in [
        "SELECT visitor, count(*), window_funnel(9, ts, step = 1) FROM t GROUP BY visitor",
        "SELECT step, window_funnel(9, ts, step = 1) FROM t GROUP BY step",
        "SELECT visitor, window_funnel(9, n, step = 1) FROM t GROUP BY visitor",
        "SELECT window_funnel(9, ts, step = 1) FROM t",
    ] {
        assert!(
            !plan(&session, sql).await.contains("SortedFunnelExec"),
            "{sql}"
        );
    }
    let session = over(&unsorted, 2, 8192).await;
    assert!(
        !plan(&session, &by_visitor())
            .await
            .contains("SortedFunnelExec")
    );
}

/// A breakdown, or another order of time than that of the file.
#[tokio::test]
async fn input_that_is_sorted_in_part_goes_through_our_table_unless_its_order_is_relied_on() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.parquet");
    write(&file, &traffic("true").await, true);
    let level = "window_funnel(40, 'ordered', ts, step = 1, step = 2) AS level";
    let parts = format!("SELECT visitor, n % 3 AS part, {level} FROM t GROUP BY visitor, part");
    let back = "SELECT visitor, window_funnel(40, 400 - ts, step = 2, step = 1) AS level FROM t GROUP BY visitor";
    for (sql, relied_on) in [
        (
            format!(
                "SELECT part, level, count(*) FROM ({parts}) GROUP BY part, level ORDER BY part, level"
            ),
            false,
        ),
        (
            format!(
                "SELECT visitor, part, level FROM ({parts}) WHERE level > 1 ORDER BY part, visitor LIMIT 7"
            ),
            false,
        ),
        (
            format!("SELECT level, count(*) FROM ({back}) GROUP BY level ORDER BY level"),
            false,
        ),
        (format!("{parts} ORDER BY visitor, part"), false),
        (
            format!(
                "SELECT visitor, max(level), min(part) FROM ({parts}) GROUP BY visitor ORDER BY visitor"
            ),
            true,
        ),
    ] {
        for (partitions, batch_rows) in [(1, 8192), (3, 50)] {
            let session = over(&file, partitions, batch_rows).await;
            let plan = plan(&session, &sql).await;
            assert_eq!(
                !plan.contains("HashedFunnelExec"),
                relied_on,
                "{sql}\n{plan}"
            );
            assert_eq!(text(&session, &sql).await, expected(&sql).await, "{sql}");
        }
    }
}

#[tokio::test]
async fn dropped_stream_gives_its_memory_back() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.parquet");
    write(&file, &traffic("true").await, true);
    let session = over(&file, 1, 5).await;
    let sql = format!("SELECT visitor, {CALLS} FROM t GROUP BY visitor");
    let mut stream = session
        .sql(&sql)
        .await
        .unwrap()
        .execute_stream()
        .await
        .unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() < ROWS);
    let pool = Arc::clone(&session.runtime_env().memory_pool);
    assert!(pool.reserved() > 0);
    drop(stream);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn answers_by_order_of_rows_take_the_order_of_the_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.parquet");
    // Rows of the same time, which the mode tells apart by their order.
    let sql = "SELECT value % 50 AS visitor, value / 400 AS ts, value * 7 % 11 % 4 AS step
               FROM generate_series(1, 4000) ORDER BY value";
    let batches = run(&session(), sql).await.unwrap();
    let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
    write(&file, &rows, false);
    let sql = "SELECT visitor, window_funnel(3, 'ch:strict_deduplication,strict_once', ts,
                      step = 1, step = 2, step = 3) AS level
               FROM t GROUP BY visitor ORDER BY visitor";
    let expected = text(&over(&file, 1, 8192).await, sql).await;
    for partitions in [2, 5] {
        for batch_rows in [3, 64] {
            let session = over(&file, partitions, batch_rows).await;
            let plan = plan(&session, sql).await;
            assert!(plan.contains("InOrderExec"), "{plan}");
            assert_eq!(text(&session, sql).await, expected);
        }
    }
}
