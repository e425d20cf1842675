//! `events_enriched` as a DataFusion table.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use chrono::NaiveDate;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{
    DataFusionError, Result as DfResult, ScalarValue, internal_datafusion_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{col, lit};
use tokio::sync::Mutex;

use super::schema::enriched_schema;
use super::{CHUNK_ROWS, EnrichRules, Enriched, read};
use crate::error::{ErrorKind, QueryError, Result};

/// Wide columns that few questions need: they are read when one asks.
const RARE: [&str; 20] = [
    "session_id_raw",
    "goal_event_id",
    "chat_visitor_id",
    "consumer_key_id",
    "line_subtype",
    "text_type",
    "survey_id",
    "sde_json",
    "acr",
    "referrer_url",
    "page_title",
    "event_time_raw",
    "produced_time",
    "ingested_time",
    "schema_version",
    "producer_event_id",
    "content_hash",
    "topic_uuid",
    "batch_id",
    "extra_json",
];

/// The enriched events over a table of events.
///
/// The rules see all events at once, so they run when the table is scanned for the first time; the
/// result is kept for later scans, columns as they are asked for.
#[derive(Debug)]
pub struct EnrichedProvider {
    schema: SchemaRef,
    events: Arc<dyn TableProvider>,
    rules: EnrichRules,
    part: Option<Part>,
    state: Mutex<Option<State>>,
}

/// A part of the rows, as [`Enriched::split`] makes it.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: usize,
    /// How many rows a part has at least.
    rows: usize,
}

/// What the first scan left for the others.
#[derive(Debug)]
struct State {
    enriched: Enriched,
    /// Finished columns by their place in the schema.
    columns: HashMap<usize, Vec<ArrayRef>>,
    /// The columns of `events` that were read.
    has_rare: bool,
    reservation: MemoryReservation,
}

impl EnrichedProvider {
    /// The view over `events`, which must have the columns of the events schema.
    pub fn try_new(events: Arc<dyn TableProvider>, rules: EnrichRules) -> Result<Self> {
        let schema = events.schema();
        let missing: Vec<&str> = read::CORE
            .into_iter()
            .filter(|name| schema.field_with_name(name).is_err())
            .collect();
        if !missing.is_empty() {
            return Err(QueryError::new(
                ErrorKind::Query,
                format!("table `events` lacks the columns {}", missing.join(", ")),
            ));
        }
        Ok(Self {
            schema: enriched_schema(&schema),
            events,
            rules,
            part: None,
            state: Mutex::new(None),
        })
    }

    /// The view in parts of at least `rows` rows that nothing ties together, the whole in one if it
    /// is small. Where `text` names a rare column, these are read at once: a part that lacks one reads
    /// all events again.
    ///
    /// # Errors
    /// When the events cannot be read or need too much memory.
    pub(crate) async fn split(
        self,
        session: &dyn Session,
        rows: usize,
        text: &str,
    ) -> DfResult<Vec<Self>> {
        let has_rare = RARE.iter().any(|name| text.contains(name));
        let State {
            enriched,
            reservation,
            ..
        } = self.load(session, has_rare).await?;
        let parts = enriched.split(rows);
        let share = reservation.size() / parts.len().max(1);
        let part = |(number, enriched): (usize, Enriched)| Self {
            schema: Arc::clone(&self.schema),
            events: Arc::clone(&self.events),
            rules: self.rules.clone(),
            part: Some(Part { number, rows }),
            state: Mutex::new(Some(State {
                enriched,
                columns: HashMap::new(),
                has_rare,
                reservation: reservation.split(share),
            })),
        };
        Ok(parts.into_iter().enumerate().map(part).collect())
    }

