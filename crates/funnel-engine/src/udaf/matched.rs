//! The answer of `funnel_match`: level and times, and what else the call asks for.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int32Array, Int64Array, ListArray, StringArray, StructArray, UInt64Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use funnel_match::{Matcher, Mode, Outcome, Row, State};

use super::answer::number;
use super::axis::Axis;
use super::call::Call;
use super::details::Details;

/// What is asked for beside level and times.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    /// What the call says of its rows.
    pub(super) details: Option<Details>,
    /// Whether the key is converted, dropped, or open.
    pub(super) state: bool,
    /// How many attempts there are, and how many are complete.
    pub(super) counts: bool,
}

impl Extra {
    /// Refuses details without the order of rows of one time, where that decides.
    pub(super) fn check_order(&self, function: &str, mode: Mode) -> Result<()> {
        match self.details {
            Some(Details {
                has_sequence: false,
                ..
            }) => plan_err!(
                "{function}: mode '{mode}' tells rows of one instant apart by their order; give it \
                 as `sequence`: named_struct('time', …, 'sequence', …, …)"
            ),
            _ => Ok(()),
        }
    }

    /// The type of the ids, where the answer has them.
    fn id(&self) -> Option<&DataType> {
        self.details
            .as_ref()
            .and_then(|details| details.id.as_ref())
    }

    pub(super) fn fields(&self, time: &DataType) -> Fields {
        let field = |name, data_type| Field::new(name, data_type, false);
        let mut fields = vec![
            field("level", DataType::Int32),
            field("times", DataType::List(item(time))),
        ];
        if let Some(id) = self.id() {
            fields.push(field("ids", DataType::List(item(id))));
        }
        if self.state {
            fields.push(field("state", DataType::Utf8));
        }
        if self.counts {
            fields.push(field("attempts", DataType::Int64));
            fields.push(field("completions", DataType::Int64));
        }
        fields.into()
    }
}

/// A struct for each history: history `i` is between offsets `i` and `i + 1`. `ids` are those of the
/// rows, where the call gives them; `outcomes` are those of the groups, where they are known.
pub(super) fn matches(
    matcher: &mut Matcher,
    call: &Call,
    rows: &[Row],
    offsets: &[usize],
    ids: Option<&ArrayRef>,
    outcomes: Option<Vec<Outcome>>,
) -> Result<ArrayRef> {
    let asked = outcomes.is_none() && (call.extra.state || call.extra.counts);
    let mut found = Found {
        outcomes: outcomes.unwrap_or_default(),
        ..Found::default()
    };
    let mut chain = Vec::new();
    for range in offsets.windows(2) {
        let history = &rows[range[0]..range[1]];
        found
            .levels
            .push(number(matcher.chain(history, &mut chain))?);
        found.lengths.push(chain.len());
        found.push_chain(history, range[0], &chain);
        if asked {
            found.outcomes.push(matcher.outcome(history));
        }
    }
    found.into_array(&call.extra, call.axis, ids)
}

#[derive(Default)]
struct Found {
    levels: Vec<i32>,
    lengths: Vec<usize>,
    ticks: Vec<i64>,
    present: Vec<bool>,
    /// Where the row of each entry is among all rows.
    positions: Vec<u64>,
    outcomes: Vec<Outcome>,
}

impl Found {
    fn push_chain(&mut self, history: &[Row], begin: usize, chain: &[Option<usize>]) {
        for position in chain {
            self.present.push(position.is_some());
            let position = position.unwrap_or_default();
            let row = history.get(position);
            self.ticks.push(row.map_or(0, |row| row.time));
            self.positions.push((begin + position) as u64);
        }
    }

    fn into_array(self, extra: &Extra, axis: Axis, ids: Option<&ArrayRef>) -> Result<ArrayRef> {
        let nulls = Some(NullBuffer::from(self.present)).filter(|nulls| nulls.null_count() > 0);
        let offsets = OffsetBuffer::<i32>::from_lengths(self.lengths);
        let list = |values: ArrayRef, value: &DataType| -> Result<ArrayRef> {
            let list = ListArray::try_new(item(value), offsets.clone(), values, None)?;
            Ok(Arc::new(list))
        };
        let times = axis.times(self.ticks, nulls.clone())?;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.levels)),
            list(times, &axis.time_type())?,
        ];
        if let (Some(id), Some(ids)) = (extra.id(), ids) {
            let positions = UInt64Array::new(self.positions.into(), nulls);
            let winners = cast(&take(ids, &positions, None)?, id)?;
            columns.push(list(winners, id)?);
        }
        let outcomes = self.outcomes.iter();
        if extra.state {
            let states = outcomes.clone().map(|outcome| Some(word(outcome.state)));
            columns.push(Arc::new(states.collect::<StringArray>()));
        }
        if extra.counts {
            let count = |of: fn(&Outcome) -> usize| -> Result<ArrayRef> {
                let counts = outcomes.clone().map(|outcome| {
                    i64::try_from(of(outcome))
                        .map_err(|_| exec_datafusion_err!("more attempts than a BIGINT holds"))
                });
                Ok(Arc::new(counts.collect::<Result<Int64Array>>()?))
            };
            columns.push(count(|outcome| outcome.attempts)?);
            columns.push(count(|outcome| outcome.completions)?);
        }
        let fields = extra.fields(&axis.time_type());
        Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Converted => "converted",
        State::Open => "open",
        State::Excluded => "excluded",
        _ => "dropped",
    }
}

fn item(data_type: &DataType) -> FieldRef {
    Arc::new(Field::new_list_field(data_type.clone(), true))
}
