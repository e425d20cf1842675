//! What `SET` and `SHOW` are about: one set of values for each connection.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::TZ_VARIANTS;

use super::errors::Failure;
use super::{SERVER_VERSION, SERVER_VERSION_NUM};

/// A parameter as PostgreSQL has it.
struct Parameter {
    name: &'static str,
    default: &'static str,
    /// The client is told of each change.
    reported: bool,
    /// Nobody can set it.
    fixed: bool,
}

const fn parameter(name: &'static str, default: &'static str) -> Parameter {
    Parameter {
        name,
        default,
        reported: false,
        fixed: false,
    }
}

const fn reported(name: &'static str, default: &'static str) -> Parameter {
    Parameter {
        reported: true,
        ..parameter(name, default)
    }
}

const fn fixed(name: &'static str, value: &'static str) -> Parameter {
    Parameter {
        fixed: true,
        ..parameter(name, value)
    }
}

const fn fixed_reported(name: &'static str, value: &'static str) -> Parameter {
    Parameter {
        fixed: true,
        ..reported(name, value)
    }
}

/// What clients set or ask for. Those that mean nothing here are kept and shown.
const PARAMETERS: [Parameter; 45] = [
    reported("application_name", ""),
    parameter("bytea_output", "hex"),
    parameter("client_min_messages", "notice"),
    reported("client_encoding", "UTF8"),
    parameter("constraint_exclusion", "partition"),
    parameter("cursor_tuple_fraction", "0.1"),
    reported("DateStyle", "ISO, MDY"),
    parameter("default_text_search_config", "pg_catalog.english"),
    parameter("default_transaction_deferrable", "off"),
    parameter("default_transaction_isolation", "read committed"),
    reported("default_transaction_read_only", "on"),
    parameter("enable_mergejoin", "on"),
    parameter("enable_nestloop", "on"),
    parameter("enable_seqscan", "on"),
    parameter("escape_string_warning", "on"),
    parameter("extra_float_digits", "1"),
    parameter("idle_in_transaction_session_timeout", "0"),
    fixed_reported("in_hot_standby", "off"),
    fixed_reported("integer_datetimes", "on"),
    reported("IntervalStyle", "postgres"),
    fixed_reported("is_superuser", "off"),
    parameter("jit", "off"),
    fixed("lc_collate", "C"),
    fixed("lc_ctype", "C"),
    parameter("lc_messages", "C"),
    parameter("lc_monetary", "C"),
    parameter("lc_numeric", "C"),
    parameter("lc_time", "C"),
    parameter("lock_timeout", "0"),
    fixed("max_identifier_length", "63"),
    fixed("max_index_keys", "32"),
    parameter("quote_all_identifiers", "off"),
    parameter("row_security", "on"),
    parameter("search_path", "\"$user\", public"),
    fixed_reported("server_encoding", "UTF8"),
    fixed_reported("server_version", SERVER_VERSION),
    fixed("server_version_num", SERVER_VERSION_NUM),
    fixed_reported("standard_conforming_strings", "on"),
    parameter("statement_timeout", "0"),
    parameter("synchronize_seqscans", "on"),
    reported("TimeZone", "UTC"),
    parameter("transaction_isolation", "read committed"),
    parameter("transaction_read_only", "on"),
    parameter("work_mem", "4MB"),
    parameter("xmloption", "content"),
];

/// The values of one connection, by lower-case name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    values: BTreeMap<String, String>,
    /// What `RESET` goes back to: the defaults, and what the client said at its start.
    initial: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let values = PARAMETERS.iter().map(|parameter| {
            (
                parameter.name.to_ascii_lowercase(),
                parameter.default.to_owned(),
            )
        });
        let values: BTreeMap<_, _> = values.collect();
        Self {
            initial: values.clone(),
            values,
        }
    }
}

impl Settings {
    /// What a client said when it connected; parameters that are not known here are left out.
    pub(super) fn start<'a>(
        &mut self,
        given: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Failure> {
        for (name, value) in given {
            if find(name).is_some_and(|parameter| !parameter.fixed) {
                self.set(name, value)?;
            }
        }
        self.initial = self.values.clone();
        Ok(())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("datafusion.") {
            return Err(Failure::new(
                "42501",
                format!("permission denied to set parameter \"{name}\": it belongs to the server"),
            ));
        }
        let Some(parameter) = find(&lower) else {
            // As in PostgreSQL, names with a dot are the client's own.
            if lower.contains('.') {
                self.values.insert(lower, value.to_owned());
                return Ok(());
            }
            return Err(unknown(name));
        };
        if parameter.fixed {
            return Err(Failure::new(
                "55P02",
                format!("parameter \"{}\" cannot be changed", parameter.name),
            ));
        }
        let value = checked(parameter, value)?;
        self.values.insert(lower, value);
        Ok(())
    }

    pub(super) fn reset(&mut self, name: &str) -> Result<(), Failure> {
        let lower = name.to_ascii_lowercase();
        match self.initial.get(&lower) {
            Some(value) => {
                self.values.insert(lower, value.clone());
                Ok(())
            }
            None if self.values.remove(&lower).is_some() => Ok(()),
            None => Err(unknown(name)),
        }
    }

    pub(super) fn reset_all(&mut self) {
        self.values = self.initial.clone();
    }

