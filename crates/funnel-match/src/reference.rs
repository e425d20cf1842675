//! The definitions of [`Mode`](crate::Mode) written down as a search through everything: slow and
//! obvious. Tests hold the machines to it. Rows may come in any order.

use std::cmp::Reverse;

use crate::{Mode, Row, Spec};

/// When each step was reached, in the form of [`Matcher::trace`](crate::Matcher::trace).
/// Exponential in the number of rows: eight are plenty.
pub fn times(spec: Spec, rows: &[Row]) -> Vec<Option<i64>> {
    match spec.mode() {
        Mode::Ordered => chains(spec, rows, &[])
            .into_iter()
            .map(|chain| {
                chain
                    .iter()
                    .map(|row| rows[*row].time)
                    .collect::<Vec<i64>>()
            })
            .min_by_key(|times| {
                let (first, last) = (times.first().copied(), times.last().copied());
                (Reverse(times.len()), last, Reverse(first), times.clone())
            })
            .unwrap_or_default()
            .into_iter()
            .map(Some)
            .collect(),
        Mode::Loose => loose(spec, rows),
    }
}

/// The number of the last step reached.
pub fn level(spec: Spec, rows: &[Row]) -> usize {
    times(spec, rows)
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |step| step + 1)
}

/// Every chain that extends `chain`, and itself, as positions in `rows`.
fn chains(spec: Spec, rows: &[Row], chain: &[usize]) -> Vec<Vec<usize>> {
    let mut found = vec![chain.to_vec()];
    let step = chain.len();
    for row in (0..rows.len()).filter(|_| step < spec.steps()) {
        let time = rows[row].time;
        let satisfies = rows[row].mask >> step & 1 == 1;
        let unused = !chain.contains(&row);
        let in_order = chain.last().is_none_or(|last| rows[*last].time <= time);
        if satisfies && unused && in_order && in_window(spec, rows, chain.first(), time) {
            let longer = [chain, &[row]].concat();
            found.extend(chains(spec, rows, &longer));
        }
    }
    found
}

fn in_window(spec: Spec, rows: &[Row], first: Option<&usize>, time: i64) -> bool {
    let (Some(first), Some(window)) = (first, spec.window()) else {
        return true;
    };
    i128::from(time) - i128::from(rows[*first].time) <= i128::from(window)
}

/// First times of each step within the best stretch among those that begin at a row.
fn loose(spec: Spec, rows: &[Row]) -> Vec<Option<i64>> {
    let stretch = |begin: i64| -> Vec<Option<i64>> {
        let inside = |time: i64| {
            let distance = i128::from(time) - i128::from(begin);
            distance >= 0
                && spec
                    .window()
                    .is_none_or(|window| distance <= i128::from(window))
        };
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
