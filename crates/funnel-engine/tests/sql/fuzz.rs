//! The same questions over the same random rows, however they lie and however they are run: the same
//! answers. `FUZZ_ITERATIONS` asks for more than the default.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use funnel_engine::SessionBuilder;
use futures::StreamExt;
use tempfile::TempDir;

use crate::oracle::Random;
use crate::{run, session, table, text};

const ITERATIONS: u64 = 10;

/// Few keys with many rows and many keys with few; many rows of the same time.
fn rows(random: &mut Random) -> RecordBatch {
    let rows = 60 + random.below(500) as usize;
    let keys = [3, 40, 300][random.below(3) as usize];
    let (mut key, mut time) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let number = random.below(keys) * (1 + random.below(2));
        key.push((random.below(30) > 0).then(|| format!("visitor number {number}")));
        time.push((random.below(25) > 0).then(|| random.int(60)));
    }
    let id: UInt64Array = (0..rows as u64).map(Some).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(StringArray::from(key))),
        ("t", Arc::new(Int64Array::from(time))),
        ("id", Arc::new(id)),
    ];
    for name in ["a", "b", "c"] {
        let condition = (0..rows)
            .map(|_| [None, Some(true), Some(false), Some(false)][random.below(4) as usize]);
        columns.push((name, Arc::new(condition.collect::<BooleanArray>())));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Answers that are facts of the set of rows.
const QUESTIONS: [&str; 5] = [
    "SELECT k, window_funnel(20, t, a, b, c) AS x, funnel_match(9, 'ordered', t, a, b, c) AS y,
            window_funnel(30, 'ch:strict_order', t, a, b, c) AS z FROM t GROUP BY k ORDER BY k",
    "SELECT k, funnel_match(15, named_struct('count', 'attempts', 'max_gap', make_array(5)), t, a, b, c) AS x,
            funnel_steps(NULL, 'loose', t, a, b, c) FILTER (WHERE id % 3 > 0) AS y
     FROM t GROUP BY k ORDER BY k",
    "SELECT k, funnel_match(25, 'unordered', named_struct('time', t, 'id', id), a, b, c) AS x, count(*) AS n FROM t GROUP BY k ORDER BY k",
    "SELECT k, funnel_match(25, named_struct('count', 'completions'), named_struct('time', t, 'id', id, 'hold', id % 3), a, b, c) AS x,
            window_funnel(25, named_struct('time', t, 'hold', id % 2), a, b, c) AS y FROM t GROUP BY k ORDER BY k",
    "SELECT k, funnel_level(funnel_merge(s), 30) AS x FROM
     (SELECT k, t / 7 AS day, funnel_state(30, t, a, b, c) AS s FROM t GROUP BY k, t / 7) GROUP BY k ORDER BY k",
];

/// How the rows lie.
#[derive(Debug)]
enum Layout {
    Memory,
    /// Files, whether their rows are sorted, whether they say so, and whether each has a range of
    /// keys and times of its own.
    Files {
        files: usize,
        sorted: bool,
        declared: bool,
        apart: bool,
    },
}

fn layout(random: &mut Random) -> Layout {
    let sorted = random.below(3) > 0;
    match random.below(4) {
        0 => Layout::Memory,
        _ => Layout::Files {
            files: 1 + random.below(4) as usize,
            sorted,
            declared: sorted && random.below(3) > 0,
            apart: random.below(2) > 0,
        },
    }
}

fn shuffled(batch: &RecordBatch, random: &mut Random) -> RecordBatch {
    let mut order: Vec<u64> = (0..batch.num_rows() as u64).collect();
    for row in (1..order.len()).rev() {
        order.swap(row, random.below(row as u64 + 1) as usize);
    }
    take_record_batch(batch, &UInt64Array::from(order)).unwrap()
}

async fn sorted(batch: &RecordBatch) -> RecordBatch {
    let session = session();
    let schema = batch.schema();
    let table = MemTable::try_new(Arc::clone(&schema), vec![vec![batch.clone()]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    let batches = run(
        &session,
        "SELECT * FROM t ORDER BY k NULLS LAST, t NULLS LAST",
    )
    .await
    .unwrap();
    concat_batches(&schema, &batches).unwrap()
}

fn write(path: &Path, batch: &RecordBatch, declared: bool, group_rows: usize) {
    let by = |column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_sorting_columns(declared.then(|| vec![by(0), by(1)]))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Lays the rows out as table `t`.
async fn lay_out(
    session: &SessionContext,
    batch: &RecordBatch,
    layout: &Layout,
    dir: &Path,
    random: &mut Random,
) {
    let Layout::Files {
        files,
        sorted: in_order,
        declared,
        apart,
    } = *layout
    else {
        let batch = shuffled(batch, random);
        let part = batch.num_rows() / 3;
        let parts = [
            (0, part),
            (part, part),
            (2 * part, batch.num_rows() - 2 * part),
        ];
        let parts = parts
            .map(|(from, length)| vec![batch.slice(from, length)])
            .to_vec();
        let table = MemTable::try_new(batch.schema(), parts).unwrap();
        session.register_table("t", Arc::new(table)).unwrap();
        return;
    };
    let all = if apart {
        sorted(batch).await
    } else {
        shuffled(batch, random)
    };
    let size = all.num_rows().div_ceil(files);
    for (number, from) in (0..all.num_rows()).step_by(size).enumerate() {
        let part = all.slice(from, size.min(all.num_rows() - from));
        let part = if in_order {
            sorted(&part).await
        } else {
            shuffled(&part, random)
        };
        let group_rows = 1 + random.below(300) as usize;
        write(
            &dir.join(format!("{number}.parquet")),
            &part,
            declared,
            group_rows,
        );
    }
    session
        .register_parquet("t", dir.to_str().unwrap(), ParquetReadOptions::default())
        .await
        .unwrap();
}

fn session_for(random: &mut Random, memory: Option<usize>) -> SessionContext {
    let mut config = SessionConfig::new().with_repartition_file_min_size(1);
    if random.below(2) > 0 {
        // Rows are turned into states one by one.
        let options = &mut config.options_mut().execution;
        options.skip_partial_aggregation_probe_rows_threshold = 1;
        options.skip_partial_aggregation_probe_ratio_threshold = 0.0;
    }
    let builder = SessionBuilder::with_config(config)
        .target_partitions(1 + random.below(5) as usize)
        .batch_size([1, 3, 64, 8192][random.below(4) as usize]);
    match memory {
        Some(bytes) => builder.memory_limit(bytes).build().unwrap(),
        None => builder.build().unwrap(),
    }
}

/// What the pool has given out, once tasks that were aborted have been polled for the last time.
async fn reserved_at_rest(session: &SessionContext) -> usize {
    let pool = &session.runtime_env().memory_pool;
    for _ in 0..100_000 {
        if pool.reserved() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    pool.reserved()
}

fn iterations() -> u64 {
    std::env::var("FUZZ_ITERATIONS").map_or(ITERATIONS, |number| number.parse().unwrap())
}

/// The answers over the rows as they are, in one partition and one batch.
async fn expected(batch: &RecordBatch, question: &str) -> String {
    let session = SessionBuilder::new().target_partitions(1).build().unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap();
    session.register_table("t", Arc::new(table)).unwrap();
    text(&session, question).await
}

#[tokio::test]
async fn layouts_partitions_and_batch_sizes_change_nothing() {
    let mut streamed = 0;
    for seed in 1..=iterations() {
        let mut random = Random(seed * 0x9e37_79b9);
        let batch = rows(&mut random);
        let layout = layout(&mut random);
        let dir = TempDir::new().unwrap();
        let session = session_for(&mut random, None);
        lay_out(&session, &batch, &layout, dir.path(), &mut random).await;
        for question in QUESTIONS {
            let found = text(&session, question).await;
            assert!(
                found == expected(&batch, question).await,
                "seed {seed}, {layout:?}: other answers to\n{question}"
            );
            let plan = text(&session, &format!("EXPLAIN {question}")).await;
            let streams = ["SortedFunnelExec", "MergedFunnelExec"];
            streamed += u64::from(streams.iter().any(|operator| plan.contains(operator)));
        }
    }
    assert!(
        streamed >= iterations() / 4,
        "{streamed} plans were streamed"
    );
}

/// Small enough to spill, or to be refused.
#[tokio::test]
async fn too_little_memory_spills_or_is_refused_and_never_changes_an_answer() {
    let (mut answered, mut refused, mut spilled) = (0, 0, 0);
    for seed in 1..=iterations() {
        let mut random = Random(seed * 0x85eb_ca6b);
        let batch = rows(&mut random);
        let layout = layout(&mut random);
        let dir = TempDir::new().unwrap();
        let memory = [20, 40, 80, 160, 320][random.below(5) as usize] * 1024;
        let session = session_for(&mut random, Some(memory));
        lay_out(&session, &batch, &layout, dir.path(), &mut random).await;
        for question in QUESTIONS {
            let analyzed = format!("EXPLAIN ANALYZE {question}");
            match run(&session, question).await {
                Ok(batches) => {
                    answered += 1;
                    assert!(
                        table(&batches) == expected(&batch, question).await,
                        "seed {seed}, {layout:?}, {memory} bytes: other answers to\n{question}"
                    );
                    if let Ok(plan) = run(&session, &analyzed).await {
                        let plan = datafusion::arrow::util::pretty::pretty_format_batches(&plan)
                            .unwrap()
                            .to_string();
                        let counts =
                            ["spill_count=", " spills="].map(|name| plan.split(name).skip(1));
                        let mut counts = counts.into_iter().flatten();
                        spilled += usize::from(counts.any(|rest| !rest.starts_with('0')));
                    }
                }
                Err(error) => {
                    refused += 1;
                    let root = error.find_root();
                    assert!(
                        matches!(root, DataFusionError::ResourcesExhausted(_)),
                        "seed {seed}, {layout:?}, {memory} bytes: {root}"
                    );
                }
            }
            assert_eq!(
                reserved_at_rest(&session).await,
                0,
                "seed {seed}: memory is kept"
            );
        }
    }
    assert!(
        answered > 0 && refused > 0 && spilled > 0,
        "{answered} answered, {refused} refused, {spilled} spilled"
    );
}

#[tokio::test]
async fn dropped_queries_give_their_memory_back() {
    let mut held = 0;
    for seed in 1..=iterations() {
        let mut random = Random(seed * 0xc2b2_ae35);
        let batch = rows(&mut random);
        let layout = layout(&mut random);
        let dir = TempDir::new().unwrap();
        let session = session_for(&mut random, Some(64 * 1024 * 1024));
        lay_out(&session, &batch, &layout, dir.path(), &mut random).await;
        let pool = Arc::clone(&session.runtime_env().memory_pool);
        for question in QUESTIONS {
            let query = session.sql(question).await.unwrap();
            let mut stream = query.execute_stream().await.unwrap();
            let first = stream.next().await;
            if let Some(Err(error)) = first {
                panic!("seed {seed}, {layout:?}: {error}\n{question}");
            }
            held += usize::from(pool.reserved() > 0);
            drop(stream);
            assert_eq!(
                reserved_at_rest(&session).await,
                0,
                "seed {seed}, {layout:?}: memory is kept by\n{question}"
            );
        }
    }
    assert!(held > 0, "no query held memory when it was dropped");
}
