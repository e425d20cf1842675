//! Bad input: every record has an answer, and the answer says why.

use funnel_events::{Decoded, Decoder, DecoderConfig, Limits, RejectCode, TimeRules};
use proptest::prelude::*;
use std::time::Duration;

use crate::support::{decode, events, examples, reject, reject_of, split};

/// A good record with one member's JSON replaced.
fn record_with(member: &str, json: &str) -> String {
    let members = [
        ("schemaVersion", "\"1.0\""),
        ("eventType", "\"session_started\""),
        ("sourceSystem", "\"web_tag\""),
        ("sourceEvent", "\"MONITORING_STATE\""),
        ("flow", "\"monitored\""),
        ("accountId", "\"58213347\""),
        ("visitorId", "\"v\""),
        ("sessionId", "\"s\""),
        ("eventTime", "1709560800000"),
        ("producedAt", "1709560800180"),
        ("payload", "{\"active\":true}"),
    ];
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{}", if *name == member { json } else { value }))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn code_of_bytes(bytes: &[u8]) -> RejectCode {
    let decoder = Decoder::new(DecoderConfig::default());
    reject_of(decoder.decode(Some(bytes)), "bytes").code
}

#[test]
fn a_null_value_is_a_tombstone_and_no_bytes_are_a_reject() {
    assert_eq!(
        Decoder::new(DecoderConfig::default()).decode(None),
        Decoded::Tombstone
    );
    assert_eq!(code_of_bytes(b""), RejectCode::Empty);
    assert_eq!(code_of_bytes(b" \r\n\t"), RejectCode::Empty);
}

#[test]
fn a_record_above_the_limit_is_refused_unread() {
    let limits = Limits {
        max_record_bytes: 100,
        ..Limits::default()
    };
    let decoder = Decoder::new(DecoderConfig {
        limits,
        ..DecoderConfig::default()
    });
    let reject = reject_of(decoder.decode(Some(&[b'x'; 101])), "101 bytes");
    assert_eq!(reject.code, RejectCode::TooLarge);
    assert_eq!(reject.detail, "the value has 101 bytes; the limit is 100");
    let ten_megabytes = record_with(
        "payload",
        &format!("{{\"a\":\"{}\"}}", "x".repeat(10_000_000)),
    );
    assert_eq!(
        code_of_bytes(ten_megabytes.as_bytes()),
        RejectCode::TooLarge
    );
}

#[test]
fn framed_avro_is_told_from_json_by_its_first_byte() {
    assert_eq!(
        code_of_bytes(b"\x00\x00\x00\x00\x07{}"),
        RejectCode::WireFormat
    );
    assert_eq!(code_of_bytes(b"\x01abc"), RejectCode::WireFormat);
}

#[test]
fn invalid_utf8_names_the_byte() {
    let reject = reject_of(
        Decoder::new(DecoderConfig::default()).decode(Some(b"{\"a\":\"\xff\"}")),
        "",
    );
    assert_eq!(reject.code, RejectCode::Utf8);
    assert!(reject.detail.ends_with("byte 6"), "{}", reject.detail);
}

#[test]
fn broken_json_is_refused_by_its_kind() {
    assert_eq!(code_of_bytes(b"hello"), RejectCode::JsonSyntax);
    assert_eq!(code_of_bytes(b"{\"a\":\"x\0y\"}"), RejectCode::JsonSyntax);
    assert_eq!(code_of_bytes(b"{} {}"), RejectCode::TrailingData);
    assert_eq!(code_of_bytes(b"{\"a\":1,\"a\":2}"), RejectCode::JsonDupKey);
    assert_eq!(
        code_of_bytes("[".repeat(1000).as_bytes()),
        RejectCode::JsonDepth
    );
    assert_eq!(code_of_bytes(b"null"), RejectCode::NotObject);
    let deep = record_with(
        "payload",
        &format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000)),
    );
    assert_eq!(code_of_bytes(deep.as_bytes()), RejectCode::JsonDepth);
}

