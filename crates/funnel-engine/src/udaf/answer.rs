//! What is asked of a matched history, and how the answers become an array.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, StructArray,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{DocSection, Documentation};
use funnel_match::{Matcher, Pattern, Row};

use super::axis::Axis;
use super::call::Call;

pub(super) const SECTION: DocSection = DocSection {
    include: true,
    label: "Funnel Functions",
    description: Some("How far the events of a group got through a list of steps."),
};

/// The functions that look at the rows of a group in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// `window_funnel`
    Level,
    /// `funnel_match`
    Match,
    /// `funnel_steps`
    Steps,
    /// `sequence_match`
    SequenceMatch,
    /// `sequence_count`
    SequenceCount,
}

impl Answer {
    pub(super) fn function(self) -> &'static str {
        match self {
            Self::Level => "window_funnel",
            Self::Match => "funnel_match",
            Self::Steps => "funnel_steps",
            Self::SequenceMatch => "sequence_match",
            Self::SequenceCount => "sequence_count",
        }
    }

    pub(super) fn data_type(self, time: &DataType) -> DataType {
        match self {
            Self::Level => DataType::Int32,
            Self::Match => DataType::Struct(match_fields(time)),
            Self::Steps => DataType::List(step_item()),
            Self::SequenceMatch => DataType::Boolean,
            Self::SequenceCount => DataType::Int64,
        }
    }

    /// One answer for each history: history `i` is between offsets `i` and `i + 1`, its rows are
    /// ordered by time.
    pub(super) fn evaluate(
        self,
        matcher: &mut Matcher,
        call: &Call,
        rows: &[Row],
        offsets: &[usize],
    ) -> Result<ArrayRef> {
        let histories = offsets.windows(2).map(|range| &rows[range[0]..range[1]]);
        match self {
            Self::Level => {
                let levels = histories.map(|history| number(matcher.level(history)));
                Ok(Arc::new(levels.collect::<Result<Int32Array>>()?))
            }
            Self::Match => matches(matcher, call.axis, histories),
            Self::SequenceMatch => {
                let pattern = pattern_of(call)?;
                let found: BooleanArray = histories
                    .map(|history| Some(pattern.matches(history)))
                    .collect();
                Ok(Arc::new(found))
            }
            Self::SequenceCount => {
                let pattern = pattern_of(call)?;
                let counts: Int64Array = histories
                    .map(|history| i64::try_from(pattern.count(history)).ok())
                    .collect();
                Ok(Arc::new(counts))
            }
            Self::Steps => {
                let steps = matcher.spec().steps();
                let mut flags = Vec::with_capacity(steps * histories.len());
                let mut lengths = Vec::with_capacity(histories.len());
                for history in histories {
                    let reached = matcher.reached(history);
                    flags.extend((0..steps).map(|step| reached >> step & 1 == 1));
                    lengths.push(steps);
                }
                let flags = Arc::new(BooleanArray::from(flags));
                let offsets = OffsetBuffer::from_lengths(lengths);
                Ok(Arc::new(ListArray::try_new(
                    step_item(),
                    offsets,
                    flags,
                    None,
                )?))
            }
        }
    }

    pub(super) fn documentation(self) -> Documentation {
        if matches!(self, Self::SequenceMatch | Self::SequenceCount) {
            return self.sequence_documentation();
        }
        let (description, example) = match self {
            Self::Level => (
                "The number of the last step that the rows of the group reached, 0 if none.",
                "SELECT visitor_id, window_funnel(INTERVAL '1 hour', 'ordered', event_time, \
                 event_type = 'engagement_impression', event_type = 'engagement_click') AS level \
                 FROM events GROUP BY visitor_id",
            ),
            Self::Match => (
                "The level, and when each step was reached. Mode ordered: one time for each step \
                 reached. Mode loose: one entry for each step, NULL where it was not reached.",
                "SELECT m['level'], m['times'][1] FROM (SELECT funnel_match(NULL, 'loose', \
                 event_time, event_type = 'chat_requested') AS m FROM events GROUP BY visitor_id)",
            ),
            _ => (
                "One entry for each step: was it reached?",
                "SELECT steps[2] FROM (SELECT funnel_steps(NULL, 'loose', event_time, a, b) AS \
                 steps FROM t GROUP BY k)",
            ),
        };
        let name = self.function();
        let syntax = format!("{name}(window, [mode,] time, step1, step2, …)");
        Documentation::builder(SECTION, description, syntax)
            .with_sql_example(format!("```sql\n> {example};\n```"))
            .with_argument(
                "window",
                "Longest time from the first to the last step, inclusive: an INTERVAL without \
                 months, or a number where `time` is an integer. NULL: unbounded.",
            )
            .with_argument(
                "mode",
                "'ordered' (default), 'ordered,increase', 'loose', or a dialect such as \
                 'ch:strict_once'.",
            )
            .with_argument(
                "time",
                "TIMESTAMP, DATE or integer. Rows where it is NULL are ignored.",
            )
            .with_argument("step1, step2, …", "1 to 64 conditions. NULL is false.")
            .build()
    }

    fn sequence_documentation(self) -> Documentation {
        let name = self.function();
        let description = match self {
            Self::SequenceMatch => "Is the pattern found among the rows of the group?",
            _ => "How often is the pattern found among the rows of the group, without overlaps?",
        };
        let syntax = format!("{name}(pattern, time, condition1, …)");
        Documentation::builder(SECTION, description, syntax)
            .with_argument(
                "pattern",
                "(?N): a row that meets condition N. '.': a row. '.*': any rows. (?t<=S): at most \
                 S seconds to the row before; also <, >=, >, ==. As in ClickHouse.",
            )
            .with_argument(
                "time",
                "TIMESTAMP, DATE (S in days) or integer (S in its unit). Rows of the same time \
                 stay in the order of the input.",
            )
            .with_argument(
                "condition1, …",
                "1 to 32 conditions. A row with a NULL argument is skipped.",
            )
            .build()
    }
}

fn pattern_of(call: &Call) -> Result<&Pattern> {
    let Some(pattern) = &call.pattern else {
        return internal_err!("a sequence without a pattern");
    };
    Ok(pattern)
}

/// `STRUCT<level, times>` for each history.
fn matches<'a>(
    matcher: &mut Matcher,
    axis: Axis,
    histories: impl Iterator<Item = &'a [Row]>,
) -> Result<ArrayRef> {
    let (mut levels, mut lengths) = (Vec::new(), Vec::new());
    let (mut ticks, mut present, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for history in histories {
        levels.push(number(matcher.trace(history, &mut times))?);
        lengths.push(times.len());
        ticks.extend(times.iter().map(|time| time.unwrap_or_default()));
        present.extend(times.iter().map(Option::is_some));
    }
    let nulls = Some(NullBuffer::from(present)).filter(|nulls| nulls.null_count() > 0);
    let item = time_item(&axis.time_type());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let times = ListArray::try_new(item, offsets, axis.times(ticks, nulls)?, None)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(levels)), Arc::new(times)];
    Ok(Arc::new(StructArray::try_new(
        match_fields(&axis.time_type()),
        columns,
        None,
    )?))
}

fn match_fields(time: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("level", DataType::Int32, false),
        Field::new("times", DataType::List(time_item(time)), false),
    ])
}

fn time_item(time: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(time.clone(), true))
}

pub(super) fn step_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Boolean, true))
}

fn number(level: usize) -> Result<i32> {
    i32::try_from(level).map_err(|_| exec_datafusion_err!("funnel level {level} is out of range"))
}
