//! Levels of many keys at once, from columns sorted by key and time.
//!
//! A run is the rows of one key. [`Runs::levels`] takes whole runs; a run that crosses the border of
//! a batch is given in pieces, between [`Runs::begin`] and [`Runs::end`], in constant memory. The
//! answers are those of [`Matcher::level`](crate::Matcher::level).
//!
//! Runs of few steps take a path without branches: a step is a select, and the compiler unrolls the
//! steps. That path notices on its way if rows of the same time are such that their order matters;
//! the run is then read again by the general machine.

use crate::dialect::clickhouse::ClickHouse;
use crate::ties::{Ties, bits};
use crate::{Mode, Options, Spec};

/// A kernel for one funnel.
#[derive(Debug)]
pub struct Runs {
    steps: usize,
    /// The largest distance is further than any two times are apart.
    window: u64,
    rule: Rule,
    open: Open,
}

/// How a row serves steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Modes `ordered` and `ch:strict_once`: one row, one step.
    Once,
    /// Mode `ch:default`: a row may serve several steps in a row.
    Many,
    /// Mode `loose` without a window: the steps that any row satisfies.
    Any,
}

/// More steps than this are faster one by one, as few of them are alive at a time.
const UNROLLED_MAX: usize = 12;
/// No chain of this length.
const NONE: i64 = i64::MIN;

impl Runs {
    /// A kernel for `spec`, if there is one: modes `ordered`, `ch:default` and `ch:strict_once`, and
    /// `loose` without a window, all without further options.
    #[must_use]
    pub fn new(spec: &Spec) -> Option<Self> {
        let once = ClickHouse {
            strict_once: true,
            ..ClickHouse::default()
        };
        let rule = match (spec.mode(), spec.window()) {
            _ if *spec.options() != Options::default() => return None,
            (Mode::Ordered, _) => Rule::Once,
            (Mode::ClickHouse(flags), _) if flags == ClickHouse::default() => Rule::Many,
            (Mode::ClickHouse(flags), _) if flags == once => Rule::Once,
            (Mode::Loose, None) => Rule::Any,
            _ => return None,
        };
        Some(Self {
            steps: spec.steps(),
            window: spec.window().unwrap_or(u64::MAX),
            rule,
            open: Open::new(spec.steps()),
        })
    }

    /// Appends the level of each run to `levels`. Run `i` is the rows from `offsets[i]` to before
    /// `offsets[i + 1]`, in the order of their times; rows of the same time in any order. The
    /// offsets do not fall and are within the columns, which are equally long; what is beyond is
    /// taken as no row.
    pub fn levels<M>(&mut self, times: &[i64], masks: &[M], offsets: &[usize], levels: &mut Vec<u8>)
    where
        M: Copy + Into<u64>,
    {
        levels.reserve(offsets.len().saturating_sub(1));
        match self.rule {
            Rule::Once => self.each::<M, true>(times, masks, offsets, levels),
            Rule::Many => self.each::<M, false>(times, masks, offsets, levels),
            Rule::Any => {
                let all = self.all_steps();
                let level = |masks: &[M]| any(masks) & all;
                let runs = offsets.windows(2);
                levels.extend(runs.map(|run| match run {
                    &[from, to] => length(level(masks.get(from..to).unwrap_or_default())),
                    _ => 0,
                }));
            }
        }
    }

    /// Forgets what was given of a run that was not ended.
    pub fn begin(&mut self) {
        self.open.clear();
    }

    /// The next rows of the run, not earlier than those before.
    pub fn feed<M: Copy + Into<u64>>(&mut self, times: &[i64], masks: &[M]) {
        let all = self.all_steps();
        match self.rule {
            Rule::Once => self.open.feed::<M, true>(self.window, all, times, masks),
            Rule::Many => self.open.feed::<M, false>(self.window, all, times, masks),
            Rule::Any => self.open.alive |= any(masks) & all,
        }
    }

    /// The level of the run, which ends here.
    pub fn end(&mut self) -> u8 {
        match self.rule {
            Rule::Once => self.open.flush::<true>(self.window),
            Rule::Many => self.open.flush::<false>(self.window),
            Rule::Any => {}
        }
        let level = length(self.open.alive);
        self.open.clear();
        level
    }

    fn all_steps(&self) -> u64 {
        u64::MAX >> (crate::STEPS_MAX - self.steps)
    }

