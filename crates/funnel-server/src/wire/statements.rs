//! What a text asks for: rows, or something about the connection itself. All else is refused.

use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    CloseCursor, ContextModifier, CopySource, CopyTarget, Declare, Expr, FetchDirection,
    ObjectName, Query, Reset, Set, SetExpr, Statement, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use super::copy::CopyForm;
use super::errors::{Failure, syntax};
use super::names;
use super::rewrite::rewritten;
use crate::read_only::refused;

static PARSER: LazyLock<PostgresCompatibilityParser> =
    LazyLock::new(PostgresCompatibilityParser::new);

/// One statement.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Gives rows; the tag is what a client is told at the end.
    Read(Box<Statement>),
    /// `COPY … TO STDOUT`.
    CopyOut(Box<Statement>, CopyForm),
    Set {
        assignments: Vec<(String, Option<String>)>,
        /// To the end of the transaction.
        local: bool,
    },
    ResetAll,
    Show(String),
    ShowAll,
    Begin,
    Commit,
    Rollback,
    /// `SAVEPOINT`, `RELEASE`: nothing can be undone, so that there is nothing to remember.
    Savepoint(&'static str),
    RollbackTo,
    Declare(Box<Cursor>),
    Fetch {
        cursor: String,
        /// `None`: all that are left.
        rows: Option<usize>,
    },
    /// One cursor, or all.
    Close(Option<String>),
    /// One prepared statement, or all.
    Deallocate(Option<String>),
    DiscardAll,
    /// Has a tag and no effect.
    Nothing(&'static str),
}

/// `DECLARE … CURSOR FOR …`
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) name: String,
    pub(super) query: Statement,
    /// It outlives its transaction.
    pub(super) hold: bool,
}

/// The statements of a text; none for one of spaces and remarks.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, Failure> {
    let statements = PARSER.parse(text).map_err(|error| syntax(&error))?;
    let statements = statements.into_iter().map(|mut statement| {
        names::named(&mut statement);
        rewritten(&mut statement);
        command(statement)
    });
    statements.collect()
}

fn command(statement: Statement) -> Result<Command, Failure> {
    if let Some(what) = refused(&statement) {
        return Err(Failure::read_only(what));
    }
    Ok(match statement {
        Statement::Query(query) => return reading(query),
        Statement::Explain {
            statement: ref explained,
            ..
        } => {
            if !matches!(explained.as_ref(), Statement::Query(_)) {
                return Err(Failure::read_only("EXPLAIN of a statement that writes"));
            }
            Command::Read(Box::new(statement))
        }
        Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. } => Command::Read(Box::new(statement)),
        Statement::Copy {
            source,
            to,
            target,
            options,
            legacy_options,
            ..
        } => {
            if !to {
                return Err(Failure::read_only("COPY FROM"));
            }
            if !matches!(target, CopyTarget::Stdout) {
                return Err(Failure::new(
                    "42501",
                    "COPY writes no file on the server: write COPY … TO STDOUT",
                ));
            }
            let form = CopyForm::of(&options, &legacy_options)?;
            Command::CopyOut(Box::new(copied(source)?), form)
        }
        Statement::Set(set) => return setting(set),
        Statement::Reset(reset) => match reset.reset {
            Reset::ALL => Command::ResetAll,
            Reset::ConfigurationParameter(name) => Command::Set {
                assignments: vec![(last(&name), None)],
                local: false,
            },
        },
        Statement::ShowVariable { variable } => {
            let words: Vec<String> = variable
                .iter()
                .map(|word| word.value.to_ascii_lowercase())
                .collect();
            match words.join(" ").as_str() {
                "all" => Command::ShowAll,
                "time zone" => Command::Show("timezone".to_owned()),
                "transaction isolation level" => Command::Show("transaction_isolation".to_owned()),
                "session authorization" => Command::Show("session_authorization".to_owned()),
                _ => Command::Show(words.join(".")),
            }
        }
        other => return of_session(other),
    })
}

/// Transactions, cursors, and what is prepared.
fn of_session(statement: Statement) -> Result<Command, Failure> {
    Ok(match statement {
        Statement::StartTransaction { .. } => Command::Begin,
        Statement::Commit { .. } => Command::Commit,
        Statement::Rollback { savepoint, .. } => match savepoint {
            Some(_) => Command::RollbackTo,
            None => Command::Rollback,
        },
        Statement::Savepoint { .. } => Command::Savepoint("SAVEPOINT"),
        Statement::ReleaseSavepoint { .. } => Command::Savepoint("RELEASE"),
        Statement::Declare { stmts } => return declared(stmts),
        Statement::Fetch {
            name, direction, ..
        } => Command::Fetch {
            cursor: name.value,
            rows: forward(&direction)?,
        },
        Statement::Close { cursor } => Command::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(name.value),
        }),
        Statement::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Command::Deallocate((!all).then_some(name.value))
        }
        Statement::Discard { .. } => Command::DiscardAll,
        Statement::LISTEN { .. } => Command::Nothing("LISTEN"),
        Statement::UNLISTEN { .. } => Command::Nothing("UNLISTEN"),
        Statement::Prepare { .. } | Statement::Execute { .. } => {
            return Err(Failure::unsupported(
                "PREPARE and EXECUTE in SQL are not known here; use the prepared statements of your driver",
            ));
        }
        other => {
            let text = other.to_string();
            let word = text.split_whitespace().next().unwrap_or_default();
            return Err(Failure::unsupported(format!("{word} is not known here")));
        }
    })
}

