//! What a command answers when it cannot do its work, and how that is shown.

use std::error::Error;
use std::io;
use std::path::Path;

use crate::exit::Exit;

/// The result of a command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// An error with the exit code it ends in: primary message, causes, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    exit: Exit,
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Failed, and will fail again.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The call itself is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The configuration is wrong.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Exit::Config, message)
    }

    /// Something outside is not there now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// A file could not be read or written.
    pub(crate) fn file(attempted: &str, path: &Path, source: io::Error) -> Self {
        Self::failed(format!("could not {attempted} `{}`", path.display())).because(source)
    }

    /// Writing the answer failed; a closed pipe is recognised by [`Self::is_closed_pipe`].
    pub(crate) fn output(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::failed("could not write the answer").because(source)
    }

    /// What the user can do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is wrong stands in the configuration, not in the call.
    #[must_use]
    pub(crate) fn of_configuration(mut self) -> Self {
        self.exit = Exit::Config;
        self
    }

    /// What made it fail.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the reader of our output has gone: nothing to report, nobody to report it to.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        let mut next = self.cause();
        while let Some(error) = next {
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
            {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// Message, causes and hint as the lines for stderr.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut shown = self.message.clone();
        let mut next = self.cause();
        while let Some(error) = next {
            let cause = error.to_string();
            // Some libraries print their cause in their own message: say it once.
            if !shown.contains(&cause) {
                text.push_str(&format!("  caused by: {cause}\n"));
                shown.push_str(&cause);
            }
            next = error.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }

    fn cause(&self) -> Option<&(dyn Error + 'static)> {
        Error::source(self)
    }
}
