//! The definition of a funnel over a table: its own key and time, and every option of the matcher.

mod parts;

use std::path::Path;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use funnel_match::{Action, Bound, Count, Entry, Exclusion, Mode, Options, Reuse};
use serde::Deserialize;

use self::parts::{RawExclusion, RawStep};
use crate::funnel::definition::{DefinitionError, Place};
use crate::funnel::{OptionError, Window};

/// A funnel over any table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFunnel {
    pub name: String,
    pub question: String,
    pub source: Source,
    /// SQL predicate; rows for which it is false or NULL take no part.
    pub where_sql: Option<String>,
    pub mode: Mode,
    pub window: Option<Span>,
    pub entry: Entry,
    pub count: Count,
    pub reuse: Reuse,
    pub bound: Bound,
    pub as_of: Option<Instant>,
    /// Expressions whose values must be equal over a chain.
    pub hold: Vec<String>,
    pub breakdown: Breakdown,
    pub period: Option<Period>,
    pub steps: Vec<TableStep>,
    pub exclusions: Vec<TableExclusion>,
}

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the table.
    pub table: String,
    /// SQL expression: what is counted, such as the visitor.
    pub key: String,
    /// SQL expression: a TIMESTAMP of any unit, a DATE, or an integer.
    pub time: String,
    /// SQL expression: rows of one key with the same id are one row.
    pub event_id: Option<String>,
    /// SQL expression: the order of rows of the same time.
    pub sequence: Option<String>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStep {
    pub name: String,
    pub title: String,
    /// SQL predicate; NULL counts as false.
    pub when: String,
    /// May a chain lack it?
    pub optional: bool,
    /// The longest time since the step before.
    pub max_gap: Option<Span>,
}

/// Rows that must not come between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableExclusion {
    pub name: String,
    /// SQL predicate; NULL counts as false.
    pub when: String,
    /// Steps, counted from 0, and what becomes of the key.
    pub rule: Exclusion,
}

/// A length of time: with a unit for times, a bare number for integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// In the unit of an integer time column.
    Number(u64),
    /// With a unit of its own, or unbounded.
    Time(Window),
}

impl FromStr for Span {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        match text.trim().parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => text.parse().map(Self::Time),
        }
    }
}

/// A point in time: RFC 3339, or a bare number for integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instant {
    Number(i64),
    Time(DateTime<Utc>),
}

impl FromStr for Instant {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| OptionError {
            what: "point in time",
            found: text.to_owned(),
            choices: "a time such as 2024-03-04T12:00:00Z, or a number where time is an integer",
        })?;
        Ok(Self::Time(time.to_utc()))
    }
}

/// The groups that are counted apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// SQL expressions.
    pub by: Vec<String>,
    pub attribution: Touch,
}

/// Which row of a key gives it its breakdown value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Touch {
    /// The first row of a step with a value.
    #[default]
    First,
    /// The last row of a step with a value.
    Last,
    /// The row that reached this step, counted from one; keys that did not reach it have no value.
    Step(usize),
    /// Each value is a funnel of its own, over the rows that have it.
    All,
}

impl FromStr for Touch {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let lower = text.trim().to_ascii_lowercase();
        let step = lower.strip_prefix("step").map(str::trim);
        match (lower.as_str(), step.and_then(|step| step.parse().ok())) {
            ("first", _) => Ok(Self::First),
            ("last", _) => Ok(Self::Last),
            ("all", _) => Ok(Self::All),
            (_, Some(step)) if step > 0 => Ok(Self::Step(step)),
            _ => Err(OptionError {
                what: "breakdown attribution",
                found: text.to_owned(),
                choices: "first, last, all, or a step such as `step 2`",
            }),
        }
    }
}

/// Keys are counted apart by the period in which their chain began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub every: Every,
    pub zone: chrono_tz::Tz,
}

/// The length of a period, in the calendar of its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Day,
    /// From Monday.
    Week,
    Month,
}

