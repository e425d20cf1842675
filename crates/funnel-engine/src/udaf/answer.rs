//! What is asked of a matched history, and how the answers become an array.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{DocSection, Documentation};
use funnel_match::{Matcher, Pattern, Row};

use super::call::Call;
use super::matched::Extra;
use super::{matched, state};

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
    /// `funnel_state`
    State,
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
            Self::State => "funnel_state",
            Self::SequenceMatch => "sequence_match",
            Self::SequenceCount => "sequence_count",
        }
    }

    pub(super) fn data_type(self, time: &DataType, extra: &Extra) -> DataType {
        match self {
            Self::Level => DataType::Int32,
            Self::Match => DataType::Struct(extra.fields(time)),
            Self::Steps => DataType::List(step_item()),
            Self::State => DataType::Binary,
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
            Self::Match => matched::matches(matcher, call, rows, offsets, None, None),
            Self::State => state::states(&call.spec, call.axis, histories),
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
                 reached. Mode loose: one entry for each step, NULL where it was not reached. With \
                 the ids of rows also `ids`, with option `as_of` or `exclude` also `state`, with option `count` \
                 also `attempts` and `completions`.",
                "SELECT m['level'], m['times'][1] FROM (SELECT funnel_match(NULL, 'loose', \
                 event_time, event_type = 'chat_requested') AS m FROM events GROUP BY visitor_id)",
            ),
            Self::State => (
                "What must be kept of the rows of a stretch of time so that funnels over longer \
                 stretches need not read them again; see funnel_merge and funnel_level. Modes \
                 ordered and ordered,increase.",
                "SELECT visitor_id, funnel_state(INTERVAL '1 hour', event_time, event_type = \
                 'engagement_impression', event_type = 'engagement_click') AS state FROM events \
                 GROUP BY visitor_id",
            ),
            _ => (
                "One entry for each step: was it reached?",
                "SELECT steps[2] FROM (SELECT funnel_steps(NULL, 'loose', event_time, a, b) AS \
                 steps FROM t GROUP BY k)",
            ),
        };
        let name = self.function();
        let options = match self {
            Self::State => "",
            _ => "[options,] ",
        };
        let syntax = format!("{name}(window, [mode,] {options}time, step1, step2, …)");
        let documentation = Documentation::builder(SECTION, description, syntax)
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
                "TIMESTAMP, DATE or integer. Rows where it is NULL are ignored. Or named_struct('time', …, \
                 'hold', …): a chain has one value of `hold`; in funnel_match also 'id' and 'sequence'.",
            )
            .with_argument(
                "step1, step2, …",
                "1 to 64 conditions. NULL is false. With option `exclude` the last of them are those \
                 of the excluded rows.",
            );
        match self {
            Self::State => documentation,
            _ => documentation.with_argument(
                "options",
                "named_struct('entry', …, 'max_gap', …, 'reuse', …, 'window_bound', …, 'exclude', …, \
                 'optional', …), each of which may be left out; in funnel_match also 'count' and \
                 'as_of'.",
            ),
        }
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

pub(super) fn step_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Boolean, true))
}

pub(super) fn number(level: usize) -> Result<i32> {
    i32::try_from(level).map_err(|_| exec_datafusion_err!("funnel level {level} is out of range"))
}
