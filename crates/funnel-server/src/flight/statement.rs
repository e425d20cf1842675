//! A statement, from its text to the plan that is run.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::common::ParamValues;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement as Planned};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use prost::Message;

use super::values;
use crate::failure::{Failure, syntax};
use crate::{placeholders, read_only};

/// A statement with the values of its parameters: all that the server has to be told to run it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Asked {
    #[prost(string, tag = "1")]
    pub(super) sql: String,
    /// One row of Arrow's IPC stream; empty where none was bound.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) values: Bytes,
}

/// What is known of a statement before it runs.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) columns: SchemaRef,
    pub(super) parameters: SchemaRef,
}

impl Asked {
    pub(super) fn of(sql: String) -> Self {
        Self {
            sql,
            values: Bytes::new(),
        }
    }

    /// Reads a ticket or a handle.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        Self::decode(bytes).map_err(|_| {
            Failure::new(
                "08P01",
                "the ticket or the handle is none that this server gave",
            )
        })
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// The columns of its rows, and its parameters.
    pub(super) async fn described(
        &self,
        state: &SessionState,
        limit: usize,
    ) -> Result<Described, Failure> {
        let statement = parsed(&self.sql, limit)?;
        let plan = if self.values.is_empty() {
            planned(
                state,
                sampled(&statement).unwrap_or_else(|| statement.clone()),
            )
            .await?
        } else {
            self.plan(state, limit).await?
        };
        Ok(Described {
            columns: Arc::clone(plan.schema().inner()),
            parameters: Arc::new(parameters(&wanted(&statement, &plan)?)),
        })
    }

    /// The plan with its values.
    pub(super) async fn plan(
        &self,
        state: &SessionState,
        limit: usize,
    ) -> Result<LogicalPlan, Failure> {
        let statement = parsed(&self.sql, limit)?;
        let sampled = sampled(&statement);
        let plan = planned(state, sampled.clone().unwrap_or_else(|| statement.clone())).await?;
        let wanted = wanted(&statement, &plan)?;
        let values = values::of(&self.values, &wanted)?;
        if values.is_empty() {
            return Ok(plan);
        }
        match (sampled, &statement) {
            // Table functions are planned with their arguments.
            (Some(_), Planned::Statement(statement)) => {
                let bound = placeholders::bound(statement, &values)?;
                planned(state, Planned::Statement(Box::new(bound))).await
            }
            _ => Ok(plan.replace_params_with_values(&ParamValues::from(values))?),
        }
    }
}

/// The one statement of a text that reads. A parameter is `$1`, `$2`, or `?` one after the other.
fn parsed(text: &str, limit: usize) -> Result<Planned, Failure> {
    if text.len() > limit {
        return Err(Failure::new(
            "54000",
            format!("the statement has more than {limit} bytes"),
        ));
    }
    let (mut tokens, mut next, mut named) = (Vec::new(), 0_usize, false);
    Tokenizer::new(&GenericDialect, text)
        .tokenize_with_location_into_buf_with_mapper(&mut tokens, |mut token| {
            if let Token::Placeholder(name) = &mut token.token {
                if name == "?" {
                    next += 1;
                    *name = format!("${next}");
                } else {
                    named = true;
                }
            }
            token
        })
        .map_err(|error| syntax(&error.into()))?;
    if named && next > 0 {
        return Err(Failure::new(
            "42P02",
            "parameters are `?` or `$1`, not both in one statement",
        ));
    }
    let mut parser = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect)
        .build()?;
    let mut statements = parser.parse_statements()?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => reading(statement),
        (None, _) => Err(Failure::new("42601", "there is no statement in the text")),
        (Some(_), false) => Err(Failure::new("42601", "send one statement at a time")),
    }
}

/// The statement, if it is one that reads.
fn reading(statement: Planned) -> Result<Planned, Failure> {
    let known = match &statement {
        Planned::Statement(known) => known,
        Planned::Explain(explain) => {
            reading(explain.statement.as_ref().clone())?;
            return Ok(statement);
        }
        Planned::CopyTo(_) => return Err(Failure::read_only("COPY")),
        Planned::CreateExternalTable(_) => {
            return Err(Failure::read_only("CREATE EXTERNAL TABLE"));
        }
        Planned::Reset(_) => return Err(unknown("RESET")),
    };
    if let Some(what) = read_only::refused(known) {
        return Err(Failure::read_only(what));
    }
    match known.as_ref() {
        Statement::Query(_)
        | Statement::Explain { .. }
        | Statement::ExplainTable { .. }
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ShowFunctions { .. }
        | Statement::ShowVariable { .. } => Ok(statement),
        other => {
            let text = other.to_string();
            Err(unknown(text.split_whitespace().next().unwrap_or_default()))
        }
    }
}

fn unknown(word: &str) -> Failure {
    Failure::unsupported(format!("{word} is not known here: the server only reads"))
}

/// The statement with parameters inside, if it can have any.
fn read(statement: &Planned) -> Option<&Statement> {
    match statement {
        Planned::Statement(statement) => Some(statement),
        _ => None,
    }
}

/// The statement with samples where its own values must be known, if any must.
fn sampled(statement: &Planned) -> Option<Planned> {
    let sampled = placeholders::sampled(read(statement)?)?;
    Some(Planned::Statement(Box::new(sampled)))
}

async fn planned(state: &SessionState, statement: Planned) -> Result<LogicalPlan, Failure> {
    read_only::checked(state.statement_to_plan(statement).await?)
}

/// What each parameter should be; none where anything will do.
fn wanted(statement: &Planned, plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, Failure> {
    let mut found = placeholders::wanted(plan)?;
    let written = read(statement).map_or(0, placeholders::highest);
    let count = found.keys().copied().max().unwrap_or(0).max(written);
    if count > placeholders::PARAMETERS_MAX {
        return Err(Failure::new("54023", "a statement has too many parameters"));
    }
    let wanted = (1..=count).map(|number| found.remove(&number)?.data_type);
    Ok(wanted.collect())
}

fn parameters(wanted: &[Option<DataType>]) -> Schema {
    let fields = wanted.iter().enumerate().map(|(at, data_type)| {
        let data_type = data_type.clone().unwrap_or(DataType::Utf8);
        Field::new(format!("${}", at + 1), data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}
