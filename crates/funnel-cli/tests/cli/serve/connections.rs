//! Clients that connect and say nothing, and more of them than a port takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tonic::Code;

use super::metrics::samples;
use super::{Service, flight, wire};

/// Nothing takes so long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(address).unwrap();
    (0..count).map(connect).collect()
}

/// Connections that each have a place: one of HTTP that was only accepted may have lost its place to the request that counts them.
#[track_caller]
fn answered(service: &Service, count: usize) -> Vec<TcpStream> {
    let address = service.client.address;
    let request = format!("GET /api/v1/funnels HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let begun = Instant::now();
    let mut all = Vec::new();
    while all.len() < count {
        assert!(begun.elapsed() < PATIENCE, "{} of {count}", all.len());
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).unwrap();
        // Those of the start may still be closing.
        match &status {
            b"HTTP/1.1 200" => all.push(socket),
            b"HTTP/1.1 503" => {}
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    all
}

fn sample(service: &Service, name: &str) -> f64 {
    samples(service.get("/metrics").text())[name]
}

/// Waits until a port has so many connections.
#[track_caller]
fn until(service: &Service, port: &str, wanted: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    let name = format!("funnel_serve_connections{{port=\"{port}\"}}");
    loop {
        let found = sample(service, &name);
        if wanted(found) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found} connections to {port}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn hundreds_that_say_nothing_keep_nobody_from_being_answered() {
    let service = Service::start("");
    let ports = [service.client.address, service.pg, service.flight];
    let silent: Vec<_> = ports.iter().map(|address| idle(*address, 200)).collect();
    until(&service, "postgresql", |open| open >= 200.0);
    until(&service, "flight", |open| open >= 200.0);
    assert_eq!(
        service.sql("SELECT 1 AS one", None).json()["rows"][0]["one"],
        1
    );
    let client = wire::connect(&service).await;
    assert_eq!(wire::text(&client, "SELECT 1").await, "1");
    let mut client = flight::connect(&service).await;
    assert_eq!(flight::texts(&mut client, "SELECT 1").await, ["1"]);
    assert_eq!(silent.len(), 3);
}

#[tokio::test]
async fn one_too_many_is_told_so_and_the_next_one_is_answered() {
    let service = Service::start("connections = 3");
    let silent = answered(&service, 3);
    let said = service.sql("SELECT 1", None);
    assert_eq!(said.headers["connection"], "close");
    assert_eq!(said.headers["retry-after"], "10");
    let said = said.problem(503);
    assert!(said.contains("serve.connections"), "{said}");
    // Who watches the server is answered all the same.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    let refused = sample(
        &service,
        "funnel_serve_connections_refused_total{port=\"http\"}",
    );
    assert!(refused >= 4.0, "{refused}");
    assert_eq!(sample(&service, "funnel_serve_connections_max"), 3.0);
    drop(silent);
    until(&service, "http", |open| open < 3.0);
    assert_eq!(service.sql("SELECT 1 AS one", None).status, 200);

    // Each port has its own.
    let silent = idle(service.pg, 3);
    until(&service, "postgresql", |open| open >= 3.0);
    let said = wire::refused(&service).await;
    assert_eq!(said.code().code(), "53300");
    assert!(
        said.hint().unwrap().contains("serve.connections"),
        "{said:?}"
    );
    drop(silent);
    until(&service, "postgresql", |open| open < 3.0);
    let client = wire::connect(&service).await;
    assert_eq!(wire::text(&client, "SELECT 1").await, "1");

    let silent = idle(service.flight, 3);
    until(&service, "flight", |open| open >= 3.0);
    let mut client = flight::connect(&service).await;
    let said = client.execute("SELECT 1".to_owned(), None).await;
    let said = flight::status(said.unwrap_err());
    assert_eq!(said.code(), Code::Unavailable, "{said:?}");
    assert!(said.message().contains("serve.connections"), "{said:?}");
    drop(silent);
    until(&service, "flight", |open| open < 3.0);
    // The same connection, once there is a place for it.
    assert_eq!(flight::texts(&mut client, "SELECT 1").await, ["1"]);
}

/// So many more that nobody tells each of them.
#[test]
fn a_flood_is_closed_and_the_server_goes_on() {
    let service = Service::start("connections = 2");
    let flood = idle(service.client.address, 300);
    let mut last = flood.last().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(last.read(&mut [0; 16]).unwrap_or(0), 0, "it was answered");
    drop(flood);
    until(&service, "http", |open| open < 2.0);
    assert_eq!(service.sql("SELECT 1 AS one", None).status, 200);
}
