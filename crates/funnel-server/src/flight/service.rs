//! What is called, and who answers it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command,
    DoPutPreparedStatementResult, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo,
    HandshakeRequest, HandshakeResponse, IpcMessage, PollInfo, PutResult, Result as Outcome,
    SchemaAsIpc, SchemaResult, Ticket,
};
use bytes::Bytes;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::access::Secret;
use super::rows::{self, Messages, nullable, sent_as};
use super::statement::{Asked, Described};
use super::{metadata, values};
use crate::App;
use crate::access::Caller;
use crate::failure::Failure;
use crate::running::{Ends, Running, apart};

/// The actions of Flight SQL that are known here.
const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// Answers calls. What the caller may not see is in no session that is made here.
#[derive(Debug)]
pub(super) struct Service {
    app: Arc<App>,
}

/// What a command asks for.
enum Wanted {
    Rows(Asked),
    Table(RecordBatch),
}

impl Service {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// The next statement.
    fn ends(&self) -> Ends {
        Ends::new(CancellationToken::new(), self.app.runner.time())
    }

    /// The session of whoever calls, over the newest state of the lake.
    async fn session(&self, extensions: &Extensions) -> Result<SessionContext, Failure> {
        let caller = extensions.get::<Caller>().ok_or_else(Failure::internal)?;
        let snapshot = self.app.snapshots.get(&caller.sight).await?;
        Ok(snapshot.session.ctx().clone())
    }

    /// What a command asks for; refused if it would write.
    async fn wanted(
        &self,
        command: Command,
        ends: &Ends,
        ctx: &SessionContext,
    ) -> Result<Wanted, Failure> {
        match command {
            Command::CommandStatementQuery(query) => Ok(Wanted::Rows(Asked::of(query.query))),
            Command::CommandPreparedStatementQuery(query) => {
                let asked = Asked::read(&query.prepared_statement_handle)?;
                Ok(Wanted::Rows(asked))
            }
            Command::TicketStatementQuery(ticket) => {
                Ok(Wanted::Rows(Asked::read(&ticket.statement_handle)?))
            }
            command => {
                let refusal = refusal(&command);
                let ctx = ctx.clone();
                let table = async move { metadata::table(&ctx, command).await };
                let table = apart(&self.app.runner, ends, table).await?;
                table.map(Wanted::Table).ok_or(refusal)
            }
        }
    }

    /// The columns of what a command asks for, and the ticket that gives its rows.
    async fn info(
        &self,
        descriptor: &FlightDescriptor,
        extensions: &Extensions,
    ) -> Result<(SchemaRef, Ticket), Failure> {
        let (ends, ctx) = (self.ends(), self.session(extensions).await?);
        let command = command(&descriptor.cmd)?;
        match self.wanted(command, &ends, &ctx).await? {
            Wanted::Table(table) => Ok((table.schema(), Ticket::new(descriptor.cmd.clone()))),
            Wanted::Rows(asked) => {
                let described = self.described(&asked, &ends, &ctx).await?;
                let ticket = TicketStatementQuery {
                    statement_handle: asked.to_bytes(),
                };
                let ticket = Ticket::new(ticket.as_any().encode_to_vec());
                Ok((sent_as(&nullable(&described.columns)), ticket))
            }
        }
    }

    async fn described(
        &self,
        asked: &Asked,
        ends: &Ends,
        ctx: &SessionContext,
    ) -> Result<Described, Failure> {
        let (state, asked) = (ctx.state(), asked.clone());
        let limit = self.app.limits.request_bytes;
        let work = async move { asked.described(&state, limit).await };
        apart(&self.app.runner, ends, work).await
    }

    async fn rows(&self, ticket: &Ticket, extensions: &Extensions) -> Result<Messages, Failure> {
        let (ends, ctx) = (self.ends(), self.session(extensions).await?);
        let command = command(&ticket.ticket)?;
        let asked = match self.wanted(command, &ends, &ctx).await? {
            Wanted::Table(table) => return Ok(rows::of_table(table)),
            Wanted::Rows(asked) => asked,
        };
        let (state, limit) = (ctx.state(), self.app.limits.request_bytes);
        let work = async move { asked.plan(&state, limit).await };
        let runner = &self.app.runner;
        let plan = apart(runner, &ends, work).await?;
        let running = Running::start(runner, ends, &ctx, plan).await?;
        rows::of_query(runner, running)
    }