/// A query, unless it is `SELECT … INTO` or has a statement that writes inside.
fn reading(query: Box<Query>) -> Result<Command, Failure> {
    if let SetExpr::Select(select) = query.body.as_ref()
        && select.into.is_some()
    {
        return Err(Failure::read_only("SELECT INTO"));
    }
    if matches!(
        query.body.as_ref(),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
    ) {
        return Err(Failure::read_only("a statement that writes"));
    }
    Ok(Command::Read(Box::new(Statement::Query(query))))
}

fn copied(source: CopySource) -> Result<Statement, Failure> {
    match source {
        CopySource::Query(query) => match reading(query)? {
            Command::Read(statement) => Ok(*statement),
            _ => Err(Failure::internal()),
        },
        CopySource::Table {
            table_name,
            columns,
        } => {
            let columns = if columns.is_empty() {
                "*".to_owned()
            } else {
                let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                columns.join(", ")
            };
            let text = format!("SELECT {columns} FROM {table_name}");
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &text);
            let mut parsed = parsed.map_err(|error| syntax(&error))?;
            parsed.pop().ok_or_else(Failure::internal)
        }
    }
}

fn setting(set: Set) -> Result<Command, Failure> {
    let one = |name: &str, value: Option<String>, local: bool| Command::Set {
        assignments: vec![(name.to_owned(), value)],
        local,
    };
    Ok(match set {
        Set::SingleAssignment {
            scope,
            variable,
            values,
            ..
        } => {
            let name: Vec<String> = variable.0.iter().map(ToString::to_string).collect();
            let name = name.join(".").replace('"', "");
            one(
                &name,
                text_of(&values)?,
                scope == Some(ContextModifier::Local),
            )
        }
        Set::SetTimeZone { local, value } => one("timezone", text_of(&[value])?, local),
        Set::SetNames { charset_name, .. } => {
            one("client_encoding", Some(charset_name.value), false)
        }
        Set::SetTransaction { .. } => Command::Nothing("SET"),
        Set::SetSessionAuthorization(_) | Set::SetRole { .. } => {
            return Err(Failure::new(
                "42501",
                "permission denied: a connection keeps the name it began with",
            ));
        }
        other => {
            return Err(Failure::unsupported(format!("`{other}` is not known here")));
        }
    })
}

/// The values of `SET`, as one text; none for `DEFAULT`.
fn text_of(values: &[Expr]) -> Result<Option<String>, Failure> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.push(match value {
            Expr::Value(ValueWithSpan { value, .. }) => match value {
                Value::Number(text, _) => text.clone(),
                Value::Boolean(true) => "on".to_owned(),
                Value::Boolean(false) => "off".to_owned(),
                other => other
                    .clone()
                    .into_string()
                    .ok_or_else(|| Failure::new("22023", "SET takes a constant"))?,
            },
            Expr::Identifier(word) => {
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") {
                    return Ok(None);
                }
                word.value.clone()
            }
            other => other.to_string(),
        });
    }
    Ok(Some(texts.join(", ")))
}

fn declared(mut declared: Vec<Declare>) -> Result<Command, Failure> {
    let wrong = || Failure::new("42601", "syntax error: DECLARE name CURSOR FOR query");
    let declare = declared.pop().ok_or_else(wrong)?;
    let query = declare.for_query.ok_or_else(wrong)?;
    let name = declare.names.into_iter().next().ok_or_else(wrong)?;
    if declare.scroll == Some(true) {
        return Err(Failure::unsupported(
            "cursors go forward only: leave SCROLL out",
        ));
    }
    let Command::Read(query) = reading(query)? else {
        return Err(wrong());
    };
    Ok(Command::Declare(Box::new(Cursor {
        name: name.value,
        query: *query,
        hold: declare.hold == Some(true),
    })))
}

/// How many rows; none for all.
fn forward(direction: &FetchDirection) -> Result<Option<usize>, Failure> {
    let count = |limit: &ValueWithSpan| {
        let text = limit.to_string();
        text.parse::<usize>().map_err(|_| backward())
    };
    Ok(match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            Some(count(limit)?)
        }
        FetchDirection::All | FetchDirection::ForwardAll => None,
        _ => return Err(backward()),
    })
}

fn backward() -> Failure {
    Failure::new("55000", "cursor can only scan forward")
}

fn last(name: &ObjectName) -> String {
    name.to_string().replace('"', "")
}
