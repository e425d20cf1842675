//! Events and refusals as Arrow batches.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use funnel_events::{
    Event, EventsBuilder, Payload, RecordOrigin, Reject, RejectCode, RejectsBuilder, RejectsPolicy,
    Stamp, events_schema, rejects_schema,
};
use serde_json::json;

use crate::support::{batch, columns, events, examples, origin};

const STAMP: Stamp<'_> = Stamp {
    batch_id: "b",
    ingested_us: 1_709_560_000_000_000,
};

#[test]
fn every_row_has_its_place_and_every_batch_its_stamp() {
    let (_, text) = &examples("valid")[0];
    let row = columns(&batch(&events(text)), 0);
    let place = json!({
        "kafka_topic": "lp.chat.v1", "topic_uuid": "uuid", "kafka_partition": 3, "kafka_offset": 42,
        "kafka_timestamp": "2024-03-04T13:46:40Z", "received_time": "2024-03-04T13:46:40Z",
        "ingested_time": "2024-03-04T13:46:40Z", "batch_id": "batch-1", "event_date": "2024-03-04",
    });
    for (name, value) in place.as_object().expect("object") {
        assert_eq!(row.get(name), Some(value), "{name}");
    }
    assert_eq!(row["event_id"].as_str().map(str::len), Some(32));
}

#[test]
fn without_a_broker_timestamp_a_record_is_received_when_it_was_produced() {
    let mut builder = EventsBuilder::new();
    let place = RecordOrigin {
        timestamp_ms: None,
        ..origin()
    };
    builder.append(
        &Event {
            produced_time_us: Some(7),
            event_time_us: 5,
            ..Event::default()
        },
        &place,
    );
    builder.append(
        &Event {
            event_time_us: 5,
            ..Event::default()
        },
        &place,
    );
    let batch = builder.finish(&STAMP);
    let received = batch.column_by_name("received_time").expect("column");
    let received = received.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(received.values(), &[7, 5]);
}

#[test]
fn a_day_before_1970_is_a_negative_day_and_the_last_microsecond_belongs_to_its_day() {
    for (us, day) in [(-1, -1), (0, 0), (86_399_999_999, 0), (86_400_000_000, 1)] {
        assert_eq!(
            Event {
                event_time_us: us,
                ..Event::default()
            }
            .event_date(),
            day
        );
    }
}

#[test]
fn a_finished_builder_starts_again_from_nothing() {
    let mut builder = EventsBuilder::new();
    for (_, text) in examples("valid") {
        for event in events(&text) {
            builder.append(&event, &origin());
        }
    }
    let rows = builder.rows();
    assert!(
        builder.bytes() > rows * 300,
        "{} bytes for {rows} rows",
        builder.bytes()
    );
    let batch = builder.finish(&STAMP);
    assert_eq!((batch.num_rows(), batch.schema()), (rows, events_schema()));
    assert_eq!((builder.rows(), builder.finish(&STAMP).num_rows()), (0, 0));
}

fn reject_row(
    policy: RejectsPolicy,
    value: &[u8],
    headers: &[(&str, &[u8])],
) -> arrow::array::RecordBatch {
    let mut builder = RejectsBuilder::new(policy);
    let mut reject = Reject::new(RejectCode::TimeFormat, "why").at("/payload/lines/1/time");
    reject.entry_index = Some(1);
    let place = RecordOrigin {
        key: Some(b"a|v"),
        headers,
        value: Some(value),
        ..origin()
    };
    builder.append(&reject, &place);
    assert_eq!(builder.rows(), 1);
    builder.finish(&STAMP)
}

#[test]
fn a_reject_keeps_key_headers_and_bytes_for_replay() {
    let headers: [(&str, &[u8]); 3] = [("h", b"1"), ("h", b"2"), ("g", b"\xff")];
    let batch = reject_row(RejectsPolicy::default(), b"{\"x\":1}", &headers);
    assert_eq!(batch.schema(), rejects_schema());
    let row = columns(&batch, 0);
    assert_eq!(row["reject_id"], "uuid/3/42/1");
    assert_eq!(row["reason_code"], "E_TIME_FORMAT");
    assert_eq!(row["error_path"], "/payload/lines/1/time");
    let headers: serde_json::Value =
        serde_json::from_str(row["headers"].as_str().expect("text")).expect("headers are JSON");
    assert_eq!(headers, json!({"h": ["MQ==", "Mg=="], "g": "/w=="}));
    let payload = batch
        .column_by_name("payload")
        .expect("column")
        .as_binary::<i32>();
    assert_eq!(payload.value(0), b"{\"x\":1}");
    assert_eq!(row["payload_truncated"], false);
}

#[test]
fn a_large_payload_is_cut_and_says_so() {
    let value = vec![b'x'; 2 * 1024 * 1024];
    let batch = reject_row(RejectsPolicy::default(), &value, &[]);
    let row = columns(&batch, 0);
    let payload = batch
        .column_by_name("payload")
        .expect("column")
        .as_binary::<i32>();
    assert_eq!(payload.value(0).len(), RejectsPolicy::CUT_BYTES);
    assert_eq!(
        (&row["payload_truncated"], &row["payload_len"]),
        (&json!(true), &json!(2 * 1024 * 1024))
    );
    assert_eq!(row["payload_sha"], blake3::hash(&value).to_hex().as_str());
}

#[test]
fn hash_only_keeps_no_byte_of_the_record() {
    let policy = RejectsPolicy {
        keep_payload: Payload::HashOnly,
        ..RejectsPolicy::default()
    };
    let batch = reject_row(policy, b"secret", &[("h", b"secret")]);
    for name in ["payload", "key", "headers"] {
        assert!(
            batch.column_by_name(name).expect("column").is_null(0),
            "{name}"
        );
    }
    let row = columns(&batch, 0);
    assert_eq!(
        (&row["payload_len"], &row["payload_truncated"]),
        (&json!(6), &json!(true))
    );
    let offset = batch
        .column_by_name("kafka_offset")
        .expect("column")
        .as_primitive::<Int64Type>();
    let partition = batch
        .column_by_name("kafka_partition")
        .expect("column")
        .as_primitive::<Int32Type>();
    assert_eq!((partition.value(0), offset.value(0)), (3, 42));
}
