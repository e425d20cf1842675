//! Steps and exclusions of a definition, and whether its options go together.

use funnel_match::{Exclusion, Mode, Spec, SpecError};
use serde::Deserialize;

use super::{
    ACTIONS, Scalar, Span, TableExclusion, TableFunnel, TableStep, WINDOW_HINT, one_of, parsed,
};
use crate::funnel::Window;
use crate::funnel::definition::{DefinitionError, Place};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    name: String,
    title: Option<String>,
    when: String,
    #[serde(default)]
    optional: bool,
    max_gap: Option<Scalar>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExclusion {
    name: Option<String>,
    when: String,
    from: Option<String>,
    to: Option<String>,
    action: Option<String>,
}

pub(super) fn steps(
    place: &Place<'_>,
    raw: Vec<RawStep>,
    mode: Mode,
) -> Result<Vec<TableStep>, DefinitionError> {
    if raw.is_empty() {
        return Err(place.invalid("steps", "there are none", "write one [[steps]] or more"));
    }
    if raw.len() > mode.steps_max() {
        let problem = format!("has {} steps", raw.len());
        let hint = format!("mode {mode} takes {} at most", mode.steps_max());
        return Err(place.invalid("steps", problem, &hint));
    }
    let mut steps: Vec<TableStep> = Vec::with_capacity(raw.len());
    for (index, step) in raw.into_iter().enumerate() {
        let key = |field: &str| format!("steps[{index}].{field}");
        place.name(&key("name"), &step.name)?;
        if steps.iter().any(|other| other.name == step.name) {
            let problem = format!("`{}` stands twice", step.name);
            return Err(place.invalid(key("name"), problem, "give each step its own name"));
        }
        place.text(&key("when"), &step.when, "write a SQL predicate")?;
        let of_first = [
            ("optional", step.optional),
            ("max_gap", step.max_gap.is_some()),
        ];
        if let (0, Some((field, _))) = (index, of_first.iter().find(|(_, given)| *given)) {
            let problem = "the first step begins the chain";
            return Err(place.invalid(key(field), problem, "give it to a later step"));
        }
        let gap = step.max_gap.as_ref().map(Scalar::text);
        let gap = gap.map(|text| parsed(place, &key("max_gap"), &text, WINDOW_HINT));
        steps.push(TableStep {
            title: step.title.unwrap_or_else(|| step.name.clone()),
            name: step.name,
            when: step.when,
            optional: step.optional,
            max_gap: gap.transpose()?,
        });
    }
    Ok(steps)
}

pub(super) fn exclusions(
    place: &Place<'_>,
    raw: Vec<RawExclusion>,
    steps: &[TableStep],
) -> Result<Vec<TableExclusion>, DefinitionError> {
    let mut exclusions: Vec<TableExclusion> = Vec::with_capacity(raw.len());
    for (index, one) in raw.into_iter().enumerate() {
        let key = |field: &str| format!("exclusions[{index}].{field}");
        let name = one
            .name
            .unwrap_or_else(|| format!("exclusion_{}", index + 1));
        place.name(&key("name"), &name)?;
        if exclusions.iter().any(|other| other.name == name) {
            let problem = format!("`{name}` stands twice");
            return Err(place.invalid(key("name"), problem, "give each exclusion its own name"));
        }
        place.text(&key("when"), &one.when, "write a SQL predicate")?;
        let step = |field: &str, name: Option<String>, default: usize| {
            let Some(name) = name else {
                return Ok(default);
            };
            let found = steps
                .iter()
                .position(|step| step.name == name && !step.optional);
            found.ok_or_else(|| {
                let required = steps.iter().filter(|step| !step.optional);
                let names: Vec<&str> = required.map(|step| step.name.as_str()).collect();
                let problem = format!("`{name}` is not a required step");
                place.invalid(
                    key(field),
                    problem,
                    &format!("write one of {}", names.join(", ")),
                )
            })
        };
        let last = steps.iter().rposition(|step| !step.optional).unwrap_or(0);
        let (from, to) = (step("from", one.from, 0)?, step("to", one.to, last)?);
        if from >= to {
            let problem = format!("`{}` is not before `{}`", steps[from].name, steps[to].name);
            let hint = "let an exclusion hold from a step to a later one";
            return Err(place.invalid(key("from"), problem, hint));
        }
        let action = one_of(place, &key("action"), one.action, &ACTIONS)?;
        exclusions.push(TableExclusion {
            name,
            when: one.when,
            rule: Exclusion { from, to, action },
        });
    }
    Ok(exclusions)
}

/// Asks the matcher whether the options go with the mode and with each other.
pub(super) fn check(place: &Place<'_>, funnel: &TableFunnel) -> Result<(), DefinitionError> {
    // What the lengths are in the unit of the table does not matter here, only whether they are any.
    let window = match funnel.window {
        Some(Span::Number(number)) => Some(number),
        Some(Span::Time(Window::Within(length))) => Some(length.as_secs()),
        Some(Span::Time(Window::Unbounded)) => None,
        None => (funnel.mode != Mode::Set).then_some(1),
    };
    let given = |_: &str, _| Ok::<_, DefinitionError>(Some(1));
    let options = funnel.options(funnel.as_of.map(|_| 0), funnel.gaps(given)?);
    let spec = Spec::new(funnel.mode, funnel.steps.len(), window);
    match spec.and_then(|spec| spec.with_options(options)) {
        Err(SpecError::Option { option, why, mode }) => {
            let key = match option {
                "optional" | "max_gap" => "steps",
                other => other,
            };
            let problem = format!("does not go with mode \"{mode}\" and the other options");
            Err(place.invalid(key, problem, &format!("{option}: {why}")))
        }
        Err(SpecError::Window { must, .. }) => {
            let problem = format!("does not go with mode \"{}\"", funnel.mode);
            Err(place.invalid("window", problem, &format!("it {must}")))
        }
        _ => Ok(()),
    }
}
