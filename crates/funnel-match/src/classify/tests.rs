use proptest::prelude::*;

use super::reason::level_reusing_rows;
use super::*;

mod chained;
mod next;

fn rows(rows: &[(i64, u64)]) -> Vec<Row> {
    let row = |&(time, mask): &(i64, u64)| Row { time, mask };
    rows.iter().map(row).collect()
}

fn classes(mode: Mode, window: Option<u64>, given: &[(i64, u64)]) -> Vec<&'static str> {
    let spec = Spec::new(mode, 3, window).unwrap();
    let classes = classify(&spec, &rows(given));
    classes.into_iter().map(Class::name).collect()
}

fn why(window: Option<u64>, as_of: Option<i64>, given: &[(i64, u64)]) -> Option<Reason> {
    let spec = Spec::new(Mode::Ordered, 3, window).unwrap();
    reason(&spec, &rows(given), as_of)
}

#[test]
fn each_row_of_a_busy_history_has_its_class() {
    let history = [
        (0, 2),  // a click before anything was shown
        (1, 1),  // shown, and shown again before the click
        (5, 1),  // the entry
        (6, 4),  // requested before the click
        (7, 2),  // the click
        (8, 2),  // clicked twice
        (9, 8),  // nothing the funnel asks for
        (10, 4), // the request
        (11, 4), // requested again
    ];
    assert_eq!(
        classes(Mode::Ordered, Some(20), &history),
        [
            "before_entry",
            "superseded_entry",
            "used",
            "out_of_order",
            "used",
            "repeat",
            "not_a_step",
            "used",
            "after_completion"
        ]
    );
    assert_eq!(
        classes(Mode::Ordered, Some(4), &history)[7],
        "out_of_window"
    );
}

#[test]
fn loose_rows_lie_inside_or_outside_of_the_stretch() {
    let history = [(0, 4), (50, 3), (51, 1), (99, 4)];
    assert_eq!(
        classes(Mode::Loose, Some(10), &history),
        ["out_of_window", "used", "repeat", "out_of_window"]
    );
}

#[test]
fn candidates_are_classified_in_any_order() {
    let spec = Spec::new(Mode::Ordered, 2, None).unwrap();
    let candidate = |time, mask, id| Candidate { time, mask, id };
    let given = [
        candidate(Some(9), 2, Some(1)),
        candidate(None, 1, Some(2)),
        candidate(Some(3), 1, None),
        candidate(Some(9), 2, Some(1)),
    ];
    let expected = [
        Class::Used { steps: 2 },
        Class::NullTime,
        Class::Used { steps: 1 },
        Class::DuplicateId,
    ];
    assert_eq!(classify_candidates(&spec, &given), expected);
}

#[test]
fn reasons_name_the_step_and_the_measure() {
    assert_eq!(why(None, None, &[(0, 1), (1, 2), (2, 4)]), None);
    assert_eq!(why(None, None, &[(0, 2)]), Some(Reason::NeverEntered));
    assert_eq!(
        why(None, None, &[(0, 1)]),
        Some(Reason::NeverSeen { step: 1 })
    );
    assert_eq!(
        why(None, None, &[(0, 2), (1, 1)]),
        Some(Reason::OnlyBeforeEntry { step: 1 })
    );
    assert_eq!(
        why(None, None, &[(0, 1), (1, 4), (2, 2)]),
        Some(Reason::OnlyBeforePrevious { step: 2 })
    );
    assert_eq!(
        why(None, None, &[(0, 3)]),
        Some(Reason::OnlyCandidateUsed { step: 1 })
    );
    assert_eq!(
        why(Some(10), None, &[(0, 1), (2, 1), (5, 2), (20, 4)]),
        Some(Reason::AfterWindow { step: 2, by: 8 })
    );
}

#[test]
fn the_same_instant_is_not_later() {
    let spec = Spec::new(Mode::OrderedIncrease, 2, None).unwrap();
    let history = rows(&[(0, 1), (0, 2)]);
    let classes = classify(&spec, &history);
    assert_eq!(
        classes,
        [Class::Used { steps: 1 }, Class::NotLater { step: 1 }]
    );
    let why = reason(&spec, &history, None);
    assert_eq!(why, Some(Reason::NotStrictlyLater { step: 1 }));
}

#[test]
fn first_instant_outside_of_an_exclusive_window_is_out_by_one() {
    let options = crate::Options {
        bound: Bound::Exclusive,
        ..crate::Options::default()
    };
    let spec = Spec::new(Mode::Ordered, 2, Some(10))
        .unwrap()
        .with_options(options)
        .unwrap();
    let history = rows(&[(0, 1), (10, 2)]);
    let classes = classify(&spec, &history);
    assert_eq!(classes[1], Class::OutOfWindow { step: 1, by: 1 });
    let why = reason(&spec, &history, None);
    assert_eq!(why, Some(Reason::AfterWindow { step: 1, by: 1 }));
}

