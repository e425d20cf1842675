//! Exclusions and optional steps, as their definitions say, over every chain that there is.

use std::cmp::Reverse;

use crate::{Action, Entry, Mode, Row, Spec};

/// A chain: step and position of each of its rows.
type Chain = Vec<(usize, usize)>;

/// What is reported of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of the last required step.
    pub level: usize,
    /// When each step was reached.
    pub times: Vec<Option<i64>>,
    /// Did excluded rows end it?
    pub excluded: bool,
}

struct Search<'a> {
    spec: &'a Spec,
    rows: &'a [Row],
}

/// The answer of a funnel with exclusions and optional steps.
///
/// # Panics
/// In a mode that has neither.
pub fn report(spec: &Spec, rows: &[Row]) -> Report {
    if let Mode::PostHog(order) = spec.mode() {
        return super::posthog::report(order, spec, rows);
    }
    assert!(
        matches!(spec.mode(), Mode::Ordered | Mode::OrderedIncrease),
        "mode '{}' has neither exclusions nor optional steps",
        spec.mode()
    );
    let search = Search { spec, rows };
    let chains = search.all();
    let begins = |chain: &Chain| search.time(chain[0]);
    let mut instants: Vec<i64> = chains.iter().map(begins).collect();
    instants.sort_unstable();
    instants.dedup();
    let entry = spec.options().entry;
    if entry == Entry::First {
        instants.truncate(1);
    }
    // Of each attempt its level, and how the least hit of its longest chains is hit.
    let attempts = instants.iter().map(|instant| {
        let own = chains.iter().filter(|chain| begins(chain) == *instant);
        let level = own.clone().map(|chain| search.required(chain)).max();
        let level = level.unwrap_or(0);
        let longest = own.filter(|chain| search.required(chain) == level);
        let hit = longest
            .map(|chain| search.hit(chain))
            .min_by_key(|hit| order(*hit));
        (*instant, level, hit.flatten())
    });
    let attempts: Vec<_> = attempts.collect();
    let counted = attempts
        .iter()
        .filter(|(_, _, hit)| *hit != Some(Action::Drop));
    let Some(level) = counted.clone().map(|(_, level, _)| *level).max() else {
        return Report {
            excluded: !attempts.is_empty(),
            ..Report::default()
        };
    };
    let of_level = counted.filter(|(_, own, _)| *own == level);
    let hit = of_level
        .clone()
        .map(|(_, _, hit)| *hit)
        .min_by_key(|hit| order(*hit))
        .flatten();
    let best: Vec<i64> = of_level
        .filter(|(_, _, own)| *own == hit)
        .map(|(instant, _, _)| *instant)
        .collect();
    let candidates = chains.iter().filter(|chain| {
        best.contains(&begins(chain)) && search.required(chain) == level && search.hit(chain) == hit
    });
    let reported = search.reported(candidates, hit.is_some());
    let mut times = vec![None; spec.steps()];
    for (step, row) in reported {
        times[step] = Some(rows[row].time);
    }
    let last = (0..spec.steps()).rfind(|step| times[*step].is_some() && !search.is_optional(*step));
    Report {
        level: last.map_or(0, |step| step + 1),
        times,
        excluded: hit.is_some(),
    }
}

fn order(hit: Option<Action>) -> usize {
    match hit {
        None => 0,
        Some(Action::Stop) => 1,
        Some(Action::Drop) => 2,
    }
}

