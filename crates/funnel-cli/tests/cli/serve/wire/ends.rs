//! What ends a statement before its time: the client, the clock, the limits. The connection goes on.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tokio_postgres::NoTls;

use super::{ENDLESS, PATIENCE, config, connect, connect_as, db_error, refusal, text, texts};
use crate::serve::Service;

#[tokio::test]
async fn a_cancel_request_ends_the_statement_that_runs_and_nothing_else() {
    let service = Service::start("queries = 1");
    let client = connect(&service).await;
    let cancel = client.cancel_token();
    let begun = Instant::now();
    let running = refusal(&client, ENDLESS);
    let cancelling = async {
        // It runs as soon as another statement has to wait for its place.
        let other = connect(&service).await;
        texts(&other, "SET statement_timeout = '200ms'").await;
        while other.simple_query("SELECT 1").await.is_ok() {}
        cancel.cancel_query(NoTls).await.unwrap();
    };
    let (said, ()) = tokio::join!(running, cancelling);
    assert_eq!(said.code().code(), "57014", "{said:?}");
    assert!(said.message().contains("user request"), "{said:?}");
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

/// Also in the middle of rows, and for the extended protocol.
#[tokio::test]
async fn a_cancel_request_ends_an_answer_that_is_being_sent() {
    let service = Service::start("answer_size = \"100 GB\"");
    let client = connect(&service).await;
    let cancel = client.cancel_token();
    let rows =
        "SELECT a.event_id || b.event_id || c.event_id FROM events AS a, events AS b, events AS c";
    let empty: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
    let stream = client.query_raw(rows, empty).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    let mut seen = 0_u64;
    let error = loop {
        match futures::StreamExt::next(&mut stream).await {
            Some(Ok(_)) => seen += 1,
            Some(Err(error)) => break db_error(&error),
            None => panic!("it came to its end"),
        }
        if seen == 1000 {
            cancel.cancel_query(NoTls).await.unwrap();
        }
    };
    assert_eq!(error.code().code(), "57014");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_statement_timeout_ends_the_whole_answer() {
    let service = Service::start("queries = 1");
    let client = connect(&service).await;
    texts(&client, "SET statement_timeout = '1000ms'").await;
    let begun = Instant::now();
    let said = refusal(&client, ENDLESS).await;
    assert_eq!(said.code().code(), "57014", "{said:?}");
    assert!(said.message().contains("statement timeout"), "{said:?}");
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(9),
        "{took:?}"
    );
    assert_eq!(text(&client, "SELECT 1").await, "1");
    let error = client.query(ENDLESS, &[]).await.unwrap_err();
    assert_eq!(db_error(&error).code().code(), "57014");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

/// Nobody can take more time than the server gives.
#[tokio::test]
async fn the_time_of_the_server_is_the_most_that_there_is() {
    let service = Service::start("query_time = \"1s\"\nqueries = 1");
    let client = connect(&service).await;
    texts(&client, "SET statement_timeout = '1h'").await;
    let said = refusal(&client, ENDLESS).await;
    assert_eq!(said.code().code(), "57014", "{said:?}");
    // A cursor that nobody reads gives the only place to others, and ends all the same.
    texts(&client, "BEGIN; DECLARE c CURSOR FOR SELECT a.value FROM range(0, 1000000) AS a, range(0, 1000000) AS b").await;
    let other = connect(&service).await;
    assert_eq!(text(&other, "SELECT 1").await, "1");
    let said = refusal(&client, "FETCH ALL FROM c").await;
    assert_eq!(said.code().code(), "57014", "{said:?}");
    texts(&client, "ROLLBACK").await;
    assert_eq!(text(&other, "SELECT 1").await, "1");
}

#[tokio::test]
async fn a_client_that_goes_ends_its_query() {
    let service = Service::start("queries = 1\nquery_time = \"10min\"");
    let (client, connection) = config(&service).connect(NoTls).await.unwrap();
    let talking = tokio::spawn(connection);
    let other = connect(&service).await;
    texts(&other, "SET statement_timeout = '200ms'").await;
    let running = tokio::spawn(async move { client.simple_query(ENDLESS).await.map(drop) });
    while other.simple_query("SELECT 1").await.is_ok() {}
    talking.abort();
    running.abort();
    let begun = Instant::now();
    while other.simple_query("SELECT 1").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "its place is still taken");
    }
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let service = Service::start("answer_size = \"20 kB\"");
    let client = connect(&service).await;
    let said = refusal(&client, "SELECT * FROM events").await;
    assert_eq!(said.code().code(), "54000", "{said:?}");
    assert!(said.hint().unwrap().contains("LIMIT"), "{said:?}");
    let copied = client.copy_out("COPY events TO STDOUT").await.unwrap();
    let error = copied.try_for_each(|_| async { Ok(()) }).await.unwrap_err();
    assert_eq!(db_error(&error).code().code(), "54000", "{error:?}");
    assert_eq!(text(&client, "SELECT 1").await, "1");
    let long = format!("SELECT '{}'", "x".repeat(70 << 10));
    let error = client.simple_query(&long).await.unwrap_err();
    assert_eq!(db_error(&error).code().code(), "54000");
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_is_refused() {
    let service = Service::start("[query]\nmemory = \"32 MiB\"");
    let client = connect(&service).await;
    let large = "WITH pairs AS (SELECT a.event_id || b.event_id AS k FROM events AS a,
        (SELECT event_id FROM events LIMIT 400) AS b) SELECT count(*) AS n FROM pairs JOIN pairs AS same USING (k)";
    let said = refusal(&client, large).await;
    assert_eq!(said.code().code(), "53200", "{said:?}");
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn statements_that_run_are_answered_before_the_server_stops() {
    let mut service = Service::start("");
    let client = connect(&service).await;
    let idle = connect_as(&config(&service)).await.unwrap();
    let running = client.simple_query(
        "SELECT count(*) FROM events AS a, events AS b WHERE a.event_time < b.event_time",
    );
    let pid = service.child.id().to_string();
    let stopping = async {
        // The statement was sent: the other connection has its answer, and both were sent before.
        text(&idle, "SELECT 1").await;
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status();
        assert!(sent.unwrap().success());
    };
    let (answer, ()) = tokio::join!(running, stopping);
    answer.unwrap();
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    let error = idle.simple_query("SELECT 1").await.unwrap_err();
    assert!(
        error.is_closed() || error.code().is_some_and(|code| code.code() == "57P01"),
        "{error:?}"
    );
}
