//! The rules by which a history is read.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::dialect::clickhouse::ClickHouse;
use crate::dialect::doris::Doris;
use crate::dialect::pinot::Pinot;
use crate::dialect::posthog::PostHog;
use crate::dialect::starrocks::StarRocks;

/// What it takes to have reached a step.
///
/// The text of a mode is its name, for dialects with the flags after a colon, separated by commas
/// in any order: `ordered`, `ordered,increase`, `ch:default`, `ch:strict_once,strict_increase`.
/// Upper and lower case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// `ordered`: the longest chain counts. A chain of length *m* is *m* different rows, the *i*-th
    /// of which satisfies step *i*, with times that do not decrease and with at most the window
    /// between the first and the last of them (inclusive). Other rows may lie between. Step *k* is
    /// reached if there is a chain of length *k*.
    ///
    /// The level is a fact of the set of rows. Rows of the same time can be used in any order, but
    /// each only once. Of several longest chains the reported one is the first to be complete; of
    /// those, the one that begins last; of those, the one whose steps come earliest; of rows of the
    /// same time, those given first where there is a choice.
    #[default]
    Ordered,
    /// `ordered,increase`: as `ordered`, with times that increase from step to step. No chain is
    /// lost: rows of one instant continue the chains from before that instant.
    OrderedIncrease,
    /// `next`: as `ordered`, with no other row of the key between the first and the last row of the
    /// chain, whether it satisfies a step or not. With `next,relevant=steps` only rows that satisfy
    /// a step are looked at. Rows of the same time may be taken in any order, so rows of the time at
    /// which the chain begins or ends are not between.
    Next {
        /// Are rows that satisfy no step overlooked?
        relevant_steps: bool,
    },
    /// `unordered`: the level is the largest number of different steps, each with a row of its own,
    /// in a stretch of one window. Step *k* is reached if *k* steps are. With `unordered,anchored`
    /// the first step must have a row, and no other may be before it.
    Unordered {
        /// Must the first step come first?
        anchored: bool,
    },
    /// `set`: step *k* is reached if each of the steps 1 to *k* has a row, in whatever order and at
    /// whatever distance; a row may have several steps. There is no window.
    Set,
    /// `loose`: a step is reached if a row satisfies it, whatever came before: clicks can be made by
    /// programs, and events get lost. One row may satisfy several steps. With a window, the steps
    /// are looked for in the one stretch of that length which holds the most of them; of several,
    /// in the earliest. The level is the number of the last step that is reached.
    Loose,
    /// `ch:…`: the answer of ClickHouse's `windowFunnel` with these modes.
    ClickHouse(ClickHouse),
    /// `doris:…`: the answer of Doris's `window_funnel` in this mode.
    Doris(Doris),
    /// `starrocks:…`: the answer of StarRocks' `window_funnel` with these bits.
    StarRocks(StarRocks),
    /// `pinot:…`: the answer of Pinot's `FUNNELMAXSTEP` with these modes.
    Pinot(Pinot),
    /// `posthog:…`: how far PostHog's funnel of this order gets.
    PostHog(PostHog),
}

/// What a mode may begin with, as messages show it.
const KNOWN: &str = "'ordered', 'ordered,increase', 'next', 'next,relevant=steps', \
                     'unordered', 'unordered,anchored', 'set', 'loose', 'ch:default' or 'ch:' with any of \
                     strict_deduplication, strict_order, strict_increase, strict_once, allow_reentry, \
                     'doris:', 'starrocks:' or 'pinot:' with 'default' or flags, 'posthog:' with \
                     'ordered', 'strict' or 'unordered'";

impl Mode {
    /// Is it the rule of another engine?
    pub const fn is_dialect(self) -> bool {
        matches!(
            self,
            Mode::ClickHouse(_)
                | Mode::Doris(_)
                | Mode::StarRocks(_)
                | Mode::Pinot(_)
                | Mode::PostHog(_)
        )
    }

    /// Do rows that satisfy no step change the answer? Then they must be given, too.
    pub const fn needs_all_rows(self) -> bool {
        match self {
            Mode::Next { relevant_steps } => !relevant_steps,
            Mode::ClickHouse(flags) => flags.strict_order,
            Mode::Pinot(flags) => flags.keep_all,
            Mode::PostHog(order) => matches!(order, PostHog::Strict),
            _ => false,
        }
    }

    /// Does the answer depend on the order of rows of the same time? Then the caller must keep one
    /// order, such as that of arrival, by sorting stably.
    pub const fn depends_on_row_order(self) -> bool {
        match self {
            Mode::ClickHouse(flags) => flags.strict_once && flags.strict_deduplication,
            Mode::Doris(_) | Mode::PostHog(_) => true,
            _ => false,
        }
    }

    /// The largest number of steps.
    pub const fn steps_max(self) -> usize {
        match self {
            Mode::ClickHouse(_) => 32,
            _ => crate::STEPS_MAX,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Ordered => f.write_str("ordered"),
            Mode::OrderedIncrease => f.write_str("ordered,increase"),
            Mode::Next {
                relevant_steps: false,
            } => f.write_str("next"),
            Mode::Next {
                relevant_steps: true,
            } => f.write_str("next,relevant=steps"),
            Mode::Unordered { anchored: false } => f.write_str("unordered"),
            Mode::Unordered { anchored: true } => f.write_str("unordered,anchored"),
            Mode::Set => f.write_str("set"),
            Mode::Loose => f.write_str("loose"),
            Mode::ClickHouse(flags) => write!(f, "ch:{flags}"),
            Mode::Doris(mode) => write!(f, "doris:{mode}"),
            Mode::StarRocks(flags) => write!(f, "starrocks:{flags}"),
            Mode::Pinot(flags) => write!(f, "pinot:{flags}"),
            Mode::PostHog(order) => write!(f, "posthog:{order}"),
        }
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let lower = text.trim().to_ascii_lowercase();
        let error = |reason: Reason| ModeError {
            found: text.trim().to_owned(),
            reason,
        };
        match lower.split_once(':') {
            Some((dialect, flags)) => {
                let flags = Flags(flags);
                match dialect.trim() {
                    "ch" => ClickHouse::parse(flags).map(Mode::ClickHouse),
                    "doris" => Doris::parse(flags).map(Mode::Doris),
                    "starrocks" => StarRocks::parse(flags).map(Mode::StarRocks),
                    "pinot" => Pinot::parse(flags).map(Mode::Pinot),
                    "posthog" => PostHog::parse(flags).map(Mode::PostHog),
                    _ => Err(Reason::Unknown),
                }
            }
            None => own(&lower),
        }
        .map_err(error)
    }
}

