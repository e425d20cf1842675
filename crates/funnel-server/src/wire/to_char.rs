//! `to_char(time, pattern)` with PostgreSQL's patterns. A pattern with `%` is one of DataFusion's own function.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use datafusion::common::{ScalarValue, exec_err, not_impl_err, plan_err};
use datafusion::error::Result;
use datafusion::functions::datetime;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ToChar {
    signature: Signature,
}

impl ToChar {
    pub(super) fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &'static str {
        "to_char"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(
                DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null,
            ) => Ok(DataType::Utf8),
            Some(other) if other.is_numeric() || matches!(other, DataType::Interval(_)) => {
                not_impl_err!("to_char of {other} is not known here; it takes a time and a pattern")
            }
            _ => plan_err!(
                "to_char takes a time and a pattern, such as to_char(event_time, 'YYYY-MM-DD')"
            ),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, patterns] = arguments.args.as_slice() else {
            return exec_err!("to_char takes a time and a pattern");
        };
        let is_own = |pattern: &ColumnarValue| match pattern {
            ColumnarValue::Scalar(value) => value
                .try_as_str()
                .flatten()
                .is_some_and(|text| text.contains('%')),
            ColumnarValue::Array(_) => false,
        };
        if is_own(patterns) {
            return datetime::to_char().inner().invoke_with_args(arguments);
        }
        let is_one = matches!(
            (times, patterns),
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_))
        );
        let rows = if is_one { 1 } else { arguments.number_rows };
        let (times, patterns) = (times.to_array(rows)?, patterns.to_array(rows)?);
        let array: ArrayRef = Arc::new(texts(&times, &patterns)?);
        if is_one {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &array, 0,
            )?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn texts(times: &ArrayRef, patterns: &ArrayRef) -> Result<StringArray> {
    let zone = match times.data_type() {
        DataType::Timestamp(_, Some(zone)) => zone.parse::<Tz>().unwrap_or(Tz::UTC),
        _ => Tz::UTC,
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let times = match times.data_type() {
        DataType::Timestamp(_, Some(_)) => cast(times, &utc)?,
        _ => cast(times, &micros)?,
    };
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let patterns = cast(patterns, &DataType::Utf8)?;
    let patterns = patterns.as_string::<i32>();
    let mut known: Option<(&str, Vec<Part>)> = None;
    let mut texts = Vec::with_capacity(times.len());
    for (time, pattern) in times.iter().zip(patterns) {
        let (Some(time), Some(pattern)) = (
            time.and_then(DateTime::<Utc>::from_timestamp_micros),
            pattern,
        ) else {
            texts.push(None);
            continue;
        };
        if known.as_ref().is_none_or(|(text, _)| *text != pattern) {
            known = Some((pattern, parts(pattern)));
        }
        let local = zone.from_utc_datetime(&time.naive_utc());
        let offset = local.offset().fix().local_minus_utc();
        let at = At {
            time: local.naive_local(),
            offset,
            zone: local.format("%Z").to_string(),
        };
        texts.push(known.as_ref().map(|(_, parts)| at.text(parts)));
    }
    Ok(texts.into_iter().collect())
}

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field {
        field: &'static str,
        /// As it stands in the pattern: its case is that of the word that is written.
        written: String,
        /// Without zeros and spaces that fill up.
        bare: bool,
        /// `TH` or `th` follows.
        ordinal: Option<String>,
    },
}

/// Fields of a pattern, longer ones first.
const FIELDS: [&str; 47] = [
    "SSSSS", "Y,YYY", "MONTH", "HH24", "HH12", "A.D.", "B.C.", "A.M.", "P.M.", "YYYY", "IYYY",
    "SSSS", "IDDD", "MON", "DAY", "DDD", "YYY", "IYY", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
    "TZH", "TZM", "HH", "MI", "SS", "MS", "US", "AM", "PM", "YY", "IY", "MM", "DD", "DY", "ID",
    "WW", "IW", "CC", "TZ", "OF", "RM", "AD", "BC",
];
const LETTERS: [&str; 6] = ["Y", "I", "D", "W", "Q", "J"];

