//! The ids of the rows of the chain.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::Int64Type;

use crate::arguments::check;
use crate::oracle::{Random, session_of, several_steps_a_row};
use crate::{run, session, text};

/// Modes that report a chain, step after step; the others report the first row of each step.
const CHAINS: [&str; 16] = [
    "ordered",
    "ordered,increase",
    "next",
    "next,relevant=steps",
    "ch:default",
    "ch:strict_order",
    "ch:strict_once",
    "ch:strict_increase",
    "ch:strict_deduplication",
    "doris:default",
    "doris:fixed",
    "starrocks:default",
    "starrocks:deduplication,increase",
    "pinot:default",
    "posthog:ordered",
    "posthog:strict",
];

/// Random rows with a sequence and with ids of two types.
fn rows(seed: u64, keys: i64) -> RecordBatch {
    let batch = several_steps_a_row(seed, keys);
    let mut random = Random(seed);
    let ids: Vec<String> = (0..batch.num_rows())
        .map(|row| format!("event {row}"))
        .collect();
    let numbers: UInt64Array = (0..batch.num_rows() as u64)
        .map(|row| Some(row * 3))
        .collect();
    let sequence: Int64Array = ids
        .iter()
        .map(|_| (random.below(4) > 0).then(|| random.int(3)))
        .collect();
    let mut columns: Vec<(String, ArrayRef)> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    columns.push(("id".to_owned(), Arc::new(StringArray::from(ids))));
    columns.push(("number".to_owned(), Arc::new(numbers)));
    columns.push(("sequence".to_owned(), Arc::new(sequence)));
    RecordBatch::try_from_iter(columns).unwrap()
}

fn matched(mode: &str, time: &str) -> String {
    let window = if mode == "set" { "NULL" } else { "6" };
    format!(
        "SELECT k, m['level'] AS level, m['times'] AS times, m['ids'] AS ids
         FROM (SELECT k, funnel_match({window}, '{mode}', {time}, a, b, c) AS m FROM t GROUP BY k) ORDER BY k"
    )
}

const TIME: &str = "named_struct('time', t, 'id', id, 'sequence', sequence)";

#[tokio::test]
async fn ids_are_those_of_rows_at_the_times_of_the_chain() {
    let batch = rows(5, 90);
    let session = session_of(&batch, 2, 16);
    let time_of = |id: &str| {
        let row: usize = id.trim_start_matches("event ").parse().unwrap();
        batch["t"].as_primitive::<Int64Type>().value(row)
    };
    let (mut chains, mut entries) = (0, 0);
    for mode in CHAINS
        .into_iter()
        .chain(["unordered", "loose", "set", "posthog:unordered"])
    {
        for answer in run(&session, &matched(mode, TIME)).await.unwrap() {
            for row in 0..answer.num_rows() {
                let key = answer["k"].as_primitive::<Int64Type>().value(row);
                let times = answer["times"].as_list::<i32>().value(row);
                let times: Vec<_> = times.as_primitive::<Int64Type>().iter().collect();
                let ids = answer["ids"].as_list::<i32>().value(row);
                let of_ids: Vec<_> = ids
                    .as_string::<i32>()
                    .iter()
                    .map(|id| id.map(time_of))
                    .collect();
                assert_eq!(of_ids, times, "mode {mode}, key {key}");
                entries += times.len();
                if CHAINS.contains(&mode) {
                    let times: Vec<i64> = times.into_iter().flatten().collect();
                    assert!(times.is_sorted(), "mode {mode}, key {key}: {times:?}");
                    chains += usize::from(times.len() > 1 && times[0] < times[times.len() - 1]);
                }
            }
        }
    }
    assert!(
        chains > 200 && entries > 2_000,
        "{chains} chains, {entries} entries"
    );
}

/// A row fills one step of the chain, and the row satisfies it.
#[tokio::test]
async fn rows_of_a_chain_are_different_and_satisfy_their_steps() {
    let batch = rows(8, 90);
    let session = session_of(&batch, 3, 7);
    let mut longest = 0;
    for mode in ["ordered", "ordered,increase", "next"] {
        for answer in run(
            &session,
            &matched(mode, "named_struct('time', t, 'id', id)"),
        )
        .await
        .unwrap()
        {
            let lists = answer["ids"].as_list::<i32>();
            for row in 0..answer.num_rows() {
                let ids = lists.value(row);
                let mut positions: Vec<usize> = Vec::new();
                for (step, id) in ids.as_string::<i32>().iter().flatten().enumerate() {
                    let position: usize = id.trim_start_matches("event ").parse().unwrap();
                    let condition = ["a", "b", "c"][step];
                    assert!(
                        batch[condition].as_boolean().value(position),
                        "{mode}: {id} is no {condition}"
                    );
                    positions.push(position);
                }
                let length = positions.len();
                positions.sort_unstable();
                positions.dedup();
                assert_eq!(positions.len(), length, "{mode}: a row stands twice");
                longest = longest.max(length);
            }
        }
    }
    assert_eq!(longest, 3);
}

