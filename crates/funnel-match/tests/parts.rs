//! Exclusions and optional steps: the machine against every chain that there is.

#![cfg(test)]

use funnel_match::{
    Action, Bound, Entry, Exclusion, Matcher, Mode, Options, Row, Spec, State, reference,
};
use proptest::prelude::*;

fn exclusions(steps: usize, optional: u64) -> impl Strategy<Value = Vec<Exclusion>> {
    let required: Vec<usize> = (0..steps)
        .filter(|step| optional >> step & 1 == 0)
        .collect();
    let action = prop::sample::select(vec![Action::Drop, Action::Stop]);
    let range = prop::sample::subsequence(required.clone(), 2.min(required.len()));
    let exclusion = (range, action).prop_filter_map("two required steps", |(range, action)| {
        let (from, to) = (*range.first()?, *range.get(1)?);
        Some(Exclusion { from, to, action })
    });
    let most = if required.len() < 2 { 0 } else { 2 };
    prop::collection::vec(exclusion, 0..=most)
}

fn options() -> impl Strategy<Value = (usize, Options)> {
    let entry = vec![
        Entry::Latest,
        Entry::Latest,
        Entry::First,
        Entry::EarliestLongest,
    ];
    let bound = vec![Bound::Inclusive, Bound::Exclusive];
    let shape = (1_usize..=5, any::<u64>(), any::<bool>());
    shape.prop_flat_map(move |(steps, optional, some)| {
        let optional = if some {
            optional & ((1 << steps) - 1) & !1
        } else {
            0
        };
        let fields = (
            exclusions(steps, optional),
            prop::sample::select(entry.clone()),
            prop::sample::select(bound.clone()),
        );
        (Just(steps), fields).prop_map(move |(steps, (exclusions, entry, bound))| {
            (
                steps,
                Options {
                    exclusions,
                    optional,
                    entry,
                    bound,
                    ..Options::default()
                },
            )
        })
    })
}

/// Few instants: many ties and returns. Every fourth row or so is excluded.
fn histories(rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let modes = prop::sample::select(vec![Mode::Ordered, Mode::OrderedIncrease]);
    let window = prop_oneof![Just(None), (1_u64..14).prop_map(Some)];
    (modes, window, options(), 1_i64..16).prop_flat_map(
        move |(mode, window, (steps, options), span)| {
            let all = steps + options.exclusions.len();
            let mask = prop_oneof![
                6 => (0..all).prop_map(|bit| 1_u64 << bit),
                2 => 0_u64..1 << all,
            ];
            let row = (0..span, mask).prop_map(|(time, mask)| Row { time, mask });
            let spec = Spec::new(mode, steps, window)
                .unwrap()
                .with_options(options)
                .unwrap();
            (Just(spec), prop::collection::vec(row, 0..=rows_max))
        },
    )
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.time);
    rows
}

/// Level, times and whether it is excluded, all ways of asking agreeing.
fn answer(spec: &Spec, rows: &[Row]) -> reference::Report {
    let mut matcher = Matcher::new(spec.clone());
    let mut times = Vec::new();
    let level = matcher.trace(rows, &mut times);
    times.resize(spec.steps(), None);
    assert_eq!(matcher.level(rows), level);
    let reached = (0..spec.steps()).filter(|step| matcher.reached(rows) >> step & 1 == 1);
    let timed = (0..spec.steps()).filter(|step| times[*step].is_some());
    assert_eq!(reached.collect::<Vec<_>>(), timed.collect::<Vec<_>>());
    let outcome = matcher.outcome(rows);
    assert_eq!(outcome.level, level);
    assert_eq!(outcome.state == State::Converted, level == spec.goal());
    let excluded = outcome.state == State::Excluded;
    if let Some(hit) = outcome.hit {
        let bit = spec.steps() + hit.exclusion;
        assert!(rows[hit.row].mask >> bit & 1 == 1, "an excluded row");
        assert!(rows[hit.row].time > hit.entry, "after the attempt began");
    }
    assert!(!excluded || outcome.hit.is_some());
    reference::Report {
        level,
        times,
        excluded,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn machine_equals_exhaustive_search((spec, rows) in histories(7)) {
        let rows = sorted(rows);
        let mut expected = reference::report(&spec, &rows);
        expected.times.resize(spec.steps(), None);
        prop_assert_eq!(answer(&spec, &rows), expected);
    }
}
