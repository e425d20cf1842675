//! The reason of a step that was not reached.

use super::{is_explained, next};
use crate::{Matcher, Mode, Options, Outcome, Row, Spec, State};

/// Why a history went no further. Steps count from 0; `step` is the first that was not reached
/// after the last that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No row satisfies the first step: the history has no part in the funnel.
    NeverEntered,
    /// No row satisfies the step.
    NeverSeen {
        /// The step.
        step: usize,
    },
    /// Rows satisfy the step, all of them before the first step of the funnel.
    OnlyBeforeEntry {
        /// The step.
        step: usize,
    },
    /// Rows satisfy the step, all of them before the step that it follows was reached.
    OnlyBeforePrevious {
        /// The step.
        step: usize,
    },
    /// A window wider by `by`, and by nothing less, would let the history go further.
    AfterWindow {
        /// The step.
        step: usize,
        /// In the unit of the rows' times.
        by: u64,
    },
    /// Gaps between steps that were all longer by `by`, and by nothing less, would let the history go
    /// further.
    AfterGap {
        /// The step.
        step: usize,
        /// In the unit of the rows' times.
        by: u64,
    },
    /// Rows at or after `as_of` could still reach the step.
    WindowOpen {
        /// The step.
        step: usize,
        /// The last time at which it could.
        until: i64,
    },
    /// The only rows that satisfy the step serve a step before it: if one row could fill several
    /// steps, the history would go further.
    OnlyCandidateUsed {
        /// The step.
        step: usize,
    },
    /// Rows satisfy the step in the instant of the step before: mode `ordered` would go further.
    NotStrictlyLater {
        /// The step.
        step: usize,
    },
    /// An excluded row ended the attempt, or the history would go further without excluded rows.
    ExcludedBy {
        /// The step.
        step: usize,
        /// The position of the row that ended the best of the attempts that were ended.
        row: Option<usize>,
    },
    /// Mode `next`: with mode `ordered`, which lets other rows come between, the history would go
    /// further.
    Interrupted {
        /// The step.
        step: usize,
        /// The position of the first row that came between.
        by: usize,
    },
    /// Rows of the same key that differ in a held value would let the history go further.
    HeldDiffers {
        /// The step.
        step: usize,
    },
    /// Rows would do only if several of these rules were given up.
    SeveralRules {
        /// The step.
        step: usize,
    },
    /// In a mode or with an option that is not explained itself: `ordered` with the same window goes
    /// further, so that a rule of that mode or option alone stands in the way.
    OwnRule {
        /// The step.
        step: usize,
    },
    /// Rows satisfy the step, and the mode or an option does not tell why they do not count.
    NotExplained {
        /// The step.
        step: usize,
    },
}

