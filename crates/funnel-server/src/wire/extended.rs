//! The extended protocol: statements that are prepared, bound and read in parts.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use futures::{Sink, SinkExt};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, send_execution_response};
use pgwire::api::results::{DescribePortalResponse, DescribeStatementResponse, Response, Tag};
use pgwire::api::stmt::StoredStatement;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete, PortalSuspended,
    Sync as PgSync, TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery};

use super::answers::{
    check_transaction, controlled, copy_out, fields, no_cursor, planned, send_rows, shown, started,
};
use super::dialect;
use super::errors::Failure;
use super::parameters;
use super::prepared::{Prepared, Unused, is_same, parameters_of, statement_of, with_statement};
use super::run::{Ends, Running};
use super::session::{Context, Session};
use super::statements::{Command, parse};
use crate::placeholders;

/// Statements that one connection may have prepared.
const STATEMENTS_MAX: usize = 1000;

pub(super) struct Extended(pub(super) Arc<Session>);

#[async_trait]
impl ExtendedQueryHandler for Extended {
    type Statement = Prepared;
    type QueryParser = Unused;

    fn query_parser(&self) -> Arc<Unused> {
        Arc::new(Unused)
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let said: Vec<Option<Type>> = message
            .type_oids
            .iter()
            .map(|oid| Type::from_oid(*oid))
            .collect();
        let mut commands = parse(&message.query)?;
        if commands.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(Failure::new("42601", message).into());
        }
        match commands.pop() {
            None => client.portal_store().put_empty_statement(&name),
            Some(command) => {
                check_transaction(client, &command)?;
                self.0.count_statement(&name, STATEMENTS_MAX)?;
                let prepared = self.prepared(command, &said).await?;
                let types = prepared.parameters.iter();
                let types = types
                    .map(|parameter| Some(parameter.wire.clone()))
                    .collect();
                let statement = StoredStatement::new(name, prepared, types);
                client.portal_store().put_statement(Arc::new(statement));
            }
        }
        let done = PgWireBackendMessage::ParseComplete(ParseComplete::new());
        Ok(client.feed(done).await?)
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let entry = client.portal_store().get_statement(statement);
        let entry = entry.ok_or_else(|| no_statement(statement))?;
        self.0.close(Some(name)).await;
        let wanted = entry
            .value()
            .map_or(0, |known| known.statement.parameters.len());
        let (given, formats) = (
            message.parameters.len(),
            message.parameter_format_codes.len(),
        );
        if given != wanted || (formats > 1 && formats != given) {
            let message = format!(
                "bind message supplies {given} parameters and {formats} formats, but the prepared statement \
                 requires {wanted} parameters"
            );
            return Err(Failure::new("08P01", message).into());
        }
        match entry {
            Entry::Value(statement) => {
                let mut portal = Portal::try_new(&message, statement)?;
                if portal.statement.statement.is_sample {
                    self.bind_values(&mut portal).await?;
                }
                client.portal_store().put_portal(Arc::new(portal));
            }
            Entry::Empty => client.portal_store().put_empty_portal(name),
        }
        let done = PgWireBackendMessage::BindComplete(BindComplete::new());
        Ok(client.feed(done).await?)
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let rows = usize::try_from(message.max_rows)
            .ok()
            .filter(|rows| *rows > 0);
        match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => {
                check_transaction(client, &portal.statement.statement.command)?;
                client.set_state(PgWireConnectionState::QueryInProgress);
                self.execute(client, &portal, name, rows).await?;
                client.set_state(PgWireConnectionState::ReadyForQuery);
                Ok(())
            }
            Some(Entry::Empty) => {
                let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
                Ok(client.feed(empty).await?)
            }
            None => Err(no_portal(name).into()),
        }
    }

    async fn on_sync<C>(&self, client: &mut C, _message: PgSync) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Without a transaction each Sync is the end of one.
        if !self.0.is_in_transaction() {
            client.portal_store().rm_portal(DEFAULT_NAME);
            self.0.close_portals().await;
        }
        let ready = ReadyForQuery::new(client.transaction_status());
        client
            .send(PgWireBackendMessage::ReadyForQuery(ready))
            .await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                client.portal_store().rm_statement(name);
                self.0.forget_statement(name);
            }
            TARGET_TYPE_BYTE_PORTAL => {
                client.portal_store().rm_portal(name);
                self.0.close(Some(name)).await;
            }
            other => return Err(PgWireError::InvalidTargetType(other)),
        }
        let done = PgWireBackendMessage::CloseComplete(CloseComplete::new());
        Ok(client.feed(done).await?)
    }

    async fn do_describe_statement<C>(
        &self,
        _client: &mut C,
        target: &StoredStatement<Prepared>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let parameters = target.statement.parameters.iter();
        let types = parameters.map(|parameter| parameter.wire.clone()).collect();
        let columns = target.statement.columns(&self.0, &Format::UnifiedText)?;
        Ok(DescribeStatementResponse::new(
            types,
            columns.unwrap_or_default(),
        ))
    }

    async fn do_describe_portal<C>(
        &self,
        _client: &mut C,
        target: &Portal<Prepared>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &target.statement.statement;
        let columns = prepared.columns(&self.0, &target.result_column_format)?;
        Ok(DescribePortalResponse::new(columns.unwrap_or_default()))
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &Portal<Prepared>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // `on_execute` answers by itself.
        Err(Failure::internal().into())
    }
}

