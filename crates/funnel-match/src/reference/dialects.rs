//! The other dialects as their engines do it: list of entries, attempt after attempt.

use std::collections::VecDeque;

use super::{clickhouse, posthog};
use crate::{Doris, Mode, Pinot, Row, Spec, StarRocks};

/// `None` for a mode that is not a dialect.
pub(super) fn level(spec: &Spec, rows: &[Row]) -> Option<usize> {
    Some(match spec.mode() {
        Mode::ClickHouse(modes) => clickhouse::level(modes, spec, rows),
        Mode::Pinot(modes) => pinot(modes, spec, rows),
        Mode::Doris(mode) => doris(mode, spec, rows),
        Mode::StarRocks(modes) => starrocks(modes, spec, rows),
        Mode::PostHog(order) => posthog::report(order, spec, rows).level,
        _ => return None,
    })
}

pub(super) fn steps_of(spec: &Spec, row: &Row) -> Vec<usize> {
    let steps = 0..spec.steps();
    steps.filter(|step| row.mask >> step & 1 == 1).collect()
}

fn distance(from: i64, time: i64) -> i128 {
    i128::from(time) - i128::from(from)
}

pub(super) fn within(spec: &Spec, from: i64, time: i64) -> bool {
    spec.window()
        .is_none_or(|window| distance(from, time) <= i128::from(window))
}

fn pinot(modes: Pinot, spec: &Spec, rows: &[Row]) -> usize {
    let mut events: Vec<(i64, Option<usize>)> = rows
        .iter()
        .map(|row| (row.time, steps_of(spec, row).first().copied()))
        .filter(|(_, step)| modes.keep_all || step.is_some())
        .collect();
    events.sort();
    // Rows wait in a queue, and those of the attempt at hand in a window.
    let (mut queue, mut window) = (VecDeque::from(events), VecDeque::new());
    let mut best = 0;
    while !queue.is_empty() {
        while window.front().is_some_and(|(_, step)| *step != Some(0)) {
            window.pop_front();
        }
        if window.is_empty() {
            while queue.front().is_some_and(|(_, step)| *step != Some(0)) {
                queue.pop_front();
            }
            window.extend(queue.pop_front());
        }
        let Some((begin, _)) = window.front().copied() else {
            break;
        };
        while let (Some((time, step)), Some((last, _))) = (queue.front().copied(), window.back()) {
            let outside = |window| distance(begin, time) >= i128::from(window);
            let gap = |longest| distance(*last, time) > i128::from(longest);
            if spec.window().is_some_and(outside) || modes.max_step_duration.is_some_and(gap) {
                break;
            }
            queue.pop_front();
            window.push_back((time, step));
        }
        best = best.max(pinot_attempt(modes, spec, &window));
        window.pop_front();
    }
    best
}

fn pinot_attempt(modes: Pinot, spec: &Spec, window: &VecDeque<(i64, Option<usize>)>) -> usize {
    let mut level = 0;
    let mut matched = None;
    for (time, step) in window.iter().copied() {
        if modes.strict_deduplication && level > 0 && step == Some(level - 1)
            || modes.strict_order && step != Some(level)
            || level == spec.steps()
        {
            break;
        }
        if modes.strict_increase && matched == Some(time) {
            continue;
        }
        if step == Some(level) {
            level += 1;
            matched = Some(time);
        }
    }
    level
}

fn doris(mode: Doris, spec: &Spec, rows: &[Row]) -> usize {
    let starts = (0..rows.len()).filter(|row| rows[*row].mask & 1 == 1);
    match mode {
        Doris::Default => doris_scan(spec, rows, None),
        Doris::Increase => {
            let levels = starts.map(|start| doris_scan(spec, rows, Some(start)));
            levels.max().unwrap_or(0)
        }
        _ => {
            let levels = starts.map(|start| doris_attempt(mode, spec, rows, start));
            levels.max().unwrap_or(0)
        }
    }
}

/// First time, last time and row of each level.
fn doris_scan(spec: &Spec, rows: &[Row], start: Option<usize>) -> usize {
    let mut levels: Vec<Option<(i64, i64, usize)>> = vec![None; spec.steps()];
    for (at, row) in rows.iter().enumerate().skip(start.unwrap_or(0)) {
        for step in steps_of(spec, row).into_iter().rev() {
            if step == 0 {
                if start.is_none_or(|start| start == at) {
                    levels[0] = Some((row.time, row.time, at));
                }
            } else if let Some((first, last, used)) = levels[step - 1]
                && used != at
                && within(spec, first, row.time)
                && (start.is_none() || last < row.time)
            {
                levels[step] = Some((first, row.time, at));
                if step + 1 == spec.steps() {
                    return spec.steps();
                }
            }
        }
    }
    levels
        .iter()
        .rposition(Option::is_some)
        .map_or(0, |step| step + 1)
}

fn doris_attempt(mode: Doris, spec: &Spec, rows: &[Row], start: usize) -> usize {
    let (mut level, mut before) = (1, start);
    for at in start + 1..rows.len() {
        let steps = steps_of(spec, &rows[at]);
        let between: Vec<usize> = rows[before + 1..at]
            .iter()
            .flat_map(|row| steps_of(spec, row))
            .collect();
        if level == spec.steps() || !steps.contains(&level) {
            continue;
        }
        let clean = match mode {
            Doris::Fixed => between.is_empty(),
            _ => between.iter().all(|step| *step >= level),
        };
        if !clean || !within(spec, rows[start].time, rows[at].time) {
            break;
        }
        (level, before) = (level + 1, at);
    }
    level
}

fn starrocks(modes: StarRocks, spec: &Spec, rows: &[Row]) -> usize {
    let entry = |row: &Row| {
        steps_of(spec, row)
            .into_iter()
            .map(|step| (row.time, step))
            .collect()
    };
    let mut entries: Vec<(i64, usize)> = rows.iter().flat_map::<Vec<_>, _>(entry).collect();
    entries.sort();
    let breakable = modes.deduplication || modes.fixed;
    let mut first: Vec<Option<i64>> = vec![None; spec.steps()];
    let mut last: Vec<Option<i64>> = vec![None; spec.steps()];
    let mut best = 0;
    for (time, step) in entries {
        if step == 0 {
            first[0] = Some(time);
            last[0] = last[0]
                .filter(|_| breakable)
                .or(Some(time).filter(|_| !breakable));
        } else if modes.deduplication && first[step].is_some()
            || modes.fixed && first[step - 1].is_none()
        {
            first.fill(None);
        } else if let Some(begin) = first[step - 1]
            && within(spec, begin, time)
            && !(modes.increase && last[step - 1].is_some_and(|last| last >= time))
        {
            first[step] = Some(begin);
            last[step] = Some(time);
        }
        best = best.max(
            first
                .iter()
                .rposition(Option::is_some)
                .map_or(0, |step| step + 1),
        );
        if best == spec.steps() {
            break;
        }
    }
    best
}
