//! The funnels of PostHog.

use std::collections::VecDeque;
use std::fmt;

use crate::matcher::Hit;
use crate::mode::{Flags, Reason, Taken, set};
use crate::spec::Shape;
use crate::ties::bits;
use crate::{Exclusion, Row, STEPS_MAX, Spec};

/// The order types of PostHog's funnels.
///
/// Rows of the same time are read in the order given, where they are not sorted by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostHog {
    /// The latest beginning of each level is known, and a row moves it by one level, the highest
    /// step first. Rows of the same time that satisfy different steps are taken apart and read by
    /// step; none is used twice in a chain.
    Ordered,
    /// As `Ordered`, and a row clears every level but those of its steps. Rows that satisfy no step
    /// clear all. Rows of the same time with different steps clear nothing.
    Strict,
    /// The level is the number of different steps among the rows of a window. A row counts for one
    /// of its steps: the one seen longest ago.
    Unordered,
}

impl PostHog {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut order = None;
        let mut chosen = false;
        flags.each(false, |flag, _| {
            order = match flag {
                "ordered" => Some(Self::Ordered),
                "strict" => Some(Self::Strict),
                "unordered" => Some(Self::Unordered),
                _ => return Taken::Unknown(KNOWN),
            };
            match set(&mut chosen) {
                Taken::Twice => Taken::Value("comes after another; a funnel has one order"),
                taken => taken,
            }
        })?;
        order.ok_or(Reason::Flag {
            flag: String::new(),
            known: KNOWN,
        })
    }
}

const KNOWN: &str = "one of ordered, strict, unordered";

impl fmt::Display for PostHog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered",
            Self::Strict => "strict",
            Self::Unordered => "unordered",
        })
    }
}

#[derive(Debug)]
pub(crate) enum Funnel {
    Ordered(Box<Ordered>),
    Unordered(Unordered),
}

impl Funnel {
    pub(crate) fn new(order: PostHog, spec: &Spec) -> Self {
        match order {
            PostHog::Unordered => Self::Unordered(Unordered::new(spec)),
            _ => Self::Ordered(Box::new(Ordered::new(spec, order == PostHog::Strict))),
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        match self {
            Self::Ordered(machine) => {
                machine.run(rows);
                machine.level()
            }
            Self::Unordered(machine) => machine.run(rows).iter().flatten().count(),
        }
    }

    /// The level, and the row of each step.
    pub(crate) fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
        match self {
            Self::Ordered(machine) => {
                machine.run(rows);
                chain.extend_from_slice(machine.reported());
                machine.level()
            }
            Self::Unordered(machine) => {
                chain.extend_from_slice(machine.run(rows));
                chain.iter().flatten().count()
            }
        }
    }

    /// After a run: the excluded row for which the history is out of all counts.
    pub(crate) fn hit(&self) -> Option<Hit> {
        match self {
            Self::Ordered(machine) => machine.best.excluded,
            Self::Unordered(machine) => machine
                .hit
                .filter(|_| machine.best.iter().all(Option::is_none)),
        }
    }
}

/// How far a chain came.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    begin: i64,
    excluded: Option<Hit>,
}

#[derive(Debug)]
pub(crate) struct Ordered {
    shape: Shape,
    strict: bool,
    optional: u64,
    exclusions: Vec<Exclusion>,
    /// One bit for each level but the first, which is the beginning of everything.
    alive: u64,
    levels: Vec<Level>,
    /// The rows of each level, by step.
    rows: Vec<Option<usize>>,
    /// The number of the last step of the best chain.
    reached: usize,
    best: Level,
    best_rows: Vec<Option<usize>>,
}

impl Ordered {
    fn new(spec: &Spec, strict: bool) -> Self {
        let shape = spec.shape();
        let steps = shape.steps;
        Self {
            shape,
            strict,
            optional: spec.options().optional,
            exclusions: spec.options().exclusions.clone(),
            alive: 0,
            levels: vec![Level::default(); steps + 1],
            rows: vec![None; (steps + 1) * steps],
            reached: 0,
            best: Level::default(),
            best_rows: vec![None; steps],
        }
    }

