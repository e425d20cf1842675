//! A SQL session: the tables of one lake, the views over them, our functions.

mod published;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::{DataFrame, SessionContext};
use funnel_engine::SessionBuilder;
use funnel_lake::{Lake, StorageOptions};

use crate::enrich::{EnrichRules, EnrichedProvider};
use crate::error::{ErrorKind, QueryError, Result};
use crate::funnel::Funnels;
use crate::{table_function, views};

pub use self::published::Published;

/// The mart of daily funnels, and the table of that name.
pub const FUNNEL_DAILY: &str = "funnel_daily";

/// The tables that come from the lake.
pub const LAKE_TABLES: [&str; 3] = ["events", "rejects", "ledger"];

/// What of a lake is there for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Rows of other accounts are not there, in no table and no view. `None`: all accounts.
    pub accounts: Option<BTreeSet<String>>,
    /// Are `rejects` and `ledger` there? They are about all accounts.
    pub operations: bool,
}

impl Default for Sight {
    /// Everything.
    fn default() -> Self {
        Self {
            accounts: None,
            operations: true,
        }
    }
}

/// What a session has to know beside its tables.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// Time zone of each account; an account that is not named reports in UTC.
    pub accounts: BTreeMap<String, Tz>,
    /// What all queries of the session may hold in memory together, in bytes. `None`: no limit.
    pub memory_limit: Option<usize>,
    /// Sessions and chats still open at this instant have the outcome `in_progress`.
    /// `None`: the time at which the session is made.
    pub as_of: Option<DateTime<Utc>>,
    /// Only events of these UTC days, both inclusive, are read by the views. A view is right about
    /// sessions and chats whose events all lie inside: leave a margin of two days on both sides,
    /// and the window of attribution after. `None`: all events.
    pub event_days: Option<(NaiveDate, NaiveDate)>,
    /// How many partitions a plan is spread over. `None`: one per core.
    pub target_partitions: Option<usize>,
    /// What of the lake is there.
    pub sight: Sight,
    /// The funnels that have a name.
    pub funnels: Funnels,
    /// How to reach tables by path that are in an object store.
    pub storage: StorageOptions,
}

impl QueryOptions {
    /// The time zone in which `account` reports.
    pub fn time_zone(&self, account: &str) -> Tz {
        self.accounts.get(account).copied().unwrap_or(Tz::UTC)
    }
}

/// A SQL session over one state of a lake, or over no lake at all.
///
/// Tables `events`, `rejects`, `ledger`, and `funnel_daily` once it was published; views `events_enriched`, `sessions`, `offers`, `chats`,
/// `conversions`; table function `funnel`. The session sees the lake as it was when the session
/// was made.
pub struct QuerySession {
    ctx: SessionContext,
    lake: Option<Lake>,
    options: QueryOptions,
    as_of: DateTime<Utc>,
    /// Known from a ledger that the session does not show.
    complete_until: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for QuerySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuerySession")
            .field("lake", &self.lake.as_ref().map(|lake| lake.url().as_str()))
            .field("options", &self.options)
            .field("as_of", &self.as_of)
            .finish_non_exhaustive()
    }
}

impl QuerySession {
    /// A session over the newest state of `lake`.
    pub async fn open(lake: &Lake, options: QueryOptions) -> Result<Self> {
        let published = Published::newest(lake, None).await?;
        Self::open_with(lake, published.as_ref(), options).await
    }

    /// A session over the newest state of `lake` and these published days.
    pub async fn open_with(
        lake: &Lake,
        published: Option<&Published>,
        options: QueryOptions,
    ) -> Result<Self> {
        let mut session = Self::without_lake(options)?;
        let read = |source| QueryError::lake("could not read the tables of the lake", source);
        let tables = lake.providers().await.map_err(read)?;
        session.add_table("ledger", tables.ledger)?;
        let sight = session.options.sight.clone();
        if sight.operations {
            session.add_table("rejects", tables.rejects)?;
        } else {
            session.complete_until = Some(session.complete_until().await?);
            session.remove_table("ledger")?;
        }
        let events = match &sight.accounts {
            Some(accounts) => tables::of_accounts(tables.events, accounts)?,
            None => tables.events,
        };
        session.add_events(events).await?;
        if let Some(published) = published {
            session.add_published(published)?;
        }
        session.lake = Some(lake.clone());
        Ok(session)
    }

