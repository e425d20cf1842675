//! Rows and parameters.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use arrow::ipc::reader::StreamReader;
use tonic::{Code, Status};

use super::{Client, connect, fetched, first, query, status, texts};
use crate::serve::{Service, accounts};

/// Every table, every column, every value.
#[tokio::test]
async fn rows_are_those_of_the_http_api() {
    let service = Service::start("answer_size = \"1 GiB\"");
    let mut client = connect(&service).await;
    for (table, key) in [
        ("events", "event_id"),
        ("events_enriched", "event_id"),
        ("sessions", "session_key"),
        ("offers", "offer_key"),
        ("chats", "chat_leg_key"),
        (
            "ledger",
            "version, kafka_topic, kafka_partition, from_offset",
        ),
    ] {
        let sql = format!("SELECT * FROM {table} ORDER BY {key}");
        let found = query(&mut client, &sql).await;
        let found = found.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
        let body = serde_json::json!({ "sql": sql, "format": "arrow" }).to_string();
        let json = [("content-type", "application/json")];
        let answer = service
            .client
            .send("POST", "/api/v1/sql", &json, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reader = StreamReader::try_new(answer.body.as_slice(), None).unwrap();
        let schema = reader.schema();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let wanted = concat_batches(&schema, &batches).unwrap();
        assert!(wanted.num_rows() > 0, "{table}");
        let names = |rows: &RecordBatch| -> Vec<String> {
            let fields = rows.schema_ref().fields().iter();
            fields.map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(&found), names(&wanted), "{table}");
        assert_eq!(found.columns(), wanted.columns(), "{table}");
    }
}

#[tokio::test]
async fn answers_without_rows_have_their_columns() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let sql = "SELECT event_id, event_time FROM events WHERE false";
    let found = query(&mut client, sql).await.unwrap();
    assert_eq!((found.num_rows(), found.num_columns()), (0, 2));
    let shown = query(&mut client, "SHOW TABLES").await.unwrap();
    assert!(shown.num_rows() >= 8, "{shown:?}");
}

async fn run(client: &mut Client, sql: &str, values: Vec<ArrayRef>) -> Result<RecordBatch, Status> {
    let columns = values.into_iter().enumerate();
    let row = RecordBatch::try_from_iter(columns.map(|(at, value)| (at.to_string(), value)));
    let mut prepared = client.prepare(sql.to_owned(), None).await.map_err(status)?;
    prepared.set_parameters(row.unwrap()).unwrap();
    let info = prepared.execute().await.map_err(status)?;
    let rows = fetched(client, info).await;
    prepared.close().await.unwrap();
    rows
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn number(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

#[tokio::test]
async fn parameters_are_values() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let account = &accounts()[0];
    let of = |condition: &str| format!("SELECT count(*) FROM events WHERE {condition}");
    let own = texts(&mut client, &of(&format!("account_id = '{account}'"))).await;
    let day: ArrayRef = Arc::new(Date32Array::from(vec![19_790]));
    let dictionary: DictionaryArray<Int32Type> = [account.as_str()].into_iter().collect();
    let on_day = texts(&mut client, &of("event_time >= DATE '2024-03-08'")).await;
    let cases = [
        (of("account_id = ?"), vec![text(account)], own.clone()),
        (of("account_id = $1"), vec![text(account)], own.clone()),
        (
            of("$2 = account_id AND $1"),
            vec![
                Arc::new(arrow::array::BooleanArray::from(vec![true])),
                text(account),
            ],
            own.clone(),
        ),
        (of("account_id = ?"), vec![Arc::new(dictionary)], own),
        (of("event_time >= ?"), vec![day], on_day.clone()),
        (of("event_time >= ?"), vec![text("2024-03-08")], on_day),
        (
            of("account_id = ?"),
            vec![text("' OR '1' = '1")],
            vec!["0".to_owned()],
        ),
        (
            "SELECT value FROM range(0, 9) ORDER BY 1 LIMIT ? OFFSET ?".to_owned(),
            vec![Arc::new(Int32Array::from(vec![2])), number(3)],
            vec!["3".to_owned(), "4".to_owned()],
        ),
        // A number is not cut to what it is compared with.
        (
            "SELECT count(*) FROM range(0, 3) WHERE value = ?".to_owned(),
            vec![Arc::new(Float64Array::from(vec![1.5]))],
            vec!["0".to_owned()],
        ),
        (
            "SELECT ? || '?'".to_owned(),
            vec![text("a")],
            vec!["a?".to_owned()],
        ),
        (
            "SELECT coalesce(?, 'none')".to_owned(),
            vec![Arc::new(StringArray::from(vec![None::<&str>]))],
            vec!["none".to_owned()],
        ),
    ];
    for (sql, values, wanted) in cases {
        let found = run(&mut client, &sql, values).await;
        let found = found.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
        assert_eq!(first(&found), wanted, "{sql}");
    }
}

#[tokio::test]
async fn parameters_may_be_arguments_of_a_funnel() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let account = &accounts()[0];
    let of = |name: &str, from: &str, to: &str| {
        format!("SELECT * FROM funnel({name}, {from}, {to}, named_struct('account', '{account}'))")
    };
    let literal = of("'monitored'", "'2024-03-04'", "'2024-03-10'");
    let literal = query(&mut client, &literal).await.unwrap();
    let values = vec![text("monitored"), text("2024-03-04"), text("2024-03-10")];
    let found = run(&mut client, &of("?", "?", "?"), values).await.unwrap();
    assert!(found.num_rows() > 0);
    assert_eq!(found, literal);
}

#[tokio::test]
async fn a_prepared_statement_says_its_columns_and_parameters() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let sql = "SELECT event_id, event_time FROM events WHERE event_time > $1 AND account_id = $2 LIMIT $3";
    let prepared = client.prepare(sql.to_owned(), None).await.unwrap();
    let names = |schema: &arrow::datatypes::Schema| -> Vec<String> {
        let fields = schema.fields().iter();
        let shown = fields.map(|field| format!("{} {}", field.name(), field.data_type()));
        shown.collect()
    };
    let columns = names(prepared.dataset_schema().unwrap());
    assert_eq!(
        columns,
        ["event_id Utf8", "event_time Timestamp(µs, \"UTC\")"]
    );
    let parameters = names(prepared.parameter_schema().unwrap());
    assert_eq!(
        parameters,
        ["$1 Timestamp(µs, \"UTC\")", "$2 Utf8", "$3 Int64"]
    );
}

#[tokio::test]
async fn wrong_values_say_what_is_wrong() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let counted = "SELECT count(*) FROM events WHERE event_time > ?";
    let two: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    for (sql, values, said) in [
        (counted, vec![text("someday")], "parameter $1"),
        (
            counted,
            vec![text("2024-03-01"), number(1)],
            "has 1 parameters, and 2 values",
        ),
        (
            "SELECT 1",
            vec![number(1)],
            "has 0 parameters, and 1 values",
        ),
        (counted, vec![two], "2 rows of parameters"),
        ("SELECT ?, $1", vec![number(1)], "not both"),
    ] {
        let refused = run(&mut client, sql, values).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{sql}: {refused:?}");
        assert!(refused.message().contains(said), "{sql}: {refused:?}");
    }
    let refused = query(&mut client, counted).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(
        refused.message().contains("and 0 values are bound"),
        "{refused:?}"
    );
}
