use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;

use super::*;
use crate::testing::{
    Fault, Faults, TestLake, accepted, advance, append, event_files, key, plain_commit, plain_rows,
    row, write_entry,
};
use crate::{Lake, audit};

async fn rows(lake: &Lake) -> i64 {
    let snapshot = lake.events().load().await.unwrap();
    snapshot.files().iter().filter_map(|f| f.num_records).sum()
}

async fn stored(lake: &Lake, partition: i32) -> Option<i64> {
    let snapshot = lake.events().load().await.unwrap();
    snapshot.offset(&key(partition).app_id())
}

async fn assert_clean(lake: &Lake) {
    let report = audit(lake).await.unwrap();
    assert_eq!(report.problems, []);
}

#[test]
fn app_ids_lead_back_to_their_keys() {
    let mut odd = key(7);
    odd.job = "a/job with/slashes".to_owned();
    for key in [key(0), odd] {
        assert_eq!(OffsetKey::from_app_id(&key.app_id()), Some(key));
    }
    assert_eq!(OffsetKey::from_app_id("fold/events"), None);
}

#[tokio::test]
async fn rows_and_offsets_move_together() {
    let lake = TestLake::new().await;
    assert_eq!(append(&lake.lake, 0, 0..10, "b1").await, 1);
    assert_eq!(append(&lake.lake, 0, 10..15, "b2").await, 2);
    let again = lake.reopen().await;
    assert_eq!(
        (rows(&again).await, stored(&again, 0).await),
        (15, Some(15))
    );
    let snapshot = again.events().load().await.unwrap();
    let all = BTreeMap::from([(key(0).app_id(), 15)]);
    assert_eq!(snapshot.offsets("funnel/lp.chat.v1/"), all);
    assert_eq!(snapshot.offsets("other/"), BTreeMap::new());
    assert_clean(&again).await;
}

#[tokio::test]
async fn a_batch_that_starts_elsewhere_is_fenced_and_says_where_the_table_is() {
    let lake = TestLake::new().await;
    let zombie = lake.reopen().await;
    let late = plain_commit(&zombie, 0, 0..7, "late");
    append(&lake.lake, 0, 0..10, "b1").await;
    let outcome = zombie.events().commit(late.clone()).await.unwrap();
    let partitions = vec![(key(0).app_id(), Some(10))];
    assert_eq!(
        outcome,
        Outcome::Fenced {
            partitions: partitions.clone()
        }
    );
    // Not even on a fresh snapshot, where Delta itself would take it.
    let fresh = lake.reopen().await;
    let outcome = fresh.events().commit(late).await.unwrap();
    assert_eq!(outcome, Outcome::Fenced { partitions });
    assert_eq!(
        (rows(&lake.lake).await, stored(&lake.lake, 0).await),
        (10, Some(10))
    );
}

#[tokio::test]
async fn only_the_partitions_that_moved_are_named_when_a_batch_is_fenced() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..10, "b1").await;
    let mut commit = plain_commit(&lake.lake, 1, 0..5, "b2");
    commit.advances.push(advance(0, 4..12));
    let outcome = lake.lake.events().commit(commit).await.unwrap();
    let partitions = vec![(key(0).app_id(), Some(10))];
    assert_eq!(outcome, Outcome::Fenced { partitions });
    assert_eq!(stored(&lake.lake, 1).await, None);
}

#[tokio::test]
async fn a_stale_writer_of_another_partition_lands() {
    let lake = TestLake::new().await;
    let other = lake.reopen().await;
    for n in 0..5 {
        append(&lake.lake, 0, n * 10..(n + 1) * 10, &format!("a{n}")).await;
    }
    assert_eq!(append(&other, 1, 0..3, "b").await, 6);
    assert_eq!(rows(&lake.lake).await, 53);
    assert_clean(&lake.lake).await;
}

