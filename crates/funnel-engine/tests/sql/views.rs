//! Tables whose texts are declared as `Utf8`: read as views below a funnel, with the answers and types of the table.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use funnel_engine::SessionBuilder;
use tempfile::TempDir;

use crate::{run, session, text};

/// Keys and steps with nulls, short and long, some the beginning of others.
const TRAFFIC: &str = "SELECT CASE WHEN value % 11 > 0 THEN 'account-' || (value % 3) END AS account,
        CASE WHEN value % 13 > 0 THEN repeat('visitor ', value * 7919 % 97 % 4) || (value * 7919 % 97) END AS visitor,
        value * 31 % 1009 AS ts,
        CASE WHEN value % 7 > 0 THEN arrow_cast(concat('k', value % 5), 'Binary') END AS bytes,
        CASE WHEN value % 17 > 0 THEN CASE value * 13 % 5 WHEN 0 THEN 'shown' WHEN 1 THEN 'clicked'
            WHEN 2 THEN 'requested by the visitor' WHEN 3 THEN 'account-1' ELSE 'left' END END AS step,
        value AS n
     FROM generate_series(1, 3000)";

/// How the texts of a file are laid out.
#[derive(Clone, Copy)]
enum Pages {
    Dictionary,
    /// A dictionary that is full after few values: the pages that follow hold texts.
    SmallDictionary,
    Plain,
}

