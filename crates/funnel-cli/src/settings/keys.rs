//! Every key of the configuration file: its kind, default and meaning.

use std::net::SocketAddr;
use std::time::Duration;

use chrono_tz::Tz;
use funnel_ingest::config::StartFrom;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text that is never shown.
    Secret,
    /// A whole number of at least one.
    Count,
    /// Bytes, with a unit.
    Size,
    /// A span of time, with a unit.
    Span,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A whole number from zero.
    Index,
    /// An option of librdkafka: text, number or truth value.
    Option,
    /// Host and port of an address of this machine, or `off`.
    Address,
    /// Where a new job starts.
    Start,
    /// `true` or `false`.
    Flag,
    /// A name of the IANA time zone database.
    Zone,
}

/// One key; a `*` in the path stands for a name of the user's choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    /// As it would stand in the file, without quotes; lists are separated by commas.
    pub(crate) default: Option<&'static str>,
    /// What to write, for messages.
    pub(crate) example: &'static str,
}

const fn key(
    path: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    example: &'static str,
) -> Key {
    Key {
        path,
        kind,
        default,
        example,
    }
}

/// All keys, section by section.
pub(crate) const KEYS: &[Key] = &[
    key(
        "lake.url",
        Kind::Text,
        None,
        "\"./lake\" or \"s3://bucket/lake\"",
    ),
    key(
        "lake.s3.endpoint",
        Kind::Text,
        None,
        "\"https://s3.example.com\"",
    ),
    key("lake.s3.region", Kind::Text, None, "\"eu-central-1\""),
    key(
        "lake.s3.access_key_id",
        Kind::Text,
        None,
        "the key's name, in quotes",
    ),
    key(
        "lake.s3.secret_access_key",
        Kind::Secret,
        None,
        "the key itself, in quotes",
    ),
    key(
        "lake.s3.secret_access_key_file",
        Kind::Text,
        None,
        "\"/run/secrets/s3_key\"",
    ),
    key(
        "lake.s3.session_token",
        Kind::Secret,
        None,
        "the token, in quotes",
    ),
    key("lake.s3.allow_http", Kind::Flag, None, "true"),
    key("lake.s3.virtual_hosted_style", Kind::Flag, None, "true"),
    key("kafka.brokers", Kind::Text, None, "\"localhost:9092\""),
    key("kafka.group", Kind::Text, Some("funnel"), "\"funnel\""),
    key(
        "kafka.topics",
        Kind::List,
        Some("lp.engagement.v1,lp.click.v1,lp.chat.v1,lp.conversion.v1"),
        "[\"lp.engagement.v1\", \"lp.click.v1\"]",
    ),
    key(
        "kafka.assignment",
        Kind::OneOf(&["group", "static"]),
        Some("group"),
        "\"group\"",
    ),
    key("kafka.instances", Kind::Count, None, "2"),
    key("kafka.ordinal", Kind::Index, None, "0"),
    key("kafka.options.*", Kind::Option, None, "\"ssl\""),
    key("ingest.job", Kind::Text, Some("funnel"), "\"funnel\""),
    key("ingest.flush_rows", Kind::Count, Some("400000"), "400000"),
    key(
        "ingest.flush_bytes",
        Kind::Size,
        Some("96 MiB"),
        "\"96 MiB\"",
    ),
    key("ingest.flush_age", Kind::Span, Some("10s"), "\"10s\""),
    key("ingest.memory", Kind::Size, Some("512 MiB"), "\"512 MiB\""),
    key(
        "ingest.start_from",
        Kind::Start,
        Some("earliest"),
        "\"timestamp:2024-03-04T00:00:00Z\"",
    ),
    key("ingest.contiguous", Kind::Flag, Some("false"), "true"),
    key(
        "ingest.on_truncation",
        Kind::OneOf(&["halt", "record_gap"]),
        Some("halt"),
        "\"halt\"",
    ),
    key("ingest.checkpoint_every", Kind::Count, Some("50"), "50"),
    key("dedup.age", Kind::Span, Some("2h"), "\"2h\""),
    key("dedup.max_ids", Kind::Count, Some("500000"), "500000"),
    key(
        "privacy.consumer_hash_key",
        Kind::Secret,
        None,
        "a long random text",
    ),
    key(
        "privacy.consumer_hash_key_file",
        Kind::Text,
        None,
        "\"/run/secrets/consumer_key\"",
    ),
    key(
        "privacy.consumer_key_id",
        Kind::Text,
        Some("default"),
        "\"2024-03\"",
    ),
    key("privacy.keep", Kind::List, None, "[\"page_title\"]"),
    key("rejects.retention", Kind::Span, Some("14d"), "\"14d\""),
    key(
        "rejects.payload",
        Kind::OneOf(&["bytes", "hash"]),
        Some("bytes"),
        "\"bytes\"",
    ),
    key("time.max_age", Kind::Span, None, "\"400d\""),
    key("time.future_tolerance", Kind::Span, None, "\"1d\""),
    key(
        "http.listen",
        Kind::Address,
        None,
        "\"127.0.0.1:9464\" or \"off\"",
    ),
    key(
        "accounts.*.time_zone",
        Kind::Zone,
        None,
        "\"Europe/Berlin\"",
    ),
    key("publish.close_after", Kind::Span, Some("12h"), "\"12h\""),
    key("query.memory", Kind::Size, None, "\"1 GiB\""),
    key("query.funnels", Kind::Text, None, "\"/etc/funnel/funnels\""),
    key(
        "serve.listen",
        Kind::Address,
        Some("127.0.0.1:8088"),
        "\"127.0.0.1:8088\"",
    ),
    key(
        "serve.pg_listen",
        Kind::Address,
        Some("127.0.0.1:5433"),
        "\"127.0.0.1:5433\" or \"off\"",
    ),
    key(
        "serve.flight_listen",
        Kind::Address,
        Some("off"),
        "\"127.0.0.1:32010\" or \"off\"",
    ),
    key(
        "serve.tokens",
        Kind::Text,
        None,
        "\"/etc/funnel/tokens.toml\"",
    ),
    key(
        "serve.tls_cert",
        Kind::Text,
        None,
        "\"/etc/funnel/tls/server.pem\"",
    ),
    key(
        "serve.tls_key",
        Kind::Text,
        None,
        "\"/etc/funnel/tls/server.key\"",
    ),
    key("serve.refresh", Kind::Span, Some("10s"), "\"10s\""),
    key("serve.stale_after", Kind::Span, Some("24h"), "\"24h\""),
    key("serve.queries", Kind::Count, None, "4"),
    key("serve.query_time", Kind::Span, Some("60s"), "\"60s\""),
    key(
        "serve.answer_size",
        Kind::Size,
        Some("64 MiB"),
        "\"64 MiB\"",
    ),
    key("serve.connections", Kind::Count, Some("256"), "256"),
];

