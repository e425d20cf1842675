//! `local_date(time, zone)` and `local_hour(time, zone)`: the calendar of a time zone, daylight
//! saving included.

use std::sync::Arc;

use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int32Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

const MICROS_PER_HOUR: i64 = 3_600_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// `local_date(time, zone) → DATE`
pub fn local_date() -> ScalarUDF {
    ScalarUDF::from(LocalTime::new(Part::Date))
}

/// `local_hour(time, zone) → INT`, 0 to 23
pub fn local_hour() -> ScalarUDF {
    ScalarUDF::from(LocalTime::new(Part::Hour))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Date,
    Hour,
}

impl Part {
    fn function(self) -> &'static str {
        match self {
            Self::Date => "local_date",
            Self::Hour => "local_hour",
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Date => DataType::Date32,
            Self::Hour => DataType::Int32,
        }
    }

    fn of_local(self, micros: i64) -> i32 {
        let value = match self {
            Self::Date => micros.div_euclid(MICROS_PER_DAY),
            Self::Hour => micros.rem_euclid(MICROS_PER_DAY) / MICROS_PER_HOUR,
        };
        // An i64 of microseconds is at most 107 million days.
        i32::try_from(value).unwrap_or(i32::MAX)
    }

    fn array(self, values: impl Iterator<Item = Result<Option<i32>>>) -> Result<ArrayRef> {
        Ok(match self {
            Self::Date => Arc::new(values.collect::<Result<Date32Array>>()?),
            Self::Hour => Arc::new(values.collect::<Result<Int32Array>>()?),
        })
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalTime {
    part: Part,
    signature: Signature,
}

impl LocalTime {
    fn new(part: Part) -> Self {
        Self {
            part,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn coerced(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.part.function();
        let [time, zone] = types else {
            return plan_err!("{name} takes a time and a time zone: {name}(time, zone)");
        };
        if !matches!(time, DataType::Timestamp(_, _) | DataType::Null) {
            return plan_err!("{name}: `time` must be a TIMESTAMP, found {time}");
        }
        if !zone.is_string() && !zone.is_null() {
            return plan_err!("{name}: `zone` must be text such as 'Europe/Berlin', found {zone}");
        }
        // A timestamp without a zone is taken as UTC.
        let zoned = match time {
            DataType::Timestamp(_, Some(zone)) => Arc::clone(zone),
            _ => "UTC".into(),
        };
        Ok(vec![
            DataType::Timestamp(TimeUnit::Microsecond, Some(zoned)),
            DataType::Utf8,
        ])
    }

    /// The zone, or what to say where there is none of that name.
    fn zone(&self, name: &str) -> Result<Tz, String> {
        name.parse().map_err(|_| {
            format!(
                "{}: there is no time zone '{name}'; use an IANA name such as 'Europe/Berlin'",
                self.part.function()
            )
        })
    }

    fn evaluate(&self, times: &TimestampMicrosecondArray, zones: &Zones) -> Result<ArrayRef> {
        let mut last: Option<(&str, Tz)> = None;
        self.part.array((0..times.len()).map(|row| {
            let Some(name) = zones.name(row) else {
                return Ok(None);
            };
            let zone = match last {
                Some((known, zone)) if known == name => zone,
                _ => self.zone(name).map_err(DataFusionError::Execution)?,
            };
            last = Some((name, zone));
            if times.is_null(row) {
                return Ok(None);
            }
            let micros = times.value(row);
            let local = offset_micros(zone, micros).and_then(|offset| micros.checked_add(offset));
            match local {
                Some(local) => Ok(Some(self.part.of_local(local))),
                None => Err(exec_datafusion_err!(
                    "{}: time {micros} µs is outside of the calendar",
                    self.part.function()
                )),
            }
        }))
    }
}

/// How far local time is ahead of UTC at an instant.
fn offset_micros(zone: Tz, micros: i64) -> Option<i64> {
    let instant = DateTime::from_timestamp_micros(micros)?.naive_utc();
    let offset = zone.offset_from_utc_datetime(&instant).fix();
    Some(i64::from(offset.local_minus_utc()) * 1_000_000)
}

/// One zone for all rows, or a column of them.
enum Zones {
    One(Option<String>),
    Column(StringArray),
}

impl Zones {
    fn name(&self, row: usize) -> Option<&str> {
        match self {
            Self::One(name) => name.as_deref(),
            Self::Column(names) => names.is_valid(row).then(|| names.value(row)),
        }
    }
}

impl ScalarUDFImpl for LocalTime {
    fn name(&self) -> &str {
        self.part.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Never fails: DataFusion would bury the message under its own. `return_field_from_args` is
    /// asked next.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.coerced(types)?;
        Ok(self.part.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let data_type = self.return_type(&types)?;
        // A zone that is written in the query is checked while planning.
        if let [_, Some(zone)] = args.scalar_arguments
            && let Some(Some(name)) = zone.try_as_str()
        {
            self.zone(name).map_err(DataFusionError::Plan)?;
        }
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, zone] = args.args.as_slice() else {
            return internal_err!("{} was given {} arguments", self.name(), args.args.len());
        };
        let zones = match zone {
            ColumnarValue::Scalar(zone) => {
                Zones::One(zone.try_as_str().flatten().map(str::to_owned))
            }
            ColumnarValue::Array(zones) => Zones::Column(zones.as_string::<i32>().clone()),
        };
        let scalar = matches!((time, &zones), (ColumnarValue::Scalar(_), Zones::One(_)));
        let times = time.to_array(if scalar { 1 } else { args.number_rows })?;
        let answers = self.evaluate(times.as_primitive::<TimestampMicrosecondType>(), &zones)?;
        if scalar {
            let answer = datafusion::common::ScalarValue::try_from_array(&answers, 0)?;
            return Ok(ColumnarValue::Scalar(answer));
        }
        Ok(ColumnarValue::Array(answers))
    }
}
