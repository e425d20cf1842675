//! A funnel's shape, valid by construction.

use std::error::Error;
use std::fmt;

use crate::Mode;

/// A row's steps are the bits of one `u64`.
pub const STEPS_MAX: usize = 64;

/// How many steps there are, how they are matched, and within what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spec {
    mode: Mode,
    steps: usize,
    window: Option<u64>,
}

impl Spec {
    /// `window` is in the unit of the rows' times and inclusive; 0 means the same instant, `None`
    /// any distance.
    ///
    /// # Errors
    /// No step, or more than [`STEPS_MAX`].
    pub fn new(mode: Mode, steps: usize, window: Option<u64>) -> Result<Self, SpecError> {
        match steps {
            0 => Err(SpecError::NoSteps),
            1..=STEPS_MAX => Ok(Self {
                mode,
                steps,
                window,
            }),
            _ => Err(SpecError::TooManySteps { found: steps }),
        }
    }

    /// How steps are matched.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Number of steps, 1 to [`STEPS_MAX`].
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The longest time from the first to the last row of a chain; `None` is unbounded.
    pub fn window(&self) -> Option<u64> {
        self.window
    }

    /// The same funnel with another window.
    pub(crate) fn with_window(&self, window: Option<u64>) -> Self {
        Self { window, ..*self }
    }

    /// One bit for each step.
    pub(crate) fn all_steps(&self) -> u64 {
        u64::MAX >> (STEPS_MAX - self.steps)
    }

    /// Is `time` within the window that begins at `from`? `from` is not after `time`.
    pub(crate) fn within(&self, from: i64, time: i64) -> bool {
        self.window
            .is_none_or(|window| time.abs_diff(from) <= window)
    }
}

/// A funnel that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// There is nothing to reach.
    NoSteps,
    /// There are more steps than a row has bits.
    TooManySteps {
        /// How many were asked for.
        found: usize,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::NoSteps => f.write_str("a funnel needs at least one step"),
            SpecError::TooManySteps { found } => {
                write!(f, "a funnel has at most {STEPS_MAX} steps, found {found}")
            }
        }
    }
}

impl Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_steps_is_one_to_sixty_four() {
        assert_eq!(Spec::new(Mode::Ordered, 0, None), Err(SpecError::NoSteps));
        assert_eq!(Spec::new(Mode::Ordered, 1, None).unwrap().all_steps(), 1);
        assert_eq!(
            Spec::new(Mode::Ordered, 64, None).unwrap().all_steps(),
            u64::MAX
        );
        let error = Spec::new(Mode::Ordered, 65, None).unwrap_err();
        assert_eq!(error.to_string(), "a funnel has at most 64 steps, found 65");
    }

    #[test]
    fn distance_is_measured_over_the_whole_range_of_time() {
        let spec = Spec::new(Mode::Ordered, 1, Some(u64::MAX - 1)).unwrap();
        assert!(!spec.within(i64::MIN, i64::MAX));
        assert!(spec.within(i64::MIN + 1, i64::MAX));
    }
}
