//! Progress on stderr, for people only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::env_vars;
use crate::output::stderr_is_terminal;

/// Makes bars that show only on a terminal, and without colour where none is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    visible: bool,
    colour: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            visible: !quiet && stderr_is_terminal(),
            colour: env_vars::colour_allowed(),
        }
    }

    /// A counter; the total is often not known before the end.
    pub(crate) fn counter(self, doing: &'static str) -> ProgressBar {
        let bar = self.hidden_or(ProgressBar::with_draw_target(None, self.target()));
        let colour = if self.colour { ".cyan" } else { "" };
        let template = format!("{{spinner{colour}}} {{human_pos}} {{msg}} ({{per_sec}})");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(doing);
        bar
    }

    fn target(self) -> ProgressDrawTarget {
        if self.visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        }
    }

    fn hidden_or(self, bar: ProgressBar) -> ProgressBar {
        if self.visible {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }
}
