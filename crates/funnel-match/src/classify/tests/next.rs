//! Mode `next`, held to the reference, and what is said of modes that are not explained.

use proptest::prelude::*;

use super::*;
use crate::reference;

#[test]
fn what_comes_between_is_named_in_mode_next() {
    let every_row = Mode::Next {
        relevant_steps: false,
    };
    let history = [(0, 4), (1, 1), (5, 1), (6, 2), (7, 8), (8, 4), (9, 2)];
    assert_eq!(
        classes(every_row, None, &history),
        [
            "before_entry",
            "superseded_entry",
            "used",
            "used",
            "interrupts",
            "interrupted",
            "repeat"
        ]
    );
    let spec = Spec::new(every_row, 3, None).unwrap();
    let interrupted = Some(Reason::Interrupted { step: 2, by: 4 });
    assert_eq!(reason(&spec, &rows(&history), None), interrupted);
    let steps_only = Mode::Next {
        relevant_steps: true,
    };
    assert_eq!(
        classes(steps_only, None, &history)[4..],
        ["not_a_step", "used", "after_completion"]
    );
}

#[test]
fn a_dialect_tells_the_chain_and_the_reason_as_far_as_ordered_knows_it() {
    let mode: Mode = "ch:strict_deduplication".parse().unwrap();
    let history = [(0, 1), (1, 2), (2, 2), (3, 4), (4, 0)];
    let spec = Spec::new(mode, 3, Some(10)).unwrap();
    assert!(!is_explained(&spec));
    assert_eq!(
        classes(mode, Some(10), &history),
        ["used", "used", "repeat", "own_rule", "not_a_step"]
    );
    let why = |history: &[(i64, u64)]| reason(&spec, &rows(history), Some(5));
    assert_eq!(why(&history), Some(Reason::OwnRule { step: 2 }));
    // Without the repeat there is one rule less, and the window alone is in the way.
    assert_eq!(
        why(&[(0, 1), (1, 2), (13, 4)]),
        Some(Reason::AfterWindow { step: 2, by: 3 })
    );
    assert_eq!(
        why(&[(0, 1), (1, 4), (2, 2)]),
        Some(Reason::OnlyBeforePrevious { step: 2 })
    );
    assert_eq!(why(&history[..2]), Some(Reason::NeverSeen { step: 2 }));
    assert_eq!(why(&[]), Some(Reason::NeverEntered));
    // A mode that goes further than `ordered` does, with a window of its own.
    let mode: Mode = "unordered".parse().unwrap();
    let spec = Spec::new(mode, 3, Some(10)).unwrap();
    let found = reason(&spec, &rows(&[(0, 4), (1, 1), (20, 2)]), None);
    assert_eq!(found, Some(Reason::AfterWindow { step: 2, by: 10 }));
}

#[test]
fn a_row_that_came_between_keeps_its_place_among_the_candidates() {
    let mode = Mode::Next {
        relevant_steps: false,
    };
    let spec = Spec::new(mode, 2, None).unwrap();
    let candidate = |time, mask| Candidate {
        time: Some(time),
        mask,
        id: None,
    };
    let given = [candidate(3, 2), candidate(2, 0), candidate(1, 1)];
    let expected = [
        Class::Interrupted { step: 1, by: 1 },
        Class::Interrupts { step: 1 },
        Class::Used { steps: 1 },
    ];
    assert_eq!(classify_candidates(&spec, &given), expected);
}

/// Histories of mode `next`.
fn histories_next(rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    (histories(rows_max), any::<bool>()).prop_map(|((spec, rows), relevant_steps)| {
        let mode = Mode::Next { relevant_steps };
        let spec = Spec::new(mode, spec.steps(), spec.window()).unwrap();
        (spec, rows)
    })
}

