//! Ordered funnels with steps that can be missing, and with rows that must be.
//!
//! The level is found over the required steps alone. Then sets of optional steps are tried, the
//! largest first: each is a funnel of its own. Where there are excluded rows, each beginning is
//! looked at alone, since an excluded row can end one attempt and not another.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::attempts::{self, next_entry};
use crate::limits::Limits;
use crate::matcher::Hit;
use crate::ordered::Ordered;
use crate::spec::Shape;
use crate::ties::bits;
use crate::{Action, Entry, Exclusion, Mode, Row, Spec};

#[derive(Debug)]
pub(crate) struct Parts {
    spec: Spec,
    /// By the optional steps that they have.
    tracks: BTreeMap<u64, Track>,
}

/// How a history went.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) level: usize,
    /// By step.
    pub(crate) chain: Vec<Option<usize>>,
    pub(crate) excluded: bool,
    /// The row that hits the best of the attempts that are hit.
    pub(crate) hit: Option<Hit>,
}

/// The chains that begin in one instant, or all of them.
#[derive(Debug)]
struct Attempt {
    /// Where that instant begins; `None` is all.
    from: Option<usize>,
    /// The reported one: positions of its rows.
    chain: Vec<usize>,
    /// When it begins and ends.
    begin: i64,
    end: i64,
    hit: Option<Hit>,
    action: Option<Action>,
}

impl Attempt {
    /// What counts more: not to be dropped, the level, not to be stopped.
    fn rank(&self) -> (bool, usize, bool) {
        let dropped = self.action == Some(Action::Drop);
        (!dropped, self.chain.len(), self.action.is_none())
    }
}

impl Parts {
    pub(crate) fn new(spec: &Spec) -> Self {
        Self {
            spec: spec.clone(),
            tracks: BTreeMap::new(),
        }
    }

