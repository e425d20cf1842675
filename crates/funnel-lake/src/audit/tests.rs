use super::*;
use crate::testing::{
    Row, TestLake, accepted, advance, append, batch, event_files, key, plain_commit, plain_rows,
    row, write_entry,
};
use crate::{Commit, LedgerEntry, LedgerKind, OffsetAdvance, encode_files};

async fn rules(lake: &TestLake) -> Vec<&'static str> {
    let report = audit(&lake.reopen().await).await.unwrap();
    let mut rules: Vec<_> = report.problems.iter().map(|problem| problem.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

async fn commit(lake: &TestLake, commit: Commit) {
    lake.lake.events().commit(commit).await.unwrap();
}

async fn reject(lake: &TestLake, rows: &[Row], advances: Vec<OffsetAdvance>, batch_id: &str) {
    let table = lake.lake.rejects();
    let files = encode_files(&[batch(table.schema(), rows, batch_id)], table, batch_id).unwrap();
    let commit = Commit {
        files,
        advances,
        batch_id: batch_id.to_owned(),
        ledger: Vec::new(),
    };
    table.commit(commit).await.unwrap();
}

/// Partition 0: one record of every fate, then a gap. Partition 1: a record with a good and a
/// bad entry.
async fn every_fate(lake: &TestLake) -> Commit {
    let entry = |offset, entry| Row {
        entry: Some(entry),
        ..row(1, offset)
    };
    reject(
        lake,
        &[row(0, 1), entry(0, 1)],
        vec![advance(0, 0..8), advance(1, 0..1)],
        "b1",
    )
    .await;
    let mut fates = accepted(0, 0..8);
    (fates.accepted, fates.event_rows) = (2, 2);
    (fates.rejected, fates.reject_rows) = (1, 1);
    (fates.duplicate, fates.duplicate_entries, fates.dup_differs) = (1, 1, 1);
    (fates.empty, fates.tombstone, fates.holes) = (1, 1, 2);
    let mut siblings = accepted(1, 0..1);
    (siblings.event_rows, siblings.reject_rows) = (2, 1);
    let rows = [row(0, 0), row(0, 5), entry(0, 0), entry(0, 2)];
    let key = key(0);
    let mut gap = LedgerEntry::new(LedgerKind::Gap, &key.topic, &key.topic_uuid, 0, 8..100);
    gap.gap_reason = Some("halted_truncated".to_owned());
    Commit {
        files: event_files(&lake.lake, &rows, "b1"),
        advances: vec![advance(0, 0..100), advance(1, 0..1)],
        batch_id: "b1".to_owned(),
        ledger: vec![fates, gap, siblings],
    }
}

#[tokio::test]
async fn a_lake_with_every_fate_is_clean_and_its_totals_are_the_sums() {
    let lake = TestLake::new().await;
    let all = every_fate(&lake).await;
    commit(&lake, all).await;
    append(&lake.lake, 0, 100..105, "b2").await;
    for fold in [false, true] {
        if fold {
            lake.lake.fold_ledger().await.unwrap();
        }
        let report = audit(&lake.lake).await.unwrap();
        assert_eq!(report.problems, [], "folded: {fold}");
        assert!(report.is_clean());
        assert_eq!(
            (report.entries, report.event_rows, report.reject_rows),
            (4, 9, 2)
        );
        let expected = PartitionTotals {
            topic: key(0).topic,
            topic_uuid: key(0).topic_uuid,
            partition: 0,
            from_offset: 0,
            to_offset: 105,
            stored_offset: Some(105),
            accepted: 7,
            rejected: 1,
            duplicate: 1,
            empty: 1,
            tombstone: 1,
            holes: 2,
            gap_offsets: 92,
            event_rows: 7,
            reject_rows: 1,
            duplicate_entries: 1,
            dup_differs: 1,
        };
        assert_eq!(report.partitions[0], expected);
        assert_eq!(report.partitions.len(), 2);
    }
}

#[tokio::test]
async fn an_empty_lake_is_clean() {
    let lake = TestLake::new().await;
    let report = audit(&lake.lake).await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.entries, report.event_rows), (0, 0));
}

#[tokio::test]
async fn rejects_of_a_batch_that_did_not_get_to_its_events_are_no_problem() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    reject(&lake, &[row(0, 6)], vec![advance(0, 0..9)], "b2").await;
    assert_eq!(rules(&lake).await, [""; 0]);
}

