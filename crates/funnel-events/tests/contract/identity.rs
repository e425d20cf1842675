//! Which facts are the same, across spellings, deliveries and sources.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::{batch, columns, events, examples};

#[test]
fn no_two_entries_of_all_examples_share_an_id() {
    let mut seen: HashMap<[u8; 16], String> = HashMap::new();
    for (name, text) in examples("valid") {
        for event in events(&text) {
            let here = format!("{name} entry {:?}", event.entry_index);
            if let Some(there) = seen.insert(event.event_id, here.clone()) {
                // A copy made on purpose: an offer with its ids spelled as numbers.
                let copy = there.starts_with("g13") && here.starts_with("s29");
                assert!(copy, "{there} and {here} are different facts of one id");
            }
        }
    }
}

/// Texts of digits become numbers, numbers become texts.
fn respell(value: &mut Value, key: &str, to_number: bool) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                respell(member, name, to_number);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| respell(item, key, to_number)),
        // These have a type of their own: versions are text, and the rest is not an id.
        _ if matches!(
            key,
            "schemaVersion" | "total" | "price" | "value" | "balance" | "channel"
        ) => {}
        Value::String(text) if to_number && !text.starts_with('0') => {
            if let Ok(number) = text.parse::<u64>() {
                *value = json!(number);
            }
        }
        Value::Number(number) if !to_number && number.is_i64() => {
            *value = json!(number.to_string())
        }
        _ => {}
    }
}

#[test]
fn ids_as_texts_and_as_numbers_give_the_same_ids_and_columns() {
    for (name, text) in examples("valid") {
        if !name.starts_with('g') {
            continue;
        }
        let original: Value = serde_json::from_str(&text).expect("examples are JSON");
        let expected = batch(&events(&text));
        for to_number in [true, false] {
            let mut respelled = original.clone();
            respell(&mut respelled, "", to_number);
            let found = batch(&events(&respelled.to_string()));
            assert_eq!(found.num_rows(), expected.num_rows(), "{name}");
            for row in 0..expected.num_rows() {
                let (mut found, mut expected) = (columns(&found, row), columns(&expected, row));
                for object in [&mut found, &mut expected] {
                    // They repeat values as sent.
                    object.remove("extra_json");
                    object.remove("sde_json");
                }
                assert_eq!(found, expected, "{name}, to_number = {to_number}");
            }
        }
    }
}

#[test]
fn a_repeat_by_the_producer_is_the_same_fact_with_the_same_content() {
    for (name, text) in examples("valid") {
        let mut value: Value = serde_json::from_str(&text).expect("examples are JSON");
        if name == "s31-wrong-types-become-null" {
            // Its number beyond 64 bits does not survive the library that writes the copy.
            continue;
        }
        // Sent again later under another id; a JSON library may also order members its own way.
        value["eventId"] = json!("another");
        if let Some(produced) = value["producedAt"].as_i64() {
            value["producedAt"] = json!(produced + 60_000);
        }
        let (first, again) = (events(&text), events(&value.to_string()));
        for (first, again) in first.iter().zip(&again) {
            assert_eq!(first.event_id, again.event_id, "{name}");
            assert_eq!(first.content_hash, again.content_hash, "{name}");
        }
    }
}

#[test]
fn the_same_chat_event_in_two_polls_is_one_fact() {
    let poll = |at: i64, last_update: &str| {
        json!({
            "eventType": "chat_line", "sourceSystem": "server_chat", "sourceEvent": "events", "accountId": "a",
            "eventTime": at, "producedAt": at, "seq": at,
            "payload": {"events": {"event": [{"@id": "4", "@type": "state", "state": "chatting",
                "time": "2024-03-04T09:00:44.011-05:00"}]},
                "info": {"chatSessionKey": "K", "lastUpdate": last_update}},
        })
        .to_string()
    };
    let (first, second) = (
        events(&poll(1_709_560_800_000, "x")),
        events(&poll(1_709_560_900_000, "y")),
    );
    assert_eq!(first[0].event_id, second[0].event_id);
    assert_eq!(first[0].content_hash, second[0].content_hash);
}

#[test]
fn each_status_of_one_service_is_a_fact_of_its_own() {
    let report = |status: i64| {
        let text = json!({
            "eventType": "sde_reported", "sourceSystem": "web_tag", "accountId": "a", "visitorId": "v",
            "sessionId": "s", "eventTime": 1_709_560_800_000_i64,
            "payload": {"type": "service", "service": {"serviceId": "SV-1", "status": status}},
        });
        events(&text.to_string()).remove(0)
    };
    let (started, done, again) = (report(1), report(0), report(0));
    assert_ne!(started.event_id, done.event_id);
    assert_eq!(done.event_id, again.event_id);
    assert_eq!(started.conversion_type, None);
    assert_eq!(done.conversion_type.as_deref(), Some("service"));
}

#[test]
fn two_impressions_a_millisecond_apart_are_two_facts() {
    let impression = |time: i64, page: Option<&str>| {
        let text = json!({
            "eventType": "engagement_impression", "sourceSystem": "web_tag", "accountId": "a", "visitorId": "v",
            "sessionId": "s", "contextId": "1", "pageId": page, "eventTime": time, "payload": {"campaignId": 7},
        });
        events(&text.to_string()).remove(0).event_id
    };
    let time = 1_709_560_800_000;
    assert_ne!(impression(time, Some("p")), impression(time + 1, Some("p")));
    assert_ne!(impression(time, Some("p")), impression(time, None));
    assert_eq!(impression(time, None), impression(time, None));
}
