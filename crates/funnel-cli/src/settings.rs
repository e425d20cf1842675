//! The configuration in effect: flag, then environment, then file, then default; each value
//! remembers where it came from.

mod file;
mod keys;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::env_vars;
use crate::error::{CliError, Result};

pub(crate) use keys::size;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(String),
    File { file: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What the command line says; `None` where it is silent.
#[derive(Debug, Default, Clone)]
pub(crate) struct Overrides {
    /// The configuration file, by flag or environment.
    pub(crate) config: Option<PathBuf>,
    /// Values that win over the file, with their origin.
    pub(crate) values: Vec<(&'static str, String, Origin)>,
}

/// All values in effect.
#[derive(Debug)]
pub(crate) struct Settings {
    file: Option<PathBuf>,
    values: BTreeMap<String, Setting>,
}

#[derive(Debug, Clone)]
struct Setting {
    value: toml::Value,
    origin: Origin,
}

/// A row of `funnel config show`.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) origin: String,
}

impl Settings {
    /// Reads every source; all problems of all of them are reported at once.
    pub(crate) fn load(overrides: &Overrides) -> Result<Self> {
        let file = overrides.config.clone().or_else(find_file);
        let mut settings = Self {
            file: file.clone(),
            values: defaults(),
        };
        let mut problems = Vec::new();
        if let Some(path) = &file {
            for found in file::read(path, &mut problems)? {
                let origin = Origin::File {
                    file: path.clone(),
                    line: found.line,
                };
                settings.values.insert(
                    found.path,
                    Setting {
                        value: found.value,
                        origin,
                    },
                );
            }
        }
        for (path, name, text) in env_vars::configuration_keys() {
            settings.set_text(&path, &text, Origin::Environment(name), &mut problems);
        }
        for (path, text, origin) in &overrides.values {
            settings.set_text(path, text, origin.clone(), &mut problems);
        }
        if problems.is_empty() {
            return Ok(settings);
        }
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| format!("  {problem}"))
            .collect();
        Err(CliError::config(format!(
            "the configuration is invalid\n{}",
            lines.join("\n")
        )))
    }

    /// The file that was read.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The lake, or how to name one.
    pub(crate) fn lake(&self) -> Result<&str> {
        self.text("lake.url").ok_or_else(|| {
            CliError::usage("no lake is named").hint(format!(
                "use --lake DIR, set {}, or write url = \"DIR\" under [lake] in the configuration",
                env_vars::LAKE
            ))
        })
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.values.get(path)?.value.as_str()
    }

    /// Where the value of a key came from.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        self.values.get(path).map(|setting| &setting.origin)
    }

    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        keys::size(self.text(path)?)
    }

    pub(crate) fn count(&self, path: &str) -> Option<i64> {
        self.values.get(path)?.value.as_integer()
    }

    fn flag(&self, path: &str) -> Option<bool> {
        self.values.get(path)?.value.as_bool()
    }

    pub(crate) fn span(&self, path: &str) -> Option<Duration> {
        keys::span(self.text(path)?)
    }

    /// Time zones by account.
    pub(crate) fn time_zones(&self) -> BTreeMap<String, String> {
        self.values
            .iter()
            .filter_map(|(path, setting)| {
                let account = path.strip_prefix("accounts.")?.strip_suffix(".time_zone")?;
                Some((account.to_owned(), setting.value.as_str()?.to_owned()))
            })
            .collect()
    }

    /// One section as the table that its owner parses: what is set, without the defaults.
    pub(crate) fn section(&self, name: &str) -> toml::Table {
        let mut table = toml::Table::new();
        let prefix = format!("{name}.");
        for (path, setting) in &self.values {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            if setting.origin == Origin::Default {
                continue;
            }
            // An option of librdkafka has dots in its name; everything else nests.
            let parts: Vec<&str> = match rest.split_once('.') {
                Some(("options", option)) if name == "kafka" => vec!["options", option],
                _ => rest.split('.').collect(),
            };
            insert(&mut table, &parts, setting.value.clone());
        }
        table
    }

    /// Every value with its origin, secrets masked, in the order of the file's sections.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let rank = |path: &str| keys::KEYS.iter().position(|key| key.matches(path));
        let mut rows: Vec<_> = self
            .values
            .iter()
            .map(|(path, setting)| {
                let secret = file::find(path).is_some_and(|key| key.is_secret(path));
                let value = match &setting.value {
                    _ if secret => "***".to_owned(),
                    toml::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let origin = setting.origin.to_string();
                (
                    rank(path),
                    Shown {
                        key: path.clone(),
                        value,
                        origin,
                    },
                )
            })
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.key.cmp(&b.1.key)));
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn set_text(
        &mut self,
        path: &str,
        text: &str,
        origin: Origin,
        problems: &mut Vec<file::Problem>,
    ) {
        let value = file::find(path).map_or_else(
            || toml::Value::String(text.to_owned()),
            |key| key.value_of(text),
        );
        match file::check(path, &value) {
            Ok(()) => {
                self.values
                    .insert(path.to_owned(), Setting { value, origin });
            }
            Err(text) => problems.push(file::Problem {
                place: origin.to_string(),
                text,
            }),
        }
    }
}