/// Changes one thing in a commit that is fine, and expects exactly these rules to break.
async fn broken_by(change: impl Fn(&mut Commit), expected: &[&str]) {
    let lake = TestLake::new().await;
    let mut all = every_fate(&lake).await;
    change(&mut all);
    commit(&lake, all).await;
    assert_eq!(rules(&lake).await, expected);
}

#[tokio::test]
async fn wrong_counts_in_an_entry_are_found() {
    broken_by(|c| c.ledger[0].holes += 1, &["entry_identity"]).await;
    broken_by(|c| c.ledger[0].dup_differs += 1, &["entry_counts"]).await;
    broken_by(
        |c| {
            c.ledger[0].duplicate -= 4;
            c.ledger[0].empty += 4;
        },
        &["entry_counts"],
    )
    .await;
    broken_by(
        |c| {
            c.ledger[0].accepted -= 1;
            c.ledger[0].duplicate += 1;
        },
        &["accepted_records"],
    )
    .await;
    broken_by(
        |c| {
            c.ledger[0].rejected -= 1;
            c.ledger[0].duplicate += 1;
        },
        &["rejected_records"],
    )
    .await;
    broken_by(|c| c.ledger[0].reject_rows += 1, &["reject_rows"]).await;
    broken_by(
        |c| c.ledger[0].event_rows += 1,
        &["batch_rows", "commit_rows", "event_rows"],
    )
    .await;
    // One partition too many, another too few: the sums still agree.
    broken_by(
        |c| {
            c.ledger[0].event_rows += 1;
            c.ledger[2].event_rows -= 1;
        },
        &["event_rows"],
    )
    .await;
    broken_by(|c| c.ledger[1].holes = 92, &["entry_identity"]).await;
}

#[tokio::test]
async fn gaps_overlaps_and_wrong_ends_of_a_chain_are_found() {
    broken_by(|c| drop(c.ledger.remove(1)), &["stored_offset"]).await;
    broken_by(|c| c.ledger[1].from_offset += 1, &["chain_gap"]).await;
    broken_by(|c| c.ledger[1].from_offset -= 1, &["chain_overlap"]).await;
    broken_by(|c| c.ledger[1].to_offset += 1, &["stored_offset"]).await;
    broken_by(|c| c.advances[0].to += 1, &["stored_offset"]).await;
    let late_start = |c: &mut Commit| {
        let entry = &mut c.ledger[0];
        (entry.from_offset, entry.accepted, entry.event_rows) = (1, 1, 1);
    };
    let expected = [
        "batch_rows",
        "chain_gap",
        "commit_rows",
        "rows_without_entry",
    ];
    broken_by(late_start, &expected).await;
}

#[tokio::test]
async fn a_position_without_any_entry_is_found() {
    let lake = TestLake::new().await;
    let mut all = every_fate(&lake).await;
    all.advances.push(advance(7, 0..3));
    commit(&lake, all).await;
    assert_eq!(rules(&lake).await, ["stored_offset"]);
}

#[tokio::test]
async fn rows_that_no_entry_claims_are_found() {
    let lake = TestLake::new().await;
    let mut silent = plain_commit(&lake.lake, 0, 0..4, "b1");
    silent.ledger.clear();
    commit(&lake, silent).await;
    let expected = [
        "batch_rows",
        "commit_rows",
        "rows_without_entry",
        "stored_offset",
    ];
    assert_eq!(rules(&lake).await, expected);
}

#[tokio::test]
async fn a_coordinate_that_is_there_twice_is_found() {
    let lake = TestLake::new().await;
    let mut twice = plain_commit(&lake.lake, 0, 0..4, "b1");
    let mut rows = plain_rows(0, 0..4);
    rows.push(row(0, 2));
    std::fs::remove_file(lake.path("events").join(&twice.files[0].path)).unwrap();
    twice.files = event_files(&lake.lake, &rows, "b1");
    twice.ledger[0].event_rows = 5;
    commit(&lake, twice).await;
    assert_eq!(rules(&lake).await, ["duplicate_coordinate"]);
}

#[tokio::test]
async fn a_coordinate_in_both_tables_is_found() {
    let lake = TestLake::new().await;
    reject(&lake, &[row(0, 2)], vec![advance(0, 0..4)], "b1").await;
    let mut both = plain_commit(&lake.lake, 0, 0..4, "b1");
    both.ledger[0].reject_rows = 1;
    commit(&lake, both).await;
    assert_eq!(rules(&lake).await, ["both_tables"]);
}

