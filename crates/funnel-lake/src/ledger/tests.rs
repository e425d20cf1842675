use super::*;
use crate::ErrorKind;
use crate::testing::{TestLake, accepted, advance, append, event_files, key, plain_rows};

fn full_entry() -> LedgerEntry {
    let mut entry = accepted(1, 0..9);
    entry.accepted = 3;
    entry.event_rows = 3;
    entry.rejected = 0;
    entry.duplicate = 2;
    entry.empty = 1;
    entry.tombstone = 1;
    entry.holes = 2;
    entry.duplicate_entries = 5;
    entry.dup_differs = 1;
    entry.min_event_time = Some(-1);
    entry.max_event_time = Some(1_777_593_600_000_001);
    entry.max_kafka_timestamp = Some(7);
    entry
}

async fn fill(lake: &TestLake) {
    append(&lake.lake, 0, 0..4, "b1").await;
    let key = key(1);
    let mut gap = LedgerEntry::new(LedgerKind::Gap, &key.topic, &key.topic_uuid, 1, 9..20);
    gap.gap_reason = Some("halted_truncated".to_owned());
    let commit = Commit {
        files: event_files(&lake.lake, &plain_rows(1, 0..3), "b2"),
        advances: vec![advance(1, 0..20)],
        batch_id: "b2".to_owned(),
        ledger: vec![full_entry(), gap],
    };
    lake.lake.events().commit(commit).await.unwrap();
}

#[tokio::test]
async fn entries_come_back_as_written_with_their_commit() {
    let lake = TestLake::new().await;
    fill(&lake).await;
    let entries = lake.lake.ledger_entries().await.unwrap();
    assert_eq!(entries.len(), 3);
    let mut expected = full_entry();
    expected.version = 2;
    expected.batch_id = "b2".to_owned();
    expected.committed_time = entries[1].committed_time;
    assert!(expected.committed_time > crate::testing::MAY_FIRST - 400 * 86_400_000_000);
    assert_eq!(entries[1], expected);
    assert_eq!(entries[1].accounted(), 9);
    assert_eq!(entries[2].gap_reason.as_deref(), Some("halted_truncated"));
}

#[tokio::test]
async fn folding_moves_entries_and_changes_none() {
    let lake = TestLake::new().await;
    fill(&lake).await;
    let before = lake.lake.ledger_entries().await.unwrap();
    let summary = lake.lake.fold_ledger().await.unwrap();
    let through = FoldSummary {
        entries: 3,
        through_version: Some(2),
    };
    assert_eq!(summary, through);
    assert_eq!(lake.reopen().await.ledger_entries().await.unwrap(), before);
    let nothing = FoldSummary {
        entries: 0,
        ..through
    };
    assert_eq!(lake.lake.fold_ledger().await.unwrap(), nothing);

    append(&lake.lake, 0, 4..6, "b3").await;
    let entries = lake.lake.ledger_entries().await.unwrap();
    assert_eq!(entries.len(), 4, "folded and not folded together");
    let again = lake.reopen().await;
    assert_eq!(again.fold_ledger().await.unwrap().entries, 1);
    assert_eq!(lake.lake.ledger_entries().await.unwrap(), entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_fold_at_once_one_does() {
    let lake = TestLake::new().await;
    fill(&lake).await;
    let before = lake.lake.ledger_entries().await.unwrap();
    let others = [
        lake.reopen().await,
        lake.reopen().await,
        lake.reopen().await,
    ];
    let folds = futures::future::join_all(others.iter().map(Lake::fold_ledger)).await;
    let folded: u64 = folds.into_iter().map(|fold| fold.unwrap().entries).sum();
    assert_eq!(folded, 3);
    assert_eq!(lake.lake.ledger_entries().await.unwrap(), before);
}

#[tokio::test]
async fn entries_outlive_the_log_once_they_are_folded_and_not_before() {
    for fold in [true, false] {
        let lake = TestLake::new().await;
        fill(&lake).await;
        let before = lake.lake.ledger_entries().await.unwrap();
        if fold {
            lake.lake.fold_ledger().await.unwrap();
        }
        lake.lake.events().checkpoint_if_due(1).await.unwrap();
        for version in 0..2 {
            let entry = lake.path(&format!("events/_delta_log/{version:020}.json"));
            std::fs::remove_file(entry).unwrap();
        }
        let after = lake.reopen().await.ledger_entries().await;
        match fold {
            true => assert_eq!(after.unwrap(), before),
            false => assert_eq!(after.unwrap_err().kind(), ErrorKind::Corrupt),
        }
    }
}
