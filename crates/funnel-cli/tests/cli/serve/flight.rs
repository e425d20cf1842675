//! Arrow Flight SQL from outside, by the client of `arrow-flight`.

mod ends;
mod hostile;
mod metadata;
mod rows;
mod sight;

use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightInfo, Ticket};
use futures::TryStreamExt;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::Service;

type Client = FlightSqlServiceClient<Channel>;

/// Runs longer than any test waits.
const ENDLESS: &str = "SELECT count(*) FROM events AS a, events AS b, events AS c, events AS d \
                       WHERE a.event_time < d.event_time";
/// More rows than any test reads.
const MANY: &str = "SELECT a.value FROM range(0, 1000000) AS a, range(0, 1000000) AS b";
/// No answer takes so long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

fn endpoint(service: &Service) -> Endpoint {
    let address = format!("http://{}", service.flight);
    Endpoint::from_shared(address).unwrap()
}

pub(super) async fn connect(service: &Service) -> Client {
    Client::new(endpoint(service).connect().await.unwrap())
}

async fn connect_as(service: &Service, token: &str) -> Client {
    let mut client = connect(service).await;
    client.set_token(token.to_owned());
    client
}

/// What the server answered instead.
#[track_caller]
pub(super) fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => panic!("not an answer of the server: {other:?}"),
    }
}

/// The ticket for the rows.
fn ticket(info: &FlightInfo) -> Ticket {
    assert_eq!(info.endpoint.len(), 1, "{info:?}");
    assert!(info.endpoint[0].location.is_empty(), "{info:?}");
    info.endpoint[0].ticket.clone().unwrap()
}

async fn got(client: &mut Client, ticket: Ticket) -> Result<RecordBatch, Status> {
    let mut stream = client.do_get(ticket).await.map_err(status)?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await.map_err(status)? {
        batches.push(batch);
    }
    let schema = stream.schema().expect("a schema, also without rows");
    Ok(concat_batches(schema, &batches).unwrap())
}

/// The rows that were announced, with the columns that were.
async fn fetched(client: &mut Client, info: FlightInfo) -> Result<RecordBatch, Status> {
    let rows = got(client, ticket(&info)).await?;
    assert_eq!(*rows.schema(), info.try_decode_schema().unwrap());
    Ok(rows)
}

async fn query(client: &mut Client, sql: &str) -> Result<RecordBatch, Status> {
    let info = client.execute(sql.to_owned(), None).await;
    fetched(client, info.map_err(status)?).await
}

/// The first column of the rows.
pub(super) async fn texts(client: &mut Client, sql: &str) -> Vec<String> {
    let rows = query(client, sql).await;
    first(&rows.unwrap_or_else(|error| panic!("{sql}\n{error:?}")))
}

fn first(rows: &RecordBatch) -> Vec<String> {
    let column = cast(rows.column(0), &DataType::Utf8).unwrap();
    let column = column.as_string::<i32>();
    let text = |value: Option<&str>| value.unwrap_or("NULL").to_owned();
    column.iter().map(text).collect()
}

/// Why a statement was refused.
async fn refusal(client: &mut Client, sql: &str) -> Status {
    match query(client, sql).await {
        Ok(found) => panic!("{sql} was not refused: {found:?}"),
        Err(status) => status,
    }
}