#[tokio::test]
async fn a_whole_record_beside_one_of_its_entries_is_found() {
    let lake = TestLake::new().await;
    let entry = Row {
        entry: Some(1),
        ..row(0, 2)
    };
    reject(&lake, &[entry], vec![advance(0, 0..4)], "b1").await;
    let mut both = plain_commit(&lake.lake, 0, 0..4, "b1");
    both.ledger[0].reject_rows = 1;
    commit(&lake, both).await;
    assert_eq!(rules(&lake).await, ["record_and_entries"]);
}

#[tokio::test]
async fn missing_rejects_are_found() {
    let lake = TestLake::new().await;
    let mut commit_of = plain_commit(&lake.lake, 0, 0..4, "b1");
    let entry = &mut commit_of.ledger[0];
    (entry.to_offset, entry.rejected, entry.reject_rows) = (5, 1, 1);
    commit_of.advances[0].to = 5;
    commit(&lake, commit_of).await;
    assert_eq!(rules(&lake).await, ["reject_rows", "rejected_records"]);
}

#[tokio::test]
async fn files_that_are_not_what_the_log_says_are_found() {
    // The log's count of rows is wrong.
    let lake = TestLake::new().await;
    let mut lying = plain_commit(&lake.lake, 0, 0..4, "b1");
    lying.files[0].stats = lying.files[0]
        .stats
        .replace("\"numRecords\":4", "\"numRecords\":9");
    commit(&lake, lying).await;
    assert_eq!(rules(&lake).await, ["commit_rows", "file_rows"]);

    // The file is gone.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    let snapshot = lake.lake.events().load().await.unwrap();
    let file = lake.path("events").join(&snapshot.files()[0].path);
    std::fs::remove_file(&file).unwrap();
    let expected = [
        "accepted_records",
        "batch_rows",
        "event_rows",
        "unreadable_file",
    ];
    assert_eq!(rules(&lake).await, expected);

    // The file holds another batch's rows.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    let snapshot = lake.lake.events().load().await.unwrap();
    let file = lake.path("events").join(&snapshot.files()[0].path);
    let other = event_files(&lake.lake, &plain_rows(0, 0..4), "b2");
    std::fs::rename(lake.path("events").join(&other[0].path), &file).unwrap();
    assert_eq!(rules(&lake).await, ["batch_rows"]);
}

#[tokio::test]
async fn what_others_did_to_the_table_is_found() {
    // Rows added.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    let files = event_files(&lake.lake, &plain_rows(0, 4..6), "foreign");
    let info = serde_json::json!({"commitInfo": {"operation": "WRITE"}});
    let add = serde_json::json!({"add": {
        "path": files[0].path, "partitionValues": {"event_date": "2026-05-01"},
        "size": files[0].size, "modificationTime": 0, "dataChange": true, "stats": files[0].stats,
    }});
    write_entry(&lake, "events", &[info, add]).await;
    assert_eq!(
        rules(&lake).await,
        ["batch_rows", "foreign_rows", "rows_without_entry"]
    );

    // Rows removed.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    let snapshot = lake.lake.events().load().await.unwrap();
    let info = serde_json::json!({"commitInfo": {"operation": "DELETE"}});
    let remove = serde_json::json!({"remove": {
        "path": snapshot.files()[0].path, "dataChange": true, "deletionTimestamp": 1,
    }});
    write_entry(&lake, "events", &[info, remove]).await;
    let expected = [
        "accepted_records",
        "batch_rows",
        "event_rows",
        "table_rewritten",
    ];
    assert_eq!(rules(&lake).await, expected);
}

#[tokio::test]
async fn a_ledger_that_differs_from_the_commits_is_found() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    append(&lake.lake, 0, 4..6, "b2").await;
    lake.lake.fold_ledger().await.unwrap();
    let entry = lake.path("events/_delta_log/00000000000000000001.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    let start = text.find("\"ledger\":[").unwrap() + "\"ledger\":[".len();
    let end = start + text[start..].find(']').unwrap();
    let without = format!("{}{}", &text[..start], &text[end..]);
    std::fs::write(&entry, without).unwrap();
    assert_eq!(rules(&lake).await, ["ledger_entries"]);
}

#[tokio::test]
async fn two_jobs_that_stand_apart_on_one_partition_are_found() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..4, "b1").await;
    let mut other = plain_commit(&lake.lake, 0, 0..2, "b2");
    other.advances[0].key.job = "other".to_owned();
    commit(&lake, other).await;
    let found = rules(&lake).await;
    assert!(found.contains(&"chain_overlap") && found.contains(&"duplicate_coordinate"));
    assert!(found.contains(&"stored_offset"), "{found:?}");
}
