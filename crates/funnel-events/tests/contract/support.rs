//! Reading examples, decoding them, and showing events as JSON.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};
use arrow::util::display::array_value_to_string;
use funnel_events::{
    Decoded, Decoder, DecoderConfig, Entry, Event, EventsBuilder, HashKey, RecordOrigin, Reject,
    Stamp,
};
use serde_json::{Map, Value, json};

/// `schemas/` of the repository.
pub(crate) fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

/// Files of a folder with their names without `.json`, in order.
pub(crate) fn examples(folder: &str) -> Vec<(String, String)> {
    let folder = schemas().join("examples").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path
                .file_stem()
                .expect("named")
                .to_string_lossy()
                .into_owned();
            (
                name,
                std::fs::read_to_string(&path).expect("readable example"),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// A decoder as an operator has it who gave a key and nothing else.
pub(crate) fn decoder() -> Decoder {
    Decoder::new(DecoderConfig {
        consumer_hash_key: Some(HashKey::new(b"a test secret", "k1")),
        ..DecoderConfig::default()
    })
}

pub(crate) fn decode(text: &str) -> Decoded {
    decoder().decode(Some(text.as_bytes()))
}

/// Events and refusals of a record.
pub(crate) fn split(decoded: Decoded) -> (Vec<Event>, Vec<Reject>) {
    let (mut events, mut rejects) = (Vec::new(), Vec::new());
    if let Decoded::Entries(entries) = decoded {
        assert!(!entries.is_empty(), "no entries is `Empty`");
        for entry in entries {
            match entry {
                Entry::Event(event) => events.push(*event),
                Entry::Reject(reject) => rejects.push(*reject),
            }
        }
    }
    (events, rejects)
}

/// The events of a record that is good throughout.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let (events, rejects) = split(decode(text));
    assert_eq!(rejects, [], "{text}");
    events
}

/// The only refusal of a record that gives nothing else.
pub(crate) fn reject(text: &str) -> Reject {
    reject_of(decode(text), text)
}

pub(crate) fn reject_of(decoded: Decoded, what: &str) -> Reject {
    let (events, mut rejects) = split(decoded);
    assert_eq!(events.len(), 0, "{what}");
    assert_eq!(rejects.len(), 1, "{what}");
    rejects.remove(0)
}

pub(crate) fn origin<'a>() -> RecordOrigin<'a> {
    RecordOrigin {
        topic: "lp.chat.v1",
        topic_uuid: "uuid",
        partition: 3,
        offset: 42,
        timestamp_ms: Some(1_709_560_000_000),
        key: None,
        headers: &[],
        value: None,
    }
}

pub(crate) fn batch(events: &[Event]) -> RecordBatch {
    let mut builder = EventsBuilder::new();
    for event in events {
        builder.append(event, &origin());
    }
    builder.finish(&Stamp {
        batch_id: "batch-1",
        ingested_us: 1_709_560_000_000_000,
    })
}

/// Columns that come from the place of the record, and hashes: not part of what a sample says.
const PLACE: [&str; 13] = [
    "event_id",
    "content_hash",
    "received_time",
    "ingested_time",
    "kafka_topic",
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
    "batch_id",
    "extra_json",
    "event_date",
    "consumer_key",
];

/// The non-null columns of one row that the record determines, except hashes.
pub(crate) fn stated(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let mut object = columns(batch, row);
    for name in PLACE {
        object.remove(name);
    }
    object
}

/// All non-null columns of one row.
pub(crate) fn columns(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let mut object = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !column.is_null(row) {
            object.insert(field.name().clone(), value(column.as_ref(), row));
        }
    }
    object
}

fn value(column: &dyn Array, row: usize) -> Value {
    match column.data_type() {
        DataType::Boolean => json!(column.as_boolean().value(row)),
        DataType::Int16 => json!(column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => json!(column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            json!(
                (0..list.len())
                    .map(|at| value(list.as_ref(), at))
                    .collect::<Vec<_>>()
            )
        }
        _ => json!(array_value_to_string(column, row).expect("printable")),
    }
}