#[test]
fn every_truncation_of_a_record_is_a_syntax_error() {
    let record = record_with("", "");
    for end in 1..record.len() {
        let cut = record.get(..end).expect("ASCII");
        assert_eq!(reject(cut).code, RejectCode::JsonSyntax, "{cut}");
    }
}

#[test]
fn every_code_is_raised_here_or_known_to_be_raised_later() {
    // What the decoder cannot say: registries come later, the others belong to the stages after it.
    let later = [
        RejectCode::SchemaIdUnknown,
        RejectCode::SchemaDecode,
        RejectCode::FieldEnum,
        RejectCode::DupConflict,
        RejectCode::Lifecycle,
        RejectCode::Internal,
    ];
    let records = [
        "".to_owned(),
        "{".to_owned(),
        "{}{}".to_owned(),
        "{\"a\":1,\"a\":1}".to_owned(),
        "[".repeat(70),
        "[]".to_owned(),
        "\u{0}".to_owned(),
        " ".repeat(9_000_000),
        record_with("schemaVersion", "\"2.0\""),
        record_with("eventType", "\"nothing\""),
        record_with("eventType", "7"),
        record_with("accountId", "null"),
        record_with("accountId", "\"a b\""),
        record_with("accountId", "\"a_name_that_is_too_long\""),
        record_with("eventTime", "99999999999999999999"),
        record_with("eventTime", "\"noon\""),
        record_with("eventTime", "-1"),
        record_with("eventTime", "\"9999-01-01T00:00:00Z\""),
    ];
    let mut raised: Vec<_> = records.iter().map(|record| reject(record).code).collect();
    raised.push(code_of_bytes(b"\xff"));
    for code in RejectCode::all() {
        assert_ne!(
            raised.contains(&code),
            later.contains(&code),
            "{}",
            code.as_str()
        );
    }
}

#[test]
fn wrong_types_in_every_member_give_a_reject_or_an_event_that_keeps_the_value() {
    let values = [
        "null",
        "true",
        "7",
        "7.5",
        "\"x\"",
        "[]",
        "{}",
        "99999999999999999999",
        "\"\\u0000\"",
        "\"\"",
    ];
    for member in [
        "schemaVersion",
        "eventType",
        "sourceSystem",
        "sourceEvent",
        "flow",
        "accountId",
        "visitorId",
        "sessionId",
        "eventTime",
        "producedAt",
        "payload",
    ] {
        for value in values {
            let decoded = decode(&record_with(member, value));
            let (events, rejects) = split(decoded);
            assert_eq!(events.len() + rejects.len(), 1, "{member} = {value}");
        }
    }
    let event = &events(&record_with("visitorId", "7.5"))[0];
    assert_eq!(event.visitor_id, None);
    assert_eq!(
        event.extra_json.as_deref(),
        Some("{\"envelope.visitorId\":7.5,\"active\":true}")
    );
}

#[test]
fn ids_beyond_64_bits_and_floats_are_kept_as_sent_and_never_rounded() {
    let payload =
        r#"{"engagementId": 4295386119.5, "campaignId": 92233720368547758070, "zoneId": 12.0}"#;
    let text = record_with("payload", payload).replace("session_started", "engagement_start");
    let event = &events(&text)[0];
    assert_eq!(
        (event.engagement_id, event.campaign_id, event.zone_id),
        (None, None, Some(12))
    );
    let extra = event.extra_json.as_deref().expect("unusable ids are kept");
    assert_eq!(
        extra,
        r#"{"engagementId":4295386119.5,"campaignId":92233720368547758070}"#
    );
}

