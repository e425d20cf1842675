//! Who sees what.

use super::{Answer, DAYS, Service, accounts, command, lake};
use crate::{empty_dir, funnel, run};

/// A token of this name, and its entry.
pub(super) fn token(name: &str, more: &str) -> (String, String) {
    let dir = empty_dir();
    let (entry, told) = run(funnel(dir.path()).args(["serve", "--new-token", name]), 0);
    let secret = told
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("fnl_"))
        .unwrap();
    assert!(!entry.contains(secret));
    let entry = entry.replace("role = \"reader\"", more);
    (secret.to_owned(), entry)
}

/// A server with the tokens `one`, of a reader of the first account alone, and `all`, of an operator.
pub(super) fn reader_and_operator() -> (Service, String, String) {
    let own = &accounts()[0];
    let (reader, one) = token("one", &format!("role = \"reader\"\naccounts = [\"{own}\"]"));
    let (operator, all) = token("all", "role = \"operator\"");
    let service = Service::with_tokens(&format!("{one}{all}"));
    (service, reader, operator)
}

/// Published while the server runs, and there without a restart.
#[test]
fn published_days_are_a_table_of_the_rows_that_one_may_see() {
    let accounts = accounts();
    let own = &accounts[0];
    let (reader, entry) = token("one", &format!("role = \"reader\"\naccounts = [\"{own}\"]"));
    let (operator, all) = token("all", "role = \"operator\"");
    let dir = empty_dir();
    let mut copy = std::process::Command::new("cp");
    let copied = copy.arg("-r").arg(lake()).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokens.toml", &format!("{entry}{all}"));
    let config = "[lake]\nurl = \"lake\"\n[serve]\ntokens = \"tokens.toml\"\nrefresh = \"1s\"\n";
    write("funnel.toml", config);
    let place = dir.path().to_owned();
    let service = Service::run(dir);
    let query = "SELECT DISTINCT account_id AS a FROM funnel_daily ORDER BY 1";
    let said = service.sql(query, Some(&operator)).problem(400);
    assert!(said.contains("funnel_daily"), "{said}");
    let words = [
        "publish",
        "--lake",
        "lake",
        "--from",
        "2024-03-04",
        "--to",
        "2024-03-06",
    ];
    run(funnel(&place).args(words), 0);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while service.sql(query, Some(&operator)).status != 200 {
        assert!(std::time::Instant::now() < until, "it is never seen");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let found = service.sql(query, Some(&operator)).json();
    assert_eq!(found["rows"].as_array().unwrap().len(), 2, "{found}");
    let found = service.sql(query, Some(&reader)).json();
    assert_eq!(found["rows"], serde_json::json!([{ "a": own }]));
}

#[test]
fn a_reader_of_one_account_never_sees_another_on_any_surface() {
    let accounts = accounts();
    let (own, other) = (&accounts[0], &accounts[1]);
    let (reader, entry) = token("one", &format!("role = \"reader\"\naccounts = [\"{own}\"]"));
    let (operator, all) = token("all", "role = \"operator\"");
    let service = Service::with_tokens(&format!("{entry}{all}"));
    let tables = [
        "events",
        "events_enriched",
        "sessions",
        "offers",
        "chats",
        "conversions",
    ];
    for table in tables {
        let query = format!("SELECT DISTINCT account_id AS a FROM {table} ORDER BY 1");
        let found = service.sql(&query, Some(&reader)).json();
        assert_eq!(found["rows"], serde_json::json!([{ "a": own }]), "{table}");
        let found = service.sql(&query, Some(&operator)).json();
        assert_eq!(found["rows"].as_array().unwrap().len(), 2, "{table}");
    }
    for table in ["rejects", "ledger"] {
        let query = format!("SELECT count(*) AS n FROM {table}");
        service.sql(&query, Some(&reader)).problem(400);
        service.sql(&query, Some(&operator)).json();
    }
    let authorization = format!("Bearer {reader}");
    let get = |path: &str| -> Answer {
        service
            .client
            .get(path, &[("authorization", &authorization)])
    };
    let status = get("/api/v1/status").json();
    assert_eq!(status["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(status["accounts"][0]["account"], own.as_str());
    for what in ["report", "keys", "losses", "trend", "availability"] {
        let path = format!("/api/v1/funnels/monitored/{what}?{DAYS}");
        let asked = get(&format!("{path}&account={own}"));
        assert_eq!(asked.status, 200, "{what}: {}", asked.text());
        // One account is all there is, so that it need not be named.
        assert_eq!(get(&path).status, 200, "{what}");
        let said = get(&format!("{path}&account={other}"));
        assert_eq!(said.status, 400, "{what}: {}", said.text());
    }
    let inside = format!(
        "FROM funnel('monitored', DATE '2024-03-01', DATE '2024-04-30', named_struct('account', '{other}'))"
    );
    service
        .sql(&format!("SELECT * {inside}"), Some(&reader))
        .problem(400);
    service
        .sql(&format!("SELECT * {inside}"), Some(&operator))
        .json();
    let hidden = format!(
        "/api/v1/funnels/monitored/report?{DAYS}&where=EXISTS%20(SELECT%201%20FROM%20rejects)"
    );
    assert_ne!(get(&hidden).status, 200);
    let metrics = get(&format!("/api/v1/queries/metrics?{DAYS}&account={other}"));
    assert!(
        metrics.status == 400 || !metrics.text().contains(other.as_str()),
        "{}",
        metrics.text()
    );
}

#[test]
fn reader_and_operator_have_the_same_numbers() {
    let own = &accounts()[0];
    let (reader, entry) = token("one", &format!("role = \"reader\"\naccounts = [\"{own}\"]"));
    let (operator, all) = token("all", "role = \"operator\"");
    let service = Service::with_tokens(&format!("{entry}{all}"));
    let path = format!("/api/v1/funnels/unmonitored/report?{DAYS}&account={own}");
    let answers = [reader, operator].map(|token| {
        let authorization = format!("Bearer {token}");
        service
            .client
            .get(&path, &[("authorization", &authorization)])
            .json()
    });
    assert_eq!(answers[0]["rows"], answers[1]["rows"]);
}

#[test]
fn nobody_is_let_in_without_a_token_that_is_known() {
    let (secret, entry) = token("one", "role = \"reader\"");
    let service = Service::with_tokens(&entry);
    let answer = service.get("/api/v1/status");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert!(answer.problem(401).contains("Authorization: Bearer"));
    // The page and what says that the server lives are for everybody; the page asks for the token.
    assert_eq!(service.get("/").status, 200);
    assert_eq!(service.get("/livez").status, 200);
    let right = format!("Bearer {secret}");
    assert_eq!(
        service
            .client
            .get("/api/v1/status", &[("authorization", &right)])
            .status,
        200
    );
    let mut last = 0;
    for _ in 0..30 {
        last = service
            .client
            .get("/api/v1/status", &[("authorization", "Bearer fnl_guess")])
            .status;
    }
    assert_eq!(last, 429);
}

#[test]
fn it_does_not_start_where_others_could_listen_or_with_wrong_tokens() {
    let dir = empty_dir();
    let lake = lake();
    let lake = lake.to_str().unwrap();
    let refused = |words: &[&str]| {
        let output = command(
            dir.path(),
            &[&["serve", "--lake", lake][..], words].concat(),
        )
        .output()
        .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = refused(&["--listen", "0.0.0.0:0"]);
    assert!(
        code == Some(78) && said.contains("TLS and tokens"),
        "{said}"
    );
    std::fs::write(
        dir.path().join("tokens.toml"),
        "[[token]]\nname = \"a\"\nhash = \"secret\"\nrole = \"reader\"\n",
    )
    .unwrap();
    let (code, said) = refused(&["--listen", "127.0.0.1:0", "--tokens", "tokens.toml"]);
    assert!(
        code == Some(78) && said.contains("`hash` of token `a`") && !said.contains("secret"),
        "{said}"
    );
    let (code, said) = refused(&["--listen", "127.0.0.1:0", "--tokens", "missing.toml"]);
    assert!(code == Some(78) && said.contains("missing.toml"), "{said}");
}
