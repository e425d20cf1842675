//! What became of each row of one unit, and why the unit went no further: the rules of a definition
//! on top of those of the matcher.

use funnel_match::classify::{self, Class, Reason};
use funnel_match::{Matcher, Mode, Row, Spec};

/// What the definition says about a step, apart from its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepShape {
    pub(crate) optional: bool,
    pub(crate) refines_previous: bool,
    /// The step applies only to units with a row that says so.
    pub(crate) conditional: bool,
}

/// The question, as far as rows are judged by it.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) steps: Vec<StepShape>,
    pub(crate) mode: Mode,
    pub(crate) window_us: Option<u64>,
    /// Microseconds since 1970; windows that end later are open. `None`: no window is.
    pub(crate) as_of_us: Option<i64>,
}

/// One row of a unit; bit *i* stands for step *i* of the definition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitRow {
    pub(crate) time: i64,
    pub(crate) steps: u64,
    /// Conditional steps that the row makes apply.
    pub(crate) required: u64,
    /// What the filters of the question say about the row.
    pub(crate) kept: Option<bool>,
    pub(crate) duplicate: bool,
}

/// The classes of rows that a reconciliation counts, in the order in which they win when a row
/// belongs to several units: what it did for one of them outweighs that it did nothing for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Matched(Class),
    /// The filter of the definition or of the question says no.
    Filtered,
    /// Satisfies a step, with other held values than the chain.
    OtherHold,
}

impl Decision {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Decision::Matched(class) => class.name(),
            Decision::Filtered => "filtered",
            Decision::OtherHold => "other_hold",
        }
    }
}

/// How a unit fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// One for each row, in the order given.
    pub(crate) decisions: Vec<Decision>,
    /// One bit for each step reached.
    pub(crate) reached: u64,
    /// Why the next step that the unit needed was not reached; `None` if none is missing.
    pub(crate) reason: Option<Reason>,
}

impl Judgement {
    /// Is it the window that can still be met?
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.reason, Some(Reason::WindowOpen { .. }))
    }
}

/// Judges the rows of one unit, which are sorted by time.
pub(crate) fn judge(rules: &Rules, rows: &[UnitRow]) -> Judgement {
    let mut decisions = vec![Decision::Filtered; rows.len()];
    let unit_is_kept = rows.iter().any(|row| row.kept == Some(true));
    let mut places = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        if row.duplicate {
            decisions[place] = Decision::Matched(Class::DuplicateId);
        } else if unit_is_kept && row.kept != Some(false) {
            places.push(place);
        }
    }
    let required = places
        .iter()
        .fold(0, |all, place| all | rows[*place].required);
    let applies = |step: &usize| !rules.steps[*step].conditional || required >> step & 1 == 1;
    let unit = Unit {
        rules,
        rows: places.iter().map(|place| rows[*place]).collect(),
        applying: (0..rules.steps.len()).filter(applies).collect(),
    };
    let (classes, reached, reason) = match rules.mode {
        Mode::Loose => unit.loose(),
        _ => unit.ordered(),
    };
    for (place, class) in places.into_iter().zip(classes) {
        decisions[place] = Decision::Matched(class);
    }
    Judgement {
        decisions,
        reached,
        reason,
    }
}

type Answer = (Vec<Class>, u64, Option<Reason>);

/// The rows of one unit that count, and the steps that it is asked for.
struct Unit<'a> {
    rules: &'a Rules,
    rows: Vec<UnitRow>,
    applying: Vec<usize>,
}