    /// Reads the events, as far as they are needed, and applies the rules.
    async fn load(&self, session: &dyn Session, with_rare: bool) -> DfResult<State> {
        let schema = self.events.schema();
        let columns: Vec<usize> = (0..schema.fields().len())
            .filter(|place| with_rare || !RARE.contains(&schema.field(*place).name().as_str()))
            .collect();
        let plan = session.create_physical_plan(&self.input(columns)?).await?;
        let batches = collect(plan, session.task_ctx()).await?;
        let (rules, part) = (self.rules.clone(), self.part);
        let enrich = move || {
            let enriched = Enriched::new(batches, &rules)?;
            Ok::<_, DataFusionError>(match part {
                Some(part) => enriched.split(part.rows).into_iter().nth(part.number),
                None => Some(enriched),
            })
        };
        let enriched = tokio::task::spawn_blocking(enrich)
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))??
            .ok_or_else(|| {
                internal_datafusion_err!("a part of the events is not there any more")
            })?;
        let reservation =
            MemoryConsumer::new("events_enriched").register(&session.runtime_env().memory_pool);
        reservation.try_grow(enriched.bytes())?;
        Ok(State {
            enriched,
            columns: HashMap::new(),
            has_rare: with_rare,
            reservation,
        })
    }

    /// The events to read.
    fn input(&self, columns: Vec<usize>) -> DfResult<LogicalPlan> {
        let events = provider_as_source(Arc::clone(&self.events));
        let plan = LogicalPlanBuilder::scan("events", events, Some(columns))?;
        let Some((from, to)) = self.rules.event_days else {
            return plan.build();
        };
        let day = |day: NaiveDate| lit(ScalarValue::Date32(Some(day.to_epoch_days())));
        plan.filter(col("event_date").between(day(from), day(to)))?
            .build()
    }

    fn needs_rare(&self, projection: &[usize]) -> bool {
        projection
            .iter()
            .any(|place| RARE.contains(&self.schema.field(*place).name().as_str()))
    }
}

impl State {
    /// The columns at `projection`, in batches.
    fn batches(&mut self, schema: &Schema, projection: &[usize]) -> DfResult<Vec<RecordBatch>> {
        for place in projection {
            if !self.columns.contains_key(place) {
                let column = self.enriched.column(schema.field(*place))?;
                let bytes = column
                    .iter()
                    .map(|chunk| chunk.get_array_memory_size())
                    .sum();
                self.reservation.try_grow(bytes)?;
                self.columns.insert(*place, column);
            }
        }
        let schema = Arc::new(schema.project(projection)?);
        let rows = self.enriched.len();
        (0..rows.div_ceil(CHUNK_ROWS))
            .map(|chunk| {
                let columns = projection
                    .iter()
                    .filter_map(|place| self.columns.get(place))
                    .filter_map(|chunks| chunks.get(chunk).map(Arc::clone))
                    .collect();
                let rows = CHUNK_ROWS.min(rows - chunk * CHUNK_ROWS);
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let schema = Arc::clone(&schema);
                Ok(RecordBatch::try_new_with_options(
                    schema, columns, &options,
                )?)
            })
            .collect()
    }
}

#[async_trait]
impl TableProvider for EnrichedProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let needs_rare = self.needs_rare(projection);
        let mut state = self.state.lock().await;
        if state
            .as_ref()
            .is_none_or(|state| needs_rare && !state.has_rare)
        {
            // Gives the memory of the narrower result back before the wider one is made.
            *state = None;
            *state = Some(self.load(session, needs_rare).await?);
        }
        let batches = match state.as_mut() {
            Some(state) => state.batches(&self.schema, projection)?,
            None => Vec::new(),
        };
        let share = batches
            .len()
            .div_ceil(session.config().target_partitions())
            .max(1);
        let mut partitions: Vec<Vec<RecordBatch>> =
            batches.chunks(share).map(<[RecordBatch]>::to_vec).collect();
        if partitions.is_empty() {
            partitions.push(Vec::new());
        }
        let schema = Arc::new(self.schema.project(projection)?);
        Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
    }
}