    fn reported(&self) -> &[Option<usize>] {
        match self.best.excluded {
            None => &self.best_rows,
            Some(_) => &[],
        }
    }

    /// The number of the last required step of the best chain.
    fn level(&self) -> usize {
        let required = |step: &usize| self.optional >> step & 1 == 0;
        let last = (0..self.reached).rfind(required);
        last.filter(|_| self.best.excluded.is_none())
            .map_or(0, |step| step + 1)
    }

    fn run(&mut self, rows: &[Row]) {
        self.alive = 0;
        self.reached = 0;
        self.best = Level::default();
        self.best_rows.fill(None);
        let goal = 1 << (self.shape.steps - 1);
        let mut at = 0;
        while let Some(row) = rows.get(at)
            && self.alive & goal == 0
        {
            let same = rows[at..].iter().take_while(|other| other.time == row.time);
            let end = at + same.count();
            let group = &rows[at..end];
            self.levels[0].begin = row.time;
            let bits_of = |row: &Row| (row.mask & self.shape.all, self.excluded(row.mask));
            let first = bits_of(row);
            if group.iter().all(|other| bits_of(other) == first) {
                for (position, row) in (at..).zip(group) {
                    self.row(row.time, first, position, row.mask);
                }
            } else {
                let union = group.iter().fold(0, |union, row| union | row.mask);
                for step in bits(union & self.shape.all) {
                    let has = |position: &usize| rows[*position].mask >> step & 1 == 1;
                    for position in (at..end).filter(has) {
                        self.step(row.time, step, position, true);
                    }
                }
            }
            at = end;
        }
    }

    /// The steps that a row keeps the level before them from.
    fn excluded(&self, mask: u64) -> u64 {
        let met = self.exclusions.iter().enumerate();
        let met = met.filter(|(index, _)| mask >> (self.shape.steps + index) & 1 == 1);
        met.fold(0, |steps, (_, Exclusion { from, to, .. })| {
            (from + 1..=*to).fold(steps, |steps, step| steps | 1 << step)
        })
    }