fn parts(pattern: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    let mut bare = false;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            parts.push(Part::Text(quoted.get(..end).unwrap_or_default().to_owned()));
            rest = quoted.get(end + 1..).unwrap_or_default();
            continue;
        }
        if starts_with(rest, "FM") {
            bare = true;
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        if starts_with(rest, "TM") || starts_with(rest, "FX") {
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        let field = FIELDS
            .iter()
            .chain(&LETTERS)
            .find(|field| starts_with(rest, field));
        let Some(field) = field else {
            parts.push(Part::Text(first.to_string()));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        };
        let written = rest.get(..field.len()).unwrap_or_default().to_owned();
        rest = rest.get(field.len()..).unwrap_or_default();
        let ordinal = starts_with(rest, "TH").then(|| rest.get(..2).unwrap_or_default().to_owned());
        if ordinal.is_some() {
            rest = rest.get(2..).unwrap_or_default();
        }
        parts.push(Part::Field {
            field,
            written,
            bare,
            ordinal,
        });
        bare = false;
    }
    parts
}

/// The pattern by which `to_timestamp` and `to_date` of the library read what PostgreSQL reads by this one; none where the
/// library cannot.
pub(super) fn for_reading(pattern: &str) -> Option<String> {
    let parts = parts(pattern).into_iter().map(|part| match part {
        Part::Text(text) => Some(text.replace('%', "%%")),
        Part::Field { field, .. } => {
            let known = match field {
                "YYYY" => "%Y",
                "YY" => "%y",
                "MM" => "%m",
                "MON" => "%b",
                "MONTH" => "%B",
                "DD" => "%d",
                "DDD" => "%j",
                "HH24" => "%H",
                "HH12" | "HH" => "%I",
                "MI" => "%M",
                "SS" => "%S",
                "MS" | "FF3" => "%3f",
                "US" | "FF6" => "%6f",
                "AM" | "PM" => "%p",
                _ => return None,
            };
            Some(known.to_owned())
        }
    });
    parts.collect()
}

fn starts_with(text: &str, field: &str) -> bool {
    text.get(..field.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(field))
}

/// A time where it is.
struct At {
    time: NaiveDateTime,
    /// Seconds east of UTC.
    offset: i32,
    zone: String,
}

impl At {
    fn text(&self, parts: &[Part]) -> String {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Field {
                    field,
                    written,
                    bare,
                    ordinal,
                } => {
                    let mut value = self.field(field, written, *bare);
                    if let Some(ordinal) = ordinal {
                        value.push_str(&ending(&value, ordinal));
                    }
                    text.push_str(&value);
                }
            }
        }
        text
    }

    fn field(&self, field: &str, written: &str, bare: bool) -> String {
        let (time, week) = (&self.time, self.time.iso_week());
        let number = |value: i64, width: usize| {
            if bare {
                value.to_string()
            } else {
                format!("{value:0width$}")
            }
        };
        let (year, micros) = (i64::from(time.year()), i64::from(time.nanosecond() / 1000));
        let hour = i64::from(time.hour());
        let (_, hour12) = time.hour12();
        match field {
            "YYYY" => number(year, 4),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "YYY" => number(year % 1000, 3),
            "YY" => number(year % 100, 2),
            "Y" => number(year % 10, 1),
            "IYYY" => number(week.year().into(), 4),
            "IYY" => number(i64::from(week.year()) % 1000, 3),
            "IY" => number(i64::from(week.year()) % 100, 2),
            "I" => number(i64::from(week.year()) % 10, 1),
            "CC" => number((year - 1).div_euclid(100) + 1, 2),
            "Q" => number(i64::from(time.month0() / 3) + 1, 1),
            "MM" => number(time.month().into(), 2),
            "DD" => number(time.day().into(), 2),
            "DDD" => number(time.ordinal().into(), 3),
            "IDDD" => {
                let day =
                    i64::from(week.week0()) * 7 + i64::from(time.weekday().number_from_monday());
                number(day, 3)
            }
            "D" => number(time.weekday().number_from_sunday().into(), 1),
            "ID" => number(time.weekday().number_from_monday().into(), 1),
            "WW" => number(i64::from(time.ordinal0() / 7) + 1, 2),
            "IW" => number(week.week().into(), 2),
            "W" => number(i64::from(time.day0() / 7) + 1, 1),
            "J" => number(i64::from(time.num_days_from_ce()) + 1_721_425, 1),
            "HH24" => number(hour, 2),
            "HH" | "HH12" => number(hour12.into(), 2),
            "MI" => number(time.minute().into(), 2),
            "SS" => number(time.second().into(), 2),
            "SSSS" | "SSSSS" => time.num_seconds_from_midnight().to_string(),
            "MS" | "FF3" => format!("{:03}", micros / 1000),
            "US" | "FF6" => format!("{micros:06}"),
            "FF1" => (micros / 100_000).to_string(),
            "FF2" => format!("{:02}", micros / 10_000),
            "FF4" => format!("{:04}", micros / 100),
            "FF5" => format!("{:05}", micros / 10),
            other => self.word(other, written, bare),
        }
    }

    fn word(&self, field: &str, written: &str, bare: bool) -> String {
        let time = &self.time;
        let filled = |word: String| {
            if bare { word } else { format!("{word:<9}") }
        };
        let cased = |pattern: &str| in_case(&time.format(pattern).to_string(), written);
        match field {
            "MONTH" => filled(cased("%B")),
            "MON" => cased("%b"),
            "DAY" => filled(cased("%A")),
            "DY" => cased("%a"),
            "AM" | "PM" => in_case(if time.hour() < 12 { "AM" } else { "PM" }, written),
            "A.M." | "P.M." => in_case(if time.hour() < 12 { "A.M." } else { "P.M." }, written),
            "AD" | "BC" => in_case("AD", written),
            "A.D." | "B.C." => in_case("A.D.", written),
            "RM" => {
                let names = [
                    "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII",
                ];
                let name = names
                    .get(time.month0() as usize)
                    .copied()
                    .unwrap_or_default();
                let name = in_case(name, written);
                if bare { name } else { format!("{name:<4}") }
            }
            "TZ" => in_case(&self.zone, written),
            "TZH" => format!("{:+03}", self.offset / 3600),
            "TZM" => format!("{:02}", self.offset.abs() % 3600 / 60),
            _ => {
                let mut text = format!("{:+03}", self.offset / 3600);
                let minutes = self.offset.abs() % 3600 / 60;
                if minutes != 0 {
                    text.push_str(&format!(":{minutes:02}"));
                }
                text
            }
        }
    }
}

