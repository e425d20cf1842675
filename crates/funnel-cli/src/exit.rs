//! Exit codes: the contract with schedulers and scripts.

use std::process::ExitCode;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; also "nothing to do", and a daemon stopped by a signal after its last commit.
    Done,
    /// Failed, and will fail again: an SQL error, bad data.
    Failed,
    /// Wrong usage.
    Usage,
    /// Finished, but a gate says no: the audit does not close, the day is not complete.
    Gate,
    /// An outside service is unreachable or a lock is held: try again.
    Unavailable,
    /// The configuration is invalid.
    Config,
    /// Interrupted by SIGINT, state committed.
    Interrupted,
    /// Stopped by SIGTERM, state committed.
    Terminated,
}

/// The table that `--help` shows; a test holds it to [`Exit::code`].
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
    0  done; also nothing to do, and a daemon stopped by a signal after its last commit
    1  failed and will fail again (SQL error, bad data)
    2  wrong usage
    3  finished, but a gate says no (audit does not close, day not complete)
   75  an outside service is unreachable or a lock is held: try again
   78  the configuration is invalid
  130  interrupted (SIGINT) with state committed
  143  terminated (SIGTERM) with state committed";

impl Exit {
    /// The number the operating system sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Gate => 3,
            Self::Unavailable => 75,
            Self::Config => 78,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Gate,
            Exit::Unavailable,
            Exit::Config,
            Exit::Interrupted,
            Exit::Terminated,
        ];
        let listed: Vec<u8> = EXIT_CODES_HELP
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next()?.parse().ok())
            .collect();
        assert_eq!(listed, all.map(Exit::code));
    }
}
