//! Requests and start-ups that were right before bytes of them were changed. Whatever comes, the server
//! answers or hangs up, and goes on serving others. `FUNNEL_MUTATIONS=100000` tries more than the suite does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Service;
use super::sight::token;
use super::wire::hostile::{message, startup};
use super::wire::{connect, text};

/// A server that has heard all, and is told that no more comes, does not take so long to hang up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the server.
const STRETCH: usize = 100;
const CLIENTS: usize = 8;

fn tries() -> usize {
    let asked = std::env::var("FUNNEL_MUTATIONS").ok();
    asked.map_or(1500, |text| text.parse().expect("a number of tries"))
}

/// What comes back until the server hangs up. It is told that no more comes after `pause` without an
/// answer, or at once.
fn answer(address: SocketAddr, bytes: &[u8], pause: Option<Duration>) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    // It may hang up before it has read all.
    drop(socket.write_all(bytes));
    let mut answer = vec![0];
    let mut read = 0;
    if pause.is_some() {
        socket.set_read_timeout(pause).unwrap();
        read = socket.read(&mut answer).unwrap_or(0);
    }
    answer.truncate(read);
    drop(socket.shutdown(Shutdown::Write));
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match socket.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("the server does not hang up after {}", bytes.escape_ascii())
        }
        _ => answer,
    }
}

/// One to four changes of what is right.
fn mutated(random: &mut ChaCha8Rng, right: &[&[u8]]) -> Vec<u8> {
    let mut bytes = right.choose(random).unwrap().to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len());
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            3 => bytes.splice(at..end, []).for_each(drop),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again).for_each(drop);
            }
            5 => {
                let other = right.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                bytes
                    .splice(at.., other[from..].iter().copied())
                    .for_each(drop);
            }
            // A length that lies.
            _ if at + 4 <= bytes.len() => {
                let lie = [-1, 0, 3, 5, 1 << 16, i32::MAX, random.random()];
                bytes[at..at + 4].copy_from_slice(&lie.choose(random).unwrap().to_be_bytes());
            }
            _ => bytes.push(random.random()),
        }
    }
    bytes
}

fn statement(sql: &str) -> Vec<u8> {
    let body = [sql.as_bytes(), b"\0"].concat();
    let length = i32::try_from(body.len() + 4).unwrap();
    message(b'Q', length, &body)
}