/// The modes that are not a dialect.
fn own(text: &str) -> Result<Mode, Reason> {
    let (name, flags) = text.split_once(',').unwrap_or((text, ""));
    let flags = Flags(flags);
    match name.trim() {
        "ordered" => {
            let mut increase = false;
            flags.each(false, |flag, _| match flag {
                "increase" => set(&mut increase),
                _ => Taken::Unknown("increase"),
            })?;
            Ok(if increase {
                Mode::OrderedIncrease
            } else {
                Mode::Ordered
            })
        }
        "next" => {
            let mut relevant_steps = false;
            flags.each(false, |flag, value| match (flag, value) {
                ("relevant", Some("steps")) => set(&mut relevant_steps),
                ("relevant", _) => Taken::Value("is relevant=steps, or left out"),
                _ => Taken::Unknown("relevant=steps"),
            })?;
            Ok(Mode::Next { relevant_steps })
        }
        "unordered" => {
            let mut anchored = false;
            flags.each(false, |flag, _| match flag {
                "anchored" => set(&mut anchored),
                _ => Taken::Unknown("anchored"),
            })?;
            Ok(Mode::Unordered { anchored })
        }
        "set" => flags
            .each(false, |_, _| Taken::Unknown("no flags"))
            .map(|()| Mode::Set),
        "loose" => flags
            .each(false, |_, _| Taken::Unknown("no flags"))
            .map(|()| Mode::Loose),
        _ => Err(Reason::Unknown),
    }
}

/// Flags separated by commas, each with or without a value.
#[derive(Clone, Copy)]
pub(crate) struct Flags<'a>(pub(crate) &'a str);

/// The flags that have a value.
const VALUED: [&str; 2] = ["max_step_duration", "relevant"];

/// What became of a flag.
pub(crate) enum Taken {
    Yes,
    Twice,
    /// And what is known instead.
    Unknown(&'static str),
    /// The value is not what it must be.
    Value(&'static str),
}

/// A flag that is written once.
pub(crate) fn set(flag: &mut bool) -> Taken {
    if std::mem::replace(flag, true) {
        Taken::Twice
    } else {
        Taken::Yes
    }
}

impl Flags<'_> {
    /// Gives every flag and its value to `take`. `default` alone stands for no flag where the
    /// dialect `has_default`; there, nothing at all is a mistake.
    pub(crate) fn each(
        self,
        has_default: bool,
        mut take: impl FnMut(&str, Option<&str>) -> Taken,
    ) -> Result<(), Reason> {
        let text = self.0.trim();
        if has_default && text == "default" || !has_default && text.is_empty() {
            return Ok(());
        }
        for written in text.split(',') {
            let (flag, value) = match written.split_once('=') {
                Some((flag, value)) => (flag.trim(), Some(value.trim())),
                None => (written.trim(), None),
            };
            match take(flag, value) {
                Taken::Yes if value.is_some() && !VALUED.contains(&flag) => {
                    return Err(Reason::Value {
                        flag: flag.to_owned(),
                        must: "takes no value",
                    });
                }
                Taken::Yes => {}
                Taken::Twice => {
                    return Err(Reason::Twice {
                        flag: flag.to_owned(),
                    });
                }
                Taken::Unknown(known) => {
                    return Err(Reason::Flag {
                        flag: flag.to_owned(),
                        known,
                    });
                }
                Taken::Value(must) => {
                    return Err(Reason::Value {
                        flag: flag.to_owned(),
                        must,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Writes the names of the flags that are set, or `default`.
pub(crate) fn write_flags(
    f: &mut fmt::Formatter<'_>,
    flags: &[(bool, &str)],
) -> Result<bool, fmt::Error> {
    let mut some = false;
    for (_, name) in flags.iter().filter(|(set, _)| *set) {
        write!(f, "{}{name}", if some { "," } else { "" })?;
        some = true;
    }
    Ok(some)
}

/// A mode that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeError {
    /// What was written.
    pub found: String,
    reason: Reason,
}

/// What is wrong with a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    Unknown,
    Flag { flag: String, known: &'static str },
    Twice { flag: String },
    Value { flag: String, must: &'static str },
    Combination(&'static str),
}

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        match &self.reason {
            Reason::Unknown => write!(f, "there is no mode '{found}'; known modes: {KNOWN}"),
            Reason::Flag { flag, known } => {
                write!(
                    f,
                    "mode '{found}' has no flag '{flag}'; it may have: {known}"
                )
            }
            Reason::Twice { flag } => write!(f, "mode '{found}' has the flag '{flag}' twice"),
            Reason::Value { flag, must } => {
                write!(f, "mode '{found}': flag '{flag}' {must}")
            }
            Reason::Combination(why) => write!(f, "mode '{found}': {why}"),
        }
    }
}

impl Error for ModeError {}

#[cfg(test)]
mod tests;
