//! What a statement gives, on its way to the client.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_pg::datatypes::arrow_schema_to_pg_fields;
use bytes::Bytes;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as Planned;
use datafusion::sql::sqlparser::ast::Statement;
use futures::{Sink, SinkExt};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::send_execution_response;
use pgwire::api::results::{FieldInfo, Tag};
use pgwire::api::stmt::StoredStatement;
use pgwire::api::store::{MemPortalStore, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use pgwire::messages::response::TransactionStatus;
use pgwire::messages::startup::ParameterStatus;
use pgwire::types::format::FormatOptions;

use super::copy::CopyForm;
use super::errors::Failure;
use super::names;
use super::prepared::Prepared;
use super::run::{Ends, Running, apart, encoded};
use super::session::{Context, Session};
use super::settings::Settings;
use super::statements::{Command, Cursor};
use crate::read_only;

/// The plan of a statement that reads.
pub(super) async fn planned(
    session: &Session,
    ends: &Ends,
    context: &Context,
    statement: &Statement,
) -> Result<LogicalPlan, Failure> {
    let state = context.ctx.state();
    let statement = Planned::Statement(Box::new(statement.clone()));
    let work = async move {
        let plan = state.statement_to_plan(statement).await?;
        read_only::checked(plan)
    };
    apart(&session.shared.app.runner, ends, work).await
}

/// Runs a plan.
pub(super) async fn started(
    session: &Session,
    ends: Ends,
    context: &Context,
    plan: LogicalPlan,
) -> Result<Running, Failure> {
    Running::start(&session.shared.app.runner, ends, &context.ctx, plan).await
}

/// The columns of an answer as a client is told of them.
pub(super) fn fields(
    schema: &Schema,
    format: &Format,
    settings: &Settings,
) -> PgWireResult<Arc<Vec<FieldInfo>>> {
    if let Format::Individual(codes) = format
        && codes.len() != schema.fields().len()
    {
        return Err(Failure::new(
            "08P01",
            format!(
                "bind message has {} result formats but the query has {} columns",
                codes.len(),
                schema.fields().len()
            ),
        )
        .into());
    }
    let texts = settings.formats().clone().into_iter().collect();
    let texts = Arc::new(FormatOptions::from_client_metadata(&texts));
    let named = schema.fields().iter().map(|field| {
        let name = names::shown(field.name());
        field.as_ref().clone().with_name(name)
    });
    let schema = Schema::new(named.collect::<Vec<_>>());
    let fields = arrow_schema_to_pg_fields(&schema, format, Some(texts))?;
    let fields = fields.into_iter().map(|field| {
        let size = type_size(field.datatype());
        field.with_type_size(size)
    });
    Ok(Arc::new(fields.collect()))
}

/// Bytes of a value, as `pg_type.typlen` has them: drivers make buffers of that size.
fn type_size(kind: &Type) -> i16 {
    match *kind {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        Type::NAME => 64,
        _ => -1,
    }
}

/// Sends up to `rows` rows; how many there were.
pub(super) async fn send_rows<C>(
    session: &Session,
    client: &mut C,
    running: &mut Running,
    fields: &Arc<Vec<FieldInfo>>,
    rows: Option<usize>,
) -> PgWireResult<usize>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let app = &session.shared.app;
    let mut sent = 0;
    while rows != Some(sent) {
        let left = rows.map(|rows| rows - sent);
        let Some(batch) = running.next(left).await? else {
            break;
        };
        sent += batch.num_rows();
        let encoded = encoded(&app.runner, running.ends(), fields, batch).await?;
        let bytes = encoded.iter().map(|row| row.data.len()).sum();
        running.count(bytes, app.limits.answer_bytes)?;
        let sending = async {
            for row in encoded {
                client.feed(PgWireBackendMessage::DataRow(row)).await?;
            }
            PgWireResult::Ok(())
        };
        running.ends().or(sending).await??;
    }
    Ok(sent)
}

