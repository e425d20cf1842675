//! The machines against the exhaustive reference, and the laws that hold on histories of any size.

#![cfg(test)]

use funnel_match::{Bound, Count, Entry, Matcher, Mode, Options, Reuse, Row, Spec, reference};
use proptest::prelude::*;

/// More rows never make these worse.
const OWN: [&str; 3] = ["ordered", "ordered,increase", "loose"];

const OTHERS: [&str; 5] = [
    "next",
    "next,relevant=steps",
    "unordered",
    "unordered,anchored",
    "set",
];

/// Every legal combination of ClickHouse's modes.
fn clickhouse_modes() -> Vec<String> {
    let names = [
        "strict_deduplication",
        "strict_order",
        "strict_increase",
        "strict_once",
        "allow_reentry",
    ];
    let texts = combinations(&names).map(|flags| format!("ch:{flags}"));
    let legal = texts.filter(|text| text.parse::<Mode>().is_ok());
    legal.chain(["ch:default".to_owned()]).collect()
}

/// Every mode of the other dialects.
fn other_dialects() -> Vec<Mode> {
    let mut texts: Vec<String> = [
        "doris:default",
        "doris:deduplication",
        "doris:fixed",
        "doris:increase",
        "posthog:ordered",
        "posthog:strict",
        "posthog:unordered",
        "starrocks:default",
        "pinot:default",
        "pinot:max_step_duration=3",
        "pinot:keep_all,max_step_duration=2",
        "pinot:strict_increase,max_step_duration=4",
    ]
    .map(str::to_owned)
    .to_vec();
    let pinot = [
        "strict_deduplication",
        "strict_order",
        "strict_increase",
        "keep_all",
    ];
    texts.extend(combinations(&pinot).map(|flags| format!("pinot:{flags}")));
    let starrocks = ["deduplication", "fixed", "increase"];
    texts.extend(combinations(&starrocks).map(|flags| format!("starrocks:{flags}")));
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Every set of flags but the empty one.
fn combinations<'a>(names: &'a [&'a str]) -> impl Iterator<Item = String> + 'a {
    (1..1_usize << names.len()).map(|set| {
        let chosen = (0..names.len()).filter(|flag| set >> flag & 1 == 1);
        chosen.map(|flag| names[flag]).collect::<Vec<_>>().join(",")
    })
}

fn masks(steps: usize) -> impl Strategy<Value = u64> {
    // One step a row as a rule; sometimes several, none, or bits beyond the last step.
    prop_oneof![
        5 => (0..steps).prop_map(|step| 1_u64 << step),
        3 => 0_u64..1 << steps,
        1 => any::<u64>(),
    ]
}

/// Few instants and few steps: many ties, duplicates and returns.
fn histories_of(modes: Vec<Mode>, rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let window = prop_oneof![Just(None), (0_u64..14).prop_map(Some)];
    let shape = (prop::sample::select(modes), 1_usize..=6, window, 1_i64..16);
    shape.prop_flat_map(move |(mode, steps, window, span)| {
        let row = (-span..span, masks(steps)).prop_map(|(time, mask)| Row { time, mask });
        // Pinot has no window of 0, sets have none at all.
        let window = window
            .filter(|window| *window > 0 || !matches!(mode, Mode::Pinot(_)))
            .filter(|_| mode != Mode::Set);
        let spec = Spec::new(mode, steps, window).unwrap();
        (Just(spec), prop::collection::vec(row, 0..=rows_max))
    })
}

/// Of our own modes.
fn histories(rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let modes = OWN.iter().map(|mode| mode.parse().unwrap()).collect();
    histories_of(modes, rows_max)
}

fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.time);
    rows
}

fn trace(spec: &Spec, rows: &[Row]) -> (usize, Vec<Option<i64>>) {
    let mut times = Vec::new();
    let level = Matcher::new(spec.clone()).trace(&sorted(rows), &mut times);
    (level, times)
}

fn level(spec: &Spec, rows: &[Row]) -> usize {
    Matcher::new(spec.clone()).level(&sorted(rows))
}

