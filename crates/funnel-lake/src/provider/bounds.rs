//! What the log says about the values inside a file, in DataFusion's terms.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::{NdvFallback, Precision};
use datafusion::common::{Column, ColumnStatistics, Result as DfResult, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ScanFile;
use crate::table::FileEntry;

/// Some writers cut times in statistics to milliseconds: the true maximum lies up to this above.
const CUT_MICROS: i64 = 999;

/// Row count and per-column bounds of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct FileBounds {
    rows: Option<usize>,
    /// In the order of the columns in the files.
    columns: Vec<ColumnBounds>,
}

#[derive(Debug, Clone, Default)]
struct ColumnBounds {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    nulls: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DeltaStats {
    min_values: Map<String, Value>,
    max_values: Map<String, Value>,
    null_count: Map<String, Value>,
}

impl FileBounds {
    pub(super) fn parse(file: &FileEntry, file_schema: &Schema) -> Self {
        let text = file.stats.as_deref().unwrap_or("{}");
        let stats: DeltaStats = serde_json::from_str(text).unwrap_or_default();
        let columns = file_schema
            .fields()
            .iter()
            .map(|field| {
                let (name, kind) = (field.name(), field.data_type());
                ColumnBounds {
                    min: stats.min_values.get(name).and_then(|v| bound(v, kind, 0)),
                    max: stats
                        .max_values
                        .get(name)
                        .and_then(|v| bound(v, kind, CUT_MICROS)),
                    nulls: stats.null_count.get(name).and_then(Value::as_u64),
                }
            })
            .collect();
        Self {
            rows: file.num_records.and_then(|n| usize::try_from(n).ok()),
            columns,
        }
    }

    pub(super) fn rows(&self) -> Option<usize> {
        self.rows
    }

    /// At or below the least value of a column.
    pub(super) fn min(&self, column: usize) -> Option<&ScalarValue> {
        self.columns.get(column)?.min.as_ref()
    }

    /// At or above the greatest value of a column.
    pub(super) fn max(&self, column: usize) -> Option<&ScalarValue> {
        self.columns.get(column)?.max.as_ref()
    }

    /// How many values of a column are null.
    pub(super) fn nulls(&self, column: usize) -> Option<u64> {
        self.columns.get(column)?.nulls
    }

    /// Statistics over the columns in the file, then the partition columns. Bounds of times and
    /// texts may lie outside of the values, so they are estimates; the others are exact. So are
    /// equal ones where `ours` says that they are none that another writer cut off: a text that is
    /// the same in all rows, such as the account, is not read then. Of columns that are not `wanted`
    /// nothing is said.
    pub(super) fn statistics(
        &self,
        file_schema: &Schema,
        partition: &[ScalarValue],
        ours: bool,
        wanted: &HashSet<usize>,
    ) -> Statistics {
        let exact = |kind: &DataType| kind.is_integer() || *kind == DataType::Date32;
        let inside = self.columns.iter().zip(file_schema.fields()).enumerate();
        let inside = inside.map(|(at, (c, f))| {
            if !wanted.contains(&at) {
                return ColumnStatistics::new_unknown();
            }
            let is_one = ours && c.nulls == Some(0) && c.min == c.max;
            let known = |value: &Option<ScalarValue>| match value {
                Some(value) if is_one || exact(f.data_type()) => Precision::Exact(value.clone()),
                Some(value) => Precision::Inexact(value.clone()),
                None => Precision::Absent,
            };
            ColumnStatistics {
                min_value: known(&c.min),
                max_value: known(&c.max),
                null_count: c
                    .nulls
                    .and_then(|n| usize::try_from(n).ok())
                    .map_or(Precision::Absent, Precision::Exact),
                ..ColumnStatistics::new_unknown()
            }
        });
        let rows = self.rows.map_or(Precision::Absent, Precision::Exact);
        let outside = partition.iter().map(|value| {
            if value.is_null() {
                return ColumnStatistics {
                    null_count: rows,
                    ..ColumnStatistics::new_unknown()
                };
            }
            ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: Precision::Exact(value.clone()),
                max_value: Precision::Exact(value.clone()),
                ..ColumnStatistics::new_unknown()
            }
        });
        Statistics {
            num_rows: rows,
            total_byte_size: Precision::Absent,
            column_statistics: inside.chain(outside).collect(),
        }
    }
}

/// The statistics of all files together.
pub(super) fn merge<'a>(
    files: impl Iterator<Item = &'a PartitionedFile>,
    schema: &SchemaRef,
) -> DfResult<Statistics> {
    Statistics::try_merge_iter_with_ndv_fallback(
        files.filter_map(|file| file.statistics.as_deref()),
        schema,
        NdvFallback::Max,
    )
}

/// The files among which a predicate chooses.
pub(super) struct Files<'a> {
    pub(super) files: &'a [&'a ScanFile],
    pub(super) schema: &'a SchemaRef,
}

impl Files<'_> {
    /// One value per file, null where it is not known.
    fn values(
        &self,
        column: &Column,
        of: impl Fn(&ColumnBounds) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let at = self.schema.index_of(column.name()).ok()?;
        let kind = self.schema.field(at).data_type();
        let null = ScalarValue::try_from(kind).ok()?;
        let values: Vec<ScalarValue> = self
            .files
            .iter()
            .map(|file| match file.bounds.columns.get(at) {
                Some(bounds) => of(bounds).unwrap_or_else(|| null.clone()),
                None => file
                    .partition_values
                    .get(at - file.bounds.columns.len())
                    .cloned()
                    .unwrap_or_else(|| null.clone()),
            })
            .collect();
        let array = ScalarValue::iter_to_array(values).ok()?;
        (array.null_count() < array.len()).then_some(array)
    }
}

impl PruningStatistics for Files<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |bounds| bounds.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let at = self.schema.index_of(column.name()).ok()?;
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|file| match file.bounds.columns.get(at) {
                Some(bounds) => bounds.nulls,
                None => {
                    let value = file.partition_values.get(at - file.bounds.columns.len())?;
                    if value.is_null() {
                        file.bounds.rows.map(|rows| rows as u64)
                    } else {
                        Some(0)
                    }
                }
            })
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|file| file.bounds.rows.map(|rows| rows as u64))
            .collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// A bound from the log as a value of the column's type; `None` if it cannot be trusted.
fn bound(value: &Value, kind: &DataType, slack_micros: i64) -> Option<ScalarValue> {
    match kind {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            ScalarValue::Int64(Some(value.as_i64()?)).cast_to(kind).ok()
        }
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(value.as_str()?.to_owned()))),
        DataType::Date32 => {
            let day = NaiveDate::parse_from_str(value.as_str()?, "%Y-%m-%d").ok()?;
            let since = day.signed_duration_since(NaiveDate::from_ymd_opt(1970, 1, 1)?);
            Some(ScalarValue::Date32(Some(since.num_days().try_into().ok()?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = micros(value.as_str()?)?.checked_add(slack_micros)?;
            Some(ScalarValue::TimestampMicrosecond(
                Some(micros),
                zone.clone(),
            ))
        }
        _ => None,
    }
}

fn micros(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .ok()
        .map(|time| time.and_utc().timestamp_micros())
}
