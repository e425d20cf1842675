//! Values that lie in piles, one for each group, until answers are asked for. A state is the pile
//! itself, as a list, so merging is exact.

use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array, UInt64Array, new_empty_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// What is piled up, and what becomes of a pile.
pub(super) trait Pile: Debug + Send + Sync + 'static {
    /// The type of the values.
    fn value_type(&self) -> DataType;

    /// The values of a batch of arguments, and the row that each is of, ascending.
    fn read(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(ArrayRef, Vec<usize>)>;

    /// An answer for each pile: pile `i` is between offsets `i` and `i + 1`.
    fn evaluate(&mut self, values: &ArrayRef, offsets: &[usize]) -> Result<ArrayRef>;
}

/// The one column of a state.
pub(super) fn state_fields(call: &str, value: DataType) -> Vec<FieldRef> {
    let name = format_state_name(call, "values");
    vec![Arc::new(Field::new(
        name,
        DataType::List(item(value)),
        false,
    ))]
}

fn item(value: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(value, true))
}

#[derive(Debug)]
pub(super) struct Piles<P> {
    pile: P,
    /// How many groups there are; some have no values.
    groups: usize,
    /// The group of each value.
    group_of: Vec<u32>,
    values: Vec<ArrayRef>,
}

impl<P: Pile> Piles<P> {
    pub(super) fn new(pile: P) -> Self {
        Self {
            pile,
            groups: 0,
            group_of: Vec::new(),
            values: Vec::new(),
        }
    }

    /// `groups` is how many there are from now on. Their numbers fit in 32 bits once this returns.
    fn grow(&mut self, groups: usize) -> Result<()> {
        if u32::try_from(groups).is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "funnel over {groups} groups in one partition; use more partitions"
            )));
        }
        self.groups = self.groups.max(groups);
        Ok(())
    }

    /// Takes the first groups out; the others move up.
    fn deal(&mut self, emit_to: EmitTo) -> Result<(ArrayRef, Vec<usize>)> {
        let taken = match emit_to {
            EmitTo::All => self.groups,
            EmitTo::First(groups) => groups.min(self.groups),
        };
        let all = match self.values.as_slice() {
            [] => new_empty_array(&self.pile.value_type()),
            [one] => Arc::clone(one),
            many => concat(&many.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        };
        let mut order: Vec<u64> = (0..all.len() as u64).collect();
        order.sort_by_key(|index| self.group_of[*index as usize]);
        let in_order = order.iter().map(|index| self.group_of[*index as usize]);
        let mut offsets = vec![0; taken + 1];
        for group in in_order.map(|group| group as usize) {
            if group < taken {
                offsets[group + 1] += 1;
            }
        }
        for group in 0..taken {
            offsets[group + 1] += offsets[group];
        }
        let rest = order.split_off(offsets[taken]);
        let dealt = take(&all, &UInt64Array::from(order), None)?;
        self.group_of = rest
            .iter()
            .map(|index| self.group_of[*index as usize] - taken as u32) // at least as large
            .collect();
        self.values.clear();
        if !rest.is_empty() {
            self.values
                .push(take(&all, &UInt64Array::from(rest), None)?);
        }
        self.groups -= taken;
        Ok((dealt, offsets))
    }

    fn push(&mut self, values: ArrayRef, groups: impl Iterator<Item = usize>) {
        self.group_of.extend(groups.map(|group| group as u32));
        if !values.is_empty() {
            self.values.push(values);
        }
    }
}

impl<P: Pile> GroupsAccumulator for Piles<P> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        let (values, rows) = self.pile.read(values, opt_filter)?;
        self.push(values, rows.into_iter().map(|row| group_indices[row]));
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        let [piles] = values else {
            return internal_err!("funnel state has {} columns instead of 1", values.len());
        };
        let piles = piles.as_list::<i32>();
        let (first, last) = match piles.offsets().as_ref() {
            [first, .., last] => (*first as usize, *last as usize),
            _ => (0, 0),
        };
        let lengths = piles.offsets().lengths();
        let groups = lengths.zip(group_indices);
        let groups = groups.flat_map(|(length, group)| std::iter::repeat_n(*group, length));
        // A copy: a slice would hold all of the other side's memory.
        let taken = UInt32Array::from_iter_values(first as u32..last as u32);
        self.push(take(piles.values(), &taken, None)?, groups);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (values, offsets) = self.deal(emit_to)?;
        self.pile.evaluate(&values, &offsets)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, offsets) = self.deal(emit_to)?;
        to_state(values, &offsets)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let length = values.first().map_or(0, |column| column.len());
        let (values, rows) = self.pile.read(values, opt_filter)?;
        let mut offsets = Vec::with_capacity(length + 1);
        for (index, row) in rows.into_iter().enumerate() {
            offsets.resize(row + 1, index);
        }
        offsets.resize(length + 1, values.len());
        to_state(values, &offsets)
    }

    fn size(&self) -> usize {
        let values = self.values.iter();
        size_of_val(self)
            + values
                .map(|values| values.get_array_memory_size())
                .sum::<usize>()
            + self.group_of.capacity() * size_of::<u32>()
    }
}

fn to_state(values: ArrayRef, offsets: &[usize]) -> Result<Vec<ArrayRef>> {
    let offsets = offsets
        .iter()
        .map(|offset| i32::try_from(*offset))
        .collect::<Result<Vec<i32>, _>>()
        .map_err(|_| {
            DataFusionError::ResourcesExhausted(
                "funnel state of one partition holds more than 2^31 values; use more partitions"
                    .to_owned(),
            )
        })?;
    let item = item(values.data_type().clone());
    let offsets = OffsetBuffer::new(offsets.into());
    Ok(vec![Arc::new(ListArray::try_new(
        item, offsets, values, None,
    )?)])
}

/// One group: for queries without GROUP BY, and for window functions.
#[derive(Debug)]
pub(super) struct OnePile<P>(Piles<P>);

impl<P: Pile> OnePile<P> {
    pub(super) fn new(pile: P) -> Self {
        Self(Piles::new(pile))
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.0.grow(1)?;
        self.0.state(EmitTo::All)
    }
}

impl<P: Pile> Accumulator for OnePile<P> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        self.0.update_batch(values, &vec![0; rows], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let piles = states.first().map_or(0, |column| column.len());
        self.0.merge_batch(states, &vec![0; piles], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.take()?;
        state
            .iter()
            .map(|pile| ScalarValue::try_from_array(pile, 0))
            .collect()
    }

    /// May be asked again after more rows: a window frame that grows.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let state = self.take()?;
        self.0.merge_batch(&state, &[0], 1)?;
        let answer = self.0.evaluate(EmitTo::All)?;
        self.0.merge_batch(&state, &[0], 1)?;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
