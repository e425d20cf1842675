//! Exclusions and optional steps: the machine against every chain that there is.

#![cfg(test)]

use funnel_match::classify::{self, Reason};
use funnel_match::{
    Action, Bound, Count, Entry, Exclusion, Matcher, Mode, Options, PostHog, Reuse, Row, Spec,
    SpecError, State, reference,
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

/// Limits between steps, as often as not.
fn gaps(steps: usize) -> impl Strategy<Value = Vec<Option<u64>>> {
    let limits = prop::collection::vec(prop::option::of(0_u64..6), steps - 1);
    prop_oneof![Just(Vec::new()), limits]
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
            gaps(steps),
        );
        (Just(steps), fields).prop_map(move |(steps, (exclusions, entry, bound, max_gap))| {
            (
                steps,
                Options {
                    exclusions,
                    optional,
                    entry,
                    bound,
                    max_gap,
                    ..Options::default()
                },
            )
        })
    })
}

/// Few instants: many ties and returns. Every fourth row or so is excluded.
fn histories(modes: &[&str], rows_max: usize) -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let modes: Vec<Mode> = modes.iter().map(|mode| mode.parse().unwrap()).collect();
    let window = prop_oneof![Just(None), (1_u64..14).prop_map(Some)];
    let shape = (prop::sample::select(modes), window, options(), 1_i64..16);
    shape.prop_flat_map(move |(mode, window, (steps, options), span)| {
        let all = steps + options.exclusions.len();
        let mask = prop_oneof![
            6 => (0..all).prop_map(|bit| 1_u64 << bit),
            2 => 0_u64..1 << all,
        ];
        let row = (0..span, mask).prop_map(|(time, mask)| Row { time, mask });
        let spec = Spec::new(mode, steps, window).unwrap();
        let spec = spec.with_options(of_mode(mode, steps, options)).unwrap();
        (Just(spec), prop::collection::vec(row, 0..=rows_max))
    })
}

/// PostHog has fewer options.
fn of_mode(mode: Mode, steps: usize, options: Options) -> Options {
    let mut options = options;
    if let Mode::PostHog(order) = mode {
        options.entry = Entry::Latest;
        options.bound = Bound::Inclusive;
        options.max_gap = Vec::new();
        for exclusion in &mut options.exclusions {
            exclusion.action = Action::Drop;
        }
        if order == PostHog::Unordered {
            options.optional = 0;
            for exclusion in &mut options.exclusions {
                (exclusion.from, exclusion.to) = (0, steps - 1);
            }
        }
    }
    options
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
        assert!(rows[hit.row].time >= hit.entry, "not before the attempt");
    }
    assert!(!excluded || outcome.hit.is_some());
    reference::Report {
        level,
        times,
        excluded,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, ..ProptestConfig::default() })]

    #[test]
    fn machine_equals_exhaustive_search(
        (spec, rows) in histories(&["ordered", "ordered,increase"], 7)
    ) {
        let rows = sorted(rows);
        let mut expected = reference::report(&spec, &rows);
        expected.times.resize(spec.steps(), None);
        prop_assert_eq!(answer(&spec, &rows), expected);
    }

    #[test]
    fn posthog_is_posthog_level_by_level(
        (spec, rows) in histories(&["posthog:ordered", "posthog:strict"], 12)
    ) {
        let rows = sorted(rows);
        prop_assert_eq!(answer(&spec, &rows), reference::report(&spec, &rows));
    }

    #[test]
    fn unordered_steps_of_posthog_are_undone_by_an_excluded_row(
        (spec, rows) in histories(&["posthog:unordered"], 12)
    ) {
        let rows = sorted(rows);
        let expected = reference::report(&spec, &rows);
        let outcome = Matcher::new(spec.clone()).outcome(&rows);
        prop_assert_eq!(outcome.level, expected.level);
        prop_assert_eq!(outcome.state == State::Excluded, expected.excluded);
    }

    #[test]
    fn order_within_an_instant_does_not_matter(
        ((spec, rows), shuffled) in histories(&["ordered", "ordered,increase"], 20)
            .prop_flat_map(|(spec, rows)| (Just((spec, rows.clone())), Just(rows).prop_shuffle()))
    ) {
        prop_assert_eq!(answer(&spec, &sorted(rows)), answer(&spec, &sorted(shuffled)));
    }

    #[test]
    fn a_reason_is_given_for_what_is_missing_and_names_the_excluded_row(
        (spec, rows) in histories(&["ordered", "ordered,increase"], 12)
    ) {
        let rows = sorted(rows);
        let outcome = Matcher::new(spec.clone()).outcome(&rows);
        let reason = classify::reason(&spec, &rows, None);
        prop_assert_eq!(reason.is_none(), outcome.state == State::Converted);
        let Some(reason) = reason else { return Ok(()) };
        let missing = reason.step();
        prop_assert!(missing >= outcome.level, "the step after the level");
        prop_assert!(spec.options().optional >> missing & 1 == 0);
        let harmless: Vec<Row> =
            rows.iter().map(|row| Row { mask: row.mask & ((1 << spec.steps()) - 1), ..*row }).collect();
        let freed = Matcher::new(spec).outcome(&harmless).level > outcome.level;
        let is_excluded = matches!(reason, Reason::ExcludedBy { .. });
        prop_assert_eq!(is_excluded, freed || outcome.state == State::Excluded);
    }

    #[test]
    fn attempts_are_those_of_the_required_steps(
        (spec, rows) in histories(&["ordered", "ordered,increase"], 20)
    ) {
        let rows = sorted(rows);
        let steps = (0..spec.steps()).filter(|step| spec.options().optional >> step & 1 == 0);
        let steps: Vec<usize> = steps.collect();
        let required = |row: &Row| Row {
            mask: (0..).zip(&steps).fold(0, |mask, (to, step)| mask | (row.mask >> step & 1) << to),
            ..*row
        };
        let of = |optional: u64| Options {
            count: Count::Attempts,
            optional,
            bound: spec.options().bound,
            ..Options::default()
        };
        let plain = Spec::new(spec.mode(), steps.len(), spec.window()).unwrap();
        let plain = plain.with_options(of(0)).unwrap();
        let spec = spec.clone().with_options(of(spec.options().optional)).unwrap();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        Matcher::new(spec.clone()).attempts(&rows, &mut found);
        let required: Vec<Row> = rows.iter().map(required).collect();
        Matcher::new(plain.clone()).attempts(&required, &mut expected);
        prop_assert_eq!(&found, &expected);
        let outcome = Matcher::new(spec).outcome(&rows);
        prop_assert_eq!(outcome.attempts, found.len());
        prop_assert_eq!(outcome.completions, Matcher::new(plain).outcome(&required).completions);
    }
}

