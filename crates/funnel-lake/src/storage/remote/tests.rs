use std::io::Write;
use std::sync::atomic::Ordering;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::memory::InMemory;

use super::*;
use crate::storage::{Sink, blocking};
use crate::testing::{Faults, plain_commit};
use crate::{CompactOptions, Lake, Outcome, audit};

const PLACE: &str = "s3://bucket/some/lake";

fn options(values: &[(&str, &str)]) -> StorageOptions {
    let mut options = StorageOptions::default();
    for (name, value) in values {
        options.set(*name, *value);
    }
    options
}

async fn append(lake: &Lake, offsets: std::ops::Range<i64>, batch_id: &'static str) {
    let to = lake.clone();
    let commit = blocking(move || Ok(plain_commit(&to, 0, offsets, batch_id)));
    let committed = lake.events().commit(commit.await.unwrap()).await.unwrap();
    assert!(matches!(committed, Outcome::Committed { .. }));
}

async fn names(store: &InMemory) -> Vec<String> {
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    objects.iter().map(|o| o.location.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_in_a_store_is_written_read_sorted_and_proved() {
    let store = Arc::new(InMemory::new());
    let lake = Lake::create_or_open_in(PLACE, Arc::clone(&store) as Arc<dyn ObjectStore>);
    let lake = lake.await.unwrap();
    append(&lake, 0..5, "b1").await;
    append(&lake, 5..9, "b2").await;
    assert!(lake.events().checkpoint_if_due(1).await.unwrap().is_some());
    let day = lake.event_days().await.unwrap().remove(0);
    assert_eq!((day.files, day.rows), (2, 9));
    let options = CompactOptions::default();
    let sorted = lake.compact_day(day.date, &options, &|_| {}).await.unwrap();
    assert_eq!(sorted.unwrap().files_after, 1);
    let again = Lake::create_or_open_in(PLACE, Arc::clone(&store) as Arc<dyn ObjectStore>);
    let again = again.await.unwrap();
    let report = audit(&again).await.unwrap();
    assert_eq!((report.event_rows, report.problems), (9, vec![]));
    let offset = again.events().load().await.unwrap();
    assert_eq!(offset.offset(&crate::testing::key(0).app_id()), Some(9));
    let strays = names(&store).await;
    assert!(
        strays.iter().all(|n| n.starts_with("some/lake/")),
        "{strays:?}"
    );
    assert!(!strays.iter().any(|n| n.contains("probe")), "{strays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn footers_are_read_once_and_not_once_per_query() {
    let faults = Arc::new(Faults::default());
    let lake = Lake::create_or_open_in(PLACE, faults.over(Arc::new(InMemory::new())));
    let lake = lake.await.unwrap();
    append(&lake, 0..5, "b1").await;
    append(&lake, 5..9, "b2").await;
    let events = lake.events_provider().await.unwrap();
    let mut calls = Vec::new();
    for _ in 0..2 {
        let before = faults.calls.load(Ordering::SeqCst);
        let context = SessionContext::new();
        context
            .register_table("events", Arc::clone(&events))
            .unwrap();
        let sum = "SELECT sum(kafka_offset) FROM events WHERE event_id <> 'x'";
        let rows = context.sql(sum).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 36);
        calls.push(faults.calls.load(Ordering::SeqCst) - before);
    }
    assert_eq!(calls[1], 2, "one range of each of two files");
    assert!(calls[0] > calls[1], "{calls:?}");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let (faults, store) = (Arc::new(Faults::default()), Arc::new(InMemory::new()));
    faults.unconditional.store(true, Ordering::SeqCst);
    let through = faults.over(Arc::clone(&store) as Arc<dyn ObjectStore>);
    let error = Lake::create_or_open_in(PLACE, through).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("If-None-Match"), "{error}");
    assert_eq!(names(&store).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_there_once_it_is_whole_and_never_before() {
    let store = Arc::new(InMemory::new());
    let place = Location::with_store(PLACE, Arc::clone(&store) as Arc<dyn ObjectStore>).unwrap();
    let bytes: Vec<u8> = (0..20_000_003_u32).map(|n| (n % 251) as u8).collect();
    let (to, all, seen) = (place.clone(), bytes.clone(), Arc::clone(&store));
    let written = blocking(move || {
        let mut dropped = Sink::create(&to, "dropped").unwrap();
        dropped.write_all(&all).unwrap();
        drop(dropped);
        let mut sink = Sink::create(&to, "large").unwrap();
        for piece in all.chunks(100_000) {
            sink.write_all(piece).unwrap();
        }
        assert_eq!(Handle::current().block_on(names(&seen)), [""; 0]);
        sink.finish()
    });
    assert_eq!(written.await.unwrap(), 20_000_003);
    assert!(place.read("large").await.unwrap().unwrap() == bytes);
    assert_eq!(names(&store).await, ["some/lake/large"]);
}

#[test]
fn only_a_bucket_and_a_folder_name_a_place() {
    for (place, url) in [
        ("s3://bucket/a/b", "s3://bucket/a/b/"),
        ("s3://bucket/a//", "s3://bucket/a/"),
        ("s3://bucket", "s3://bucket/"),
    ] {
        assert_eq!(address(place).unwrap().as_str(), url);
    }
    for place in [
        "s3:///lake",
        "s3://bucket:9000/lake",
        "s3://key:hush@bucket/lake",
        "s3://bucket/lake?token=hush",
    ] {
        let error = address(place).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{place}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn what_is_not_encrypted_has_to_be_allowed() {
    let endpoint = ("aws_endpoint_url", "http://127.0.0.1:9000");
    let error = options(&[endpoint]).check(PLACE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("AWS_ALLOW_HTTP"), "{error}");
    let allowed = options(&[endpoint, ("aws_allow_http", "true")]);
    allowed.check(PLACE).unwrap();
    options(&[]).check(PLACE).unwrap();
}

#[tokio::test]
async fn secrets_are_shown_nowhere() {
    let hush = options(&[
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "hush"),
        ("aws_session_token", "hush"),
    ]);
    let place = Location::parse(PLACE, &hush).unwrap();
    let shown = format!("{hush:?} {place:?} {:?}", place.child("events").unwrap());
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("aws_secret_access_key"), "{shown}");
}