impl Every {
    /// The first day of the period in which `day` lies.
    pub fn beginning(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => Some(day),
            Self::Week => {
                day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
            }
            Self::Month => day.with_day(1),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    question: Option<String>,
    source: Source,
    #[serde(rename = "where")]
    where_sql: Option<String>,
    mode: Option<String>,
    window: Option<Scalar>,
    window_bound: Option<String>,
    entry: Option<String>,
    count: Option<String>,
    reuse: Option<String>,
    as_of: Option<Scalar>,
    #[serde(default)]
    hold: Vec<String>,
    breakdown: Option<RawBreakdown>,
    period: Option<RawPeriod>,
    #[serde(default)]
    steps: Vec<RawStep>,
    #[serde(default)]
    exclusions: Vec<RawExclusion>,
}

/// A text, or a number where time is an integer.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text such as \"30 minutes\", or a whole number of at most 2^63 - 1"
)]
enum Scalar {
    Number(i64),
    Text(String),
    Time(toml::value::Datetime),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Time(time) => time.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBreakdown {
    by: Vec<String>,
    attribution: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPeriod {
    every: Every,
    zone: Option<String>,
}

impl TableFunnel {
    /// Reads a definition from a file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a valid definition.
    pub fn from_file(path: &Path) -> Result<Self, DefinitionError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| DefinitionError::Read {
            path: file.clone(),
            source,
        })?;
        Self::parse(&file, &text)
    }

    /// Parses and validates; `file` only names the text in errors.
    ///
    /// # Errors
    /// The first problem found, with file, key and what to write.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let raw: Raw = toml::from_str(text).map_err(|source| DefinitionError::Syntax {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        validate(&Place { file }, raw)
    }

    /// What the matcher needs to know beyond mode, steps and window.
    pub(crate) fn options(&self, as_of: Option<i64>, max_gap: Vec<Option<u64>>) -> Options {
        let optional = self.steps.iter().enumerate();
        let optional = optional.filter(|(_, step)| step.optional);
        Options {
            entry: self.entry,
            count: self.count,
            max_gap,
            reuse: self.reuse,
            bound: self.bound,
            as_of,
            exclusions: self.exclusions.iter().map(|one| one.rule).collect(),
            optional: optional.fold(0, |mask, (step, _)| mask | 1 << step),
        }
    }

    /// The limits from each step to the next, `length` being the time of one; none if there are none.
    pub(crate) fn gaps<T, E>(
        &self,
        length: impl Fn(&str, Span) -> Result<Option<T>, E>,
    ) -> Result<Vec<Option<T>>, E> {
        if self.steps.iter().all(|step| step.max_gap.is_none()) {
            return Ok(Vec::new());
        }
        let gaps = self.steps.iter().enumerate().skip(1);
        let gap = |(index, step): (usize, &TableStep)| match step.max_gap {
            None => Ok(None),
            Some(gap) => length(&format!("steps[{index}].max_gap"), gap),
        };
        gaps.map(gap).collect()
    }
}

const SQL_HINT: &str = "write a SQL expression over the columns of the table";
const WINDOW_HINT: &str = "write a number with a unit such as \"30 minutes\" or \"31 days\", \
     \"unbounded\", or a bare number where time is an integer";

