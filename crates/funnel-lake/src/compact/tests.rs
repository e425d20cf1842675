mod beside;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::rows;
use crate::testing::{MAY_FIRST, Row, TestLake, accepted, advance, append, batch, row};
use crate::{Commit, Outcome, audit, encode_files};

const ORDERED: &str = "SELECT account_id, visitor_id, event_time, kafka_offset FROM events \
                       ORDER BY account_id, visitor_id, event_time";

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn date(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 5, 1 + number).unwrap()
}

/// Small files, little memory.
fn small() -> CompactOptions {
    CompactOptions {
        memory: 64 << 20,
        file_bytes: 40_000,
    }
}

/// `rows` with random accounts, visitors (some null) and times.
fn shuffled(rows: &RecordBatch, dice: &mut Dice) -> RecordBatch {
    let count = rows.num_rows();
    let accounts: StringArray = (0..count)
        .map(|_| Some(format!("a{}", dice.below(4))))
        .collect();
    let visitors: StringArray = (0..count)
        .map(|_| match dice.below(12) {
            0 => None,
            1..4 => Some("one of many".to_owned()),
            visitor => Some(format!("v{visitor}")),
        })
        .collect();
    let times = (0..count).map(|_| Some(MAY_FIRST + i64::try_from(dice.below(50)).unwrap()));
    let times: ArrayRef = Arc::new(
        times
            .collect::<TimestampMicrosecondArray>()
            .with_timezone("UTC"),
    );
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| match field.name().as_str() {
            "account_id" => Arc::new(accounts.clone()),
            "visitor_id" => Arc::new(visitors.clone()),
            "event_time" => Arc::clone(&times),
            _ => Arc::clone(column),
        });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// A commit of rows like those of [`shuffled`].
async fn arrive(lake: &Lake, day: i64, offsets: std::ops::Range<i64>, dice: &mut Dice) {
    let id = Uuid::now_v7().to_string();
    let rows: Vec<Row> = offsets.clone().map(|o| Row { day, ..row(0, o) }).collect();
    let rows = shuffled(&batch(lake.events().schema(), &rows, &id), dice);
    let commit = Commit {
        files: encode_files(&[rows], lake.events(), &id).unwrap(),
        advances: vec![advance(0, offsets.clone())],
        batch_id: id,
        ledger: vec![accepted(0, offsets)],
    };
    let outcome = lake.events().commit(commit).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
}

async fn compact(lake: &Lake, day: u32) -> Option<CompactedDay> {
    let compacted = lake.compact_day(date(day), &small(), &|_| ()).await;
    compacted.unwrap()
}

async fn context(lake: &Lake) -> SessionContext {
    let context = SessionContext::new();
    let provider = lake.events_provider().await.unwrap();
    context.register_table("events", provider).unwrap();
    context
}

async fn plan(lake: &Lake, sql: &str) -> String {
    let frame = context(lake).await.sql(sql).await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(true).to_string()
}

async fn query(lake: &Lake, sql: &str) -> RecordBatch {
    let batches = context(lake)
        .await
        .sql(sql)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

type Key = (String, bool, Option<String>, i64);

/// Account, visitor (nulls last) and time of each row, and its offset.
fn keys(rows: &RecordBatch) -> Vec<(Key, i64)> {
    let (accounts, visitors) = (
        rows.column(0).as_string::<i32>(),
        rows.column(1).as_string::<i32>(),
    );
    let times = rows.column(2).as_primitive::<TimestampMicrosecondType>();
    let offsets = rows.column(3).as_primitive::<Int64Type>();
    (0..rows.num_rows())
        .map(|row| {
            let visitor = rows::text_at(visitors, row).map(str::to_owned);
            let key = (
                accounts.value(row).to_owned(),
                visitor.is_none(),
                visitor,
                times.value(row),
            );
            (key, offsets.value(row))
        })
        .collect()
}

async fn assert_in_order(lake: &Lake, count: i64) {
    let keys = keys(&query(lake, ORDERED).await);
    assert!(keys.is_sorted_by(|a, b| a.0 <= b.0), "{keys:?}");
    let mut offsets: Vec<i64> = keys.iter().map(|key| key.1).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn random_days_come_sorted_without_a_sort() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let lake = TestLake::new().await;
        let mut next = 0;
        let days = 1 + dice.below(3);
        for _ in 0..2 + dice.below(5) {
            let day = i64::try_from(dice.below(days)).unwrap();
            let count = 1 + i64::try_from(dice.below(400)).unwrap();
            arrive(&lake.lake, day, next..next + count, &mut dice).await;
            next += count;
        }
        let before = query(&lake.lake, "SELECT count(*), sum(content_hash) FROM events").await;
        assert!(plan(&lake.lake, ORDERED).await.contains("SortExec"));
        for day in lake.lake.event_days().await.unwrap() {
            let done = lake
                .lake
                .compact_day(day.date, &small(), &|_| ())
                .await
                .unwrap()
                .unwrap();
            assert_eq!((done.rows, done.files_before), (day.rows, day.files));
        }
        let text = plan(&lake.lake, ORDERED).await;
        assert!(!text.contains("SortExec"), "{text}");
        assert_in_order(&lake.lake, next).await;
        let after = query(&lake.lake, "SELECT count(*), sum(content_hash) FROM events").await;
        assert_eq!(before, after);
        assert_eq!(audit(&lake.lake).await.unwrap().problems, []);
    }
}

