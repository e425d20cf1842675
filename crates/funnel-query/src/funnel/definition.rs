//! Funnel definitions: data, not code. `queries/funnels/*.toml` are compiled in; a file of the
//! user's own is read by the same rules.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::options::{Mode, OptionError, Unit, Window};
use crate::error::QueryError;

/// The definitions that are shipped, as (file name, text).
const SHIPPED: [(&str, &str); 4] = [
    (
        "monitored.toml",
        include_str!("../../../../queries/funnels/monitored.toml"),
    ),
    (
        "unmonitored.toml",
        include_str!("../../../../queries/funnels/unmonitored.toml"),
    ),
    (
        "impression_to_chat.toml",
        include_str!("../../../../queries/funnels/impression_to_chat.toml"),
    ),
    (
        "chat_lifecycle.toml",
        include_str!("../../../../queries/funnels/chat_lifecycle.toml"),
    ),
];

/// More conditional steps would need more chains per unit than the answer is worth.
const CONDITIONAL_STEPS_MAX: usize = 2;
/// The level of a chain is bounded by what the matcher accepts.
const STEPS_MAX: usize = 32;

/// A definition that cannot be used: which file, which key, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    #[error(
        "no funnel is called `{name}`; there are {known}; a definition of your own is given with --file"
    )]
    Unknown { name: String, known: String },
    #[error("could not read the funnel definition `{path}`")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("{file}: the definition is not valid TOML or has a key that does not exist")]
    Syntax {
        file: String,
        source: Box<toml::de::Error>,
    },
    #[error("{file}: `{key}`: {problem}; {hint}")]
    Invalid {
        file: String,
        key: String,
        problem: String,
        hint: String,
    },
}

impl From<DefinitionError> for QueryError {
    fn from(error: DefinitionError) -> Self {
        let message = error.to_string();
        match error {
            DefinitionError::Syntax { source, .. } => Self::usage(message).with_source(source),
            DefinitionError::Read { source, .. } => Self::usage(message).with_source(source),
            DefinitionError::Unknown { .. } | DefinitionError::Invalid { .. } => {
                Self::usage(message)
            }
        }
    }
}

/// One stage of a funnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub title: String,
    /// SQL predicate over the projected rows; NULL counts as false.
    pub when: String,
    /// A missing optional step breaks nothing.
    pub optional: bool,
    /// The step applies only to units that have a row for which this holds.
    pub required_when: Option<String>,
    /// A unit with such a row went through the step, whatever its result: it is not `skipped`.
    pub seen_when: Option<String>,
    /// The rows of this step are some of the rows of the step before: one row reaches both.
    pub refines_previous: bool,
}

/// Windows by unit: what happens within one chain must happen within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub session: Window,
    pub offer: Window,
    pub conversation: Window,
    pub visitor: Window,
}

impl Windows {
    #[must_use]
    pub fn of(&self, unit: Unit) -> Window {
        match unit {
            Unit::Session => self.session,
            Unit::Offer => self.offer,
            Unit::Conversation => self.conversation,
            Unit::Visitor => self.visitor,
        }
    }
}

/// A validated funnel definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelDefinition {
    pub name: String,
    pub question: String,
    pub unit: Unit,
    pub mode: Mode,
    pub windows: Windows,
    /// Which rows take part at all: false drops a row, NULL keeps it if its unit has a true one.
    pub where_sql: Option<String>,
    pub steps: Vec<Step>,
    /// 16 hex digits over everything that decides the answer.
    pub hash: String,
}

