//! What the server counts.

use std::collections::BTreeMap;

use funnel_server::NewToken;

use super::Service;

/// Every sample of the text, by its name with labels.
pub(super) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

#[tokio::test]
async fn requests_and_queries_are_counted_and_every_metric_is_described() {
    let service = Service::start("queries = 3");
    for query in ["SELECT 1 AS one", "SELECT count(*) FROM events"] {
        assert_eq!(service.sql(query, None).status, 200);
    }
    service.sql("SELECT nothing", None).problem(400);
    let status = service.get("/api/v1/status").json();
    service.get("/no/such/page");
    let mut flight = super::flight::connect(&service).await;
    assert_eq!(super::flight::texts(&mut flight, "SELECT 1").await, ["1"]);
    let refused = flight.execute("SELECT nothing".to_owned(), None).await;
    refused.unwrap_err();
    let answer = service.get("/metrics");
    let text = answer.text();
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    let samples = samples(text);
    for (name, value) in [
        (
            r#"funnel_serve_requests_total{route="/api/v1/sql",status="200"}"#,
            2.0,
        ),
        (
            r#"funnel_serve_requests_total{route="/api/v1/sql",status="400"}"#,
            1.0,
        ),
        (
            r#"funnel_serve_requests_total{route="/{*path}",status="404"}"#,
            1.0,
        ),
        (
            r#"funnel_serve_request_seconds_count{route="/api/v1/sql"}"#,
            3.0,
        ),
        (
            r#"funnel_serve_flight_calls_total{method="GetFlightInfo",code="Ok"}"#,
            1.0,
        ),
        (
            r#"funnel_serve_flight_calls_total{method="GetFlightInfo",code="InvalidArgument"}"#,
            1.0,
        ),
        (
            r#"funnel_serve_flight_calls_total{method="DoGet",code="Ok"}"#,
            1.0,
        ),
        ("funnel_serve_unknown_callers_total", 0.0),
        ("funnel_serve_connections_max", 256.0),
        (
            r#"funnel_serve_connections_refused_total{port="flight"}"#,
            0.0,
        ),
        ("funnel_serve_queries_running", 0.0),
        ("funnel_serve_queries_max", 3.0),
        (
            "funnel_serve_lake_version",
            status["lake_version"].as_f64().unwrap(),
        ),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} of\n{text}");
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/serving.md");
    let page = std::fs::read_to_string(page).unwrap();
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in described.filter_map(|line| line.split(' ').next()) {
        assert!(
            page.contains(&format!("`{name}")),
            "{name} is not described"
        );
    }
}

#[test]
fn metrics_are_for_those_who_are_known() {
    let token = NewToken::random();
    let tokens = format!(
        "[[token]]\nname = \"prometheus\"\nhash = \"{}\"\nrole = \"reader\"\naccounts = [\"none\"]\n",
        token.hash
    );
    let service = Service::with_tokens(&tokens);
    service.get("/metrics").problem(401);
    let wrong = [("authorization", "Bearer fnl_00")];
    assert_eq!(service.client.get("/metrics", &wrong).status, 401);
    let value = format!("Bearer {}", token.secret);
    let answer = service.client.get("/metrics", &[("authorization", &value)]);
    assert_eq!(answer.status, 200);
    assert_eq!(
        samples(answer.text())["funnel_serve_unknown_callers_total"],
        1.0
    );
}
