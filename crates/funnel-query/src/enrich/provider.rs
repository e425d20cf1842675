//! `events_enriched` as a DataFusion table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DfResult, not_impl_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::EnrichRules;
use super::schema::enriched_schema;
use crate::error::Result;

/// The enriched events over a table of events.
#[derive(Debug)]
pub struct EnrichedProvider {
    schema: SchemaRef,
    events: Arc<dyn TableProvider>,
    rules: EnrichRules,
}

impl EnrichedProvider {
    /// The view over `events`, which must have the columns of the events schema.
    pub fn try_new(events: Arc<dyn TableProvider>, rules: EnrichRules) -> Result<Self> {
        Ok(Self {
            schema: enriched_schema(&events.schema()),
            events,
            rules,
        })
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
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let _ = (&self.events, &self.rules);
        not_impl_err!("events_enriched")
    }
}
