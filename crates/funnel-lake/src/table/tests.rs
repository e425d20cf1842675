use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::testing::{Faults, TestLake, append, key, plain_commit};
use crate::{Lake, Outcome};

async fn rows(lake: &Lake) -> i64 {
    let snapshot = lake.events().load().await.unwrap();
    snapshot.files().iter().filter_map(|f| f.num_records).sum()
}

async fn fill(lake: &Lake, commits: i64) {
    for n in 0..commits {
        append(lake, 0, n * 2..n * 2 + 2, &format!("b{n}")).await;
    }
}

/// Removes the entries before `version`, as cleaning the log does.
fn clean_log(lake: &TestLake, version: i64) {
    for version in 0..version {
        let entry = lake.path(&format!("events/_delta_log/{version:020}.json"));
        std::fs::remove_file(entry).unwrap();
    }
}

#[tokio::test]
async fn after_a_checkpoint_everything_is_as_before() {
    let lake = TestLake::new().await;
    append(&lake.lake, 1, 0..3, "other").await;
    fill(&lake.lake, 8).await;
    assert_eq!(
        lake.lake.events().checkpoint_if_due(11).await.unwrap(),
        None
    );
    assert_eq!(
        lake.lake.events().checkpoint_if_due(10).await.unwrap(),
        Some(9)
    );
    assert_eq!(lake.lake.events().checkpoint_if_due(1).await.unwrap(), None);
    append(&lake.lake, 0, 16..18, "after").await;

    let expected = BTreeMap::from([(key(0).app_id(), 18), (key(1).app_id(), 3)]);
    for cleaned in [false, true] {
        if cleaned {
            clean_log(&lake, 9);
        }
        for lake in [lake.lake.clone(), lake.reopen().await] {
            let snapshot = lake.events().load().await.unwrap();
            assert_eq!(snapshot.offsets(""), expected, "cleaned: {cleaned}");
            assert_eq!(rows(&lake).await, 21, "cleaned: {cleaned}");
        }
    }
    let again = lake.reopen().await;
    assert_eq!(append(&again, 1, 3..4, "on").await, 11);
    assert_eq!(again.events().checkpoint_if_due(2).await.unwrap(), Some(11));
}

#[tokio::test]
async fn a_log_that_lost_its_newest_entry_is_an_error() {
    let lake = TestLake::new().await;
    fill(&lake.lake, 3).await;
    let newest = lake.lake.events().load().await.unwrap().version();
    let entry = lake.path(&format!("events/_delta_log/{newest:020}.json"));
    std::fs::remove_file(entry).unwrap();

    let error = lake.lake.events().load().await.unwrap_err().to_string();
    let said = format!("version {newest} was read before and is gone");
    assert!(error.contains(&said), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_fails_harms_nothing_and_is_due_again() {
    let lake = TestLake::new().await;
    fill(&lake.lake, 3).await;
    let in_the_way = lake.path("events/_delta_log/00000000000000000003.checkpoint.parquet");
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(lake.lake.events().checkpoint_if_due(2).await.is_err());
    assert_eq!(append(&lake.lake, 0, 6..8, "after").await, 4);
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(
        lake.lake.events().checkpoint_if_due(2).await.unwrap(),
        Some(4)
    );
    assert_eq!(rows(&lake.reopen().await).await, 8);
}

#[tokio::test]
async fn a_writer_older_than_the_log_does_not_write_before_its_beginning() {
    let lake = TestLake::new().await;
    let sleeper = lake.reopen().await;
    let late = plain_commit(&sleeper, 1, 0..3, "late");
    fill(&lake.lake, 9).await;
    lake.lake.events().checkpoint_if_due(1).await.unwrap();
    clean_log(&lake, 9);
    // Entry 1, which the sleeper would write next, is free again.
    let outcome = sleeper.events().commit(late).await.unwrap();
    assert_eq!(outcome, Outcome::Committed { version: 10 });
    let again = lake.reopen().await;
    assert_eq!(rows(&again).await, 21);
    let snapshot = again.events().load().await.unwrap();
    assert_eq!(snapshot.offset(&key(1).app_id()), Some(3));
}

#[tokio::test]
async fn a_commit_costs_the_same_however_long_the_log_is() {
    let lake = TestLake::new().await;
    let faults = Arc::new(Faults::default());
    let counted = lake.with_faults(&faults).await;
    let mut calls = Vec::new();
    for n in 0..40 {
        let commit = plain_commit(&counted, 0, n * 2..n * 2 + 2, &format!("b{n}"));
        let before = faults.calls.load(Ordering::SeqCst);
        counted.events().commit(commit).await.unwrap();
        calls.push(faults.calls.load(Ordering::SeqCst) - before);
    }
    assert_eq!(calls.first(), calls.last());
    assert!(calls.iter().all(|c| *c <= 2), "{calls:?}");
}

#[tokio::test]
async fn tables_are_what_every_reader_of_delta_knows() {
    let lake = TestLake::new().await;
    for (table, partition) in [("events", "event_date"), ("rejects", "ingest_date")] {
        let entry = lake.path(&format!("{table}/_delta_log/00000000000000000000.json"));
        let lines: Vec<serde_json::Value> = std::fs::read_to_string(entry)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let part = |name| lines.iter().find_map(|line| line.get(name)).unwrap();
        let protocol = serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2});
        assert_eq!(part("protocol"), &protocol);
        let metadata = part("metaData");
        assert_eq!(metadata["partitionColumns"], serde_json::json!([partition]));
        let properties = &metadata["configuration"];
        assert_eq!(properties["delta.enableExpiredLogCleanup"], "false");
        assert!(
            properties
                .get("delta.setTransactionRetentionDuration")
                .is_none()
        );
        let columns = properties[STATS_COLUMNS].as_str().unwrap();
        assert!(columns.contains("kafka_offset") && !columns.contains("payload"));
    }
}

#[tokio::test]
async fn the_stored_schema_is_the_one_of_the_events() {
    let lake = TestLake::new().await;
    let ours = funnel_events::events_schema();
    let stored = lake.lake.events().schema();
    let describe = |schema: &SchemaRef| -> Vec<(String, bool)> {
        let fields = schema.fields().iter();
        fields
            .map(|f| (f.name().clone(), f.is_nullable()))
            .collect()
    };
    assert_eq!(describe(stored), describe(&ours));
    for (a, b) in stored.fields().iter().zip(ours.fields()) {
        assert!(a.data_type().equals_datatype(b.data_type()), "{a:?} {b:?}");
    }
}

#[tokio::test]
async fn stored_offsets_are_the_ones_that_delta_itself_reads() {
    let lake = TestLake::new().await;
    append(&lake.lake, 1, 0..3, "other").await;
    fill(&lake.lake, 3).await;
    for checkpoint in [false, true] {
        if checkpoint {
            lake.lake.events().checkpoint_if_due(1).await.unwrap();
        }
        let events = lake.lake.events();
        let mut table = DeltaTable::new(Arc::clone(events.log_store()));
        table.load().await.unwrap();
        for partition in 0..2 {
            let id = key(partition).app_id();
            let theirs = table
                .snapshot()
                .unwrap()
                .snapshot()
                .transaction_version(events.log_store().as_ref(), &id)
                .await
                .unwrap();
            let ours = lake
                .reopen()
                .await
                .events()
                .load()
                .await
                .unwrap()
                .offset(&id);
            assert_eq!(theirs, ours);
            assert!(ours.is_some());
        }
    }
}
