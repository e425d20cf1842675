//! Every named query plans, runs on an empty and on a small lake, and gives what it declares.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use serde_json::json;

use super::*;
use crate::testing::{row, session};

/// The parameters without a default, for the day of the test rows.
fn required(query: &NamedQuery) -> BTreeMap<String, String> {
    let needed = query.params.iter().filter(|param| param.default.is_none());
    let value = |param: &Param| match (param.name.as_str(), param.kind.as_str()) {
        (_, "DATE") => "2024-03-04".to_owned(),
        (name, kind) => panic!("a value for `{name}` of type {kind}"),
    };
    needed
        .map(|param| (param.name.clone(), value(param)))
        .collect()
}

/// The word of the front matter for an Arrow type; a type without a word must not be in an answer.
fn word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => "TEXT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        DataType::Date32 => "DATE",
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "TIMESTAMP",
        DataType::Decimal128(_, _) => "DECIMAL",
        other => panic!("{other} is not a type of the output contract"),
    }
}

#[tokio::test]
async fn every_query_gives_the_columns_of_its_front_matter() {
    let session = session(&[row("session_started", Some("s"), 0, json!({}))]).await;
    for query in list().unwrap() {
        let frame = plan(&session, &query, &required(&query)).await.unwrap();
        let found: Vec<(String, &str)> = frame
            .schema()
            .fields()
            .iter()
            .map(|field| (field.name().clone(), word(field.data_type())))
            .collect();
        let declared: Vec<(String, &str)> = query
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.kind.as_str()))
            .collect();
        assert_eq!(found, declared, "{}", query.name);
        frame
            .collect()
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", query.name));
    }
}

#[test]
fn every_file_of_the_folder_is_shipped() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".sql")?
                    .to_owned(),
            )
        })
        .collect();
    files.sort();
    let shipped: Vec<String> = list()
        .unwrap()
        .into_iter()
        .map(|query| query.name)
        .collect();
    assert_eq!(shipped, files);
}

#[test]
fn every_query_is_found_by_its_file_name_and_explains_itself() {
    for query in list().unwrap() {
        assert_eq!(find(&query.name).unwrap(), query);
        assert!(
            query.question.ends_with('?'),
            "{}: {}",
            query.name,
            query.question
        );
        for param in &query.params {
            assert!(!param.help.is_empty(), "{}: {}", query.name, param.name);
        }
    }
}