impl Key {
    /// Whether a dotted path is this key.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let mut left = self.path.split('.');
        // The name of an option of librdkafka holds dots itself.
        if let Some(prefix) = self.path.strip_suffix(".*") {
            return path.len() > prefix.len() + 1
                && path.starts_with(prefix)
                && path.as_bytes().get(prefix.len()) == Some(&b'.');
        }
        let mut right = path.split('.');
        loop {
            match (left.next(), right.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Whether the value may be shown. Options of librdkafka may be passwords.
    pub(crate) fn is_secret(&self, path: &str) -> bool {
        self.kind == Kind::Secret
            || ["password", "secret", "pem", "jaas", "oauthbearer.config"]
                .iter()
                .any(|part| path.starts_with("kafka.options.") && path.contains(part))
    }

    /// The value from text, as an environment variable or a default holds it.
    pub(crate) fn value_of(&self, text: &str) -> toml::Value {
        match self.kind {
            Kind::Count | Kind::Index => text.trim().parse().map_or_else(
                |_| toml::Value::String(text.to_owned()),
                toml::Value::Integer,
            ),
            Kind::Flag => text.trim().parse().map_or_else(
                |_| toml::Value::String(text.to_owned()),
                toml::Value::Boolean,
            ),
            Kind::List => toml::Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| toml::Value::String(part.to_owned()))
                    .collect(),
            ),
            _ => toml::Value::String(text.to_owned()),
        }
    }

