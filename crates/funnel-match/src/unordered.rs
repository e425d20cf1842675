//! Mode `unordered`: how many different steps a stretch of one window holds, each by a row of its
//! own.

use crate::Row;
use crate::spec::Shape;
use crate::ties::bits;

/// Nothing has the step.
const FREE: usize = usize::MAX;

#[derive(Debug)]
pub(crate) struct Unordered {
    shape: Shape,
    /// Must the stretch begin with a row that fills the first step?
    anchored: bool,
    assignment: Assignment,
    level: usize,
    /// Where the best stretch begins.
    begin: usize,
    /// For each step, the steps that its row in the best stretch satisfies; 0 if it has none.
    best: Vec<u64>,
    chain: Vec<Option<usize>>,
}

impl Unordered {
    pub(crate) fn new(shape: Shape, anchored: bool) -> Self {
        Self {
            shape,
            anchored,
            assignment: Assignment::new(shape.steps, usize::from(anchored)),
            level: 0,
            begin: 0,
            best: vec![0; shape.steps],
            chain: vec![None; shape.steps],
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.run(rows);
        self.level
    }

    /// One entry for each step: a row of the earliest of the fullest stretches.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[Option<usize>] {
        self.run(rows);
        for step in 0..self.shape.steps {
            let mask = self.best[step];
            let (chain, all) = (&self.chain[..step], self.shape.all);
            let free = |row: &usize| rows[*row].mask & all == mask && !chain.contains(&Some(*row));
            let row = (self.begin..rows.len()).find(free);
            self.chain[step] = row.filter(|_| mask != 0);
        }
        &self.chain
    }

    fn run(&mut self, rows: &[Row]) {
        self.level = 0;
        self.begin = 0;
        self.best.fill(0);
        self.assignment.clear();
        let (mut at, mut filled) = (0, 0);
        while let Some(row) = rows.get(at)
            && self.level < self.shape.steps
        {
            while let Some(next) = rows.get(filled)
                && self.shape.within(row.time, next.time)
            {
                self.assignment.add(next.mask & self.shape.all);
                filled += 1;
            }
            let same = rows[at..].iter().take_while(|other| other.time == row.time);
            let end = at + same.count();
            if self.anchored {
                for anchor in at..end {
                    self.anchor(rows, at, anchor);
                }
            } else {
                self.keep(at, 0);
            }
            for row in &rows[at..end] {
                self.assignment.remove(row.mask & self.shape.all);
            }
            at = end;
        }
    }

    /// The stretch as it is with the row at `anchor` for the first step.
    fn anchor(&mut self, rows: &[Row], begin: usize, anchor: usize) {
        let mask = rows[anchor].mask & self.shape.all;
        let seen = |row: &Row| row.mask & self.shape.all == mask;
        if mask & 1 == 0 || rows[begin..anchor].iter().any(seen) {
            return;
        }
        self.assignment.remove(mask);
        self.keep(begin, mask);
        self.assignment.add(mask);
    }

    fn keep(&mut self, begin: usize, anchor: u64) {
        let level = self.assignment.size + usize::from(anchor != 0);
        if level > self.level {
            (self.level, self.begin) = (level, begin);
            for (step, best) in self.best.iter_mut().enumerate() {
                *best = self.assignment.mask_of(step);
            }
            if anchor != 0 {
                self.best[0] = anchor;
            }
        }
    }
}

/// A largest assignment of steps to rows, where rows that satisfy the same steps are of one kind.
#[derive(Debug)]
struct Assignment {
    /// The first step that is assigned.
    lowest: usize,
    masks: Vec<u64>,
    /// Rows of each kind, and how many of them have a step.
    rows: Vec<usize>,
    used: Vec<usize>,
    /// The kind of each step.
    kind: Vec<usize>,
    size: usize,
    visited: Vec<bool>,
}

impl Assignment {
    fn new(steps: usize, lowest: usize) -> Self {
        Self {
            lowest,
            masks: Vec::new(),
            rows: Vec::new(),
            used: Vec::new(),
            kind: vec![FREE; steps],
            size: 0,
            visited: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.masks.clear();
        self.rows.clear();
        self.used.clear();
        self.kind.fill(FREE);
        self.size = 0;
    }

    fn mask_of(&self, step: usize) -> u64 {
        match self.kind[step] {
            FREE => 0,
            kind => self.masks[kind],
        }
    }

    fn add(&mut self, mask: u64) {
        if mask == 0 {
            return;
        }
        let known = self.masks.iter().position(|known| *known == mask);
        let kind = known.unwrap_or_else(|| {
            self.masks.push(mask);
            self.rows.push(0);
            self.used.push(0);
            self.masks.len() - 1
        });
        self.rows[kind] += 1;
        for step in self.lowest..self.kind.len() {
            if self.kind[step] == FREE && self.find(step) {
                self.size += 1;
                return; // One more row is one more step at most.
            }
        }
    }

    fn remove(&mut self, mask: u64) {
        let Some(kind) = self.masks.iter().position(|known| *known == mask) else {
            return;
        };
        self.rows[kind] -= 1;
        if self.used[kind] <= self.rows[kind] {
            return;
        }
        if let Some(step) = bits(mask).find(|step| self.kind[*step] == kind) {
            self.kind[step] = FREE;
            self.used[kind] -= 1;
            // If any step can be assigned now, then this one.
            self.size -= usize::from(!self.find(step));
        }
    }

    fn find(&mut self, step: usize) -> bool {
        self.visited.clear();
        self.visited.resize(self.masks.len(), false);
        self.augment(step)
    }

    /// Gives `step` a row, if need be one of another step that finds another. At most one call deep
    /// per step.
    fn augment(&mut self, step: usize) -> bool {
        for kind in 0..self.masks.len() {
            if self.masks[kind] >> step & 1 == 0 || self.visited[kind] {
                continue;
            }
            self.visited[kind] = true;
            if self.used[kind] < self.rows[kind] {
                self.used[kind] += 1;
                self.kind[step] = kind;
                return true;
            }
            for other in self.lowest..self.kind.len() {
                if self.kind[other] == kind && self.augment(other) {
                    self.kind[step] = kind;
                    return true;
                }
            }
        }
        false
    }
}