#[tokio::test]
async fn a_ledger_closes_where_ranges_follow_each_other_and_fates_add_up() {
    let session = session(&[]).await;
    let entry = |partition: i32, from: i64, to: i64, accepted: i64| json!({"kafka_partition": partition, "from_offset": from, "to_offset": to, "accepted": accepted});
    let mut gap = entry(0, 10, 15, 0);
    gap["kind"] = json!("gap");
    let mut refused = entry(0, 15, 20, 3);
    refused["rejected"] = json!(2);
    let entries = [
        entry(0, 0, 10, 10),
        gap,
        refused,
        // An offset without a fate; a range that nobody read; the same offsets twice.
        entry(1, 0, 10, 9),
        entry(2, 0, 10, 10),
        entry(2, 11, 20, 9),
        entry(3, 0, 10, 10),
        entry(3, 9, 12, 3),
    ];
    session.ctx().deregister_table("ledger").unwrap();
    let ledger = crate::testing::ledger(&entries);
    session
        .ctx()
        .register_table("ledger", std::sync::Arc::new(ledger))
        .unwrap();
    let found = run(&session, "ledger_summary", &BTreeMap::new())
        .await
        .unwrap();
    let mut lines = Vec::new();
    for batch in &found {
        let text = |name: &str| {
            let values = batch.column_by_name(name).unwrap();
            arrow::compute::cast(values, &DataType::Utf8).unwrap()
        };
        let columns = [
            "kafka_partition",
            "to_offset",
            "accepted",
            "gap_offsets",
            "closes",
        ]
        .map(text);
        for row in 0..batch.num_rows() {
            lines.push(columns.each_ref().map(|column| {
                use arrow::array::AsArray;
                column.as_string::<i32>().value(row).to_owned()
            }));
        }
    }
    let wanted = [
        ["0", "20", "13", "5", "true"],
        ["1", "10", "9", "0", "false"],
        ["2", "20", "19", "0", "false"],
        ["3", "12", "13", "0", "false"],
    ];
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn text_of_a_parameter_never_becomes_sql() {
    let session = session(&[row("session_started", Some("s"), 0, json!({}))]).await;
    let query = find("metrics").unwrap();
    let mut params = required(&query);
    params.insert("account".to_owned(), "a' OR 'a' = 'a".to_owned());
    let batches = run(&session, "metrics", &params).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[tokio::test]
async fn a_wrong_parameter_is_a_usage_error_that_says_what_to_write() {
    let session = session(&[]).await;
    let day = |to: &str| {
        BTreeMap::from([
            ("from".to_owned(), "2024-03-04".to_owned()),
            ("to".to_owned(), to.to_owned()),
        ])
    };
    let mut unknown = day("2024-03-04");
    unknown.insert("acount".to_owned(), "a".to_owned());
    let mut choice = day("2024-03-04");
    choice.insert("grain".to_owned(), "city".to_owned());
    let cases = [
        (BTreeMap::new(), "needs the parameter `from`"),
        (day("04.03.2024"), "YYYY-MM-DD"),
        (unknown, "it takes: from, to, account"),
        (choice, "none, flow, campaign"),
    ];
    for (params, text) in cases {
        let error = run(&session, "metrics", &params).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Usage);
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// Rows of `availability_losses` of the golden day, as text: states, outcome, and the counts.
async fn losses(stale_seconds: &str) -> Vec<String> {
    use funnel_datagen::golden::{self, Variant};

    let session = crate::testing::golden_session(Variant::default()).await;
    let params = [
        ("from", golden::DATE),
        ("to", golden::DATE),
        ("account", golden::ACCOUNT),
        ("stale_seconds", stale_seconds),
    ];
    let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut lines = Vec::new();
    for batch in run(&session, "availability_losses", &params.into())
        .await
        .unwrap()
    {
        let text: Vec<_> = batch.columns()[2..10]
            .iter()
            .map(|column| arrow::compute::cast(column, &DataType::Utf8).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cells = text.iter().map(|column| {
                arrow::array::AsArray::as_string::<i32>(column)
                    .value(row)
                    .to_owned()
            });
            lines.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    lines
}

#[tokio::test]
async fn losses_are_split_by_what_the_agents_were() {
    // Twelve offers were shown, ten of them while agents were online. Only the click of session 12
    // came five minutes after the impression.
    let expected = |stale: u8| {
        vec![
            "busy no_click ignored 1 0 0 12 10".to_owned(),
            "offline offline blocked_offline 1 0 0 12 10".to_owned(),
            "online no_click ignored 2 2 0 12 10".to_owned(),
            "online no_click declined 1 1 0 12 10".to_owned(),
            "online no_click timed_out 1 1 0 12 10".to_owned(),
            format!("online online click_no_request 2 2 {stale} 12 10"),
            "online online abandoned_in_queue 1 1 0 12 10".to_owned(),
            "online online connected_non_interactive 1 1 0 12 10".to_owned(),
        ]
    };
    assert_eq!(losses("120").await, expected(1));
    assert_eq!(losses("300").await, expected(0));
}

/// As a table of SQL it has the same columns and rows, of the declared types.
#[tokio::test]
async fn every_query_is_a_table_of_sql() {
    let session = session(&[row("session_started", Some("s"), 0, json!({}))]).await;
    for query in list().unwrap() {
        let params = required(&query);
        let texts: Vec<String> = params
            .iter()
            .map(|(name, value)| format!("'{name}', '{value}'"))
            .collect();
        let options = if texts.is_empty() {
            String::new()
        } else {
            format!(", named_struct({})", texts.join(", "))
        };
        let text = format!("SELECT * FROM named_query('{}'{options})", query.name);
        let found = session.collect(&text).await.unwrap();
        let wanted = run(&session, &query.name, &params).await.unwrap();
        let count =
            |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(count(&found), count(&wanted), "{}", query.name);
        let frame = session.sql(&text).await.unwrap();
        let fields = frame.schema().fields().iter();
        let kinds: Vec<_> = fields
            .map(|field| (field.name().as_str(), word(field.data_type())))
            .collect();
        let declared = query.columns.iter();
        let declared: Vec<_> = declared
            .map(|column| (column.name.as_str(), column.kind.as_str()))
            .collect();
        assert_eq!(kinds, declared, "{}", query.name);
    }
    let listed = session
        .collect("SELECT name FROM named_queries()")
        .await
        .unwrap();
    let listed: usize = listed.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(listed, list().unwrap().len());
    for (from, says) in [
        ("named_query('none')", "no query is called `none`"),
        ("named_query('metrics')", "needs the parameter `from`"),
        (
            "named_query('metrics', named_struct('from', 'soon', 'to', '2024-03-04'))",
            "is not a date",
        ),
        (
            "named_query('metrics', named_struct('from', '2024-03-04', 'to', NULL))",
            "`to` of a named query has no value",
        ),
        ("named_query('metrics', 'from')", "parameters are a struct"),
    ] {
        let error = session
            .sql(&format!("SELECT * FROM {from}"))
            .await
            .unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(says), "{from}: {cause}");
    }
}
