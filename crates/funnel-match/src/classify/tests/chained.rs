use super::*;
use crate::{Action, Entry, Exclusion, Reuse};

fn spec(mode: &str, options: Options) -> Spec {
    let spec = Spec::new(mode.parse().unwrap(), 3, Some(10)).unwrap();
    spec.with_options(options).unwrap()
}

fn names(spec: &Spec, given: &[(i64, u64)]) -> Vec<&'static str> {
    let classes = classify(spec, &rows(given));
    classes.into_iter().map(Class::name).collect()
}

#[test]
fn a_rule_of_the_mode_is_told_apart_from_time_window_and_order() {
    // Entry, an interruption, the second step, the third too early and too late.
    let history = [(0, 1), (1, 8), (2, 2), (3, 2), (5, 4), (11, 4)];
    assert_eq!(
        names(&spec("ch:strict_order", Options::default()), &history),
        [
            "used",
            "not_a_step",
            "own_rule",
            "own_rule",
            "out_of_order",
            "out_of_window"
        ]
    );
    assert_eq!(
        names(
            &spec("ch:strict_deduplication", Options::default()),
            &history
        ),
        [
            "used",
            "not_a_step",
            "used",
            "repeat",
            "own_rule",
            "out_of_window"
        ]
    );
    let gap = Options {
        max_gap: vec![None, Some(1)],
        ..Options::default()
    };
    assert_eq!(
        names(&spec("ordered", gap), &[(0, 1), (2, 2), (4, 4), (20, 1)]),
        ["used", "used", "own_rule", "repeat"]
    );
}

#[test]
fn a_stretch_without_order_has_rows_inside_and_outside() {
    let spec = spec("unordered", Options::default());
    assert_eq!(
        names(&spec, &[(0, 4), (15, 2), (20, 1), (21, 1), (26, 4)]),
        ["out_of_window", "used", "used", "repeat", "out_of_window"]
    );
}

#[test]
fn excluded_and_missing_rows_leave_the_others_their_classes() {
    let stop = Options {
        exclusions: vec![Exclusion {
            from: 0,
            to: 2,
            action: Action::Stop,
        }],
        optional: 0b010,
        ..Options::default()
    };
    let spec = spec("ordered", stop);
    // Bit 3 is the excluded row.
    assert_eq!(
        names(&spec, &[(0, 2), (1, 1), (2, 8), (3, 4), (12, 4)]),
        [
            "before_entry",
            "used",
            "excluded",
            "own_rule",
            "out_of_window"
        ]
    );
    // Complete without the optional step.
    assert_eq!(
        names(&spec, &[(1, 1), (3, 4), (4, 2)]),
        ["used", "used", "after_completion"]
    );
}

const MODES: [&str; 14] = [
    "unordered",
    "unordered,anchored",
    "ch:default",
    "ch:strict_order",
    "ch:strict_deduplication",
    "ch:strict_increase,strict_once",
    "doris:default",
    "doris:fixed",
    "starrocks:deduplication",
    "pinot:strict_order",
    "posthog:ordered",
    "posthog:strict",
    "posthog:unordered",
    "ordered",
];

/// Modes that have no classes of their own, and options.
fn histories() -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let entry = prop_oneof![
        Just(Entry::Latest),
        Just(Entry::First),
        Just(Entry::EarliestLongest)
    ];
    let options = (entry, any::<bool>(), prop::option::of(0_u64..4));
    (0..MODES.len(), options, prop::option::of(0_u64..8)).prop_flat_map(
        |(mode, (entry, many, gap), window)| {
            let window =
                window.map(|window| window.max(u64::from(MODES[mode].starts_with("pinot"))));
            let spec = Spec::new(MODES[mode].parse().unwrap(), 3, window).unwrap();
            let options = Options {
                entry,
                reuse: if many { Reuse::RowMany } else { Reuse::RowOnce },
                max_gap: vec![gap],
                ..Options::default()
            };
            let spec = spec.clone().with_options(options).unwrap_or(spec);
            let mask = prop_oneof![3 => (0_usize..=3).prop_map(|bit| 1 << bit), 1 => 0_u64..16];
            let row = (0_i64..12, mask).prop_map(|(time, mask)| Row { time, mask });
            let rows = prop::collection::vec(row, 0..10).prop_map(|mut rows| {
                rows.sort_by_key(|row| row.time);
                rows
            });
            (Just(spec), rows)
        },
    )
}

#[test]
fn advice_on_the_window_is_true_under_the_options() {
    let why = |options, given: &[(i64, u64)]| reason(&spec("ordered", options), &rows(given), None);
    let gap = Options {
        max_gap: vec![Some(2)],
        ..Options::default()
    };
    let found = why(gap, &[(0, 1), (15, 2)]);
    assert_eq!(found, Some(Reason::SeveralRules { step: 1 }));
    let first = Options {
        entry: Entry::First,
        ..Options::default()
    };
    let found = why(first, &[(0, 1), (20, 1), (31, 2)]);
    assert_eq!(found, Some(Reason::AfterWindow { step: 1, by: 21 }));
}