#[tokio::test]
async fn a_late_file_takes_the_order_back_until_its_day_is_sorted_again() {
    let mut dice = Dice(1);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..500, &mut dice).await;
    arrive(&lake.lake, 1, 500..600, &mut dice).await;
    compact(&lake.lake, 0).await.unwrap();
    assert!(plan(&lake.lake, ORDERED).await.contains("SortExec"));
    let one_day = "SELECT account_id FROM events WHERE event_date = DATE '2026-05-01' \
                   ORDER BY account_id, visitor_id, event_time";
    let text = plan(&lake.lake, one_day).await;
    assert!(!text.contains("SortExec"), "{text}");
    arrive(&lake.lake, 0, 600..601, &mut dice).await;
    assert!(plan(&lake.lake, one_day).await.contains("SortExec"));
    assert_in_order(&lake.lake, 601).await;
    let again = compact(&lake.lake, 0).await.unwrap();
    assert_eq!(again.rows, 501);
    let text = plan(&lake.lake, one_day).await;
    assert!(!text.contains("SortExec"), "{text}");
    assert_in_order(&lake.lake, 601).await;
}

#[tokio::test]
async fn a_sorted_day_is_left_alone_and_a_few_late_rows_do_not_count() {
    let mut dice = Dice(2);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..3000, &mut dice).await;
    let day = async || lake.lake.event_days().await.unwrap().remove(0);
    assert!(day().await.is_worth_sorting());
    compact(&lake.lake, 0).await.unwrap();
    let version = lake.lake.events().load().await.unwrap().version();
    assert!(day().await.is_sorted() && !day().await.is_worth_sorting());
    assert_eq!(compact(&lake.lake, 0).await, None);
    assert_eq!(lake.lake.events().load().await.unwrap().version(), version);
    let with_late = |bytes| EventDay {
        unsorted_files: 1,
        files: 3,
        bytes: 1000,
        unsorted_bytes: bytes,
        date: date(0),
        rows: 0,
    };
    assert!(!with_late(49).is_worth_sorting() && with_late(50).is_worth_sorting());
    let many = EventDay {
        unsorted_files: 8,
        files: 11,
        ..with_late(8)
    };
    assert!(many.is_worth_sorting());
}

#[tokio::test]
async fn the_mark_survives_a_checkpoint_and_a_reopen() {
    let mut dice = Dice(3);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..100, &mut dice).await;
    compact(&lake.lake, 0).await.unwrap();
    lake.lake
        .events()
        .checkpoint_if_due(1)
        .await
        .unwrap()
        .unwrap();
    append(&lake.lake, 1, 0..2, "b2").await;
    let again = lake.reopen().await;
    let days = again.event_days().await.unwrap();
    assert_eq!(
        (days[0].unsorted_files, days[0].files > 1),
        (1, true),
        "{days:?}"
    );
    assert_eq!(audit(&again).await.unwrap().problems, []);
}

#[tokio::test]
async fn little_memory_is_enough() {
    let mut dice = Dice(4);
    let lake = TestLake::new().await;
    for part in 0..4 {
        arrive(&lake.lake, 0, part * 5000..(part + 1) * 5000, &mut dice).await;
    }
    let options = CompactOptions {
        memory: 24 << 20,
        ..small()
    };
    let told = AtomicU64::new(0);
    let count = |rows| {
        told.fetch_add(rows, Ordering::SeqCst);
    };
    let done = lake
        .lake
        .compact_day(date(0), &options, &count)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((done.rows, told.load(Ordering::SeqCst)), (20_000, 20_000));
    assert!(done.files_after > 2, "{done:?}");
    assert_in_order(&lake.lake, 20_000).await;
}