    fn each<M: Copy + Into<u64>, const ONCE: bool>(
        &mut self,
        times: &[i64],
        masks: &[M],
        offsets: &[usize],
        levels: &mut Vec<u8>,
    ) {
        // The number of steps is known to the compiler in each of these.
        match self.steps {
            1 => self.unrolled::<M, ONCE, 1>(times, masks, offsets, levels),
            2 => self.unrolled::<M, ONCE, 2>(times, masks, offsets, levels),
            3 => self.unrolled::<M, ONCE, 3>(times, masks, offsets, levels),
            4 => self.unrolled::<M, ONCE, 4>(times, masks, offsets, levels),
            5 => self.unrolled::<M, ONCE, 5>(times, masks, offsets, levels),
            6 => self.unrolled::<M, ONCE, 6>(times, masks, offsets, levels),
            7 | 8 => self.unrolled::<M, ONCE, 8>(times, masks, offsets, levels),
            9..=UNROLLED_MAX => {
                self.unrolled::<M, ONCE, UNROLLED_MAX>(times, masks, offsets, levels);
            }
            _ => self.runs(times, masks, offsets, levels, |_, _| None),
        }
    }

    fn unrolled<M: Copy + Into<u64>, const ONCE: bool, const STEPS: usize>(
        &mut self,
        times: &[i64],
        masks: &[M],
        offsets: &[usize],
        levels: &mut Vec<u8>,
    ) {
        let (window, all) = (self.window, self.all_steps());
        self.runs(times, masks, offsets, levels, |times, masks| {
            in_order::<M, ONCE, STEPS>(window, all, times, masks)
        });
    }

    /// Gives each run to `fast`, and to the general machine where that has no answer.
    fn runs<M: Copy + Into<u64>>(
        &mut self,
        times: &[i64],
        masks: &[M],
        offsets: &[usize],
        levels: &mut Vec<u8>,
        fast: impl Fn(&[i64], &[M]) -> Option<u8>,
    ) {
        for run in offsets.windows(2) {
            let &[from, to] = run else { continue };
            let (Some(times), Some(masks)) = (times.get(from..to), masks.get(from..to)) else {
                levels.push(0);
                continue;
            };
            let level = fast(times, masks).unwrap_or_else(|| {
                self.begin();
                self.feed(times, masks);
                self.end()
            });
            levels.push(level);
        }
    }
}

/// The level of a run, or `None` if the order in which it gives rows of the same time may matter, or
/// if one has the time that stands for no chain.
#[inline]
fn in_order<M: Copy + Into<u64>, const ONCE: bool, const STEPS: usize>(
    window: u64,
    all: u64,
    times: &[i64],
    masks: &[M],
) -> Option<u8> {
    let mut entry = [NONE; STEPS];
    if times.first() == Some(&NONE) {
        return None;
    }
    let (mut time_before, mut mask_before) = (NONE, 0_u64);
    let mut order_matters = false;
    for (time, mask) in times.iter().zip(masks) {
        let (time, mask) = (*time, (*mask).into() & all);
        // Rows of one instant that serve one step each give the best chains in the order of steps.
        let several = (mask & mask.wrapping_sub(1)) | (mask_before & mask_before.wrapping_sub(1));
        let falls = (several != 0) | (mask < mask_before);
        order_matters |= (time == time_before) & falls & (mask != 0);
        mask_before = if mask == 0 { mask_before } else { mask };
        time_before = if mask == 0 { time_before } else { time };
        // Every chain that may go on begins here or later; no chain begins earlier than all times.
        let begin_min = time.saturating_sub_unsigned(window).max(NONE + 1);
        let keep = |bit: usize, entry: &mut [i64; STEPS]| {
            let from = entry[bit - 1];
            let goes_on = (mask >> bit & 1 == 1) & (from >= begin_min);
            entry[bit] = if goes_on { from } else { entry[bit] };
        };
        let begins = mask & 1 == 1;
        if ONCE {
            (1..STEPS).rev().for_each(|bit| keep(bit, &mut entry));
            entry[0] = if begins { time } else { entry[0] };
        } else {
            entry[0] = if begins { time } else { entry[0] };
            (1..STEPS).for_each(|bit| keep(bit, &mut entry));
        }
    }
    let level = entry.iter().filter(|begin| **begin != NONE).count();
    (!order_matters).then_some(level as u8) // at most UNROLLED_MAX
}

