//! Input in any order: our operator, with the answers of DataFusion's hash table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use datafusion::prelude::SessionContext;
use funnel_engine::SessionBuilder;
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{run, table, text};

const CALLS: &str = "window_funnel(40, 'ordered', ts, step = 1, step = 2, step = 3) AS a,
    funnel_match(40, 'ordered', ts, step = 1, step = 2, step = 3) FILTER (WHERE n % 7 > 0) AS b,
    window_funnel(30, 'next', ts, step = 1, step = 2, step = 3) AS c,
    funnel_steps(NULL, 'loose', ts, step = 1, step = 4, step = 3) AS d";

/// Some keys are null, some are equal but for their end, some times are missing.
fn traffic(rows: usize, keys: usize) -> RecordBatch {
    let mut rng = StdRng::seed_from_u64(23);
    let (mut text, mut number, mut ts, mut step) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        let key = rng.random_range(0..keys);
        text.push((key % 50 > 0).then(|| format!("{}{key}", "visitor-".repeat(key % 4))));
        number.push((key % 31 > 0).then_some(key as i64 / 3));
        ts.push(
            rng.random_ratio(19, 20)
                .then(|| rng.random_range(0..300_i64)),
        );
        step.push(rng.random_ratio(19, 20).then(|| rng.random_range(0..5_i64)));
    }
    let text: ArrayRef = Arc::new(StringArray::from(text));
    let number: ArrayRef = Arc::new(Int64Array::from(number));
    let time = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    RecordBatch::try_from_iter([
        ("code", cast(&text, &dictionary).unwrap()),
        ("bytes", cast(&text, &DataType::Binary).unwrap()),
        ("text", text),
        ("at", cast(&number, &time).unwrap()),
        ("small", cast(&number, &DataType::Int16).unwrap()),
        ("number", number),
        ("ts", Arc::new(Int64Array::from(ts))),
        ("step", Arc::new(Int64Array::from(step))),
        ("n", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
    ])
    .unwrap()
}

/// Table `t` in pieces of so many rows, dealt out to so many partitions.
fn over(session: &SessionContext, batch: &RecordBatch, piece: usize, partitions: usize) {
    let mut parts = vec![Vec::new(); partitions];
    for (index, begin) in (0..batch.num_rows()).step_by(piece).enumerate() {
        let length = piece.min(batch.num_rows() - begin);
        parts[index % partitions].push(batch.slice(begin, length));
    }
    let table = MemTable::try_new(batch.schema(), parts).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
}

fn session(partitions: usize) -> SessionBuilder {
    SessionBuilder::new().target_partitions(partitions)
}