impl Unit<'_> {
    /// Each step for itself; what is missing is the first step that was needed after the last reached.
    fn loose(&self) -> Answer {
        let Some((spec, rows)) = self.chain(&self.applying) else {
            return self.nothing();
        };
        let classes = self.classes(&spec, &rows, &self.applying);
        let reached = used(&classes);
        let needed = |step: &usize| !self.rules.steps[*step].optional || reached >> step & 1 == 1;
        let needed: Vec<usize> = self.applying.iter().copied().filter(needed).collect();
        let reason = self.reason(&needed);
        (classes, reached, reason)
    }

    /// The chain of the steps that everybody needs, and beside it each other step as the end of the
    /// chain before it.
    fn ordered(&self) -> Answer {
        let steps = &self.rules.steps;
        // A chain takes a row once: where the next step refines this one, it stands for both.
        let refined = |step: usize| {
            steps
                .get(step + 1)
                .is_some_and(|next| next.refines_previous)
        };
        let in_chain = |step: &usize| !steps[*step].optional && !refined(*step);
        let chain: Vec<usize> = self.applying.iter().copied().filter(in_chain).collect();
        let Some((spec, rows)) = self.chain(&chain) else {
            return self.nothing();
        };
        let mut classes = self.classes(&spec, &rows, &chain);
        for beside in self.applying.iter().filter(|step| !in_chain(step)) {
            let mut path: Vec<usize> = chain.iter().copied().filter(|s| s < beside).collect();
            path.push(*beside);
            let Some((spec, rows)) = self.chain(&path) else {
                continue;
            };
            let own = self.classes(&spec, &rows, &path);
            for (class, own) in classes.iter_mut().zip(own) {
                *class = beside_the_chain(*class, own, *beside);
            }
        }
        let reason = self.reason(&chain);
        let reached = used(&classes);
        (classes, reached, reason)
    }

    fn nothing(&self) -> Answer {
        (vec![Class::NotAStep; self.rows.len()], 0, None)
    }

    /// The funnel of some steps of the definition, and the rows as it sees them.
    fn chain(&self, steps: &[usize]) -> Option<(Spec, Vec<Row>)> {
        let spec = Spec::new(self.rules.mode, steps.len(), self.rules.window_us).ok()?;
        let mask = |row: &UnitRow| {
            let bits = steps.iter().enumerate();
            bits.fold(0, |mask, (bit, step)| mask | (row.steps >> step & 1) << bit)
        };
        let row = |row: &UnitRow| Row {
            time: row.time,
            mask: mask(row),
        };
        Some((spec, self.rows.iter().map(row).collect()))
    }

    fn classes(&self, spec: &Spec, rows: &[Row], steps: &[usize]) -> Vec<Class> {
        let classes = classify::classify(spec, rows).into_iter();
        classes.map(|class| in_definition(class, steps)).collect()
    }

    fn reason(&self, steps: &[usize]) -> Option<Reason> {
        let (spec, rows) = self.chain(steps)?;
        let reason = classify::reason(&spec, &rows, self.rules.as_of_us);
        debug_assert_eq!(
            reason.is_none(),
            Matcher::new(spec.clone()).level(&rows) == steps.len(),
            "a reason for every step that is missing"
        );
        reason.map(|reason| with_step(reason, steps[reason.step()]))
    }
}

/// One bit for each step that a row fills.
fn used(classes: &[Class]) -> u64 {
    classes.iter().fold(0, |reached, class| match class {
        Class::Used { steps } => reached | steps,
        _ => reached,
    })
}

/// The class of a row, given its class in the chain and in the path that ends with step `beside`.
fn beside_the_chain(class: Class, own: Class, beside: usize) -> Class {
    let fills = |class: &Class| match class {
        Class::Used { steps } => *steps & 1 << beside != 0,
        _ => false,
    };
    match (class, own) {
        (Class::Used { steps }, own) if fills(&own) => Class::Used {
            steps: steps | 1 << beside,
        },
        (Class::Used { steps }, _) => Class::Used { steps },
        (_, own) if fills(&own) => Class::Used { steps: 1 << beside },
        (Class::NotAStep, Class::Used { .. }) => Class::NotAStep,
        (Class::NotAStep, own) => own,
        (class, _) => class,
    }
}

/// The class with the numbers that the definition gives to the steps.
fn in_definition(class: Class, numbers: &[usize]) -> Class {
    match class {
        Class::Used { steps } => Class::Used {
            steps: numbers
                .iter()
                .enumerate()
                .filter(|(bit, _)| steps >> bit & 1 == 1)
                .fold(0, |mask, (_, step)| mask | 1 << step),
        },
        Class::Repeat { step } => Class::Repeat {
            step: numbers[step],
        },
        Class::OutOfOrder { step } => Class::OutOfOrder {
            step: numbers[step],
        },
        Class::NotLater { step } => Class::NotLater {
            step: numbers[step],
        },
        Class::OutOfWindow { step, by } => Class::OutOfWindow {
            step: numbers[step],
            by,
        },
        Class::OwnRule { step } => Class::OwnRule {
            step: numbers[step],
        },
        other => other,
    }
}

