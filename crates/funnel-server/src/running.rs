//! A query that runs apart from its connection, and the rows that it has so far.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;
use crate::runner::Runner;

/// Batches that wait to be sent: the query goes on while the client reads.
const BATCHES_AHEAD: usize = 2;

/// A client that reads nothing for so long, such as one with a cursor, lets other queries run.
const PATIENCE: Duration = Duration::from_millis(100);

/// What ends a statement before its time.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    cancel: CancellationToken,
    deadline: Instant,
    time: Duration,
}

impl Ends {
    pub(crate) fn new(cancel: CancellationToken, time: Duration) -> Self {
        Self {
            cancel,
            deadline: Instant::now() + time,
            time,
        }
    }

    /// The same time, and somebody else's cancelling: what was begun by one statement is read by the next.
    pub(crate) fn with_cancel(&self, cancel: CancellationToken) -> Self {
        Self {
            cancel,
            ..self.clone()
        }
    }

    /// What `work` gives, unless the statement ends before.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::cancelled()),
            () = sleep_until(self.deadline) => Err(Failure::too_long(self.time)),
            done = work => Ok(done),
        }
    }
}

/// Runs `work` on the threads of queries, without one of the places for queries.
pub(crate) async fn apart<T: Send + 'static>(
    runner: &Runner,
    ends: &Ends,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let task = runner.spawn(work).ok_or_else(Failure::stopping)?;
    ends.or(task).await?.unwrap_or_else(|failed| {
        tracing::error!(error = %failed, "a statement panicked");
        Err(Failure::internal())
    })
}

/// A query that runs, with one of the places for queries while its rows are read.
#[derive(Debug)]
pub(crate) struct Running {
    schema: SchemaRef,
    batches: mpsc::Receiver<RecordBatch>,
    task: Option<AbortOnDropHandle<Result<(), DataFusionError>>>,
    ends: Ends,
    /// Bytes that were sent.
    bytes: usize,
    /// What was taken from the last batch stands before this.
    rest: Option<RecordBatch>,
}

impl Running {
    pub(crate) async fn start(
        runner: &Runner,
        ends: Ends,
        ctx: &SessionContext,
        plan: LogicalPlan,
    ) -> Result<Self, Failure> {
        let line = runner.line();
        let place = tokio::select! {
            biased;
            () = ends.cancel.cancelled() => return Err(Failure::cancelled()),
            () = sleep_until(ends.deadline) => return Err(Failure::busy()),
            place = line.place() => place.ok_or_else(Failure::stopping)?,
        };
        let (send, batches) = mpsc::channel(BATCHES_AHEAD);
        let schema = Arc::clone(plan.schema().inner());
        let state = ctx.state();
        let query = async move {
            let mut place = Some(place);
            let mut rows = DataFrame::new(state, plan).execute_stream().await?;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                let room = match timeout(PATIENCE, send.reserve()).await {
                    Ok(room) => room,
                    Err(_) => {
                        drop(place.take());
                        let room = send.reserve().await;
                        place = line.place().await;
                        room
                    }
                };
                let Ok(room) = room else { break };
                room.send(batch);
            }
            drop(place);
            Ok(())
        };
        let task = runner.spawn(query).ok_or_else(Failure::stopping)?;
        Ok(Self {
            schema,
            batches,
            task: Some(task),
            ends,
            bytes: 0,
            rest: None,
        })
    }

    /// Rows that are known already.
    pub(crate) fn of(batch: RecordBatch, ends: Ends) -> Self {
        let (_, batches) = mpsc::channel(1);
        Self {
            schema: batch.schema(),
            batches,
            task: None,
            ends,
            bytes: 0,
            rest: Some(batch),
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// So many bytes go to the client.
    pub(crate) fn count(&mut self, bytes: usize, limit: usize) -> Result<(), Failure> {
        self.bytes += bytes;
        if self.bytes > limit {
            return Err(Failure::too_large(limit));
        }
        Ok(())
    }

    pub(crate) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// From now on another statement reads it.
    pub(crate) fn read_by(&mut self, cancel: CancellationToken) {
        self.ends = self.ends.with_cancel(cancel);
    }

    /// Up to so many rows more; none at the end.
    pub(crate) async fn next(
        &mut self,
        rows: Option<usize>,
    ) -> Result<Option<RecordBatch>, Failure> {
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.next_batch().await? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        let rows = rows.unwrap_or(usize::MAX);
        if batch.num_rows() > rows {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            return Ok(Some(batch.slice(0, rows)));
        }
        Ok(Some(batch))
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>, Failure> {
        loop {
            match self.ends.or(self.batches.recv()).await? {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => return Ok(Some(batch)),
                None => break,
            }
        }
        let Some(task) = self.task.take() else {
            return Ok(None);
        };
        match self.ends.or(task).await? {
            Ok(ended) => ended?,
            Err(failed) => {
                tracing::error!(error = %failed, "a query panicked");
                return Err(Failure::internal());
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};

    use super::*;
    use crate::config::Limits;

    fn runner() -> Runner {
        let limits = Limits {
            queries: 1,
            ..Limits::default()
        };
        Runner::new(&limits).unwrap()
    }

    fn ends() -> Ends {
        Ends::new(CancellationToken::new(), Duration::from_secs(60))
    }

    async fn rows(runner: &Runner, ctx: &SessionContext, sql: &str) -> Result<usize, Failure> {
        let plan = ctx.state().create_logical_plan(sql).await.unwrap();
        let mut running = Running::start(runner, ends(), ctx, plan).await?;
        let mut rows = 0;
        while let Some(batch) = running.next(Some(3)).await? {
            assert!(batch.num_rows() <= 3);
            rows += batch.num_rows();
        }
        Ok(rows)
    }

    #[tokio::test]
    async fn a_query_whose_rows_nobody_reads_lets_others_run() {
        let runner = runner();
        let ctx = SessionContext::new();
        let many = "SELECT value FROM range(0, 100000)";
        let plan = ctx.state().create_logical_plan(many).await.unwrap();
        let ends = || Ends::new(CancellationToken::new(), Duration::from_secs(20));
        let mut left = Running::start(&runner, ends(), &ctx, plan).await.unwrap();
        let first = left.next(Some(1)).await.unwrap().unwrap().num_rows();
        let other = rows(&runner, &ctx, "SELECT value FROM range(0, 10)").await;
        assert_eq!(other, Ok(10));
        let mut rest = 0;
        while let Some(batch) = left.next(None).await.unwrap() {
            rest += batch.num_rows();
        }
        assert_eq!((first, rest), (1, 99_999));
        assert_eq!(runner.places(), (0, 1));
    }

    /// Some plans of DataFusion panic (apache/datafusion#24676).
    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_gives_its_place_back() {
        let runner = runner();
        let ctx = SessionContext::new();
        let panics = |_: &[ColumnarValue]| -> datafusion::error::Result<ColumnarValue> {
            panic!("partition not used yet")
        };
        ctx.register_udf(create_udf(
            "panics",
            vec![DataType::Int64],
            DataType::Int64,
            Volatility::Volatile,
            Arc::new(panics),
        ));
        let failed = rows(&runner, &ctx, "SELECT panics(value) FROM range(0, 3)").await;
        assert_eq!(failed.unwrap_err().code, "XX000");
        assert_eq!(
            rows(&runner, &ctx, "SELECT value FROM range(0, 10)").await,
            Ok(10)
        );
        let ends = ends();
        let planning = apart(&runner, &ends, async { panic!("while planning") });
        let planning: Result<(), Failure> = planning.await;
        assert_eq!(planning.unwrap_err().code, "XX000");
    }
}
