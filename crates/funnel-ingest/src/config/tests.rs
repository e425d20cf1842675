use super::*;

fn parse(text: &str) -> Result<IngestConfig, ConfigError> {
    IngestConfig::from_toml(&text.parse::<Table>().expect("TOML"))
}

fn refused(text: &str) -> ConfigError {
    parse(text).expect_err("must be refused")
}

const KAFKA: &str = "[kafka]\nbrokers = \"localhost:9092\"\n";

#[test]
fn brokers_alone_give_the_stated_defaults() {
    let config = parse(KAFKA).expect("valid");
    assert_eq!(config.job, "funnel");
    assert_eq!(config.kafka.topics.len(), 4);
    assert_eq!(config.flush.age, Duration::from_secs(10));
    assert_eq!(config.flush.bytes, 96 * MIB);
    assert_eq!(config.on_truncation, OnTruncation::Halt);
    assert_eq!(config.http.listen, None);
    assert!(config.privacy.consumer_hash_key.is_none());
}

#[test]
fn a_bare_number_for_a_duration_is_refused_with_the_unit_to_write() {
    let error = refused(&format!("{KAFKA}[ingest]\nflush_age = 30\n"));
    assert_eq!(error.key, "ingest.flush_age");
    assert_eq!(error.found, "the bare number 30");
    assert!(error.hint.contains("\"30s\""), "{error}");
}

#[test]
fn a_bare_number_for_a_size_is_refused_with_the_unit_to_write() {
    let error = refused(&format!("{KAFKA}[ingest]\nflush_bytes = 1000000\n"));
    assert_eq!(error.key, "ingest.flush_bytes");
    assert!(error.hint.contains("MiB"), "{error}");
    assert_eq!(section::parse_size("1000000"), None);
    assert_eq!(section::parse_size("128 MiB"), Some(128 * MIB));
    assert_eq!(section::parse_size("64KB"), Some(64_000));
    assert_eq!(section::parse_size("99999999999 GiB"), None);
}

#[test]
fn an_unheard_of_key_is_refused_and_the_known_ones_are_listed() {
    let error = refused(&format!("{KAFKA}[ingest]\nflush_rowz = 5\n"));
    assert_eq!(error.key, "ingest.flush_rowz");
    assert!(error.hint.contains("flush_rows"), "{error}");
}

#[test]
fn options_that_break_the_guarantee_are_refused_in_both_spellings() {
    for spelling in ["\"enable.auto.commit\" = true", "enable.auto.commit = true"] {
        let error = refused(&format!("{KAFKA}[kafka.options]\n{spelling}\n"));
        assert_eq!(error.key, "kafka.options.\"enable.auto.commit\"");
    }
    for (name, _) in kafka::DENIED_OPTIONS {
        refused(&format!("{KAFKA}[kafka.options]\n\"{name}\" = \"x\"\n"));
    }
}

#[test]
fn other_options_pass_through_as_text() {
    let config = parse(&format!(
        "{KAFKA}[kafka.options]\nsecurity.protocol = \"ssl\"\n\"session.timeout.ms\" = 6000\n"
    ))
    .expect("valid");
    assert_eq!(config.kafka.options["security.protocol"], "ssl");
    assert_eq!(config.kafka.options["session.timeout.ms"], "6000");
}

#[test]
fn a_short_hash_key_is_refused_without_printing_it() {
    let error = refused(&format!(
        "{KAFKA}[privacy]\nconsumer_hash_key = \"hunter2\"\n"
    ));
    assert_eq!(error.key, "privacy.consumer_hash_key");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn a_secret_is_not_printed() {
    let config = parse(&format!(
        "{KAFKA}[privacy]\nconsumer_hash_key = \"0123456789abcdef\"\n"
    ))
    .expect("valid");
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn an_unknown_thing_to_keep_is_refused() {
    let error = refused(&format!("{KAFKA}[privacy]\nkeep = [\"everything\"]\n"));
    assert_eq!(error.key, "privacy.keep");
    assert_eq!(error.found, "\"everything\"");
}

#[test]
fn flush_bytes_stay_below_the_pause_mark_of_the_memory_budget() {
    let config = parse(&format!("{KAFKA}[ingest]\nmemory = \"64 MiB\"\n")).expect("valid");
    assert!(config.flush.bytes < config.memory * 8 / 10 / 2 + 1);
}

#[test]
fn an_ordinal_outside_its_range_is_refused() {
    let error = refused(
        "[kafka]\nbrokers = \"b:1\"\nassignment = \"static\"\ninstances = 2\nordinal = 2\n",
    );
    assert_eq!(error.key, "kafka.ordinal");
}
