//! Statements about the connection: settings, transactions, cursors; what is refused, and how it is said.

use super::{config, connect, connect_as, db_error, refusal, text, texts};
use crate::serve::{Service, lake};
use crate::{empty_dir, funnel, run};

#[tokio::test]
async fn what_would_write_is_refused() {
    let service = Service::start("");
    let client = connect(&service).await;
    let file = std::env::temp_dir().join(format!("funnel-wire-{}.csv", std::process::id()));
    let copy = format!("COPY (SELECT 1) TO '{}'", file.display());
    for (query, code) in [
        (copy.as_str(), "42501"),
        ("COPY events TO PROGRAM 'cat'", "42501"),
        ("COPY events FROM STDIN", "25006"),
        ("INSERT INTO events SELECT * FROM events", "25006"),
        ("UPDATE events SET account_id = '1'", "25006"),
        ("DELETE FROM events", "25006"),
        ("TRUNCATE events", "25006"),
        ("CREATE TABLE t AS SELECT 1", "25006"),
        ("CREATE VIEW v AS SELECT 1", "25006"),
        ("DROP TABLE events", "25006"),
        ("ALTER TABLE events ADD COLUMN x INT", "25006"),
        ("SELECT * INTO t FROM events", "25006"),
        (
            "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
            "25006",
        ),
        (
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "42601",
        ),
        ("SET datafusion.execution.batch_size = 1", "42501"),
        ("SET ROLE operator", "42501"),
        ("SELECT * FROM '/etc/passwd'", "42P01"),
        ("SELECT * FROM read_csv('/etc/passwd')", "42883"),
        ("SELECT 1; DROP TABLE events", "25006"),
    ] {
        let said = refusal(&client, query).await;
        assert_eq!(said.code().code(), code, "{query}: {said:?}");
        let extended = client.query(query, &[]).await.map(drop);
        assert!(extended.is_err(), "{query} was not refused");
    }
    assert!(!file.exists());
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

/// Columns without a name have that of PostgreSQL, as often as it wants.
#[tokio::test]
async fn columns_may_have_the_same_name() {
    let service = Service::start("");
    let client = connect(&service).await;
    let query = "SELECT date_trunc('day', event_time), date_trunc('week', event_time), date_trunc('day', event_time), \
                 1, 1, event_type AS a, event_id AS a, event_time::date, max(event_time) OVER () FROM events \
                 ORDER BY event_time, event_id LIMIT 2";
    let wanted = [
        "date_trunc",
        "date_trunc",
        "date_trunc",
        "?column?",
        "?column?",
        "a",
        "a",
        "event_time",
        "max",
    ];
    let simple = client.simple_query(query).await.unwrap();
    let rows: Vec<_> = simple
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), 2);
    let names: Vec<&str> = rows[0]
        .columns()
        .iter()
        .map(|column| column.name())
        .collect();
    assert_eq!(names, wanted);
    assert_eq!(rows[0].get(0), rows[0].get(2));
    assert_ne!(rows[0].get(5), rows[0].get(6));
    assert_eq!(rows[0].get(3), Some("1"));
    let statement = client.prepare(query).await.unwrap();
    let names: Vec<&str> = statement
        .columns()
        .iter()
        .map(|column| column.name())
        .collect();
    assert_eq!(names, wanted);
    let prepared = client.query(&statement, &[]).await.unwrap();
    let ids = |row: &tokio_postgres::Row| row.get::<_, String>(6);
    assert_eq!(
        prepared.iter().map(ids).collect::<Vec<_>>(),
        rows.iter()
            .map(|row| row.get(6).unwrap().to_owned())
            .collect::<Vec<_>>()
    );
    // A statement around calls them by these names.
    let around =
        "SELECT count, \"?column?\" FROM (SELECT count(*), 7 FROM events) AS t ORDER BY count";
    assert_eq!(
        texts(&client, around).await,
        texts(&client, "SELECT count(*) FROM events").await
    );
    let sorted =
        "SELECT event_type, count(*) FROM events GROUP BY event_type ORDER BY count DESC, 1";
    let known =
        "SELECT event_type, count(*) AS n FROM events GROUP BY event_type ORDER BY n DESC, 1";
    assert_eq!(texts(&client, sorted).await, texts(&client, known).await);
    // What is sorted by is the column, not what it is cast to.
    let sorted_by = |cast: &str, of: &str| {
        format!("SELECT {cast} FROM events ORDER BY extract(hour FROM {of}) DESC, event_id LIMIT 5")
    };
    let cast = sorted_by("event_time::date", "event_time");
    let known = sorted_by("CAST(event_time AS date) AS d", "event_time");
    let known = texts(&client, &known).await;
    assert_eq!(texts(&client, &cast).await, known);
    let by_day = sorted_by("event_time::date AS d", "event_time::date");
    assert_ne!(texts(&client, &by_day).await, known);
}

