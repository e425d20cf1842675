//! The configuration file as flat keys with their lines, and the messages when it is wrong.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind};
use crate::error::{CliError, Result};

/// One value of the file.
#[derive(Debug)]
pub(super) struct FileValue {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) value: toml::Value,
}

/// Something wrong with one key: where, which, what was found, and what to write.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) place: String,
    pub(super) text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Reads a file; all its problems are collected.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> Result<Vec<FileValue>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::config(format!(
            "could not read the configuration file `{}`",
            path.display()
        ))
        .because(error)
        .hint("name it with --config FILE, or write one: `funnel help config`")
    })?;
    parse(path, &text, problems)
}

fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Result<Vec<FileValue>> {
    let syntax = |error: toml::de::Error| {
        CliError::config(format!("could not parse `{}` as TOML", path.display()))
            .because(CliError::config(error.to_string().trim_end().to_owned()))
    };
    let spans = DeTable::parse(text).map_err(syntax)?;
    let table: toml::Table = toml::from_str(text).map_err(syntax)?;
    let mut flat = Flat {
        file: path.to_owned(),
        text,
        found: Vec::new(),
    };
    flat.table("", spans.get_ref(), &table);
    let mut good = Vec::with_capacity(flat.found.len());
    for mut value in flat.found {
        let place = format!("{}:{}", path.display(), value.line);
        value.path = canonical(value.path);
        match check(&value.path, &value.value) {
            Ok(()) => good.push(value),
            Err(text) => problems.push(Problem { place, text }),
        }
    }
    Ok(good)
}

/// `Ok`, or what is wrong with this key and value.
pub(super) fn check(path: &str, value: &toml::Value) -> Result<(), String> {
    let Some(key) = find(path) else {
        return Err(unknown(path));
    };
    match key.problem(value) {
        None => Ok(()),
        Some(wanted) => {
            let found = if key.is_secret(path) {
                format!("found a {}", value.type_str())
            } else {
                format!("found {}", shown(value))
            };
            let bare = matches!(key.kind, Kind::Size | Kind::Span) && value.is_integer();
            let why = if bare {
                ", a number without a unit"
            } else {
                ""
            };
            Err(format!("key `{path}`: {found}{why}; write {wanted}"))
        }
    }
}

/// The key that a dotted path names.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.matches(path))
}

/// `timezone` is accepted for `time_zone`.
fn canonical(path: String) -> String {
    match path.strip_suffix(".timezone") {
        Some(account) if account.starts_with("accounts.") => format!("{account}.time_zone"),
        _ => path,
    }
}

/// The message for a key that does not exist.
fn unknown(path: &str) -> String {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let sections = sections();
    let top = path.split('.').next().unwrap_or(path);
    if !sections.contains(&top) {
        let what = format!("key `{path}`: there is no section `[{top}]`");
        return match nearest(top, sections.iter().copied()) {
            Some(near) => format!("{what}; did you mean `[{near}]`?"),
            None => format!("{what}; write one of {}", sections.join(", ")),
        };
    }
    let siblings = siblings(section);
    let what = format!("key `{path}`: there is no `{name}` in `[{section}]`");
    match nearest(name, siblings.iter().copied()) {
        Some(near) => format!("{what}; did you mean `{near}`?"),
        None if siblings.is_empty() => format!("{what}; remove it"),
        None => format!("{what}; write one of {}", siblings.join(", ")),
    }
}

fn sections() -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS
        .iter()
        .filter_map(|key| key.path.split('.').next())
        .collect();
    names.dedup();
    names
}

/// Names that may stand directly in this section.
fn siblings(section: &str) -> Vec<&'static str> {
    let depth = if section.is_empty() {
        0
    } else {
        section.split('.').count()
    };
    let mut names: Vec<_> = KEYS
        .iter()
        .filter(|key| {
            let parts: Vec<_> = key.path.split('.').collect();
            parts.len() > depth
                && section
                    .split('.')
                    .filter(|part| !part.is_empty())
                    .zip(&parts)
                    .all(|(name, part)| *part == "*" || name == *part)
        })
        .filter_map(|key| key.path.split('.').nth(depth))
        .filter(|name| *name != "*")
        .collect();
    names.dedup();
    names
}

fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    among
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn shown(value: &toml::Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONGEST {
        return format!("`{text}`");
    }
    format!("`{}…`", text.chars().take(LONGEST).collect::<String>())
}

struct Flat<'a> {
    file: PathBuf,
    text: &'a str,
    found: Vec<FileValue>,
}

impl Flat<'_> {
    fn table(&mut self, prefix: &str, spans: &DeTable<'_>, table: &toml::Table) {
        for (name, spanned) in spans {
            let Some(value) = table.get(name.get_ref().as_ref()) else {
                continue;
            };
            let path = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            match (spanned.get_ref(), value) {
                // Only where the path is not a key itself: a table given for a key is reported as such.
                (DeValue::Table(inner), toml::Value::Table(values)) if !is_leaf(&path) => {
                    self.table(&path, inner, values);
                }
                _ => {
                    let line = self.line(name.span().start);
                    self.found.push(FileValue {
                        path,
                        line,
                        value: value.clone(),
                    });
                }
            }
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

impl fmt::Debug for Flat<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flat")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn is_leaf(path: &str) -> bool {
    find(path).is_some() && !path.starts_with("kafka.options.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        parse(Path::new("funnel.toml"), text, &mut problems).unwrap();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
        assert_eq!(
            problems("[kafka]\nbrokers = \"a:1\"\n\n[ingest]\nflush_row = 5\n"),
            [
                "funnel.toml:5: key `ingest.flush_row`: there is no `flush_row` in `[ingest]`; \
              did you mean `flush_rows`?"
            ]
        );
    }

    #[test]
    fn a_misspelt_section_is_named() {
        assert_eq!(
            problems("[kafak]\nbrokers = \"a:1\"\n"),
            [
                "funnel.toml:2: key `kafak.brokers`: there is no section `[kafak]`; \
              did you mean `[kafka]`?"
            ]
        );
    }

    #[test]
    fn a_bare_number_for_a_span_is_refused_with_what_to_write() {
        assert_eq!(
            problems("[ingest]\nflush_age = 30\n"),
            [
                "funnel.toml:2: key `ingest.flush_age`: found `30`, a number without a unit; \
              write a time with its unit, such as \"10s\""
            ]
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        assert_eq!(
            problems("[ingest]\nflush_rows = 0\nstart_from = \"begin\"\n[http]\nlisten = 80\n")
                .len(),
            3
        );
    }

    #[test]
    fn nested_tables_options_with_dots_and_accounts_are_read() {
        let mut none = Vec::new();
        let text = "[dedup]\nage = \"1h\"\n[kafka.options]\n\
                    \"security.protocol\" = \"ssl\"\nsasl.mechanism = \"PLAIN\"\n\
                    [accounts.123]\ntimezone = \"Asia/Tokyo\"\n";
        let found = parse(Path::new("f"), text, &mut none).unwrap();
        let mut paths: Vec<_> = found.iter().map(|value| value.path.as_str()).collect();
        paths.sort_unstable();
        assert!(none.is_empty(), "{none:?}");
        assert_eq!(
            paths,
            [
                "accounts.123.time_zone",
                "dedup.age",
                "kafka.options.sasl.mechanism",
                "kafka.options.security.protocol"
            ]
        );
    }

    #[test]
    fn a_table_where_a_value_belongs_is_refused() {
        let found = problems("[kafka.brokers]\nhost = \"a\"\n");
        assert!(found[0].contains("key `kafka.brokers`: found"), "{found:?}");
    }

    #[test]
    fn a_secret_of_the_wrong_kind_is_not_printed() {
        let found = problems("[privacy]\nconsumer_hash_key = 4711\n");
        assert!(!found[0].contains("4711"), "{found:?}");
    }
}
