//! What ends a call before its time: the client, the clock, the limits. The next one is answered.

use std::time::Instant;

use futures::TryStreamExt;
use tonic::Code;

use super::{Client, ENDLESS, MANY, PATIENCE, connect, query, refusal, status, texts, ticket};
use crate::serve::Service;

/// How many queries run, as the server counts them.
fn running(service: &Service) -> usize {
    let answer = service.get("/metrics");
    let mut lines = answer.text().lines();
    let line = lines.find_map(|line| line.strip_prefix("funnel_serve_queries_running "));
    line.unwrap().parse().unwrap()
}

async fn until(service: &Service, queries: usize) {
    let begun = Instant::now();
    while running(service) != queries {
        assert!(begun.elapsed() < PATIENCE, "not {queries} queries run");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_time_of_the_server_ends_a_query_with_its_rows() {
    let service = Service::start("query_time = \"2s\"\nqueries = 1\nanswer_size = \"100 GB\"");
    let mut client = connect(&service).await;
    let said = refusal(&mut client, ENDLESS).await;
    assert_eq!(said.code(), Code::DeadlineExceeded, "{said:?}");
    assert!(said.message().contains("timeout (2 s)"), "{said:?}");
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
    // In the middle of rows.
    let said = refusal(&mut client, MANY).await;
    assert_eq!(said.code(), Code::DeadlineExceeded, "{said:?}");
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
}

/// Who does not read keeps a place as long as a query may run, and hears why it ended.
#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back() {
    let service = Service::start("query_time = \"2s\"\nqueries = 1\nanswer_size = \"100 GB\"");
    let mut client = connect(&service).await;
    let info = client.execute(MANY.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    until(&service, 1).await;
    let mut other = connect(&service).await;
    let begun = Instant::now();
    while query(&mut other, "SELECT 1").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "its place is still taken");
    }
    let ended = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it came to its end"),
            Err(error) => break status(error),
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
}

#[tokio::test]
async fn a_client_that_goes_ends_its_query() {
    let service = Service::start("queries = 1\nquery_time = \"10min\"\nanswer_size = \"100 GB\"");
    let mut other = connect(&service).await;
    // One that has no rows yet, one that is waiting for a place, and one whose rows are being read.
    let asking = |mut client: Client| {
        tokio::spawn(async move { query(&mut client, ENDLESS).await.map(drop) })
    };
    let first = asking(connect(&service).await);
    until(&service, 1).await;
    let waiting = asking(connect(&service).await);
    first.abort();
    waiting.abort();
    until(&service, 0).await;
    let mut client = connect(&service).await;
    let info = client.execute(MANY.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    assert_eq!(running(&service), 1);
    // The connection stays; only the stream ends.
    drop(stream);
    until(&service, 0).await;
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
    assert_eq!(texts(&mut other, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn one_that_finds_no_place_is_told_so() {
    let service = Service::start("queries = 1\nquery_time = \"2s\"");
    let mut first = connect(&service).await;
    let mut second = connect(&service).await;
    let refused = tokio::join!(refusal(&mut first, ENDLESS), refusal(&mut second, ENDLESS));
    let mut codes = [refused.0.code(), refused.1.code()];
    codes.sort_by_key(|code| *code as i32);
    // The second gets the place in its last moment, or not.
    assert_eq!(codes[0], Code::DeadlineExceeded, "{refused:?}");
    assert!(
        [Code::DeadlineExceeded, Code::Unavailable].contains(&codes[1]),
        "{refused:?}"
    );
}

/// Bytes that a process has in memory, or had at most (`VmRSS`, `VmHWM`).
fn memory(service: &Service, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

/// An answer of 800 MB through a server that may hold 20 kB of others, to a client that takes its time at the beginning.
#[tokio::test]
async fn an_answer_larger_than_others_may_be_is_streamed() {
    const ROWS: u64 = 1_000_000;
    let service = Service::start("answer_size = \"20 kB\"\nquery_time = \"10min\"");
    let mut client = connect(&service).await;
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
    let before = memory(&service, "VmRSS");
    let query = format!("SELECT value, repeat('x', 800) AS x FROM range(0, {ROWS})");
    let info = client.execute(query, None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.try_next().await.unwrap() {
        rows += batch.num_rows() as u64;
        bytes += batch.get_array_memory_size() as u64;
    }
    assert_eq!(rows, ROWS);
    assert!(bytes > 800 * ROWS, "{bytes}");
    let held = memory(&service, "VmHWM") - before;
    // What is on its way, and no more: a small part of the answer.
    assert!(held < bytes / 2, "{held} bytes were held");
}

#[tokio::test]
async fn statements_have_a_limit() {
    let service = Service::start("");
    let mut client = connect(&service).await;
    let long = format!("SELECT '{}'", "x".repeat(70 << 10));
    let said = refusal(&mut client, &long).await;
    assert_eq!(said.code(), Code::ResourceExhausted, "{said:?}");
    let longer = format!("SELECT '{}'", "x".repeat(1 << 20));
    refusal(&mut client, &longer).await;
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_is_refused() {
    let service = Service::start("[query]\nmemory = \"32 MiB\"");
    let mut client = connect(&service).await;
    let large = "WITH pairs AS (SELECT a.event_id || b.event_id AS k FROM events AS a,
        (SELECT event_id FROM events LIMIT 400) AS b) SELECT count(*) AS n FROM pairs JOIN pairs AS same USING (k)";
    let said = refusal(&mut client, large).await;
    assert_eq!(said.code(), Code::ResourceExhausted, "{said:?}");
    assert!(said.message().contains("query.memory"), "{said:?}");
    assert_eq!(texts(&mut client, "SELECT 1").await, ["1"]);
}

#[tokio::test]
async fn calls_that_run_are_answered_before_the_server_stops() {
    let mut service = Service::start("");
    let mut client = connect(&service).await;
    let mut idle = connect(&service).await;
    assert_eq!(texts(&mut idle, "SELECT 1").await, ["1"]);
    let pid = service.child.id().to_string();
    let sql = "SELECT count(*) FROM events AS a, events AS b WHERE a.event_time < b.event_time";
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    assert!(stream.try_next().await.unwrap().is_some());
    assert!(stream.try_next().await.unwrap().is_none());
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    query(&mut idle, "SELECT 1").await.unwrap_err();
}
