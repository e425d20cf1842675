//! Bad bytes through a real Kafka: each is a row of `rejects` with its reason, or an event with the
//! raw value kept; never a stall, never a loss.

use funnel_testkit::Producer;
use funnel_tests::Lab;

const GOOD: &str = r#"{"schemaVersion":"1.0","eventId":null,"eventType":"session_started","sourceSystem":"web_tag","sourceEvent":"MONITORING_STATE","flow":"monitored","accountId":"58213347","visitorId":"Qm7xT2dLS1eWc0vN9pKa_w","sessionId":"h4ZrY8uJQkCx1bGtE6oM-Q","pageId":null,"contextId":null,"eventTime":1709560800000,"eventTimeSource":"client","producedAt":1709560800180,"seq":null,"payload":{"active":true}}"#;

fn swapped(from: &str, to: &str) -> Vec<u8> {
    assert!(GOOD.contains(from), "{from} is in the record");
    GOOD.replace(from, to).into_bytes()
}

/// Each with the reason that it must get.
fn bad_records() -> Vec<(Vec<u8>, &'static str)> {
    let nested = format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000));
    let mut huge = GOOD.trim_end_matches("}}").as_bytes().to_vec();
    huge.extend_from_slice(br#","filler":""#);
    huge.resize(10_000_000, b'x');
    huge.extend_from_slice(br#""}}"#);
    let mut not_utf8 = GOOD.as_bytes().to_vec();
    not_utf8[20] = 0xff;
    vec![
        (b"not json at all".to_vec(), "E_JSON_SYNTAX"),
        (GOOD.as_bytes()[..100].to_vec(), "E_JSON_SYNTAX"),
        (huge, "E_TOO_LARGE"),
        (
            swapped(r#""active":true"#, &format!(r#""active":{nested}"#)),
            "E_JSON_DEPTH",
        ),
        (not_utf8, "E_UTF8"),
        (b"[1,2]".to_vec(), "E_NOT_OBJECT"),
        (format!("{GOOD} {{}}").into_bytes(), "E_TRAILING_DATA"),
        (
            swapped(r#""seq":null"#, r#""seq":null,"seq":1"#),
            "E_JSON_DUP_KEY",
        ),
        (
            swapped("session_started", "session_exploded"),
            "E_TYPE_UNKNOWN",
        ),
        (swapped(r#""accountId":"58213347","#, ""), "E_FIELD_MISSING"),
        (swapped("1709560800000", "\"yesterday\""), "E_TIME_FORMAT"),
        (
            swapped("1709560800000", "\"0001-01-01T00:00:00Z\""),
            "E_TIME_TOO_OLD",
        ),
        (
            swapped("1709560800000", "\"9999-12-31T00:00:00Z\""),
            "E_TIME_FUTURE",
        ),
        (swapped(r#"{"active":true}"#, "\"text\""), "E_NOT_OBJECT"),
    ]
}

#[test]
fn each_bad_record_is_kept_with_its_reason_and_the_good_ones_go_on() {
    let lab = Lab::new();
    let topic = lab.topic("lp.engagement.v1");
    let producer = Producer::new(lab.bootstrap()).expect("a producer");
    let bad = bad_records();
    for (bytes, _) in &bad {
        producer
            .send(&topic, Some(b"58213347|bad"), Some(bytes))
            .expect("queued");
    }
    producer
        .send(&topic, Some(b"58213347|bad"), None)
        .expect("a tombstone is queued");
    producer
        .send(&topic, Some(b"58213347|bad"), Some(b""))
        .expect("an empty value is queued");
    producer
        .send(&topic, Some(b"58213347|bad"), Some(GOOD.as_bytes()))
        .expect("queued");
    producer.flush().expect("delivered");
    lab.ingest();
    lab.audit_closes();
    let ledger = lab.sql("SELECT * FROM ledger");
    assert_eq!(lab.count("SELECT sum(holes) FROM ledger"), 0, "{ledger:#?}");
    let rows =
        lab.sql("SELECT reason_code, detail, payload_len FROM rejects ORDER BY kafka_offset");
    let found: Vec<&str> = rows
        .iter()
        .map(|r| r["reason_code"].as_str().unwrap_or("?"))
        .collect();
    let mut wanted: Vec<&str> = bad.iter().map(|(_, code)| *code).collect();
    wanted.push("E_EMPTY");
    assert_eq!(found, wanted, "{rows:#?}");
    assert!(
        rows.iter()
            .all(|r| r["detail"].as_str().is_some_and(|d| !d.is_empty())),
        "{rows:#?}"
    );
    assert_eq!(lab.count("SELECT sum(tombstone) FROM ledger"), 1);
    assert_eq!(lab.count("SELECT count(*) FROM events"), 1);
}