#[tokio::test]
async fn the_same_commit_twice_lands_once() {
    let lake = TestLake::new().await;
    let commit = plain_commit(&lake.lake, 0, 0..10, "b1");
    let first = lake.lake.events().commit(commit.clone()).await.unwrap();
    assert_eq!(first, Outcome::Committed { version: 1 });
    for lake in [lake.lake.clone(), lake.reopen().await] {
        let again = lake.events().commit(commit.clone()).await.unwrap();
        assert_eq!(again, Outcome::AlreadyThere { version: 1 });
    }
    assert_eq!(rows(&lake.lake).await, 10);
}

#[tokio::test]
async fn a_lost_reply_is_found_out_and_not_repeated() {
    for fault in [Fault::LoseReply, Fault::Panic] {
        let lake = TestLake::new().await;
        let faults = Arc::new(Faults::default());
        let faulty = lake.with_faults(&faults).await;
        let commit = plain_commit(&faulty, 0, 0..10, "b1");
        faults.plan(&[fault]);
        let outcome = faulty.events().commit(commit).await.unwrap();
        assert_eq!(faults.happened.load(Ordering::SeqCst), 1, "{fault:?}");
        assert_eq!(outcome, Outcome::AlreadyThere { version: 1 }, "{fault:?}");
        assert_eq!(
            (rows(&lake.lake).await, stored(&lake.lake, 0).await),
            (10, Some(10))
        );
        assert_eq!(append(&faulty, 0, 10..12, "b2").await, 2);
        assert_clean(&lake.lake).await;
    }
}

#[tokio::test]
async fn a_refused_entry_is_tried_again_and_lands_once() {
    let lake = TestLake::new().await;
    let faults = Arc::new(Faults::default());
    let faulty = lake.with_faults(&faults).await;
    let commit = plain_commit(&faulty, 0, 0..10, "b1");
    faults.plan(&[Fault::Refuse, Fault::Refuse, Fault::LoseReply]);
    let outcome = faulty.events().commit(commit).await.unwrap();
    assert_eq!(faults.happened.load(Ordering::SeqCst), 3);
    assert_eq!(outcome, Outcome::AlreadyThere { version: 1 });
    assert_eq!(rows(&lake.lake).await, 10);
}

