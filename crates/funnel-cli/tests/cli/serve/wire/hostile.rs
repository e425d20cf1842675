//! Clients that mean no good, or know no better.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{connect, text};
use crate::serve::Service;

/// What comes back for these bytes, until the server closes.
fn raw(service: &Service, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(service.pg).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    // It may close before it has read all.
    drop(socket.write_all(bytes));
    let mut answer = Vec::new();
    drop(socket.read_to_end(&mut answer));
    answer
}

pub(in crate::serve) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_i32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let mut message = i32::try_from(body.len() + 4)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    message.extend_from_slice(&body);
    message
}

pub(in crate::serve) fn message(kind: u8, length: i32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    message
}

#[tokio::test]
async fn garbage_at_the_start_ends_its_own_connection_only() {
    let service = Service::start("");
    let client = connect(&service).await;
    let huge = [
        &i32::MAX.to_be_bytes()[..],
        &196_608_i32.to_be_bytes(),
        &[b'x'; 100],
    ]
    .concat();
    let negative = [&(-1_i32).to_be_bytes()[..], &196_608_i32.to_be_bytes()].concat();
    let short = [&4_i32.to_be_bytes()[..], &196_608_i32.to_be_bytes()].concat();
    let zero = [&0_i32.to_be_bytes()[..], &196_608_i32.to_be_bytes()].concat();
    let old = [&8_i32.to_be_bytes()[..], &131_072_i32.to_be_bytes()].concat();
    let unknown_cancel = [
        &16_i32.to_be_bytes()[..],
        &80_877_102_i32.to_be_bytes(),
        &[0; 8],
    ]
    .concat();
    let long_name = startup(&[("user", &"u".repeat(5000))]);
    for bytes in [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(),
        &[0xff; 4096],
        &huge,
        &negative,
        &short,
        &zero,
        &old,
        &unknown_cancel,
        &long_name,
    ] {
        let begun = Instant::now();
        let answer = raw(&service, bytes);
        assert!(begun.elapsed() < Duration::from_secs(30), "{bytes:?}");
        // An error of the protocol, or nothing; never that somebody was let in.
        assert!(answer.is_empty() || answer[0] == b'E', "{answer:?}");
    }
    assert_eq!(text(&client, "SELECT 1").await, "1");
}

#[tokio::test]
async fn messages_that_lie_about_themselves_end_their_own_connection_only() {
    let service = Service::start("");
    let client = connect(&service).await;
    for lie in [
        message(b'Q', 1 << 30, b"SELECT 1"),
        message(b'Q', -1, b"SELECT 1\0"),
        message(b'Q', 0, b""),
        message(b'P', 8, b"\0\0\x7f\xff"),
        message(b'B', 12, b"\0\0\x7f\xff\x7f\xff\0\0"),
        message(b'E', 9, b"\0\x7f\xff\xff\xff"),
        message(0, 4, b""),
        vec![b'x'; 200_000],
    ] {
        let bytes = [
            startup(&[("user", "u")]),
            lie.clone(),
            message(b'S', 4, b""),
            message(b'X', 4, b""),
        ]
        .concat();
        // A statement that never ends is waited for no longer than the client is there.
        let mut socket = TcpStream::connect(service.pg).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        drop(socket.write_all(&bytes));
        let mut answer = Vec::new();
        drop(socket.read_to_end(&mut answer));
        assert_eq!(answer.first(), Some(&b'R'), "{lie:?}");
        assert_eq!(text(&client, "SELECT 1").await, "1");
    }
}

#[tokio::test]
async fn a_slow_start_is_ended_and_half_a_connection_hurts_nobody() {
    let service = Service::start("");
    let client = connect(&service).await;
    let begun = Instant::now();
    let mut slow = TcpStream::connect(service.pg).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    slow.write_all(&startup(&[("user", "u")])[..6]).unwrap();
    let half = TcpStream::connect(service.pg).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    let silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(service.pg).unwrap())
        .collect();
    assert_eq!(text(&client, "SELECT 1").await, "1");
    assert_eq!(text(&connect(&service).await, "SELECT 1").await, "1");
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty());
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(30),
        "{took:?}"
    );
    drop(silent);
}

#[tokio::test]
async fn there_is_a_limit_of_connections() {
    let service = Service::start("");
    let first = connect(&service).await;
    let mut others = Vec::new();
    let refused = loop {
        match super::connect_as(&super::config(&service)).await {
            Ok(other) => others.push(other),
            Err(error) => break super::db_error(&error),
        }
        assert!(others.len() < 500, "no limit");
    };
    assert_eq!(refused.code().code(), "53300");
    assert_eq!(text(&first, "SELECT 1").await, "1");
    drop(others);
    let begun = Instant::now();
    while super::connect_as(&super::config(&service)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