    /// The level alone.
    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        let options = self.spec.options();
        if options.exclusions.is_empty() && options.entry != Entry::First {
            let required = self.track(0, rows);
            let level = required.every.level(&required.rows);
            return required.steps_to(level);
        }
        self.run(rows).level
    }

    pub(crate) fn run(&mut self, rows: &[Row]) -> Verdict {
        let entry = self.spec.options().entry;
        let required = self.track(0, rows);
        let attempts = required.attempts(entry);
        let hits = attempts.iter().filter(|attempt| attempt.hit.is_some());
        let hit = hits.max_by_key(|attempt| attempt.rank());
        let hit = hit.and_then(|attempt| attempt.hit);
        let best = attempts.iter().map(Attempt::rank).max();
        let best = attempts.into_iter().filter(|one| Some(one.rank()) == best);
        let best: Vec<Attempt> = best.collect();
        let Some(first) = best.first() else {
            return Verdict::default();
        };
        let (action, length) = (first.action, first.chain.len());
        if action == Some(Action::Drop) || length == 0 {
            return Verdict {
                excluded: action.is_some(),
                hit,
                ..Verdict::default()
            };
        }
        let level = required.steps_to(length);
        let before_next = match required.steps.get(length) {
            Some(next) => (1 << next) - 1,
            None => u64::MAX,
        };
        let union = rows.iter().fold(0, |union, row| union | row.mask);
        let free = self.spec.options().optional & before_next & union;
        let (held, found) = self.fill(free, best, rows);
        let mut chain = vec![None; self.spec.steps()];
        for (step, row) in self
            .steps_of(held)
            .zip(found.iter().flat_map(|one| &one.chain))
        {
            chain[step] = Some(*row);
        }
        Verdict {
            level,
            chain,
            excluded: action.is_some(),
            hit: found.and_then(|found| found.hit).or(hit),
        }
    }

    /// Gives each attempt and how many required steps it has: none if an excluded row drops it.
    pub(crate) fn each_attempt(&mut self, rows: &[Row], mut give: impl FnMut(Range<usize>, usize)) {
        let required = self.track(0, rows);
        if required.exclusions.is_empty() {
            return attempts::each(&mut required.ending, &required.rows, give);
        }
        let mut ranges = Vec::new();
        attempts::each(&mut required.ending, &required.rows, |range, _| {
            ranges.push(range);
        });
        for range in ranges {
            let attempts = self.track(0, &rows[range.clone()]).attempts(Entry::First);
            let kept = |attempt: &&Attempt| attempt.action != Some(Action::Drop);
            let kept = attempts.first().filter(kept);
            give(range, kept.map_or(0, |attempt| attempt.chain.len()));
        }
    }

    /// Of the attempts that got as far as any, the one that is reported, with as many of the `free`
    /// steps as can be; and which of those.
    fn fill(&mut self, free: u64, best: Vec<Attempt>, rows: &[Row]) -> (u64, Option<Attempt>) {
        let entry = self.spec.options().entry;
        let preferred = |attempt: &Attempt| attempt.preference(entry);
        let mut sets: Vec<u64> = subsets(free).collect();
        sets.sort_by_key(|set| (Reverse(set.count_ones()), Reverse(set.reverse_bits())));
        for same_size in sets.chunk_by(|set, next| set.count_ones() == next.count_ones()) {
            let mut found: Option<(u64, Attempt)> = None;
            for held in same_size {
                let track = self.track(*held, rows);
                let size = held.count_ones() as usize;
                let same = best.iter().filter_map(|required| {
                    let attempt = track.attempt(required.from)?;
                    let holds = attempt.chain.len() == required.chain.len() + size;
                    (holds && attempt.action == required.action).then_some(attempt)
                });
                if let Some(attempt) = same.min_by_key(preferred)
                    && found
                        .as_ref()
                        .is_none_or(|(_, other)| preferred(&attempt) < preferred(other))
                {
                    found = Some((*held, attempt));
                }
            }
            if let Some((held, attempt)) = found {
                return (held, Some(attempt));
            }
        }
        (0, best.into_iter().min_by_key(preferred))
    }

    /// The required steps and those `held`, ascending.
    fn steps_of(&self, held: u64) -> impl Iterator<Item = usize> + use<> {
        bits(self.spec.shape().all & !self.spec.options().optional | held)
    }

    /// The funnel that has the optional steps `held`, over `rows`.
    fn track(&mut self, held: u64, rows: &[Row]) -> &mut Track {
        let steps = self.steps_of(held);
        let spec = &self.spec;
        let track = self.tracks.entry(held);
        let track = track.or_insert_with(|| Track::new(spec, steps.collect()));
        track.load(spec.steps(), rows);
        track
    }
}

/// A funnel of some of the steps.
#[derive(Debug)]
struct Track {
    steps: Vec<usize>,
    exclusions: Vec<Exclusion>,
    limits: Option<Limits>,
    shape: Shape,
    every: Ordered,
    /// From one beginning only.
    single: Ordered,
    /// The same, up to where the attempt ends.
    ending: Ordered,
    rows: Vec<Row>,
}

impl Track {
    fn new(spec: &Spec, steps: Vec<usize>) -> Self {
        let place = |step: usize| steps.partition_point(|other| *other < step);
        let exclusions = spec.options().exclusions.iter();
        let exclusions: Vec<Exclusion> = exclusions
            .map(|exclusion| Exclusion {
                from: place(exclusion.from),
                to: place(exclusion.to),
                action: exclusion.action,
            })
            .collect();
        let shape = spec.shape().with_steps(steps.len());
        let increase = spec.mode() == Mode::OrderedIncrease;
        let gaps = spec.options().gaps_between(&steps);
        let limits = || Limits::new(steps.len(), &gaps, &exclusions);
        let machine = || Ordered::new(shape, increase).limited(limits());
        Self {
            limits: limits(),
            shape,
            every: machine(),
            single: machine().first_only(),
            ending: machine().first_only().ending(),
            rows: Vec::new(),
            exclusions,
            steps,
        }
    }

    /// The number of the last of the first `length` steps.
    fn steps_to(&self, length: usize) -> usize {
        self.steps[..length].last().map_or(0, |step| step + 1)
    }