fn validate(place: &Place<'_>, raw: Raw) -> Result<TableFunnel, DefinitionError> {
    place.name("name", &raw.name)?;
    let source = &raw.source;
    place.text(
        "source.table",
        &source.table,
        "write the name that --table gives it",
    )?;
    let expressions = [
        ("source.key", Some(&source.key)),
        ("source.time", Some(&source.time)),
        ("source.event_id", source.event_id.as_ref()),
        ("source.sequence", source.sequence.as_ref()),
        ("where", raw.where_sql.as_ref()),
    ];
    for (key, text) in expressions {
        if let Some(text) = text {
            place.text(key, text, SQL_HINT)?;
        }
    }
    for text in &raw.hold {
        place.text("hold", text, SQL_HINT)?;
    }
    let mode = match &raw.mode {
        None => Mode::Ordered,
        Some(text) if text.chars().any(char::is_uppercase) => {
            let hint = format!("write \"{}\"", text.to_lowercase());
            return Err(place.invalid("mode", format!("`{text}` has capitals"), &hint));
        }
        Some(text) => parsed(place, "mode", text, "write a mode such as \"ordered\"")?,
    };
    let window = raw.window.as_ref().map(Scalar::text);
    let window = window.map(|text| parsed(place, "window", &text, WINDOW_HINT));
    let as_of = raw.as_of.as_ref().map(Scalar::text);
    let as_of = as_of.map(|text| parsed(place, "as_of", &text, "write one of these"));
    let steps = parts::steps(place, raw.steps, mode)?;
    let exclusions = parts::exclusions(place, raw.exclusions, &steps)?;
    let breakdown = raw.breakdown.map(|raw| breakdown(place, raw, steps.len()));
    let funnel = TableFunnel {
        question: raw.question.unwrap_or_default(),
        name: raw.name,
        source: raw.source,
        where_sql: raw.where_sql,
        mode,
        window: window.transpose()?,
        entry: one_of(place, "entry", raw.entry, &ENTRIES)?,
        count: one_of(place, "count", raw.count, &COUNTS)?,
        reuse: one_of(place, "reuse", raw.reuse, &REUSES)?,
        bound: one_of(place, "window_bound", raw.window_bound, &BOUNDS)?,
        as_of: as_of.transpose()?,
        hold: raw.hold,
        breakdown: breakdown.transpose()?.unwrap_or_default(),
        period: raw.period.map(|raw| period(place, &raw)).transpose()?,
        steps,
        exclusions,
    };
    parts::check(place, &funnel)?;
    Ok(funnel)
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(
    place: &Place<'_>,
    key: &str,
    text: &str,
    hint: &str,
) -> Result<T, DefinitionError> {
    let invalid = |problem: T::Err| place.invalid(key, problem.to_string(), hint);
    text.parse().map_err(invalid)
}

const ENTRIES: [(&str, Entry); 3] = [
    ("latest", Entry::Latest),
    ("first", Entry::First),
    ("earliest_longest", Entry::EarliestLongest),
];
const COUNTS: [(&str, Count); 3] = [
    ("unique", Count::Unique),
    ("attempts", Count::Attempts),
    ("completions", Count::Completions),
];
const REUSES: [(&str, Reuse); 2] = [("row_once", Reuse::RowOnce), ("row_many", Reuse::RowMany)];
const BOUNDS: [(&str, Bound); 2] = [
    ("inclusive", Bound::Inclusive),
    ("exclusive", Bound::Exclusive),
];
const ACTIONS: [(&str, Action); 2] = [("drop", Action::Drop), ("stop", Action::Stop)];

/// The choice of this name; without a name the default.
fn one_of<T: Copy + Default>(
    place: &Place<'_>,
    key: &str,
    name: Option<String>,
    choices: &[(&str, T)],
) -> Result<T, DefinitionError> {
    let Some(name) = name else {
        return Ok(T::default());
    };
    let chosen = choices.iter().find(|(choice, _)| *choice == name);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let problem = format!("`{name}` is none of the choices");
        place.invalid(key, problem, &format!("write {}", names.join(" or ")))
    })
}

fn breakdown(
    place: &Place<'_>,
    raw: RawBreakdown,
    steps: usize,
) -> Result<Breakdown, DefinitionError> {
    for text in &raw.by {
        place.text("breakdown.by", text, SQL_HINT)?;
    }
    let key = "breakdown.attribution";
    let attribution = raw.attribution.as_deref();
    let attribution = attribution.map(|text| parsed(place, key, text, "write one of these"));
    let attribution = attribution.transpose()?.unwrap_or_default();
    match attribution {
        Touch::Step(step) if step > steps => {
            let problem = format!("there is no step {step}");
            Err(place.invalid(key, problem, "name one of the steps, counted from 1"))
        }
        _ => Ok(Breakdown {
            by: raw.by,
            attribution,
        }),
    }
}

fn period(place: &Place<'_>, raw: &RawPeriod) -> Result<Period, DefinitionError> {
    let zone = raw.zone.as_deref().unwrap_or("UTC");
    let zone = zone.parse().map_err(|_| {
        let problem = format!("`{zone}` is not a time zone");
        place.invalid(
            "period.zone",
            problem,
            "write an IANA name such as \"Europe/Berlin\"",
        )
    })?;
    Ok(Period {
        every: raw.every,
        zone,
    })
}
