//! Rows with details: a struct in the place of the time,
//! `named_struct('time', t[, 'id', i][, 'sequence', n][, 'hold', h])`. With ids the answer has those of the
//! rows of the chain; rows of one time are ordered by sequence and id, so that the chain that is
//! reported is a fact of the rows. All rows of a chain have the same held value, as if it were a part
//! of the key; the best history of a group stands for it.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DynComparator, Int64Array, LargeBinaryArray,
    StructArray, UInt64Array, make_comparator, new_null_array,
};
use datafusion::arrow::compute::{SortOptions, and, cast, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, internal_datafusion_err, plan_err};
use funnel_match::{Matcher, Outcome, Row};

use super::answer::Answer;
use super::call::Call;
use super::piles::Pile;
use super::{matched, rows};

pub(super) const TIME: &str = "time";
const ID: &str = "id";
const SEQUENCE: &str = "sequence";
pub(super) const HOLD: &str = "hold";
const MASK: &str = "mask";

/// What a call says of its rows beside time and steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Details {
    /// The type of the ids in answers, where there are ids.
    pub(super) id: Option<DataType>,
    /// Does the call say how rows of one time follow each other?
    pub(super) has_sequence: bool,
    /// The type of the held value, where there is one.
    hold: Option<DataType>,
}

impl Details {
    /// From the fields of the struct that stands for the time.
    pub(super) fn of(answer: Answer, fields: &Fields) -> Result<Self> {
        let function = answer.function();
        if answer == Answer::State {
            return plan_err!(
                "{function}: a state is one of times and steps, so give the time itself, not a \
                 struct; a value that is held can be part of GROUP BY"
            );
        }
        for field in fields {
            if ![TIME, ID, SEQUENCE, HOLD].contains(&field.name().as_str()) {
                return plan_err!(
                    "{function}: `time` as a struct has `{TIME}` and, if wanted, `{ID}`, \
                     `{SEQUENCE}` and `{HOLD}`, but no `{}`",
                    field.name()
                );
            }
        }
        let type_of = |name| fields.find(name).map(|(_, field)| field.data_type());
        if type_of(ID).is_some() && answer != Answer::Match {
            return plan_err!(
                "{function}: its answer has no ids, so leave `{ID}` out; funnel_match gives ids"
            );
        }
        if type_of(ID).is_none() && type_of(HOLD).is_none() {
            return plan_err!(
                "{function}: `time` as a struct must have `{ID}` or `{HOLD}`, for example \
                 named_struct('time', event_time, 'id', event_id)"
            );
        }
        if let Some(sequence) = type_of(SEQUENCE)
            && !sequence.is_integer()
            && !sequence.is_null()
        {
            return plan_err!("{function}: `sequence` must be an integer, found {sequence}");
        }
        let hold = type_of(HOLD).cloned();
        if let Some(hold) = &hold
            && converter(hold).is_err()
        {
            return plan_err!("{function}: values of `{HOLD}` cannot be compared: found {hold}");
        }
        Ok(Self {
            id: type_of(ID).map(|id| id_type(function, id)).transpose()?,
            has_sequence: type_of(SEQUENCE).is_some(),
            hold,
        })
    }

    /// A row of the pile.
    pub(super) fn row_type(&self) -> DataType {
        DataType::Struct(self.fields())
    }

    fn fields(&self) -> Fields {
        let mut fields = vec![
            Field::new(TIME, DataType::Int64, false),
            Field::new(MASK, DataType::UInt64, false),
            Field::new(SEQUENCE, DataType::Int64, true),
        ];
        if self.hold.is_some() {
            fields.push(Field::new(HOLD, DataType::LargeBinary, false));
        }
        if let Some(id) = &self.id {
            fields.push(Field::new(ID, kept_type(id), true));
        }
        fields.into()
    }
}

fn id_type(function: &str, id: &DataType) -> Result<DataType> {
    match id {
        text if is_text(text) => Ok(DataType::Utf8),
        number if number.is_integer() => Ok(number.clone()),
        bytes if bytes.is_binary() => Ok(DataType::Binary),
        DataType::Null => Ok(DataType::Utf8),
        other => plan_err!("{function}: `id` must be text, an integer or bytes, found {other}"),
    }
}