    /// `None` when the value fits, otherwise what to write.
    pub(crate) fn problem(&self, value: &toml::Value) -> Option<String> {
        let fits = match (self.kind, value) {
            (Kind::Text | Kind::Secret, toml::Value::String(text)) => !text.is_empty(),
            (Kind::Count, toml::Value::Integer(number)) => *number >= 1,
            (Kind::Size, toml::Value::String(text)) => size(text).is_some(),
            (Kind::Span, toml::Value::String(text)) => span(text).is_some(),
            (Kind::OneOf(words), toml::Value::String(text)) => words.contains(&text.as_str()),
            (Kind::List, toml::Value::Array(items)) => items.iter().all(toml::Value::is_str),
            (Kind::Index, toml::Value::Integer(number)) => *number >= 0,
            (Kind::Option, value) => value.is_str() || value.is_integer() || value.is_bool(),
            (Kind::Address, toml::Value::String(text)) => {
                text == "off" || text.parse::<SocketAddr>().is_ok()
            }
            (Kind::Start, toml::Value::String(text)) => text.parse::<StartFrom>().is_ok(),
            (Kind::Flag, value) => value.is_bool(),
            (Kind::Zone, toml::Value::String(text)) => text.parse::<Tz>().is_ok(),
            _ => false,
        };
        (!fits).then(|| format!("{}, such as {}", self.wanted(), self.example))
    }

    fn wanted(&self) -> String {
        match self.kind {
            Kind::Text | Kind::Secret => "a text in quotes".to_owned(),
            Kind::Count => "a whole number of 1 or more".to_owned(),
            Kind::Size => "a size with its unit".to_owned(),
            Kind::Span => "a time with its unit".to_owned(),
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
            Kind::List => "a list of texts".to_owned(),
            Kind::Index => "a whole number of 0 or more".to_owned(),
            Kind::Option => "a text, a number or true/false".to_owned(),
            Kind::Address => "an address and port".to_owned(),
            Kind::Start => "earliest, latest, group, timestamp:RFC3339 or \
                            offsets:TOPIC/PARTITION=OFFSET,…"
                .to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Zone => "a name of the IANA time zone database".to_owned(),
        }
    }
}

/// Bytes of a size with its unit: `128 MiB`, `1.5 GB`, `512 B`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
}

/// A span of time with its unit: `30s`, `2h`, `14d`.
pub(crate) fn span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|span| !span.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_fits_its_own_key() {
        for key in KEYS {
            if let Some(default) = key.default {
                let value = key.value_of(default);
                assert_eq!(key.problem(&value), None, "default of {}", key.path);
            }
        }
    }

    #[test]
    fn the_defaults_shown_are_those_that_ingest_has() {
        let brokers = "[kafka]\nbrokers = \"localhost:9092\"\n";
        let mut file: toml::Table = brokers.parse().unwrap();
        let bare = funnel_ingest::config::IngestConfig::from_toml(&file).unwrap();
        for key in KEYS {
            let Some((section, name)) = key.path.split_once('.') else {
                continue;
            };
            let ours = [
                "kafka", "ingest", "dedup", "privacy", "rejects", "time", "http",
            ];
            if let Some(default) = key.default.filter(|_| ours.contains(&section)) {
                let table = file
                    .entry(section)
                    .or_insert_with(|| toml::Value::Table(toml::Table::new()));
                let table = table.as_table_mut().unwrap();
                table.insert(name.to_owned(), key.value_of(default));
            }
        }
        let spelled_out = funnel_ingest::config::IngestConfig::from_toml(&file).unwrap();
        assert_eq!(format!("{spelled_out:?}"), format!("{bare:?}"));
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(size("128 MiB"), Some(128 << 20));
        assert_eq!(size("2GB"), Some(2_000_000_000));
        for wrong in [
            "128",
            "",
            "MiB",
            "-1 MiB",
            "1 Mib",
            "99999999999999 GiB",
            "0 B",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_of_the_users_choice_match_where_the_star_stands() {
        let options = KEYS
            .iter()
            .find(|key| key.path == "kafka.options.*")
            .unwrap();
        assert!(options.matches("kafka.options.security.protocol"));
        assert!(!options.matches("kafka.options"));
        assert!(!options.matches("kafka.optionsx"));
        let zone = KEYS
            .iter()
            .find(|key| key.path == "accounts.*.time_zone")
            .unwrap();
        assert!(zone.matches("accounts.12345678.time_zone"));
        assert!(!zone.matches("accounts.12345678.zone"));
    }

    #[test]
    fn passwords_in_passed_through_options_are_secret() {
        let options = KEYS
            .iter()
            .find(|key| key.path == "kafka.options.*")
            .unwrap();
        assert!(options.is_secret("kafka.options.sasl.password"));
        assert!(options.is_secret("kafka.options.ssl.key.password"));
        assert!(!options.is_secret("kafka.options.security.protocol"));
    }
}
