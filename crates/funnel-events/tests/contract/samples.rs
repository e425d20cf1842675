//! The sample messages, column by column.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{batch, events, examples, stated};

#[test]
fn every_sample_gives_exactly_the_columns_that_the_tables_say() {
    let expected: BTreeMap<_, _> = examples("expected").into_iter().collect();
    let mut seen = 0;
    for (name, text) in examples("valid") {
        let Some(expected) = expected.get(&name) else { continue };
        seen += 1;
        let expected: Value = serde_json::from_str(expected).expect("expectations are JSON");
        let events = events(&text);
        let batch = batch(&events);
        let rows: Vec<Value> =
            (0..batch.num_rows()).map(|row| Value::Object(stated(&batch, row))).collect();
        if std::env::var_os("SHOW").is_some() && json!(rows) != expected { println!("{name} {}", serde_json::to_string(&rows).unwrap()); continue; }
        assert_eq!(json!(rows), expected, "{name}");
    }
    assert_eq!(seen, expected.len(), "every expectation belongs to an example");
}