async fn lines(session: &SessionContext, sql: &str) -> Vec<String> {
    let text = text(session, sql).await;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The same by DataFusion's hash table: an aggregate that is not ours asks for it.
async fn by_hash_table(session: &SessionContext, columns: &str, group: &str) -> Vec<String> {
    let sql = format!(
        "SELECT {columns} FROM (SELECT {group}, {CALLS}, count(*) AS rows FROM t GROUP BY {group})
         WHERE rows > 0"
    );
    let plan = text(session, &format!("EXPLAIN {sql}")).await;
    assert!(plan.contains("AggregateExec"), "{plan}");
    lines(session, &sql).await
}

#[tokio::test]
async fn every_kind_of_key_gives_the_answers_of_the_hash_table() {
    let batch = traffic(4_000, 300);
    for group in [
        "text",
        "number",
        "at",
        "small",
        "code",
        "bytes",
        "text, number",
        "number, step",
    ] {
        let all = format!("{group}, a, b, c, d");
        for (piece, partitions) in [(1, 1), (7, 3), (4_000, 2), (500, 5)] {
            let session = session(partitions).build().unwrap();
            over(&session, &batch, piece, partitions);
            for columns in [all.as_str(), "a", "d, b"] {
                let sql = format!(
                    "SELECT {columns} FROM (SELECT {group}, {CALLS} FROM t GROUP BY {group})"
                );
                let plan = text(&session, &format!("EXPLAIN {sql}")).await;
                assert!(plan.contains("HashedFunnelExec"), "{plan}");
                assert!(!plan.contains("AggregateExec"), "{plan}");
                let expected = by_hash_table(&session, columns, group).await;
                assert!(expected.len() > 60);
                assert_eq!(lines(&session, &sql).await, expected, "{group}: {columns}");
            }
        }
    }
}

#[tokio::test]
async fn no_rows_are_no_keys() {
    let session = session(2).build().unwrap();
    over(&session, &traffic(20, 5), 3, 2);
    let sql = format!("SELECT text, {CALLS} FROM t WHERE n < 0 GROUP BY text");
    assert_eq!(text(&session, &sql).await, "");
}

#[tokio::test]
async fn keys_and_rows_move_to_disk_under_a_memory_limit() {
    let batch = traffic(60_000, 900);
    let sql = format!("SELECT text, {CALLS} FROM t GROUP BY text");
    let free = session(3).build().unwrap();
    over(&free, &batch, 1_000, 3);
    let expected = lines(&free, &sql).await;
    for (limit, partitions) in [(1_000_000, 3), (400_000, 3), (400_000, 60)] {
        let session = session(3).memory_limit(limit).build().unwrap();
        over(&session, &batch, 1_000, partitions);
        let found = lines(&session, &sql).await;
        assert_eq!(found, expected, "{limit} bytes, {partitions} partitions");
        let analyzed = text(&session, &format!("EXPLAIN ANALYZE {sql}")).await;
        assert!(analyzed.contains("spills="), "{analyzed}");
        assert!(!analyzed.contains("spills=0"), "{analyzed}");
        assert_eq!(session.runtime_env().memory_pool.reserved(), 0);
    }
}

#[tokio::test]
async fn a_limit_below_one_batch_is_refused_with_the_name_of_the_operator() {
    let session = session(2).memory_limit(2_000).build().unwrap();
    over(&session, &traffic(5_000, 900), 1_000, 2);
    let sql = format!("SELECT text, {CALLS} FROM t GROUP BY text");
    let error = run(&session, &sql).await.unwrap_err().to_string();
    assert!(error.contains("Resources exhausted"), "{error}");
    assert!(error.contains("HashedFunnelExec"), "{error}");
}

#[tokio::test]
async fn dropped_stream_gives_its_memory_back() {
    let session = session(2).batch_size(10).build().unwrap();
    over(&session, &traffic(5_000, 900), 100, 2);
    let sql = format!("SELECT text, {CALLS} FROM t GROUP BY text");
    let query = session.sql(&sql).await.unwrap();
    let mut stream = query.execute_stream().await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 10);
    let pool = Arc::clone(&session.runtime_env().memory_pool);
    assert!(pool.reserved() > 0);
    drop(stream);
    // The tasks of an exchange above end on their own.
    for _ in 0..1_000 {
        if pool.reserved() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} bytes are still reserved", pool.reserved());
}

/// Whoever runs a plan may finish one partition before the next begins. The input is read once all the
/// same: some inputs cannot be read again, others give what is left.
#[tokio::test]
async fn partitions_that_are_read_one_after_the_other_have_all_keys() {
    let sql = "SELECT number, window_funnel(40, 'ordered', ts, step = 1, step = 2) AS a FROM t
               WHERE n >= 0 GROUP BY number";
    let batch = traffic(4_000, 300);
    let session = session(3).batch_size(16).build().unwrap();
    over(&session, &batch, 4_000, 1);
    let expected = lines(&session, sql).await;
    let plan = session.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(true).to_string();
    assert!(
        text.contains("RepartitionExec") && text.contains("HashedFunnelExec"),
        "{text}"
    );
    let plan = under_coalesce(plan);
    let partitions = plan.output_partitioning().partition_count();
    assert!(partitions > 1);
    let mut batches = Vec::new();
    for partition in 0..partitions {
        let stream = plan.execute(partition, session.task_ctx()).unwrap();
        batches.extend(collect(stream).await.unwrap());
    }
    let mut found: Vec<String> = table(&batches).lines().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, expected);
}

/// The node whose partitions a plan gathers at its top.
fn under_coalesce(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.children()[..] {
        [input] if plan.output_partitioning().partition_count() == 1 => {
            under_coalesce(Arc::clone(input))
        }
        _ => plan,
    }
}