impl Reason {
    /// The name under which tables and messages know the reason.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::NeverEntered => "never_entered",
            Reason::NeverSeen { .. } => "never_seen",
            Reason::OnlyBeforeEntry { .. } => "only_before_entry",
            Reason::OnlyBeforePrevious { .. } => "only_before_previous",
            Reason::AfterWindow { .. } => "after_window",
            Reason::AfterGap { .. } => "after_gap",
            Reason::WindowOpen { .. } => "window_open",
            Reason::OnlyCandidateUsed { .. } => "only_candidate_used",
            Reason::NotStrictlyLater { .. } => "not_strictly_later",
            Reason::ExcludedBy { .. } => "excluded_by",
            Reason::Interrupted { .. } => "interrupted",
            Reason::HeldDiffers { .. } => "held_differs",
            Reason::SeveralRules { .. } => "several_rules",
            Reason::OwnRule { .. } => "own_rule",
            Reason::NotExplained { .. } => "not_explained",
        }
    }

    /// The step that was not reached.
    pub const fn step(self) -> usize {
        match self {
            Reason::NeverEntered => 0,
            Reason::NeverSeen { step }
            | Reason::OnlyBeforeEntry { step }
            | Reason::OnlyBeforePrevious { step }
            | Reason::AfterWindow { step, .. }
            | Reason::AfterGap { step, .. }
            | Reason::WindowOpen { step, .. }
            | Reason::OnlyCandidateUsed { step }
            | Reason::NotStrictlyLater { step }
            | Reason::ExcludedBy { step, .. }
            | Reason::Interrupted { step, .. }
            | Reason::HeldDiffers { step }
            | Reason::SeveralRules { step }
            | Reason::OwnRule { step }
            | Reason::NotExplained { step } => step,
        }
    }

    /// [`Reason::HeldDiffers`] where no row of the history itself would do and the rows of the
    /// whole key, sorted by time, go further.
    #[must_use]
    pub fn unless_held(self, spec: &Spec, whole: &[Row]) -> Self {
        let step = self.step();
        let of_own_rows = !matches!(
            self,
            Reason::NeverSeen { .. }
                | Reason::OnlyBeforeEntry { .. }
                | Reason::OnlyBeforePrevious { .. }
        );
        if of_own_rows || Matcher::new(spec.clone()).level(whole) <= step {
            return self;
        }
        Reason::HeldDiffers { step }
    }

    /// The reason with other positions of the rows that it names.
    #[must_use]
    pub fn at(mut self, position: impl FnOnce(usize) -> usize) -> Self {
        match &mut self {
            Reason::Interrupted { by: row, .. } | Reason::ExcludedBy { row: Some(row), .. } => {
                *row = position(*row)
            }
            _ => {}
        }
        self
    }

    /// The same reason, of another step.
    fn of_step(mut self, other: usize) -> Self {
        match &mut self {
            Reason::NeverEntered => {}
            Reason::NeverSeen { step }
            | Reason::OnlyBeforeEntry { step }
            | Reason::OnlyBeforePrevious { step }
            | Reason::AfterWindow { step, .. }
            | Reason::AfterGap { step, .. }
            | Reason::WindowOpen { step, .. }
            | Reason::OnlyCandidateUsed { step }
            | Reason::NotStrictlyLater { step }
            | Reason::ExcludedBy { step, .. }
            | Reason::Interrupted { step, .. }
            | Reason::HeldDiffers { step }
            | Reason::SeveralRules { step }
            | Reason::OwnRule { step }
            | Reason::NotExplained { step } => *step = other,
        }
        self
    }
}

/// Why the history went no further; `None` if it reached the last step. `rows` are sorted by time.
/// That rows from `as_of` on could still take it further is the reason only where there is an end to
/// it.
pub fn reason(spec: &Spec, rows: &[Row], as_of: Option<i64>) -> Option<Reason> {
    let mut matcher = Matcher::new(spec.clone());
    let outcome = matcher.outcome(rows);
    if outcome.level >= spec.goal() {
        return None;
    }
    // The next step that is not optional.
    let (required, steps) = spec.required();
    let step = steps.iter().copied().find(|step| *step >= outcome.level)?;
    let as_of = as_of.filter(|_| !spec.mode().is_dialect());
    if let Some(until) = as_of.and_then(|as_of| matcher.open_until(rows, outcome.level, as_of)) {
        return Some(Reason::WindowOpen { step, until });
    }
    let row = outcome.hit.map(|hit| hit.row);
    if outcome.state == State::Excluded {
        return Some(Reason::ExcludedBy { step, row });
    }
    let of_mode = matches!(
        spec.mode(),
        Mode::Ordered | Mode::OrderedIncrease | Mode::Loose
    );
    if of_mode && spec.options().is_of_parts() {
        return of_parts(&required, &steps, rows, &outcome);
    }
    Some(Question { spec, rows, step }.closed())
}