fn is_exclusive(spec: &Spec) -> bool {
    matches!(spec.mode(), Mode::Pinot(_))
}

#[test]
fn rows_of_a_key_that_an_excluded_row_drops_do_not_come_before() {
    let exclusion = crate::Exclusion {
        from: 0,
        to: 2,
        action: crate::Action::Drop,
    };
    let options = crate::Options {
        exclusions: vec![exclusion],
        ..crate::Options::default()
    };
    let spec = Spec::new(Mode::Ordered, 3, Some(10)).unwrap();
    let spec = spec.with_options(options).unwrap();
    let history = rows(&[(0, 2), (1, 1), (2, 8), (3, 2), (4, 4), (15, 4)]);
    let names: Vec<_> = classify(&spec, &history)
        .iter()
        .map(|class| class.name())
        .collect();
    assert_eq!(
        names,
        [
            "before_entry",
            "own_rule",
            "excluded",
            "own_rule",
            "own_rule",
            "out_of_window"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_wider_window_is_named_where_it_helps((spec, rows) in histories()) {
        if let Some(Reason::AfterWindow { by, .. }) = reason(&spec, &rows, None) {
            let window = spec.window().unwrap();
            let reached = steps_reached(&spec, &rows);
            prop_assert!(steps_reached(&spec.with_window(Some(window + by)), &rows) > reached);
            if !spec.mode().is_dialect() {
                let less = spec.with_window(Some(window + by - 1));
                prop_assert_eq!(steps_reached(&less, &rows), reached);
            }
        }
    }

    #[test]
    fn classes_are_true_of_their_rows((spec, rows) in histories()) {
        let classes = classify(&spec, &rows);
        let chain = chain(&spec, &rows);
        let filled: Vec<(usize, i64)> = chain
            .iter()
            .enumerate()
            .filter_map(|(step, row)| row.map(|row| (step, rows[row].time)))
            .collect();
        let begin = filled.iter().map(|(_, time)| *time).min();
        let end = filled.iter().map(|(_, time)| *time).max();
        let free = matches!(spec.mode(), Mode::Unordered { .. } | Mode::PostHog(crate::PostHog::Unordered));
        for (position, (row, class)) in rows.iter().zip(&classes).enumerate() {
            let has = |step: usize| row.mask >> step & 1 == 1;
            let reached = |step: usize| {
                filled.iter().any(|(other, time)| *other == step && (free || *time <= row.time))
            };
            // Where a rule leaves no chain, the last beginning stands for it.
            let entry = rows.iter().rfind(|entry| entry.mask & 1 == 1 && entry.time <= row.time);
            let entry = entry.map(|entry| entry.time).filter(|_| filled.is_empty() && !free);
            match *class {
                Class::Used { steps } => prop_assert!(bits(steps).all(|step| chain[step] == Some(position))),
                Class::NotAStep => prop_assert_eq!(row.mask & 7, 0),
                Class::SupersededEntry => prop_assert!(has(0) && Some(row.time) < begin),
                Class::BeforeEntry => prop_assert!(begin.or(entry).is_none_or(|begin| row.time < begin)),
                Class::AfterCompletion => {
                    prop_assert!(filled.len() == 3 && Some(row.time) > end);
                }
                Class::Repeat { step } => {
                    prop_assert!(has(step) && (0..3).filter(|step| has(*step)).all(reached));
                }
                Class::OutOfWindow { step, by } => {
                    prop_assert!(has(step) && !reached(step) && by > 0);
                    let window = spec.window().unwrap();
                    let begin = begin.or(entry).unwrap();
                    let end = end.unwrap_or(begin);
                    let stretch = if row.time < begin { end - row.time } else { row.time - begin };
                    let first_outside = u64::from(is_exclusive(&spec));
                    prop_assert_eq!(stretch.unsigned_abs() + first_outside, window + by);
                }
                Class::OutOfOrder { step } => {
                    prop_assert!(has(step) && !free && (0..step).any(|step| !reached(step)));
                }
                // Nothing that can be seen from the chain stands against it.
                Class::OwnRule { step } => {
                    prop_assert!(has(step) && !reached(step));
                    prop_assert!(free || filled.is_empty() || (0..step).all(reached));
                    prop_assert!(free || begin.is_none_or(|begin| begin <= row.time));
                    let stretch = begin.or(entry).map_or(0, |begin| row.time.abs_diff(begin));
                    prop_assert!(row.time < begin.unwrap_or_default() || spec.window().is_none_or(|window| stretch + u64::from(is_exclusive(&spec)) <= window));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
        let counted = classes.iter().filter(|class| matches!(class, Class::Used { .. })).count();
        prop_assert!(counted <= filled.len() && (counted > 0) != filled.is_empty());
    }
}
