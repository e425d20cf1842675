//! Others at work meanwhile: writers, a second compaction, a bad disk, death.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use uuid::Uuid;

use super::{Dice, arrive, assert_in_order, compact, date, query, small};
use crate::audit;
use crate::compact::{PREFIX, sort};
use crate::error::ErrorKind;
use crate::testing::{Fault, Faults, TestLake, append, write_entry};

#[tokio::test]
async fn appends_meanwhile_stay_and_do_not_stop_it() {
    let mut dice = Dice(5);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..3000, &mut dice).await;
    let (other, stop) = (lake.reopen().await, Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop);
    let appender = tokio::spawn(async move {
        let mut next = 0;
        while !told.load(Ordering::SeqCst) || next == 0 {
            append(&other, 1, next..next + 1, &Uuid::now_v7().to_string()).await;
            next += 1;
        }
        next
    });
    let done = compact(&lake.lake, 0).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    let appended = appender.await.unwrap();
    assert!(done.rows >= 3000);
    let total = query(&lake.lake, "SELECT count(*) FROM events").await;
    assert_eq!(
        total.column(0).as_primitive::<Int64Type>().value(0),
        3000 + appended
    );
    assert_eq!(audit(&lake.reopen().await).await.unwrap().problems, []);
    append(&lake.lake, 1, appended..appended + 1, "after").await;
}

#[tokio::test]
async fn of_two_at_once_one_sorts_and_no_row_is_there_twice() {
    let mut dice = Dice(6);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..500, &mut dice).await;
    let other = lake.reopen().await;
    let (a, b) = tokio::join!(compact(&lake.lake, 0), compact(&other, 0));
    assert_eq!(
        usize::from(a.is_some()) + usize::from(b.is_some()),
        1,
        "{a:?} {b:?}"
    );
    assert_in_order(&lake.lake, 500).await;
    assert_eq!(audit(&lake.lake).await.unwrap().problems, []);
}

#[tokio::test]
async fn a_lost_reply_and_a_refusing_disk_leave_one_set_of_rows() {
    let mut dice = Dice(7);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..200, &mut dice).await;
    let faults = Arc::new(Faults::default());
    let faulty = lake.with_faults(&faults).await;
    faults.plan(&[Fault::Refuse, Fault::LoseReply]);
    assert_eq!(compact(&faulty, 0).await.unwrap().rows, 200);
    assert_eq!(faults.happened.load(Ordering::SeqCst), 2);
    assert_in_order(&lake.lake, 200).await;
    assert_eq!(audit(&lake.lake).await.unwrap().problems, []);
}

#[tokio::test]
async fn a_death_before_the_commit_leaves_the_table_as_it_was() {
    let mut dice = Dice(8);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..200, &mut dice).await;
    let snapshot = lake.lake.events().load().await.unwrap();
    let day = sort::Day {
        date: date(0),
        files: snapshot.files(),
        batch_id: "sorted-dead",
    };
    let orphans = sort::sort(lake.lake.events(), &snapshot, &day, &small(), &|_| ()).await;
    let orphan = lake.path("events").join(&orphans.unwrap()[0].path);
    let again = lake.reopen().await;
    assert_eq!(audit(&again).await.unwrap().event_rows, 200);
    assert_eq!(compact(&again, 0).await.unwrap().rows, 200);
    assert_in_order(&again, 200).await;
    assert!(orphan.exists());
}

#[tokio::test]
async fn rows_that_somebody_removed_stop_it_and_stay_an_alarm() {
    let mut dice = Dice(9);
    let lake = TestLake::new().await;
    arrive(&lake.lake, 0, 0..20, &mut dice).await;
    arrive(&lake.lake, 0, 20..40, &mut dice).await;
    let files = lake.lake.events().load().await.unwrap();
    let path = &files.files()[0].path;
    let lines = [
        serde_json::json!({"commitInfo": {"operation": "DELETE"}}),
        serde_json::json!({"remove": {"path": path, "dataChange": true, "deletionTimestamp": 1}}),
    ];
    write_entry(&lake, "events", &lines).await;
    let error = lake
        .lake
        .compact_day(date(0), &small(), &|_| ())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HaltedTableRewritten, "{error}");
    let report = audit(&lake.reopen().await).await.unwrap();
    assert!(
        report.problems.iter().any(|p| p.rule == "table_rewritten"),
        "{report:?}"
    );
    let folder = lake.path("events/event_date=2026-05-01");
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    let sorted: Vec<_> = names
        .filter(|n| n.to_string_lossy().starts_with(PREFIX))
        .collect();
    assert_eq!(sorted, Vec::<std::ffi::OsString>::new());
}

#[tokio::test]
async fn one_maintenance_run_at_a_time() {
    let lake = TestLake::new().await;
    let held = lake.lake.lock_maintenance().await.unwrap();
    let error = lake.reopen().await.lock_maintenance().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(held);
    lake.reopen().await.lock_maintenance().await.unwrap();
}
