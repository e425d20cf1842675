//! The time argument as `i64` ticks, and ticks as what SQL gets back.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Date64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use datafusion::common::{Result, exec_datafusion_err, internal_err};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// What one tick of the time column is. Ticks are the column's own values, so nothing is rounded
/// before times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Timestamp(TimeUnit),
    /// Days since 1970.
    Date32,
    /// Milliseconds since 1970.
    Date64,
    /// Signed integers of a unit that only the caller knows.
    Int64,
    /// Unsigned integers, moved by 2^63 so that order and distances stay.
    UInt64,
}

impl Axis {
    /// The axis of a time column of this type, after coercion.
    pub(super) fn of(time: &DataType) -> Option<Self> {
        match time {
            DataType::Timestamp(unit, _) => Some(Self::Timestamp(*unit)),
            DataType::Date32 => Some(Self::Date32),
            DataType::Date64 => Some(Self::Date64),
            DataType::Int64 => Some(Self::Int64),
            DataType::UInt64 => Some(Self::UInt64),
            _ => None,
        }
    }

    /// A type of columns on this axis.
    pub(super) fn column_type(self) -> DataType {
        match self {
            Self::Timestamp(unit) => DataType::Timestamp(unit, None),
            Self::Date32 => DataType::Date32,
            Self::Date64 => DataType::Date64,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
        }
    }

    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Int64 | Self::UInt64)
    }

    /// The type of times in answers.
    pub(super) fn time_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
            _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Ticks in the unit in which patterns give times: days where the column has days, the unit of
    /// the column where it is an integer, seconds otherwise.
    pub(super) fn ticks_per_second(self) -> u64 {
        match self {
            Self::Timestamp(TimeUnit::Nanosecond) => 1_000_000_000,
            Self::Timestamp(TimeUnit::Microsecond) => 1_000_000,
            Self::Timestamp(TimeUnit::Millisecond) | Self::Date64 => 1_000,
            Self::Timestamp(TimeUnit::Second) | Self::Date32 | Self::Int64 | Self::UInt64 => 1,
        }
    }

    /// Whole ticks in `nanos`. Rounding down loses nothing: distances are whole ticks too.
    pub(super) fn ticks_in(self, nanos: u128) -> u64 {
        u64::try_from(nanos / self.nanos_per_tick().unsigned_abs()).unwrap_or(u64::MAX)
    }

    /// A tick of this axis on another of the calendar; what is finer than its ticks is cut off.
    pub(super) fn in_ticks_of(self, other: Self, tick: i64) -> i64 {
        if self == other {
            return tick;
        }
        let nanos = i128::from(tick) * self.nanos_per_tick();
        let ticks = nanos.div_euclid(other.nanos_per_tick());
        ticks.clamp(i64::MIN.into(), i64::MAX.into()) as i64 // clamped
    }

    /// The byte that stands for the unit in states; 0 is an integer's.
    pub(super) fn unit(self) -> u8 {
        match self {
            Self::Int64 | Self::UInt64 => 0,
            Self::Timestamp(TimeUnit::Second) => 1,
            Self::Timestamp(TimeUnit::Millisecond) => 2,
            Self::Timestamp(TimeUnit::Microsecond) => 3,
            Self::Timestamp(TimeUnit::Nanosecond) => 4,
            Self::Date32 => 5,
            Self::Date64 => 6,
        }
    }

    /// The axis of a state whose unit is this byte.
    pub(super) fn of_unit(unit: u8) -> Option<Self> {
        Some(match unit {
            0 => Self::Int64,
            1 => Self::Timestamp(TimeUnit::Second),
            2 => Self::Timestamp(TimeUnit::Millisecond),
            3 => Self::Timestamp(TimeUnit::Microsecond),
            4 => Self::Timestamp(TimeUnit::Nanosecond),
            5 => Self::Date32,
            6 => Self::Date64,
            _ => return None,
        })
    }

    fn nanos_per_tick(self) -> i128 {
        match self {
            Self::Timestamp(TimeUnit::Second) => 1_000_000_000,
            Self::Timestamp(TimeUnit::Millisecond) | Self::Date64 => 1_000_000,
            Self::Timestamp(TimeUnit::Microsecond) => 1_000,
            Self::Timestamp(TimeUnit::Nanosecond) | Self::Int64 | Self::UInt64 => 1,
            Self::Date32 => NANOS_PER_DAY,
        }
    }

    /// The ticks of a column, and which of them are there at all.
    pub(super) fn ticks(self, time: &ArrayRef) -> Result<(ScalarBuffer<i64>, Option<NullBuffer>)> {
        let values = match time.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                time.as_primitive::<TimestampSecondType>().values().clone()
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => time
                .as_primitive::<TimestampMillisecondType>()
                .values()
                .clone(),
            DataType::Timestamp(TimeUnit::Microsecond, _) => time
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .clone(),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => time
                .as_primitive::<TimestampNanosecondType>()
                .values()
                .clone(),
            DataType::Date32 => time
                .as_primitive::<Date32Type>()
                .values()
                .iter()
                .map(|day| (*day).into())
                .collect(),
            DataType::Date64 => time.as_primitive::<Date64Type>().values().clone(),
            DataType::Int64 => time.as_primitive::<Int64Type>().values().clone(),
            DataType::UInt64 => time
                .as_primitive::<UInt64Type>()
                .values()
                .iter()
                .map(|time| moved(*time))
                .collect(),
            other => return internal_err!("time of type {other} was not coerced"),
        };
        Ok((values, time.nulls().cloned()))
    }

    /// Ticks as an array of [`Self::time_type`]. What is finer than a microsecond is cut off.
    pub(super) fn times(self, ticks: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(match self {
            Self::Int64 => Arc::new(PrimitiveArray::<Int64Type>::new(ticks.into(), nulls)),
            Self::UInt64 => {
                let values = ticks.into_iter().map(moved_back).collect();
                Arc::new(UInt64Array::new(values, nulls))
            }
            _ => {
                let micros = ticks.into_iter().map(|tick| self.micros(tick));
                let values = micros.collect::<Result<ScalarBuffer<i64>>>()?;
                Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC"))
            }
        })
    }

    fn micros(self, tick: i64) -> Result<i64> {
        let micros = (i128::from(tick) * self.nanos_per_tick()).div_euclid(1_000);
        i64::try_from(micros).map_err(|_| {
            exec_datafusion_err!("time {tick} of a {self:?} column is out of range in microseconds")
        })
    }
}

fn moved(time: u64) -> i64 {
    (time ^ (1 << 63)).cast_signed()
}

fn moved_back(tick: i64) -> u64 {
    tick.cast_unsigned() ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_times_keep_order_and_distance() {
        let times = [0, 1, i64::MAX as u64, 1 << 63, u64::MAX];
        for pair in times.windows(2) {
            assert!(moved(pair[0]) < moved(pair[1]));
            assert_eq!(moved(pair[1]).abs_diff(moved(pair[0])), pair[1] - pair[0]);
            assert_eq!(moved_back(moved(pair[1])), pair[1]);
        }
    }

    #[test]
    fn times_before_1970_are_cut_off_downwards() {
        let nanos = Axis::Timestamp(TimeUnit::Nanosecond);
        assert_eq!(nanos.micros(-1).unwrap(), -1);
        assert_eq!(Axis::Date32.micros(-1).unwrap(), -86_400_000_000);
    }

    #[test]
    fn times_that_microseconds_cannot_hold_are_an_error() {
        let error = Axis::Timestamp(TimeUnit::Second)
            .micros(i64::MAX)
            .unwrap_err();
        assert!(error.to_string().contains("out of range"), "{error}");
    }
}