/// The rows whose positions are not in `removed`.
fn without(rows: &[Row], removed: impl Fn(usize) -> bool) -> Vec<Row> {
    let kept = rows.iter().enumerate().filter(|(at, _)| !removed(*at));
    kept.map(|(_, row)| *row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn classes_of_mode_next_are_true_of_their_rows((spec, rows) in histories_next(8)) {
        let classes = classify(&spec, &rows);
        let level = reference::level(&spec, &rows);
        let all = spec.shape().all;
        let used: Vec<usize> =
            (0..rows.len()).filter(|at| matches!(classes[*at], Class::Used { .. })).collect();
        prop_assert_eq!(used.len(), level, "one row for each step reached");
        let end = used.last().map(|at| rows[*at].time);
        let first = used.first().map(|at| rows[*at].time);
        let breaks: Vec<usize> =
            (0..rows.len()).filter(|at| matches!(classes[*at], Class::Interrupts { .. })).collect();
        prop_assert!(breaks.len() <= 1);
        for (at, (row, class)) in rows.iter().zip(&classes).enumerate() {
            match *class {
                Class::Used { steps } => prop_assert_eq!(steps & row.mask, steps),
                Class::NotAStep => prop_assert_eq!(row.mask & all, 0),
                Class::SupersededEntry => prop_assert!(row.mask & 1 == 1 && Some(row.time) <= first),
                Class::BeforeEntry => prop_assert!(first.is_none_or(|first| row.time <= first)),
                Class::AfterCompletion => {
                    prop_assert!(level == spec.steps() && Some(row.time) >= end);
                }
                Class::OutOfWindow { step, by } => {
                    let window = spec.with_window(spec.window().map(|window| window + by));
                    let chain: Vec<Row> = used.iter().chain([&at]).map(|at| rows[*at]).collect();
                    prop_assert_eq!(step, level);
                    prop_assert_eq!(reference::level(&spec, &chain), level);
                    prop_assert_eq!(reference::level(&window, &chain), level + 1);
                }
                Class::Interrupted { step, by } => {
                    prop_assert_eq!((step, breaks.first()), (level, Some(&by)));
                    let chain: Vec<Row> = used.iter().chain([&at]).map(|at| rows[*at]).collect();
                    prop_assert_eq!(reference::level(&spec, &chain), level + 1, "without what came between");
                }
                Class::Interrupts { step } => {
                    prop_assert!(step == level && level > 0 && Some(row.time) >= end);
                }
                Class::OutOfOrder { step } => prop_assert!(row.mask >> step & 1 == 1 && step > level),
                Class::Repeat { step } => prop_assert!(row.mask >> step & 1 == 1 && step < level),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn reasons_of_mode_next_are_what_would_have_helped(
        (spec, rows) in histories_next(6), as_of in 0_i64..30
    ) {
        let level = reference::level(&spec, &rows);
        let as_of = rows.last().map_or(as_of, |row| as_of.max(row.time));
        let Some(why) = reason(&spec, &rows, Some(as_of)) else {
            prop_assert_eq!(level, spec.steps());
            return Ok(());
        };
        prop_assert_eq!(why.step(), level);
        let seen = rows.iter().any(|row| row.mask >> level & 1 == 1);
        let ordered = Spec::new(Mode::Ordered, spec.steps(), spec.window()).unwrap();
        let is_interrupted = reference::level(&ordered, &rows) > level;
        let single = crate::classify::reason::one_row_per_step(&spec, &rows);
        let wider = |by: u64| {
            let window = spec.window().map(|window| window + by);
            reference::level(&spec.with_window(window), &rows)
        };
        match why {
            Reason::NeverEntered => prop_assert!(level == 0 && !seen),
            Reason::NeverSeen { .. } => prop_assert!(!seen),
            Reason::WindowOpen { until, .. } => prop_assert!(until >= as_of),
            Reason::AfterWindow { by, .. } => {
                prop_assert!(wider(by) > level && wider(by - 1) == level && seen);
            }
            Reason::Interrupted { by, .. } => {
                prop_assert!(is_interrupted);
                // Of a chain that mode `ordered` counts, the row lies inside and is no part.
                let lies_inside = |set: u32| {
                    let chain = without(&rows, |at| set >> at & 1 == 0);
                    let ends = chain.first().zip(chain.last());
                    let time = rows[by].time;
                    chain.len() == level + 1
                        && reference::level(&ordered, &chain) == level + 1
                        && ends.is_some_and(|(first, last)| first.time < time && time < last.time)
                };
                let mut sets = 0..1_u32 << rows.len();
                prop_assert!(sets.any(|set| set >> by & 1 == 0 && lies_inside(set)));
                prop_assert!(!spec_overlooks(&spec, &rows[by]));
            }
            Reason::OnlyCandidateUsed { .. } => {
                prop_assert!(!is_interrupted && reference::level(&spec, &single) > level);
            }
            Reason::SeveralRules { .. } => {
                prop_assert!(!is_interrupted && reference::level(&spec, &single) <= level);
                prop_assert!(longest_reusing_rows(&ordered.with_window(None), &rows, &[]) > level);
            }
            Reason::OnlyBeforeEntry { .. } | Reason::OnlyBeforePrevious { .. } => {
                prop_assert!(!is_interrupted);
                prop_assert_eq!(longest_reusing_rows(&ordered.with_window(None), &rows, &[]), level);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

/// Does mode `next` overlook the row?
fn spec_overlooks(spec: &Spec, row: &Row) -> bool {
    let relevant_only = matches!(
        spec.mode(),
        Mode::Next {
            relevant_steps: true
        }
    );
    relevant_only && row.mask & spec.shape().all == 0
}
