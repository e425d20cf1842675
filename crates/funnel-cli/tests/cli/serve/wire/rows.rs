//! Rows, types and parameters: those of the lake, as clients of PostgreSQL have them.

use chrono::{DateTime, NaiveDate, Utc};
use futures::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use super::{connect, db_error, refusal, text, texts};
use crate::serve::{Service, accounts, lake};
use crate::{funnel, run};

/// What the command line answers, line by line.
#[track_caller]
fn cli(query: &str) -> Vec<String> {
    let words = ["sql", "--lake", "lake", "--format", "csv", "-c", query];
    let dir = lake();
    let (out, _) = run(funnel(dir.parent().unwrap()).args(words), 0);
    out.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn answers_are_those_of_the_command_line() {
    let service = Service::start("");
    let client = connect(&service).await;
    for query in [
        "SELECT count(*) FROM events_enriched",
        "SELECT offer_outcome || ' ' || count(*) AS n FROM offers GROUP BY offer_outcome ORDER BY 1",
        "SELECT step || ' ' || reached FROM funnel('impression_to_chat', '2024-03-01', '2024-04-30', \
         named_struct('account', (SELECT min(account_id) FROM events))) ORDER BY step_index",
        "SELECT account_id FROM sessions GROUP BY 1 ORDER BY 1",
    ] {
        let query = query.replace(
            "(SELECT min(account_id) FROM events)",
            &format!("'{}'", accounts()[0]),
        );
        let found = texts(&client, &query).await;
        assert!(!found.is_empty());
        assert_eq!(found, cli(&query), "{query}");
    }
}

#[tokio::test]
async fn each_type_arrives_in_both_forms() {
    let service = Service::start("");
    let client = connect(&service).await;
    let query = "SELECT true AS yes, CAST(7 AS SMALLINT) AS two, CAST(7 AS INT) AS four, CAST(7 AS BIGINT) AS eight, \
                 CAST(0.5 AS REAL) AS small, CAST(0.25 AS DOUBLE) AS large, 'ä' AS word, \
                 DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29T12:00:00Z' AS naive, \
                 to_timestamp_micros(1709208000000001) AT TIME ZONE 'UTC' AS moment, CAST(NULL AS BIGINT) AS nothing";
    // tokio-postgres reads the binary form.
    let row = client.query_one(query, &[]).await.unwrap();
    assert!(row.get::<_, bool>("yes"));
    assert_eq!(row.get::<_, i16>("two"), 7);
    assert_eq!(row.get::<_, i32>("four"), 7);
    assert_eq!(row.get::<_, i64>("eight"), 7);
    assert_eq!(row.get::<_, f32>("small"), 0.5);
    assert_eq!(row.get::<_, f64>("large"), 0.25);
    assert_eq!(row.get::<_, &str>("word"), "ä");
    assert_eq!(row.get::<_, NaiveDate>("day").to_string(), "2024-02-29");
    assert_eq!(row.get::<_, Option<i64>>("nothing"), None);
    let messages = client.simple_query(query).await.unwrap();
    let texts: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at)).collect::<Vec<_>>())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        texts[0][..8],
        ["t", "7", "7", "7", "0.5", "0.25", "ä", "2024-02-29"].map(Some)
    );
    assert_eq!(texts[0][8], Some("2024-02-29 12:00:00.000000"));
    assert_eq!(texts[0][10], None);
    let row = client
        .query_one(
            "SELECT event_time, account_id FROM events ORDER BY event_time LIMIT 1",
            &[],
        )
        .await
        .unwrap();
    let first = row.get::<_, DateTime<Utc>>(0);
    let known = cli("SELECT min(event_time) FROM events");
    assert_eq!(
        first
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
            .get(..19),
        known[0].get(..19)
    );
}

#[tokio::test]
async fn parameters_have_the_types_of_what_they_are_compared_with() {
    let service = Service::start("");
    let client = connect(&service).await;
    let query = "SELECT count(*) FROM events WHERE account_id = $1 AND event_time >= $2 AND event_date < $3 LIMIT $4";
    let statement = client.prepare(query).await.unwrap();
    assert_eq!(
        statement.params(),
        [Type::TEXT, Type::TIMESTAMPTZ, Type::DATE, Type::INT8]
    );
    let account = accounts()[0].clone();
    let from: DateTime<Utc> = "2024-03-05T00:00:00Z".parse().unwrap();
    let until = NaiveDate::from_ymd_opt(2024, 3, 20).unwrap();
    let known = cli(&format!(
        "SELECT count(*) FROM events WHERE account_id = '{account}' AND event_time >= '2024-03-05T00:00:00Z' \
         AND event_date < '2024-03-20'"
    ));
    for _ in 0..2 {
        let values: [&(dyn ToSql + Sync); 4] = [&account, &from, &until, &10_i64];
        let row = client.query_one(&statement, &values).await.unwrap();
        assert_eq!(row.get::<_, i64>(0).to_string(), known[0]);
    }
    let typed = client
        .prepare("SELECT $1::bigint + 1, $2::text")
        .await
        .unwrap();
    assert_eq!(typed.params(), [Type::INT8, Type::TEXT]);
    let row = client.query_one(&typed, &[&41_i64, &"x"]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (42, "x"));
    let row = client
        .query_one(&typed, &[&None::<i64>, &"x"])
        .await
        .unwrap();
    assert_eq!(row.get::<_, Option<i64>>(0), None);
}

