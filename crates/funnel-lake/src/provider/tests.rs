use std::sync::Arc;

use arrow::array::{AsArray, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use super::*;
use crate::testing::{
    Row, TestLake, accepted, advance, append, batch, event_files, key, place, row,
};
use crate::{Commit, Lake, encode_files};

async fn context(lake: &Lake) -> SessionContext {
    let context = SessionContext::new();
    let events = lake.events_provider().await.unwrap();
    context.register_table("events", events).unwrap();
    context
}

async fn query(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

async fn number(context: &SessionContext, sql: &str) -> i64 {
    let batches = query(context, sql).await;
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Files that the plan of `sql` opens, by batch id.
async fn files(context: &SessionContext, sql: &str) -> Vec<String> {
    let plan = context
        .sql(sql)
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string();
    let mut found: Vec<String> = text
        .split([',', '[', ']', '{', '}'])
        .filter(|part| part.trim().ends_with(".parquet"))
        .map(|part| {
            part.rsplit('/')
                .next()
                .unwrap()
                .split('-')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    found.sort();
    found
}

/// One commit a day with four rows each: `day0`, `day1`, `day2`.
async fn three_days() -> TestLake {
    let lake = TestLake::new().await;
    for day in 0..3 {
        let id = format!("day{day}");
        let offsets = day * 4..day * 4 + 4;
        let rows: Vec<Row> = offsets.clone().map(|o| Row { day, ..row(0, o) }).collect();
        let commit = Commit {
            files: event_files(&lake.lake, &rows, &id),
            advances: vec![advance(0, offsets.clone())],
            batch_id: id,
            ledger: vec![accepted(0, offsets)],
        };
        lake.lake.events().commit(commit).await.unwrap();
    }
    lake
}

#[tokio::test]
async fn what_is_read_is_what_was_written() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    append(&lake.lake, 1, 0..3, "b2").await;
    let context = context(&lake.lake).await;
    let schema = lake.lake.events().schema();
    let written: Vec<Row> = (0..5).map(|o| row(0, o)).collect();
    let read = query(
        &context,
        "SELECT * FROM events WHERE kafka_partition = 0 ORDER BY kafka_offset",
    )
    .await;
    let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
    let written = batch(schema, &written, "b1");
    for field in schema.fields() {
        let name = field.name();
        let (left, right) = (read.column_by_name(name), written.column_by_name(name));
        let cast = |column: Option<&arrow::array::ArrayRef>| {
            arrow::compute::cast(column.unwrap(), field.data_type()).unwrap()
        };
        assert_eq!(&cast(left), &cast(right), "{name}");
    }
    assert_eq!(number(&context, "SELECT count(*) FROM events").await, 8);
}

#[tokio::test]
async fn lists_come_back_from_rows_as_the_decoder_builds_them() {
    let lake = TestLake::new().await;
    let schema = funnel_events::events_schema();
    let plain = batch(&schema, &[row(0, 0), row(0, 1)], "b1");
    let at = schema.index_of("sections").unwrap();
    let DataType::List(item) = schema.field(at).data_type() else {
        panic!("sections is a list");
    };
    let values = StringArray::from(vec!["home", "shoes"]);
    let lengths = OffsetBuffer::from_lengths([2, 0]);
    let sections = ListArray::new(Arc::clone(item), lengths, Arc::new(values), None);
    let mut columns = plain.columns().to_vec();
    columns[at] = Arc::new(sections);
    let rows = RecordBatch::try_new(schema, columns).unwrap();
    let commit = Commit {
        files: encode_files(&[rows], lake.lake.events(), "b1").unwrap(),
        advances: vec![advance(0, 0..2)],
        batch_id: "b1".to_owned(),
        ledger: vec![accepted(0, 0..2)],
    };
    lake.lake.events().commit(commit).await.unwrap();
    let context = context(&lake.lake).await;
    let read = query(
        &context,
        "SELECT sections FROM events ORDER BY kafka_offset",
    )
    .await;
    let text = pretty_format_batches(&read).unwrap().to_string();
    assert!(
        text.contains("[home, shoes]") && text.contains("[] "),
        "{text}"
    );
    let sql = "SELECT count(*) FROM events WHERE array_has(sections, 'shoes')";
    assert_eq!(number(&context, sql).await, 1);
}

#[tokio::test]
async fn conditions_on_the_day_are_exact_and_open_only_its_files() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    for (condition, days, rows) in [
        ("event_date = DATE '2026-05-02'", vec!["day1"], 4),
        ("event_date >= DATE '2026-05-02'", vec!["day1", "day2"], 8),
        ("event_date <> DATE '2026-05-02'", vec!["day0", "day2"], 8),
        (
            "event_date IN (DATE '2026-05-01', DATE '2026-05-03')",
            vec!["day0", "day2"],
            8,
        ),
        ("date_part('day', event_date) = 3", vec!["day2"], 4),
        ("event_date IS NULL", vec![], 0),
        (
            "event_date = DATE '2026-05-02' AND kafka_offset = 5",
            vec!["day1"],
            1,
        ),
    ] {
        let sql = format!("SELECT visitor_id FROM events WHERE {condition}");
        assert_eq!(files(&context, &sql).await, days, "{condition}");
        let sql = format!("SELECT count(visitor_id) FROM events WHERE {condition}");
        assert_eq!(number(&context, &sql).await, rows, "{condition}");
    }
}

#[tokio::test]
async fn files_whose_range_cannot_match_are_not_opened() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    for (condition, days, rows) in [
        ("kafka_offset = 6", vec!["day1"], 1),
        ("kafka_offset < 4", vec!["day0"], 4),
        (
            "event_time >= TIMESTAMP '2026-05-03T00:00:00Z'",
            vec!["day2"],
            4,
        ),
        (
            "event_time < TIMESTAMP '2026-05-01T12:00:00Z'",
            vec!["day0"],
            4,
        ),
        ("visitor_id = 'visitor-0'", vec!["day0"], 1),
        ("batch_id = 'day2'", vec!["day2"], 4),
        ("account_id = 'nobody'", vec![], 0),
        ("campaign_id IS NOT NULL", vec![], 0),
        // Nothing is known about this column: every file is read.
        ("source_system = 'nobody'", vec!["day0", "day1", "day2"], 0),
    ] {
        let sql = format!("SELECT url FROM events WHERE {condition}");
        assert_eq!(files(&context, &sql).await, days, "{condition}");
        let sql = format!("SELECT count(visitor_id) FROM events WHERE {condition}");
        assert_eq!(number(&context, &sql).await, rows, "{condition}");
    }
}

#[tokio::test]
async fn only_the_wanted_columns_are_read() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    let plan = context
        .sql("SELECT visitor_id, event_date FROM events WHERE kafka_offset > 2")
        .await
        .unwrap()
        .create_physical_plan()
        .await
        .unwrap();
    let text = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(true)
        .to_string();
    let scan = text
        .lines()
        .find(|line| line.contains("DataSourceExec"))
        .unwrap();
    assert!(
        scan.contains("projection=[visitor_id, event_date]")
            || scan.contains("projection=[visitor_id, kafka_offset, event_date]"),
        "{scan}"
    );
    assert!(scan.contains("predicate=kafka_offset"), "{scan}");
}

#[tokio::test]
async fn a_limit_opens_no_more_files_than_it_takes() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    assert_eq!(
        files(&context, "SELECT url FROM events LIMIT 4")
            .await
            .len(),
        1
    );
    assert_eq!(
        files(&context, "SELECT url FROM events LIMIT 5")
            .await
            .len(),
        2
    );
    let rows = query(&context, "SELECT url FROM events LIMIT 5").await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    // The condition comes before the limit.
    let rows = query(
        &context,
        "SELECT url FROM events WHERE visitor_id = 'visitor-9' LIMIT 1",
    )
    .await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

#[tokio::test]
async fn rows_are_counted_from_the_log() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM events", 12),
        ("SELECT max(kafka_offset) FROM events", 11),
        (
            "SELECT count(*) FROM events WHERE event_date > DATE '2026-05-01'",
            8,
        ),
    ] {
        assert_eq!(number(&context, sql).await, expected, "{sql}");
        assert_eq!(files(&context, sql).await, [""; 0], "{sql}");
    }
}

