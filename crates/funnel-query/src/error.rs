//! Errors of the query layer, split by what the caller can do about them.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;
use funnel_lake::{LakeError, is_store_failure};

/// The result of a query-layer operation.
pub type Result<T, E = QueryError> = std::result::Result<T, E>;

/// What the caller can do about a [`QueryError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The query or the data is wrong: the same call will fail again.
    Query,
    /// The call names something that does not exist or contradicts itself.
    Usage,
    /// The configuration is wrong.
    Config,
    /// The answer exists but is not complete yet.
    Incomplete,
    /// Something outside did not answer or is held by somebody else; trying later helps.
    Unavailable,
    /// We are wrong.
    Internal,
}

/// What went wrong with a query.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

impl QueryError {
    /// An error of `kind`; `message` says what was attempted, on what, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Names the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The query or the data is wrong, or the store of the data did not answer.
    pub fn query(message: impl Into<String>, source: DataFusionError) -> Self {
        let kind = if is_store_failure(&source) {
            ErrorKind::Unavailable
        } else {
            ErrorKind::Query
        };
        Self::new(kind, message).with_source(source)
    }

    /// The call names something that does not exist or contradicts itself.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The lake could not do its part.
    pub fn lake(message: impl Into<String>, source: LakeError) -> Self {
        let kind = match source.kind() {
            funnel_lake::ErrorKind::Conflict | funnel_lake::ErrorKind::Unavailable => {
                ErrorKind::Unavailable
            }
            funnel_lake::ErrorKind::Config
            | funnel_lake::ErrorKind::TooNew
            | funnel_lake::ErrorKind::NotFound => ErrorKind::Usage,
            funnel_lake::ErrorKind::Storage => ErrorKind::Config,
            funnel_lake::ErrorKind::Internal => ErrorKind::Internal,
            _ => ErrorKind::Query,
        };
        Self::new(kind, message).with_source(source)
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_leaves_the_cause_to_the_chain() {
        let cause = DataFusionError::Plan("no such column".to_owned());
        let error = QueryError::query("could not read view `offers`", cause);
        assert_eq!(error.to_string(), "could not read view `offers`");
        assert!(
            error
                .source()
                .is_some_and(|cause| cause.to_string().contains("no such column"))
        );
    }
}
