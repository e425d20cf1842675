//! The definitions of [`Mode`](crate::Mode) written down as a search through everything: slow and
//! obvious. Tests hold the machines to it. Rows may come in any order.

use std::cmp::Reverse;

use crate::{Bound, Entry, Mode, Row, Spec};

mod clickhouse;
mod dialects;
mod parts;
mod posthog;

pub use parts::{Report, report};

/// When each step was reached, in the form of [`Matcher::trace`](crate::Matcher::trace): of the modes
/// that define a chain or, as `loose`, a row for each step.
/// Exponential in the number of rows: eight are plenty.
///
/// # Panics
/// In a dialect, and in modes `unordered` and `set`.
pub fn times(spec: &Spec, rows: &[Row]) -> Vec<Option<i64>> {
    let mode = spec.mode();
    assert!(
        !mode.is_dialect() && !matches!(mode, Mode::Unordered { .. } | Mode::Set),
        "mode '{mode}' defines no chain"
    );
    if spec.mode() == Mode::Loose {
        return loose(spec, rows);
    }
    chains(spec, rows, &[])
        .into_iter()
        .filter(|chain| is_direct(spec, rows, chain))
        .map(|chain| {
            chain
                .iter()
                .map(|row| rows[*row].time)
                .collect::<Vec<i64>>()
        })
        .min_by_key(|times| {
            let (first, last) = (times.first().copied(), times.last().copied());
            let (earliest, latest) = match spec.options().entry {
                Entry::EarliestLongest => (first, None),
                _ => (None, first),
            };
            let length = Reverse(times.len());
            (length, earliest, last, Reverse(latest), times.clone())
        })
        .unwrap_or_default()
        .into_iter()
        .map(Some)
        .collect()
}

/// The number of the last step reached. Rows of the same time are in their order where the mode
/// [depends on it](Mode::depends_on_row_order).
pub fn level(spec: &Spec, rows: &[Row]) -> usize {
    dialects::level(spec, rows).unwrap_or_else(|| {
        match spec.mode() {
            Mode::Unordered { anchored } => return unordered(spec, rows, anchored),
            Mode::Set => return set(spec, rows),
            _ => {}
        }
        times(spec, rows)
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |step| step + 1)
    })
}

/// Every chain that extends `chain`, and itself, as positions in `rows`.
fn chains(spec: &Spec, rows: &[Row], chain: &[usize]) -> Vec<Vec<usize>> {
    let mut found = vec![chain.to_vec()];
    let step = chain.len();
    for row in (0..rows.len()).filter(|_| step < spec.steps()) {
        let time = rows[row].time;
        let satisfies = rows[row].mask >> step & 1 == 1;
        let unused = spec.row_many() || !chain.contains(&row);
        let in_order = chain.last().is_none_or(|last| match spec.mode() {
            Mode::OrderedIncrease => rows[*last].time < time,
            _ => rows[*last].time <= time,
        });
        let first_entry = rows.iter().filter(|row| row.mask & 1 == 1);
        let entry_counts = step > 0
            || spec.options().entry != Entry::First
            || first_entry.map(|row| row.time).min() == Some(time);
        let near = chain.last().is_none_or(|last| {
            let gap = spec.options().max_gap.get(step - 1).copied().flatten();
            gap.is_none_or(|gap| i128::from(time) - i128::from(rows[*last].time) <= i128::from(gap))
        });
        if entry_counts
            && near
            && satisfies
            && unused
            && in_order
            && in_window(spec, chain.first().map(|row| rows[*row].time), time)
        {
            let longer = [chain, &[row]].concat();
            found.extend(chains(spec, rows, &longer));
        }
    }
    found
}

fn in_window(spec: &Spec, first: Option<i64>, time: i64) -> bool {
    let (Some(first), Some(window)) = (first, spec.window()) else {
        return true;
    };
    let distance = i128::from(time) - i128::from(first);
    match spec.options().bound {
        Bound::Inclusive => distance <= i128::from(window),
        Bound::Exclusive => distance < i128::from(window),
    }
}

