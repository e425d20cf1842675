//! The accumulators against the reference: whichever way rows come in, in batches, filtered, as
//! states of parts, and whichever way answers are taken out, they are those of the definition.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use funnel_match::{Mode, Row, Spec, reference};
use proptest::prelude::*;

use super::accumulator::FunnelAccumulator;
use super::answer::Answer;
use super::axis::Axis;
use super::call::Call;
use super::groups::FunnelGroups;
use super::matched::Extra;

const STEPS: usize = 3;
const GROUPS: usize = 5;
const BATCH_ROWS: [usize; 4] = [1, 2, 7, 8192];

/// A row of input: group, time, conditions, and whether the FILTER clause lets it through.
#[derive(Debug, Clone)]
struct Input {
    group: usize,
    time: Option<i64>,
    steps: [Option<bool>; STEPS],
    filter: Option<bool>,
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let time = prop_oneof![9 => (0_i64..12).prop_map(Some), 1 => Just(None)];
    let filter = prop_oneof![8 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    // The last group has no rows.
    let row = (0..GROUPS - 1, time, any::<[Option<bool>; STEPS]>(), filter).prop_map(
        |(group, time, steps, filter)| Input {
            group,
            time,
            steps,
            filter,
        },
    );
    prop::collection::vec(row, 0..24)
}

fn calls() -> impl Strategy<Value = Call> {
    let window = prop_oneof![Just(None), (0_u64..9).prop_map(Some)];
    (window, prop_oneof![Just(Mode::Ordered), Just(Mode::Loose)]).prop_map(|(window, mode)| Call {
        spec: Spec::new(mode, STEPS, window).unwrap(),
        axis: Axis::Int64,
        time: 0,
        extra: Extra::default(),
        pattern: None,
    })
}

/// Argument columns, the group of each row, and the filter.
fn columns(rows: &[Input]) -> (Vec<ArrayRef>, Vec<usize>, BooleanArray) {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(
        rows.iter().map(|row| row.time).collect::<Int64Array>(),
    )];
    for step in 0..STEPS {
        columns.push(Arc::new(condition(rows.iter().map(|row| row.steps[step]))));
    }
    let groups = rows.iter().map(|row| row.group).collect();
    (
        columns,
        groups,
        condition(rows.iter().map(|row| row.filter)),
    )
}

/// Under a null lies a value that must not be looked at.
fn condition(values: impl Iterator<Item = Option<bool>>) -> BooleanArray {
    let values: Vec<Option<bool>> = values.collect();
    let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
    BooleanArray::new(
        values.iter().map(|value| value.unwrap_or(true)).collect(),
        Some(nulls),
    )
}

/// What the definition says, as one level, struct or list for each group.
fn expected(call: &Call, answer: Answer, rows: &[Input]) -> ArrayRef {
    let answers = (0..GROUPS).map(|group| {
        let mut history: Vec<Row> = rows
            .iter()
            .filter(|row| row.group == group && row.filter == Some(true))
            .filter_map(|row| {
                let bits = (0..STEPS).filter(|step| row.steps[*step] == Some(true));
                Some(Row {
                    time: row.time?,
                    mask: bits.map(|bit| 1 << bit).sum(),
                })
            })
            .collect();
        history.retain(|row| row.mask != 0);
        let times = reference::times(&call.spec, &history);
        let level = i32::try_from(reference::level(&call.spec, &history)).unwrap();
        match answer {
            Answer::Level => ScalarValue::from(level).to_array(),
            Answer::Match => {
                let ticks: Vec<_> = times.iter().map(|time| ScalarValue::Int64(*time)).collect();
                let times = ScalarValue::new_list_nullable(&ticks, &DataType::Int64);
                let level = ScalarValue::from(level).to_array().unwrap();
                let fields = match answer.data_type(&DataType::Int64, &Extra::default()) {
                    DataType::Struct(fields) => fields,
                    other => panic!("a match is a struct, not {other}"),
                };
                Ok(Arc::new(StructArray::new(fields, vec![level, times], None)) as ArrayRef)
            }
            _ => {
                let reached =
                    |step| ScalarValue::from(times.get(step).copied().flatten().is_some());
                let flags: Vec<_> = (0..STEPS).map(reached).collect();
                Ok(ScalarValue::new_list_nullable(&flags, &flags[0].data_type()) as ArrayRef)
            }
        }
    });
    concatenated(&answers.collect::<Result<Vec<ArrayRef>, _>>().unwrap())
}

fn concatenated(arrays: &[ArrayRef]) -> ArrayRef {
    concat(
        &arrays
            .iter()
            .map(|array| array.as_ref())
            .collect::<Vec<_>>(),
    )
    .unwrap()
}

fn groups_of(call: &Call, answer: Answer, rows: &[Input], batch_rows: usize) -> FunnelGroups {
    let mut accumulator = FunnelGroups::new(call.clone(), answer);
    for batch in rows.chunks(batch_rows) {
        let (columns, groups, filter) = columns(batch);
        accumulator
            .update_batch(&columns, &groups, Some(&filter), GROUPS)
            .unwrap();
    }
    accumulator
        .update_batch(&columns(&[]).0, &[], None, GROUPS)
        .unwrap();
    accumulator
}

/// One row accumulator for each group, of the rows that the filter lets through.
fn accumulators(
    call: &Call,
    answer: Answer,
    rows: &[Input],
    batch_rows: usize,
) -> Vec<FunnelAccumulator> {
    let of_group = |group| {
        let mut accumulator = FunnelAccumulator::new(call.clone(), answer);
        let rows: Vec<Input> = rows
            .iter()
            .filter(|row| row.group == group && row.filter == Some(true))
            .cloned()
            .collect();
        for batch in rows.chunks(batch_rows) {
            accumulator.update_batch(&columns(batch).0).unwrap();
        }
        accumulator
    };
    (0..GROUPS).map(of_group).collect()
}

