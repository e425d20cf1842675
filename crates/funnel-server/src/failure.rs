//! Why a statement fails: a SQLSTATE, and what was wrong in plain words. The PostgreSQL wire and Flight SQL say it each in
//! its own form.

use std::error::Error as StdError;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use funnel_query::{ErrorKind, QueryError};

/// What goes to the client instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The connection ends with it.
    pub(crate) fatal: bool,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            fatal: false,
        }
    }

    /// The connection ends with it.
    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            fatal: true,
            ..Self::new(code, message)
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn read_only(what: &str) -> Self {
        Self::new(
            "25006",
            format!("cannot execute {what}: the server only reads"),
        )
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::new("0A000", what)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("57014", "canceling statement due to user request")
    }

    pub(crate) fn too_long(time: Duration) -> Self {
        let time = time.as_secs_f64();
        Self::new(
            "57014",
            format!("canceling statement due to statement timeout ({time} s)"),
        )
        .hint("ask for fewer days, or add a filter")
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            "53300",
            "other queries took all the time that this one had to wait; try again later",
        )
    }

    pub(crate) fn too_large(bytes: usize) -> Self {
        Self::new("54000", format!("the answer has more than {bytes} bytes"))
            .hint("add a LIMIT, raise `serve.answer_size`, or read the lake with `funnel sql`")
    }

    pub(crate) fn stopping() -> Self {
        Self::fatal("57P01", "terminating connection: the server stops")
    }

    fn unavailable() -> Self {
        Self::new(
            "57P03",
            "the store of the lake does not answer; the server's log has more",
        )
        .hint("try again later")
    }

    pub(crate) fn internal() -> Self {
        Self::new("XX000", "the server made a mistake; its log has more")
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let code = match error.kind() {
            ErrorKind::Usage => "22023",
            ErrorKind::Incomplete => "55000",
            ErrorKind::Unavailable => "57P03",
            ErrorKind::Query => "22000",
            _ => "XX000",
        };
        let mut cause = error.source();
        while let Some(found) = cause {
            if let Some(known) = found.downcast_ref::<DataFusionError>() {
                let known = Self::from(known);
                let message = format!("{error}: {}", known.message);
                return Self { message, ..known };
            }
            cause = found.source();
        }
        if code == "XX000" {
            tracing::error!(%error, "a query failed");
        }
        Self::new(code, chain(&error))
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::from(&error)
    }
}

impl From<&DataFusionError> for Failure {
    fn from(error: &DataFusionError) -> Self {
        if funnel_lake::is_store_failure(error) {
            tracing::error!(%error, "the store of the lake failed");
            return Self::unavailable();
        }
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::from(inner.as_ref())
            }
            DataFusionError::Shared(inner) => Self::from(inner.as_ref()),
            DataFusionError::Collection(all) => all.first().map_or_else(Self::internal, Self::from),
            DataFusionError::SQL(error, _) => syntax(error),
            DataFusionError::SchemaError(error, _) => {
                Self::new(column_code(error), error.to_string())
            }
            DataFusionError::Plan(text) => planning(text),
            DataFusionError::NotImplemented(text) => Self::unsupported(first(text)),
            DataFusionError::Configuration(text) => Self::new("22023", first(text)),
            DataFusionError::Execution(text) => Self::new(value_code(text), first(text)),
            DataFusionError::ResourcesExhausted(text) => {
                Self::new("53200", format!("out of memory: {}", text.trim()))
                    .hint("ask for fewer days, or raise `query.memory`")
            }
            DataFusionError::ArrowError(error, _) => arrow(error),
            DataFusionError::External(error) => external(error.as_ref()),
            DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
                tracing::error!(%error, "a query could not read");
                Self::new(
                    "58030",
                    "the lake could not be read; the log of the server has more",
                )
            }
            other => {
                tracing::error!(error = %other, "a query failed");
                Self::internal()
            }
        }
    }
}

pub(crate) fn syntax(error: &ParserError) -> Failure {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return Failure::new("54001", "the statement is nested too deeply");
        }
    };
    Failure::new("42601", format!("syntax error: {}", first(text)))
}

