//! Failures in the form of the protocol.

use pgwire::error::{ErrorInfo, PgWireError};

pub(super) use crate::failure::{Failure, syntax};

impl Failure {
    pub(super) fn not_encrypted() -> Self {
        Self::fatal("28000", "the server speaks TLS only")
            .hint("connect with sslmode=require, or better verify-full")
    }

    pub(super) fn info(self) -> ErrorInfo {
        let severity = if self.fatal { "FATAL" } else { "ERROR" };
        let mut info = ErrorInfo::new(severity.to_owned(), self.code.to_owned(), self.message);
        info.severity_nonlocalized = Some(severity.to_owned());
        info.hint = self.hint;
        info
    }
}

impl From<Failure> for PgWireError {
    fn from(failure: Failure) -> Self {
        Self::UserError(Box::new(failure.info()))
    }
}

/// What the library found wrong, in our words where it has only words for developers.
pub(super) fn plain(error: PgWireError) -> PgWireError {
    match error {
        PgWireError::FailedToParseParameter(cause) => {
            Failure::new("22P02", format!("could not read a parameter: {cause}")).into()
        }
        PgWireError::InvalidRustTypeForParameter(name) => {
            Failure::unsupported(format!("parameters of type {name} are not known here")).into()
        }
        PgWireError::QueryCanceled => Failure::cancelled().into(),
        error @ PgWireError::UserError(_) => error,
        PgWireError::ApiError(error) => {
            tracing::error!(%error, "a statement failed");
            Failure::internal().into()
        }
        other => PgWireError::UserError(Box::new(ErrorInfo::from(other))),
    }
}
