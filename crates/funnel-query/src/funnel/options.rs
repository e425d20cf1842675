//! The choices of a funnel report, as types with one spelling each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::QueryError;

/// A value that is none of the choices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what}; it is one of {choices}")]
pub struct OptionError {
    pub what: &'static str,
    pub found: String,
    pub choices: &'static str,
}

impl From<OptionError> for QueryError {
    fn from(error: OptionError) -> Self {
        Self::usage(error.to_string())
    }
}

/// Declares an enum whose variants have one text each, both ways.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $what:literal, $choices:literal,
     { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = OptionError;

            fn from_str(text: &str) -> Result<Self, OptionError> {
                match text.trim().to_ascii_lowercase().replace('-', "_").as_str() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(OptionError {
                        what: $what,
                        found: text.to_owned(),
                        choices: $choices,
                    }),
                }
            }
        }
    };
}

choice! {
    /// What is counted.
    Unit, "unit", "session, offer, conversation, visitor", {
        Session = "session",
        Offer = "offer",
        Conversation = "conversation",
        Visitor = "visitor",
    }
}

choice! {
    /// How the steps of a unit are read.
    Mode, "mode", "loose, ordered", {
        /// A step counts when its event exists.
        Loose = "loose",
        /// A step needs every earlier required step, at a time not later, within the window.
        Ordered = "ordered",
    }
}

choice! {
    /// Which date decides whether a row belongs to the range asked for.
    DateBasis, "date basis", "session_start, session_start_and_event_time, event_time", {
        SessionStart = "session_start",
        SessionStartAndEventTime = "session_start_and_event_time",
        EventTime = "event_time",
    }
}

choice! {
    /// Which of several interactions before a conversion gets it.
    Model, "attribution model", "last, first", {
        Last = "last",
        First = "first",
    }
}

/// The longest time between the first and the last step of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Unbounded,
    Within(Duration),
}

impl Window {
    /// Whole seconds; `None` for an unbounded window.
    #[must_use]
    pub fn seconds(self) -> Option<i64> {
        match self {
            Self::Unbounded => None,
            Self::Within(limit) => i64::try_from(limit.as_secs()).ok(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds() {
            None => f.write_str("unbounded"),
            Some(seconds) if seconds > 0 && seconds % 86_400 == 0 => {
                write!(f, "{} days", seconds / 86_400)
            }
            Some(seconds) => write!(f, "{seconds} seconds"),
        }
    }
}

impl FromStr for Window {
    type Err = OptionError;

    /// `unbounded`, or a number and a unit: `45s`, `30 minutes`, `31 days`.
    fn from_str(text: &str) -> Result<Self, OptionError> {
        let error = || OptionError {
            what: "window",
            found: text.to_owned(),
            choices: "`unbounded` or a number with s, m, h, d or w, such as `30 minutes`",
        };
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("unbounded") {
            return Ok(Self::Unbounded);
        }
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| error())?;
        let seconds = match unit.trim().to_ascii_lowercase().as_str() {
            "s" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return Err(error()),
        };
        let total = number
            .checked_mul(seconds)
            .filter(|total| *total <= MAX_SECONDS);
        total
            .map(|total| Self::Within(Duration::from_secs(total)))
            .ok_or_else(error)
    }
}

/// A hundred years: more is a slip of the pen, and would overflow microseconds later.
const MAX_SECONDS: u64 = 36_525 * 86_400;

/// How conversions find the interaction that caused them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribution {
    pub model: Model,
    /// How long after the interaction a conversion of a later session still belongs to it.
    pub window: Duration,
}

impl Attribution {
    /// LivePerson's own limit.
    pub const DAYS_MAX: u64 = 31;

    /// The window in whole days, as the queries take it.
    #[must_use]
    pub fn days(&self) -> i64 {
        i64::try_from(self.window.as_secs() / 86_400).unwrap_or(31)
    }
}

impl Default for Attribution {
    fn default() -> Self {
        Self {
            model: Model::Last,
            window: Duration::from_secs(Self::DAYS_MAX * 86_400),
        }
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interaction, {} days", self.model, self.days())
    }
}

impl FromStr for Attribution {
    type Err = OptionError;

    /// A model, and after a comma a window of at most 31 days: `last`, `first,7d`.
    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (model, window) = match text.split_once(',') {
            Some((model, window)) => (model, Some(window)),
            None => (text, None),
        };
        let mut attribution = Self {
            model: model.parse()?,
            ..Self::default()
        };
        if let Some(window) = window {
            attribution.window = match window.parse()? {
                Window::Within(limit)
                    if limit.as_secs() % 86_400 == 0 && limit <= Self::default().window =>
                {
                    limit
                }
                _ => {
                    return Err(OptionError {
                        what: "window of attribution",
                        found: window.to_owned(),
                        choices: "whole days from 0 to 31, such as `7d`",
                    });
                }
            };
        }
        Ok(attribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_need_a_unit_and_stay_within_a_century() {
        for (text, seconds) in [
            ("45s", Some(45)),
            ("30 minutes", Some(1_800)),
            ("0 seconds", Some(0)),
            ("31 days", Some(2_678_400)),
            ("2w", Some(1_209_600)),
            ("unbounded", None),
        ] {
            assert_eq!(text.parse::<Window>().unwrap().seconds(), seconds, "{text}");
        }
        for text in [
            "",
            "30",
            "-1s",
            "1.5h",
            "3 months",
            "99999999d",
            "99999999999999999999s",
        ] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_attribution_is_a_model_and_at_most_31_whole_days() {
        let parsed = |text: &str| text.parse::<Attribution>();
        assert_eq!(parsed("last").unwrap(), Attribution::default());
        let first = parsed("first,7d").unwrap();
        assert_eq!((first.model, first.days()), (Model::First, 7));
        for text in ["linear", "last,32d", "last,12h", "last,unbounded", "last,"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_choice_reads_what_it_writes_and_dashes_too() {
        for basis in DateBasis::ALL {
            assert_eq!(basis.as_str().parse::<DateBasis>().unwrap(), *basis);
            assert_eq!(
                basis
                    .as_str()
                    .replace('_', "-")
                    .parse::<DateBasis>()
                    .unwrap(),
                *basis
            );
        }
        let error = "sessions".parse::<Unit>().unwrap_err().to_string();
        assert!(
            error.contains("session, offer, conversation, visitor"),
            "{error}"
        );
    }
}