/// The general machine: any number of steps, rows of the same time, a run in pieces.
#[derive(Debug)]
struct Open {
    steps: usize,
    /// Bit `i` stands for chains of `i + 1` rows.
    alive: u64,
    /// The latest beginning of a chain of `i + 1` rows.
    entry: Vec<i64>,
    /// The instant whose rows are not all known yet, and its first row's mask, or the union of all.
    time: i64,
    mask: u64,
    /// All rows of that instant, if there are several and it matters; no more than can be used.
    group: Vec<u64>,
    kept: Vec<usize>,
    ties: Ties,
    made: Vec<i64>,
}

impl Open {
    fn new(steps: usize) -> Self {
        Self {
            steps,
            alive: 0,
            entry: vec![0; steps],
            time: 0,
            mask: 0,
            group: Vec::new(),
            kept: vec![0; steps],
            ties: Ties::new(steps),
            made: vec![0; steps],
        }
    }

    fn clear(&mut self) {
        self.alive = 0;
        self.mask = 0;
        self.group.clear();
    }

    #[inline]
    fn feed<M: Copy + Into<u64>, const ONCE: bool>(
        &mut self,
        window: u64,
        all: u64,
        times: &[i64],
        masks: &[M],
    ) {
        for (time, mask) in times.iter().zip(masks) {
            let mask = (*mask).into() & all;
            if mask == 0 {
                continue;
            }
            if self.mask == 0 || *time != self.time {
                self.flush::<ONCE>(window);
                if self.alive == all {
                    return; // Nothing is longer.
                }
                (self.time, self.mask) = (*time, mask);
            } else if ONCE {
                self.join(mask);
            } else {
                self.mask |= mask;
            }
        }
    }

    /// One more row of the present instant.
    fn join(&mut self, mask: u64) {
        if self.group.is_empty() {
            self.kept.fill(0);
            self.keep(self.mask);
        }
        self.keep(mask);
    }

    /// As many rows as there are steps are enough for each step: one of them is always left.
    fn keep(&mut self, mask: u64) {
        if bits(mask).any(|step| self.kept[step] < self.steps) {
            bits(mask).for_each(|step| self.kept[step] += 1);
            self.group.push(mask);
        }
    }

    /// The rows of the present instant are complete.
    #[inline]
    fn flush<const ONCE: bool>(&mut self, window: u64) {
        if !self.group.is_empty() {
            self.push_group(window);
            self.group.clear();
        } else if ONCE {
            let mut steps = self.mask & (self.alive << 1 | 1);
            while steps != 0 {
                let step = steps.ilog2() as usize;
                steps ^= 1 << step;
                self.go_on(step, window);
            }
        } else {
            bits(self.mask).for_each(|step| self.go_on(step, window));
        }
        self.mask = 0;
    }

    /// A row of the present instant continues the chains that lack `step`.
    #[inline]
    fn go_on(&mut self, step: usize, window: u64) {
        if step == 0 {
            self.entry[0] = self.time;
            self.alive |= 1;
            return;
        }
        let begin = self.entry[step - 1];
        if self.alive >> (step - 1) & 1 == 1 && self.time.abs_diff(begin) <= window {
            self.entry[step] = begin;
            self.alive |= 1 << step;
        }
    }

    /// Several rows of the same instant: what they make of the state before them, all at once.
    fn push_group(&mut self, window: u64) {
        self.ties.load(self.group.iter().copied().enumerate());
        let mut made = 0_u64;
        for base in 0..self.steps {
            let begin = match base {
                0 => self.time,
                _ if self.alive >> (base - 1) & 1 == 0 => break,
                _ => self.entry[base - 1],
            };
            if self.time.abs_diff(begin) > window {
                break; // Longer chains begin no later.
            }
            for step in base..base + self.ties.run_from(base) {
                // Chains that bring more rows begin no later, so the first one counts.
                if made >> step & 1 == 0 {
                    made |= 1 << step;
                    self.made[step] = begin;
                }
            }
        }
        for step in bits(made) {
            if self.alive >> step & 1 == 0 || self.made[step] > self.entry[step] {
                self.entry[step] = self.made[step];
            }
        }
        self.alive |= made;
    }
}

/// All bits of all masks.
fn any<M: Copy + Into<u64>>(masks: &[M]) -> u64 {
    masks.iter().fold(0, |all, mask| all | (*mask).into())
}