/// The reason where steps are optional or rows excluded: that of the required steps without excluded
/// rows, if those are not the reason themselves.
fn of_parts(required: &Spec, steps: &[usize], rows: &[Row], outcome: &Outcome) -> Option<Reason> {
    let step = *steps.iter().find(|step| **step >= outcome.level)?;
    let masks = |row: &Row| {
        (0..)
            .zip(steps)
            .fold(0, |mask, (to, from)| mask | (row.mask >> from & 1) << to)
    };
    let rows: Vec<Row> = rows
        .iter()
        .map(|row| Row {
            mask: masks(row),
            ..*row
        })
        .collect();
    let freed = Matcher::new(required.clone()).level(&rows);
    if steps
        .get(freed.wrapping_sub(1))
        .is_some_and(|last| *last >= outcome.level)
    {
        let row = outcome.hit.map(|hit| hit.row);
        return Some(Reason::ExcludedBy { step, row });
    }
    Some(reason(required, &rows, None)?.of_step(step))
}

/// A history that reached `step` steps and not the next.
struct Question<'a> {
    spec: &'a Spec,
    rows: &'a [Row],
    step: usize,
}

impl Question<'_> {
    fn closed(&self) -> Reason {
        let step = self.step;
        let is_seen = |step: usize| self.rows.iter().any(|row| row.mask >> step & 1 == 1);
        if !is_seen(step) {
            return match step {
                0 => Reason::NeverEntered,
                _ => Reason::NeverSeen { step },
            };
        }
        if let Some(by) = self.beyond_gaps() {
            return Reason::AfterGap { step, by };
        }
        if !is_explained(self.spec) {
            return self.by_ordered();
        }
        if let Some(by) = self.beyond_window() {
            return Reason::AfterWindow { step, by };
        }
        if let Mode::Next { relevant_steps } = self.spec.mode() {
            return self.closed_next(relevant_steps);
        }
        // Rows that must be strictly later are different rows in any case.
        let increases = self.spec.mode() == Mode::OrderedIncrease;
        if increases && self.level_of_ties() > step {
            return Reason::NotStrictlyLater { step };
        }
        if !increases && level_reusing_rows(self.spec.window(), self.spec.steps(), self.rows) > step
        {
            return Reason::OnlyCandidateUsed { step };
        }
        self.out_of_order()
    }

    /// The reason in a mode that is not explained itself: that of mode `ordered`, if it goes as far.
    fn by_ordered(&self) -> Reason {
        let step = self.step;
        if !self.spec.mode().is_dialect()
            && let Some(by) = self.beyond_window()
        {
            return Reason::AfterWindow { step, by };
        }
        let options = Options {
            bound: self.spec.options().bound,
            ..Options::default()
        };
        let ordered = Spec::new(Mode::Ordered, self.spec.steps(), self.spec.window());
        let Ok(spec) = ordered.and_then(|spec| spec.with_options(options)) else {
            return Reason::NotExplained { step };
        };
        match Matcher::new(spec.clone()).level(self.rows) {
            level if level > step => Reason::OwnRule { step },
            level if level == step => {
                let (spec, rows) = (&spec, self.rows);
                match (Question { spec, rows, step }).closed() {
                    // Only what helps the mode itself is advice.
                    Reason::AfterWindow { by, .. } if !self.is_helped_by(by) => {
                        Reason::SeveralRules { step }
                    }
                    reason => reason,
                }
            }
            _ => Reason::NotExplained { step },
        }
    }

    fn closed_next(&self, relevant_steps: bool) -> Reason {
        let step = self.step;
        if let Some(by) = next::interruption(self.spec, self.rows, step, relevant_steps) {
            return Reason::Interrupted { step, by };
        }
        if Matcher::new(self.spec.clone()).level(&one_row_per_step(self.spec, self.rows)) > step {
            return Reason::OnlyCandidateUsed { step };
        }
        self.out_of_order()
    }

    /// The reasons that remain: only several rules together, or an order that no rule allows.
    fn out_of_order(&self) -> Reason {
        let step = self.step;
        if level_reusing_rows(None, self.spec.steps(), self.rows) > step {
            return Reason::SeveralRules { step };
        }
        let entry = self.rows.iter().find(|row| row.mask & 1 == 1);
        let last = self.rows.iter().rfind(|row| row.mask >> step & 1 == 1);
        match (entry, last) {
            (Some(entry), Some(last)) if last.time < entry.time => Reason::OnlyBeforeEntry { step },
            _ => Reason::OnlyBeforePrevious { step },
        }
    }

    /// How much longer all gaps must be at least for the history to go further; `None` if no length
    /// is enough.
    fn beyond_gaps(&self) -> Option<u64> {
        let options = self.spec.options();
        if !options.max_gap.iter().any(Option::is_some) {
            return None;
        }
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        let reached = |by: u64| {
            let longer = |gap: &Option<u64>| gap.map(|gap| gap.saturating_add(by));
            let options = Options {
                max_gap: options.max_gap.iter().map(longer).collect(),
                ..options.clone()
            };
            let spec = self.spec.clone().with_options(options).ok()?;
            Some(Matcher::new(spec).reached(self.rows).count_ones())
        };
        let now = reached(0)?;
        let (mut low, mut high) = (0, last.time.abs_diff(first.time));
        if high == 0 || reached(high)? == now {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match reached(middle)? == now {
                true => low = middle,
                false => high = middle,
            }
        }
        Some(high)
    }

    /// How much wider the window must be at least for the history to go further; `None` if no
    /// window is wide enough.
    fn beyond_window(&self) -> Option<u64> {
        let window = self.spec.window()?;
        let (first, last) = (self.rows.first()?, self.rows.last()?);
        let progress = |window: u64| self.progress(Some(window), self.rows);
        let reached = progress(window);
        // Below `low` it does not go further, from `high` on it does.
        let span = last.time.abs_diff(first.time).saturating_add(1);
        let (mut low, mut high) = (window, span);
        if high <= window || progress(high) == reached {
            return None;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if progress(middle) == reached {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high - window)
    }

    /// Does the history go further in a window that is wider by `by`?
    fn is_helped_by(&self, by: u64) -> bool {
        let window = self.spec.window();
        let wider = window.map(|window| window.saturating_add(by));
        self.progress(wider, self.rows) > self.progress(window, self.rows)
    }

    /// The level if a step could be reached in the instant of the one before.
    fn level_of_ties(&self) -> usize {
        Spec::new(Mode::Ordered, self.spec.steps(), self.spec.window())
            .map_or(0, |spec| Matcher::new(spec).level(self.rows))
    }

    /// The number of steps reached: what a wider window or another row never lowers.
    fn progress(&self, window: Option<u64>, rows: &[Row]) -> u32 {
        let spec = self.spec.with_window(window);
        Matcher::new(spec).reached(rows).count_ones()
    }
}

