//! `windowFunnel` of ClickHouse, as of 26.9.

use std::fmt;

use crate::chains::Chains;
use crate::mode::{Flags, Reason, Taken, set, write_flags};
use crate::ordered::Ordered;
use crate::spec::Shape;
use crate::ties::bits;
use crate::{Row, Spec};

mod once;

use once::FirstOnce;

/// The modes of `windowFunnel`; none of them is `ch:default`.
///
/// ClickHouse takes each condition that a row satisfies as an entry of its own and reads the entries
/// by time, then by step. For each level it knows the chain that came last: a first step always
/// begins anew, and step *i* takes level *i* − 1 to *i* if the window that began with the chain's
/// first row (inclusive) is not over. A row may fill several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClickHouse {
    /// A step after the first that was reached and comes again ends the evaluation. With
    /// `strict_once` the answer depends on the order of rows of the same time.
    pub strict_deduplication: bool,
    /// After the first row of step 1, a row that satisfies no step ends the evaluation (among rows
    /// of the same time it comes first), and so does a step whose predecessor was never reached.
    /// Repeats and steps back do not: A B A C has level 3.
    pub strict_order: bool,
    /// Each step is later than the one before in the chain that came last. A first step of the same
    /// time as the second one replaces an older one, so that chains are lost: mode
    /// `ordered,increase` does not lose them, nor does `strict_once` with this flag.
    pub strict_increase: bool,
    /// A row fills one step of a chain, and all chains are known: as mode `ordered`.
    pub strict_once: bool,
    /// Only with `strict_order`: steps that come too early are passed over.
    pub allow_reentry: bool,
}

impl ClickHouse {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut modes = Self::default();
        flags.each(true, |flag, _| match flag {
            "strict_deduplication" => set(&mut modes.strict_deduplication),
            "strict_order" => set(&mut modes.strict_order),
            "strict_increase" => set(&mut modes.strict_increase),
            "strict_once" => set(&mut modes.strict_once),
            "allow_reentry" => set(&mut modes.allow_reentry),
            "strict" => {
                Taken::Value("is called 'strict_deduplication' since ClickHouse 21; write that")
            }
            _ => Taken::Unknown(
                "default, or strict_deduplication, strict_order, strict_increase, strict_once, \
                 allow_reentry",
            ),
        })?;
        if modes.allow_reentry && !modes.strict_order {
            return Err(Reason::Combination(
                "'allow_reentry' has a meaning only with 'strict_order'; add it, or leave \
                 'allow_reentry' out",
            ));
        }
        Ok(modes)
    }
}

impl fmt::Display for ClickHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.strict_deduplication, "strict_deduplication"),
            (self.strict_order, "strict_order"),
            (self.strict_increase, "strict_increase"),
            (self.strict_once, "strict_once"),
            (self.allow_reentry, "allow_reentry"),
        ];
        if !write_flags(f, &flags)? {
            f.write_str("default")?;
        }
        Ok(())
    }
}

/// One of three machines, all linear in the rows.
#[derive(Debug)]
pub(crate) enum WindowFunnel {
    /// A row may fill several steps.
    Many(Scan),
    /// Each row fills one step.
    Once(Box<Ordered>),
    /// Each row fills one step, and the first row of a step is the only one.
    FirstOnce(FirstOnce),
}

impl WindowFunnel {
    pub(crate) fn new(modes: ClickHouse, spec: &Spec) -> Self {
        if !modes.strict_once {
            Self::Many(Scan::new(modes, spec.shape()))
        } else if modes.strict_deduplication {
            Self::FirstOnce(FirstOnce::new(modes, spec.shape()))
        } else {
            let stop = modes.strict_order.then_some(!modes.allow_reentry);
            let ordered = Ordered::new(spec.shape(), modes.strict_increase);
            Self::Once(Box::new(ordered.stopping(stop)))
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        match self {
            Self::Many(machine) => machine.run::<false>(rows),
            Self::Once(machine) => machine.level(rows),
            Self::FirstOnce(machine) => machine.run(rows),
        }
    }

    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        match self {
            Self::Many(machine) => machine.chain(rows),
            Self::Once(machine) => machine.chain(rows),
            Self::FirstOnce(machine) => machine.chain(rows),
        }
    }
}

/// The scan of ClickHouse itself: first and last time of the newest chain of each level.
#[derive(Debug)]
pub(crate) struct Scan {
    modes: ClickHouse,
    shape: Shape,
    alive: u64,
    first: Vec<i64>,
    last: Vec<i64>,
    chains: Chains,
    /// The chain of the highest level when that was reached.
    winner: Vec<usize>,
}

impl Scan {
    pub(crate) fn new(modes: ClickHouse, shape: Shape) -> Self {
        Self {
            modes,
            shape,
            alive: 0,
            first: vec![0; shape.steps],
            last: vec![0; shape.steps],
            chains: Chains::new(shape.steps),
            winner: Vec::with_capacity(shape.steps),
        }
    }

    /// The chain by which the highest level was first reached.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.run::<true>(rows);
        &self.winner
    }

    pub(crate) fn run<const CHAIN: bool>(&mut self, rows: &[Row]) -> usize {
        self.alive = 0;
        self.winner.clear();
        let all = self.shape.all;
        let goal = 1 << (self.shape.steps - 1);
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            let (mut once, mut twice) = (row.mask & all, 0);
            let mut irrelevant = once == 0;
            let mut end = at + 1;
            while let Some(next) = rows.get(end)
                && next.time == row.time
            {
                let mask = next.mask & all;
                twice |= once & mask;
                once |= mask;
                irrelevant |= mask == 0;
                end += 1;
            }
            if self.modes.strict_order && irrelevant && self.alive != 0 {
                break;
            }
            let stop = self.push::<CHAIN>(row.time, (once, twice), at..end, rows);
            if CHAIN && self.level() > self.winner.len() {
                self.winner.clear();
                self.winner
                    .extend_from_slice(self.chains.get(self.level() - 1));
            }
            if stop || self.alive & goal != 0 {
                break;
            }
            at = end;
        }
        self.level()
    }

    fn level(&self) -> usize {
        (u64::BITS - self.alive.leading_zeros()) as usize
    }

    /// The entries of one instant: steps that some row satisfies, and those that several do. Is the
    /// scan over?
    fn push<const CHAIN: bool>(
        &mut self,
        time: i64,
        (once, twice): (u64, u64),
        group: std::ops::Range<usize>,
        rows: &[Row],
    ) -> bool {
        for step in bits(once) {
            let bit = 1_u64 << step;
            let begin = if step == 0 {
                time
            } else if self.modes.strict_deduplication && self.alive & bit != 0 {
                return true;
            } else if self.alive & bit >> 1 == 0 {
                if self.modes.strict_order && self.alive != 0 && !self.modes.allow_reentry {
                    return true;
                }
                continue;
            } else {
                let late = self.modes.strict_increase && self.last[step - 1] >= time;
                if late || !self.shape.within(self.first[step - 1], time) {
                    continue;
                }
                self.first[step - 1]
            };
            let same = self.alive & bit != 0 && self.first[step] == begin;
            self.first[step] = begin;
            self.last[step] = time;
            self.alive |= bit;
            // Of chains that begin together the one whose steps come earliest, unless the scan goes
            // on from the last.
            if CHAIN && (!same || self.modes.strict_increase) {
                let has = |row: &usize| rows[*row].mask & bit != 0;
                self.chains
                    .extend(step, group.clone().find(has).unwrap_or(group.start));
            }
            if step > 0 && self.modes.strict_deduplication && twice & bit != 0 {
                return true;
            }
        }
        false
    }
}