/// The number of the highest step.
fn length(steps: u64) -> u8 {
    (u64::BITS - steps.leading_zeros()) as u8 // at most 64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Matcher, Row};

    fn kernel(mode: &str, steps: usize, window: Option<u64>) -> (Spec, Runs) {
        let spec = Spec::new(mode.parse().unwrap(), steps, window).unwrap();
        let runs = Runs::new(&spec).unwrap();
        (spec, runs)
    }

    #[test]
    fn modes_without_a_kernel_have_none() {
        for (mode, window) in [("loose", Some(5)), ("ch:strict_order,strict_once", None)] {
            let spec = Spec::new(mode.parse().unwrap(), 3, window).unwrap();
            assert!(Runs::new(&spec).is_none(), "{mode}");
        }
        let options = Options {
            as_of: Some(7),
            ..Options::default()
        };
        let spec = Spec::new(Mode::Ordered, 3, Some(5)).unwrap();
        assert!(Runs::new(&spec.with_options(options).unwrap()).is_none());
    }

    #[test]
    fn earliest_instant_of_all_is_a_time_like_others() {
        for window in [Some(0), Some(3), None] {
            let (spec, mut runs) = kernel("ordered", 2, window);
            let times = [i64::MIN, i64::MIN + 3];
            let mut levels = Vec::new();
            runs.levels(&times, &[1_u8, 2], &[0, 2], &mut levels);
            let rows = [(times[0], 1), (times[1], 2)].map(|(time, mask)| Row { time, mask });
            assert_eq!(levels, [Matcher::new(spec).level(&rows) as u8]);
        }
    }

    #[test]
    fn group_of_any_size_takes_constant_room() {
        let (_, mut runs) = kernel("ordered", 3, None);
        runs.begin();
        for _ in 0..1000 {
            runs.feed(&[5], &[0b111_u8]);
        }
        assert_eq!(runs.open.group.len(), 3);
        assert_eq!(runs.end(), 3);
    }

    type Run = Vec<(i64, u64)>;

    fn funnels() -> impl Strategy<Value = (&'static str, usize, Option<u64>, Vec<Run>)> {
        let window = prop_oneof![1 => Just(None), 4 => (0_u64..14).prop_map(Some)];
        let mode = prop_oneof![
            2 => Just("ordered"),
            2 => Just("ch:default"),
            1 => Just("ch:strict_once"),
            1 => Just("loose"),
        ];
        (mode, 1_usize..=14, window, 1_i64..60).prop_flat_map(|(mode, steps, window, span)| {
            let mask = prop_oneof![
                5 => (0..steps).prop_map(|step| 1_u64 << step),
                2 => 0_u64..1 << steps,
                1 => 0_u64..1 << 16,
            ];
            let run = prop::collection::vec((-span..span, mask), 0..24).prop_map(|mut run| {
                run.sort_by_key(|(time, _)| *time);
                run
            });
            let window = if mode == "loose" { None } else { window };
            (
                Just(mode),
                Just(steps),
                Just(window),
                prop::collection::vec(run, 0..6),
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        #[test]
        fn kernel_equals_matcher((mode, steps, window, keys) in funnels(), piece in 1_usize..5) {
            let (spec, mut runs) = kernel(mode, steps, window);
            let mut matcher = Matcher::new(spec);
            let (mut times, mut masks, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
            let (mut expected, mut pieces) = (Vec::new(), Vec::new());
            for run in &keys {
                let rows: Vec<Row> =
                    run.iter().map(|&(time, mask)| Row { time, mask }).collect();
                expected.push(matcher.level(&rows) as u8);
                runs.begin();
                for part in run.chunks(piece) {
                    let (times, masks): (Vec<i64>, Vec<u64>) = part.iter().copied().unzip();
                    runs.feed(&times, &masks);
                }
                pieces.push(runs.end());
                times.extend(run.iter().map(|(time, _)| *time));
                masks.extend(run.iter().map(|(_, mask)| *mask));
                offsets.push(times.len());
            }
            prop_assert_eq!(&pieces, &expected);
            let mut levels = Vec::new();
            runs.levels(&times, &masks, &offsets, &mut levels);
            let narrow: Vec<u16> = masks.iter().map(|mask| *mask as u16).collect();
            runs.levels(&times, &narrow, &offsets, &mut levels);
            prop_assert_eq!(levels, [&expected[..], &expected[..]].concat());
        }
    }
}
