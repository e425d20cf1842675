//! Tables by path, and what the session says when there is none.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::fixture::rows;

fn write(path: &Path, values: &[i64]) {
    std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let column = Arc::new(Int64Array::from(values.to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("batch");
    let file = std::fs::File::create(path).expect("file");
    let mut writer = ArrowWriter::try_new(file, schema, None).expect("writer");
    writer.write(&batch).expect("write");
    writer.close().expect("close");
}

async fn session_with_table(path: &Path) -> Result<QuerySession> {
    let session = QuerySession::without_lake(QueryOptions::default())?;
    session.register_table("t", &path.to_string_lossy()).await?;
    Ok(session)
}

#[tokio::test]
async fn a_parquet_file_is_a_table_whatever_its_extension() {
    let folder = tempfile::tempdir().expect("folder");
    for name in ["a.parquet", "b.pq", "c"] {
        let path = folder.path().join(name);
        write(&path, &[1, 2]);
        let session = session_with_table(&path).await.expect(name);
        assert_eq!(
            rows(&session, "SELECT sum(n) FROM t").await,
            ["3"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_directory_of_parquet_files_is_a_table_with_its_folders_as_columns() {
    let folder = tempfile::tempdir().expect("folder");
    write(&folder.path().join("date=2024-03-04/part-0.parquet"), &[1]);
    write(
        &folder.path().join("date=2024-03-05/part-0.parquet"),
        &[2, 3],
    );
    let session = session_with_table(folder.path()).await.expect("table");
    let sql = "SELECT date, sum(n) FROM t GROUP BY date ORDER BY date";
    assert_eq!(rows(&session, sql).await, ["2024-03-04 1", "2024-03-05 5"]);
}

#[tokio::test]
async fn a_table_is_replaced_by_the_next_of_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let (one, two) = (
        folder.path().join("1.parquet"),
        folder.path().join("2.parquet"),
    );
    write(&one, &[1]);
    write(&two, &[2]);
    let session = session_with_table(&one).await.expect("table");
    session
        .register_table("t", &two.to_string_lossy())
        .await
        .expect("second");
    assert_eq!(rows(&session, "SELECT n FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_a_usage_error_with_a_hint() {
    let error = session_with_table(Path::new("/nowhere/at/all"))
        .await
        .expect_err("nothing");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("hint:"), "{error}");
}

#[tokio::test]
async fn a_query_of_a_table_that_is_not_there_names_it_in_the_cause() {
    let session = QuerySession::without_lake(QueryOptions::default()).expect("session");
    let error = session
        .sql("SELECT * FROM offers")
        .await
        .expect_err("no such table");
    assert_eq!(error.kind(), ErrorKind::Query);
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert!(cause.is_some_and(|cause| cause.contains("offers")));
}

#[tokio::test]
async fn events_without_the_columns_of_the_model_are_refused_by_name() {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "event_id",
        DataType::Utf8,
        false,
    )]));
    let batch = RecordBatch::new_empty(schema);
    let error = QuerySession::from_batches(vec![batch], QueryOptions::default())
        .await
        .expect_err("no events");
    assert!(error.to_string().contains("account_id"), "{error}");
}

#[tokio::test]
async fn views_that_do_not_fit_into_the_memory_limit_fail_and_say_who_asked() {
    use crate::fixture::{batch, ev};
    use funnel_events::EventType;

    let events: Vec<_> = (0..2000)
        .map(|second| ev(EventType::PageViewed, second))
        .collect();
    let options = QueryOptions {
        memory_limit: Some(200_000),
        ..QueryOptions::default()
    };
    let session = QuerySession::from_batches(vec![batch(&events)], options)
        .await
        .expect("session");
    let error = session
        .collect("SELECT count(*) FROM events_enriched")
        .await
        .expect_err("too much");
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(cause.contains("events_enriched"), "{cause}");
}