/// The type of ids while they wait: offsets of 64 bits.
fn kept_type(id: &DataType) -> DataType {
    match id {
        DataType::Utf8 => DataType::LargeUtf8,
        DataType::Binary => DataType::LargeBinary,
        other => other.clone(),
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}

/// Held values as bytes that compare as the values do, NULL after all others: the order of
/// definitions.
fn converter(hold: &DataType) -> Result<RowConverter> {
    let last = SortOptions {
        descending: false,
        nulls_first: false,
    };
    let field = SortField::new_with_options(hold.clone(), last);
    Ok(RowConverter::new(vec![field])?)
}

/// Rows and their details.
#[derive(Debug)]
pub(super) struct DetailedRows {
    call: Call,
    answer: Answer,
    details: Details,
    matcher: Matcher,
}

impl DetailedRows {
    pub(super) fn new(call: Call, answer: Answer, details: Details) -> Self {
        Self {
            matcher: Matcher::new(call.spec.clone()),
            call,
            answer,
            details,
        }
    }

    /// The best history of each group, and what became of the group. `order` has the rows of a group by
    /// held value and time.
    fn best(&mut self, pile: &Ordered<'_>, offsets: &[usize]) -> (Vec<Range<usize>>, Vec<Outcome>) {
        let mut chosen = (Vec::new(), Vec::new());
        for range in offsets.windows(2) {
            let mut best = (range[0]..range[0], self.matcher.outcome(&[]));
            let (mut attempts, mut completions) = (0, 0);
            let mut begin = range[0];
            while begin < range[1] {
                let end = (begin + 1..range[1]).find(|row| !pile.same_hold(begin, *row));
                let run = begin..end.unwrap_or(range[1]);
                let outcome = self.matcher.outcome(&pile.rows[run.clone()]);
                attempts += outcome.attempts;
                completions += outcome.completions;
                let rank = |outcome: &Outcome| outcome.state.rank(outcome.level);
                if best.0.is_empty() || rank(&outcome) > rank(&best.1) {
                    best = (run.clone(), outcome);
                }
                begin = run.end;
            }
            if self.call.counts_attempts() {
                (best.1.attempts, best.1.completions) = (attempts, completions);
            }
            chosen.0.push(best.0);
            chosen.1.push(best.1);
        }
        chosen
    }
}

/// The rows of a pile: group after group, in each by held value and time.
struct Ordered<'a> {
    rows: Vec<Row>,
    order: Vec<u64>,
    holds: Option<&'a LargeBinaryArray>,
}

impl Ordered<'_> {
    fn same_hold(&self, one: usize, other: usize) -> bool {
        self.holds.is_none_or(|holds| {
            holds.value(self.order[one] as usize) == holds.value(self.order[other] as usize)
        })
    }
}

impl Pile for DetailedRows {
    fn value_type(&self) -> DataType {
        self.details.row_type()
    }

    fn read(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(ArrayRef, Vec<usize>)> {
        let given = arguments
            .get(self.call.time)
            .and_then(|given| given.as_struct_opt())
            .ok_or_else(|| internal_datafusion_err!("rows with details are not a struct"))?;
        let column = |name, data_type: &DataType| -> Result<ArrayRef> {
            match given.column_by_name(name) {
                Some(column) => Ok(cast(column, data_type)?),
                None => Ok(new_null_array(data_type, given.len())),
            }
        };
        let mut arguments = arguments.to_vec();
        arguments[self.call.time] = column(TIME, &self.call.axis.column_type())?;
        let filter = match (filter, given.nulls()) {
            (_, None) => filter.cloned(),
            (None, Some(_)) => Some(is_not_null(given)?),
            (Some(filter), Some(_)) => Some(and(filter, &is_not_null(given)?)?),
        };
        let (mut times, mut masks, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        rows::read(&self.call, &arguments, filter.as_ref(), |position, row| {
            times.push(row.time);
            masks.push(row.mask);
            positions.push(position);
        })?;
        let kept = UInt64Array::from_iter_values(positions.iter().map(|row| *row as u64));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(times)),
            Arc::new(UInt64Array::from(masks)),
            take(&column(SEQUENCE, &DataType::Int64)?, &kept, None)?,
        ];
        if let Some(hold) = &self.details.hold {
            let values = take(&column(HOLD, hold)?, &kept, None)?;
            let values = converter(hold)?.convert_columns(&[values])?;
            let bytes = values.iter().map(|value| Some(value.data().to_vec()));
            columns.push(Arc::new(bytes.collect::<LargeBinaryArray>()));
        }
        if let Some(id) = &self.details.id {
            columns.push(take(&column(ID, &kept_type(id))?, &kept, None)?);
        }
        let rows = StructArray::try_new(self.details.fields(), columns, None)?;
        Ok((Arc::new(rows), positions))
    }