/// `COPY … TO STDOUT`
pub(super) async fn copy_out<C>(
    session: &Session,
    client: &mut C,
    mut running: Running,
    form: &CopyForm,
) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let app = &session.shared.app;
    let format = if form.is_binary() {
        Format::UnifiedBinary
    } else {
        Format::UnifiedText
    };
    let fields = fields(running.schema(), &format, &session.settings().clone())?;
    let code = i16::from(form.is_binary());
    let columns = i16::try_from(fields.len()).map_err(|_| Failure::internal())?;
    let codes = vec![code; fields.len()];
    let response = CopyOutResponse::new(i8::from(form.is_binary()), columns, codes);
    client
        .send(PgWireBackendMessage::CopyOutResponse(response))
        .await?;
    let names: Vec<&str> = fields.iter().map(FieldInfo::name).collect();
    // What stands before the rows is not a message of its own in the binary form: psycopg would take it for a row.
    let mut start = form.start(&names);
    if !form.is_binary() {
        send_data(client, std::mem::take(&mut start)).await?;
    }
    let mut copied = 0;
    while let Some(batch) = running.next(None).await? {
        copied += batch.num_rows();
        let rows = encoded(&app.runner, running.ends(), &fields, batch).await?;
        let bytes = rows.iter().map(|row| row.data.len()).sum();
        running.count(bytes, app.limits.answer_bytes)?;
        let sending = async {
            for row in &rows {
                let row = form.row(row);
                let data = if start.is_empty() {
                    row
                } else {
                    Bytes::from([std::mem::take(&mut start), row].concat())
                };
                send_data(client, data).await?;
            }
            PgWireResult::Ok(())
        };
        running.ends().or(sending).await??;
    }
    send_data(client, Bytes::from([start, form.end()].concat())).await?;
    client
        .feed(PgWireBackendMessage::CopyDone(CopyDone::new()))
        .await?;
    send_execution_response(client, Tag::new("COPY").with_rows(copied)).await
}

async fn send_data<C>(client: &mut C, data: Bytes) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    if !data.is_empty() {
        client
            .feed(PgWireBackendMessage::CopyData(CopyData::new(data)))
            .await?;
    }
    Ok(())
}

/// In a transaction that failed nothing is done but to end it.
pub(super) fn check_transaction<C: ClientInfo>(
    client: &C,
    command: &Command,
) -> Result<(), Failure> {
    let ends = matches!(
        command,
        Command::Rollback | Command::RollbackTo | Command::Commit
    );
    if client.transaction_status() == TransactionStatus::Error && !ends {
        return Err(Failure::new(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block",
        ));
    }
    Ok(())
}

/// Does what has no rows: settings, transactions, cursors. The tag of what was done; none where it is a statement with
/// rows.
pub(super) async fn controlled<C>(
    session: &Session,
    client: &mut C,
    command: &Command,
) -> PgWireResult<Option<Tag>>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::PortalStore: PortalStore,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let before = session.settings().clone();
    let tag = match command {
        Command::Read(_) | Command::CopyOut(..) | Command::Show(_) | Command::ShowAll => {
            return Ok(None);
        }
        Command::Fetch { .. } => return Ok(None),
        Command::Set { assignments, local } => {
            session.set(*local, |settings| {
                assignments
                    .iter()
                    .try_for_each(|(name, value)| match value {
                        Some(value) => settings.set(name, value),
                        None => settings.reset(name),
                    })
            })?;
            "SET"
        }
        Command::ResetAll => {
            session.set(false, |settings| {
                settings.reset_all();
                Ok(())
            })?;
            "RESET"
        }
        Command::Begin | Command::Commit | Command::Rollback | Command::RollbackTo => {
            transaction(session, client, command).await
        }
        Command::Savepoint(tag) => {
            if !session.is_in_transaction() {
                let message = format!("{tag} can only be used in transaction blocks");
                return Err(Failure::new("25P01", message).into());
            }
            tag
        }
        Command::Declare(cursor) => {
            declare(session, client, cursor).await?;
            "DECLARE CURSOR"
        }
        Command::Close(name) => {
            close(session, client, name.as_deref()).await?;
            "CLOSE CURSOR"
        }
        Command::Deallocate(name) => {
            deallocate(client, name.as_deref())?;
            "DEALLOCATE"
        }
        Command::DiscardAll => {
            session.close(None).await;
            session.set(false, |settings| {
                settings.reset_all();
                Ok(())
            })?;
            "DISCARD ALL"
        }
        Command::Nothing(tag) => tag,
    };
    tell_changes(session, client, &before).await?;
    Ok(Some(Tag::new(tag)))
}

