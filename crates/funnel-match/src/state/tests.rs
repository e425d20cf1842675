use proptest::prelude::*;

use super::*;
use crate::{Matcher, Spec};

fn shape(mode: Mode, steps: usize, window: Option<u64>) -> StateShape {
    StateShape::new(mode, steps, window).unwrap()
}

fn rows(history: &[(i64, u64)]) -> Vec<Row> {
    history
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect()
}

fn state(shape: StateShape, history: &[(i64, u64)]) -> SegmentState {
    StateBuilder::new(shape).state(&rows(history)).unwrap()
}

fn merged(states: &[SegmentState]) -> SegmentState {
    let mut whole = states[0].clone();
    for state in &states[1..] {
        whole.merge(state).unwrap();
    }
    whole
}

#[test]
fn numbers_of_the_triangle_are_all_different_and_without_gaps() {
    for steps in 1..=STEPS_MAX {
        let shape = shape(Mode::Ordered, steps, None);
        let pairs = (1..steps).flat_map(|from| (from..steps).map(move |to| (from, to)));
        let found: Vec<usize> = pairs.map(|(from, to)| shape.at(from, to)).collect();
        assert_eq!(found, (steps..shape.numbers()).collect::<Vec<usize>>());
    }
}

#[test]
fn chain_over_the_cut_is_found_if_it_is_inside_of_the_window() {
    let three = shape(Mode::Ordered, 3, Some(10));
    let monday = state(three, &[(0, 1), (5, 1), (6, 2)]);
    assert_eq!(monday.level(), 2);
    let level = |time| merged(&[monday.clone(), state(three, &[(time, 4)])]).level();
    assert_eq!(level(15), 3);
    assert_eq!(level(16), 2);
}

#[test]
fn three_steps_take_eighty_bytes_whatever_the_number_of_rows() {
    let three = shape(Mode::Ordered, 3, Some(10));
    let many: Vec<(i64, u64)> = (0..1000).map(|time| (time, 7)).collect();
    for history in [&[][..], &[(1, 1)], &many] {
        assert_eq!(state(three, history).to_bytes().len(), 32 + 6 * 8);
    }
}

#[test]
fn modes_without_a_state_are_refused() {
    assert_eq!(
        StateShape::new(Mode::Loose, 2, None)
            .unwrap_err()
            .to_string(),
        "there is no funnel state for mode 'loose'; modes that have one: 'ordered', \
         'ordered,increase'"
    );
}

#[test]
fn level_for_another_window_is_refused() {
    let state = state(shape(Mode::Ordered, 2, Some(10)), &[(0, 1), (4, 2)]);
    assert_eq!(state.level_within(Some(10)), Ok(2));
    assert_eq!(
        state.level_within(Some(3)).unwrap_err().to_string(),
        "the funnel state was made for a window of 10, so it cannot answer for a window of 3; \
         make the states again with that window"
    );
}

#[test]
fn states_of_different_funnels_are_not_merged() {
    let mut one = state(shape(Mode::Ordered, 2, Some(10)), &[(0, 1)]);
    let other = state(shape(Mode::OrderedIncrease, 2, None), &[(1, 1)]);
    assert_eq!(
        one.merge(&other).unwrap_err().to_string(),
        "funnel states of different funnels cannot be merged: 2 steps, mode 'ordered', a window of \
         10 and 2 steps, mode 'ordered,increase', an unbounded window"
    );
}

#[test]
fn segments_must_not_share_an_instant() {
    let two = shape(Mode::Ordered, 2, None);
    let mut one = state(two, &[(0, 1), (4, 2)]);
    let error = one.merge(&state(two, &[(4, 1)])).unwrap_err();
    assert_eq!(error, StateError::Overlap { end: 4, begin: 4 });
    // Rows that satisfy no step are nobody's instant.
    assert_eq!(one.merge(&state(two, &[(4, 0), (5, 1)])), Ok(()));
}