async fn rows(sql: &str) -> RecordBatch {
    let batches = run(&session(), sql).await.unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Writes `batch`, sorted by its first columns, in small row groups.
fn write(path: &Path, batch: &RecordBatch, sorted_by: i32, pages: Pages) {
    let columns = (0..sorted_by).map(|column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    });
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(300))
        .set_data_page_row_count_limit(20)
        .set_write_batch_size(10)
        .set_sorting_columns(Some(columns.collect()).filter(|_: &Vec<_>| sorted_by > 0));
    let properties = match pages {
        Pages::Dictionary => properties,
        Pages::SmallDictionary => properties.set_dictionary_page_size_limit(40),
        Pages::Plain => properties.set_dictionary_enabled(false),
    };
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Table `t` over the files of a folder, its texts as they are declared in them.
async fn over(dir: &Path, batch_rows: usize) -> SessionContext {
    let mut config = SessionConfig::new();
    config
        .options_mut()
        .execution
        .parquet
        .schema_force_view_types = false;
    let session = SessionBuilder::with_config(config)
        .target_partitions(3)
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

/// Table `t` in memory, by which nothing is known of its order.
async fn plain(sql: &str) -> SessionContext {
    let session = session();
    let batch = rows(sql).await;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

/// The types of the texts that the files of a plan are read with, by column.
fn texts_read(plan: &Arc<dyn ExecutionPlan>) -> Vec<(String, DataType)> {
    if plan.children().is_empty() {
        let schema = plan.schema();
        let fields = schema.fields().iter();
        let texts =
            fields.filter(|field| field.data_type().is_string() || field.data_type().is_binary());
        return texts
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
    }
    plan.children().into_iter().flat_map(texts_read).collect()
}

async fn physical(session: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = session.sql(sql).await.unwrap();
    plan.create_physical_plan().await.unwrap()
}

/// Steps over one text, over two, and over what is made of one; with and without conditions on rows.
const QUERIES: [&str; 7] = [
    "SELECT account, visitor, window_funnel(90, ts, step = 'shown', step = 'clicked', step = 'requested by the visitor') AS level
     FROM t GROUP BY account, visitor ORDER BY account, visitor",
    "SELECT visitor, account, window_funnel(90, ts, step LIKE 'sh%', step IN ('clicked', 'left'), step IS NULL) AS level
     FROM t GROUP BY visitor, account ORDER BY account, visitor",
    "SELECT account, visitor, funnel_match(90, 'ordered', ts, step = account, upper(step) = 'CLICKED', n % 2 = 0)
         FILTER (WHERE step <> 'left') AS found
     FROM t GROUP BY account, visitor ORDER BY account, visitor",
    "SELECT account, visitor, window_funnel(90, ts, step = 'shown', step > 'clicked') AS level
     FROM t WHERE step <> 'left' AND account > 'account-0' GROUP BY account, visitor ORDER BY account, visitor",
    "SELECT level, count(*), min(visitor) FROM (
         SELECT account, visitor, window_funnel(90, ts, did = 'shown', did = 'clicked') AS level
         FROM (SELECT account, visitor, ts, step AS did, step || account AS both FROM t)
         WHERE both <> 'leftaccount-2' GROUP BY account, visitor) GROUP BY level ORDER BY level",
    "SELECT step, bytes, window_funnel(90, ts, account = 'account-0', account = 'account-1') AS level
     FROM t GROUP BY step, bytes ORDER BY step, bytes",
    "SELECT bytes, window_funnel(90, ts, step = 'shown', bytes = arrow_cast('k2', 'Binary')) AS level
     FROM t GROUP BY bytes ORDER BY bytes",
];

async fn assert_same(dir: &Path, expected: &SessionContext, operator: &str) {
    for batch_rows in [7, 8192] {
        let found = over(dir, batch_rows).await;
        for sql in QUERIES {
            let plan = physical(&found, sql).await;
            let shown = text(&found, &format!("EXPLAIN {sql}")).await;
            assert!(
                shown.contains(operator) || shown.contains("HashedFunnelExec"),
                "{shown}"
            );
            let read = texts_read(&plan);
            assert!(!read.is_empty());
            for (name, data_type) in read {
                assert!(
                    matches!(data_type, DataType::Utf8View | DataType::BinaryView),
                    "{name}: {data_type}\n{shown}"
                );
            }
            let declared = expected.sql(sql).await.unwrap();
            assert_eq!(
                plan.schema().fields(),
                declared.schema().inner().fields(),
                "{sql}"
            );
            let found = text(&found, sql).await;
            assert!(found.lines().count() > 1, "{found}");
            assert_eq!(found, text(expected, sql).await, "{sql}");
        }
        let sql = QUERIES[0];
        assert!(
            text(&found, &format!("EXPLAIN {sql}"))
                .await
                .contains(operator)
        );
    }
}

#[tokio::test]
async fn merged_texts_may_lie_in_any_pages_and_be_null() {
    let dir = TempDir::new().unwrap();
    let pages = [Pages::Dictionary, Pages::SmallDictionary, Pages::Plain];
    for (part, pages) in pages.into_iter().enumerate() {
        let sql = format!("SELECT * FROM ({TRAFFIC}) WHERE n % 5 % 3 = {part} ORDER BY 1, 2, 3");
        write(
            &dir.path().join(format!("{part}.parquet")),
            &rows(&sql).await,
            3,
            pages,
        );
    }
    assert_same(dir.path(), &plain(TRAFFIC).await, "MergedFunnelExec").await;
}

#[tokio::test]
async fn one_sorted_file_is_streamed() {
    for pages in [Pages::Dictionary, Pages::SmallDictionary] {
        let dir = TempDir::new().unwrap();
        let sql = format!("SELECT * FROM ({TRAFFIC}) ORDER BY 1, 2, 3");
        write(&dir.path().join("t.parquet"), &rows(&sql).await, 3, pages);
        assert_same(dir.path(), &plain(TRAFFIC).await, "SortedFunnelExec").await;
    }
}

#[tokio::test]
async fn unsorted_files_go_through_the_table() {
    let dir = TempDir::new().unwrap();
    for (part, pages) in [Pages::Plain, Pages::SmallDictionary]
        .into_iter()
        .enumerate()
    {
        let sql = format!("SELECT * FROM ({TRAFFIC}) WHERE n % 2 = {part}");
        write(
            &dir.path().join(format!("{part}.parquet")),
            &rows(&sql).await,
            0,
            pages,
        );
    }
    assert_same(dir.path(), &plain(TRAFFIC).await, "HashedFunnelExec").await;
}

/// The first file is from before there were steps and bytes.
#[tokio::test]
async fn a_text_that_a_file_does_not_have_is_null() {
    let dir = TempDir::new().unwrap();
    let old =
        format!("SELECT account, visitor, ts, n FROM ({TRAFFIC}) WHERE n % 3 = 0 ORDER BY 1, 2, 3");
    write(
        &dir.path().join("1.parquet"),
        &rows(&old).await,
        3,
        Pages::Dictionary,
    );
    let new = format!("SELECT * FROM ({TRAFFIC}) WHERE n % 3 > 0 ORDER BY 1, 2, 3");
    write(
        &dir.path().join("2.parquet"),
        &rows(&new).await,
        3,
        Pages::SmallDictionary,
    );
    let both = format!(
        "SELECT account, visitor, ts, n, CASE WHEN n % 3 > 0 THEN bytes END AS bytes,
             CASE WHEN n % 3 > 0 THEN step END AS step FROM ({TRAFFIC})"
    );
    assert_same(dir.path(), &plain(&both).await, "MergedFunnelExec").await;
}

/// Three files follow each other and are one stream; their bounds are texts, too.
#[tokio::test]
async fn files_that_follow_each_other_are_one_stream_of_views() {
    let dir = TempDir::new().unwrap();
    let traffic = format!("SELECT * FROM ({TRAFFIC}) WHERE account IS NOT NULL");
    let parts = [
        "n % 2 = 0 AND account = 'account-0'",
        "n % 2 = 0 AND account = 'account-1'",
        "n % 2 = 0 AND account = 'account-2'",
        "n % 2 = 1",
    ];
    for (part, condition) in parts.into_iter().enumerate() {
        let sql = format!("{traffic} AND {condition} ORDER BY 1, 2, 3");
        let path = dir.path().join(format!("{part}.parquet"));
        write(&path, &rows(&sql).await, 3, Pages::Dictionary);
    }
    assert_same(dir.path(), &plain(&traffic).await, "MergedFunnelExec").await;
    let found = over(dir.path(), 8192).await;
    let shown = text(&found, &format!("EXPLAIN {}", QUERIES[0])).await;
    assert!(shown.contains("streams=2"), "{shown}");
}
