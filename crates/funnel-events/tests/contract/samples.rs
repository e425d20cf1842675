//! The sample messages, column by column.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{batch, events, examples, reject, schemas, stated};

#[test]
fn every_sample_gives_exactly_the_columns_that_the_tables_say() {
    let expected: BTreeMap<_, _> = examples("expected").into_iter().collect();
    let mut seen = 0;
    for (name, text) in examples("valid") {
        let Some(expected) = expected.get(&name) else {
            continue;
        };
        seen += 1;
        let expected: Value = serde_json::from_str(expected).expect("expectations are JSON");
        let events = events(&text);
        let batch = batch(&events);
        let rows: Vec<Value> = (0..batch.num_rows())
            .map(|row| Value::Object(stated(&batch, row)))
            .collect();
        assert_eq!(json!(rows), expected, "{name}");
    }
    assert_eq!(
        seen,
        expected.len(),
        "every expectation belongs to an example"
    );
}

#[test]
fn every_shape_of_every_source_gives_its_facts_in_order() {
    let index = std::fs::read_to_string(schemas().join("examples/shapes.json")).expect("index");
    let shapes: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&index).expect("index of shapes");
    let files: BTreeMap<_, _> = examples("valid").into_iter().collect();
    for (name, types) in &shapes {
        let events = events(&files[name]);
        let found: Vec<_> = events
            .iter()
            .map(|event| event.event_type.as_str())
            .collect();
        assert_eq!(&found, types, "{name}");
        let indices: Vec<_> = events
            .iter()
            .filter_map(|event| event.entry_index)
            .collect();
        let in_order: Vec<_> = (0..i32::try_from(indices.len()).expect("few")).collect();
        assert_eq!(indices, in_order, "{name}");
    }
    let described = shapes.len() + examples("expected").len();
    assert_eq!(
        described,
        files.len(),
        "every valid example is described by one of the two"
    );
}

#[test]
fn every_invalid_example_gets_its_code_at_its_place() {
    let index = std::fs::read_to_string(schemas().join("examples/rejects.json")).expect("index");
    let expected: BTreeMap<String, Value> = serde_json::from_str(&index).expect("index of rejects");
    let files = examples("invalid");
    assert_eq!(files.len(), expected.len());
    for (name, text) in files {
        let reject = reject(&text);
        let found = json!({"code": reject.code.as_str(), "path": reject.path});
        assert_eq!(found, expected[&name], "{name}: {}", reject.detail);
    }
}