#[test]
fn instants_that_stand_for_never_are_refused() {
    let mut builder = StateBuilder::new(shape(Mode::Ordered, 2, None));
    for time in [i64::MIN, i64::MAX] {
        assert_eq!(builder.state(&rows(&[(time, 1)])), Err(StateError::Time));
    }
    let edge = [(i64::MIN + 1, 1), (i64::MAX - 1, 2)];
    assert_eq!(builder.state(&rows(&edge)).unwrap().level(), 2);
}

#[test]
fn bytes_of_something_else_are_refused() {
    let good = state(shape(Mode::Ordered, 2, Some(5)), &[(3, 1)]).to_bytes();
    for length in 0..good.len() {
        assert!(
            SegmentState::from_bytes(&good[..length]).is_err(),
            "{length} bytes"
        );
    }
    for (at, value) in [(0, 2), (1, 2), (2, 0), (2, 3), (2, 65), (3, 4), (5, 1)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(
            SegmentState::from_bytes(&bad).is_err(),
            "byte {at} = {value}"
        );
    }
    assert!(SegmentState::from_bytes(&[&good[..], &[0]].concat()).is_err());
    for number in [24, 32, 48] {
        let mut bad = good.clone();
        bad[number] ^= 1;
        assert!(
            SegmentState::from_bytes(&bad).is_err(),
            "other number at byte {number}"
        );
    }
}

#[test]
fn states_of_different_units_are_told_apart() {
    let seconds = shape(Mode::Ordered, 2, Some(10)).with_unit(1);
    let mut one = state(seconds, &[(0, 1)]);
    assert_eq!(SegmentState::from_bytes(&one.to_bytes()).unwrap(), one);
    let other = state(seconds.with_unit(3), &[(1, 1)]);
    assert_eq!(
        one.merge(&other).unwrap_err().to_string(),
        "funnel states of different funnels cannot be merged: 2 steps, mode 'ordered', a window of \
         10, unit of time 1 and 2 steps, mode 'ordered', a window of 10, unit of time 3"
    );
}

/// Few instants and few steps: many ties, and cuts close together.
fn histories() -> impl Strategy<Value = (StateShape, Vec<(i64, u64)>, Vec<i64>)> {
    let order = prop_oneof![Just(Mode::Ordered), Just(Mode::OrderedIncrease)];
    let window = prop_oneof![1 => Just(None), 4 => (0_u64..14).prop_map(Some)];
    (order, 1_usize..=6, window, 1_i64..24).prop_flat_map(|(order, steps, window, span)| {
        let mask = prop_oneof![
            4 => (0..steps).prop_map(|step| 1_u64 << step),
            3 => 0_u64..1 << steps,
        ];
        (
            Just(shape(order, steps, window)),
            prop::collection::vec((-span..span, mask), 0..30),
            prop::collection::vec(-span..span, 0..4),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn merging_from_either_side_equals_the_whole((shape, mut history, mut cuts) in histories()) {
        history.sort_by_key(|(time, _)| *time);
        cuts.sort_unstable();
        let whole = state(shape, &history);
        // A cut is a time, so rows of the same time stay together.
        let mut parts = Vec::new();
        let mut rest = &history[..];
        for cut in cuts {
            let (part, others) = rest.split_at(rest.partition_point(|(time, _)| *time < cut));
            parts.push(state(shape, part));
            rest = others;
        }
        parts.push(state(shape, rest));

        prop_assert_eq!(&merged(&parts), &whole);
        let right = parts.iter().rev().fold(SegmentState::empty(shape), |later, part| {
            let mut part = part.clone();
            part.merge(&later).unwrap();
            part
        });
        prop_assert_eq!(&right, &whole);
        parts.reverse();
        prop_assert_eq!(&SegmentState::merge_all(shape, parts).unwrap(), &whole);
        prop_assert_eq!(&SegmentState::from_bytes(&whole.to_bytes()).unwrap(), &whole);

        let spec = Spec::new(shape.mode(), shape.steps(), shape.window()).unwrap();
        let level = Matcher::new(spec).level(&rows(&history));
        prop_assert_eq!(whole.level(), level);
    }
}