impl FunnelDefinition {
    /// The shipped definition of that name.
    ///
    /// # Errors
    /// [`DefinitionError::Unknown`] lists the names there are.
    pub fn shipped(name: &str) -> Result<Self, DefinitionError> {
        for (file, text) in SHIPPED {
            if file.strip_suffix(".toml") == Some(name) {
                return Self::parse(file, text);
            }
        }
        let known: Vec<_> = Self::names()
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        Err(DefinitionError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        })
    }

    /// Names of the shipped definitions, in the order of the house.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        SHIPPED
            .iter()
            .filter_map(|(file, _)| file.strip_suffix(".toml"))
            .collect()
    }

    /// Reads a definition from a file of the user.
    ///
    /// # Errors
    /// When the file cannot be read or is not a valid definition.
    pub fn from_file(path: &Path) -> Result<Self, DefinitionError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| DefinitionError::Read {
            path: file.clone(),
            source,
        })?;
        Self::parse(&file, &text)
    }

    /// Parses and validates; `file` only names the text in errors.
    ///
    /// # Errors
    /// The first problem found, with file, key and what to write.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let raw: RawDefinition =
            toml::from_str(text).map_err(|source| DefinitionError::Syntax {
                file: file.to_owned(),
                source: Box::new(source),
            })?;
        validate(&Place { file }, raw)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDefinition {
    name: String,
    question: String,
    unit: String,
    mode: Option<String>,
    #[serde(rename = "where")]
    where_sql: Option<String>,
    #[serde(default)]
    window: RawWindows,
    #[serde(default)]
    steps: Vec<RawStep>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawWindows {
    session: Option<String>,
    offer: Option<String>,
    conversation: Option<String>,
    visitor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    name: String,
    title: Option<String>,
    when: String,
    #[serde(default)]
    optional: bool,
    required_when: Option<String>,
    seen_when: Option<String>,
    #[serde(default)]
    refines_previous: bool,
}

/// Where an error is: the file is fixed, the key varies.
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
}

impl Place<'_> {
    pub(super) fn invalid(
        &self,
        key: impl Into<String>,
        problem: impl Into<String>,
        hint: &str,
    ) -> DefinitionError {
        DefinitionError::Invalid {
            file: self.file.to_owned(),
            key: key.into(),
            problem: problem.into(),
            hint: hint.to_owned(),
        }
    }

    pub(super) fn name(&self, key: &str, value: &str) -> Result<(), DefinitionError> {
        let mut chars = value.chars();
        let starts = chars.next().is_some_and(|first| first.is_ascii_lowercase());
        if starts && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            return Ok(());
        }
        let problem = format!("`{value}` is not a name");
        Err(self.invalid(
            key,
            problem,
            "write lower-case letters, digits and `_`, a letter first",
        ))
    }

    pub(super) fn text(&self, key: &str, value: &str, hint: &str) -> Result<(), DefinitionError> {
        if value.trim().is_empty() {
            Err(self.invalid(key, "is empty", hint))
        } else {
            Ok(())
        }
    }

    fn window(
        &self,
        unit: Unit,
        value: Option<&str>,
        default: Window,
    ) -> Result<Window, DefinitionError> {
        let Some(text) = value else {
            return Ok(default);
        };
        text.parse().map_err(|problem: OptionError| {
            let hint = "write a number with a unit such as \"30 minutes\" or \"31 days\", or \"unbounded\"";
            self.invalid(format!("window.{unit}"), problem.to_string(), hint)
        })
    }
}

fn validate(place: &Place<'_>, raw: RawDefinition) -> Result<FunnelDefinition, DefinitionError> {
    place.name("name", &raw.name)?;
    place.text(
        "question",
        &raw.question,
        "write the question that the funnel answers",
    )?;
    let unit = raw.unit.parse().map_err(|problem: OptionError| {
        place.invalid(
            "unit",
            problem.to_string(),
            "write one of session, offer, conversation, visitor",
        )
    })?;
    let mode = match raw.mode.as_deref() {
        None => Mode::Loose,
        Some(text) => text.parse().map_err(|problem: OptionError| {
            place.invalid(
                "mode",
                problem.to_string(),
                "write \"loose\" or \"ordered\"",
            )
        })?,
    };
    if let Some(predicate) = &raw.where_sql {
        place.text(
            "where",
            predicate,
            "write a SQL predicate or leave the key out",
        )?;
    }
    let month = Window::Within(Duration::from_secs(31 * 86_400));
    let window = &raw.window;
    let windows = Windows {
        session: place.window(Unit::Session, window.session.as_deref(), Window::Unbounded)?,
        offer: place.window(Unit::Offer, window.offer.as_deref(), Window::Unbounded)?,
        conversation: place.window(
            Unit::Conversation,
            window.conversation.as_deref(),
            Window::Unbounded,
        )?,
        visitor: place.window(Unit::Visitor, window.visitor.as_deref(), month)?,
    };
    let steps = validate_steps(place, raw.steps)?;
    let mut definition = FunnelDefinition {
        name: raw.name,
        question: raw.question,
        unit,
        mode,
        windows,
        where_sql: raw.where_sql,
        steps,
        hash: String::new(),
    };
    definition.hash = hash(&definition);
    Ok(definition)
}