/// In mode `next`: are all rows between the first and the last of the chain in it?
fn is_direct(spec: &Spec, rows: &[Row], chain: &[usize]) -> bool {
    let (Mode::Next { relevant_steps }, Some(first), Some(last)) =
        (spec.mode(), chain.first(), chain.last())
    else {
        return true;
    };
    let all = (0..spec.steps()).fold(0, |all, step| all | 1 << step);
    let between = |row: &usize| {
        let time = rows[*row].time;
        let counts = !relevant_steps || rows[*row].mask & all != 0;
        rows[*first].time < time && time < rows[*last].time && counts
    };
    (0..rows.len())
        .filter(between)
        .all(|row| chain.contains(&row))
}

/// The most steps that rows of a stretch can be given.
fn unordered(spec: &Spec, rows: &[Row], anchored: bool) -> usize {
    let starts = rows.iter().enumerate();
    let levels = starts.map(|(at, first)| {
        let inside: Vec<usize> = (0..rows.len())
            .filter(|row| rows[*row].time >= first.time)
            .filter(|row| in_window(spec, Some(first.time), rows[*row].time))
            .collect();
        if !anchored {
            return most(spec, rows, &inside, 0);
        }
        if first.mask & 1 == 0 {
            return 0;
        }
        let others: Vec<usize> = inside.into_iter().filter(|row| *row != at).collect();
        1 + most(spec, rows, &others, 1)
    });
    levels.max().unwrap_or(0)
}

/// The most of the steps from `step` on that different rows of `free` satisfy.
fn most(spec: &Spec, rows: &[Row], free: &[usize], step: usize) -> usize {
    if step == spec.steps() {
        return 0;
    }
    let given = free
        .iter()
        .filter(|row| rows[**row].mask >> step & 1 == 1)
        .map(|given| {
            let rest: Vec<usize> = free.iter().copied().filter(|row| row != given).collect();
            1 + most(spec, rows, &rest, step + 1)
        });
    given
        .max()
        .unwrap_or(0)
        .max(most(spec, rows, free, step + 1))
}

fn set(spec: &Spec, rows: &[Row]) -> usize {
    let has = |step: &usize| rows.iter().any(|row| row.mask >> step & 1 == 1);
    (0..spec.steps()).take_while(has).count()
}

/// First times of each step within the best stretch among those that begin at a row.
fn loose(spec: &Spec, rows: &[Row]) -> Vec<Option<i64>> {
    let stretch = |begin: i64| -> Vec<Option<i64>> {
        let inside = |time: i64| time >= begin && in_window(spec, Some(begin), time);
        let first = |step: usize| {
            rows.iter()
                .filter(|row| row.mask >> step & 1 == 1 && inside(row.time))
                .map(|row| row.time)
                .min()
        };
        (0..spec.steps()).map(first).collect()
    };
    rows.iter()
        .map(|row| (row.time, stretch(row.time)))
        .min_by_key(|(begin, times)| (Reverse(times.iter().flatten().count()), *begin))
        .map_or_else(|| vec![None; spec.steps()], |(_, times)| times)
}

/// The level by the machine of a mode.
#[cfg(test)]
pub(crate) fn level_of(
    mode: &str,
    steps: usize,
    window: Option<u64>,
    rows: &[(i64, u64)],
) -> usize {
    let spec = Spec::new(mode.parse().unwrap(), steps, window).unwrap();
    let rows: Vec<Row> = rows
        .iter()
        .map(|&(time, mask)| Row { time, mask })
        .collect();
    let mut chain = Vec::new();
    let mut matcher = crate::Matcher::new(spec);
    let level = matcher.chain(&rows, &mut chain);
    assert_eq!(matcher.level(&rows), level, "level and chain disagree");
    level
}