#[tokio::test]
async fn a_provider_stays_at_its_version_and_a_new_one_sees_more() {
    let lake = three_days().await;
    let before = context(&lake.lake).await;
    append(&lake.lake, 0, 12..20, "later").await;
    assert_eq!(
        number(&before, "SELECT count(url) + count(*) FROM events").await,
        12
    );
    let after = context(&lake.lake).await;
    assert_eq!(number(&after, "SELECT count(*) FROM events").await, 20);
}

#[tokio::test]
async fn an_empty_table_has_no_rows() {
    let lake = TestLake::new().await;
    let context = context(&lake.lake).await;
    assert_eq!(number(&context, "SELECT count(*) FROM events").await, 0);
    assert_eq!(
        number(
            &context,
            "SELECT count(visitor_id) FROM events WHERE event_date > DATE '2026-01-01'"
        )
        .await,
        0
    );
    let rows = query(&context, "SELECT max(event_time) AS t FROM events").await;
    assert!(
        pretty_format_batches(&rows)
            .unwrap()
            .to_string()
            .contains('t')
    );
}

#[tokio::test]
async fn any_delta_table_can_be_read_by_path() {
    let lake = three_days().await;
    let path = lake.path("events");
    let context = SessionContext::new();
    let provider = table_provider(place(&path)).await.unwrap();
    context.register_table("t", provider).unwrap();
    assert_eq!(
        number(&context, "SELECT count(*) FROM t WHERE kafka_offset > 9").await,
        2
    );
    let error = table_provider(place(lake.dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn files_without_statistics_are_read_and_counted() {
    let lake = TestLake::new().await;
    let rows: Vec<Row> = (0..4).map(|o| row(0, o)).collect();
    let mut files = event_files(&lake.lake, &rows, "b1");
    files[0].stats = "{}".to_owned();
    let commit = Commit {
        files,
        advances: vec![advance(0, 0..4)],
        batch_id: "b1".to_owned(),
        ledger: Vec::new(),
    };
    lake.lake.events().commit(commit).await.unwrap();
    let context = context(&lake.lake).await;
    assert_eq!(number(&context, "SELECT count(*) FROM events").await, 4);
    assert_eq!(
        number(
            &context,
            "SELECT count(*) FROM events WHERE kafka_offset = 2"
        )
        .await,
        1
    );
    assert_eq!(key(0).partition, 0);
}

#[tokio::test]
async fn times_cut_to_milliseconds_do_not_hide_rows() {
    let lake = TestLake::new().await;
    let mut files = event_files(&lake.lake, &[row(0, 0)], "b1");
    // The row's time is 2026-05-01T00:00:00; say that it lies 999 microseconds before.
    files[0].stats = files[0]
        .stats
        .replace("2026-05-01T00:00:00.000000Z", "2026-04-30T23:59:59.999001Z");
    let commit = Commit {
        files,
        advances: vec![advance(0, 0..1)],
        batch_id: "b1".to_owned(),
        ledger: Vec::new(),
    };
    lake.lake.events().commit(commit).await.unwrap();
    let context = context(&lake.lake).await;
    let sql = "SELECT count(*) FROM events WHERE event_time >= TIMESTAMP '2026-05-01T00:00:00Z'";
    assert_eq!(number(&context, sql).await, 1);
}

#[tokio::test]
async fn plans_run_in_as_many_parts_as_the_session_wants() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    let plan = context.sql("SELECT url FROM events").await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), context.task_ctx())
        .await
        .unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 12);
}