impl Extended {
    async fn prepared(&self, command: Command, said: &[Option<Type>]) -> PgWireResult<Prepared> {
        let session = &self.0;
        let mut prepared = Prepared {
            command: Arc::new(command),
            schema: None,
            plan: None,
            parameters: Arc::default(),
            is_sample: false,
        };
        let command = Arc::clone(&prepared.command);
        match command.as_ref() {
            Command::Read(statement) | Command::CopyOut(statement, _) => {
                let ends = session.next_statement();
                let context = session.context().await?;
                let typed = dialect::with_lists(statement, said);
                let statement = typed.as_ref().unwrap_or(statement);
                let sampled = placeholders::sampled(statement);
                prepared.is_sample = sampled.is_some();
                let planning = sampled.as_ref().unwrap_or(statement);
                let plan = planned(session, &ends, &context, planning).await?;
                let said = &parameters_of(statement, said);
                prepared.parameters = Arc::new(parameters::of(&plan, said)?);
                prepared.schema = Some(Arc::clone(plan.schema().inner()));
                prepared.plan = Some((plan, context));
                if let Some(typed) = typed {
                    prepared.command = Arc::new(with_statement(&command, typed)?);
                }
            }
            Command::Declare(cursor) => {
                let ends = session.next_statement();
                let context = session.context().await?;
                let plan = planned(session, &ends, &context, &cursor.query).await?;
                prepared.parameters = Arc::new(parameters::of(&plan, said)?);
            }
            Command::Fetch { cursor, .. } => {
                let open = session.open.lock().await;
                let running = open.get(cursor).ok_or_else(|| no_cursor(cursor))?;
                prepared.schema = Some(Arc::clone(running.schema()));
            }
            shows => {
                let settings = session.settings().clone();
                prepared.schema = shown(&settings, shows)?.map(|batch| batch.schema());
            }
        }
        Ok(prepared)
    }

    /// Puts the values of a portal into its statement.
    async fn bind_values(&self, portal: &mut Portal<Prepared>) -> PgWireResult<()> {
        let prepared = &portal.statement.statement;
        let values = parameters::values(portal, &prepared.parameters)?;
        let bound = placeholders::bound(statement_of(&prepared.command)?, &values)?;
        let command = with_statement(&prepared.command, bound)?;
        let prepared = self.prepared(command, &[]).await?;
        let statement = StoredStatement::new(portal.statement.id.clone(), prepared, Vec::new());
        portal.statement = Arc::new(statement);
        portal.parameters.clear();
        Ok(())
    }

