//! `attributed_conversions(model, days)`: the table function behind every number on conversions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;

use super::options::{Attribution, Model};
use crate::error::{QueryError, Result};

/// Name in SQL.
pub(crate) const FUNCTION: &str = "attributed_conversions";

const SQL: &str = include_str!("../../../../queries/functions/attributed_conversions.sql");

/// Makes the function known to a session that has `events_enriched`. Twice changes nothing.
pub(crate) async fn ensure_registered(ctx: &SessionContext) -> Result<()> {
    if ctx.table_function(FUNCTION).is_ok() {
        return Ok(());
    }
    let template = ctx
        .state()
        .create_logical_plan(SQL)
        .await
        .map_err(|source| {
            QueryError::query(format!("could not plan the function `{FUNCTION}`"), source)
        })?;
    ctx.register_udtf(FUNCTION, Arc::new(AttributedConversions { template }));
    Ok(())
}

/// The plan of the function with its two parameters still open.
#[derive(Debug)]
struct AttributedConversions {
    template: LogicalPlan,
}

impl TableFunctionImpl for AttributedConversions {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let (model, days) = match args.exprs() {
            [Expr::Literal(model, _), Expr::Literal(days, _)] => (model, days),
            _ => return plan_err!("{FUNCTION} takes a model and days: {FUNCTION}('last', 31)"),
        };
        let model = match model.try_as_str().flatten().map(str::parse::<Model>) {
            Some(Ok(model)) => model,
            _ => return plan_err!("{FUNCTION}: the model is 'last' or 'first', found {model}"),
        };
        let most = i64::try_from(Attribution::DAYS_MAX).unwrap_or(i64::MAX);
        let days = match days.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(days)) if (0..=most).contains(&days) => days,
            _ => return plan_err!("{FUNCTION}: days are 0 to {most}, found {days}"),
        };
        let values = vec![
            ("model".to_owned(), ScalarValue::from(model.as_str())),
            ("days".to_owned(), ScalarValue::from(days)),
        ];
        let plan = self.template.clone().with_param_values(values)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}
