//! `funnel(name, from, to [, options])`: the rows of a report as a table of SQL.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::error::QueryError;
use crate::funnel::Funnels;
use crate::report::{self, ReportRequest};
use crate::{QueryOptions, QuerySession, named};

/// Name in SQL.
const FUNCTION: &str = "funnel";

const USAGE: &str = "funnel takes a name, the first and the last day, and options: \
    funnel('impression_to_chat', '2024-03-04', '2024-03-10', \
    named_struct('breakdown', 'device_family'))";

const OPTIONS: &str =
    "breakdown, top, account, unit, mode, window, timezone, where, date_basis, attribution";

/// Makes the function known to a session that has `events_enriched`, whose columns are `enriched`.
pub(crate) fn register(
    ctx: &SessionContext,
    enriched: SchemaRef,
    options: QueryOptions,
    as_of: DateTime<Utc>,
    complete_until: Option<DateTime<Utc>>,
) {
    let around = Around {
        enriched,
        options,
        as_of,
        complete_until,
    };
    let around = Arc::new(around);
    ctx.register_udtf(FUNCTION, Arc::new(FunnelFunction(Arc::clone(&around))));
    named::register(ctx, around);
}

/// What a report needs beside the tables of the session that asks.
#[derive(Debug)]
pub(crate) struct Around {
    enriched: SchemaRef,
    options: QueryOptions,
    as_of: DateTime<Utc>,
    complete_until: Option<DateTime<Utc>>,
}

impl Around {
    /// The session that asks. The function does not hold it: it is held by it.
    pub(crate) fn session(&self, session: &dyn Session) -> PlanResult<QuerySession> {
        let state = session.as_any().downcast_ref::<SessionState>();
        let state = state
            .ok_or_else(|| plan_datafusion_err!("{FUNCTION} runs in a session of its own lake"))?;
        let ctx = SessionContext::new_with_state(state.clone());
        Ok(QuerySession::around(
            ctx,
            self.options.clone(),
            self.as_of,
            self.complete_until,
        ))
    }
}

#[derive(Debug)]
struct FunnelFunction(Arc<Around>);

impl TableFunctionImpl for FunnelFunction {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let request = request(&self.0.options.funnels, args.exprs())?;
        let mut types = Vec::with_capacity(request.by.len());
        for name in &request.by {
            let field = self.0.enriched.field_with_name(name).map_err(|_| {
                plan_datafusion_err!(
                    "{FUNCTION}: option `breakdown`: events_enriched has no column `{name}`; \
                     `DESCRIBE events_enriched` lists them"
                )
            })?;
            types.push(match request.top {
                Some(_) => DataType::Utf8,
                None => field.data_type().clone(),
            });
        }
        let session = self.0.session(args.session())?;
        let schema =
            report::schema(&session, &request, &types).map_err(|error| refused(FUNCTION, error))?;
        Ok(Arc::new(FunnelTable {
            around: Arc::clone(&self.0),
            request,
            schema,
        }))
    }
}

/// A report that is made when it is scanned.
#[derive(Debug)]
struct FunnelTable {
    around: Arc<Around>,
    request: ReportRequest,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for FunnelTable {
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
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let session = self.around.session(session)?;
        let (_, rows) = report::counts(&session, &self.request)
            .await
            .map_err(|error| refused(FUNCTION, error))?;
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let schema = Arc::clone(&self.schema);
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], schema, projection.cloned())?;
        Ok(plan)
    }
}

/// What the caller can put right is an error of the plan, with its cause in one text.
pub(crate) fn refused(function: &str, error: QueryError) -> DataFusionError {
    if error.kind() != crate::ErrorKind::Usage {
        return DataFusionError::External(Box::new(error));
    }
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    plan_datafusion_err!("{function}: {error}{}", cause.unwrap_or_default())
}

fn request(funnels: &Funnels, arguments: &[Expr]) -> PlanResult<ReportRequest> {
    let literals: Option<Vec<&ScalarValue>> = arguments
        .iter()
        .map(|argument| match argument {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
        .collect();
    let (name, from, to, options) = match literals.as_deref() {
        Some([name, from, to]) => (*name, *from, *to, None),
        Some([name, from, to, options]) => (*name, *from, *to, Some(*options)),
        Some(_) => return plan_err!("{USAGE}"),
        None => return plan_err!("arguments of {FUNCTION} are constants; {USAGE}"),
    };
    let Some(name) = name.try_as_str().flatten() else {
        return plan_err!("the name of a funnel is a text, found {name}; {USAGE}");
    };
    let funnel = funnels
        .get(name)
        .map_err(|error| plan_datafusion_err!("{FUNCTION}: {error}"))?;
    let (from, to) = (date("first", from)?, date("last", to)?);
    if from > to {
        return plan_err!("{FUNCTION}: the first day {from} lies after the last day {to}");
    }
    let mut request = ReportRequest::new(funnel, from, to);
    match options {
        None => {}
        Some(ScalarValue::Struct(options)) => set_all(&mut request, options)?,
        Some(other) => {
            return plan_err!(
                "the options of {FUNCTION} are a struct, found {other}; \
                 write named_struct('unit', 'session')"
            );
        }
    }
    Ok(request)
}

fn date(which: &str, value: &ScalarValue) -> PlanResult<NaiveDate> {
    let found = match value {
        ScalarValue::Date32(days) => days.and_then(Date32Type::to_naive_date_opt),
        other => other
            .try_as_str()
            .flatten()
            .and_then(|text| text.parse().ok()),
    };
    found.ok_or_else(|| {
        plan_datafusion_err!(
            "{FUNCTION}: the {which} day is a date such as '2024-03-04', found {value}"
        )
    })
}

fn set_all(request: &mut ReportRequest, options: &StructArray) -> PlanResult<()> {
    for (at, field) in options.fields().iter().enumerate() {
        let (name, value) = (field.name().as_str(), options.column(at));
        if options
            .fields()
            .iter()
            .skip(at + 1)
            .any(|f| f.name() == name)
        {
            return plan_err!("{FUNCTION}: option `{name}` is given twice");
        }
        if name != "breakdown" && !ReportRequest::OPTIONS.contains(&name) {
            return plan_err!("{FUNCTION} has no option `{name}`; it has: {OPTIONS}");
        }
        if name == "breakdown" {
            request.by = texts(name, &ScalarValue::try_from_array(value, 0)?)?;
        } else {
            let text = text(name, &ScalarValue::try_from_array(value, 0)?)?;
            request
                .set(name, &text)
                .map_err(|error| plan_datafusion_err!("{FUNCTION}: {error}"))?;
        }
    }
    Ok(())
}

fn text(name: &str, value: &ScalarValue) -> PlanResult<String> {
    let found = value.try_as_str().flatten().map(str::to_owned);
    found.ok_or_else(|| {
        plan_datafusion_err!("{FUNCTION}: option `{name}` is a text, found {value}; leave it out")
    })
}

/// One text, or a list of texts.
fn texts(name: &str, value: &ScalarValue) -> PlanResult<Vec<String>> {
    let ScalarValue::List(list) = value else {
        return Ok(vec![text(name, value)?]);
    };
    let items = cast(&list.value(0), &DataType::Utf8)?;
    let items = items.as_string::<i32>().iter();
    let items: Option<Vec<String>> = items.map(|item| item.map(str::to_owned)).collect();
    items.ok_or_else(|| plan_datafusion_err!("{FUNCTION}: option `{name}` holds a NULL"))
}

#[cfg(test)]
mod tests;
