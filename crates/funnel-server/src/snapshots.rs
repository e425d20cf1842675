//! One session over the lake for each kind of caller, made anew when the lake has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use funnel_lake::Lake;
use funnel_query::session::{Published, Sight};
use funnel_query::{QueryError, QueryOptions, QuerySession};
use tokio::sync::Mutex;

use crate::metrics::Metrics;

/// What is in progress is told apart by the time at which a session was made, so no session lives
/// longer, even if nothing comes.
const AGE_MAX: Duration = Duration::from_secs(600);

/// A state of the lake, as a caller sees it.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) session: Arc<QuerySession>,
    /// Of `events`.
    pub(crate) version: i64,
    /// Of `funnel_daily`, once it was published.
    pub(crate) published: Option<i64>,
    pub(crate) taken: DateTime<Utc>,
    checked: Instant,
    made: Instant,
}

/// Hands out states of the lake that are at most so old.
#[derive(Debug)]
pub(crate) struct Snapshots {
    lake: Lake,
    options: QueryOptions,
    refresh: Duration,
    metrics: Arc<Metrics>,
    known: Mutex<HashMap<Sight, Snapshot>>,
    /// The same for all that may see it.
    published: Mutex<Option<Published>>,
}

impl Snapshots {
    pub(crate) fn new(
        lake: Lake,
        options: QueryOptions,
        refresh: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            lake,
            options,
            refresh,
            metrics,
            known: Mutex::default(),
            published: Mutex::default(),
        }
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.lake
    }

    /// A state that is not older than the refresh time.
    pub(crate) async fn get(&self, sight: &Sight) -> Result<Snapshot, QueryError> {
        let mut known = self.known.lock().await;
        if let Some(snapshot) = known.get(sight)
            && snapshot.checked.elapsed() < self.refresh
        {
            return Ok(snapshot.clone());
        }
        let read = |source| QueryError::lake("could not read the tables of the lake", source);
        let version = self.lake.events().load().await.map_err(read)?.version();
        self.metrics.answered_from(version);
        let mut held = self.published.lock().await;
        let is_old = |snapshot: &Snapshot| snapshot.made.elapsed() >= AGE_MAX;
        if known.get(sight).is_some_and(is_old) {
            // A table that was made anew may have come to the same version.
            *held = None;
        }
        *held = Published::newest(&self.lake, held.as_ref()).await?;
        let published = held.as_ref().map(Published::version);
        if let Some(snapshot) = known.get_mut(sight)
            && (snapshot.version, snapshot.published) == (version, published)
            && snapshot.made.elapsed() < AGE_MAX
        {
            snapshot.checked = Instant::now();
            snapshot.taken = Utc::now();
            return Ok(snapshot.clone());
        }
        let options = QueryOptions {
            sight: sight.clone(),
            ..self.options.clone()
        };
        let session = QuerySession::open_with(&self.lake, held.as_ref(), options).await?;
        let snapshot = Snapshot {
            session: Arc::new(session),
            version,
            published,
            taken: Utc::now(),
            checked: Instant::now(),
            made: Instant::now(),
        };
        known.insert(sight.clone(), snapshot.clone());
        Ok(snapshot)
    }
}
