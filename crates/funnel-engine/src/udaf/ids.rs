//! Rows with ids: `funnel_match(window, mode, named_struct('time', t, 'id', i[, 'sequence', n]), …)`
//! gives the ids of the rows of the chain. Rows of one time are ordered by sequence and id, so that the chain
//! that is reported is a fact of the rows.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray, UInt64Array, make_comparator,
};
use datafusion::arrow::compute::{SortOptions, and, cast, is_not_null, take};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type, UInt64Type};
use datafusion::common::{Result, internal_datafusion_err, internal_err, plan_err};
use funnel_match::{Matcher, Row};

use super::answer::Answer;
use super::call::Call;
use super::piles::Pile;
use super::{matched, rows};

pub(super) const TIME: &str = "time";
const ID: &str = "id";
const SEQUENCE: &str = "sequence";

/// What the ids of a call are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    /// Their type in answers.
    pub(super) data_type: DataType,
    /// Does the call say how rows of one time follow each other?
    pub(super) has_sequence: bool,
}

impl Ids {
    /// From the fields of the struct that stands for the time.
    pub(super) fn of(answer: Answer, fields: &Fields) -> Result<Self> {
        let function = answer.function();
        if answer != Answer::Match {
            return plan_err!(
                "{function}: its answer has no ids, so give the time itself, not a struct; \
                 funnel_match gives ids"
            );
        }
        for field in fields {
            if ![TIME, ID, SEQUENCE].contains(&field.name().as_str()) {
                return plan_err!(
                    "{function}: `time` as a struct has `{TIME}`, `{ID}` and, if wanted, \
                     `{SEQUENCE}`, but no `{}`",
                    field.name()
                );
            }
        }
        let Some((_, id)) = fields.find(ID) else {
            return plan_err!(
                "{function}: `time` as a struct must have `{ID}`, for example \
                 named_struct('time', event_time, 'id', event_id)"
            );
        };
        let data_type = match id.data_type() {
            text if is_text(text) => DataType::Utf8,
            number if number.is_integer() => number.clone(),
            bytes if bytes.is_binary() => DataType::Binary,
            DataType::Null => DataType::Utf8,
            other => {
                return plan_err!(
                    "{function}: `id` must be text, an integer or bytes, found {other}"
                );
            }
        };
        let sequence = fields.find(SEQUENCE).map(|(_, field)| field.data_type());
        if let Some(sequence) = sequence
            && !sequence.is_integer()
            && !sequence.is_null()
        {
            return plan_err!("{function}: `sequence` must be an integer, found {sequence}");
        }
        Ok(Self {
            data_type,
            has_sequence: sequence.is_some(),
        })
    }

    /// Their type while they wait: offsets of 64 bits.
    fn kept_type(&self) -> DataType {
        match self.data_type {
            DataType::Utf8 => DataType::LargeUtf8,
            DataType::Binary => DataType::LargeBinary,
            _ => self.data_type.clone(),
        }
    }

    /// A row of the pile.
    pub(super) fn row_type(&self) -> DataType {
        DataType::Struct(self.fields())
    }

    fn fields(&self) -> Fields {
        Fields::from(vec![
            Field::new("time", DataType::Int64, false),
            Field::new("mask", DataType::UInt64, false),
            Field::new(SEQUENCE, DataType::Int64, true),
            Field::new(ID, self.kept_type(), true),
        ])
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => value.is_string(),
        other => other.is_string(),
    }
}

/// Rows and their ids.
#[derive(Debug)]
pub(super) struct RowsWithIds {
    call: Call,
    ids: Ids,
    matcher: Matcher,
}

impl RowsWithIds {
    pub(super) fn new(call: Call, ids: Ids) -> Self {
        Self {
            matcher: Matcher::new(call.spec.clone()),
            call,
            ids,
        }
    }
}

impl Pile for RowsWithIds {
    fn value_type(&self) -> DataType {
        self.ids.row_type()
    }

    fn read(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(ArrayRef, Vec<usize>)> {
        let given = arguments
            .get(self.call.time)
            .and_then(|given| given.as_struct_opt())
            .ok_or_else(|| internal_datafusion_err!("rows with ids are not a struct"))?;
        let column = |name, data_type: &DataType| -> Result<ArrayRef> {
            match given.column_by_name(name) {
                Some(column) => Ok(cast(column, data_type)?),
                None => Ok(datafusion::arrow::array::new_null_array(
                    data_type,
                    given.len(),
                )),
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
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(times)),
            Arc::new(UInt64Array::from(masks)),
            take(&column(SEQUENCE, &DataType::Int64)?, &kept, None)?,
            take(&column(ID, &self.ids.kept_type())?, &kept, None)?,
        ];
        let rows = StructArray::try_new(self.ids.fields(), columns, None)?;
        Ok((Arc::new(rows), positions))
    }

    fn evaluate(&mut self, values: &ArrayRef, offsets: &[usize]) -> Result<ArrayRef> {
        let [times, masks, sequences, ids] = values.as_struct().columns() else {
            return internal_err!("rows with ids have other columns");
        };
        let times = times.as_primitive::<Int64Type>().values();
        let masks = masks.as_primitive::<UInt64Type>().values();
        let by_sequence = make_comparator(sequences, sequences, SortOptions::default())?;
        let by_id = make_comparator(ids, ids, SortOptions::default())?;
        let by_time = |one: &u64, other: &u64| -> Ordering {
            let (one, other) = (*one as usize, *other as usize);
            times[one]
                .cmp(&times[other])
                .then_with(|| by_sequence(one, other))
                .then_with(|| by_id(one, other))
                // Nothing tells them apart but this.
                .then_with(|| masks[one].cmp(&masks[other]))
        };
        let mut order: Vec<u64> = (0..values.len() as u64).collect();
        for range in offsets.windows(2) {
            order[range[0]..range[1]].sort_unstable_by(by_time);
        }
        let rows: Vec<Row> = order
            .iter()
            .map(|index| Row {
                time: times[*index as usize],
                mask: masks[*index as usize],
            })
            .collect();
        let ids = take(ids, &UInt64Array::from(order), None)?;
        matched::matches(&mut self.matcher, &self.call, &rows, offsets, Some(&ids))
    }
}