    fn load(&mut self, excluded_from: usize, rows: &[Row]) {
        let steps = &self.steps;
        let exclusions = (0..self.exclusions.len()).map(|index| excluded_from + index);
        let kept: Vec<usize> = steps.iter().copied().chain(exclusions).collect();
        let bit = |mask: u64, (to, from): (usize, &usize)| (mask >> from & 1) << to;
        self.rows.clear();
        self.rows.extend(rows.iter().map(|row| {
            Row {
                time: row.time,
                mask: kept
                    .iter()
                    .enumerate()
                    .fold(0, |mask, place| mask | bit(row.mask, place)),
            }
        }));
    }

    /// All attempts that count.
    fn attempts(&mut self, entry: Entry) -> Vec<Attempt> {
        let excluded = |row: &Row| row.mask.checked_shr(self.steps.len() as u32);
        let is_excluded = |row: &Row| excluded(row).is_some_and(|excluded| excluded != 0);
        if entry == Entry::Latest && !self.rows.iter().any(is_excluded) {
            return self.attempt(None).into_iter().collect();
        }
        let mut attempts = Vec::new();
        let mut at = 0;
        while let Some(begin) = next_entry(&self.rows, at) {
            attempts.extend(self.attempt(Some(begin)));
            let time = self.rows[begin].time;
            let same = self.rows[begin..].iter();
            at = begin + same.take_while(|row| row.time == time).count();
            if entry == Entry::First {
                break;
            }
        }
        attempts
    }

    /// The attempt that begins in the instant at `from`; of all beginnings the best, if `None`.
    fn attempt(&mut self, from: Option<usize>) -> Option<Attempt> {
        let at = from.unwrap_or(0);
        let machine = match from {
            None => &mut self.every,
            Some(_) => &mut self.single,
        };
        let rows = &self.rows[at..];
        let found = machine.chain(rows).to_vec();
        let is_hit = found.is_empty();
        let chain = if is_hit {
            machine.newest().to_vec()
        } else {
            found
        };
        let (first, last) = (chain.first()?, chain.last()?);
        let (begin, end) = (rows[*first].time, rows[*last].time);
        let hit = is_hit.then(|| self.find_hit(at, &chain)).flatten();
        Some(Attempt {
            from,
            begin,
            end,
            chain: chain.into_iter().map(|row| at + row).collect(),
            action: hit.map(|hit| self.exclusions[hit.exclusion].action),
            hit,
        })
    }

    /// The first row that hits a chain from position `at` on; the first that drops it, if one does.
    fn find_hit(&self, at: usize, chain: &[usize]) -> Option<Hit> {
        let limits = self.limits.as_ref()?;
        let rows = &self.rows[at..];
        let time_of = |step: usize| rows[chain[step]].time;
        let entry = time_of(0);
        let mut inside = rows.iter().enumerate();
        let inside = inside
            .by_ref()
            .take_while(|(_, row)| self.shape.within(entry, row.time));
        let mut stop = None;
        for (row, found) in inside {
            for exclusion in limits.hits(found, chain.len(), time_of) {
                let hit = Hit {
                    row: at + row,
                    exclusion,
                    entry,
                };
                if self.exclusions[exclusion].action == Action::Drop {
                    return Some(hit);
                }
                stop = stop.or(Some(hit));
            }
        }
        stop
    }
}

impl Attempt {
    /// The least is the one that is reported.
    fn preference(&self, entry: Entry) -> (i64, i64, Reverse<i64>) {
        match entry {
            Entry::EarliestLongest => (self.begin, self.end, Reverse(0)),
            _ => (self.end, 0, Reverse(self.begin)),
        }
    }
}

/// The subsets of `set` that are not empty.
fn subsets(set: u64) -> impl Iterator<Item = u64> {
    let next = move |subset: &u64| Some(subset.wrapping_sub(1) & set).filter(|next| *next != 0);
    std::iter::successors(Some(set).filter(|set| *set != 0), next)
}
