//! What can go wrong with reports, named queries and marts, split by what the caller can do.

use std::error::Error;

use datafusion::error::DataFusionError;

use super::definition::DefinitionError;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: change it.
    Usage,
    /// The query or the data is wrong, and will be again.
    Failed,
    /// The days asked for are not complete yet: ask later.
    NotComplete,
    /// Something outside does not answer or holds a lock: try again.
    Unavailable,
}

/// An error of a report, a named query or a publication.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FunnelError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl FunnelError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the user can do, where it can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<DefinitionError> for FunnelError {
    fn from(error: DefinitionError) -> Self {
        let message = error.to_string();
        match error {
            DefinitionError::Syntax { source, .. } => Self::usage(message).because(source),
            DefinitionError::Read { source, .. } => Self::usage(message).because(source),
            DefinitionError::Unknown { .. } | DefinitionError::Invalid { .. } => {
                Self::usage(message)
            }
        }
    }
}

impl From<DataFusionError> for FunnelError {
    fn from(error: DataFusionError) -> Self {
        Self::failed("the query failed").because(error)
    }
}

impl From<super::options::OptionError> for FunnelError {
    fn from(error: super::options::OptionError) -> Self {
        Self::usage(error.to_string())
    }
}

/// The result of everything in this crate that answers a question about funnels.
pub type Result<T, E = FunnelError> = std::result::Result<T, E>;
