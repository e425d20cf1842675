//! Behaviour of the Delta library that our way of committing stands on, or stands against. Each
//! may change with its next version, in either direction; then the code that names it has to be
//! looked at again.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::kernel::transaction::TransactionError;
use deltalake::kernel::transaction::{CommitBuilder, CommitConflictError, CommitProperties};
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError};

use crate::testing::{TestLake, append, event_files, key, plain_commit, plain_rows};
use crate::{ErrorKind, Lake};

async fn open(lake: &Lake) -> DeltaTable {
    let mut table = DeltaTable::new(Arc::clone(lake.events().log_store()));
    table.load().await.unwrap();
    table
}

fn app_id() -> String {
    key(0).app_id()
}

async fn txn(lake: &Lake) -> Option<i64> {
    let table = open(lake).await;
    let snapshot = table.snapshot().unwrap().snapshot();
    let log_store = table.log_store();
    snapshot
        .transaction_version(log_store.as_ref(), app_id())
        .await
        .unwrap()
}

fn add(lake: &Lake, offset: i64, batch_id: &str) -> Action {
    let file = event_files(lake, &plain_rows(0, offset..offset + 1), batch_id).remove(0);
    Action::Add(Add {
        path: file.path,
        partition_values: HashMap::from([("event_date".to_owned(), Some("2026-05-01".to_owned()))]),
        size: file.size,
        data_change: true,
        stats: Some(file.stats),
        ..Add::default()
    })
}

fn write(mode: SaveMode) -> DeltaOperation {
    DeltaOperation::Write {
        mode,
        partition_by: None,
        predicate: None,
    }
}

/// Commits `actions` with the library's own builder, against `table` as it was loaded.
async fn commit(
    table: &DeltaTable,
    actions: Vec<Action>,
    txn: Option<(String, i64)>,
    retries: usize,
) -> Result<u64, DeltaTableError> {
    let txns = txn.map(|(id, version)| Transaction::new(id, version));
    let properties = CommitProperties::default()
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false))
        .with_application_transactions(txns.into_iter().collect())
        .with_max_retries(retries);
    let snapshot = table.snapshot().unwrap();
    CommitBuilder::from(properties)
        .with_actions(actions)
        .build(Some(snapshot), table.log_store(), write(SaveMode::Append))
        .await
        .map(|done| done.version())
}

async fn file_count(lake: &Lake) -> usize {
    lake.events().load().await.unwrap().files().len()
}

#[tokio::test]
async fn delta_takes_the_same_or_a_lower_position_again() {
    // So comparing it is ours to do.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    for (n, position) in [5, 5, 2].into_iter().enumerate() {
        let table = open(&lake.lake).await;
        let rows = add(&lake.lake, 9, &format!("again-{n}"));
        commit(&table, vec![rows], Some((app_id(), position)), 0)
            .await
            .unwrap();
        assert_eq!(txn(&lake.lake).await, Some(position));
    }
    assert_eq!(file_count(&lake.lake).await, 4);
}

#[tokio::test]
async fn delta_refuses_a_position_that_moved_after_the_snapshot_and_no_other() {
    // Our own comparison gives the same answers; Delta's writers see our commits the same way.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    let stale = open(&lake.lake).await;
    append(&lake.lake, 0, 5..7, "b2").await;
    let rows = add(&lake.lake, 9, "late");
    let moved = commit(&stale, vec![rows.clone()], Some((app_id(), 6)), 15).await;
    assert!(
        matches!(
            moved,
            Err(DeltaTableError::Transaction {
                source: TransactionError::CommitConflict(
                    CommitConflictError::ConcurrentTransaction
                )
            })
        ),
        "{moved:?}"
    );
    let other = Some((key(1).app_id(), 6));
    let at_once = commit(&stale, vec![rows.clone()], other.clone(), 0).await;
    assert!(at_once.is_err(), "{at_once:?}");
    assert_eq!(commit(&stale, vec![rows], other, 15).await.unwrap(), 3);
}

#[tokio::test]
async fn delta_refuses_an_append_after_the_metadata_changed() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    let stale = open(&lake.lake).await;
    open(&lake.lake)
        .await
        .set_tbl_properties()
        .with_properties(HashMap::from([(
            "delta.appendOnly".to_owned(),
            "false".to_owned(),
        )]))
        .await
        .unwrap();
    let refused = commit(&stale, vec![add(&lake.lake, 9, "late")], None, 15).await;
    assert!(
        matches!(
            refused,
            Err(DeltaTableError::Transaction {
                source: TransactionError::CommitConflict(CommitConflictError::MetadataChanged)
            })
        ),
        "{refused:?}"
    );
    // A property that changes nothing for us does not stop us.
    append(&lake.lake, 0, 5..6, "b2").await;
}

