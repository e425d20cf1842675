//! The parsers' verdict on the files by which `schemas/funnel-definition.schema.json` is tested.

use std::path::Path;

use crate::funnel::{FunnelDefinition, TableFunnel};

#[test]
fn the_parsers_accept_what_is_shown_and_refuse_the_counter_examples() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/funnel-definitions");
    for (folder, verdict) in [("valid", true), ("invalid", false)] {
        let mut count = 0;
        for entry in std::fs::read_dir(examples.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let accepted = if text.contains("[source]") {
                TableFunnel::parse("test.toml", &text).is_ok()
            } else {
                FunnelDefinition::parse("test.toml", &text).is_ok()
            };
            assert_eq!(accepted, verdict, "{}", path.display());
            count += 1;
        }
        assert!(count > 2, "{folder}");
    }
}