fn column_code(error: &SchemaError) -> &'static str {
    match error {
        SchemaError::FieldNotFound { .. } => "42703",
        SchemaError::AmbiguousReference { .. } => "42702",
        _ => "42701",
    }
}

/// The planner has one kind of error for all of these.
fn planning(text: &str) -> Failure {
    let lower = text.to_ascii_lowercase();
    let any = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let code = if any(&["table '", "table function"]) && lower.contains("not found") {
        if lower.contains("table function") {
            "42883"
        } else {
            "42P01"
        }
    } else if any(&["invalid function", "does not exist in registry"]) {
        "42883"
    } else if any(&[
        "failed to coerce arguments",
        "no function matches",
        "does not support",
        "expects",
        "cannot coerce",
        "cannot infer common",
    ]) {
        "42804"
    } else if any(&["group by", "aggregate"]) {
        "42803"
    } else if any(&["unsupported", "not supported", "not implemented"]) {
        "0A000"
    } else if lower.contains("no field named") {
        "42703"
    } else {
        "42601"
    };
    Failure::new(code, text.trim())
}

fn value_code(text: &str) -> &'static str {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") {
        "22012"
    } else if lower.contains("overflow") {
        "22003"
    } else if lower.contains("timestamp") || lower.contains("date") {
        "22007"
    } else {
        "22000"
    }
}

fn arrow(error: &ArrowError) -> Failure {
    match error {
        ArrowError::DivideByZero => Failure::new("22012", "division by zero"),
        ArrowError::ArithmeticOverflow(text) => Failure::new("22003", first(text)),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => {
            Failure::new("22P02", first(text))
        }
        ArrowError::ExternalError(error) => external(error.as_ref()),
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => {
            Failure::new("22000", first(text))
        }
        ArrowError::NotYetImplemented(text) => Failure::unsupported(first(text)),
        other => {
            tracing::error!(error = %other, "a query failed");
            Failure::internal()
        }
    }
}

fn external(error: &(dyn StdError + Send + Sync + 'static)) -> Failure {
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return Failure::from(error);
    }
    if let Some(error) = error.downcast_ref::<QueryError>() {
        let code = match error.kind() {
            ErrorKind::Usage => "22023",
            ErrorKind::Incomplete => "55000",
            ErrorKind::Unavailable => "57P03",
            _ => "22000",
        };
        return Failure::new(code, chain(error));
    }
    tracing::error!(%error, "a query failed");
    Failure::internal()
}

/// An error with its causes, in one line each.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        text = format!("{text}: {found}");
        cause = found.source();
    }
    text
}

/// Without what the library adds for its own developers.
fn first(text: &str) -> String {
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text);
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn failure(sql: &str) -> Failure {
        let ctx = SessionContext::new();
        ctx.sql("CREATE TABLE t AS SELECT 1 AS column_one, 'x' AS word")
            .await
            .unwrap();
        let outcome = async { ctx.sql(sql).await?.collect().await };
        Failure::from(outcome.await.unwrap_err())
    }

    #[tokio::test]
    async fn each_mistake_has_its_code_and_plain_words() {
        for (sql, code, said) in [
            (
                "SELECT colum_one FROM t",
                "42703",
                "Did you mean 't.column_one'?",
            ),
            ("SELECT * FROM nothing", "42P01", "nothing"),
            ("SELECT no_such(1)", "42883", "no_such"),
            ("SELEC 1", "42601", "SELEC"),
            ("SELECT 1 / 0", "22012", "division by zero"),
            ("SELECT CAST(word AS INT) FROM t", "22P02", "x"),
            ("SELECT word FROM t GROUP BY column_one", "42803", "word"),
            (
                "SELECT * FROM no_such_table_function(1)",
                "42883",
                "no_such_table_function",
            ),
        ] {
            let found = failure(sql).await;
            assert_eq!(found.code, code, "{sql}: {found:?}");
            assert!(found.message.contains(said), "{sql}: {found:?}");
            for noise in [
                "DataFusion",
                "Error during planning",
                "ParserError",
                "Some(",
            ] {
                assert!(!found.message.contains(noise), "{sql}: {found:?}");
            }
        }
    }
}
