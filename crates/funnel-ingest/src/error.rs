//! Errors of the ingestor, split by what the caller can do about them.

use std::error::Error as StdError;

/// The result of an ingest operation.
pub type Result<T, E = IngestError> = std::result::Result<T, E>;

/// A cause from one of the libraries below.
pub(crate) type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What the caller can do about an [`IngestError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Kafka or the storage could not be reached for longer than we wait; try again later.
    Unavailable,
    /// The configuration or the input path is wrong; trying again does not help.
    Config,
    /// The lake is not in a state we may go on from; a person has to look.
    Lake,
    /// We are wrong.
    Internal,
}

/// Why the ingestor stopped.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct IngestError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Cause>,
}

impl IngestError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// A setting that cannot be used. The caller knows the file and adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be used: found {found}; {hint}")]
pub struct ConfigError {
    /// The key with its section, such as `ingest.flush_age`.
    pub key: String,
    /// What stands there, in words.
    pub found: String,
    /// What to write instead.
    pub hint: String,
}

impl ConfigError {
    pub(crate) fn new(
        key: impl Into<String>,
        found: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            found: found.into(),
            hint: hint.into(),
        }
    }
}