#[tokio::test]
async fn neither_order_of_rows_nor_partitions_change_the_chain() {
    let batch = rows(13, 60);
    let mut random = Random(31);
    for mode in CHAINS.into_iter().chain(["unordered", "loose"]) {
        let sql = matched(mode, TIME);
        let expected = text(&session_of(&batch, 1, 8192), &sql).await;
        for (partitions, batch_rows) in [(1, 3), (3, 16), (4, 1)] {
            let mut order: Vec<u64> = (0..batch.num_rows() as u64).collect();
            for row in (1..order.len()).rev() {
                order.swap(row, random.below(row as u64 + 1) as usize);
            }
            let shuffled = take_record_batch(&batch, &UInt64Array::from(order)).unwrap();
            let found = text(&session_of(&shuffled, partitions, batch_rows), &sql).await;
            assert_eq!(
                found, expected,
                "mode {mode}, {partitions} partitions of {batch_rows} rows"
            );
        }
    }
}

#[tokio::test]
async fn level_and_times_are_those_without_ids() {
    let batch = rows(21, 80);
    let session = session_of(&batch, 2, 16);
    for mode in [
        "ordered",
        "ordered,increase",
        "next",
        "ch:strict_once",
        "pinot:default",
        "loose",
    ] {
        let with = matched(mode, TIME).replace(", m['ids'] AS ids", "");
        let without = with.replace(TIME, "t");
        assert_eq!(
            text(&session, &with).await,
            text(&session, &without).await,
            "mode {mode}"
        );
    }
}

#[tokio::test]
async fn ids_keep_their_type_and_may_be_null() {
    let session = session();
    let sql = |id: &str, rest: &str| {
        format!(
            "SELECT funnel_match(9, {rest} named_struct('time', v, 'id', {id}), v = 1, v = 2) AS m, arrow_typeof(m) AS y
             FROM (VALUES (2), (1)) AS t(v)"
        )
        .replace("AS m, arrow_typeof(m) AS y", "['ids'] AS m")
    };
    for (id, expected) in [
        ("v * 10", "[10, 20]"),
        ("arrow_cast(v, 'UInt64')", "[1, 2]"),
        ("concat('e', v)", "[e1, e2]"),
        (
            "arrow_cast(concat('e', v), 'Dictionary(Int32, Utf8)')",
            "[e1, e2]",
        ),
        ("arrow_cast(concat('e', v), 'Utf8View')", "[e1, e2]"),
        ("CASE WHEN v = 2 THEN 'e' END", "[, e]"),
        ("NULL", "[, ]"),
        ("arrow_cast(concat('e', v), 'Binary')", "[6531, 6532]"),
    ] {
        assert_eq!(text(&session, &sql(id, "")).await, expected, "{id}");
    }
    assert_eq!(
        text(
            &session,
            &sql("v", "named_struct('as_of', 9, 'count', 'attempts'),").replace("['ids']", "")
        )
        .await,
        "{level: 2, times: [1, 2], ids: [1, 2], state: converted, attempts: 1, completions: 1}"
    );
    // A frame that grows asks again and again.
    let running = "SELECT v, funnel_match(9, named_struct('time', v, 'id', v), v = 1, v = 2) OVER (ORDER BY v)['ids'] AS ids
                   FROM (VALUES (2), (1), (3)) AS t(v) ORDER BY v";
    assert_eq!(
        text(&session, running).await,
        "1 | [1]\n2 | [1, 2]\n3 | [1, 2]"
    );
}

#[tokio::test]
async fn wrong_ids_are_refused_while_planning() {
    check(&[
        ("window_funnel(9, named_struct('time', n, 'id', n), yes)", "window_funnel: its answer has no ids"),
        ("funnel_match(9, named_struct('time', n), yes)", "funnel_match: `time` as a struct must have `id` or `hold`"),
        ("funnel_match(9, named_struct('time', n, 'id', n, 'seq', n), yes)", "and, if wanted, `id`, `sequence` and `hold`, but no `seq`"),
        ("funnel_match(9, named_struct('time', n, 'id', 1.5), yes)", "`id` must be text, an integer or bytes, found Float64"),
        ("funnel_match(9, named_struct('time', n, 'id', n, 'sequence', 'x'), yes)", "`sequence` must be an integer"),
        ("funnel_match(9, named_struct('time', word, 'id', n), yes)", "funnel_match: `time` must be a TIMESTAMP"),
        ("funnel_match(9, 'doris:default', named_struct('time', n, 'id', n), yes)", "funnel_match: mode 'doris:default' tells rows of one instant apart by their order; give it as `sequence`"),
    ])
    .await;
}
