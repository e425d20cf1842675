//! Failures as gRPC has them: a code, and what was wrong in plain words.

use tonic::{Code, Status};

use crate::failure::Failure;

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let message = match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        };
        Self::new(code(failure.code), message)
    }
}

/// The code of gRPC for a SQLSTATE.
fn code(state: &str) -> Code {
    match state {
        "0A000" => Code::Unimplemented,
        "25006" | "42501" => Code::PermissionDenied,
        "42P01" => Code::NotFound,
        "53200" | "53400" | "54000" => Code::ResourceExhausted,
        "53300" | "57P01" | "57P03" => Code::Unavailable,
        "55000" => Code::FailedPrecondition,
        "57014" => Code::DeadlineExceeded,
        _ => match state.get(..2) {
            Some("08" | "22" | "42" | "54") => Code::InvalidArgument,
            Some("28") => Code::Unauthenticated,
            _ => Code::Internal,
        },
    }
}
