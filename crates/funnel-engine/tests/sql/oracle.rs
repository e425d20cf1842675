//! Random tables: our functions against plain SQL, and against exhaustive search.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Int32Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use funnel_engine::SessionBuilder;
use funnel_match::{Mode, Row, Spec, reference};

use crate::{run, text};

/// A small generator (xorshift): the same table in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(crate) fn int(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(bound.unsigned_abs())).unwrap()
    }
}

/// Each row satisfies one step at most; some have no time, some no step.
fn one_step_a_row(seed: u64, rows: usize, keys: i64) -> RecordBatch {
    let mut random = Random(seed);
    let (mut k, mut t, mut step) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        k.push(random.int(keys));
        t.push((random.below(20) > 0).then(|| random.int(40) * 1_000_000));
        step.push((random.below(10) > 0).then(|| i32::try_from(random.below(5)).unwrap()));
    }
    let t = TimestampMicrosecondArray::from(t).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("k", Arc::new(Int64Array::from(k)) as ArrayRef),
        ("t", Arc::new(t)),
        ("step", Arc::new(Int32Array::from(step))),
    ])
    .unwrap()
}

/// Seven rows a key, any of which may satisfy several steps.
pub(crate) fn several_steps_a_row(seed: u64, keys: i64) -> RecordBatch {
    let mut random = Random(seed);
    let mut k: Vec<i64> = (0..keys).flat_map(|key| [key; 7]).collect();
    let rows = k.len();
    for row in (1..rows).rev() {
        k.swap(row, usize::try_from(random.below(row as u64 + 1)).unwrap());
    }
    let t: Int64Array = (0..rows).map(|_| random.int(8)).collect::<Vec<_>>().into();
    let mut columns: Vec<(&str, ArrayRef)> =
        vec![("k", Arc::new(Int64Array::from(k))), ("t", Arc::new(t))];
    for name in ["a", "b", "c"] {
        let condition =
            (0..rows).map(|_| [None, Some(true), Some(false)][random.below(3) as usize]);
        columns.push((name, Arc::new(condition.collect::<BooleanArray>())));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A session in which table `t` has the rows of `batch`, dealt out to partitions.
pub(crate) fn session_of(
    batch: &RecordBatch,
    partitions: usize,
    batch_rows: usize,
) -> SessionContext {
    let session = SessionBuilder::new()
        .target_partitions(partitions)
        .batch_size(batch_rows)
        .build()
        .unwrap();
    let size = batch.num_rows().div_ceil(partitions);
    let part = |part: usize| {
        let from = part * size;
        let length = size.min(batch.num_rows() - from);
        let slice = |at: usize| batch.slice(at, batch_rows.min(from + length - at));
        (from..from + length)
            .step_by(batch_rows)
            .map(slice)
            .collect::<Vec<_>>()
    };
    let table = MemTable::try_new(batch.schema(), (0..partitions).map(part).collect()).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

/// Latest entry for each level, by nested windows: exact where a row has one step at most.
fn plain_sql(window: Option<u32>) -> String {
    let within = |entry: &str| match window {
        Some(seconds) => format!("t <= {entry} + INTERVAL '{seconds} seconds'"),
        None => "true".to_owned(),
    };
    let over = "OVER (PARTITION BY k ORDER BY t)";
    format!(
        "SELECT k, CASE WHEN max(e3) IS NOT NULL THEN 3 WHEN max(e2) IS NOT NULL THEN 2
                        WHEN max(e1) IS NOT NULL THEN 1 ELSE 0 END AS level
         FROM (SELECT *, max(CASE WHEN step = 3 AND t IS NOT NULL AND {} THEN e2 END) {over} AS e3
         FROM (SELECT *, max(CASE WHEN step = 2 AND t IS NOT NULL AND {} THEN e1 END) {over} AS e2
         FROM (SELECT *, max(CASE WHEN step = 1 THEN t END) {over} AS e1 FROM t)))
         GROUP BY k ORDER BY k",
        within("e2"),
        within("e1")
    )
}

fn ours(window: Option<u32>) -> String {
    let window = window.map_or("NULL".to_owned(), |seconds| {
        format!("INTERVAL '{seconds} seconds'")
    });
    format!(
        "SELECT k, window_funnel({window}, 'ordered', t, step = 1, step = 2, step = 3) AS level
         FROM t GROUP BY k ORDER BY k"
    )
}

#[tokio::test]
async fn levels_equal_those_of_plain_sql() {
    let batch = one_step_a_row(7, 900, 60);
    let session = session_of(&batch, 2, 8192);
    let mut seen = BTreeSet::new();
    for window in [None, Some(0), Some(1), Some(3), Some(10)] {
        let expected = text(&session, &plain_sql(window)).await;
        assert_eq!(
            text(&session, &ours(window)).await,
            expected,
            "window {window:?}"
        );
        seen.extend(
            expected
                .lines()
                .filter_map(|line| line.split(" | ").nth(1)?.parse::<u32>().ok()),
        );
    }
    assert_eq!(
        seen,
        BTreeSet::from([0, 1, 2, 3]),
        "the table shows every level"
    );
}

#[tokio::test]
async fn default_of_clickhouse_is_that_of_nested_windows() {
    let mut seen = BTreeSet::new();
    for seed in 1..=12 {
        let session = session_of(&several_steps_a_row(seed, 60), 3, 16);
        for window in [0, 1, 3, 9] {
            let rows = "(SELECT * FROM t WHERE a IS NOT NULL AND b IS NOT NULL AND c IS NOT NULL)";
            let over = "OVER (PARTITION BY k ORDER BY t)";
            let nested = format!(
                "SELECT k, CASE WHEN max(e3) IS NOT NULL THEN 3 WHEN max(e2) IS NOT NULL THEN 2
                                WHEN max(e1) IS NOT NULL THEN 1 ELSE 0 END AS level
                 FROM (SELECT *, max(CASE WHEN c AND t <= e2 + {window} THEN e2 END) {over} AS e3
                 FROM (SELECT *, max(CASE WHEN b AND t <= e1 + {window} THEN e1 END) {over} AS e2
                 FROM (SELECT *, max(CASE WHEN a THEN t END) {over} AS e1 FROM {rows})))
                 GROUP BY k ORDER BY k"
            );
            let ours = format!(
                "SELECT k, window_funnel({window}, 'ch:default', t, a, b, c) AS level
                 FROM t GROUP BY k HAVING count(*) FILTER (WHERE a IS NOT NULL AND b IS NOT NULL
                                                             AND c IS NOT NULL) > 0 ORDER BY k"
            );
            let expected = text(&session, &nested).await;
            assert_eq!(
                text(&session, &ours).await,
                expected,
                "seed {seed}, window {window}"
            );
            seen.extend(
                expected
                    .lines()
                    .filter_map(|line| line.split(" | ").nth(1)?.parse::<u32>().ok()),
            );
        }
    }
    assert_eq!(
        seen,
        BTreeSet::from([0, 1, 2, 3]),
        "the tables show every level"
    );
}

#[tokio::test]
async fn partitions_and_batch_sizes_change_nothing() {
    let batch = one_step_a_row(11, 300, 25);
    let expected = text(&session_of(&batch, 1, 8192), &ours(Some(5))).await;
    for partitions in 1..=4 {
        for batch_rows in [1, 2, 7, 8192] {
            let session = session_of(&batch, partitions, batch_rows);
            let found = text(&session, &ours(Some(5))).await;
            assert_eq!(
                found, expected,
                "{partitions} partitions, batches of {batch_rows}"
            );
        }
    }
}

#[tokio::test]
async fn levels_and_times_equal_exhaustive_search() {
    const KEYS: i64 = 150;
    let batch = several_steps_a_row(3, KEYS);
    for (mode, window) in [
        (Mode::Ordered, None),
        (Mode::Ordered, Some(0)),
        (Mode::Ordered, Some(3)),
        (Mode::Loose, None),
        (Mode::Loose, Some(2)),
    ] {
        let window_sql = window.map_or("NULL".to_owned(), |window| window.to_string());
        let sql = format!(
            "SELECT k, m['level'] AS level, m['times'] AS times
             FROM (SELECT k, funnel_match({window_sql}, '{mode}', t, a, b, c) AS m FROM t GROUP BY k)
             ORDER BY k"
        );
        let session = session_of(&batch, 3, 16);
        let mut keys = 0;
        for answer in run(&session, &sql).await.unwrap() {
            for row in 0..answer.num_rows() {
                let key = answer["k"].as_primitive::<Int64Type>().value(row);
                let spec = Spec::new(mode, 3, window).unwrap();
                let history = history(&batch, key);
                let level = answer["level"].as_primitive::<Int32Type>().value(row);
                assert_eq!(
                    level as usize,
                    reference::level(&spec, &history),
                    "key {key}, {spec:?}"
                );
                let times = answer["times"].as_list::<i32>().value(row);
                let times: Vec<_> = times.as_primitive::<Int64Type>().iter().collect();
                assert_eq!(
                    times,
                    reference::times(&spec, &history),
                    "key {key}, {spec:?}"
                );
                keys += 1;
            }
        }
        assert_eq!(keys, KEYS);
    }
}

pub(crate) fn history(batch: &RecordBatch, key: i64) -> Vec<Row> {
    let of_key = |row: &usize| batch["k"].as_primitive::<Int64Type>().value(*row) == key;
    let row = |row: usize| {
        let satisfies =
            |name: &str| batch[name].as_boolean().iter().nth(row).flatten() == Some(true);
        let mask = u64::from(satisfies("a"))
            | u64::from(satisfies("b")) << 1
            | u64::from(satisfies("c")) << 2;
        Row {
            time: batch["t"].as_primitive::<Int64Type>().value(row),
            mask,
        }
    };
    (0..batch.num_rows()).filter(of_key).map(row).collect()
}

#[tokio::test]
async fn spilled_groups_give_the_same_levels() {
    let batch = one_step_a_row(5, 60_000, 20_000);
    let expected = text(&session_of(&batch, 2, 1024), &ours(Some(5))).await;

    let session = SessionBuilder::new()
        .target_partitions(2)
        .batch_size(1024)
        .memory_limit(4 * 1024 * 1024)
        .build()
        .unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    let found = text(&session, &ours(Some(5))).await;
    assert!(found == expected, "levels differ when groups are spilled");
    let plan = text(&session, &format!("EXPLAIN ANALYZE {}", ours(Some(5)))).await;
    let spills = plan
        .split("spill_count=")
        .skip(1)
        .any(|rest| !rest.starts_with('0'));
    assert!(
        spills,
        "nothing was spilled, so the test shows nothing:\n{plan}"
    );
}