/// Bytes of columns that the scan of `sql` reads, and its rows.
async fn read(context: &SessionContext, sql: &str) -> (usize, String) {
    let plan = context.sql(sql).await.unwrap();
    let plan = plan.create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), context.task_ctx()).await;
    let mut scan = plan;
    while let Some(below) = scan.children().first().map(|below| Arc::clone(below)) {
        scan = below;
    }
    let bytes = scan.metrics().unwrap().sum_by_name("bytes_scanned");
    let rows = pretty_format_batches(&rows.unwrap()).unwrap();
    (bytes.unwrap().as_usize(), rows.to_string())
}

#[tokio::test]
async fn a_text_that_all_rows_of_a_sorted_file_have_is_not_read() {
    const SQL: &str = "SELECT account_id, count(*) FROM events GROUP BY account_id";
    let lake = three_days().await;
    let (bytes, rows) = read(&context(&lake.lake).await, SQL).await;
    assert!(bytes > 0 && rows.contains("| account_id | 12"), "{rows}");
    for day in [1, 2, 3] {
        let date = chrono::NaiveDate::from_ymd_opt(2026, 5, day).unwrap();
        let options = crate::CompactOptions::default();
        let done = lake.lake.compact_day(date, &options, &|_| ()).await;
        assert_eq!(done.unwrap().unwrap().rows, 4);
    }
    let sorted = context(&lake.lake).await;
    assert_eq!(read(&sorted, SQL).await, (0, rows));
    let visitors = "SELECT account_id, visitor_id FROM events";
    assert!(read(&sorted, visitors).await.0 > 0);
}

#[tokio::test]
async fn equal_bounds_of_another_writer_may_be_cut_off() {
    let lake = TestLake::new().await;
    let mut files = event_files(&lake.lake, &[row(0, 0)], "b1");
    let whole = r#""account_id":"account_id""#;
    assert_eq!(files[0].stats.matches(whole).count(), 2);
    files[0].stats = files[0].stats.replace(whole, r#""account_id":"acc""#);
    let commit = Commit {
        files,
        advances: vec![advance(0, 0..1)],
        batch_id: "b1".to_owned(),
        ledger: Vec::new(),
    };
    lake.lake.events().commit(commit).await.unwrap();
    let context = context(&lake.lake).await;
    let (_, rows) = read(&context, "SELECT account_id FROM events").await;
    assert!(rows.contains("| account_id |\n+--"), "{rows}");
}

#[tokio::test]
async fn a_footer_is_read_once() {
    let lake = three_days().await;
    let context = context(&lake.lake).await;
    const SQL: &str = "SELECT sum(kafka_offset) FROM events";
    assert_eq!(number(&context, SQL).await, 66);
    for entry in std::fs::read_dir(lake.path("events")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.to_string_lossy().contains("event_date") {
            for file in std::fs::read_dir(folder).unwrap() {
                let file = file.unwrap().path();
                let mut bytes = std::fs::read(&file).unwrap();
                let end = bytes.len();
                bytes[end - 8..].fill(0);
                std::fs::write(&file, bytes).unwrap();
            }
        }
    }
    assert_eq!(number(&context, SQL).await, 66);
    let other = SessionContext::new();
    let events = lake.lake.events_provider().await.unwrap();
    other.register_table("events", events).unwrap();
    let failed = other.sql(SQL).await.unwrap().collect().await;
    assert!(failed.is_err());
}
