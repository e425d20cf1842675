//! One section of the file, read key by key.
//!
//! Typed reading by hand instead of a derived deserialiser, because the message has to name the
//! key, what was found and what to write, and a key that nobody asked for must be an error.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use crate::error::ConfigError;

/// Values of one `[section]`, and which of its keys were asked for.
pub(crate) struct Section<'a> {
    name: &'a str,
    table: Option<&'a Table>,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// The section `name` of the file; an absent section has every default.
    pub(crate) fn of(file: &'a Table, name: &'a str) -> Result<Self, ConfigError> {
        let table = match file.get(name) {
            None => None,
            Some(Value::Table(table)) => Some(table),
            Some(other) => {
                return Err(ConfigError::new(
                    name,
                    found(other),
                    format!("write a section: [{name}]"),
                ));
            }
        };
        Ok(Self {
            name,
            table,
            known: BTreeSet::new(),
        })
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.insert(key);
        self.table.and_then(|table| table.get(key))
    }

    /// An error about one key of this section.
    pub(crate) fn error(
        &self,
        key: &str,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        ConfigError::new(format!("{}.{key}", self.name), found, hint)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.error(
                key,
                found(other),
                format!("write text in quotes: {key} = \"…\""),
            )),
        }
    }

    pub(crate) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let hint = format!("write a list of texts: {key} = [\"…\", \"…\"]");
        let Value::Array(items) = value else {
            return Err(self.error(key, found(value), hint));
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(text) => texts.push(text.clone()),
                other => return Err(self.error(key, found(other), hint)),
            }
        }
        Ok(Some(texts))
    }

    pub(crate) fn count(
        &mut self,
        key: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let hint = format!(
            "write a whole number from {} to {}",
            range.start(),
            range.end()
        );
        match self.value(key) {
            None => Ok(default),
            Some(Value::Integer(number)) => u64::try_from(*number)
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| self.error(key, number.to_string(), hint)),
            Some(other) => Err(self.error(key, found(other), hint)),
        }
    }

    /// A duration such as `"30s"`; `"off"` is not known here.
    pub(crate) fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let hint = format!("write a duration with its unit, such as {key} = \"30s\" or \"2h\"");
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => humantime::parse_duration(text)
                .map(Some)
                .map_err(|_| self.error(key, format!("\"{text}\""), hint)),
            Some(other) => Err(self.error(key, found(other), hint)),
        }
    }

    /// A size such as `"128 MiB"`.
    pub(crate) fn size(&mut self, key: &'static str, default: u64) -> Result<u64, ConfigError> {
        let hint = format!("write a size with its unit, such as {key} = \"128 MiB\"");
        match self.value(key) {
            None => Ok(default),
            Some(Value::String(text)) => {
                parse_size(text).ok_or_else(|| self.error(key, format!("\"{text}\""), hint))
            }
            Some(other) => Err(self.error(key, found(other), hint)),
        }
    }

    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(other) => Err(self.error(
                key,
                found(other),
                format!("write {key} = true or {key} = false"),
            )),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(text) = self.text(key)? else {
            return Ok(default);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => {
                let choice: Vec<String> = words
                    .iter()
                    .map(|(word, _)| format!("\"{word}\""))
                    .collect();
                Err(self.error(
                    key,
                    format!("\"{text}\""),
                    format!("write one of {}", choice.join(", ")),
                ))
            }
        }
    }

    /// A table inside the section.
    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<&'a Table>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => Err(self.error(
                key,
                found(other),
                format!("write a section: [{}.{key}]", self.name),
            )),
        }
    }

    /// Refuses every key that was not asked for.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let Some(table) = self.table else {
            return Ok(());
        };
        for (key, value) in table {
            if !self.known.contains(key.as_str()) {
                let known: Vec<&str> = self.known.iter().copied().collect();
                return Err(self.error(
                    key,
                    format!("{}, and no setting has this name", found(value)),
                    format!("[{}] knows {}", self.name, known.join(", ")),
                ));
            }
        }
        Ok(())
    }
}

/// A value in words, for messages. Texts are shortened: they may be secrets typed at a wrong key.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        Value::String(text) => format!("the text \"{text}\""),
        Value::Integer(number) => format!("the bare number {number}"),
        Value::Float(number) => format!("the bare number {number}"),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// Bytes in `"128 MiB"`, `"64KB"`, `"1 GiB"`, `"512 B"`; `None` without a unit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let factor: u64 = match text[split..].trim() {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}