async fn transaction<C: ClientInfo>(
    session: &Session,
    client: &mut C,
    command: &Command,
) -> &'static str {
    let failed = client.transaction_status() == TransactionStatus::Error;
    match command {
        Command::Begin => {
            session.begin_transaction();
            client.set_transaction_status(TransactionStatus::Transaction);
            "BEGIN"
        }
        Command::RollbackTo => {
            if session.is_in_transaction() {
                client.set_transaction_status(TransactionStatus::Transaction);
            }
            "ROLLBACK"
        }
        other => {
            let commits = matches!(other, Command::Commit) && !failed;
            session.end_transaction(commits).await;
            client.set_transaction_status(TransactionStatus::Idle);
            if commits { "COMMIT" } else { "ROLLBACK" }
        }
    }
}

/// Tells the client of the settings that are not what they were.
pub(super) async fn tell_changes<C>(
    session: &Session,
    client: &mut C,
    before: &Settings,
) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let now = session.settings().clone();
    for (name, value) in now.reported() {
        if before.get(name).map(|(_, value)| value) != Some(value) {
            let status = ParameterStatus::new(name.to_owned(), value.to_owned());
            client
                .feed(PgWireBackendMessage::ParameterStatus(status))
                .await?;
        }
    }
    Ok(())
}

async fn declare<C>(session: &Session, client: &C, cursor: &Cursor) -> PgWireResult<()>
where
    C: ClientPortalStore + Sync,
    C::PortalStore: PortalStore,
{
    let Cursor { name, query, hold } = cursor;
    if !hold && !session.is_in_transaction() {
        return Err(Failure::new(
            "25P01",
            "DECLARE CURSOR can only be used in transaction blocks",
        )
        .into());
    }
    if session.open.lock().await.contains_key(name) {
        return Err(Failure::new("42P03", format!("cursor \"{name}\" already exists")).into());
    }
    let ends = session.next_statement();
    let context = session.context().await?;
    let plan = planned(session, &ends, &context, query).await?;
    let running = started(session, ends, &context, plan).await?;
    // A client may ask what columns a cursor has, by its name.
    let prepared = Prepared::of_cursor(name, running.schema());
    let statement = StoredStatement::new(name.clone(), prepared, Vec::new());
    let portal = Portal::new_cursor(name.clone(), Arc::new(statement));
    store(client)?.put_portal(Arc::new(portal));
    session.keep(name, running, *hold).await?;
    Ok(())
}

async fn close<C>(session: &Session, client: &C, name: Option<&str>) -> PgWireResult<()>
where
    C: ClientPortalStore + Sync,
    C::PortalStore: PortalStore,
{
    match name {
        Some(name) => {
            if !session.open.lock().await.contains_key(name) {
                return Err(no_cursor(name).into());
            }
            store(client)?.rm_portal(name);
        }
        None => store(client)?.clear_portals(),
    }
    session.close(name).await;
    Ok(())
}

fn deallocate<C>(client: &C, name: Option<&str>) -> PgWireResult<()>
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    // All of them cannot be named: those that a driver made it closes itself.
    if let Some(name) = name {
        let store = store(client)?;
        if store.get_statement(name).is_none() {
            let message = format!("prepared statement \"{name}\" does not exist");
            return Err(Failure::new("26000", message).into());
        }
        store.rm_statement(name);
    }
    Ok(())
}

pub(super) fn no_cursor(name: &str) -> Failure {
    Failure::new("34000", format!("cursor \"{name}\" does not exist"))
}

/// The statements and portals of the connection, of which each protocol knows its own half only.
pub(super) fn store<C>(client: &C) -> Result<&MemPortalStore<Prepared>, Failure>
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    client
        .portal_store()
        .as_any()
        .downcast_ref()
        .ok_or_else(Failure::internal)
}

/// The rows of `SHOW`.
pub(super) fn shown(
    settings: &Settings,
    command: &Command,
) -> Result<Option<RecordBatch>, Failure> {
    let batch = |columns: Vec<(String, Vec<String>)>| {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, _)| Field::new(name, DataType::Utf8, false))
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let values = columns
            .into_iter()
            .map(|(_, values)| Arc::new(StringArray::from(values)) as ArrayRef);
        RecordBatch::try_new(schema, values.collect()).map_err(|_| Failure::internal())
    };
    match command {
        Command::Show(name) => {
            let (name, value) = settings.show(name)?;
            batch(vec![(name, vec![value.to_owned()])]).map(Some)
        }
        Command::ShowAll => {
            let (names, values): (Vec<String>, Vec<String>) = settings
                .all()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .unzip();
            let remarks = vec![String::new(); names.len()];
            batch(vec![
                ("name".to_owned(), names),
                ("setting".to_owned(), values),
                ("description".to_owned(), remarks),
            ])
            .map(Some)
        }
        _ => Ok(None),
    }
}
