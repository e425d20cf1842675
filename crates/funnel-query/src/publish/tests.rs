//! Publishing the golden day into a lake of its own.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use funnel_datagen::golden::{self, Variant};
use funnel_lake::{Commit, LedgerEntry, LedgerKind, OffsetAdvance, OffsetKey, encode_files};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::testing::golden_events;

mod incremental;

const NOON: &str = "2024-03-05T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A lake with the golden events, read up to `watermark` as far as the ledger says.
async fn lake(dir: &Path, watermark: &str) -> Lake {
    let lake = Lake::create_or_open(dir.to_str().unwrap()).await.unwrap();
    append(&lake, golden_events(Variant::default()), 0, watermark).await;
    lake
}

async fn append(lake: &Lake, events: RecordBatch, from: i64, watermark: &str) {
    let rows = i64::try_from(events.num_rows()).unwrap();
    let batch_id = format!("b{from}");
    let files = encode_files(&[events], lake.events(), &batch_id).unwrap();
    let mut entry = LedgerEntry::new(LedgerKind::Data, "lp.chat.v1", "u", 0, from..from + rows);
    entry.accepted = rows;
    entry.event_rows = rows;
    entry.max_kafka_timestamp = Some(at(watermark).timestamp_micros());
    let key = OffsetKey {
        job: "funnel".to_owned(),
        topic: "lp.chat.v1".to_owned(),
        topic_uuid: "u".to_owned(),
        partition: 0,
    };
    let advance = OffsetAdvance {
        key,
        from: (from > 0).then_some(from),
        to: from + rows,
    };
    let commit = Commit {
        files,
        advances: vec![advance],
        batch_id,
        ledger: vec![entry],
    };
    lake.events().commit(commit).await.unwrap();
}

async fn publish_at(lake: &Lake, now: &str) -> Result<RunReport> {
    let day = golden::DATE.parse().unwrap();
    let session = QuerySession::open(lake, QueryOptions::default()).await?;
    publish(&session, PublishRequest::new(day, day, at(now))).await
}

fn export(dir: &Path, mart: &str) -> std::path::PathBuf {
    dir.join(format!(
        "export/{mart}/date={}/part-0.parquet",
        golden::DATE
    ))
}

fn read(path: &Path) -> RecordBatch {
    let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let schema = std::sync::Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|b| b.unwrap()).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[tokio::test]
async fn a_day_that_is_not_closed_is_refused_and_nothing_is_written() {
    for (watermark, now, reason) in [
        (
            NOON,
            "2024-03-05T11:59:59Z",
            "closes at 2024-03-05 12:00:00",
        ),
        (
            "2024-03-05T11:59:59Z",
            "2024-03-20T00:00:00Z",
            "partition 0 of topic `lp.chat.v1`",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = publish_at(&lake(dir.path(), watermark).await, now)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!dir.path().join("export").exists());
        assert!(!dir.path().join("offers").exists());
    }
}

#[tokio::test]
async fn a_closed_day_is_written_once_and_again_only_when_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path(), NOON).await;
    let first = publish_at(&lake, "2024-03-20T00:00:00Z").await.unwrap();
    assert!(!first.unchanged);
    assert!(
        first
            .partitions
            .iter()
            .all(|p| p.action == Action::Written && p.rows > 0)
    );
    let files = ["offers", "funnel_daily"].map(|mart| export(dir.path(), mart));
    let bytes = |files: &[std::path::PathBuf; 2]| files.clone().map(|f| std::fs::read(f).unwrap());
    let before = bytes(&files);

    let again = publish_at(&lake, "2024-03-21T00:00:00Z").await.unwrap();
    assert!(again.unchanged, "{again:#?}");
    assert!(
        bytes(&files) == before,
        "the same question leaves the same bytes"
    );

    // A file that somebody damaged is made good, and one that was removed comes back.
    std::fs::write(&files[0], b"not parquet").unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let repaired = publish_at(&lake, "2024-03-22T00:00:00Z").await.unwrap();
    assert!(!repaired.unchanged);
    for (file, part) in files.iter().zip(&repaired.partitions) {
        assert_eq!(i64::try_from(read(file).num_rows()).unwrap(), part.rows);
    }
    // One partition of the table, however often it was replaced.
    let url = format!("{}offers", lake.url());
    let provider = funnel_lake::table_provider(&url).await.unwrap();
    let session = QuerySession::without_lake(QueryOptions::default()).unwrap();
    let rows = session
        .ctx()
        .read_table(provider)
        .unwrap()
        .count()
        .await
        .unwrap();
    assert_eq!(i64::try_from(rows).unwrap(), repaired.partitions[0].rows);
}

#[tokio::test]
async fn the_marts_keep_the_output_contract_and_the_golden_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let lake = lake(dir.path(), NOON).await;
    publish_at(&lake, "2024-03-20T00:00:00Z").await.unwrap();
    let offers = read(&export(dir.path(), "offers"));
    let daily = read(&export(dir.path(), "funnel_daily"));
    for batch in [&offers, &daily] {
        for field in batch.schema().fields() {
            let known = match field.data_type() {
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(zone)) => {
                    zone.as_ref() == "UTC"
                }
                DataType::Utf8 | DataType::Boolean | DataType::Date32 | DataType::Float64 => true,
                other => other.is_signed_integer() || matches!(other, DataType::Decimal128(_, _)),
            };
            assert!(known, "{field}");
        }
        for column in [
            "session_start_date",
            "data_from",
            "data_to",
            "definition_hash",
            "computed_at",
        ] {
            let values = batch.column_by_name(column).unwrap();
            assert_eq!(values.null_count(), 0, "{column}");
        }
        assert!(batch.column_by_name("window_seconds").is_some());
    }
    assert_eq!(
        offers.num_rows(),
        golden::expected(Variant::default()).outcomes.len()
    );
    // Only s10 is told to open its window before the queue.
    assert_eq!(
        stages(&daily, "monitored", "session"),
        [13, 12, 11, 11, 11, 7, 1, 4, 3, 2, 2, 2]
    );
}

/// Reached by step, of the monitored account as a whole.
fn stages(daily: &RecordBatch, funnel: &str, unit: &str) -> Vec<i64> {
    let text = |name: &str| daily.column_by_name(name).unwrap().as_string::<i32>();
    let wanted = [
        ("account_id", golden::ACCOUNT),
        ("funnel", funnel),
        ("unit", unit),
        ("breakdown", "all"),
    ];
    let reached = daily
        .column_by_name("reached")
        .unwrap()
        .as_primitive::<Int64Type>();
    (0..daily.num_rows())
        .filter(|row| {
            wanted
                .iter()
                .all(|(column, value)| text(column).value(*row) == *value)
        })
        .map(|row| reached.value(row))
        .collect()
}