#[test]
fn one_bad_entry_does_not_take_its_siblings_with_it() {
    let payload = r#"{"events":{"event":[
        {"@id":"0","@type":"state","time":"2024-03-04T09:00:44.011-05:00","state":"waiting"},
        {"@id":"1","@type":"line","time":"noon"},
        {"@id":"2","@type":"song"},
        {"@id":"3","@type":"state","time":"2024-03-04T09:00:45.011-05:00","state":"chatting"}]}}"#;
    let text = record_with("payload", payload).replace("session_started", "chat_line");
    let (events, rejects) = split(decode(&text));
    let indices: Vec<_> = events.iter().map(|event| event.entry_index).collect();
    assert_eq!(indices, [Some(0), Some(3)]);
    let refused: Vec<_> = rejects
        .iter()
        .map(|reject| (reject.entry_index, reject.code.as_str()))
        .collect();
    assert_eq!(
        refused,
        [(Some(1), "E_TIME_FORMAT"), (Some(2), "E_TYPE_UNKNOWN")]
    );
    assert_eq!(
        rejects[0].visitor_id.as_deref(),
        Some("v"),
        "a reject can be found by its visitor"
    );
}

#[test]
fn too_many_entries_refuse_the_record_as_a_whole() {
    let limits = Limits {
        max_entries: 3,
        ..Limits::default()
    };
    let decoder = Decoder::new(DecoderConfig {
        limits,
        ..DecoderConfig::default()
    });
    let with = |count: usize| {
        let payload = format!(
            "{{\"engagementAttributes\":[{}]}}",
            vec!["{}"; count].join(",")
        );
        record_with("payload", &payload).replace("session_started", "sde_reported")
    };
    assert_eq!(split(decoder.decode(Some(with(3).as_bytes()))).0.len(), 3);
    let reject = reject_of(decoder.decode(Some(with(4).as_bytes())), "four entries");
    assert_eq!(
        (reject.code, reject.entry_index),
        (RejectCode::FieldRange, None)
    );
}

#[test]
fn age_is_judged_only_when_configured_and_against_the_producers_clock() {
    let old = record_with("producedAt", "1709660800000");
    assert_eq!(events(&old).len(), 1);
    let rules = TimeRules {
        max_age: Some(Duration::from_secs(3600)),
        future_tolerance: Some(Duration::from_secs(60)),
    };
    let decoder = Decoder::new(DecoderConfig {
        time: rules,
        ..DecoderConfig::default()
    });
    let server = |text: &str| text.replace("\"flow\"", "\"eventTimeSource\":\"server\",\"flow\"");
    let code = |text: &str| reject_of(decoder.decode(Some(server(text).as_bytes())), text).code;
    assert_eq!(code(&old), RejectCode::TimeTooOld);
    assert_eq!(
        code(&record_with("producedAt", "1709560000000")),
        RejectCode::TimeFuture
    );
    let fresh = server(&record_with("", ""));
    assert_eq!(split(decoder.decode(Some(fresh.as_bytes()))).1, []);
}

/// The property of the fuzz target: every input has an answer, and an answer is never an empty
/// list.
fn has_an_answer(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Decoded::Entries(entries) = Decoder::new(DecoderConfig::default()).decode(Some(bytes)) {
        prop_assert!(!entries.is_empty());
    }
    Ok(())
}

fn sample() -> impl Strategy<Value = String> {
    let texts: Vec<_> = examples("valid")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    proptest::sample::select(texts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        has_an_answer(&bytes)?;
    }

    #[test]
    fn arbitrary_json_like_text_has_an_answer(text in r#"[\[\]{}:,"\\a-c0-9.eE+\- tfn\u{0}é]{0,80}"#) {
        has_an_answer(text.as_bytes())?;
    }

    #[test]
    fn samples_with_flipped_bytes_have_an_answer(
        text in sample(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = text.into_bytes();
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        has_an_answer(&bytes)?;
    }

    #[test]
    fn samples_with_a_piece_moved_have_an_answer(
        text in sample(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        len in 1_usize..60,
    ) {
        let mut bytes = text.into_bytes();
        let from = from.index(bytes.len());
        let end = (from + len).min(bytes.len());
        let piece: Vec<u8> = bytes.drain(from..end).collect();
        let to = if bytes.is_empty() { 0 } else { to.index(bytes.len()) };
        bytes.splice(to..to, piece);
        has_an_answer(&bytes)?;
    }
}