    async fn prepared(
        &self,
        action: &Action,
        extensions: &Extensions,
    ) -> Result<ActionCreatePreparedStatementResult, Failure> {
        let request = any(&action.body)?.unpack::<ActionCreatePreparedStatementRequest>();
        let request = request.map_err(|_| unreadable())?.ok_or_else(unreadable)?;
        let (ends, ctx) = (self.ends(), self.session(extensions).await?);
        let asked = Asked::of(request.query);
        let described = self.described(&asked, &ends, &ctx).await?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: asked.to_bytes(),
            dataset_schema: bytes_of(&sent_as(&nullable(&described.columns)))?,
            parameter_schema: bytes_of(&described.parameters)?,
        })
    }

    /// Binds values: they go into the handle.
    async fn bound(&self, mut sent: Streaming<FlightData>) -> Result<Bytes, Status> {
        let first = sent.message().await?.ok_or_else(unreadable)?;
        let descriptor = first.flight_descriptor.as_ref().ok_or_else(unreadable)?;
        let mut asked = match command(&descriptor.cmd)? {
            Command::CommandPreparedStatementQuery(query) => {
                Asked::read(&query.prepared_statement_handle)?
            }
            other => return Err(refusal(&other).into()),
        };
        let limit = self.app.limits.request_bytes;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(message) = next {
            bytes += message.data_header.len() + message.data_body.len();
            if bytes > limit {
                let message = format!("the values have more than {limit} bytes");
                return Err(Failure::new("54000", message).into());
            }
            messages.push(message);
            next = sent.message().await?;
        }
        asked.values = apart(&self.app.runner, &self.ends(), values::bound(messages)).await?;
        Ok(asked.to_bytes())
    }
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Messages;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<Outcome>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    /// Who came with a name and a secret goes on with the secret as a token.
    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let secret = request.extensions().get::<Secret>();
        let secret = secret
            .map(|Secret(secret)| secret.clone())
            .unwrap_or_default();
        let mut response = Response::new(stream::empty().boxed());
        if let Ok(value) = format!("Bearer {secret}").parse() {
            response.metadata_mut().insert("authorization", value);
        }
        Ok(response)
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let (_, extensions, descriptor) = request.into_parts();
        let (schema, ticket) = self.info(&descriptor, &extensions).await?;
        let info = FlightInfo::new()
            .try_with_schema(&schema)
            .map_err(|error| unsendable(&error))?
            .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
            .with_descriptor(descriptor);
        Ok(Response::new(info))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let (_, extensions, descriptor) = request.into_parts();
        let (schema, _) = self.info(&descriptor, &extensions).await?;
        let schema = bytes_of(&schema)?;
        Ok(Response::new(SchemaResult { schema }))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let (_, extensions, ticket) = request.into_parts();
        let rows = self.rows(&ticket, &extensions).await?;
        Ok(Response::new(rows))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let handle = self.bound(request.into_inner()).await?;
        let result = DoPutPreparedStatementResult {
            prepared_statement_handle: Some(handle),
        };
        let result = PutResult {
            app_metadata: result.encode_to_vec().into(),
        };
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let (_, extensions, action) = request.into_parts();
        match action.r#type.as_str() {
            CREATE_PREPARED_STATEMENT => {
                let result = self.prepared(&action, &extensions).await?;
                let body = result.as_any().encode_to_vec().into();
                Ok(Response::new(stream::iter([Ok(Outcome { body })]).boxed()))
            }
            // The server keeps none.
            CLOSE_PREPARED_STATEMENT => Ok(Response::new(stream::empty().boxed())),
            other => Err(Failure::unsupported(format!(
                "the action {other} is not known here: statements are read, without transactions; who \
                 wants no more rows ends the stream"
            ))
            .into()),
        }
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = [
            (CREATE_PREPARED_STATEMENT, "Prepares a statement"),
            (CLOSE_PREPARED_STATEMENT, "Forgets a prepared statement"),
        ];
        let actions = actions.map(|(name, description)| {
            Ok(ActionType {
                r#type: name.to_owned(),
                description: description.to_owned(),
            })
        });
        Ok(Response::new(stream::iter(actions).boxed()))
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(only_sql("ListFlights"))
    }

    async fn poll_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(only_sql("PollFlightInfo"))
    }

    async fn do_exchange(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(only_sql("DoExchange"))
    }
}

fn only_sql(call: &str) -> Status {
    Status::unimplemented(format!(
        "{call} is not known here: the server answers Flight SQL"
    ))
}

fn any(bytes: &[u8]) -> Result<Any, Failure> {
    Any::decode(bytes).map_err(|_| unreadable())
}

fn command(bytes: &[u8]) -> Result<Command, Failure> {
    Command::try_from(any(bytes)?).map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    Failure::new("08P01", "the call has no command of Flight SQL in it")
}

/// Why a command is not answered.
fn refusal(command: &Command) -> Failure {
    match command {
        Command::CommandStatementUpdate(_) | Command::CommandPreparedStatementUpdate(_) => {
            Failure::read_only("an update")
        }
        Command::CommandStatementIngest(_) => Failure::read_only("an ingestion"),
        Command::CommandStatementSubstraitPlan(_) => {
            Failure::unsupported("plans of Substrait are not known here: send SQL")
        }
        other => {
            let name = other.type_url().rsplit(['.', '/']).next();
            Failure::unsupported(format!(
                "the command {} is not known here",
                name.unwrap_or_default()
            ))
        }
    }
}

fn bytes_of(schema: &Schema) -> Result<Bytes, Failure> {
    let message: Result<IpcMessage, _> =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    match message {
        Ok(IpcMessage(bytes)) => Ok(bytes),
        Err(error) => Err(unsendable(&error)),
    }
}

fn unsendable(error: &ArrowError) -> Failure {
    tracing::error!(%error, "a schema could not be sent");
    Failure::internal()
}