/// The word in the case of the pattern: `MONTH`, `Month` or `month`.
fn in_case(word: &str, written: &str) -> String {
    let mut letters = written.chars().filter(|c| c.is_alphabetic());
    let first = letters.next().is_some_and(char::is_uppercase);
    let second = letters.next().is_some_and(char::is_uppercase);
    match (first, second) {
        (true, true) => word.to_uppercase(),
        (true, false) => {
            let mut chars = word.chars();
            let head: String = chars
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .collect();
            head + &chars.as_str().to_lowercase()
        }
        _ => word.to_lowercase(),
    }
}

/// `st`, `nd`, `rd` or `th` behind a number, in the case of the pattern.
fn ending(number: &str, written: &str) -> String {
    let mut digits = number.bytes().rev();
    let (last, before) = (digits.next(), digits.next());
    let ending = match (before, last) {
        (Some(b'1'), _) => "th",
        (_, Some(b'1')) => "st",
        (_, Some(b'2')) => "nd",
        (_, Some(b'3')) => "rd",
        _ => "th",
    };
    if written.starts_with('T') {
        ending.to_uppercase()
    } else {
        ending.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn at(pattern: &str) -> String {
        let time = NaiveDate::from_ymd_opt(2024, 3, 4)
            .unwrap()
            .and_hms_micro_opt(15, 7, 9, 123_456)
            .unwrap();
        let at = At {
            time,
            offset: 19_800,
            zone: "IST".to_owned(),
        };
        at.text(&parts(pattern))
    }

    /// What PostgreSQL 15 answers for the same time and patterns.
    #[test]
    fn patterns_are_those_of_postgresql() {
        for (pattern, text) in [
            ("YYYY-MM-DD", "2024-03-04"),
            ("YYYY-MM-DD HH24:MI:SS.MS", "2024-03-04 15:07:09.123"),
            ("yyyy/mm/dd hh:mi am", "2024/03/04 03:07 pm"),
            ("HH12:MI:SS.US PM", "03:07:09.123456 PM"),
            ("FMDD FMMonth YYYY", "4 March 2024"),
            ("Month|", "March    |"),
            ("MON Dy DAY|", "MAR Mon MONDAY   |"),
            ("FMDDth \"of\" FMMonth", "4th of March"),
            ("IYYY-\"W\"IW-ID", "2024-W10-1"),
            ("Q DDD D WW W CC", "1 064 2 10 1 21"),
            ("J SSSS", "2460374 54429"),
            ("TZ OF TZH:TZM", "IST +05:30 +05:30"),
            ("Y,YYY YY Y", "2,024 24 4"),
            ("RM FF1", "III  1"),
            ("at T", "at T"),
        ] {
            assert_eq!(at(pattern), text, "{pattern}");
        }
    }
}
