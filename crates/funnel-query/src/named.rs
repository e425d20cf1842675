//! Named queries: `queries/*.sql`, each with a front matter that says what it asks, takes and
//! gives. Values of parameters are bound as typed literals; text never becomes SQL.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::QuerySession;
use crate::error::{QueryError, Result};

/// One parameter of a named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    /// `DATE`, `TEXT`, `BIGINT`, `DOUBLE`, `BOOLEAN` or `TIMESTAMP`.
    pub kind: String,
    /// `None`: the caller must give it.
    pub default: Option<String>,
    pub help: String,
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: String,
    pub help: String,
}

/// A named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    pub name: String,
    pub question: String,
    pub params: Vec<Param>,
    pub columns: Vec<Column>,
    pub sql: String,
}

/// Every named query that is shipped, by name.
///
/// # Errors
/// When a front matter is wrong; a test keeps that from being shipped.
pub fn list() -> Result<Vec<NamedQuery>> {
    Ok(Vec::new())
}

/// Runs a named query with the texts of its parameters, each read as the type it declares.
///
/// # Errors
/// Usage for an unknown name or parameter, a missing parameter, or a value that is not of its
/// type; failed when the query fails.
pub async fn run(
    session: &QuerySession,
    name: &str,
    params: &BTreeMap<String, String>,
) -> Result<Vec<RecordBatch>> {
    let _ = (session, params);
    Err(QueryError::usage(format!("`{name}` is not built yet")))
}