/// The settings of the engine are none of PostgreSQL's tables.
#[tokio::test]
async fn the_settings_of_the_engine_are_no_table() {
    let service = Service::start("");
    let client = connect(&service).await;
    let said = refusal(&client, "SELECT * FROM information_schema.df_settings").await;
    assert_eq!(said.code().code(), "42P01");
    let listed = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'df_settings'";
    assert_eq!(text(&client, listed).await, "0");
}

#[tokio::test]
async fn mistakes_have_their_sqlstate_and_plain_words() {
    let service = Service::start("");
    let client = connect(&service).await;
    for (query, code, said) in [
        ("SELECT acount_id FROM events", "42703", "Did you mean"),
        ("SELECT * FROM evens", "42P01", "evens"),
        ("SELECT no_such_function(1)", "42883", "no_such_function"),
        ("SELEC 1", "42601", "SELEC"),
        ("SELECT 1 / 0", "22012", "division by zero"),
        ("SELECT CAST('x' AS INT)", "22P02", "x"),
        (
            "SELECT * FROM funnel('none', '2024-03-01', '2024-03-02')",
            "42601",
            "none",
        ),
        ("FETCH 1 FROM nothing", "34000", "nothing"),
        ("SHOW no_such_setting", "42704", "no_such_setting"),
        ("SAVEPOINT a", "25P01", "transaction"),
        ("DECLARE c CURSOR FOR SELECT 1", "25P01", "transaction"),
    ] {
        let found = refusal(&client, query).await;
        assert_eq!(found.code().code(), code, "{query}: {found:?}");
        assert!(found.message().contains(said), "{query}: {found:?}");
        assert!(!found.message().contains("DataFusion"), "{found:?}");
    }
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

/// What is set on one connection is not set on another, nor for the pages that are served beside it.
#[tokio::test]
async fn settings_belong_to_one_connection() {
    let service = Service::start("");
    let (one, other) = (connect(&service).await, connect(&service).await);
    texts(&one, "SET TIME ZONE 'Asia/Tokyo'").await;
    texts(&one, "SET statement_timeout = '5min'").await;
    assert_eq!(text(&one, "SHOW timezone").await, "Asia/Tokyo");
    assert_eq!(text(&other, "SHOW timezone").await, "UTC");
    let zone = "SELECT arrow_typeof(now())";
    assert!(text(&one, zone).await.contains("Asia/Tokyo"));
    assert!(!text(&other, zone).await.contains("Asia/Tokyo"));
    assert_eq!(
        text(&other, "SELECT current_setting('statement_timeout')").await,
        "0"
    );
    let http = service
        .sql("SELECT arrow_typeof(now()) AS zone", None)
        .json();
    assert!(!http.to_string().contains("Asia/Tokyo"), "{http}");
    texts(&one, "RESET ALL").await;
    assert!(!text(&one, zone).await.contains("Asia/Tokyo"));
    let mut config = config(&service);
    config
        .options("-c TimeZone=Europe/Berlin")
        .application_name("test");
    let third = connect_as(&config).await.unwrap();
    assert_eq!(text(&third, "SHOW TIME ZONE").await, "Europe/Berlin");
    assert_eq!(text(&third, "SHOW application_name").await, "test");
    assert_eq!(
        text(&third, "SELECT set_config('TimeZone', 'UTC', false)").await,
        "UTC"
    );
    assert_eq!(text(&third, "SHOW TIME ZONE").await, "UTC");
}

#[tokio::test]
async fn a_transaction_ends_as_it_should() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    texts(
        &client,
        "BEGIN; SET LOCAL timezone = 'Asia/Tokyo'; SET statement_timeout = '9s'",
    )
    .await;
    assert_eq!(text(&client, "SHOW timezone").await, "Asia/Tokyo");
    texts(&client, "COMMIT").await;
    assert_eq!(text(&client, "SHOW timezone").await, "UTC");
    assert_eq!(text(&client, "SHOW statement_timeout").await, "9s");
    texts(&client, "BEGIN; SET statement_timeout = '1s'; ROLLBACK").await;
    assert_eq!(text(&client, "SHOW statement_timeout").await, "9s");

    texts(&client, "BEGIN; SAVEPOINT a").await;
    refusal(&client, "SELECT nothing").await;
    assert_eq!(refusal(&client, "SELECT 1").await.code().code(), "25P02");
    texts(&client, "ROLLBACK TO SAVEPOINT a").await;
    assert_eq!(text(&client, "SELECT 1").await, "1");
    texts(&client, "RELEASE SAVEPOINT a; COMMIT").await;

    // The driver's own: BEGIN, SAVEPOINT, ROLLBACK TO.
    let mut transaction = client.transaction().await.unwrap();
    let inner = transaction.savepoint("b").await.unwrap();
    inner.query("SELECT nothing", &[]).await.unwrap_err();
    inner.rollback().await.unwrap();
    assert_eq!(
        transaction
            .query_one("SELECT 1", &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        1
    );
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn cursors_give_rows_in_parts() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    texts(
        &client,
        "BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT value FROM range(0, 10000)",
    )
    .await;
    assert_eq!(texts(&client, "FETCH 2 FROM c").await, ["0", "1"]);
    assert_eq!(
        texts(&client, "FETCH FORWARD 3 FROM c").await,
        ["2", "3", "4"]
    );
    assert_eq!(texts(&client, "FETCH NEXT FROM c").await, ["5"]);
    assert_eq!(texts(&client, "FETCH ALL FROM c").await.len(), 9994);
    assert!(texts(&client, "FETCH 1 FROM c").await.is_empty());
    let said = refusal(&client, "FETCH PRIOR FROM c").await;
    assert_eq!(said.code().code(), "55000");
    texts(&client, "ROLLBACK").await;
    assert_eq!(
        refusal(&client, "FETCH 1 FROM c").await.code().code(),
        "34000"
    );
    texts(&client, "DECLARE h CURSOR WITH HOLD FOR SELECT 7").await;
    assert_eq!(texts(&client, "FETCH 5 FROM h").await, ["7"]);
    texts(&client, "CLOSE h").await;
    assert_eq!(
        refusal(&client, "FETCH 1 FROM h").await.code().code(),
        "34000"
    );

    let transaction = client.transaction().await.unwrap();
    let portal = transaction
        .bind("SELECT value FROM range(0, 5)", &[])
        .await
        .unwrap();
    let mut parts = Vec::new();
    for _ in 0..4 {
        parts.push(transaction.query_portal(&portal, 2).await.unwrap().len());
    }
    assert_eq!(parts, [2, 2, 1, 0]);
}

/// A statement that is prepared is of now, not of the time at which it was prepared; a transaction stays where it began.
#[tokio::test]
async fn a_connection_sees_what_comes_and_a_transaction_does_not() {
    let dir = empty_dir();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(lake())
        .arg(dir.path())
        .status();
    assert!(copied.unwrap().success());
    let lake = dir.path().join("lake");
    let service = Service::over(&lake, "refresh = \"1ms\"");
    let (client, mut other) = (connect(&service).await, connect(&service).await);
    let statement = client.prepare("SELECT count(*) FROM events").await.unwrap();
    let before: i64 = client.query_one(&statement, &[]).await.unwrap().get(0);
    let transaction = other.transaction().await.unwrap();
    let count = "SELECT count(*) FROM events";
    assert_eq!(
        transaction
            .query_one(count, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        before
    );
    let words = ["generate", "--sessions", "5", "--seed", "77", "-o", "more"];
    run(funnel(dir.path()).args(words), 0);
    let files = std::fs::read_dir(dir.path().join("more")).unwrap();
    let files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
    run(
        funnel(dir.path())
            .args(["ingest", "--lake", "lake", "--files"])
            .args(files),
        0,
    );
    let after: i64 = client.query_one(&statement, &[]).await.unwrap().get(0);
    assert!(after > before, "{after} {before}");
    assert_eq!(
        transaction
            .query_one(count, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        before
    );
    transaction.commit().await.unwrap();
    assert_eq!(
        other.query_one(count, &[]).await.unwrap().get::<_, i64>(0),
        after
    );
}

#[tokio::test]
async fn wrong_binds_are_refused_and_the_connection_lives() {
    let service = Service::start("");
    let client = connect(&service).await;
    let error = client.prepare("SELECT 1; SELECT 2").await.unwrap_err();
    assert_eq!(db_error(&error).code().code(), "42601");
    let error = client.prepare("SELECT $0").await.unwrap_err();
    assert!(
        db_error(&error).code().code().starts_with("42"),
        "{error:?}"
    );
    assert_eq!(text(&client, "SELECT 1").await, "1");
    assert!(texts(&client, "").await.is_empty());
    assert!(texts(&client, " ; -- nothing\n").await.is_empty());
}
