//! The machines against the exhaustive reference, and the laws that hold on histories of any size.

#![cfg(test)]

use funnel_match::{Matcher, Mode, Row, Spec, reference};
use proptest::prelude::*;

/// Few instants and few steps: many ties, duplicates and returns.
fn histories(rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let window = prop_oneof![Just(None), (0_u64..14).prop_map(Some)];
    let mode = prop_oneof![3 => Just(Mode::Ordered), 1 => Just(Mode::Loose)];
    (mode, 1_usize..=8, window, 1_i64..16).prop_flat_map(move |(mode, steps, window, span)| {
        // One step a row as a rule; sometimes several, none, or bits beyond the last step.
        let mask = prop_oneof![
            5 => (0..steps).prop_map(|step| 1_u64 << step),
            3 => 0_u64..1 << steps,
            1 => any::<u64>(),
        ];
        let row = (-span..span, mask).prop_map(|(time, mask)| Row { time, mask });
        let spec = Spec::new(mode, steps, window).unwrap();
        (Just(spec), prop::collection::vec(row, 0..=rows_max))
    })
}

fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.time);
    rows
}

fn trace(spec: Spec, rows: &[Row]) -> (usize, Vec<Option<i64>>) {
    let mut times = Vec::new();
    let level = Matcher::new(spec).trace(&sorted(rows), &mut times);
    (level, times)
}

fn level(spec: Spec, rows: &[Row]) -> usize {
    Matcher::new(spec).level(&sorted(rows))
}

fn with_window(spec: Spec, window: Option<u64>) -> Spec {
    Spec::new(spec.mode(), spec.steps(), window).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn machine_equals_exhaustive_search((spec, rows) in histories(7)) {
        let expected = reference::times(spec, &rows);
        prop_assert_eq!(trace(spec, &rows), (reference::level(spec, &rows), expected.clone()));
        let reached = (0..).zip(&expected).filter(|(_, time)| time.is_some());
        let mask = reached.fold(0_u64, |mask, (step, _)| mask | 1 << step);
        prop_assert_eq!(Matcher::new(spec).reached(&sorted(&rows)), mask);
        prop_assert_eq!(level(spec, &rows), reference::level(spec, &rows));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn order_of_rows_within_an_instant_does_not_matter(
        ((spec, rows), shuffled) in histories(60).prop_flat_map(|(spec, rows)| {
            (Just((spec, rows.clone())), Just(rows).prop_shuffle())
        })
    ) {
        prop_assert_eq!(trace(spec, &rows), trace(spec, &shuffled));
    }

    #[test]
    fn a_matcher_forgets_the_history_before(
        (spec, rows) in histories(60), others in histories(60)
    ) {
        let mut matcher = Matcher::new(spec);
        let mut times = Vec::new();
        matcher.trace(&sorted(&others.1), &mut times);
        let level = matcher.trace(&sorted(&rows), &mut times);
        prop_assert_eq!((level, times), trace(spec, &rows));
    }

    #[test]
    fn wider_window_never_lowers_the_number_of_steps((spec, rows) in histories(60)) {
        let mut before = 0;
        for window in (0..16).map(Some).chain([None]) {
            let mut matcher = Matcher::new(with_window(spec, window));
            let steps = matcher.reached(&sorted(&rows)).count_ones();
            prop_assert!(steps >= before, "window {:?}: {} after {}", window, steps, before);
            before = steps;
        }
    }

    #[test]
    fn one_more_row_never_lowers_the_number_of_steps((spec, rows) in histories(60)) {
        let steps = |rows: &[Row]| Matcher::new(spec).reached(&sorted(rows)).count_ones();
        for fewer in 0..rows.len() {
            prop_assert!(steps(&rows[..fewer]) <= steps(&rows[..=fewer]));
        }
    }

    #[test]
    fn moving_all_times_moves_only_the_times((spec, rows) in histories(60), shift in -1000_i64..1000) {
        let moved: Vec<Row> =
            rows.iter().map(|row| Row { time: row.time + shift, ..*row }).collect();
        let (level, times) = trace(spec, &rows);
        let times: Vec<_> = times.iter().map(|time| time.map(|time| time + shift)).collect();
        prop_assert_eq!(trace(spec, &moved), (level, times));
    }

    #[test]
    fn reported_chain_is_inside_the_window_and_in_order((spec, rows) in histories(60)) {
        let times: Vec<i64> = trace(spec, &rows).1.into_iter().flatten().collect();
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            prop_assert!(spec.window().is_none_or(|window| last.abs_diff(*first) <= window));
        }
        prop_assert!(spec.mode() == Mode::Loose || times.is_sorted());
    }
}
