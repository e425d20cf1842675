//! Schema and decoder give one verdict on every record that is one JSON value without duplicate
//! names.

use std::path::Path;

use funnel_events::{Decoded, Entry, events_schema, ledger_schema, rejects_schema, schema_text};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{decode, examples, schemas};

fn validator() -> Validator {
    let text = std::fs::read_to_string(schemas().join("events.v1.schema.json")).expect("schema");
    let schema: Value = serde_json::from_str(&text).expect("schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("schema follows draft 2020-12");
    jsonschema::draft202012::new(&schema).expect("schema compiles")
}

/// Accepted means: no part of the record is refused.
fn is_accepted(text: &str) -> bool {
    match decode(text) {
        Decoded::Entries(entries) => entries.iter().all(|entry| matches!(entry, Entry::Event(_))),
        _ => true,
    }
}

#[test]
fn schema_and_decoder_agree_on_every_example() {
    let validator = validator();
    for (folder, verdict) in [("valid", true), ("invalid", false)] {
        for (name, text) in examples(folder) {
            assert_eq!(is_accepted(&text), verdict, "decoder on {name}");
            // The decoder reads numbers as text; the validator's parser has no integer that large.
            let value: Value = serde_json::from_str(&text).expect("examples are JSON");
            assert_eq!(validator.is_valid(&value), verdict, "schema on {name}");
        }
    }
}

#[test]
fn schema_and_decoder_agree_on_thousands_of_mutated_examples() {
    let validator = validator();
    let mut random = Random(0x5eed_0001);
    let (mut accepted, mut refused) = (0, 0);
    let files: Vec<_> = examples("valid")
        .into_iter()
        .chain(examples("invalid"))
        .collect();
    for (name, text) in &files {
        let original: Value = serde_json::from_str(text).expect("examples are JSON");
        for round in 0..40 {
            let mut value = original.clone();
            for _ in 0..=random.below(2) {
                mutate(&mut value, &mut random);
            }
            let text = value.to_string();
            let verdict = is_accepted(&text);
            assert_eq!(
                validator.is_valid(&value),
                verdict,
                "{name}, round {round}: {text}"
            );
            if verdict { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(
        accepted > 1000 && refused > 500,
        "{accepted} accepted, {refused} refused"
    );
}

/// A small seeded generator: the same mutations on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).expect("small")).expect("small")
    }
}

/// Replaces, removes or adds one value somewhere; every second time close to the root, where most
/// rules are.
fn mutate(value: &mut Value, random: &mut Random) {
    let depth = if random.below(2) == 0 {
        1
    } else {
        1 + random.below(12)
    };
    let mut target = value;
    for _ in 0..depth {
        let len = match &*target {
            Value::Object(members) => members.len(),
            Value::Array(items) => items.len(),
            _ => 0,
        };
        if len == 0 {
            break;
        }
        let place = random.below(len);
        let inner = match &*target {
            Value::Object(members) => members.values().nth(place).is_some_and(is_container),
            Value::Array(items) => items.get(place).is_some_and(is_container),
            _ => false,
        };
        if !inner || random.below(4) == 0 {
            break;
        }
        target = match target {
            Value::Object(members) => members.values_mut().nth(place).expect("place exists"),
            Value::Array(items) => items.get_mut(place).expect("place exists"),
            _ => return,
        };
    }
    change(target, random);
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn change(target: &mut Value, random: &mut Random) {
    match target {
        Value::Object(members) if !members.is_empty() => {
            let place = random.below(members.len());
            let name = members.keys().nth(place).expect("place exists").clone();
            match random.below(5) {
                0 => {
                    members.remove(&name);
                }
                1 => {
                    members.insert("unheardOf".to_owned(), any_value(random));
                }
                _ => {
                    members.insert(name, any_value(random));
                }
            }
        }
        Value::Array(items) => {
            let place = random.below(items.len() + 1);
            if place < items.len() && random.below(3) == 0 {
                items.remove(place);
            } else {
                items.insert(place, any_value(random));
            }
        }
        other => *other = any_value(random),
    }
}

fn any_value(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(7),
        json!(1.5),
        json!(12.0),
        json!(1_709_560_800_000_i64),
        json!(1_709_560_800_000.25),
        json!(7_258_118_400_000_i64),
        json!(i64::MAX),
        json!(""),
        json!("x"),
        json!("0"),
        json!("1709560800000"),
        json!("7258118400000"),
        json!("2024-02-29T09:00:00.123456789-05:00"),
        json!("2023-02-29T09:00:00Z"),
        json!("2024-03-04 14:00:44.011+0000"),
        json!("2024-03-04T14:00:44"),
        json!("0001-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("58_213"),
        json!("58 213"),
        json!("a_name_that_is_longer_than_twenty"),
        json!("chat_ended"),
        json!("data_access"),
        json!("engagement_history"),
        json!("visit_info"),
        json!("impDisplay"),
        json!("Show"),
        json!("line"),
        json!([]),
        json!([1]),
        json!([{}]),
        json!({}),
        json!({"string": "x"}),
        json!({"long": 1_709_560_800_000_i64}),
        json!({"array": [{}, 3]}),
        json!({"com.liveperson.dataaccess.Conversation": {"transfers": {"array": [1]}}}),
    ];
    values[random.below(values.len())].clone()
}

#[test]
fn lake_schemas_in_the_repository_are_those_of_the_code() {
    let tables = [
        ("events", events_schema()),
        ("rejects", rejects_schema()),
        ("ledger", ledger_schema()),
    ];
    for (name, schema) in tables {
        let path = schemas().join("lake").join(name).with_extension("txt");
        check_text(&path, &schema_text(&schema));
    }
}

/// Compares a file with what the code says; `UPDATE_SCHEMAS=1` writes it.
fn check_text(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(path, text).expect("writable");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found,
        text,
        "{}: run the test with UPDATE_SCHEMAS=1",
        path.display()
    );
}