/// The plan of one thread: its groups are those that the files need, not those that it wants.
async fn plan_of_one(lake: &Lake, sql: &str) -> String {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    let provider = lake.events_provider().await.unwrap();
    context.register_table("events", provider).unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await;
    displayable(plan.unwrap().as_ref()).indent(true).to_string()
}

#[tokio::test]
async fn the_files_of_a_day_are_read_one_after_the_other() {
    let mut dice = Dice(11);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..3000, &mut dice).await;
    let options = CompactOptions {
        file_bytes: 10_000,
        ..small()
    };
    let done = lake
        .lake
        .compact_day(date(0), &options, &|_| ())
        .await
        .unwrap()
        .unwrap();
    assert!(done.files_after > 4, "{done:?}");
    let text = plan_of_one(&lake.lake, ORDERED).await;
    assert!(
        text.contains("{1 group: ") && !text.contains("SortExec"),
        "{text}"
    );
    assert_in_order(&lake.lake, 3000).await;
}

#[tokio::test]
async fn a_visitor_never_comes_after_the_rows_without_one_of_its_account() {
    let lake = TestLake::new().await;
    let table = lake.lake.events();
    for (offset, visitors) in [(0, [Some("v1"), None]), (2, [Some("v2"), Some("v3")])] {
        let offsets = offset..offset + 2;
        let id = format!("b{offset}");
        let rows: Vec<Row> = offsets.clone().map(|o| row(0, o)).collect();
        let rows = batch(table.schema(), &rows, &id);
        let at = rows.schema().index_of("visitor_id").unwrap();
        let mut columns = rows.columns().to_vec();
        columns[at] = Arc::new(StringArray::from(visitors.to_vec()));
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        let mut files = encode_files(&[rows], table, &id).unwrap();
        files[0].sorted = true;
        let commit = Commit {
            files,
            advances: vec![advance(0, offsets.clone())],
            batch_id: id,
            ledger: vec![accepted(0, offsets)],
        };
        table.commit(commit).await.unwrap();
    }
    let text = plan_of_one(&lake.lake, ORDERED).await;
    assert!(
        text.contains("{2 groups: ") && !text.contains("SortExec"),
        "{text}"
    );
    assert_in_order(&lake.lake, 4).await;
}

#[tokio::test]
async fn the_log_says_that_no_row_changed_and_files_say_their_order() {
    let mut dice = Dice(10);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..50, &mut dice).await;
    compact(&lake.lake, 0).await.unwrap();
    let text = std::fs::read_to_string(lake.path("events/_delta_log/00000000000000000002.json"));
    let text = text.unwrap();
    let (adds, removes) = (
        text.matches("\"add\":").count(),
        text.matches("\"remove\":").count(),
    );
    assert!(adds >= 1 && removes == 1, "{text}");
    assert_eq!(text.matches("\"dataChange\":false").count(), adds + removes);
    assert_eq!(text.matches("funnel.sorted_by").count(), adds);
    let snapshot = lake.lake.events().load().await.unwrap();
    let file = std::fs::File::open(lake.path("events").join(&snapshot.files()[0].path)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let group = reader.metadata().row_group(0);
    let order = group.sorting_columns().unwrap();
    let names: Vec<String> = order
        .iter()
        .map(|c| {
            group
                .column(usize::try_from(c.column_idx).unwrap())
                .column_path()
                .string()
        })
        .collect();
    assert_eq!(names, crate::order::SORT_KEY);
    assert!(order.iter().all(|c| !c.descending && !c.nulls_first));
    let columns = group.columns().iter();
    let plain = columns.filter(|c| c.compression() == Compression::UNCOMPRESSED);
    let plain: Vec<String> = plain.map(|c| c.column_path().string()).collect();
    assert_eq!(
        plain,
        ["event_type", "account_id", "visitor_id", "event_time"]
    );
}

#[tokio::test]
async fn sorted_files_that_claim_fewer_rows_than_they_replaced_are_a_problem() {
    let mut dice = Dice(12);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..50, &mut dice).await;
    compact(&lake.lake, 0).await.unwrap();
    let entry = lake.path("events/_delta_log/00000000000000000002.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    let less = text.replacen("numRecords\\\":50", "numRecords\\\":49", 1);
    assert_ne!(text, less);
    std::fs::write(&entry, less).unwrap();
    let report = audit(&lake.reopen().await).await.unwrap();
    let found = |rule| report.problems.iter().any(|problem| problem.rule == rule);
    assert!(found("replaced_rows") && found("file_rows"), "{report:?}");
}
