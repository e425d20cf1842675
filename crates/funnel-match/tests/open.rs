//! Open keys: the state, its reason and its end against every few rows that could come.

#![cfg(test)]

use funnel_match::classify::{self, Reason};
use funnel_match::{
    Action, Bound, Count, Entry, Exclusion, Matcher, Mode, Options, Reuse, Row, Spec, State,
};
use proptest::prelude::*;

const MODES: [&str; 8] = [
    "ordered",
    "ordered,increase",
    "next",
    "next,relevant=steps",
    "loose",
    "unordered",
    "unordered,anchored",
    "set",
];

/// Three steps at most, so that two rows are all that can help.
fn options(steps: usize) -> impl Strategy<Value = Options> {
    let entries = vec![Entry::Latest, Entry::First, Entry::EarliestLongest];
    let exclusion = (
        0..steps,
        0..steps,
        prop::sample::select(vec![Action::Drop, Action::Stop]),
    );
    let exclusion = exclusion.prop_map(|(from, to, action)| Exclusion { from, to, action });
    let of_chains = (
        prop::sample::select(entries),
        prop::collection::vec(prop::option::of(0_u64..4), 0..steps),
        prop::collection::vec(exclusion, 0..=1),
        0..1_u64 << steps,
        any::<bool>(),
    );
    let of_chains = of_chains.prop_map(|(entry, max_gap, exclusions, optional, many)| Options {
        entry,
        max_gap,
        exclusions,
        optional,
        reuse: if many { Reuse::RowMany } else { Reuse::RowOnce },
        ..Options::default()
    });
    let plain = (any::<bool>(), -1_i64..9).prop_map(|(exclusive, as_of)| Options {
        bound: if exclusive {
            Bound::Exclusive
        } else {
            Bound::Inclusive
        },
        as_of: Some(as_of),
        ..Options::default()
    });
    // Each option with each other, and none as often.
    (plain, of_chains, any::<[bool; 5]>()).prop_map(|(plain, chains, kept)| {
        let [entry, gaps, exclusions, optional, reuse] = kept;
        Options {
            entry: if entry { chains.entry } else { plain.entry },
            max_gap: if gaps { chains.max_gap } else { plain.max_gap },
            exclusions: if exclusions {
                chains.exclusions
            } else {
                plain.exclusions
            },
            optional: if optional {
                chains.optional
            } else {
                plain.optional
            },
            reuse: if reuse { chains.reuse } else { plain.reuse },
            bound: plain.bound,
            as_of: plain.as_of,
            count: Count::Unique,
        }
    })
}

fn histories() -> impl Strategy<Value = (Spec, Vec<Row>)> {
    let window = prop_oneof![1 => Just(None), 4 => (0_u64..6).prop_map(Some)];
    let shape = (prop::sample::select(MODES.to_vec()), window, 1_usize..=3);
    shape.prop_flat_map(|(mode, window, steps)| {
        let mode: Mode = mode.parse().unwrap();
        let window = window.filter(|_| mode != Mode::Set);
        let spec = options(steps).prop_filter_map("a funnel", move |options| {
            Spec::new(mode, steps, window)
                .ok()?
                .with_options(options)
                .ok()
        });
        let row = (0_i64..8, 0_u64..1 << (steps + 1)).prop_map(|(time, mask)| Row { time, mask });
        (spec, prop::collection::vec(row, 0..=5))
    })
}

/// Later than what can help a row of these histories.
const LAST: i64 = 18;

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.time);
    rows
}

/// Up to as many rows as there are steps but one, each of one step, from `as_of` to after every
/// window and gap.
fn futures(spec: &Spec, as_of: i64) -> Vec<Vec<Row>> {
    let steps = match spec.mode() {
        Mode::Loose | Mode::Unordered { anchored: false } | Mode::Set => 0..spec.steps(),
        _ => 1..spec.steps(),
    };
    let rows = steps.flat_map(|step| {
        let mask = 1 << step;
        (as_of..LAST).map(move |time| Row { time, mask })
    });
    let rows: Vec<Row> = rows.collect();
    let mut found = vec![Vec::new()];
    let mut from = 0;
    for _ in 1..spec.steps() {
        let longer = found[from..].iter().flat_map(|future: &Vec<Row>| {
            let after = future.last().map_or(0, |last| {
                rows.iter().position(|row| row == last).unwrap() + 1
            });
            rows[after..]
                .iter()
                .map(|row| [&future[..], &[*row]].concat())
        });
        let longer: Vec<_> = longer.collect();
        from = found.len();
        found.extend(longer);
    }
    found
}

/// The number of steps reached, required ones where some are optional.
fn steps_reached(spec: &Spec, rows: Vec<Row>) -> usize {
    let mut matcher = Matcher::new(spec.clone());
    match spec.mode() {
        // Of another stretch the level can be higher with fewer steps.
        Mode::Loose => matcher.reached(&sorted(rows)).count_ones() as usize,
        _ => matcher.level(&sorted(rows)),
    }
}