    fn evaluate(&mut self, values: &ArrayRef, offsets: &[usize]) -> Result<ArrayRef> {
        let pile = Columns::of(values)?;
        let ordered = pile.ordered(offsets)?;
        if self.details.hold.is_none() {
            let ids = pile.ids_of(ordered.order)?;
            let rows = &ordered.rows;
            return matched::matches(
                &mut self.matcher,
                &self.call,
                rows,
                offsets,
                ids.as_ref(),
                None,
            );
        }
        let (best, outcomes) = self.best(&ordered, offsets);
        let mut kept = vec![0];
        kept.extend(best.iter().scan(0, |end, range| {
            *end += range.len();
            Some(*end)
        }));
        let rows: Vec<Row> = best
            .iter()
            .flat_map(|range| &ordered.rows[range.clone()])
            .copied()
            .collect();
        if self.answer != Answer::Match {
            let (matcher, call) = (&mut self.matcher, &self.call);
            return self.answer.evaluate(matcher, call, &rows, &kept);
        }
        let order = best
            .iter()
            .flat_map(|range| &ordered.order[range.clone()])
            .copied()
            .collect();
        let ids = pile.ids_of(order)?;
        matched::matches(
            &mut self.matcher,
            &self.call,
            &rows,
            &kept,
            ids.as_ref(),
            Some(outcomes),
        )
    }
}

/// The columns of a pile.
struct Columns<'a> {
    times: &'a [i64],
    masks: &'a [u64],
    sequences: &'a ArrayRef,
    holds: Option<&'a LargeBinaryArray>,
    ids: Option<&'a ArrayRef>,
}

impl<'a> Columns<'a> {
    fn of(values: &'a ArrayRef) -> Result<Self> {
        let values = values.as_struct();
        let column = |name| {
            let column = values.column_by_name(name);
            column.ok_or_else(|| internal_datafusion_err!("rows with details have no `{name}`"))
        };
        Ok(Self {
            times: column(TIME)?.as_primitive::<Int64Type>().values(),
            masks: column(MASK)?.as_primitive::<UInt64Type>().values(),
            sequences: column(SEQUENCE)?,
            holds: values
                .column_by_name(HOLD)
                .map(|column| column.as_binary::<i64>()),
            ids: values.column_by_name(ID),
        })
    }

    fn ordered(&self, offsets: &[usize]) -> Result<Ordered<'a>> {
        let compare = |column: &ArrayRef| -> Result<DynComparator> {
            Ok(make_comparator(column, column, SortOptions::default())?)
        };
        let by_sequence = compare(self.sequences)?;
        let by_id = self.ids.map(compare).transpose()?;
        let by_time = |one: &u64, other: &u64| -> Ordering {
            let (one, other) = (*one as usize, *other as usize);
            let by_hold = self.holds.map_or(Ordering::Equal, |holds| {
                holds.value(one).cmp(holds.value(other))
            });
            by_hold
                .then_with(|| self.times[one].cmp(&self.times[other]))
                .then_with(|| by_sequence(one, other))
                .then_with(|| {
                    let by_id = by_id.as_ref();
                    by_id.map_or(Ordering::Equal, |by_id| by_id(one, other))
                })
                // Nothing tells them apart but this.
                .then_with(|| self.masks[one].cmp(&self.masks[other]))
        };
        let mut order: Vec<u64> = (0..self.times.len() as u64).collect();
        for range in offsets.windows(2) {
            order[range[0]..range[1]].sort_unstable_by(by_time);
        }
        let row = |index: &u64| Row {
            time: self.times[*index as usize],
            mask: self.masks[*index as usize],
        };
        Ok(Ordered {
            rows: order.iter().map(row).collect(),
            order,
            holds: self.holds,
        })
    }

    fn ids_of(&self, order: Vec<u64>) -> Result<Option<ArrayRef>> {
        let order = UInt64Array::from(order);
        let ids = self.ids.map(|ids| take(ids, &order, None));
        Ok(ids.transpose()?)
    }
}