    /// A session with our functions and no tables; see [`Self::register_table`].
    pub fn without_lake(options: QueryOptions) -> Result<Self> {
        let mut builder = SessionBuilder::new();
        if let Some(bytes) = options.memory_limit {
            builder = builder.memory_limit(bytes);
        }
        if let Some(partitions) = options.target_partitions {
            builder = builder.target_partitions(partitions);
        }
        let ctx = builder.build().map_err(|source| {
            QueryError::new(ErrorKind::Config, "could not make a query session").with_source(source)
        })?;
        let as_of = options.as_of.unwrap_or_else(Utc::now);
        Ok(Self::around(ctx, options, as_of, None))
    }

    /// A session with the tables and functions that `ctx` has.
    pub(crate) fn around(
        ctx: SessionContext,
        options: QueryOptions,
        as_of: DateTime<Utc>,
        complete_until: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            ctx,
            lake: None,
            options,
            as_of,
            complete_until,
        }
    }

    /// A session whose `events` are `batches` (of the events schema), with every view over them.
    pub async fn from_batches(batches: Vec<RecordBatch>, options: QueryOptions) -> Result<Self> {
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => funnel_events::events_schema(),
        };
        let events = MemTable::try_new(schema, vec![batches])
            .map_err(|source| QueryError::query("could not take the event batches", source))?;
        let session = Self::without_lake(options)?;
        session.add_events(Arc::new(events)).await?;
        Ok(session)
    }

    /// Sessions over `events` (of the events schema) in parts of at least `rows` rows that nothing
    /// ties together; there is at least one.
    pub(crate) async fn in_parts(
        events: Arc<dyn TableProvider>,
        options: &QueryOptions,
        rows: usize,
    ) -> Result<Vec<Self>> {
        let failed = |source| QueryError::query("could not read the events", source);
        let reader = Self::without_lake(options.clone())?;
        let mut state = reader.ctx.state();
        // Few rows of many are wanted.
        state
            .config_mut()
            .options_mut()
            .execution
            .parquet
            .pushdown_filters = true;
        let whole = EnrichedProvider::try_new(Arc::clone(&events), rules(options))?;
        let asked = format!("{:?}", options.funnels.all()?);
        let parts = whole.split(&state, rows, &asked).await.map_err(failed)?;
        let mut options = options.clone();
        if parts.len() > 1 {
            // Several run beside each other, each on a core of its own.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let beside = cores.min(parts.len());
            options.target_partitions = Some(1);
            options.memory_limit = options.memory_limit.map(|bytes| bytes / beside);
        }
        let mut sessions = Vec::with_capacity(parts.len());
        for part in parts {
            let session = Self::without_lake(options.clone())?;
            session.add_enriched(Arc::clone(&events), part).await?;
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// Makes the rows of a view once, for the many that will read it.
    pub(crate) async fn keep(&self, view: &str) -> Result<()> {
        let failed = |source| QueryError::query(format!("could not make view `{view}`"), source);
        let rows = async { self.ctx.table(view).await?.cache().await };
        let rows = rows.await.map_err(failed)?;
        self.add_table(view, rows.into_view())
    }

    /// The DataFusion context behind this session.
    pub fn ctx(&self) -> &SessionContext {
        &self.ctx
    }

    /// The lake that this session reads, if any.
    pub fn lake(&self) -> Option<&Lake> {
        self.lake.as_ref()
    }

    /// What the session was made with.
    pub fn options(&self) -> &QueryOptions {
        &self.options
    }

    /// The instant that decides what is still in progress.
    pub fn as_of(&self) -> DateTime<Utc> {
        self.as_of
    }

    /// How far the input is complete: the instant that the session was given, or else the earliest
    /// of the latest times seen in the partitions of Kafka. Backfilled files are complete.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn complete_until(&self) -> Result<DateTime<Utc>> {
        const SEEN: &str = "SELECT min(seen) FROM (SELECT kafka_topic, kafka_partition, \
             max(coalesce(max_kafka_timestamp, max_event_time, to_timestamp_micros(0))) AS seen \
             FROM ledger WHERE kafka_topic NOT LIKE 'file:%' GROUP BY 1, 2)";
        if let Some(known) = self.complete_until {
            return Ok(known);
        }
        let has_ledger = self.ctx.table_exist("ledger").unwrap_or(false);
        if self.options.as_of.is_some() || !has_ledger {
            return Ok(self.as_of);
        }
        let mut complete = self.as_of;
        for batch in self.collect(SEEN).await? {
            let seen = cast(
                batch.column(0),
                &DataType::Timestamp(TimeUnit::Microsecond, None),
            )
            .map_err(|source| {
                QueryError::query("could not read the ledger of the lake", source.into())
            })?;
            let seen = seen
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .flatten();
            let seen = seen.filter_map(DateTime::from_timestamp_micros).min();
            complete = seen.map_or(complete, |seen| seen.min(complete));
        }
        Ok(complete)
    }

    /// Plans one SQL query.
    pub async fn sql(&self, text: &str) -> Result<DataFrame> {
        self.ctx
            .sql(text)
            .await
            .map_err(|source| QueryError::query("could not plan the query", source))
    }

    /// Runs one SQL query and gives all of its rows.
    pub async fn collect(&self, text: &str) -> Result<Vec<RecordBatch>> {
        self.sql(text)
            .await?
            .collect()
            .await
            .map_err(|source| QueryError::query("could not run the query", source))
    }

    /// Makes `path` readable as table `name`: a Parquet file, a directory of Parquet files, or a
    /// Delta table. A table of that name that exists is replaced.
    pub async fn register_table(&self, name: &str, path: &str) -> Result<()> {
        let provider = tables::open(&self.ctx, name, path, &self.options.storage).await?;
        self.add_table(name, provider)
    }

    fn add_table(&self, name: &str, provider: Arc<dyn TableProvider>) -> Result<()> {
        self.remove_table(name)?;
        let table = TableReference::bare(name);
        let registered = self.ctx.register_table(table, provider);
        registered.map(drop).map_err(|source| {
            QueryError::query(format!("could not register table `{name}`"), source)
        })
    }

    fn remove_table(&self, name: &str) -> Result<()> {
        let removed = self.ctx.deregister_table(TableReference::bare(name));
        removed
            .map(drop)
            .map_err(|source| QueryError::query(format!("could not remove table `{name}`"), source))
    }

    fn add_published(&self, published: &Published) -> Result<()> {
        let daily = match &self.options.sight.accounts {
            Some(accounts) => tables::of_accounts(published.table(), accounts)?,
            None => published.table(),
        };
        self.add_table(FUNNEL_DAILY, daily)
    }

    /// Registers `events` and every view over it.
    async fn add_events(&self, events: Arc<dyn TableProvider>) -> Result<()> {
        let enriched = EnrichedProvider::try_new(Arc::clone(&events), rules(&self.options))?;
        self.add_enriched(events, enriched).await
    }

    async fn add_enriched(
        &self,
        events: Arc<dyn TableProvider>,
        enriched: EnrichedProvider,
    ) -> Result<()> {
        let columns = enriched.schema();
        self.add_table("events", events)?;
        self.add_table("events_enriched", Arc::new(enriched))?;
        table_function::register(
            &self.ctx,
            columns,
            self.options.clone(),
            self.as_of,
            self.complete_until,
        );
        views::register(&self.ctx, self.as_of).await
    }
}

fn rules(options: &QueryOptions) -> EnrichRules {
    EnrichRules {
        zones: options.accounts.clone(),
        event_days: options.event_days,
    }
}

#[cfg(test)]
mod tests;
