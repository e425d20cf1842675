//! Values of flags that are more than text.

use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;
use clap::ValueEnum;

use crate::settings;

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// An object a line
    Json,
}

/// `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameValue {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for NameValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(format!("write it as name=value; found `{text}`")),
        }
    }
}

/// A calendar day.
pub(crate) fn date(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|_| format!("write a day as YYYY-MM-DD, such as 2024-03-04; found `{text}`"))
}

/// A span of time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("write a time with its unit, such as 30s, 15m or 2h; found `{text}`"))
}

/// Bytes with their unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    settings::size(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("write a size with its unit, such as 64 MiB; found `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_equals_sign_splits() {
        let parsed: NameValue = "t=/data/a=b.parquet".parse().unwrap();
        assert_eq!(
            (parsed.name.as_str(), parsed.value.as_str()),
            ("t", "/data/a=b.parquet")
        );
        assert!("=x".parse::<NameValue>().is_err());
        assert!("x".parse::<NameValue>().is_err());
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        assert!(date("2024-02-29").is_ok());
        assert!(date("2023-02-29").is_err());
        assert!(date("04.03.2024").is_err());
    }

    #[test]
    fn a_size_without_unit_and_nothing_are_refused() {
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        assert!(size("64").is_err());
        assert!(size("0 MiB").is_err());
    }

    #[test]
    fn a_span_without_unit_is_refused() {
        assert_eq!(duration("90s").unwrap(), Duration::from_secs(90));
        assert!(duration("90").is_err());
    }
}
