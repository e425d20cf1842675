//! A funnel's shape, valid by construction.

use std::error::Error;
use std::fmt;

use crate::Mode;
use crate::options::{Bound, Count, Entry, Options, Reuse};
use crate::ties::bits;

/// A row's steps are the bits of one `u64`.
pub const STEPS_MAX: usize = 64;

/// How many steps there are, how they are matched, and within what time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Spec {
    mode: Mode,
    steps: usize,
    window: Option<u64>,
    options: Options,
}

impl Spec {
    /// `window` is in the unit of the rows' times and inclusive; 0 means the same instant, `None`
    /// any distance.
    ///
    /// # Errors
    /// No step, or more than [`Mode::steps_max`]; a window that the mode does not have.
    pub fn new(mode: Mode, steps: usize, window: Option<u64>) -> Result<Self, SpecError> {
        let max = mode.steps_max();
        match steps {
            0 => Err(SpecError::NoSteps),
            _ if steps > max && max == STEPS_MAX => Err(SpecError::TooManySteps { found: steps }),
            _ if steps > max => Err(SpecError::TooManyStepsForMode { mode, found: steps }),
            _ if window == Some(0) && matches!(mode, Mode::Pinot(_)) => Err(SpecError::Window {
                mode,
                must: "must be above 0, because its end is outside",
            }),
            _ if window.is_some() && mode == Mode::Set => Err(SpecError::Window {
                mode,
                must: "must be left out (NULL): sets know no time; with a window use 'unordered'",
            }),
            _ => Ok(Self {
                mode,
                steps,
                window,
                options: Options::default(),
            }),
        }
    }

    /// The same funnel with other options.
    ///
    /// # Errors
    /// Options that the mode does not have, or that contradict each other.
    pub fn with_options(mut self, options: Options) -> Result<Self, SpecError> {
        options.check(self.mode, self.steps, self.window)?;
        self.options = options;
        Ok(self)
    }

    /// How steps are matched.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The number of the last step that is not optional: the level of a history that is done.
    pub fn goal(&self) -> usize {
        let required = self.shape().all & !self.options.optional;
        (u64::BITS - required.leading_zeros()) as usize
    }

    /// The funnel of the required steps alone, without exclusions, and which steps those are.
    pub(crate) fn required(&self) -> (Self, Vec<usize>) {
        let steps: Vec<usize> = bits(self.shape().all & !self.options.optional).collect();
        let options = Options {
            optional: 0,
            exclusions: Vec::new(),
            max_gap: self.options.gaps_between(&steps),
            ..self.options.clone()
        };
        let required = Self {
            steps: steps.len(),
            options,
            ..self.clone()
        };
        (required, steps)
    }

    /// The funnel that the rows of one [attempt](crate::Matcher::attempts) are matched by.
    #[must_use]
    pub fn attempt(&self) -> Self {
        let options = match self.options.count {
            Count::Unique => self.options.clone(),
            _ => Options {
                count: Count::Unique,
                entry: Entry::First,
                ..self.options.clone()
            },
        };
        Self {
            options,
            ..self.clone()
        }
    }

    /// The longest time from the first to the last step; `None` is unbounded.
    pub fn window(&self) -> Option<u64> {
        self.window
    }

    /// The same funnel with another window.
    pub(crate) fn with_window(&self, window: Option<u64>) -> Self {
        Self {
            window,
            ..self.clone()
        }
    }

    /// What is asked for beyond mode and window.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// May a row fill several steps?
    pub(crate) fn row_many(&self) -> bool {
        self.options.reuse == Reuse::RowMany
    }

    pub(crate) fn shape(&self) -> Shape {
        let window = match self.options.bound {
            Bound::Inclusive => self.window,
            // Not 0: that is refused.
            Bound::Exclusive => self.window.map(|window| window.saturating_sub(1)),
        };
        Shape {
            steps: self.steps,
            all: u64::MAX >> (STEPS_MAX - self.steps),
            window,
        }
    }
}

/// What every machine needs of a [`Spec`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) steps: usize,
    /// One bit for each step.
    pub(crate) all: u64,
    /// Inclusive.
    pub(crate) window: Option<u64>,
}

impl Shape {
    /// The same window over another number of steps, 1 to 64.
    pub(crate) fn with_steps(self, steps: usize) -> Self {
        Self {
            steps,
            all: u64::MAX >> (STEPS_MAX - steps),
            window: self.window,
        }
    }

    /// Is `time` within the window that begins at `from`? `from` is not after `time`.
    pub(crate) fn within(&self, from: i64, time: i64) -> bool {
        self.window
            .is_none_or(|window| time.abs_diff(from) <= window)
    }
}

/// A funnel that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// There is nothing to reach.
    NoSteps,
    /// There are more steps than a row has bits.
    TooManySteps {
        /// How many were asked for.
        found: usize,
    },
    /// There are more steps than the mode's engine allows.
    TooManyStepsForMode {
        /// The mode.
        mode: Mode,
        /// How many were asked for.
        found: usize,
    },
    /// The window is not one that the mode or the options can have.
    Window {
        /// The mode.
        mode: Mode,
        /// What the window must be, and why.
        must: &'static str,
    },
    /// An option has no meaning in the mode, or beside another option.
    Option {
        /// The mode.
        mode: Mode,
        /// The option.
        option: &'static str,
        /// Why it cannot be, and what to use.
        why: &'static str,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::NoSteps => f.write_str("a funnel needs at least one step"),
            SpecError::TooManySteps { found } => {
                write!(f, "a funnel has at most {STEPS_MAX} steps, found {found}")
            }
            SpecError::TooManyStepsForMode { mode, found } => write!(
                f,
                "a funnel of mode '{mode}' has at most {} steps, found {found}",
                mode.steps_max()
            ),
            SpecError::Window { mode, must } => write!(f, "the window of mode '{mode}' {must}"),
            SpecError::Option { mode, option, why } => {
                write!(f, "option `{option}` with mode '{mode}': {why}")
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
        assert_eq!(Spec::new(Mode::Ordered, 1, None).unwrap().shape().all, 1);
        let longest = Spec::new(Mode::Ordered, 64, None).unwrap();
        assert_eq!(longest.shape().all, u64::MAX);
        let error = Spec::new(Mode::Ordered, 65, None).unwrap_err();
        assert_eq!(error.to_string(), "a funnel has at most 64 steps, found 65");
    }

    #[test]
    fn clickhouse_has_thirty_two_steps_at_most() {
        let mode = "ch:strict_once".parse().unwrap();
        assert!(Spec::new(mode, 32, Some(1)).is_ok());
        let error = Spec::new(mode, 33, Some(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a funnel of mode 'ch:strict_once' has at most 32 steps, found 33"
        );
    }

    #[test]
    fn distance_is_measured_over_the_whole_range_of_time() {
        let spec = Spec::new(Mode::Ordered, 1, Some(u64::MAX - 1)).unwrap();
        assert!(!spec.shape().within(i64::MIN, i64::MAX));
        assert!(spec.shape().within(i64::MIN + 1, i64::MAX));
    }
}