fn all_answers(accumulators: &mut [FunnelAccumulator]) -> ArrayRef {
    let answer =
        |accumulator: &mut FunnelAccumulator| accumulator.evaluate().unwrap().to_array().unwrap();
    concatenated(&accumulators.iter_mut().map(answer).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_the_definition_for_every_batch_size(
        call in calls(), rows in inputs()
    ) {
        for answer in [Answer::Level, Answer::Match, Answer::Steps] {
            let expected = expected(&call, answer, &rows);
            for batch_rows in BATCH_ROWS {
                let mut groups = groups_of(&call, answer, &rows, batch_rows);
                prop_assert_eq!(&groups.evaluate(EmitTo::All).unwrap(), &expected);
                let mut single = accumulators(&call, answer, &rows, batch_rows);
                prop_assert_eq!(&all_answers(&mut single), &expected);
                // A window frame asks again.
                prop_assert_eq!(&all_answers(&mut single), &expected);
            }
        }
    }

    #[test]
    fn states_of_parts_merge_to_the_whole(
        call in calls(), rows in inputs(), parts in 1_usize..=4, batch_rows in 1_usize..9
    ) {
        let expected = expected(&call, Answer::Match, &rows);
        let mut merged = FunnelGroups::new(call.clone(), Answer::Match);
        let mut single: Vec<_> = accumulators(&call, Answer::Match, &[], 1);
        let all: Vec<usize> = (0..GROUPS).collect();
        let size = rows.len().div_ceil(parts).max(1);
        for part in rows.chunks(size) {
            let state = groups_of(&call, Answer::Match, part, batch_rows).state(EmitTo::All);
            merged.merge_batch(&state.unwrap(), &all, GROUPS).unwrap();
            let parts = accumulators(&call, Answer::Match, part, batch_rows);
            for (whole, mut part) in single.iter_mut().zip(parts) {
                let state: Vec<ArrayRef> =
                    part.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
                whole.merge_batch(&state).unwrap();
            }
        }
        merged.merge_batch(&merged_nothing(&call), &[], GROUPS).unwrap();
        prop_assert_eq!(&merged.evaluate(EmitTo::All).unwrap(), &expected);
        prop_assert_eq!(&all_answers(&mut single), &expected);
    }

    #[test]
    fn rows_turned_into_states_one_by_one_merge_to_the_whole(
        call in calls(), rows in inputs(), batch_rows in 1_usize..9
    ) {
        let mut merged = FunnelGroups::new(call.clone(), Answer::Match);
        for batch in rows.chunks(batch_rows) {
            let (columns, groups, filter) = columns(batch);
            let state = merged.convert_to_state(&columns, Some(&filter)).unwrap();
            prop_assert_eq!(state[0].len(), batch.len());
            merged.merge_batch(&state, &groups, GROUPS).unwrap();
        }
        merged.merge_batch(&merged_nothing(&call), &[], GROUPS).unwrap();
        prop_assert_eq!(
            &merged.evaluate(EmitTo::All).unwrap(), &expected(&call, Answer::Match, &rows)
        );
    }

    #[test]
    fn groups_given_out_early_leave_the_others_untouched(
        call in calls(), rows in inputs(), first in 1_usize..GROUPS
    ) {
        let mut groups = groups_of(&call, Answer::Match, &rows, 7);
        let before = groups.evaluate(EmitTo::First(first)).unwrap();
        prop_assert_eq!(before.len(), first);
        let state = groups.state(EmitTo::First(1)).unwrap();
        let mut one = FunnelGroups::new(call.clone(), Answer::Match);
        one.merge_batch(&state, &[0], 1).unwrap();
        let answers = [
            before,
            one.evaluate(EmitTo::All).unwrap(),
            groups.evaluate(EmitTo::All).unwrap(),
        ];
        prop_assert_eq!(&concatenated(&answers), &expected(&call, Answer::Match, &rows));
    }
}

/// The state of a part without groups.
fn merged_nothing(call: &Call) -> Vec<ArrayRef> {
    FunnelGroups::new(call.clone(), Answer::Match)
        .state(EmitTo::All)
        .unwrap()
}

#[test]
fn size_follows_the_rows_that_are_kept() {
    let call = Call {
        spec: Spec::new(Mode::Ordered, STEPS, None).unwrap(),
        axis: Axis::Int64,
        time: 0,
        extra: Extra::default(),
        pattern: None,
    };
    let row = |step| Input {
        group: 0,
        time: Some(1),
        steps: [step; STEPS],
        filter: Some(true),
    };
    let mut groups = FunnelGroups::new(call.clone(), Answer::Level);
    let mut single = FunnelAccumulator::new(call, Answer::Level);
    let (empty_groups, empty_single) = (groups.size(), single.size());

    let (columns_of_none, indices, _) = columns(&vec![row(Some(false)); 1000]);
    groups
        .update_batch(&columns_of_none, &indices, None, 1)
        .unwrap();
    single.update_batch(&columns_of_none).unwrap();
    assert_eq!((groups.size(), single.size()), (empty_groups, empty_single));

    let (columns_of_all, indices, _) = columns(&vec![row(Some(true)); 1000]);
    groups
        .update_batch(&columns_of_all, &indices, None, 1)
        .unwrap();
    single.update_batch(&columns_of_all).unwrap();
    assert!(groups.size() >= empty_groups + 20_000, "{}", groups.size());
    assert!(single.size() >= empty_single + 16_000, "{}", single.size());
}
