//! The comment lines at the top of a named query.
//!
//! ```text
//! -- name: outcomes
//! -- question: What became of the offers?
//! -- param: from DATE -- first local day
//! -- param: account TEXT = NULL -- one account
//! -- column: offers BIGINT -- offers with this outcome
//! ```

use super::{Column, NamedQuery, Param};
use crate::error::{ErrorKind, QueryError, Result};

/// Reads the front matter of `text`; `file` names it in errors.
pub(super) fn parse(file: &str, text: &str) -> Result<NamedQuery> {
    let mut name = None;
    let mut question = None;
    let mut params = Vec::new();
    let mut columns = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.strip_prefix("--") else {
            break;
        };
        let problem = |what: &str| {
            let place = format!("queries/{file}.sql:{}", index + 1);
            QueryError::new(ErrorKind::Internal, format!("{place}: {what}: {line}"))
        };
        let (key, value) = comment
            .trim()
            .split_once(':')
            .ok_or_else(|| problem("a line is `key: value`"))?;
        let value = value.trim();
        match key.trim() {
            "name" => name = Some(value.to_owned()),
            "question" => question = Some(value.to_owned()),
            "param" => {
                params.push(
                    param(value)
                        .ok_or_else(|| problem("a param is `name TYPE [= default] [-- help]`"))?,
                );
            }
            "column" => {
                columns.push(
                    column(value).ok_or_else(|| problem("a column is `name TYPE [-- help]`"))?,
                );
            }
            _ => return Err(problem("the keys are name, question, param, column")),
        }
    }
    let missing = |key: &str| {
        QueryError::new(
            ErrorKind::Internal,
            format!("queries/{file}.sql: `-- {key}:` is missing"),
        )
    };
    Ok(NamedQuery {
        name: name.ok_or_else(|| missing("name"))?,
        question: question.ok_or_else(|| missing("question"))?,
        params,
        columns,
        sql: text.to_owned(),
    })
}

fn param(text: &str) -> Option<Param> {
    let (declaration, help) = split_help(text);
    let (declaration, default) = match declaration.split_once('=') {
        Some((declaration, default)) => (declaration.trim(), Some(default.trim().to_owned())),
        None => (declaration, None),
    };
    let (name, kind) = declaration.split_once(' ')?;
    Some(Param {
        name: name.to_owned(),
        kind: kind.trim().to_owned(),
        default,
        help,
    })
}

fn column(text: &str) -> Option<Column> {
    let (declaration, help) = split_help(text);
    let (name, kind) = declaration.split_once(' ')?;
    Some(Column {
        name: name.to_owned(),
        kind: kind.trim().to_owned(),
        help,
    })
}

fn split_help(text: &str) -> (&str, String) {
    match text.split_once("--") {
        Some((declaration, help)) => (declaration.trim(), help.trim().to_owned()),
        None => (text.trim(), String::new()),
    }
}
