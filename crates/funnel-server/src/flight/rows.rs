//! The rows of a query on their way out: encoded where the query runs, and sent as the client reads them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::encode::{FlightDataEncoder, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use funnel_query::format::{Nested, Prepare};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tonic::Status;

use crate::failure::Failure;
use crate::runner::Runner;
use crate::running::Running;

/// What a call answers with.
pub(super) type Messages = BoxStream<'static, Result<FlightData, Status>>;

/// Messages that wait to be sent.
const MESSAGES_AHEAD: usize = 1;

/// The columns as they are sent: times in UTC, plain values, as in the other forms of Arrow.
pub(super) fn sent_as(schema: &SchemaRef) -> SchemaRef {
    let schema = Arc::clone(Prepare::new(schema, Nested::Keep).schema());
    let encoder = encoder(Arc::clone(&schema), stream::empty());
    encoder.known_schema().unwrap_or(schema)
}

/// The columns of a query, any of which may have no value: a plan may promise one where its rows have none.
pub(super) fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn encoder(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> FlightDataEncoder {
    FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches)
}

/// The rows of a table that is known already.
pub(super) fn of_table(table: RecordBatch) -> Messages {
    let messages = encoder(table.schema(), stream::iter([Ok(table)]));
    messages.map_err(Status::from).boxed()
}

/// The rows of a query, however many: a few batches are held at a time. It ends with the stream: when the client goes, or is
/// not there to read in time.
pub(super) fn of_query(runner: &Runner, running: Running) -> Result<Messages, Failure> {
    let (send, messages) = mpsc::channel(MESSAGES_AHEAD);
    let work = sent(running, send);
    let task = runner.spawn(work).ok_or_else(Failure::stopping)?;
    let messages = stream::unfold(Some((messages, task)), |sending| async move {
        let (mut messages, task) = sending?;
        if let Some(message) = messages.recv().await {
            return Some((message, Some((messages, task))));
        }
        // What breaks off is not taken for the end.
        let failed = task.await.err()?;
        tracing::error!(error = %failed, "rows could not be encoded");
        Some((Err(Failure::internal().into()), None))
    });
    Ok(messages.boxed())
}

async fn sent(running: Running, send: mpsc::Sender<Result<FlightData, Status>>) {
    let ends = running.ends().clone();
    let ended = ends.or(encoded(running, &send)).await;
    // The query has given its place back. A client that still reads is told why.
    if let Err(status) = ended.map_err(Status::from).flatten() {
        drop(send.send(Err(status)).await);
    }
}

async fn encoded(
    running: Running,
    send: &mpsc::Sender<Result<FlightData, Status>>,
) -> Result<(), Status> {
    let prepare = Prepare::new(&nullable(running.schema()), Nested::Keep);
    let schema = Arc::clone(prepare.schema());
    let mut messages = encoder(schema, batches(running, prepare));
    while let Some(message) = messages.next().await {
        if send.send(Ok(message?)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn batches(
    running: Running,
    prepare: Prepare,
) -> impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static {
    stream::try_unfold((running, prepare), |(mut running, prepare)| async move {
        let status = |failure: Failure| FlightError::Tonic(Box::new(failure.into()));
        let Some(batch) = running.next(None).await.map_err(status)? else {
            return Ok(None);
        };
        let batch = prepare.apply(&batch)?;
        Ok(Some((batch, (running, prepare))))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::datatypes::DataType;
    use arrow_flight::decode::FlightRecordBatchStream;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::prelude::SessionContext;
    use tokio_util::sync::CancellationToken;
    use tonic::Code;

    use super::*;
    use crate::config::Limits;
    use crate::running::Ends;

    async fn rows(runner: &Runner, ctx: &SessionContext, sql: &str) -> Result<usize, Code> {
        let plan = ctx.state().create_logical_plan(sql).await.unwrap();
        let ends = Ends::new(CancellationToken::new(), Duration::from_secs(60));
        let running = Running::start(runner, ends, ctx, plan).await.unwrap();
        let messages = of_query(runner, running).unwrap();
        let messages = messages.map_err(FlightError::from).boxed();
        let batches = FlightRecordBatchStream::new_from_flight_data(messages);
        let batches: Result<Vec<RecordBatch>, FlightError> = batches.try_collect().await;
        match batches {
            Ok(batches) => Ok(batches.iter().map(RecordBatch::num_rows).sum()),
            Err(error) => Err(Status::from(error).code()),
        }
    }

    /// The rows that were sent before are not taken for all.
    #[tokio::test]
    async fn a_panic_in_the_middle_is_an_error_and_gives_its_place_back() {
        let limits = Limits {
            queries: 1,
            ..Limits::default()
        };
        let runner = Runner::new(&limits).unwrap();
        let ctx = SessionContext::new();
        let panics = |values: &[ColumnarValue]| -> datafusion::error::Result<ColumnarValue> {
            let [ColumnarValue::Array(values)] = values else {
                panic!("no rows");
            };
            let first = arrow::compute::cast(values, &DataType::Int64).unwrap();
            let first = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&first);
            assert!(first.value(0) < 20_000, "partition not used yet");
            Ok(ColumnarValue::Array(Arc::clone(values)))
        };
        ctx.register_udf(create_udf(
            "panics",
            vec![DataType::Int64],
            DataType::Int64,
            Volatility::Volatile,
            Arc::new(panics),
        ));
        let found = rows(&runner, &ctx, "SELECT panics(value) FROM range(0, 50000)").await;
        assert_eq!(found, Err(Code::Internal));
        let found = rows(&runner, &ctx, "SELECT value FROM range(0, 50000)").await;
        assert_eq!(found, Ok(50_000));
    }
}
