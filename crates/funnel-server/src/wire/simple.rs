//! The simple protocol: a text with statements, answered one after the other.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::copy::CopyHandler;
use pgwire::api::portal::Format;
use pgwire::api::query::{SimpleQueryHandler, send_execution_response, send_ready_for_query};
use pgwire::api::results::{Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::{CopyData, CopyDone};
use pgwire::messages::data::RowDescription;
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::simplequery::Query;

use super::answers::{
    check_transaction, controlled, copy_out, fields, no_cursor, planned, send_rows, shown, started,
};
use super::errors::Failure;
use super::run::Running;
use super::session::Session;
use super::statements::{Command, parse};

pub(super) struct Simple(pub(super) Arc<Session>);

#[async_trait]
impl SimpleQueryHandler for Simple {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let commands = parse(&query.query)?;
        if commands.is_empty() {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            client.feed(empty).await?;
        }
        for command in commands {
            self.answer(client, command).await?;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // `on_query` answers by itself, statement by statement.
        Err(Failure::internal().into())
    }
}

impl Simple {
    async fn answer<C>(&self, client: &mut C, command: Command) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = &self.0;
        check_transaction(client, &command)?;
        if let Some(tag) = controlled(session, client, &command).await? {
            return send_execution_response(client, tag).await;
        }
        if let Command::Fetch { cursor, rows } = &command {
            let mut open = session.open.lock().await;
            let running = open.get_mut(cursor).ok_or_else(|| no_cursor(cursor))?;
            running.read_by(session.next_cancel());
            let fetched = self.rows(client, running, *rows).await?;
            return send_execution_response(client, Tag::new("FETCH").with_rows(fetched)).await;
        }
        let ends = session.next_statement();
        let settings = session.settings().clone();
        if let Some(batch) = shown(&settings, &command)? {
            let mut running = Running::of(batch, ends);
            self.rows(client, &mut running, None).await?;
            return send_execution_response(client, Tag::new("SHOW")).await;
        }
        let (Command::Read(statement) | Command::CopyOut(statement, _)) = &command else {
            return Err(Failure::internal().into());
        };
        let context = session.context().await?;
        let plan = planned(session, &ends, &context, statement).await?;
        let mut running = started(session, ends, &context, plan).await?;
        if let Command::CopyOut(_, form) = &command {
            return copy_out(session, client, running, form).await;
        }
        let rows = self.rows(client, &mut running, None).await?;
        send_execution_response(client, Tag::new("SELECT").with_rows(rows)).await
    }

    /// Columns and rows.
    async fn rows<C>(
        &self,
        client: &mut C,
        running: &mut Running,
        rows: Option<usize>,
    ) -> PgWireResult<usize>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let settings = self.0.settings().clone();
        let fields = fields(running.schema(), &Format::UnifiedText, &settings)?;
        let columns = RowDescription::new(fields.iter().map(Into::into).collect());
        client
            .feed(PgWireBackendMessage::RowDescription(columns))
            .await?;
        send_rows(&self.0, client, running, &fields, rows).await
    }
}

/// Nothing comes in by `COPY`.
pub(super) struct NoCopyIn;

#[async_trait]
impl CopyHandler for NoCopyIn {
    async fn on_copy_data<C>(&self, _client: &mut C, _data: CopyData) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(Failure::read_only("COPY FROM").into())
    }

    async fn on_copy_done<C>(&self, _client: &mut C, _done: CopyDone) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(Failure::read_only("COPY FROM").into())
    }
}