    async fn execute<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        name: &str,
        rows: Option<usize>,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = &self.0;
        let prepared = &portal.statement.statement;
        let mut command = Arc::clone(&prepared.command);
        if let Command::Declare(cursor) = command.as_ref()
            && !prepared.parameters.is_empty()
        {
            let values = parameters::values(portal, &prepared.parameters)?;
            let bound = placeholders::bound(&cursor.query, &values)?;
            command = Arc::new(with_statement(&command, bound)?);
        }
        if let Some(tag) = controlled(session, client, &command).await? {
            return send_execution_response(client, tag).await;
        }
        if let Command::Fetch { cursor, rows } = command.as_ref() {
            let mut open = session.open.lock().await;
            let running = open.get_mut(cursor).ok_or_else(|| no_cursor(cursor))?;
            running.read_by(session.next_cancel());
            let fetched = self.rows(client, running, portal, *rows).await?;
            return send_execution_response(client, Tag::new("FETCH").with_rows(fetched)).await;
        }
        let begun = session.open.lock().await.remove(name);
        let mut running = match begun {
            Some(mut running) => {
                running.read_by(session.next_cancel());
                running
            }
            None => self.start(portal).await?,
        };
        if let Command::CopyOut(_, form) = command.as_ref() {
            return copy_out(session, client, running, form).await;
        }
        let sent = self.rows(client, &mut running, portal, rows).await?;
        // What was read to its end is kept too, so that it is not run once more.
        session.keep(name, running, false).await?;
        if rows == Some(sent) {
            let suspended = PgWireBackendMessage::PortalSuspended(PortalSuspended::new());
            return Ok(client.feed(suspended).await?);
        }
        let tag = match command.as_ref() {
            Command::Read(_) => Tag::new("SELECT").with_rows(sent),
            _ => Tag::new("SHOW"),
        };
        send_execution_response(client, tag).await
    }

    /// Runs the statement of a portal with its parameters, over the lake as it is now.
    async fn start(&self, portal: &Portal<Prepared>) -> PgWireResult<Running> {
        let session = &self.0;
        let prepared = &portal.statement.statement;
        let ends = session.next_statement();
        let settings = session.settings().clone();
        if let Some(batch) = shown(&settings, &prepared.command)? {
            return Ok(Running::of(batch, ends));
        }
        let context = session.context().await?;
        let plan = self.current(&ends, prepared, &context).await?;
        let values = parameters::values(portal, &prepared.parameters)?;
        let values = ParamValues::from(values);
        let plan = plan
            .replace_params_with_values(&values)
            .map_err(Failure::from)?;
        Ok(started(session, ends, &context, plan).await?)
    }

    /// The plan over the state of the lake that the session sees now.
    async fn current(
        &self,
        ends: &Ends,
        prepared: &Prepared,
        context: &Context,
    ) -> PgWireResult<LogicalPlan> {
        if let Some((plan, made)) = &prepared.plan
            && made.is_like(context)
        {
            return Ok(plan.clone());
        }
        let statement = statement_of(&prepared.command)?;
        let plan = planned(&self.0, ends, context, statement).await?;
        let known = prepared.schema.as_deref();
        if known.is_some_and(|known| !is_same(known, plan.schema().as_arrow())) {
            return Err(Failure::unsupported("cached plan must not change result type").into());
        }
        Ok(plan)
    }

    async fn rows<C>(
        &self,
        client: &mut C,
        running: &mut Running,
        portal: &Portal<Prepared>,
        rows: Option<usize>,
    ) -> PgWireResult<usize>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let settings = self.0.settings().clone();
        let fields = fields(running.schema(), &portal.result_column_format, &settings)?;
        send_rows(&self.0, client, running, &fields, rows).await
    }
}

fn no_statement(name: &str) -> Failure {
    let name = if name == DEFAULT_NAME { "" } else { name };
    Failure::new(
        "26000",
        format!("prepared statement \"{name}\" does not exist"),
    )
}

fn no_portal(name: &str) -> Failure {
    let name = if name == DEFAULT_NAME { "" } else { name };
    Failure::new("34000", format!("portal \"{name}\" does not exist"))
}
