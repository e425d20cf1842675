//! The published days, `funnel_daily`.
//!
//! There is a file for each day. Of few and small days, opening the files takes longer than reading
//! them, so whoever answers many questions holds their rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use funnel_lake::{DeltaTableProvider, Lake, LakeError};
use futures::TryStreamExt;
use tokio::sync::OnceCell;

use super::FUNNEL_DAILY;
use crate::error::{QueryError, Result};

/// Files with more bytes than this together are not held.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Rows that take more bytes than this are not held.
const ROW_BYTES_MAX: usize = 64 << 20;

/// One version of the mart of daily funnels.
#[derive(Debug, Clone)]
pub struct Published {
    version: i64,
    table: Arc<dyn TableProvider>,
}

impl Published {
    /// The newest version of `lake`, if anything was published; `known` if that is it.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn newest(lake: &Lake, known: Option<&Self>) -> Result<Option<Self>> {
        let failed = |source: LakeError| {
            QueryError::lake(format!("could not read the mart `{FUNNEL_DAILY}`"), source)
        };
        let Some(table) = lake.published(FUNNEL_DAILY).await.map_err(failed)? else {
            return Ok(None);
        };
        let newest = table.load().await.map_err(failed)?;
        if let Some(known) = known.filter(|known| known.version == newest.version()) {
            return Ok(Some(known.clone()));
        }
        let table = DeltaTableProvider::new(&newest).map_err(failed)?;
        let version = newest.version();
        let table = match table.bytes() <= FILE_BYTES_MAX {
            true => Arc::new(Held::new(Arc::new(table))) as Arc<dyn TableProvider>,
            false => Arc::new(table),
        };
        Ok(Some(Self { version, table }))
    }

    /// Of the table.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    pub(super) fn table(&self) -> Arc<dyn TableProvider> {
        Arc::clone(&self.table)
    }
}

/// A small table, whose rows are read with the second question and kept for all others.
#[derive(Debug)]
struct Held {
    table: Arc<dyn TableProvider>,
    is_asked_again: OnceCell<()>,
    /// `None`: they are too many.
    rows: OnceCell<Option<MemTable>>,
}

impl Held {
    fn new(table: Arc<dyn TableProvider>) -> Self {
        Self {
            table,
            is_asked_again: OnceCell::new(),
            rows: OnceCell::new(),
        }
    }

    async fn read(&self, session: &dyn Session) -> DfResult<Option<MemTable>> {
        let plan = self.table.scan(session, None, &[], None).await?;
        let mut batches = execute_stream(plan, session.task_ctx())?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = batches.try_next().await? {
            bytes += batch.get_array_memory_size();
            if bytes > ROW_BYTES_MAX {
                return Ok(None);
            }
            rows.push(batch);
        }
        MemTable::try_new(self.schema(), vec![rows]).map(Some)
    }
}

#[async_trait]
impl TableProvider for Held {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        // Held rows are not left out by a filter, files may be.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        // One question, such as that of a command line, may need one day of a year.
        if self.is_asked_again.set(()).is_ok() {
            return self.table.scan(session, projection, filters, limit).await;
        }
        match self.rows.get_or_try_init(|| self.read(session)).await? {
            Some(rows) => rows.scan(session, projection, filters, limit).await,
            None => self.table.scan(session, projection, filters, limit).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch};
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn rows_are_the_same_before_and_after_they_are_held() {
        let column = Arc::new(Int64Array::from(vec![1, 2, 3])) as _;
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        let held = Arc::new(Held::new(Arc::new(table)));
        let ctx = SessionContext::new();
        ctx.register_table("t", Arc::clone(&held) as _).unwrap();
        for (question, is_held) in [false, true, true].into_iter().enumerate() {
            let found = ctx.sql("SELECT n FROM t WHERE n > 1").await.unwrap();
            assert_eq!(found.count().await.unwrap(), 2, "question {question}");
            assert_eq!(held.rows.initialized(), is_held, "question {question}");
        }
    }
}
