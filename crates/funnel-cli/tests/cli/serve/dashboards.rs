//! The dashboards and alerts of `deploy/`: every query of theirs runs, and every metric exists.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::Service;
use super::wire::{connect, texts};

fn deploy() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"))
}

/// All texts of a file below this key, at any depth.
fn below(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text.clone()),
                    _ => below(value, key, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| below(value, key, found)),
        _ => {}
    }
}

fn of_dashboards(key: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(deploy().join("grafana/dashboards")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        below(&serde_json::from_str(&text).unwrap(), key, &mut found);
    }
    found
}

/// What Grafana makes of its macros: the argument lists are plain here.
fn expanded(sql: &str) -> String {
    let mut text = sql.to_owned();
    for name in ["$__timeGroupAlias(", "$__timeFilter("] {
        while let Some((before, rest)) = text.split_once(name) {
            let (arguments, after) = rest.split_once(')').unwrap();
            let column = arguments.split(',').next().unwrap().trim();
            let written = match name {
                "$__timeFilter(" => {
                    format!("{column} BETWEEN '2024-03-01T00:00:00Z' AND '2024-04-30T00:00:00Z'")
                }
                _ => format!("floor(extract(epoch from {column})/86400)*86400 AS \"time\""),
            };
            text = format!("{before}{written}{after}");
        }
    }
    assert!(!text.contains("$__"), "a macro that is not known: {text}");
    text
}

#[tokio::test]
async fn every_query_of_the_dashboards_answers() {
    let service = Service::start("");
    let client = connect(&service).await;
    let queries = of_dashboards("rawSql");
    assert!(queries.len() > 3);
    for query in queries {
        let found = texts(&client, &expanded(&query)).await;
        assert!(!found.is_empty(), "{query}");
    }
}

/// The names of our metrics in a text.
fn names<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let starts = text.match_indices(prefix).map(|(at, _)| at);
    let name = |at: usize| {
        let rest = &text[at..];
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        &rest[..end.unwrap_or(rest.len())]
    };
    starts.map(name).collect()
}

#[test]
fn every_metric_of_the_server_in_dashboards_and_alerts_exists() {
    let service = Service::start("");
    service.sql("SELECT 1 AS one", None);
    let shown = service.get("/metrics");
    let known = names(shown.text(), "funnel_serve_");
    let mut asked = of_dashboards("expr").join("\n");
    asked.push_str(&std::fs::read_to_string(deploy().join("alerts.yml")).unwrap());
    let asked = names(&asked, "funnel_serve_");
    assert!(asked.len() > 4, "{asked:?}");
    for name in asked {
        assert!(known.contains(name), "{name} is none of {known:?}");
    }
}