#[tokio::test]
async fn restore_takes_rows_back_and_leaves_positions_and_we_notice() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    append(&lake.lake, 0, 5..7, "b2").await;
    let (_, metrics) = open(&lake.lake)
        .await
        .restore()
        .with_version_to_restore(1)
        .await
        .unwrap();
    assert_eq!(metrics.num_removed_file, 1);
    assert_eq!(file_count(&lake.lake).await, 1);
    assert_eq!(txn(&lake.lake).await, Some(7));
    for writer in [lake.lake.clone(), lake.reopen().await] {
        let next = plain_commit(&writer, 0, 7..9, &uuid::Uuid::now_v7().to_string());
        let error = writer.events().commit(next).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HaltedTableRewritten, "{error}");
    }
}

#[tokio::test]
async fn overwriting_removes_rows_and_leaves_positions_and_we_notice() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    let table = open(&lake.lake).await;
    let removes = table.snapshot().unwrap().log_data();
    let actions = removes
        .iter()
        .map(|file| Action::Remove(file.remove_action(true)))
        .collect();
    let snapshot = table.snapshot().unwrap();
    CommitBuilder::default()
        .with_actions(actions)
        .build(
            Some(snapshot),
            table.log_store(),
            write(SaveMode::Overwrite),
        )
        .await
        .unwrap();
    assert_eq!(
        (file_count(&lake.lake).await, txn(&lake.lake).await),
        (0, Some(5))
    );
    let next = plain_commit(&lake.lake, 0, 5..9, "b2");
    let error = lake.lake.events().commit(next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HaltedTableRewritten, "{error}");
}

#[tokio::test]
async fn positions_without_a_time_do_not_expire() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    let retention = (
        "delta.setTransactionRetentionDuration",
        "interval 0 seconds",
    );
    open(&lake.lake)
        .await
        .set_tbl_properties()
        .with_properties(HashMap::from([(
            retention.0.to_owned(),
            retention.1.to_owned(),
        )]))
        .await
        .unwrap();
    assert_eq!(txn(&lake.lake).await, Some(5));
    let text = std::fs::read_to_string(lake.path("events/_delta_log/00000000000000000001.json"));
    assert!(!text.unwrap().contains("lastUpdated"));
    // We do not stand on it, though.
    let next = plain_commit(&lake.lake, 0, 5..9, "b2");
    let error = lake.lake.events().commit(next).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn a_full_vacuum_deletes_files_that_wait_for_their_commit_and_a_lite_one_does_not() {
    // So ours is lite only.
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    let waiting = event_files(&lake.lake, &plain_rows(0, 5..7), "b2").remove(0);
    let path = lake.path("events").join(&waiting.path);
    for (mode, kept) in [(VacuumMode::Lite, true), (VacuumMode::Full, false)] {
        open(&lake.lake)
            .await
            .vacuum()
            .with_mode(mode)
            .with_retention_period(chrono::Duration::zero())
            .with_enforce_retention_duration(false)
            .await
            .unwrap();
        assert_eq!(path.exists(), kept);
    }
}

#[tokio::test]
async fn a_commit_with_hooks_can_fail_and_be_in_the_table() {
    // So ours has none.
    let lake = TestLake::new().await;
    open(&lake.lake)
        .await
        .set_tbl_properties()
        .with_properties(HashMap::from([(
            "delta.checkpointInterval".to_owned(),
            "1".to_owned(),
        )]))
        .await
        .unwrap();
    let before = open(&lake.lake).await;
    let version = before.version().unwrap() + 1;
    let in_the_way = format!("events/_delta_log/{version:020}.checkpoint.parquet");
    std::fs::create_dir(lake.path(&in_the_way)).unwrap();
    let properties =
        CommitProperties::default().with_application_transaction(Transaction::new(app_id(), 1));
    let failed = CommitBuilder::from(properties)
        .with_actions(vec![add(&lake.lake, 0, "b1")])
        .build(
            Some(before.snapshot().unwrap()),
            before.log_store(),
            write(SaveMode::Append),
        )
        .await;
    assert!(failed.is_err());
    assert_eq!(
        (file_count(&lake.lake).await, txn(&lake.lake).await),
        (1, Some(1))
    );
}