fn validate_steps(place: &Place<'_>, raw: Vec<RawStep>) -> Result<Vec<Step>, DefinitionError> {
    if raw.len() < 2 {
        let problem = format!("has {} step(s)", raw.len());
        return Err(place.invalid("steps", problem, "a funnel needs two [[steps]] or more"));
    }
    if raw.len() > STEPS_MAX {
        let problem = format!("has {} steps", raw.len());
        return Err(place.invalid("steps", problem, "write 32 steps or fewer"));
    }
    let mut steps: Vec<Step> = Vec::with_capacity(raw.len());
    for (index, step) in raw.into_iter().enumerate() {
        let key = |field: &str| format!("steps[{index}].{field}");
        place.name(&key("name"), &step.name)?;
        if steps.iter().any(|other| other.name == step.name) {
            let problem = format!("`{}` stands twice", step.name);
            return Err(place.invalid(key("name"), problem, "give each step its own name"));
        }
        let predicate = "write a SQL predicate such as event_type = 'engagement_click'";
        place.text(&key("when"), &step.when, predicate)?;
        for (field, text) in [
            ("required_when", &step.required_when),
            ("seen_when", &step.seen_when),
        ] {
            if let Some(text) = text {
                place.text(&key(field), text, predicate)?;
            }
        }
        if index == 0 && (step.optional || step.required_when.is_some() || step.refines_previous) {
            let hint = "remove optional, required_when and refines_previous: it starts the chain";
            return Err(place.invalid(key("name"), "the first step depends on others", hint));
        }
        let before = steps.last();
        if step.refines_previous
            && (step.optional
                || before.is_some_and(|step| step.optional || step.required_when.is_some()))
        {
            let hint = "let a required step refine an unconditional one";
            return Err(place.invalid(
                key("refines_previous"),
                "one of the two can be missing",
                hint,
            ));
        }
        if step.optional && step.required_when.is_some() {
            let hint = "keep one of optional and required_when";
            return Err(place.invalid(key("required_when"), "the step is optional too", hint));
        }
        steps.push(Step {
            title: step.title.unwrap_or_else(|| step.name.clone()),
            name: step.name,
            when: step.when,
            optional: step.optional,
            required_when: step.required_when,
            seen_when: step.seen_when,
            refines_previous: step.refines_previous,
        });
    }
    let conditional = steps
        .iter()
        .filter(|step| step.required_when.is_some())
        .count();
    if conditional > CONDITIONAL_STEPS_MAX {
        let problem = format!("{conditional} steps have required_when");
        return Err(place.invalid("steps", problem, "write at most two"));
    }
    Ok(steps)
}

/// Title and question may change without the numbers changing: they stay out of the hash.
fn hash(definition: &FunnelDefinition) -> String {
    let mut text = format!(
        "{}\u{1f}{}\u{1f}{}",
        definition.name, definition.unit, definition.mode
    );
    for unit in Unit::ALL.iter().copied() {
        text.push('\u{1f}');
        text.push_str(&definition.windows.of(unit).to_string());
    }
    text.push('\u{1f}');
    text.push_str(definition.where_sql.as_deref().unwrap_or_default());
    for step in &definition.steps {
        let condition = step.required_when.as_deref().unwrap_or_default();
        let seen = step.seen_when.as_deref().unwrap_or_default();
        for part in [&step.name, step.when.as_str(), condition, seen] {
            text.push('\u{1e}');
            text.push_str(part);
        }
        text.push(if step.optional { '?' } else { '!' });
        text.push(if step.refines_previous { '<' } else { ' ' });
    }
    super::fingerprint(text.as_bytes())
}

#[cfg(test)]
mod tests;
