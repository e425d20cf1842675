//! The configuration file: precedence, origins, secrets, and messages when it is wrong.

use std::path::Path;

use super::{empty_dir, funnel, run};

fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("funnel.toml"), text).unwrap();
}

#[track_caller]
fn problem(text: &str) -> String {
    let dir = empty_dir();
    write(dir.path(), text);
    let (out, err) = run(
        funnel(dir.path()).args(["config", "check", "--config", "funnel.toml"]),
        78,
    );
    assert_eq!(out, "");
    err
}

#[test]
fn a_good_file_is_good() {
    let dir = empty_dir();
    write(
        dir.path(),
        "[lake]\nurl = \"./lake\"\n[kafka]\nbrokers = \"localhost:9092\"\n\
         [kafka.options]\n\"security.protocol\" = \"plaintext\"\n\
         [ingest]\nflush_age = \"5s\"\nmemory = \"256 MiB\"\n\
         [accounts.12345678]\ntime_zone = \"Europe/Berlin\"\n",
    );
    let (out, err) = run(funnel(dir.path()).args(["config", "check"]), 0);
    assert_eq!(out, "");
    assert!(err.contains("funnel.toml"), "{err}");
}

#[test]
fn a_misspelt_key_is_named_with_file_line_and_the_nearest_one() {
    let message = problem("[ingest]\nflush_agge = \"5s\"\n");
    assert!(
        message.contains("funnel.toml:2: key `ingest.flush_agge`"),
        "{message}"
    );
    assert!(message.contains("did you mean `flush_age`?"), "{message}");
}

#[test]
fn a_wrong_value_is_named_with_what_was_found_and_what_to_write() {
    let message = problem("\n[ingest]\nflush_age = 5\n");
    assert!(
        message.contains("funnel.toml:3: key `ingest.flush_age`: found `5`"),
        "{message}"
    );
    assert!(
        message.contains("write a time with its unit, such as \"10s\""),
        "{message}"
    );
    let message = problem("[accounts.1]\ntime_zone = \"Mars/Olympus\"\n");
    assert!(
        message.contains("`accounts.1.time_zone`: found `\"Mars/Olympus\"`"),
        "{message}"
    );
}

#[test]
fn what_only_the_ingestor_knows_is_checked_too_with_its_line() {
    let message = problem(
        "[kafka]\nbrokers = \"a:1\"\n[kafka.options]\n\"auto.offset.reset\" = \"latest\"\n",
    );
    assert!(
        message.contains("funnel.toml:4: key `kafka.options."),
        "{message}"
    );
    assert!(message.contains("auto.offset.reset"), "{message}");
    let message = problem("[ingest]\nmemory = \"1 MiB\"\n");
    assert!(
        message.contains("funnel.toml:2: key `ingest.memory`"),
        "{message}"
    );
}

#[test]
fn text_that_is_not_toml_is_shown_with_its_place() {
    let message = problem("[kafka\nbrokers = 1\n");
    assert!(
        message.contains("funnel.toml") && message.contains("line 1"),
        "{message}"
    );
}

#[test]
fn a_missing_file_is_a_configuration_error() {
    let dir = empty_dir();
    let (_, err) = run(
        funnel(dir.path()).args(["config", "show", "--config", "nope.toml"]),
        78,
    );
    assert!(err.contains("`nope.toml`"), "{err}");
}

#[test]
fn show_prints_values_with_origins_and_masks_secrets() {
    let dir = empty_dir();
    write(
        dir.path(),
        "[lake]\nurl = \"from-file\"\n[kafka]\nbrokers = \"file:1\"\n\
         [privacy]\nconsumer_hash_key = \"0123456789abcdef-hush\"\n",
    );
    let mut command = funnel(dir.path());
    command
        .env("FUNNEL__KAFKA__BROKERS", "env:1")
        .env("FUNNEL_LAKE", "from-env");
    command.args(["config", "show", "--config", "funnel.toml"]);
    let (out, _) = run(&mut command, 0);
    assert!(!out.contains("hush"), "{out}");
    for line in [
        "key,value,origin",
        "lake.url,from-env,environment FUNNEL_LAKE",
        "kafka.brokers,env:1,environment FUNNEL__KAFKA__BROKERS",
        "privacy.consumer_hash_key,***,funnel.toml:6",
        "ingest.job,funnel,default",
    ] {
        assert!(
            out.lines().any(|found| found == line),
            "{line} is missing in\n{out}"
        );
    }
    let (out, _) = run(command.args(["--lake", "from-flag"]), 0);
    assert!(
        out.lines()
            .any(|line| line == "lake.url,from-flag,flag --lake"),
        "{out}"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let dir = empty_dir();
    let mut command = funnel(dir.path());
    command
        .env("FUNNEL__INGEST__FLUSH_ROWS", "many")
        .args(["config", "check"]);
    let (_, err) = run(&mut command, 78);
    assert!(
        err.contains("environment FUNNEL__INGEST__FLUSH_ROWS: key `ingest.flush_rows`"),
        "{err}"
    );
}

#[test]
fn ingest_without_brokers_says_what_to_write() {
    let dir = empty_dir();
    let (_, err) = run(funnel(dir.path()).args(["ingest", "--lake", "lake"]), 78);
    assert!(
        err.contains("kafka.brokers") && err.contains("localhost:9092"),
        "{err}"
    );
    assert!(
        !dir.path().join("lake").exists(),
        "nothing may be made by a wrong call"
    );
}
