//! Statistics of data files, as Delta writes them into its log.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Date32Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use serde_json::{Map, Value, json};

/// Longer texts get no maximum (a cut one would be too small) and a cut minimum.
const TEXT_CHARS_MAX: usize = 64;

/// Gathers the statistics of one file, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct FileStats {
    rows: i64,
    columns: Vec<ColumnStats>,
}

#[derive(Debug)]
struct ColumnStats {
    name: String,
    nulls: i64,
    bounds: Option<(Bound, Bound)>,
    /// Whether `bounds` still covers every value.
    bounded: bool,
}

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Number(i64),
    Time(i64),
    Day(i32),
    Text(String),
}

impl FileStats {
    pub(crate) fn new(columns: &[String]) -> Self {
        Self {
            rows: 0,
            columns: columns
                .iter()
                .map(|name| ColumnStats {
                    name: name.clone(),
                    nulls: 0,
                    bounds: None,
                    bounded: true,
                })
                .collect(),
        }
    }

    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        for column in &mut self.columns {
            match batch.column_by_name(&column.name) {
                Some(values) => column.add(values),
                None => column.bounded = false,
            }
        }
    }

    /// The text that goes into the log.
    pub(crate) fn to_json(&self) -> String {
        let mut low = Map::new();
        let mut high = Map::new();
        let mut nulls = Map::new();
        for column in &self.columns {
            nulls.insert(column.name.clone(), json!(column.nulls));
            let Some((min, max)) = column.bounds.as_ref().filter(|_| column.bounded) else {
                continue;
            };
            // Both or none: some readers take a lone minimum for a sign that there is no value.
            if let (Some(min), Some(max)) = (min.lower(), max.upper()) {
                low.insert(column.name.clone(), min);
                high.insert(column.name.clone(), max);
            }
        }
        json!({
            "numRecords": self.rows,
            "minValues": low,
            "maxValues": high,
            "nullCount": nulls,
        })
        .to_string()
    }
}

impl ColumnStats {
    fn add(&mut self, values: &ArrayRef) {
        self.nulls += i64::try_from(values.null_count()).unwrap_or(i64::MAX);
        if values.null_count() == values.len() {
            return;
        }
        let Some((low, high)) = bounds(values) else {
            self.bounded = false;
            return;
        };
        self.bounds = Some(match self.bounds.take() {
            None => (low, high),
            Some((min, max)) => (
                if low < min { low } else { min },
                if high > max { high } else { max },
            ),
        });
    }
}

impl Bound {
    fn lower(&self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(json!(text.chars().take(TEXT_CHARS_MAX).collect::<String>())),
            other => other.exact(),
        }
    }

    fn upper(&self) -> Option<Value> {
        match self {
            Self::Text(text) if text.chars().nth(TEXT_CHARS_MAX).is_some() => None,
            other => other.exact(),
        }
    }

    fn exact(&self) -> Option<Value> {
        Some(match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Day(days) => json!(day(*days)?.to_string()),
            Self::Time(micros) => json!(
                DateTime::from_timestamp_micros(*micros)?
                    .to_rfc3339_opts(SecondsFormat::Micros, true)
            ),
        })
    }
}

/// The date that many days after 1970-01-01.
pub(crate) fn day(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(chrono::TimeDelta::days(days.into()))
}

/// Smallest and largest value; `None` where there is no order that all readers agree on.
fn bounds(values: &ArrayRef) -> Option<(Bound, Bound)> {
    match values.data_type() {
        DataType::Int16 => {
            let values = values.as_primitive_opt::<Int16Type>()?;
            Some((
                Bound::Number(min(values)?.into()),
                Bound::Number(max(values)?.into()),
            ))
        }
        DataType::Int32 => {
            let values = values.as_primitive_opt::<Int32Type>()?;
            Some((
                Bound::Number(min(values)?.into()),
                Bound::Number(max(values)?.into()),
            ))
        }
        DataType::Int64 => {
            let values = values.as_primitive_opt::<Int64Type>()?;
            Some((Bound::Number(min(values)?), Bound::Number(max(values)?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = values.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some((Bound::Time(min(values)?), Bound::Time(max(values)?)))
        }
        DataType::Date32 => {
            let values = values.as_primitive_opt::<Date32Type>()?;
            Some((Bound::Day(min(values)?), Bound::Day(max(values)?)))
        }
        DataType::Utf8 => {
            let values = values.as_string_opt::<i32>()?;
            Some((
                Bound::Text(min_string(values)?.to_owned()),
                Bound::Text(max_string(values)?.to_owned()),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn stats_of(arrays: Vec<ArrayRef>) -> Value {
        let mut stats = FileStats::new(&["c".to_owned()]);
        for array in arrays {
            stats.add(&RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap());
        }
        serde_json::from_str(&stats.to_json()).unwrap()
    }

    #[test]
    fn bounds_and_nulls_run_over_all_batches() {
        let stats = stats_of(vec![
            Arc::new(Int64Array::from(vec![Some(7), None])),
            Arc::new(Int64Array::from(vec![None, None])),
            Arc::new(Int64Array::from(vec![Some(-3)])),
        ]);
        assert_eq!(
            stats,
            json!({"numRecords": 5, "minValues": {"c": -3}, "maxValues": {"c": 7},
                   "nullCount": {"c": 3}})
        );
    }

    #[test]
    fn times_keep_their_microseconds() {
        let times = TimestampMicrosecondArray::from(vec![1_700_000_000_123_456]);
        let stats = stats_of(vec![Arc::new(times.with_timezone("UTC"))]);
        assert_eq!(stats["minValues"]["c"], "2023-11-14T22:13:20.123456Z");
        assert_eq!(stats["maxValues"]["c"], "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn a_long_text_never_gets_a_maximum_below_it() {
        let long = "é".repeat(100);
        let stats = stats_of(vec![Arc::new(StringArray::from(vec!["a", &long]))]);
        assert_eq!(stats["maxValues"], json!({}));
        let stats = stats_of(vec![Arc::new(StringArray::from(vec!["a", "b"]))]);
        assert_eq!(stats["maxValues"]["c"], "b");
    }
}
