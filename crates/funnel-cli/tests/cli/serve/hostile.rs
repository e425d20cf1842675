//! Clients that mean no good, or know no better.

use std::io::Write;
use std::net::TcpStream;

use super::{Answer, DAYS, Service, accounts};

#[track_caller]
fn is_alive(service: &Service) {
    let found = service.sql("SELECT 1 AS one", None).json();
    assert_eq!(found["rows"][0]["one"], 1);
}

#[test]
fn sql_reads_the_lake_and_nothing_else() {
    let service = Service::start("");
    let file = std::env::temp_dir().join(format!("funnel-serve-{}.csv", std::process::id()));
    let copy = format!("COPY (SELECT 1) TO '{}'", file.display());
    let refused = [
        copy.as_str(),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE events",
        "INSERT INTO events SELECT * FROM events",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT 1; DROP TABLE events",
        "nonsense",
        "",
    ];
    for query in refused {
        let said = service.sql(query, None).problem(400);
        assert!(!said.is_empty(), "{query}");
    }
    assert!(!file.exists());
    let said = service
        .sql("SELECT no_such_column FROM events", None)
        .problem(400);
    assert!(said.contains("no_such_column"), "{said}");
    is_alive(&service);
}

#[test]
fn a_query_that_takes_too_long_is_ended_and_the_next_one_runs() {
    let service = Service::start("query_time = \"2s\"\nqueries = 1");
    let endless = "SELECT count(*) FROM events AS a, events AS b, events AS c, events AS d WHERE a.event_time < d.event_time";
    assert!(
        service
            .sql(endless, None)
            .problem(504)
            .contains("after 2 s")
    );
    is_alive(&service);
    // Nobody waits for this one any more, so that it does not keep the only place.
    let body = serde_json::json!({ "sql": endless }).to_string();
    let mut left = TcpStream::connect(service.client.address).unwrap();
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    left.write_all(head.as_bytes()).unwrap();
    left.write_all(body.as_bytes()).unwrap();
    drop(left);
    is_alive(&service);
}

#[test]
fn a_query_that_needs_too_much_memory_is_refused_and_the_next_one_runs() {
    let service = Service::start("[query]\nmemory = \"32 MiB\"");
    let large = "WITH pairs AS (SELECT a.event_id || b.event_id AS k FROM events AS a,
        (SELECT event_id FROM events LIMIT 400) AS b) SELECT count(*) AS n FROM pairs JOIN pairs AS same USING (k)";
    let said = service.sql(large, None).problem(400);
    assert!(said.contains("Resources exhausted"), "{said}");
    is_alive(&service);
}

/// A page from elsewhere can have its own name lead to this machine.
#[test]
fn a_name_of_somebody_else_is_refused_where_nobody_needs_a_token() {
    let service = Service::start("");
    for (host, status) in [
        ("localhost:8088", 200),
        ("127.0.0.1", 200),
        ("[::1]:8088", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ] {
        let request = format!("GET /api/v1/status HTTP/1.0\r\nhost: {host}\r\n\r\n");
        let answer = Answer::parse(&service.client.raw(request.as_bytes()).unwrap());
        assert_eq!(answer.status, status, "{host}");
    }
}

#[test]
fn answers_and_requests_have_a_limit() {
    let service = Service::start("answer_size = \"20 kB\"");
    let all = "SELECT * FROM events";
    let found = service.sql(all, None).json();
    assert_eq!(found["truncated"], true);
    let body = serde_json::json!({ "sql": all, "format": "csv" }).to_string();
    let json = [("content-type", "application/json")];
    let said = service
        .client
        .send("POST", "/api/v1/sql", &json, body.as_bytes())
        .problem(413);
    assert!(said.contains("LIMIT"), "{said}");
    let long = serde_json::json!({ "sql": "x".repeat(1 << 20) }).to_string();
    let answer = service
        .client
        .send("POST", "/api/v1/sql", &json, long.as_bytes());
    assert_eq!(answer.status, 413, "{}", answer.text());
    is_alive(&service);
}

/// The settings of the engine are no secret, and there is none in them.
#[test]
fn what_the_engine_is_set_to_tells_of_no_path() {
    let service = Service::start("");
    let settings = "SELECT name, value FROM information_schema.df_settings WHERE value LIKE '%/%' OR value LIKE '%lake%'";
    let found = service.sql(settings, None).json();
    assert_eq!(found["rows"], serde_json::json!([]));
}

#[test]
fn wrong_questions_say_what_is_wrong() {
    let service = Service::start("");
    let account = &accounts()[0];
    let cases = [
        (
            "/api/v1/funnels/none/report?from=2024-03-01&to=2024-03-02",
            404,
            "none",
        ),
        ("/api/v1/queries/none", 404, "/api/v1/queries"),
        ("/api/v1/nothing", 404, "openapi.json"),
        (
            "/api/v1/funnels/monitored/report?from=2024-03-02&to=2024-03-01",
            400,
            "lies after",
        ),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}"),
            400,
            "account",
        ),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}&account={account}&unit=team"),
            400,
            "unit",
        ),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}&account={account}&timezone=Mars"),
            400,
            "IANA",
        ),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}&account={account}&where=nope"),
            400,
            "nope",
        ),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}&account={account}&format=xml"),
            400,
            "csv",
        ),
        (
            &*format!("/api/v1/funnels/monitored/explain/nobody?{DAYS}&account={account}"),
            400,
            "nobody",
        ),
    ];
    for (path, status, said) in cases {
        let problem = service.get(path).problem(status);
        assert!(problem.contains(said), "{path}: {problem}");
    }
}

#[test]
fn addresses_and_bodies_that_cannot_be_read_say_why() {
    let service = Service::start("");
    for (path, said) in [
        (
            "/api/v1/funnels/monitored/report?from=yesterday&to=2024-03-02",
            "from",
        ),
        ("/api/v1/funnels/monitored/report?from=2024-03-01", "to"),
        (
            &*format!("/api/v1/funnels/monitored/report?{DAYS}&colour=red"),
            "colour",
        ),
    ] {
        let problem = service.get(path).problem(400);
        assert!(problem.contains(said), "{path}: {problem}");
    }
    let text = service.client.send(
        "POST",
        "/api/v1/sql",
        &[("content-type", "application/json")],
        b"{",
    );
    text.problem(400);
}

#[test]
fn bytes_that_are_no_request_harm_nobody() {
    let service = Service::start("");
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    for bytes in [
        &b"\x16\x03\x01\x00\xa5\x01\x00"[..],
        b"\r\n\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        headers.as_bytes(),
    ] {
        // It may answer or hang up, as it likes.
        let mut socket = TcpStream::connect(service.client.address).unwrap();
        drop(socket.write_all(bytes));
        drop(socket.shutdown(std::net::Shutdown::Write));
    }
    let begun: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut socket = TcpStream::connect(service.client.address).unwrap();
            socket
                .write_all(b"POST /api/v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
                .unwrap();
            socket
        })
        .collect();
    is_alive(&service);
    drop(begun);
    is_alive(&service);
}