/// Parse, bind, describe, execute and sync, with a parameter.
fn extended() -> Vec<u8> {
    let parts: [(u8, &[u8]); 5] = [
        (b'P', b"s\0SELECT $1::bigint + 1\0\0\x01\0\0\0\x14"),
        (b'B', b"p\0s\0\0\0\0\x01\0\0\0\x0241\0\x01\0\x01"),
        (b'D', b"Pp\0"),
        (b'E', b"p\0\0\0\0\0"),
        (b'S', b""),
    ];
    let messages = parts.iter().map(|(kind, body)| {
        let length = i32::try_from(body.len() + 4).unwrap();
        message(*kind, length, body)
    });
    messages.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn connections_of_postgresql_clients() {
    let service = Service::start("");
    let client = connect(&service).await;
    let begin = startup(&[("user", "tester"), ("database", "lake")]);
    let end = message(b'X', 4, b"");
    let streams = [
        [
            begin.clone(),
            statement("SELECT 1; SELECT 'two'"),
            end.clone(),
        ]
        .concat(),
        [begin.clone(), extended(), end.clone()].concat(),
        [
            begin.clone(),
            statement("BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH ALL c"),
            end.clone(),
        ]
        .concat(),
        [
            begin,
            statement("COPY (SELECT 1) TO STDOUT (FORMAT binary)"),
            end,
        ]
        .concat(),
        [&8_i32.to_be_bytes()[..], &80_877_103_i32.to_be_bytes()].concat(),
    ];
    let streams: Vec<&[u8]> = streams.iter().map(Vec::as_slice).collect();
    for whole in &streams {
        assert!(
            !answer(service.pg, whole, None).is_empty(),
            "{}",
            whole.escape_ascii()
        );
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut answered = 0;
    for at in 0..tries() {
        let bytes = mutated(&mut random, &streams);
        answered += usize::from(!answer(service.pg, &bytes, None).is_empty());
        if at % STRETCH == 0 {
            assert_eq!(text(&client, "SELECT 1").await, "1");
        }
    }
    assert!(
        answered > tries() / 4,
        "only {answered} were answered at all"
    );
    assert_eq!(text(&connect(&service).await, "SELECT 1").await, "1");
}

/// Nothing but the right secret lets anybody in, and no try keeps others out.
#[tokio::test]
async fn start_ups_where_tokens_are_asked_for() {
    let (_, entry) = token("one", "role = \"reader\"");
    let service = Service::with_tokens(&entry);
    let sasl = |method: &str, data: &str| {
        let length = i32::try_from(data.len()).unwrap().to_be_bytes();
        let body = [method.as_bytes(), b"\0", &length, data.as_bytes()].concat();
        message(b'p', i32::try_from(body.len() + 4).unwrap(), &body)
    };
    let begin = startup(&[("user", "one"), ("database", "lake")]);
    let last = b"c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let last = message(b'p', i32::try_from(last.len() + 4).unwrap(), last);
    let streams = [
        [begin.clone(), sasl("SCRAM-SHA-256", "n,,n=,r=abc"), last].concat(),
        [begin, message(b'p', 10, b"guess\0"), statement("SELECT 1")].concat(),
    ];
    let streams: Vec<&[u8]> = streams.iter().map(Vec::as_slice).collect();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    // `R`, 8 bytes, code 0: let in.
    let is_let_in = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    for _ in 0..tries() {
        let bytes = mutated(&mut random, &streams);
        let said = answer(service.pg, &bytes, None);
        let let_in = said.windows(is_let_in.len()).any(|part| part == is_let_in);
        assert!(!let_in, "{}", bytes.escape_ascii());
    }
    assert_eq!(service.client.get("/livez", &[]).status, 200);
}

#[test]
fn requests_of_browsers_and_scripts() {
    let service = Service::start("");
    let host = service.client.address;
    let body = r#"{"sql": "SELECT 1 AS one"}"#;
    let requests = [
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        format!(
            "GET /api/v1/status?format=csv HTTP/1.1\r\nhost: {host}\r\naccept: application/json;q=0.5, */*\r\naccept-encoding: gzip, br\r\nif-none-match: \"x\"\r\nconnection: close\r\n\r\n"
        ),
        format!(
            "POST /api/v1/sql?format=ndjson HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        format!(
            "POST /api/v1/sql HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        format!(
            "GET /api/v1/funnels/monitored/sql?from=2024-03-04&to=2024-03-04&by=device_family&where=account_id%20%3D%20'1' HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ),
    ];
    let requests: Vec<&[u8]> = requests.iter().map(String::as_bytes).collect();
    for whole in &requests {
        let said = answer(host, whole, Some(PATIENCE));
        assert!(said.starts_with(b"HTTP/1.1 200"), "{}", said.escape_ascii());
    }
    let refused: usize = std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            let (service, requests) = (&service, &requests);
            scope.spawn(move || mutated_requests(service, requests, client as u64))
        });
        let clients: Vec<_> = clients.collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    assert!(refused > tries() / 10, "only {refused} were refused");
    assert_eq!(
        service.sql("SELECT 1 AS one", None).json()["rows"][0]["one"],
        1
    );
}

/// How many of the requests of one client were refused.
fn mutated_requests(service: &Service, requests: &[&[u8]], seed: u64) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for at in 0..tries() / CLIENTS {
        let bytes = mutated(&mut random, requests);
        // A request whose client says that no more comes is not answered: it may have gone.
        let said = answer(
            service.client.address,
            &bytes,
            Some(Duration::from_millis(50)),
        );
        // A panic in a route would be one of these.
        assert!(
            !said.starts_with(b"HTTP/1.1 500"),
            "{}\n{}",
            bytes.escape_ascii(),
            said.escape_ascii()
        );
        refused += usize::from(said.starts_with(b"HTTP/1.1 4"));
        if at % STRETCH == 0 {
            assert_eq!(service.client.get("/livez", &[]).status, 200);
        }
    }
    refused
}