fn with_window(spec: &Spec, window: Option<u64>) -> Spec {
    Spec::new(spec.mode(), spec.steps(), window).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn machine_equals_exhaustive_search((spec, rows) in histories(7)) {
        let expected = reference::times(&spec, &rows);
        prop_assert_eq!(trace(&spec, &rows), (reference::level(&spec, &rows), expected.clone()));
        let reached = (0..).zip(&expected).filter(|(_, time)| time.is_some());
        let mask = reached.fold(0_u64, |mask, (step, _)| mask | 1 << step);
        prop_assert_eq!(Matcher::new(spec.clone()).reached(&sorted(&rows)), mask);
        prop_assert_eq!(level(&spec, &rows), reference::level(&spec, &rows));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn clickhouse_in_linear_time_equals_every_chain(
        (spec, rows) in histories_of(
            clickhouse_modes().iter().map(|mode| mode.parse().unwrap()).collect(), 9
        )
    ) {
        let rows = sorted(&rows);
        let expected = reference::level(&spec, &rows);
        prop_assert_eq!(level(&spec, &rows), expected, "{}", spec.mode());
        prop_assert_eq!(trace(&spec, &rows).0, expected, "{}", spec.mode());
    }

    #[test]
    fn dialects_equal_their_engines_attempt_by_attempt(
        (spec, rows) in histories_of(other_dialects(), 12)
    ) {
        let rows = sorted(&rows);
        let expected = reference::level(&spec, &rows);
        prop_assert_eq!(level(&spec, &rows), expected, "{}", spec.mode());
        prop_assert_eq!(trace(&spec, &rows).0, expected, "{}", spec.mode());
    }

    #[test]
    fn chain_of_clickhouse_is_in_order_and_inside_the_window(
        (spec, rows) in histories_of(
            clickhouse_modes().iter().map(|mode| mode.parse().unwrap()).collect(), 20
        )
    ) {
        let rows = sorted(&rows);
        let mut chain = Vec::new();
        Matcher::new(spec.clone()).chain(&rows, &mut chain);
        for (step, row) in chain.iter().enumerate() {
            prop_assert!(rows[row.unwrap()].mask >> step & 1 == 1);
        }
        let times: Vec<i64> = chain.iter().map(|row| rows[row.unwrap()].time).collect();
        prop_assert!(times.is_sorted());
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            prop_assert!(spec.window().is_none_or(|window| last.abs_diff(*first) <= window));
        }
    }

    #[test]
    fn rows_that_fill_several_steps_and_exclusive_windows_equal_exhaustive_search(
        (spec, rows) in histories_of(vec![Mode::Ordered], 7), many in any::<bool>(), exclusive in any::<bool>()
    ) {
        let mut options = Options::default();
        if many {
            options.reuse = Reuse::RowMany;
        }
        if exclusive && spec.window() != Some(0) {
            options.bound = Bound::Exclusive;
        }
        let spec = spec.with_options(options).unwrap();
        let rows = sorted(&rows);
        let expected = reference::times(&spec, &rows);
        prop_assert_eq!(trace(&spec, &rows), (expected.len(), expected));
    }

    #[test]
    fn rows_that_follow_each_other_and_unordered_steps_equal_exhaustive_search(
        (spec, rows) in histories_of(OTHERS.map(|mode| mode.parse().unwrap()).to_vec(), 6)
    ) {
        let rows = sorted(&rows);
        let expected = reference::level(&spec, &rows);
        prop_assert_eq!(level(&spec, &rows), expected, "{}", spec.mode());
        let (found, times) = trace(&spec, &rows);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(times.iter().flatten().count(), expected);
        if matches!(spec.mode(), Mode::Next { .. }) {
            prop_assert_eq!(times, reference::times(&spec, &rows));
        }
    }

    #[test]
    fn rows_of_the_chain_are_different_and_satisfy_their_steps(
        (spec, rows) in histories_of(OTHERS[..4].iter().map(|mode| mode.parse().unwrap()).collect(), 40)
    ) {
        let rows = sorted(&rows);
        let mut chain = Vec::new();
        Matcher::new(spec.clone()).chain(&rows, &mut chain);
        for (step, row) in chain.iter().enumerate() {
            if let Some(row) = row {
                prop_assert!(rows[*row].mask >> step & 1 == 1);
                prop_assert!(!chain[..step].contains(&Some(*row)));
            }
        }
        let times = || chain.iter().flatten().map(|row| rows[*row].time);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            prop_assert!(spec.window().is_none_or(|window| last.abs_diff(first) <= window));
        }
    }

    #[test]
    fn entries_and_gaps_equal_exhaustive_search(
        (spec, rows) in histories_of(vec![Mode::Ordered, Mode::OrderedIncrease], 7),
        entry in prop::sample::select(vec![Entry::Latest, Entry::First, Entry::EarliestLongest]),
        gaps in prop::collection::vec(prop::option::of(0_u64..6), 5),
    ) {
        let gaps: Vec<_> = gaps.into_iter().take(spec.steps() - 1).collect();
        let limited = gaps.iter().any(Option::is_some);
        let options = Options { entry, max_gap: gaps, ..Options::default() };
        let spec = spec.with_options(options).unwrap();
        let rows = sorted(&rows);
        let expected = reference::times(&spec, &rows);
        prop_assert_eq!(level(&spec, &rows), expected.len());
        let (found, times) = trace(&spec, &rows);
        prop_assert_eq!(found, expected.len());
        prop_assert!(times.iter().is_sorted());
        if limited {
            prop_assert_eq!(times.last(), expected.last());
        } else {
            prop_assert_eq!(times, expected);
        }
    }

    #[test]
    fn attempts_are_those_of_the_definition(
        (spec, rows) in histories_of(vec![Mode::Ordered, Mode::OrderedIncrease], 8)
    ) {
        let options = Options { count: Count::Attempts, ..Options::default() };
        let first = Options { entry: Entry::First, ..Options::default() };
        let single = spec.clone().with_options(first).unwrap();
        let rows = sorted(&rows);
        let (mut attempts, mut completions) = (0, 0);
        let mut rest = rows.clone();
        while let Some(begin) = rest.iter().find(|row| row.mask & 1 == 1).map(|row| row.time) {
            rest.retain(|row| row.time >= begin);
            attempts += 1;
            let times = reference::times(&single, &rest);
            let complete = times.len() == spec.steps();
            completions += usize::from(complete);
            let inside = |time: i64| {
                spec.window().is_none_or(|window| time.abs_diff(begin) <= window)
            };
            match times.last().copied().flatten() {
                Some(last) if complete => rest.retain(|row| row.time > last),
                _ => rest.retain(|row| !inside(row.time)),
            }
        }
        let outcome = Matcher::new(spec.with_options(options).unwrap()).outcome(&rows);
        prop_assert_eq!((outcome.attempts, outcome.completions), (attempts, completions));
    }

    #[test]
    fn stricter_rules_never_reach_further((spec, rows) in histories_of(vec![Mode::Ordered], 60)) {
        let of = |mode| level(&Spec::new(mode, spec.steps(), spec.window()).unwrap(), &rows);
        let many = Options { reuse: Reuse::RowMany, ..Options::default() };
        let many = level(&spec.clone().with_options(many).unwrap(), &rows);
        prop_assert!(of(Mode::OrderedIncrease) <= of(Mode::Ordered));
        prop_assert!(of(Mode::Ordered) <= many);
        let unordered = |anchored| of(Mode::Unordered { anchored });
        prop_assert!(of(Mode::Ordered) <= unordered(true));
        prop_assert!(unordered(true) <= unordered(false));
        let next = |relevant_steps| of(Mode::Next { relevant_steps });
        prop_assert!(next(false) <= next(true));
        prop_assert!(next(true) <= of(Mode::Ordered));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn order_of_rows_within_an_instant_does_not_matter(
        ((spec, rows), shuffled) in prop_oneof![
            histories(60).boxed(),
            histories_of(OTHERS[..2].iter().map(|mode| mode.parse().unwrap()).collect(), 60).boxed(),
        ].prop_flat_map(|(spec, rows)| {
            (Just((spec, rows.clone())), Just(rows).prop_shuffle())
        })
    ) {
        prop_assert_eq!(trace(&spec, &rows), trace(&spec, &shuffled));
    }

    #[test]
    fn a_matcher_forgets_the_history_before(
        (spec, rows) in histories(60), others in histories(60)
    ) {
        let mut matcher = Matcher::new(spec.clone());
        let mut times = Vec::new();
        matcher.trace(&sorted(&others.1), &mut times);
        let level = matcher.trace(&sorted(&rows), &mut times);
        prop_assert_eq!((level, times), trace(&spec, &rows));
    }

    #[test]
    fn wider_window_never_lowers_the_number_of_steps((spec, rows) in histories(60)) {
        let mut before = 0;
        for window in (0..16).map(Some).chain([None]) {
            let mut matcher = Matcher::new(with_window(&spec, window));
            let steps = matcher.reached(&sorted(&rows)).count_ones();
            prop_assert!(steps >= before, "window {:?}: {} after {}", window, steps, before);
            before = steps;
        }
    }

    #[test]
    fn one_more_row_never_lowers_the_number_of_steps((spec, rows) in histories(60)) {
        let steps = |rows: &[Row]| Matcher::new(spec.clone()).reached(&sorted(rows)).count_ones();
        for fewer in 0..rows.len() {
            prop_assert!(steps(&rows[..fewer]) <= steps(&rows[..=fewer]));
        }
    }

    #[test]
    fn moving_all_times_moves_only_the_times((spec, rows) in histories(60), shift in -1000_i64..1000) {
        let moved: Vec<Row> =
            rows.iter().map(|row| Row { time: row.time + shift, ..*row }).collect();
        let (level, times) = trace(&spec, &rows);
        let times: Vec<_> = times.iter().map(|time| time.map(|time| time + shift)).collect();
        prop_assert_eq!(trace(&spec, &moved), (level, times));
    }

    #[test]
    fn reported_chain_is_inside_the_window_and_in_order((spec, rows) in histories(60)) {
        let times: Vec<i64> = trace(&spec, &rows).1.into_iter().flatten().collect();
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            prop_assert!(spec.window().is_none_or(|window| last.abs_diff(*first) <= window));
        }
        prop_assert!(spec.mode() == Mode::Loose || times.is_sorted());
    }
}