#[test]
fn window_is_open_up_to_its_last_instant() {
    let history = [(0, 1), (4, 1), (5, 2)];
    let open = Some(Reason::WindowOpen { step: 2, until: 14 });
    assert_eq!(why(Some(10), Some(6), &history), open);
    assert_eq!(why(Some(10), Some(14), &history), open);
    assert_eq!(
        why(Some(10), Some(15), &history),
        Some(Reason::NeverSeen { step: 2 })
    );
}

/// Few instants and few steps: many ties, duplicates and returns.
fn histories(rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let window = prop_oneof![Just(None), (0_u64..10).prop_map(Some)];
    let mode = prop_oneof![
        3 => Just(Mode::Ordered),
        2 => Just(Mode::OrderedIncrease),
        1 => Just(Mode::Loose),
    ];
    (mode, 1_usize..=4, window).prop_flat_map(move |(mode, steps, window)| {
        let mask = prop_oneof![3 => (0..=steps).prop_map(|bit| 1 << bit), 1 => 0_u64..32];
        let row = (0_i64..14, mask).prop_map(|(time, mask)| Row { time, mask });
        let spec = Spec::new(mode, steps, window).unwrap();
        let rows = prop::collection::vec(row, 0..=rows_max).prop_map(|mut rows| {
            rows.sort_by_key(|row| row.time);
            rows
        });
        (Just(spec), rows)
    })
}

fn steps_reached(spec: &Spec, rows: &[Row]) -> u32 {
    Matcher::new(spec.clone()).reached(rows).count_ones()
}

/// When the reported chain reached its steps.
fn chain_of(spec: &Spec, rows: &[Row]) -> Vec<i64> {
    let mut times = Vec::new();
    Matcher::new(spec.clone()).trace(rows, &mut times);
    times.into_iter().flatten().collect()
}

