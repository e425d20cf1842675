//! A statement that was prepared: what it asks for, its columns, its parameters.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;

use super::answers::fields;
use super::errors::Failure;
use super::parameters::Parameter;
use super::session::{Context, Session};
use super::statements::{Command, Cursor};
use crate::placeholders;

/// A statement that was prepared.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) command: Arc<Command>,
    /// The columns of its rows, if it has any.
    pub(super) schema: Option<SchemaRef>,
    pub(super) plan: Option<(LogicalPlan, Context)>,
    pub(super) parameters: Arc<Vec<Parameter>>,
    /// The plan has samples where parameters are arguments of a table function: it is made anew with their values.
    pub(super) is_sample: bool,
}

impl Prepared {
    /// What stands for a cursor, so that its columns can be asked for by its name.
    pub(super) fn of_cursor(name: &str, schema: &SchemaRef) -> Self {
        let fetch = Command::Fetch {
            cursor: name.to_owned(),
            rows: None,
        };
        Self {
            command: Arc::new(fetch),
            schema: Some(Arc::clone(schema)),
            plan: None,
            parameters: Arc::default(),
            is_sample: false,
        }
    }

    pub(super) fn columns(
        &self,
        session: &Session,
        format: &Format,
    ) -> PgWireResult<Option<Vec<FieldInfo>>> {
        let Some(schema) = &self.schema else {
            return Ok(None);
        };
        if matches!(self.command.as_ref(), Command::CopyOut(..)) {
            return Ok(None);
        }
        let settings = session.settings().clone();
        let fields = fields(schema, format, &settings)?;
        Ok(Some(fields.as_ref().clone()))
    }
}

/// The statement that is planned.
pub(super) fn statement_of(command: &Command) -> Result<&Statement, Failure> {
    match command {
        Command::Read(statement) | Command::CopyOut(statement, _) => Ok(statement),
        Command::Declare(cursor) => Ok(&cursor.query),
        _ => Err(Failure::internal()),
    }
}

/// The command with another statement.
pub(super) fn with_statement(command: &Command, statement: Statement) -> Result<Command, Failure> {
    Ok(match command {
        Command::Read(_) => Command::Read(Box::new(statement)),
        Command::CopyOut(_, form) => Command::CopyOut(Box::new(statement), form.clone()),
        Command::Declare(cursor) => Command::Declare(Box::new(Cursor {
            query: statement,
            ..cursor.as_ref().clone()
        })),
        _ => return Err(Failure::internal()),
    })
}

/// What the client said of each parameter; those that no plan tells of count too.
pub(super) fn parameters_of(statement: &Statement, said: &[Option<Type>]) -> Vec<Option<Type>> {
    let mut said = said.to_vec();
    said.resize(said.len().max(placeholders::highest(statement)), None);
    said
}

/// Do rows of both look the same to a client?
pub(super) fn is_same(one: &Schema, other: &Schema) -> bool {
    let columns = |schema: &Schema| -> Vec<_> {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    columns(one) == columns(other)
}

/// The library asks for one; statements are prepared by `Extended` itself, which knows the cursors too.
pub(super) struct Unused;

#[async_trait]
impl QueryParser for Unused {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        _sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Err(Failure::internal().into())
    }

    fn get_parameter_types(&self, _statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(Vec::new())
    }

    fn get_result_schema(
        &self,
        _statement: &Prepared,
        _format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        Ok(Vec::new())
    }
}
