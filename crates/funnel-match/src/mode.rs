//! The rules by which a history is read.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// What it takes to have reached a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// The longest chain counts. A chain of length *m* is *m* different rows, the *i*-th of which
    /// satisfies step *i*, with times that do not decrease and with at most the window between the
    /// first and the last of them (inclusive). Other rows may lie between. Step *k* is reached if
    /// there is a chain of length *k*.
    ///
    /// The level is a fact of the set of rows. Rows of the same time can be used in any order, but
    /// each only once. Of several longest chains the reported one is the first to be complete; of
    /// those, the one that begins last; of those, the one whose steps come earliest.
    #[default]
    Ordered,
    /// A step is reached if a row satisfies it, whatever came before: clicks can be made by
    /// programs, and events get lost. One row may satisfy several steps. With a window, the steps
    /// are looked for in the one stretch of that length which holds the most of them; of several,
    /// in the earliest. The level is the number of the last step that is reached.
    Loose,
}

impl Mode {
    /// Every mode, in the order in which messages name them.
    pub const ALL: [Mode; 2] = [Mode::Ordered, Mode::Loose];

    /// The name by which SQL and funnel definitions call the mode.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Ordered => "ordered",
            Mode::Loose => "loose",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        Mode::ALL
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| UnknownMode {
                found: text.to_owned(),
            })
    }
}

/// A mode that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMode {
    /// What was written.
    pub found: String,
}

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no mode '{}'; known modes:", self.found)?;
        for (index, mode) in Mode::ALL.into_iter().enumerate() {
            write!(f, "{} '{mode}'", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Error for UnknownMode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_found_by_its_name_in_any_case() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(
                format!(" {} ", mode.name().to_uppercase()).parse(),
                Ok(mode)
            );
        }
    }

    #[test]
    fn unknown_mode_is_answered_with_the_known_ones() {
        let error = "strict_order".parse::<Mode>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no mode 'strict_order'; known modes: 'ordered', 'loose'"
        );
    }
}