/// Every chain in which a row may fill several steps, by search.
fn longest_reusing_rows(spec: &Spec, rows: &[Row], chain: &[usize]) -> usize {
    let step = chain.len();
    let last = chain.last().map_or(i64::MIN, |row| rows[*row].time);
    let fits = |row: &usize| {
        let first = chain
            .first()
            .map_or(rows[*row].time, |first| rows[*first].time);
        step < spec.steps()
            && rows[*row].mask >> step & 1 == 1
            && rows[*row].time >= last
            && spec.shape().within(first, rows[*row].time)
    };
    let longer = (0..rows.len())
        .filter(fits)
        .map(|row| longest_reusing_rows(spec, rows, &[chain, &[row]].concat()));
    longer.max().unwrap_or(step)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn used_rows_are_the_chain_that_the_matcher_reports((spec, rows) in histories(12)) {
        let classes = classify(&spec, &rows);
        prop_assert_eq!(classes.len(), rows.len(), "one class for each row");
        let mut times = Vec::new();
        Matcher::new(spec.clone()).trace(&rows, &mut times);
        times.resize(spec.steps(), None);
        let mut filled = vec![None; spec.steps()];
        for (row, class) in rows.iter().zip(&classes) {
            let Class::Used { steps } = class else { continue };
            prop_assert_eq!(steps & row.mask, *steps, "a row fills steps that it satisfies");
            prop_assert!(spec.mode() == Mode::Loose || steps.is_power_of_two());
            for step in bits(*steps) {
                prop_assert_eq!(filled[step].replace(row.time), None, "one row for each step");
            }
        }
        prop_assert_eq!(filled, times);
    }

    #[test]
    fn classes_say_what_is_true_of_their_rows((spec, rows) in histories(12)) {
        let classes = classify(&spec, &rows);
        let used = |class: &Class| matches!(class, Class::Used { .. });
        let chain: Vec<i64> =
            rows.iter().zip(&classes).filter(|(_, c)| used(c)).map(|(r, _)| r.time).collect();
        let (first, last) = (chain.first().copied(), chain.last().copied());
        let complete = Matcher::new(spec.clone()).level(&rows) == spec.steps();
        for (row, class) in rows.iter().zip(&classes) {
            let is_step = row.mask & spec.shape().all != 0;
            prop_assert_eq!(*class == Class::NotAStep, !is_step);
            match *class {
                Class::SupersededEntry => {
                    prop_assert!(row.mask & 1 == 1 && Some(row.time) < first);
                }
                Class::BeforeEntry => prop_assert!(first.is_none_or(|first| row.time < first)),
                Class::AfterCompletion => prop_assert!(complete && Some(row.time) > last),
                Class::OutOfWindow { by, .. } => {
                    let distance = row.time.abs_diff(first.unwrap());
                    let window = spec.window().unwrap();
                    prop_assert!(by == distance.saturating_sub(window) || Some(row.time) < first);
                    prop_assert!(by > 0);
                }
                Class::OutOfOrder { step } => {
                    let before = chain_of(&spec, &rows).get(step - 1).copied();
                    prop_assert!(row.mask >> step & 1 == 1);
                    prop_assert!(before.is_none_or(|before| before > row.time));
                }
                Class::NotLater { step } => {
                    prop_assert_eq!(spec.mode(), Mode::OrderedIncrease);
                    prop_assert_eq!(chain_of(&spec, &rows)[step - 1], row.time);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn rows_used_again_are_found_in_one_pass((spec, rows) in histories(9)) {
        let level = level_reusing_rows(spec.window(), spec.steps(), &rows);
        prop_assert_eq!(level, longest_reusing_rows(&spec, &rows, &[]));
    }

    #[test]
    fn removing_a_row_that_is_not_used_keeps_the_reach((spec, rows) in histories(10)) {
        let reached = steps_reached(&spec, &rows);
        for (index, class) in classify(&spec, &rows).into_iter().enumerate() {
            if !matches!(class, Class::Used { .. }) {
                let mut fewer = rows.clone();
                fewer.remove(index);
                prop_assert_eq!(steps_reached(&spec, &fewer), reached);
            }
        }
    }

    #[test]
    fn reasons_are_what_would_have_helped((spec, rows) in histories(8), as_of in 0_i64..30) {
        let level = Matcher::new(spec.clone()).level(&rows);
        let reached = steps_reached(&spec, &rows);
        let as_of = rows.last().map_or(as_of, |row| as_of.max(row.time));
        let Some(why) = reason(&spec, &rows, Some(as_of)) else {
            prop_assert_eq!(level, spec.steps());
            return Ok(());
        };
        prop_assert_eq!(why.step(), level);
        let seen = rows.iter().any(|row| row.mask >> level & 1 == 1);
        let wider = |by: u64| {
            let window = spec.window().map(|window| window + by);
            steps_reached(&spec.with_window(window), &rows)
        };
        let ordered = Spec::new(Mode::Ordered, spec.steps(), spec.window()).unwrap();
        match why {
            Reason::NeverEntered => prop_assert!(level == 0 && !seen),
            Reason::NeverSeen { .. } => prop_assert!(!seen),
            Reason::AfterWindow { by, .. } => {
                prop_assert!(wider(by) > reached && wider(by - 1) == reached && seen);
            }
            Reason::WindowOpen { until, .. } => prop_assert!(until >= as_of),
            Reason::OnlyCandidateUsed { .. } => {
                prop_assert!(longest_reusing_rows(&spec, &rows, &[]) > level);
            }
            Reason::OnlyBeforeEntry { step } | Reason::OnlyBeforePrevious { step } => {
                let unbounded = spec.with_window(None);
                prop_assert_eq!(longest_reusing_rows(&unbounded, &rows, &[]), level);
                let entry = rows.iter().find(|row| row.mask & 1 == 1).unwrap();
                let last = rows.iter().rfind(|row| row.mask >> step & 1 == 1).unwrap();
                let before = matches!(why, Reason::OnlyBeforeEntry { .. });
                prop_assert_eq!(last.time < entry.time, before);
            }
            Reason::NotStrictlyLater { .. } => {
                let mut ties = Matcher::new(ordered);
                prop_assert!(ties.level(&rows) > level && spec.mode() == Mode::OrderedIncrease);
            }
            Reason::ExcludedBy { .. } => prop_assert!(false, "nothing is excluded"),
            Reason::AfterGap { .. }
            | Reason::Interrupted { .. }
            | Reason::HeldDiffers { .. }
            | Reason::OwnRule { .. }
            | Reason::NotExplained { .. } => {
                prop_assert!(false, "{why:?} in mode {}", spec.mode());
            }
            Reason::SeveralRules { .. } => {
                let alone = match spec.mode() {
                    Mode::OrderedIncrease => Matcher::new(ordered).level(&rows),
                    _ => longest_reusing_rows(&spec, &rows, &[]),
                };
                prop_assert_eq!(alone, level);
                prop_assert!(longest_reusing_rows(&spec.with_window(None), &rows, &[]) > level);
            }
        }
    }
}
