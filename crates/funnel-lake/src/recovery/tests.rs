use std::collections::HashSet;

use super::*;
use crate::testing::{Row, TestLake, advance, append, batch, key, plain_rows, row};
use crate::{Commit, encode_files};

fn entry(partition: i32, offset: i64, entry: i32) -> Row {
    Row {
        entry: Some(entry),
        ..row(partition, offset)
    }
}

#[tokio::test]
async fn rejected_coordinates_are_exact_per_partition_range_and_entry() {
    let lake = TestLake::new().await;
    let mut rows = plain_rows(0, 3..5);
    rows.extend([entry(0, 7, 0), entry(0, 7, 2), row(1, 4), row(0, 9)]);
    let table = lake.lake.rejects();
    let files = encode_files(&[batch(table.schema(), &rows, "b1")], table, "b1").unwrap();
    let commit = Commit {
        files,
        advances: vec![advance(0, 0..10), advance(1, 0..10)],
        batch_id: "b1".to_owned(),
        ledger: Vec::new(),
    };
    table.commit(commit).await.unwrap();

    let again = lake.reopen().await;
    let found = again.rejected_coordinates(&key(0), 4, 9).await.unwrap();
    let expected = HashSet::from([(4, None), (7, Some(0)), (7, Some(2))]);
    assert_eq!(found, expected);
    let mut other_topic = key(0);
    other_topic.topic_uuid = "uuid-2".to_owned();
    assert!(
        again
            .rejected_coordinates(&other_topic, 0, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        again
            .rejected_coordinates(&key(0), 9, 4)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn recent_events_come_in_offset_order_from_all_files() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    append(&lake.lake, 1, 0..5, "b2").await;
    append(&lake.lake, 0, 5..9, "b3").await;
    let found = lake.lake.recent_event_ids(&key(0), 3, 8).await.unwrap();
    let offsets: Vec<i64> = found.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [3, 4, 5, 6, 7]);
    assert_eq!(found[0].event_id, 3_u128.to_be_bytes());
    assert_eq!(found[0].source_system, "source_system");
    assert_eq!(
        (found[0].entry_index, found[0].producer_event_id.clone()),
        (None, None)
    );
    assert_eq!(found[0].received_time, crate::testing::MAY_FIRST + 3000);
}

#[tokio::test]
async fn files_that_cannot_hold_the_range_are_not_opened() {
    let lake = TestLake::new().await;
    append(&lake.lake, 0, 0..5, "b1").await;
    append(&lake.lake, 0, 5..9, "b2").await;
    let snapshot = lake.lake.events().load().await.unwrap();
    let first = snapshot
        .files()
        .iter()
        .find(|f| f.path.contains("b1-"))
        .unwrap();
    std::fs::remove_file(lake.path("events").join(&first.path)).unwrap();
    let found = lake.lake.recent_event_ids(&key(0), 5, 9).await.unwrap();
    assert_eq!(found.len(), 4);
    assert!(lake.lake.recent_event_ids(&key(0), 4, 9).await.is_err());
}

#[test]
fn event_ids_are_32_hex_digits() {
    assert_eq!(
        parse_event_id("000000000000000000000000000000ff").unwrap()[15],
        255
    );
    for wrong in [
        "ff",
        "",
        "000000000000000000000000000000zz",
        "+00000000000000000000000000000ff",
    ] {
        assert!(parse_event_id(wrong).is_err(), "{wrong}");
    }
}
