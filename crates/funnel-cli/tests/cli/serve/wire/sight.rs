//! Who is let in, and what they see.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio_postgres::error::SqlState;

use super::hostile::{message, startup};
use super::{PATIENCE, config, connect, connect_as, db_error, refusal, text, texts};
use crate::serve::sight::{reader_and_operator, token};
use crate::serve::{Service, accounts, command, lake};
use crate::{empty_dir, run};

#[tokio::test]
async fn a_reader_of_one_account_never_sees_another() {
    let accounts = accounts();
    let own = &accounts[0];
    let (service, secret, all_secret) = reader_and_operator();
    let reader = connect_as(config(&service).user("one").password(secret))
        .await
        .unwrap();
    let operator = connect_as(config(&service).user("all").password(all_secret))
        .await
        .unwrap();
    for table in [
        "events",
        "events_enriched",
        "sessions",
        "offers",
        "chats",
        "conversions",
    ] {
        let query = format!("SELECT DISTINCT account_id FROM {table} ORDER BY 1");
        assert_eq!(texts(&reader, &query).await, [own.as_str()], "{table}");
        assert_eq!(texts(&operator, &query).await, accounts, "{table}");
    }
    for table in ["rejects", "ledger"] {
        let query = format!("SELECT count(*) FROM {table}");
        assert_eq!(
            refusal(&reader, &query).await.code(),
            &SqlState::UNDEFINED_TABLE
        );
        text(&operator, &query).await;
        let known = format!("SELECT count(*) FROM pg_catalog.pg_class WHERE relname = '{table}'");
        assert_eq!(text(&reader, &known).await, "0");
        assert_eq!(text(&operator, &known).await, "1");
    }
    assert_eq!(text(&reader, "SELECT current_user").await, "one");
    let other = format!(
        "SELECT * FROM funnel('monitored', '2024-03-01', '2024-04-30', named_struct('account', '{}'))",
        accounts[1]
    );
    refusal(&reader, &other).await;
}

#[tokio::test]
async fn only_a_name_with_its_own_secret_is_let_in() {
    let (secret, entry) = token("one", "role = \"reader\"");
    let (_, other) = token("two", "role = \"reader\"");
    let service = Service::with_tokens(&format!("{entry}{other}"));
    let right = connect_as(config(&service).user("one").password(&secret))
        .await
        .unwrap();
    assert_eq!(text(&right, "SELECT 1").await, "1");
    for (user, password) in [
        ("one", "guess"),
        ("two", secret.as_str()),
        ("nobody", secret.as_str()),
        ("one", ""),
    ] {
        let refused = connect_as(config(&service).user(user).password(password)).await;
        let said = db_error(&refused.unwrap_err());
        assert_eq!(said.code(), &SqlState::INVALID_PASSWORD, "{user}: {said:?}");
    }
    // Too many failures, here or by HTTP, and the address is not heard on either.
    for _ in 0..10 {
        service
            .client
            .get("/api/v1/status", &[("authorization", "Bearer fnl_guess")]);
        drop(connect_as(config(&service).user("one").password("guess")).await);
    }
    let refused = connect_as(config(&service).user("one").password(&secret)).await;
    let said = db_error(&refused.unwrap_err());
    assert!(said.message().contains("too many"), "{said:?}");
    let bearer = format!("Bearer {secret}");
    assert_eq!(
        service
            .client
            .get("/api/v1/status", &[("authorization", &bearer)])
            .status,
        429
    );
    // Who is in stays in.
    assert_eq!(text(&right, "SELECT 1").await, "1");
}

/// What the client is asked for, and what comes back for its answer.
fn asked(service: &Service, user: &str, answer: &[u8]) -> (i32, Vec<u8>) {
    let mut socket = TcpStream::connect(service.pg).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&startup(&[("user", user)])).unwrap();
    let mut head = [0; 9];
    socket.read_exact(&mut head).unwrap();
    let [kind, l0, l1, l2, l3, code @ ..] = head;
    assert_eq!(kind, b'R', "{user}");
    let rest = usize::try_from(i32::from_be_bytes([l0, l1, l2, l3]) - 8).unwrap();
    let mut methods = vec![0; rest];
    socket.read_exact(&mut methods).unwrap();
    let sasl = b"SCRAM-SHA-256\0\0".as_slice();
    assert!(methods.is_empty() || methods == sasl, "{methods:?}");
    let length = i32::try_from(answer.len() + 4).unwrap();
    socket.write_all(&message(b'p', length, answer)).unwrap();
    let mut said = Vec::new();
    socket.read_to_end(&mut said).unwrap();
    (i32::from_be_bytes(code), said)
}

#[tokio::test]
async fn a_secret_is_proved_and_not_sent() {
    const SECRET: i32 = 3;
    const PROOF: i32 = 10;
    let (secret, entry) = token("one", "role = \"reader\"");
    let (older, old) = token("old", "role = \"reader\"");
    let old: Vec<&str> = old.lines().filter(|l| !l.starts_with("scram")).collect();
    let service = Service::with_tokens(&format!("{entry}{}\n", old.join("\n")));
    for (user, secret) in [("one", &secret), ("old", &older)] {
        let client = connect_as(config(&service).user(user).password(secret))
            .await
            .unwrap();
        assert_eq!(text(&client, "SELECT current_user").await, user);
    }
    // Sent in the clear it helps nobody who was asked to prove it; nor does what is no proof.
    let first = |method: &str, data: &str| {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [method.as_bytes(), b"\0", &length, data.as_bytes()].concat()
    };
    let clear = format!("{secret}\0").into_bytes();
    for (user, answer) in [
        ("one", clear.clone()),
        ("one", Vec::new()),
        (
            "one",
            first("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"),
        ),
        (
            "one",
            first("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc"),
        ),
        ("one", first("SCRAM-SHA-256", "")),
        // Who is not known is asked the same.
        ("nobody", clear.clone()),
    ] {
        let (code, said) = asked(&service, user, &answer);
        assert_eq!(
            (code, said.first()),
            (PROOF, Some(&b'E')),
            "{user}: {answer:?}"
        );
    }
    let (code, said) = asked(&service, "old", &clear);
    assert_eq!((code, said.first()), (SECRET, Some(&b'E')));
    let client = connect_as(config(&service).user("one").password(&secret)).await;
    assert_eq!(text(&client.unwrap(), "SELECT 1").await, "1");
}

#[tokio::test]
async fn without_tokens_everybody_on_this_machine_is_let_in() {
    let service = Service::start("");
    let client = connect(&service).await;
    assert_eq!(text(&client, "SELECT current_database()").await, "lake");
    assert_eq!(text(&client, "SELECT current_user").await, "tester");
    text(&client, "SELECT count(*) FROM ledger").await;
}

#[test]
fn it_does_not_listen_where_others_could() {
    let dir = empty_dir();
    let lake = lake();
    let words = [
        "serve",
        "--lake",
        lake.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--pg-listen",
    ];
    let refused = |address: &str| {
        let output = command(dir.path(), &words).arg(address).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = refused("0.0.0.0:0");
    assert!(
        code == Some(78) && said.contains("TLS and tokens"),
        "{said}"
    );
    let (code, said) = refused("somewhere");
    assert!(code == Some(78) && said.contains("pg_listen"), "{said}");
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listening.local_addr().unwrap().to_string();
    let (code, said) = refused(&address);
    assert!(code == Some(78) && said.contains(&address), "{said}");
    let (help, _) = run(crate::funnel(dir.path()).args(["serve", "--help"]), 0);
    assert!(help.contains("--pg-listen"));
}