fn with_step(reason: Reason, step: usize) -> Reason {
    match reason {
        Reason::NeverSeen { .. } => Reason::NeverSeen { step },
        Reason::OnlyBeforeEntry { .. } => Reason::OnlyBeforeEntry { step },
        Reason::OnlyBeforePrevious { .. } => Reason::OnlyBeforePrevious { step },
        Reason::AfterWindow { by, .. } => Reason::AfterWindow { step, by },
        Reason::WindowOpen { until, .. } => Reason::WindowOpen { step, until },
        Reason::OnlyCandidateUsed { .. } => Reason::OnlyCandidateUsed { step },
        Reason::NotStrictlyLater { .. } => Reason::NotStrictlyLater { step },
        Reason::SeveralRules { .. } => Reason::SeveralRules { step },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: StepShape = StepShape {
        optional: false,
        refines_previous: false,
        conditional: false,
    };

    fn rules(mode: Mode, steps: Vec<StepShape>) -> Rules {
        Rules {
            steps,
            mode,
            window_us: None,
            as_of_us: None,
        }
    }

    fn row(time: i64, steps: u64) -> UnitRow {
        UnitRow {
            time,
            steps,
            required: 0,
            kept: Some(true),
            duplicate: false,
        }
    }

    fn names(judgement: &Judgement) -> Vec<&'static str> {
        judgement.decisions.iter().map(|d| d.name()).collect()
    }

    #[test]
    fn optional_step_is_reached_beside_the_chain() {
        let optional = StepShape {
            optional: true,
            ..SHAPE
        };
        let rules = rules(Mode::Ordered, vec![SHAPE, optional, SHAPE]);
        let rows = [row(0, 2), row(1, 1), row(2, 2), row(3, 2), row(4, 4)];
        let judgement = judge(&rules, &rows);
        assert_eq!(
            names(&judgement),
            ["before_entry", "used", "used", "after_completion", "used"]
        );
        assert_eq!((judgement.reached, judgement.reason), (0b111, None));
    }

    #[test]
    fn conditional_step_is_missed_only_where_it_applies() {
        let conditional = StepShape {
            conditional: true,
            ..SHAPE
        };
        for mode in [Mode::Ordered, Mode::Loose] {
            let rules = rules(mode, vec![SHAPE, conditional]);
            let mut rows = [row(0, 1), row(5, 0)];
            assert_eq!(judge(&rules, &rows).reason, None);
            rows[1].required = 2;
            let reason = Some(Reason::NeverSeen { step: 1 });
            assert_eq!(judge(&rules, &rows).reason, reason);
        }
    }

    #[test]
    fn one_row_reaches_a_step_and_its_refinement() {
        let refining = StepShape {
            refines_previous: true,
            ..SHAPE
        };
        let rules = rules(Mode::Ordered, vec![SHAPE, refining, SHAPE]);
        let judgement = judge(&rules, &[row(0, 0b11), row(1, 0b100)]);
        let used = |steps| Decision::Matched(Class::Used { steps });
        assert_eq!(judgement.decisions, [used(0b11), used(0b100)]);
        let judgement = judge(&rules, &[row(0, 0b01), row(1, 0b100)]);
        assert_eq!(judgement.reason, Some(Reason::NeverEntered));
    }

    #[test]
    fn rows_that_the_filter_refuses_and_duplicates_do_nothing() {
        let rules = rules(Mode::Loose, vec![SHAPE, SHAPE]);
        let mut rows = [row(0, 1), row(1, 2), row(2, 2), row(3, 2)];
        rows[1].kept = Some(false);
        rows[2].duplicate = true;
        rows[3].kept = None;
        let judgement = judge(&rules, &rows);
        assert_eq!(
            names(&judgement),
            ["used", "filtered", "duplicate_id", "used"]
        );
        (rows[0].kept, rows[2].kept) = (None, None);
        let judgement = judge(&rules, &rows);
        assert_eq!(
            names(&judgement),
            ["filtered", "filtered", "duplicate_id", "filtered"],
            "a unit without a row that the filter takes"
        );
    }

    #[test]
    fn loose_reason_is_the_first_needed_step_after_the_last_reached() {
        let optional = StepShape {
            optional: true,
            ..SHAPE
        };
        let rules = rules(Mode::Loose, vec![SHAPE, SHAPE, optional, SHAPE]);
        let judgement = judge(&rules, &[row(0, 2)]);
        assert_eq!(judgement.reached, 2);
        assert_eq!(judgement.reason, Some(Reason::NeverSeen { step: 3 }));
    }
}
