//! Runs queries apart from what answers requests: so many at a time, each for so long.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::config::Limits;
use crate::error::{Result, ServerError};
use crate::http::problem::{Problem, REQUEST_ID};

/// Threads of their own for queries, so that a long one does not keep requests from being answered.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Taken when it is dropped: a runtime must not wait for its threads on one of another runtime.
    runtime: Option<Runtime>,
    permits: Arc<Semaphore>,
    places: usize,
    time: Duration,
}

impl Runner {
    pub(crate) fn new(limits: &Limits) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("query")
            .enable_all()
            .build()
            .map_err(|error| ServerError::new("could not start threads").because(error))?;
        Ok(Self {
            runtime: Some(runtime),
            permits: Arc::new(Semaphore::new(limits.queries)),
            places: limits.queries,
            time: limits.time,
        })
    }

    /// How many queries run, and how many may.
    pub(crate) fn places(&self) -> (usize, usize) {
        let free = self.permits.available_permits();
        (self.places.saturating_sub(free), self.places)
    }

    /// How long a query may wait and run.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// The line in which queries wait for their places, first come, first served.
    pub(crate) fn line(&self) -> Line {
        Line(Arc::clone(&self.permits))
    }

    /// Runs on the threads of queries until it is done or its handle is dropped; none when the server stops.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<AbortOnDropHandle<T>> {
        let runtime = self.runtime.as_ref()?;
        Some(AbortOnDropHandle::new(runtime.spawn(work)))
    }

    /// The answer of `query`. It ends when nobody waits for it any more.
    ///
    /// # Errors
    /// Too many others run; it took too long; it failed or panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let Some(runtime) = &self.runtime else {
            return Err(Problem::busy("the server is stopping"));
        };
        let deadline = Instant::now() + self.time;
        let permit = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Problem::busy(
                "other queries took all the time that this one had to wait; try again later",
            ));
        };
        let id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        let span = tracing::info_span!("query", request_id = id);
        let query = async move {
            let answer = query.await;
            drop(permit);
            answer
        };
        let task = AbortOnDropHandle::new(runtime.spawn(query.instrument(span)));
        match timeout_at(deadline, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failed)) => {
                tracing::error!(error = %failed, "a query panicked");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::too_long(self.time)),
        }
    }
}

/// Where queries wait for a place.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Semaphore>);

impl Line {
    /// One of the places for queries, as soon as there is one; none when the server stops.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).acquire_owned().await.ok()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
