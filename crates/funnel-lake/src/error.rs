//! Errors of the lake, split by what the caller can do about them.

use std::error::Error as StdError;

/// The result of a lake operation.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// A cause from one of the libraries below.
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What the caller can do about a [`LakeError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Other writers were faster, more often than we try; trying again later helps.
    Conflict,
    /// The storage did not answer or refused; trying again later helps.
    Unavailable,
    /// What is stored is not what was written: a person has to look.
    Corrupt,
    /// The request or the set-up is wrong; trying again does not help.
    Config,
    /// The object store refuses us or cannot do what a lake needs (credentials, rights, bucket,
    /// conditional writes); trying again does not help.
    Storage,
    /// The lake was written by a newer release.
    TooNew,
    /// There is no lake, or no table, at this place.
    NotFound,
    /// Somebody removed rows since our last commit while our offsets stayed
    /// (`RESTORE`, overwrite, `DELETE`): going on would hide the loss.
    HaltedTableRewritten,
    /// We are wrong.
    Internal,
}

/// What went wrong with the lake.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct LakeError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Cause>,
}

impl LakeError {
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

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::new(ErrorKind::Unavailable, message).with_source(source)
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict | ErrorKind::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_conflicts_and_storage_trouble_are_worth_a_second_try() {
        for (kind, retryable) in [
            (ErrorKind::Conflict, true),
            (ErrorKind::Unavailable, true),
            (ErrorKind::Corrupt, false),
            (ErrorKind::Config, false),
            (ErrorKind::Storage, false),
            (ErrorKind::TooNew, false),
            (ErrorKind::NotFound, false),
            (ErrorKind::HaltedTableRewritten, false),
            (ErrorKind::Internal, false),
        ] {
            assert_eq!(
                LakeError::new(kind, "x").is_retryable(),
                retryable,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn the_text_leaves_the_cause_to_the_chain() {
        let error =
            LakeError::unavailable("could not read `a`", std::io::Error::other("disk gone"));
        assert_eq!(error.to_string(), "could not read `a`");
        assert_eq!(
            error.source().map(ToString::to_string).as_deref(),
            Some("disk gone")
        );
    }
}