/// The history with a row for each step of each row, and the rows of no step.
pub(super) fn one_row_per_step(spec: &Spec, rows: &[Row]) -> Vec<Row> {
    let mut single = Vec::with_capacity(rows.len());
    for row in rows {
        let before = single.len();
        let steps = (0..spec.steps()).filter(|step| row.mask >> step & 1 == 1);
        single.extend(steps.map(|step| Row {
            time: row.time,
            mask: 1 << step,
        }));
        if single.len() == before {
            single.push(*row);
        }
    }
    single
}

/// The level if one row could fill several steps, one after the other.
pub(super) fn level_reusing_rows(window: Option<u64>, steps: usize, rows: &[Row]) -> usize {
    let mut entries: Vec<i64> = Vec::with_capacity(steps);
    for group in rows.chunk_by(|row, next| row.time == next.time) {
        let time = group.first().map_or(0, |row| row.time);
        let mask = group.iter().fold(0, |mask, row| mask | row.mask);
        for step in (0..steps).filter(|step| mask >> step & 1 == 1) {
            let entry = match step.checked_sub(1) {
                None => time,
                Some(previous) => match entries.get(previous) {
                    Some(entry) if window.is_none_or(|w| time.abs_diff(*entry) <= w) => *entry,
                    _ => continue,
                },
            };
            match entries.get_mut(step) {
                Some(latest) => *latest = entry.max(*latest),
                None => entries.push(entry),
            }
        }
    }
    entries.len()
}
