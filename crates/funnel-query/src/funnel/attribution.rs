//! `attributed_conversions(model, days)`: the table function behind every number on conversions.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
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
    let function = AttributedConversions {
        template,
        kept: None,
    };
    ctx.register_udtf(FUNCTION, Arc::new(function));
    Ok(())
}

/// Makes the rows for one choice of parameters once, for the many reports that will ask for them.
pub(crate) async fn keep(ctx: &SessionContext, attribution: Attribution) -> Result<()> {
    let failed = |source| QueryError::query("could not attribute the conversions", source);
    ensure_registered(ctx).await?;
    let asked = (attribution.model, attribution.days());
    let rows = async {
        let function = ctx.table_function(FUNCTION)?;
        let arguments = [lit(asked.0.as_str()), lit(asked.1)];
        let state = ctx.state();
        let arguments = TableFunctionArgs::new(&arguments, &state);
        let made = function.create_table_provider_with_args(arguments)?;
        ctx.read_table(made)?.cache().await
    };
    let rows = rows.await.map_err(failed)?;
    let template = ctx.state().create_logical_plan(SQL).await.map_err(failed)?;
    let function = AttributedConversions {
        template,
        kept: Some((asked, rows.into_view())),
    };
    ctx.register_udtf(FUNCTION, Arc::new(function));
    Ok(())
}

/// The plan of the function with its two parameters still open.
#[derive(Debug)]
struct AttributedConversions {
    template: LogicalPlan,
    /// The rows for one model and so many days.
    kept: Option<((Model, i64), Arc<dyn TableProvider>)>,
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
        if let Some((_, kept)) = self.kept.as_ref().filter(|(of, _)| *of == (model, days)) {
            return Ok(Arc::clone(kept));
        }
        let values = vec![
            ("model".to_owned(), ScalarValue::from(model.as_str())),
            ("days".to_owned(), ScalarValue::from(days)),
        ];
        let plan = self.template.clone().with_param_values(values)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}