    fn row(&mut self, time: i64, (mask, excluded): (u64, u64), position: usize, met: u64) {
        let mut steps = excluded;
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            self.exclude(time, step, position, met);
        }
        let mut steps = mask;
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            self.step(time, step, position, false);
        }
        if self.strict {
            self.alive &= mask;
        }
    }

    /// The level that a row of `step` continues: the one before, or an earlier one if optional steps
    /// are missing. `None` if it continues nothing, or nothing new.
    fn before(&self, time: i64, step: usize) -> Option<usize> {
        let mut level = step;
        while level > 0 {
            let begin = self.levels[level].begin;
            if self.alive >> (level - 1) & 1 == 1 && self.shape.within(begin, time) {
                break;
            }
            if self.optional >> (level - 1) & 1 == 0 {
                return None;
            }
            level -= 1;
        }
        let reached =
            self.alive >> step & 1 == 1 && self.levels[step + 1].begin == self.levels[level].begin;
        (!reached).then_some(level)
    }

    fn exclude(&mut self, time: i64, step: usize, position: usize, met: u64) {
        let Some(level) = self.before(time, step) else {
            return;
        };
        let met = |exclusion: &usize| {
            let Exclusion { from, to, .. } = self.exclusions[*exclusion];
            met >> (self.shape.steps + exclusion) & 1 == 1 && from < step && step <= to
        };
        let Some(exclusion) = (0..self.exclusions.len()).find(met) else {
            return;
        };
        if self.levels[level].excluded.is_none() {
            let row = position;
            let hit = |entry: i64| {
                Some(Hit {
                    row,
                    exclusion,
                    entry,
                })
            };
            self.levels[level].excluded = hit(self.levels[level].begin);
            if self.reached == level && self.shape.within(self.best.begin, time) {
                self.best.excluded = hit(self.best.begin);
            }
        }
    }

    /// With `different`, a row that the chain has used for a required step does not continue it.
    fn step(&mut self, time: i64, step: usize, position: usize, different: bool) {
        let Some(before) = self.before(time, step) else {
            return;
        };
        let steps = self.shape.steps;
        let from = before * steps;
        let used = |other: usize| {
            self.optional >> other & 1 == 0 && self.rows[from + other] == Some(position)
        };
        if different && before > 0 && (0..before).any(used) {
            return;
        }
        let level = self.levels[before];
        let mut chain = [None; STEPS_MAX];
        let chain = &mut chain[..steps];
        if before > 0 {
            chain[..before].copy_from_slice(&self.rows[from..from + before]);
        }
        chain[step] = Some(position);
        if level.excluded.is_none() {
            self.alive |= 1 << step;
            self.levels[step + 1] = level;
            self.rows[(step + 1) * steps..(step + 2) * steps].copy_from_slice(chain);
        }
        if step + 1 > self.reached || step + 1 == self.reached && self.best.excluded.is_some() {
            self.reached = step + 1;
            self.best = level;
            self.best_rows.copy_from_slice(chain);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Unordered {
    shape: Shape,
    /// How many there are.
    exclusions: usize,
    /// For each step the rows that count for it, with their times, oldest first.
    queues: Vec<VecDeque<(i64, usize)>>,
    /// The oldest row of each step, when the most steps were there.
    best: Vec<Option<usize>>,
    /// The last excluded row that undid a step.
    hit: Option<Hit>,
}

impl Unordered {
    fn new(spec: &Spec) -> Self {
        let shape = spec.shape();
        Self {
            shape,
            exclusions: spec.options().exclusions.len(),
            queues: vec![VecDeque::new(); shape.steps],
            best: vec![None; shape.steps],
            hit: None,
        }
    }

    fn run(&mut self, rows: &[Row]) -> &[Option<usize>] {
        self.hit = None;
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.best.fill(None);
        for (position, row) in rows.iter().enumerate() {
            self.leave(row.time);
            // The step whose last row is the oldest, or that has none; of several the first.
            let mask = row.mask & self.shape.all;
            if mask == 0 && self.exclude(row, position) {
                continue;
            }
            let last = |step: &usize| self.queues[*step].back().map(|(time, _)| *time);
            if let Some(step) = bits(mask).min_by_key(last) {
                self.queues[step].push_back((row.time, position));
            }
            if self.best.iter().all(Option::is_some) {
                break;
            }
        }
        self.remember();
        &self.best
    }

    /// A row of no step that is excluded undoes all before it.
    fn exclude(&mut self, row: &Row, position: usize) -> bool {
        let met = row.mask.checked_shr(self.shape.steps as u32).unwrap_or(0);
        let Some(exclusion) = bits(met).next().filter(|met| *met < self.exclusions) else {
            return false;
        };
        let fronts = self.queues.iter().filter_map(VecDeque::front);
        if let Some(entry) = fronts.map(|(time, _)| *time).min() {
            let row = position;
            self.hit = Some(Hit {
                row,
                exclusion,
                entry,
            });
        }
        self.queues.iter_mut().for_each(VecDeque::clear);
        true
    }

    fn steps(&self) -> usize {
        self.queues.iter().filter(|queue| !queue.is_empty()).count()
    }

    /// Drops the rows that cannot be with one of `time`; all of them, once every step is there.
    fn leave(&mut self, time: i64) {
        loop {
            let fronts = self.queues.iter().enumerate();
            let oldest = fronts
                .filter_map(|(step, queue)| queue.front().map(|(time, _)| (*time, step)))
                .min();
            let Some((oldest, step)) = oldest else { return };
            if self.steps() < self.shape.steps && self.shape.within(oldest, time) {
                return;
            }
            self.remember();
            self.queues[step].pop_front();
        }
    }

    fn remember(&mut self) {
        if self.steps() > self.best.iter().flatten().count() {
            for (best, queue) in self.best.iter_mut().zip(&self.queues) {
                *best = queue.front().map(|(_, position)| *position);
            }
        }
    }
}

#[cfg(test)]
mod tests;