/// Could a row of `time` of some step follow a chain that begins with the first of `rows`, which are
/// earlier?
fn could_go_on(spec: &Spec, rows: &[Row], time: i64) -> bool {
    let options = spec.options();
    let follows = |last: usize| {
        // The funnel ends with that step, and only the new row satisfies it.
        let kept: Vec<(usize, Exclusion)> = (0..)
            .zip(&options.exclusions)
            .filter(|(_, exclusion)| exclusion.from < last)
            .map(|(bit, exclusion)| {
                let to = exclusion.to.min(last);
                (bit, Exclusion { to, ..*exclusion })
            })
            .collect();
        let excluded = |mask: u64| {
            let bits = (0..).zip(&kept);
            bits.fold(0, |found, (to, (from, _))| {
                found | (mask >> (spec.steps() + from) & 1) << (last + 1 + to)
            })
        };
        let mut history: Vec<Row> = rows
            .iter()
            .map(|row| Row {
                time: row.time,
                mask: row.mask & ((1 << last) - 1) | excluded(row.mask),
            })
            .collect();
        history.push(Row {
            time,
            mask: 1 << last,
        });
        let shorter = Options {
            exclusions: kept.iter().map(|(_, exclusion)| *exclusion).collect(),
            max_gap: options.max_gap.iter().copied().take(last).collect(),
            ..options.clone()
        };
        let funnel = Spec::new(spec.mode(), last + 1, spec.window()).unwrap();
        let shorter = funnel.with_options(shorter).unwrap();
        reference::report(&shorter, &history).level == last + 1
    };
    (1..spec.steps()).any(follows)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn attempts_end_where_no_row_could_take_them_further(
        (spec, rows) in histories(&["ordered", "ordered,increase"], 6)
    ) {
        let rows = sorted(rows);
        let of = |entry, count| Options { entry, count, optional: 0, ..spec.options().clone() };
        let single = spec.clone().with_options(of(Entry::First, Count::Unique)).unwrap();
        let (mut ranges, mut attempts, mut completions, mut at) = (Vec::new(), 0, 0, 0);
        while let Some(entry) = rows[at..].iter().find(|row| row.mask & 1 == 1) {
            let begin = at + rows[at..].partition_point(|row| row.time < entry.time);
            at = begin;
            while let Some(row) = rows.get(at) {
                if at > begin && !could_go_on(&single, &rows[begin..at], row.time) {
                    break;
                }
                at += rows[at..].partition_point(|other| other.time == row.time);
                if reference::report(&single, &rows[begin..at]).level == spec.steps() {
                    break;
                }
            }
            let level = reference::report(&single, &rows[begin..at]).level;
            attempts += usize::from(level > 0);
            completions += usize::from(level == spec.steps());
            ranges.push(begin..at);
        }
        let spec = spec.clone().with_options(of(Entry::Latest, Count::Attempts)).unwrap();
        let mut found = Vec::new();
        let mut matcher = Matcher::new(spec);
        matcher.attempts(&rows, &mut found);
        prop_assert_eq!(found, ranges);
        let outcome = matcher.outcome(&rows);
        prop_assert_eq!((outcome.attempts, outcome.completions), (attempts, completions));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_gap_is_the_reason_where_longer_ones_would_help(
        (spec, rows) in histories(&["ordered", "ordered,increase"], 7)
    ) {
        let rows = sorted(rows);
        let plain = Options { exclusions: Vec::new(), optional: 0, ..spec.options().clone() };
        let spec = spec.with_options(plain).unwrap();
        let level = |by: u64| {
            let longer = spec.options().max_gap.iter().map(|gap| gap.map(|gap| gap + by));
            let longer = Options { max_gap: longer.collect(), ..spec.options().clone() };
            reference::level(&spec.clone().with_options(longer).unwrap(), &rows)
        };
        match classify::reason(&spec, &rows, None) {
            Some(Reason::AfterGap { step, by }) => {
                prop_assert!(step == level(0) && level(by) > step && level(by - 1) == step);
            }
            // Where no row satisfies the step, that is said first.
            Some(Reason::NeverSeen { .. } | Reason::NeverEntered) | None => {}
            other => prop_assert_eq!(level(100), level(0), "{:?}", other),
        }
    }
}

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 4;
/// An excluded row.
const X: u64 = 8;

/// Level and state of three steps in a window of 10, with one exclusion.
fn three(
    mode: &str,
    (from, to, action): (usize, usize, Action),
    rows: &[(i64, u64)],
) -> (usize, State) {
    let options = Options {
        exclusions: vec![Exclusion { from, to, action }],
        ..Options::default()
    };
    let spec = Spec::new(mode.parse().unwrap(), 3, Some(10)).unwrap();
    let rows: Vec<Row> = rows
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect();
    let outcome = Matcher::new(spec.with_options(options).unwrap()).outcome(&rows);
    (outcome.level, outcome.state)
}

#[test]
fn an_excluded_row_takes_a_key_out_of_all_counts_or_ends_its_progress() {
    let rows = [(0, A), (1, B), (2, X), (3, C)];
    let of = |action| three("ordered", (0, 2, action), &rows);
    assert_eq!(of(Action::Drop), (0, State::Excluded));
    assert_eq!(of(Action::Stop), (2, State::Excluded));
    // Between other steps it is harmless.
    assert_eq!(
        three("ordered", (0, 1, Action::Drop), &rows),
        (3, State::Converted)
    );
}

#[test]
fn excluded_rows_outside_of_the_chain_are_harmless() {
    for mode in ["ordered", "posthog:ordered"] {
        let of = |rows: &[(i64, u64)]| three(mode, (0, 2, Action::Drop), rows);
        assert_eq!(
            of(&[(0, X), (1, A), (2, B), (3, C), (4, X)]),
            (3, State::Converted)
        );
        assert_eq!(of(&[(0, A), (1, B), (11, X)]), (2, State::Dropped));
        assert_eq!(of(&[(0, A), (1, B), (10, X)]), (0, State::Excluded));
    }
}

#[test]
fn a_clean_attempt_saves_the_key() {
    for mode in ["ordered", "posthog:ordered"] {
        let rows = [(0, A), (1, X), (2, A), (3, B), (4, C)];
        assert_eq!(
            three(mode, (0, 2, Action::Drop), &rows),
            (3, State::Converted),
            "{mode}"
        );
    }
    // One that gets less far is enough, except in PostHog.
    let rows = [(0, A), (1, B), (2, X), (20, A)];
    assert_eq!(
        three("ordered", (0, 2, Action::Drop), &rows),
        (1, State::Dropped)
    );
    assert_eq!(
        three("posthog:ordered", (0, 2, Action::Drop), &rows),
        (0, State::Excluded)
    );
}

#[test]
fn an_excluded_row_in_the_instant_of_a_step_comes_where_it_helps() {
    let of = |rows: &[(i64, u64)]| three("ordered", (0, 2, Action::Drop), rows).0;
    assert_eq!(
        of(&[(0, A), (0, X), (1, B), (2, C)]),
        3,
        "before the first step"
    );
    assert_eq!(of(&[(0, A), (1, B), (2, C), (2, X)]), 3, "after the last");
    assert_eq!(of(&[(0, A), (0, B), (0, C), (0, X)]), 3);
    assert_eq!(
        of(&[(0, A), (1, B), (1, X), (2, C)]),
        0,
        "between the two in any case"
    );
    // PostHog overlooks it.
    assert_eq!(
        three(
            "posthog:ordered",
            (0, 2, Action::Drop),
            &[(0, A), (1, B), (1, X), (2, C)]
        )
        .0,
        3
    );
}

#[test]
fn an_optional_step_is_not_bought_with_an_excluded_chain() {
    // With the optional third step the chain must take the second at 1, and is hit at 3.
    const D: u64 = 8;
    let exclusion = Exclusion {
        from: 1,
        to: 3,
        action: Action::Drop,
    };
    let options = Options {
        exclusions: vec![exclusion],
        optional: C,
        ..Options::default()
    };
    let spec = Spec::new(Mode::Ordered, 4, None)
        .unwrap()
        .with_options(options)
        .unwrap();
    let rows = [(0, A), (1, B), (2, C), (3, 16), (5, B)].map(|(time, mask)| Row { time, mask });
    let mut times = Vec::new();
    let mut matcher = Matcher::new(spec);
    assert_eq!(matcher.trace(&rows, &mut times), 2);
    assert_eq!(times, [Some(0), Some(5), None, None]);
    let done = [&rows[..], &[Row { time: 6, mask: D }]].concat();
    assert_eq!(matcher.trace(&done, &mut times), 4);
}

/// Three steps in `mode` refuse `option` of `options`.
fn assert_refused(mode: &str, options: &Options, wanted: &str) {
    let spec = Spec::new(mode.parse().unwrap(), 3, Some(1)).unwrap();
    let refused = spec.with_options(options.clone());
    assert!(
        matches!(refused, Err(SpecError::Option { option, .. }) if option == wanted),
        "{mode} {options:?}: {refused:?}"
    );
}

#[test]
fn exclusions_without_a_meaning_are_refused() {
    let action = Action::Drop;
    let drop = |from, to| Exclusion { from, to, action };
    let action = Action::Stop;
    let stop = Exclusion {
        action,
        ..drop(0, 2)
    };
    let exclude = |exclusions: &[Exclusion]| Options {
        exclusions: exclusions.to_vec(),
        ..Options::default()
    };
    for (mode, exclusions) in [
        ("loose", vec![drop(0, 2)]),
        ("ch:default", vec![drop(0, 2)]),
        ("ordered", vec![drop(1, 1)]),
        ("ordered", vec![drop(0, 3)]),
        ("posthog:strict", vec![stop]),
        ("posthog:unordered", vec![drop(0, 2), drop(0, 1)]),
    ] {
        assert_refused(mode, &exclude(&exclusions), "exclusions");
    }
    for options in [
        Options {
            optional: 0b10,
            ..exclude(&[drop(0, 1)])
        },
        Options {
            reuse: Reuse::RowMany,
            ..exclude(&[stop])
        },
    ] {
        assert_refused("ordered", &options, "exclusions");
    }
    let many = Spec::new(Mode::Ordered, 64, None).unwrap();
    assert!(many.with_options(exclude(&[drop(0, 1)])).is_err());
}

#[test]
fn optional_steps_without_a_meaning_are_refused() {
    let optional = |optional| Options {
        optional,
        ..Options::default()
    };
    for (mode, options) in [
        ("ordered", optional(1)),
        ("ordered", optional(8)),
        ("next", optional(2)),
        ("posthog:unordered", optional(2)),
        (
            "ordered",
            Options {
                reuse: Reuse::RowMany,
                ..optional(2)
            },
        ),
    ] {
        assert_refused(mode, &options, "optional");
    }
    let many = Spec::new(Mode::Ordered, 64, None).unwrap();
    assert!(many.clone().with_options(optional(0b1_1111_1110)).is_ok());
    assert!(many.with_options(optional(0b11_1111_1110)).is_err());
}