#[tokio::test]
async fn a_store_that_stays_broken_is_reported_and_the_commit_can_be_tried_later() {
    let lake = TestLake::new().await;
    let faults = Arc::new(Faults::default());
    let faulty = lake.with_faults(&faults).await;
    let commit = plain_commit(&faulty, 0, 0..10, "b1");
    faults.plan(&[Fault::Refuse; FAILURES_MAX as usize]);
    let error = faulty.events().commit(commit.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert_eq!(stored(&lake.lake, 0).await, None);
    let outcome = faulty.events().commit(commit).await.unwrap();
    assert_eq!(outcome, Outcome::Committed { version: 1 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_different_partitions_all_land() {
    let lake = TestLake::new().await;
    let writers = (0..6).map(async |partition| {
        let own = lake.reopen().await;
        for n in 0..8 {
            append(
                &own,
                partition,
                n * 5..(n + 1) * 5,
                &format!("p{partition}-{n}"),
            )
            .await;
        }
    });
    join_all(writers).await;
    assert_eq!(rows(&lake.lake).await, 6 * 8 * 5);
    for partition in 0..6 {
        assert_eq!(stored(&lake.lake, partition).await, Some(40));
    }
    assert_clean(&lake.reopen().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_writers_of_one_range_exactly_one_lands() {
    for round in 0..10 {
        let lake = TestLake::new().await;
        let writers = ["x", "y"].map(async |id| {
            let own = lake.reopen().await;
            // Different ends, so that neither can take the other's commit for its own.
            let end = if id == "x" { 10 } else { 9 };
            let commit = plain_commit(&own, 0, 0..end, id);
            (end, own.events().commit(commit).await.unwrap())
        });
        let outcomes = join_all(writers).await;
        let landed: Vec<i64> = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Outcome::Committed { .. }))
            .map(|(end, _)| *end)
            .collect();
        assert_eq!(landed.len(), 1, "round {round}: {outcomes:?}");
        assert!(
            outcomes
                .iter()
                .any(|(_, o)| matches!(o, Outcome::Fenced { .. }))
        );
        assert_eq!(rows(&lake.lake).await, landed[0], "round {round}");
        assert_eq!(stored(&lake.lake, 0).await, Some(landed[0]));
    }
}

#[tokio::test]
async fn files_without_their_commit_are_not_part_of_the_table() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..10, "b1").await;
    // The process dies here: the files are there, the entry is not.
    let orphans = event_files(&lake.lake, &plain_rows(0, 10..20), "b2");
    assert!(lake.path("events").join(&orphans[0].path).exists());
    let restarted = lake.reopen().await;
    assert_eq!(
        (rows(&restarted).await, stored(&restarted, 0).await),
        (10, Some(10))
    );
    append(&restarted, 0, 10..20, "b3").await;
    assert_eq!(rows(&restarted).await, 20);
    assert_clean(&restarted).await;
}

#[tokio::test]
async fn a_commit_that_moves_no_offset_or_moves_one_back_is_refused() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..10, "b1").await;
    let plain = plain_commit(&lake.lake, 0, 10..12, "b2");
    let mut twice = plain.clone();
    twice.advances.push(advance(0, 10..12));
    let mut slash = plain.clone();
    slash.advances[0].key.topic = "a/b".to_owned();
    for (what, advances) in [
        ("none", vec![]),
        (
            "back",
            vec![OffsetAdvance {
                key: key(0),
                from: Some(10),
                to: 4,
            }],
        ),
        (
            "still",
            vec![OffsetAdvance {
                key: key(0),
                from: Some(10),
                to: 10,
            }],
        ),
        ("twice", twice.advances),
        ("slash", slash.advances),
    ] {
        let commit = Commit {
            advances,
            ..plain.clone()
        };
        let error = lake.lake.events().commit(commit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{what}: {error}");
    }
    assert_eq!(stored(&lake.lake, 0).await, Some(10));
}

#[tokio::test]
async fn a_foreign_removal_of_rows_stops_commits_until_it_is_accepted() {
    let info = |operation| serde_json::json!({"commitInfo": {"operation": operation}});
    let remove = serde_json::json!({"remove": {"path": "x.parquet", "dataChange": true}});
    for (operation, lines) in [
        ("DELETE", vec![info("DELETE"), remove.clone()]),
        ("WRITE", vec![info("WRITE"), remove.clone()]),
        ("RESTORE", vec![info("RESTORE")]),
    ] {
        let lake = TestLake::new().await;
        append(&lake.lake, 0, 0..10, "b1").await;
        let version = write_entry(&lake, "events", &lines).await;
        // Seen by whoever was there before, and by whoever comes after.
        for writer in [lake.lake.clone(), lake.reopen().await] {
            let commit = plain_commit(&writer, 0, 10..12, &Uuid::now_v7().to_string());
            let error = writer.events().commit(commit).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::HaltedTableRewritten, "{error}");
            assert!(error.to_string().contains(operation), "{error}");
        }
        let writer = lake.reopen().await;
        writer.events().accept_rewrite(version - 1).await.unwrap();
        let commit = plain_commit(&writer, 0, 10..12, "b2");
        assert!(writer.events().commit(commit.clone()).await.is_err());
        writer.events().accept_rewrite(version).await.unwrap();
        let outcome = writer.events().commit(commit).await.unwrap();
        assert_eq!(
            outcome,
            Outcome::Committed {
                version: version + 1
            }
        );
        // From here our own commit is the newest, and the rewrite lies before it.
        append(&lake.reopen().await, 0, 12..13, "b3").await;
    }
}