impl Search<'_> {
    fn time(&self, (_, row): (usize, usize)) -> i64 {
        self.rows[row].time
    }

    fn is_optional(&self, step: usize) -> bool {
        self.spec.options().optional >> step & 1 == 1
    }

    fn required(&self, chain: &Chain) -> usize {
        chain
            .iter()
            .filter(|(step, _)| !self.is_optional(*step))
            .count()
    }

    /// Every chain that is not empty.
    fn all(&self) -> Vec<Chain> {
        let mut found = Vec::new();
        let mut open = vec![Chain::new()];
        while let Some(chain) = open.pop() {
            let next = chain.last().map_or(0, |(step, _)| step + 1);
            for step in next..self.spec.steps() {
                for row in 0..self.rows.len() {
                    let longer = [&chain[..], &[(step, row)]].concat();
                    if self.is_chain(&longer) {
                        open.push(longer.clone());
                        found.push(longer);
                    }
                }
                if !self.is_optional(step) {
                    break;
                }
            }
        }
        found
    }

    fn is_chain(&self, chain: &Chain) -> bool {
        let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
            return false;
        };
        let satisfied = chain
            .iter()
            .all(|(step, row)| self.rows[*row].mask >> step & 1 == 1);
        let different =
            (1..chain.len()).all(|at| chain[..at].iter().all(|(_, row)| *row != chain[at].1));
        let increase = self.spec.mode() == Mode::OrderedIncrease;
        let in_order = chain.windows(2).all(|pair| {
            let (before, after) = (self.time(pair[0]), self.time(pair[1]));
            let gap = |step: usize| self.spec.options().max_gap.get(step).copied().flatten();
            // One without a limit makes the sum none.
            let gaps: Option<Vec<u64>> = (pair[0].0..pair[1].0).map(gap).collect();
            let near = gaps.is_none_or(|gaps| before.abs_diff(after) <= gaps.iter().sum());
            near && (before < after || before == after && !increase)
        });
        let inside = super::in_window(self.spec, Some(self.time(*first)), self.time(*last));
        satisfied && different && in_order && inside && !self.has_excluded_inside(chain)
    }

    /// When the chain took `step`.
    fn taken(&self, chain: &Chain, step: usize) -> Option<i64> {
        chain
            .iter()
            .find(|(other, _)| *other == step)
            .map(|place| self.time(*place))
    }

    fn excluded(&self, exclusion: usize) -> impl Iterator<Item = i64> {
        let bit = self.spec.steps() + exclusion;
        let rows = self.rows.iter().filter(move |row| row.mask >> bit & 1 == 1);
        rows.map(|row| row.time)
    }

    fn has_excluded_inside(&self, chain: &Chain) -> bool {
        let exclusions = self.spec.options().exclusions.iter().enumerate();
        let last = chain.last().map(|place| self.time(*place));
        exclusions.into_iter().any(|(index, exclusion)| {
            let from = self.taken(chain, exclusion.from);
            let to = self.taken(chain, exclusion.to).or(last);
            let (Some(from), Some(to)) = (from, to) else {
                return false;
            };
            self.excluded(index).any(|time| from < time && time < to)
        })
    }

    /// The worst that an excluded row does to the chain.
    fn hit(&self, chain: &Chain) -> Option<Action> {
        let exclusions = self.spec.options().exclusions.iter().enumerate();
        let hits = exclusions.filter(|(index, exclusion)| {
            let from = self.taken(chain, exclusion.from);
            let waits = self.taken(chain, exclusion.to).is_none();
            let begin = self.time(chain[0]);
            let inside = |time: i64| super::in_window(self.spec, Some(begin), time);
            from.is_some_and(|from| {
                waits
                    && self
                        .excluded(*index)
                        .any(|time| from < time && inside(time))
            })
        });
        hits.map(|(_, exclusion)| Some(exclusion.action))
            .max_by_key(|hit| order(*hit))
            .flatten()
    }

    /// Of these chains, the one that is reported.
    fn reported<'a>(&self, chains: impl Iterator<Item = &'a Chain>, is_hit: bool) -> Chain {
        let times_of = |chain: &Chain| chain.iter().map(|place| self.time(*place)).collect();
        let steps_of = |chain: &Chain| chain.iter().map(|(step, _)| *step).collect();
        let mut chains: Vec<(Vec<i64>, Vec<usize>, &Chain)> = chains
            .map(|chain| (times_of(chain), steps_of(chain), chain))
            .collect();
        if is_hit {
            // Of chains that are hit, the latest stands for those of its beginning.
            chains.sort_by_key(|(times, steps, _)| (steps.clone(), Reverse(times.clone())));
            chains.dedup_by_key(|(times, steps, _)| (steps.clone(), times[0]));
        }
        let limited = !self.spec.options().exclusions.is_empty()
            || self.spec.options().max_gap.iter().any(Option::is_some);
        let reported = chains.into_iter().min_by_key(|(times, steps, chain)| {
            let (begin, end) = (times.first().copied(), times.last().copied());
            let optional = chain.len() - self.required(chain);
            let by_entry = match self.spec.options().entry {
                Entry::EarliestLongest => (begin, end, Reverse(None)),
                _ => (end, None, Reverse(begin)),
            };
            let (earliest, latest) = match limited {
                true => (Vec::new(), times.clone()),
                false => (times.clone(), Vec::new()),
            };
            (
                Reverse(optional),
                by_entry,
                steps.clone(),
                earliest,
                Reverse(latest),
            )
        });
        reported.map_or_else(Vec::new, |(_, _, chain)| chain.clone())
    }
}