/// Text from a client never becomes SQL.
#[tokio::test]
async fn a_funnel_takes_parameters() {
    let service = Service::start("");
    let client = connect(&service).await;
    let account = accounts()[0].clone();
    let query = "SELECT step, reached FROM funnel($1, $2, $3, named_struct('account', $4)) ORDER BY step_index";
    let values: [&(dyn ToSql + Sync); 4] = [&"monitored", &"2024-03-01", &"2024-04-30", &account];
    let rows = client.query(query, &values).await.unwrap();
    let found: Vec<String> = rows
        .iter()
        .map(|row| format!("{},{}", row.get::<_, &str>(0), row.get::<_, i64>(1)))
        .collect();
    let known = cli(&format!(
        "SELECT step, reached FROM funnel('monitored', '2024-03-01', '2024-04-30', \
         named_struct('account', '{account}')) ORDER BY step_index"
    ));
    assert_eq!(found, known);
    let values: [&(dyn ToSql + Sync); 4] =
        [&"monitored'; --", &"2024-03-01", &"2024-04-30", &account];
    let error = client.query(query, &values).await.unwrap_err();
    assert!(
        db_error(&error).message().contains("monitored'; --"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_large_answer_is_streamed() {
    let service = Service::start("answer_size = \"200 MB\"\n[query]\nmemory = \"64 MiB\"");
    let client = connect(&service).await;
    // Twice the memory of all queries.
    let query = "SELECT value, repeat('x', 100) FROM range(0, 1000000)";
    let empty: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(query, empty).await.unwrap();
    let (count, sum) = rows
        .try_fold((0_i64, 0_i64), |(count, sum), row| async move {
            Ok((count + 1, sum + row.get::<_, i64>(0)))
        })
        .await
        .unwrap();
    assert_eq!((count, sum), (1_000_000, 999_999 * 500_000));
}

#[tokio::test]
async fn patterns_of_to_char_are_those_of_postgresql() {
    let service = Service::start("");
    let client = connect(&service).await;
    let moment = "TIMESTAMP '2024-03-04 15:07:09.123'";
    for (pattern, wanted) in [
        ("YYYY-MM-DD", "2024-03-04"),
        ("YYYY-MM-DD\"T\"HH24:MI:SS.MS", "2024-03-04T15:07:09.123"),
        ("FMMonth FMDDth, YYYY", "March 4th, 2024"),
        ("IYYY-IW", "2024-10"),
        ("%Y/%m", "2024/03"),
    ] {
        let found = text(&client, &format!("SELECT to_char({moment}, '{pattern}')")).await;
        assert_eq!(found, wanted, "{pattern}");
    }
    let months = texts(
        &client,
        "SELECT to_char(event_time, 'YYYY-MM') FROM events GROUP BY 1 ORDER BY 1",
    )
    .await;
    assert!(
        months
            .iter()
            .all(|month| month.starts_with("2024-0") && month.len() == 7),
        "{months:?}"
    );
    for (query, wanted) in [
        (
            "SELECT to_timestamp('2024-03-04 15:07:09.123000', 'YYYY-MM-DD HH24:MI:SS.US')",
            "2024-03-04 15:07:09.123000+00",
        ),
        ("SELECT TO_DATE('2024-03-04', 'YYYY-MM-DD')", "2024-03-04"),
        ("SELECT to_date('04/03/2024', '%d/%m/%Y')", "2024-03-04"),
    ] {
        assert_eq!(text(&client, query).await, wanted, "{query}");
    }
    assert_eq!(
        refusal(&client, "SELECT to_char(1.5, '9.9')")
            .await
            .code()
            .code(),
        "0A000"
    );
}

#[tokio::test]
async fn copy_gives_csv_text_and_binary() {
    let service = Service::start("");
    let client = connect(&service).await;
    let copied = async |sql: &str| -> Vec<u8> {
        let chunks = client.copy_out(sql).await.unwrap();
        let chunks: Vec<_> = chunks.try_collect().await.unwrap();
        chunks.concat()
    };
    let query = "SELECT account_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    let csv = copied(&format!(
        "COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)"
    ))
    .await;
    let csv = String::from_utf8(csv).unwrap();
    let known = cli(query);
    assert_eq!(csv.lines().next(), Some("account_id,n"));
    assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), known);
    let text = String::from_utf8(copied(&format!("COPY ({query}) TO STDOUT")).await).unwrap();
    assert_eq!(text, csv.split_once('\n').unwrap().1.replace(',', "\t"));
    let binary = copied("COPY (SELECT CAST(1 AS BIGINT)) TO STDOUT (FORMAT binary)").await;
    assert_eq!(&binary[..11], b"PGCOPY\n\xff\r\n\0");
    assert_eq!(&binary[19..], b"\0\x01\0\0\0\x08\0\0\0\0\0\0\0\x01\xff\xff");
    let table = copied("COPY chats TO STDOUT (FORMAT csv)").await;
    let lines = String::from_utf8(table).unwrap().lines().count();
    assert_eq!(lines.to_string(), cli("SELECT count(*) FROM chats")[0]);
}