/// The steps reached with these rows, of what begins with a row that is there.
fn steps_with(spec: &Spec, rows: &[Row], future: &[Row]) -> usize {
    let level = |rows: Vec<Row>| steps_reached(spec, rows);
    let stretches = matches!(spec.mode(), Mode::Loose | Mode::Unordered { .. });
    if !stretches {
        return level([rows, future].concat());
    }
    let inside = |begin: i64, time: i64| {
        let exclusive = u64::from(spec.options().bound == Bound::Exclusive);
        time >= begin
            && spec
                .window()
                .is_none_or(|window| time.abs_diff(begin) + exclusive <= window)
    };
    let anchored = spec.mode() == Mode::Unordered { anchored: true };
    let first = if anchored { 1 } else { (1 << spec.steps()) - 1 };
    let begins = rows.iter().filter(|row| row.mask & first != 0);
    let begins = begins.map(|row| row.time);
    let stretch = |begin: i64| {
        let rows = rows.iter().chain(future);
        rows.filter(|row| inside(begin, row.time))
            .copied()
            .collect()
    };
    begins.map(|begin| level(stretch(begin))).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_key_is_open_if_rows_that_can_still_come_could_take_it_further(
        (spec, rows) in histories()
    ) {
        let rows = sorted(rows);
        let as_of = spec.options().as_of.unwrap();
        let outcome = Matcher::new(spec.clone()).outcome(&rows);
        let level = Matcher::new(spec.clone()).level(&rows);
        prop_assert_eq!(outcome.level, level);
        if level == 0 || level == spec.goal() {
            prop_assert!(outcome.state != State::Open);
            return Ok(());
        }
        let steps = steps_reached(&spec, rows.clone());
        let futures = futures(&spec, as_of);
        let helped = futures.iter().find(|future| steps_with(&spec, &rows, future) > steps);
        prop_assert_eq!(outcome.state == State::Open, helped.is_some(), "{:?}", helped);
        let closed = Options { as_of: None, ..spec.options().clone() };
        let closed = spec.clone().with_options(closed).unwrap();
        let otherwise = Matcher::new(closed).outcome(&rows);
        prop_assert_eq!(otherwise.hit, outcome.hit);
        if helped.is_none() {
            prop_assert_eq!(otherwise.state, outcome.state);
        }
        let reason = classify::reason(&spec, &rows, Some(as_of));
        let Some(Reason::WindowOpen { step, until }) = reason else {
            prop_assert!(helped.is_none() || spec.window().is_none(), "{:?}", reason);
            return Ok(());
        };
        prop_assert!(step >= level && until >= as_of);
        let late = |future: &&Vec<Row>, from| future.iter().all(|row| row.time >= from);
        let is_helped = |from| {
            let mut futures = futures.iter().filter(|future| late(future, from));
            futures.any(|future| steps_with(&spec, &rows, future) > steps)
        };
        prop_assert!(is_helped(until) && !is_helped(until + 1), "until {}", until);
    }
}

const A: u64 = 1;
const B: u64 = 2;
/// An excluded row.
const X: u64 = 8;

fn state(options: &Options, rows: &[(i64, u64)]) -> (usize, State) {
    let spec = Spec::new(Mode::Ordered, 3, Some(10)).unwrap();
    let rows: Vec<Row> = rows
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect();
    let outcome = Matcher::new(spec.with_options(options.clone()).unwrap()).outcome(&rows);
    (outcome.level, outcome.state)
}

#[test]
fn a_newer_beginning_keeps_a_key_open() {
    let as_of = |as_of| Options {
        as_of: Some(as_of),
        ..Options::default()
    };
    let rows = [(0, A), (1, B), (8, A)];
    assert_eq!(state(&as_of(18), &rows), (2, State::Open));
    assert_eq!(state(&as_of(19), &rows), (2, State::Dropped));
}

#[test]
fn a_gap_that_is_over_closes_a_window_that_is_not() {
    let gap = |as_of| Options {
        as_of: Some(as_of),
        max_gap: vec![None, Some(3)],
        ..Options::default()
    };
    assert_eq!(state(&gap(5), &[(0, A), (2, B)]), (2, State::Open));
    // The second step could come again.
    assert_eq!(state(&gap(6), &[(0, A), (2, B)]), (2, State::Open));
    let both = Options {
        max_gap: vec![Some(3), Some(3)],
        ..gap(6)
    };
    assert_eq!(state(&both, &[(0, A), (2, B)]), (2, State::Dropped));
}

#[test]
fn an_excluded_key_is_open_as_long_as_a_clean_beginning_is() {
    let exclude = |as_of, action| Options {
        as_of: Some(as_of),
        exclusions: vec![Exclusion {
            from: 0,
            to: 2,
            action,
        }],
        ..Options::default()
    };
    let rows = [(0, A), (1, B), (2, X), (5, A)];
    assert_eq!(state(&exclude(15, Action::Stop), &rows), (2, State::Open));
    assert_eq!(
        state(&exclude(16, Action::Stop), &rows),
        (2, State::Excluded)
    );
    assert_eq!(state(&exclude(15, Action::Drop), &rows), (1, State::Open));
    assert_eq!(
        state(&exclude(15, Action::Drop), &rows[..3]),
        (0, State::Excluded)
    );
}

#[test]
fn dialects_do_not_tell_open_windows_apart() {
    let options = Options {
        as_of: Some(1),
        ..Options::default()
    };
    let spec = Spec::new("ch:default".parse().unwrap(), 2, Some(1)).unwrap();
    let error = spec.with_options(options).unwrap_err().to_string();
    assert!(
        error.contains("`as_of`") && error.contains("use a mode of ours"),
        "{error}"
    );
}