fn defaults() -> BTreeMap<String, Setting> {
    keys::KEYS
        .iter()
        .filter_map(|key| {
            let value = key.value_of(key.default?);
            Some((
                key.path.to_owned(),
                Setting {
                    value,
                    origin: Origin::Default,
                },
            ))
        })
        .collect()
}

fn find_file() -> Option<PathBuf> {
    let here = PathBuf::from("funnel.toml");
    let users = || Some(env_vars::user_config_dir()?.join("config.toml"));
    if here.is_file() {
        Some(here)
    } else {
        users().filter(|path| path.is_file())
    }
}

fn insert(table: &mut toml::Table, parts: &[&str], value: toml::Value) {
    match parts {
        [] => {}
        [name] => {
            table.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let inner = table
                .entry((*name).to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, values: Vec<(&'static str, String, Origin)>) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("funnel.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(&Overrides {
            config: Some(path),
            values,
        })
    }

    #[test]
    fn the_example_names_every_key_with_its_default() {
        let mut example = crate::args::EXAMPLE_CONFIG.replace("\n# consumer", "\nconsumer");
        example = example
            .replace("\n# max_age", "\nmax_age")
            .replace("\n# future", "\nfuture")
            .replace("\n# tokens", "\ntokens")
            .replace("\n# funnels", "\nfunnels")
            .replace("\n# tls_", "\ntls_");
        for name in [
            "endpoint",
            "region",
            "access_key",
            "secret_",
            "session_",
            "allow_",
            "virtual_",
        ] {
            example = example.replace(&format!("\n# {name}"), &format!("\n{name}"));
        }
        let found = settings(&example, vec![]).unwrap();
        for key in keys::KEYS {
            let special = [
                "consumer_hash_key",
                "instances",
                "ordinal",
                "s3.secret_access_key",
            ];
            if special.iter().any(|name| key.path.ends_with(name)) {
                continue;
            }
            let value = found
                .values
                .iter()
                .find(|(path, setting)| key.matches(path) && setting.origin != Origin::Default);
            let (_, setting) = value.unwrap_or_else(|| panic!("{} is missing", key.path));
            if let Some(default) = key.default {
                assert_eq!(setting.value, key.value_of(default), "{}", key.path);
            }
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_is_named_as_origin() {
        let flag = ("lake.url", "flag-lake".to_owned(), Origin::Flag("--lake"));
        let found = settings("[lake]\nurl = \"file-lake\"\n", vec![flag]).unwrap();
        assert_eq!(found.lake().unwrap(), "flag-lake");
        let row = found
            .shown()
            .into_iter()
            .find(|row| row.key == "lake.url")
            .unwrap();
        assert_eq!(row.origin, "flag --lake");
    }

    #[test]
    fn sections_nest_and_keep_the_dots_of_options() {
        let text = "[kafka.options]\n\"security.protocol\" = \"ssl\"\n\
                    [dedup]\nmax_ids = 10\n";
        let found = settings(text, vec![]).unwrap();
        assert_eq!(
            found.section("kafka")["options"]["security.protocol"].as_str(),
            Some("ssl")
        );
        assert_eq!(found.section("dedup")["max_ids"].as_integer(), Some(10));
        // Defaults are left to the section's owner.
        assert!(found.section("ingest").is_empty());
    }

    #[test]
    fn secrets_are_masked() {
        let text = "[privacy]\nconsumer_hash_key = \"hush\"\n\
                    [kafka.options]\n\"sasl.password\" = \"hush\"\n\
                    [lake.s3]\nsecret_access_key = \"hush\"\nsession_token = \"hush\"\n";
        let found = settings(text, vec![]).unwrap();
        assert_eq!(
            found
                .shown()
                .iter()
                .filter(|row| row.value == "***")
                .count(),
            4
        );
        assert!(found.shown().iter().all(|row| row.value != "hush"));
    }

    #[test]
    fn without_a_lake_the_message_says_how_to_name_one() {
        let error = settings("", vec![]).unwrap().lake().unwrap_err().render();
        for way in ["--lake", "FUNNEL_LAKE", "[lake]"] {
            assert!(error.contains(way), "{error}");
        }
    }
}
