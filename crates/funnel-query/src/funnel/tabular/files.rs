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

const MODES: [&str; 28] = [
    "ordered",
    " ordered , increase",
    "ORDERED",
    "next",
    "next,relevant=steps",
    "next,relevant=rows",
    "unordered,anchored",
    "unordered,increase",
    "set",
    "loose",
    "loosely",
    "ch:default",
    "ch:",
    "ch:strict_order,allow_reentry",
    "ch:allow_reentry",
    "ch:strict_once,strict_once",
    "ch:strict_increase, strict_deduplication",
    "doris:fixed",
    "doris:fixed,increase",
    "starrocks:deduplication,fixed",
    "starrocks:fixed,fixed",
    "pinot:keep_all,max_step_duration=10",
    "pinot:max_step_duration=0",
    "pinot:strict_order",
    "posthog:ordered",
    "posthog:strict",
    "posthog:unordered",
    "posthog:default",
];

/// A definition with options chosen by `next`, which gives a number below its argument.
fn any_definition(next: &mut impl FnMut(usize) -> usize) -> String {
    let windows = ["", "0", "10", "'0 s'", "'unbounded'", "'1 day'"];
    let choices: [(&str, &[&str]); 7] = [
        ("mode", &MODES.map(|mode| mode)),
        ("window", &windows),
        ("window_bound", &["", "", "inclusive", "exclusive"]),
        ("entry", &["", "", "latest", "first", "earliest_longest"]),
        ("count", &["", "", "unique", "attempts"]),
        ("reuse", &["", "", "row_once", "row_many"]),
        ("as_of", &["", "", "100"]),
    ];
    let mut text = "name = 'f'\nsource = { table = 't', key = 'k', time = 'ts' }\n".to_owned();
    for (key, values) in choices {
        let value = values[next(values.len())];
        let quote = match key {
            "window" | "as_of" => "",
            _ => "'",
        };
        if !value.is_empty() {
            text += &format!("{key} = {quote}{value}{quote}\n");
        }
    }
    let exclusion = ["", "", "action = 'drop'", "action = 'stop'"][next(4)];
    if !exclusion.is_empty() {
        text += &format!("exclusions = [{{ when = 'x', {exclusion} }}]\n");
    }
    text += "[[steps]]\nname = 'a'\nwhen = 'a'\n";
    for step in 0..[1, 1, 1, 9, 33][next(5)] {
        let gap = ["", "", "max_gap = 5\n"][next(3)];
        let optional = ["", "optional = false\n", "optional = true\n"][next(3)];
        text += &format!("[[steps]]\nname = 'b{step}'\nwhen = 'b'\n{gap}{optional}");
    }
    text + "[[steps]]\nname = 'c'\nwhen = 'c'\n"
}

#[test]
fn schema_and_parser_agree_on_which_options_go_together() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../../schemas/funnel-definition.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let text = any_definition(&mut next);
        let parsed = TableFunnel::parse("test.toml", &text);
        let value: serde_json::Value = toml::from_str(&text).unwrap();
        assert_eq!(schema.is_valid(&value), parsed.is_ok(), "{text}{parsed:?}");
        accepted += usize::from(parsed.is_ok());
    }
    assert!(accepted > 500, "{accepted}");
}