#[tokio::test]
async fn foreign_changes_that_lose_nothing_do_not_stop_us() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..10, "b1").await;
    let info = serde_json::json!({"commitInfo": {"operation": "OPTIMIZE"}});
    let moved = serde_json::json!({"remove": {"path": "x.parquet", "dataChange": false}});
    write_entry(&lake, "events", &[info, moved]).await;
    assert_eq!(append(&lake.lake, 0, 10..12, "b2").await, 3);
}

#[tokio::test]
async fn a_changed_schema_or_protocol_is_refused_and_an_added_column_is_not() {
    let metadata = |change: fn(&mut serde_json::Value)| async move {
        let lake = TestLake::new().await;
        let text =
            std::fs::read_to_string(lake.path("events/_delta_log/00000000000000000000.json"));
        let text = text.unwrap();
        let mut line: serde_json::Value = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .find(|line: &serde_json::Value| line.get("metaData").is_some())
            .unwrap();
        change(&mut line["metaData"]);
        write_entry(&lake, "events", &[line]).await;
        let commit = plain_commit(&lake.lake, 0, 0..2, "b1");
        lake.lake.events().commit(commit).await
    };
    let dropped = metadata(|m| edit(m, |fields| drop(fields.remove(0)))).await;
    assert!(dropped.unwrap_err().to_string().contains("`event_id`"));
    let added = metadata(|m| {
        edit(m, |fields| {
            fields.push(serde_json::json!(
                {"name": "new", "type": "string", "nullable": true, "metadata": {}}
            ));
        });
    });
    assert_eq!(added.await.unwrap(), Outcome::Committed { version: 2 });
    let expiring = metadata(|m| {
        m["configuration"]["delta.setTransactionRetentionDuration"] = "interval 1 day".into();
    });
    assert!(
        expiring
            .await
            .unwrap_err()
            .to_string()
            .contains("offsets expire")
    );

    let lake = TestLake::new().await;
    let protocol = serde_json::json!({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7}});
    write_entry(&lake, "events", &[protocol]).await;
    let commit = plain_commit(&lake.lake, 0, 0..2, "b1");
    let error = lake.lake.events().commit(commit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("reader 3, writer 7"), "{error}");
}

fn edit(metadata: &mut serde_json::Value, edit: fn(&mut Vec<serde_json::Value>)) {
    let text = metadata["schemaString"].as_str().unwrap();
    let mut schema: serde_json::Value = serde_json::from_str(text).unwrap();
    edit(schema["fields"].as_array_mut().unwrap());
    metadata["schemaString"] = schema.to_string().into();
}

#[tokio::test]
async fn a_torn_log_entry_is_refused_loudly() {
    for text in ["", "{\"commitInfo\":{\"oper"] {
        let lake = TestLake::new().await;
        append(&lake.lake, 0, 0..10, "b1").await;
        let entry = lake.path("events/_delta_log/00000000000000000002.json");
        std::fs::write(entry, text).unwrap();
        let error = lake.lake.events().load().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text:?}: {error}");
        let commit = plain_commit(&lake.lake, 0, 10..12, "b2");
        let error = lake.lake.events().commit(commit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text:?}: {error}");
        assert!(
            Lake::open(crate::testing::place(lake.dir.path()))
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn one_commit_moves_several_partitions_and_days() {
    let lake = TestLake::new().await;
    let mut rows_of = plain_rows(0, 0..4);
    rows_of.extend(plain_rows(1, 0..3));
    let mut late = row(1, 3);
    late.day = 2;
    rows_of.push(late);
    let commit = Commit {
        files: event_files(&lake.lake, &rows_of, "b1"),
        advances: vec![advance(0, 0..4), advance(1, 0..4)],
        batch_id: "b1".to_owned(),
        ledger: vec![accepted(0, 0..4), accepted(1, 0..4)],
    };
    assert_eq!(commit.files.len(), 2, "one file per day");
    lake.lake.events().commit(commit).await.unwrap();
    assert_eq!(rows(&lake.lake).await, 8);
    assert_eq!(stored(&lake.lake, 1).await, Some(4));
    assert_clean(&lake.lake).await;
}
