//! The schema of funnel definitions; the parser's verdict on the same files is tested where it is.

use std::path::Path;

use serde_json::Value;

use crate::support::schemas;

/// The definitions of a folder with their paths.
fn definitions(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable folder").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let text = std::fs::read_to_string(&path).expect("readable definition");
            let value = toml::from_str(&text).expect("definitions are TOML");
            found.push((path.display().to_string(), value));
        }
    }
    assert!(!found.is_empty(), "{} holds definitions", folder.display());
    found
}

#[test]
fn the_schema_accepts_what_is_shipped_and_shown_and_refuses_the_counter_examples() {
    let text = std::fs::read_to_string(schemas().join("funnel-definition.schema.json"));
    let schema: Value = serde_json::from_str(&text.expect("schema")).expect("schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("schema follows draft 2020-12");
    let validator = jsonschema::draft202012::new(&schema).expect("schema compiles");
    let examples = schemas().join("funnel-definitions");
    for (folder, verdict) in [
        (schemas().join("../queries/funnels"), true),
        (examples.join("valid"), true),
        (examples.join("invalid"), false),
    ] {
        for (name, value) in definitions(&folder) {
            assert_eq!(validator.is_valid(&value), verdict, "schema on {name}");
        }
    }
}