    /// The value, with the name as PostgreSQL writes it.
    pub(super) fn get(&self, name: &str) -> Option<(String, &str)> {
        let lower = name.to_ascii_lowercase();
        let value = self.values.get(&lower)?;
        let shown = find(&lower).map_or(lower, |parameter| parameter.name.to_owned());
        Some((shown, value))
    }

    pub(super) fn show(&self, name: &str) -> Result<(String, &str), Failure> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let values = self.values.iter();
        values.map(|(name, value)| (find(name).map_or(name.as_str(), |p| p.name), value.as_str()))
    }

    /// Names and values of which a client is told.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        PARAMETERS
            .iter()
            .filter(|parameter| parameter.reported)
            .filter_map(|parameter| Some((parameter.name, self.get(parameter.name)?.1)))
    }

    /// How long a statement may take, if the client said so.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let (_, value) = self.get("statement_timeout")?;
        milliseconds(value)
            .filter(|time| *time > 0)
            .map(Duration::from_millis)
    }

    pub(super) fn time_zone(&self) -> &str {
        self.get("timezone").map_or("UTC", |(_, value)| value)
    }

    /// For the text forms of values.
    pub(super) fn formats(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}

fn find(name: &str) -> Option<&'static Parameter> {
    PARAMETERS
        .iter()
        .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> Failure {
    Failure::new(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

/// The value as it is kept; an error where it would be a lie.
fn checked(parameter: &Parameter, value: &str) -> Result<String, Failure> {
    let wrong = |wanted: &str| {
        Failure::new(
            "22023",
            format!(
                "invalid value for parameter \"{}\": \"{value}\"",
                parameter.name
            ),
        )
        .hint(wanted)
    };
    match parameter.name {
        "client_encoding" => match value
            .to_ascii_lowercase()
            .replace(['-', '_', '\''], "")
            .as_str()
        {
            "utf8" | "unicode" | "" | "default" => Ok("UTF8".to_owned()),
            _ => Err(Failure::unsupported(format!(
                "encoding \"{value}\" is not known here: texts are UTF8"
            ))),
        },
        "DateStyle" => {
            let first = value.split(',').next().unwrap_or_default().trim();
            if !first.eq_ignore_ascii_case("iso") {
                return Err(wrong("dates are written in ISO style only"));
            }
            let order = value.split(',').nth(1).map_or("MDY", str::trim);
            Ok(format!("ISO, {}", order.to_ascii_uppercase()))
        }
        "TimeZone" => {
            time_zone(value).ok_or_else(|| wrong("write an IANA name, such as Europe/Berlin"))
        }
        "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => {
            milliseconds(value)
                .map(|_| value.trim().to_owned())
                .ok_or_else(|| wrong("write milliseconds, or a number with ms, s, min or h"))
        }
        "default_transaction_read_only" | "transaction_read_only" => {
            match value.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok("on".to_owned()),
                _ => Err(Failure::read_only("a transaction that writes")),
            }
        }
        "extra_float_digits" => value
            .trim()
            .parse::<i8>()
            .map(|digits| digits.to_string())
            .map_err(|_| wrong("write a number from -15 to 3")),
        _ => Ok(value.to_owned()),
    }
}

/// A zone by its IANA name, whatever its case.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    let value = if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") {
        "UTC"
    } else {
        value
    };
    let zone = TZ_VARIANTS
        .iter()
        .find(|zone| zone.name().eq_ignore_ascii_case(value))?;
    Some(zone.name().to_owned())
}

fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value.get(digits.len()..)?.trim();
    let number: u64 = digits.trim().parse().ok()?;
    let factor = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_where_they_would_be_a_lie() {
        let mut settings = Settings::default();
        settings.set("timezone", "europe/berlin").unwrap();
        assert_eq!(settings.time_zone(), "Europe/Berlin");
        settings.set("statement_timeout", "2s").unwrap();
        assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(2)));
        settings.set("statement_timeout", "0").unwrap();
        assert_eq!(settings.statement_timeout(), None);
        settings.set("my.own", "x").unwrap();
        assert_eq!(settings.show("MY.own").unwrap().1, "x");
        for (name, value, code) in [
            ("timezone", "Mars/Olympus", "22023"),
            ("statement_timeout", "soon", "22023"),
            ("client_encoding", "LATIN1", "0A000"),
            ("datestyle", "German", "22023"),
            ("server_version", "9", "55P02"),
            ("datafusion.execution.batch_size", "1", "42501"),
            ("default_transaction_read_only", "off", "25006"),
            ("no_such", "1", "42704"),
        ] {
            assert_eq!(settings.set(name, value).unwrap_err().code, code, "{name}");
        }
    }

    #[test]
    fn reset_goes_back_to_what_the_client_said_at_its_start() {
        let mut settings = Settings::default();
        let given = [
            ("TimeZone", "Asia/Tokyo"),
            ("_pq_.unknown", "1"),
            ("user", "u"),
        ];
        settings.start(given.into_iter()).unwrap();
        settings.set("timezone", "UTC").unwrap();
        settings.reset("timezone").unwrap();
        assert_eq!(settings.time_zone(), "Asia/Tokyo");
        assert!(
            settings
                .reported()
                .any(|one| one == ("TimeZone", "Asia/Tokyo"))
        );
        assert!(settings.show("user").is_err());
    }
}
