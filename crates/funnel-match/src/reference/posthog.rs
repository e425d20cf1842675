//! PostHog's rules, level by level.

use super::dialects::{steps_of, within};
use crate::reference::Report;
use crate::{PostHog, Row, Spec};

/// A chain as PostHog keeps it for each level.
#[derive(Clone, Default)]
struct Entered {
    begin: i64,
    excluded: bool,
    /// Step and row.
    rows: Vec<(usize, usize)>,
}

/// One thing that a row does.
#[derive(Clone, Copy)]
enum Visit {
    Step(usize),
    /// Excludes the level before this step.
    Exclude(usize),
}

pub(super) fn report(order: PostHog, spec: &Spec, rows: &[Row]) -> Report {
    match order {
        PostHog::Unordered => unordered(spec, rows),
        _ => ordered(order == PostHog::Strict, spec, rows),
    }
}

fn is_optional(spec: &Spec, step: usize) -> bool {
    spec.options().optional >> step & 1 == 1
}

/// The steps before which `row` excludes a level.
fn excluded_of(spec: &Spec, row: &Row) -> Vec<usize> {
    let exclusions = spec.options().exclusions.iter().enumerate();
    let met = exclusions.filter(|(index, _)| row.mask >> (spec.steps() + index) & 1 == 1);
    let mut steps: Vec<usize> = met.flat_map(|(_, met)| met.from + 1..=met.to).collect();
    steps.sort_unstable();
    steps.dedup();
    steps
}

fn ordered(strict: bool, spec: &Spec, rows: &[Row]) -> Report {
    let mut levels: Vec<Option<Entered>> = vec![None; spec.steps() + 1];
    let mut best = (0, Entered::default());
    for group in rows.chunk_by(|row, next| row.time == next.time) {
        let first = rows
            .iter()
            .position(|row| row.time == group[0].time)
            .unwrap_or(0);
        let time = group[0].time;
        levels[0] = Some(Entered {
            begin: time,
            ..Entered::default()
        });
        let kinds = |row: &Row| (steps_of(spec, row), excluded_of(spec, row));
        if group.iter().all(|row| kinds(row) == kinds(&group[0])) {
            for at in 0..group.len() {
                let (steps, excluded) = kinds(&group[0]);
                let mut visits: Vec<Visit> = steps.iter().copied().map(Visit::Step).collect();
                visits.extend(excluded.into_iter().map(Visit::Exclude));
                for visit in visits.into_iter().rev() {
                    visit_one(
                        spec,
                        &mut levels,
                        &mut best,
                        visit,
                        (time, first + at),
                        false,
                    );
                }
                if strict {
                    (0..spec.steps())
                        .filter(|step| !steps.contains(step))
                        .for_each(|step| levels[step + 1] = None);
                }
            }
        } else {
            for step in 0..spec.steps() {
                let has = |at: &usize| steps_of(spec, &group[*at]).contains(&step);
                for at in (0..group.len()).filter(has) {
                    let visit = Visit::Step(step);
                    visit_one(
                        spec,
                        &mut levels,
                        &mut best,
                        visit,
                        (time, first + at),
                        true,
                    );
                }
            }
        }
        if levels[spec.steps()].is_some() {
            break;
        }
    }
    let mut times = vec![None; spec.steps()];
    if !best.1.excluded {
        best.1
            .rows
            .iter()
            .for_each(|(step, row)| times[*step] = Some(rows[*row].time));
    }
    let level = (0..spec.steps()).rfind(|step| *step < best.0 && !is_optional(spec, *step));
    let level = level.filter(|_| !best.1.excluded);
    Report {
        level: level.map_or(0, |step| step + 1),
        times,
        excluded: best.1.excluded,
    }
}

fn visit_one(
    spec: &Spec,
    levels: &mut [Option<Entered>],
    best: &mut (usize, Entered),
    visit: Visit,
    (time, row): (i64, usize),
    different: bool,
) {
    let (Visit::Step(step) | Visit::Exclude(step)) = visit;
    let usable = |level: &Option<Entered>| {
        level
            .clone()
            .filter(|entered| within(spec, entered.begin, time))
    };
    let mut number = step;
    while usable(&levels[number]).is_none() && number > 0 && is_optional(spec, number - 1) {
        number -= 1;
    }
    let Some(before) = usable(&levels[number]) else {
        return;
    };
    if levels[step + 1]
        .as_ref()
        .is_some_and(|level| level.begin == before.begin)
    {
        return;
    }
    if let Visit::Exclude(_) = visit {
        if !before.excluded {
            levels[number] = Some(Entered {
                excluded: true,
                ..before
            });
            if best.0 == number && within(spec, best.1.begin, time) {
                best.1.excluded = true;
            }
        }
        return;
    }
    let used = before
        .rows
        .iter()
        .any(|(step, used)| *used == row && !is_optional(spec, *step));
    if different && used {
        return;
    }
    let mut next = before.clone();
    next.rows.push((step, row));
    if !before.excluded {
        levels[step + 1] = Some(next.clone());
    }
    if step + 1 > best.0 || step + 1 == best.0 && best.1.excluded {
        *best = (step + 1, next);
    }
}

fn unordered(spec: &Spec, rows: &[Row]) -> Report {
    let mut queues: Vec<Vec<i64>> = vec![Vec::new(); spec.steps()];
    let present = |queues: &[Vec<i64>]| queues.iter().filter(|queue| !queue.is_empty()).count();
    let mut best = 0;
    let mut undone = false;
    for row in rows {
        let excludes = !excluded_of(spec, row).is_empty();
        if steps_of(spec, row).is_empty() && !excludes {
            continue;
        }
        while let Some((oldest, step)) = (0..spec.steps())
            .filter_map(|step| queues[step].first().map(|time| (*time, step)))
            .min()
        {
            if present(&queues) < spec.steps() && within(spec, oldest, row.time) {
                break;
            }
            best = best.max(present(&queues));
            queues[step].remove(0);
        }
        if best == spec.steps() {
            break;
        }
        if steps_of(spec, row).is_empty() {
            undone |= present(&queues) > 0;
            queues.iter_mut().for_each(Vec::clear);
            continue;
        }
        let steps = steps_of(spec, row).into_iter();
        if let Some(step) = steps.min_by_key(|step| queues[*step].last().copied()) {
            queues[step].push(row.time);
        }
    }
    let level = best.max(present(&queues));
    Report {
        level,
        times: Vec::new(),
        excluded: level == 0 && undone,
    }
}
