//! `funnel(name, from, to [, options])`, `funnel_units` and `funnel_comparison`: the rows of a report as tables of SQL.

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

/// What a function gives.
#[derive(Debug, Clone, Copy)]
enum Rows {
    /// Counts per breakdown value and step.
    Counts,
    /// The units, and how far each got.
    Units,
    /// Each step beside the same one in the period before.
    Comparison,
}

impl Rows {
    const ALL: [Self; 3] = [Self::Counts, Self::Units, Self::Comparison];

    /// Name in SQL.
    const fn function(self) -> &'static str {
        match self {
            Self::Counts => "funnel",
            Self::Units => "funnel_units",
            Self::Comparison => "funnel_comparison",
        }
    }

    fn usage(self) -> String {
        let function = self.function();
        format!(
            "{function} takes a name, the first and the last day, and options: \
             {function}('impression_to_chat', '2024-03-04', '2024-03-10', \
             named_struct('unit', 'session'))"
        )
    }

    fn schema(
        self,
        session: &QuerySession,
        request: &ReportRequest,
        types: &[DataType],
    ) -> Result<SchemaRef, QueryError> {
        match self {
            Self::Counts => report::schema(session, request, types),
            Self::Units => report::unit_schema(request, types),
            Self::Comparison => report::comparison_schema(session, request),
        }
    }

    /// `is_read` says which columns are asked for.
    async fn of(
        self,
        session: &QuerySession,
        request: &ReportRequest,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<RecordBatch, QueryError> {
        match self {
            Self::Counts => Ok(report::counts(session, request).await?.1),
            Self::Units => {
                report::unit_rows(session, request, is_read(report::OFFER_OUTCOME)).await
            }
            Self::Comparison => Ok(report::comparison(session, request).await?.rows),
        }
    }
}

const OPTIONS: &str =
    "breakdown, top, account, unit, mode, window, timezone, where, date_basis, attribution";

/// Makes the functions known to a session that has `events_enriched`, whose columns are `enriched`.
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
    for rows in Rows::ALL {
        let around = Arc::clone(&around);
        let function = FunnelFunction { around, rows };
        ctx.register_udtf(rows.function(), Arc::new(function));
    }
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
        let state = state.ok_or_else(|| {
            plan_datafusion_err!("a function over a lake runs in a session of that lake")
        })?;
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
struct FunnelFunction {
    around: Arc<Around>,
    rows: Rows,
}

impl TableFunctionImpl for FunnelFunction {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let function = self.rows.function();
        let request = request(self.rows, &self.around.options.funnels, args.exprs())?;
        let mut types = Vec::with_capacity(request.by.len());
        for name in &request.by {
            let field = self.around.enriched.field_with_name(name).map_err(|_| {
                plan_datafusion_err!(
                    "{function}: option `breakdown`: events_enriched has no column `{name}`; \
                     `DESCRIBE events_enriched` lists them"
                )
            })?;
            types.push(match request.top {
                Some(_) => DataType::Utf8,
                None => field.data_type().clone(),
            });
        }
        let session = self.around.session(args.session())?;
        let schema = self.rows.schema(&session, &request, &types);
        let schema = schema.map_err(|error| refused(function, error))?;
        Ok(Arc::new(FunnelTable {
            around: Arc::clone(&self.around),
            rows: self.rows,
            request,
            schema,
        }))
    }
}

/// A report that is made when it is scanned.
#[derive(Debug)]
struct FunnelTable {
    around: Arc<Around>,
    rows: Rows,
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
        let is_read = |name: &str| {
            projection.is_none_or(|columns| {
                let names = columns
                    .iter()
                    .filter_map(|at| self.schema.fields().get(*at));
                names.into_iter().any(|field| field.name() == name)
            })
        };
        let rows = self.rows.of(&session, &self.request, is_read).await;
        let rows = rows.map_err(|error| refused(self.rows.function(), error))?;
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

fn request(rows: Rows, funnels: &Funnels, arguments: &[Expr]) -> PlanResult<ReportRequest> {
    let (function, usage) = (rows.function(), rows.usage());
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
        Some(_) => return plan_err!("{usage}"),
        None => return plan_err!("arguments of {function} are constants; {usage}"),
    };
    let Some(name) = name.try_as_str().flatten() else {
        return plan_err!("the name of a funnel is a text, found {name}; {usage}");
    };
    let funnel = funnels
        .get(name)
        .map_err(|error| plan_datafusion_err!("{function}: {error}"))?;
    let (from, to) = (date(function, "first", from)?, date(function, "last", to)?);
    if from > to {
        return plan_err!("{function}: the first day {from} lies after the last day {to}");
    }
    let mut request = ReportRequest::new(funnel, from, to);
    match options {
        None => {}
        Some(ScalarValue::Struct(options)) => set_all(function, &mut request, options)?,
        Some(other) => {
            return plan_err!(
                "the options of {function} are a struct, found {other}; \
                 write named_struct('unit', 'session')"
            );
        }
    }
    Ok(request)
}

fn date(function: &str, which: &str, value: &ScalarValue) -> PlanResult<NaiveDate> {
    let found = match value {
        ScalarValue::Date32(days) => days.and_then(Date32Type::to_naive_date_opt),
        other => other
            .try_as_str()
            .flatten()
            .and_then(|text| text.parse().ok()),
    };
    found.ok_or_else(|| {
        plan_datafusion_err!(
            "{function}: the {which} day is a date such as '2024-03-04', found {value}"
        )
    })
}

fn set_all(function: &str, request: &mut ReportRequest, options: &StructArray) -> PlanResult<()> {
    for (at, field) in options.fields().iter().enumerate() {
        let (name, value) = (field.name().as_str(), options.column(at));
        if options
            .fields()
            .iter()
            .skip(at + 1)
            .any(|f| f.name() == name)
        {
            return plan_err!("{function}: option `{name}` is given twice");
        }
        if name != "breakdown" && !ReportRequest::OPTIONS.contains(&name) {
            return plan_err!("{function} has no option `{name}`; it has: {OPTIONS}");
        }
        if name == "breakdown" {
            request.by = texts(function, name, &ScalarValue::try_from_array(value, 0)?)?;
        } else {
            let text = text(function, name, &ScalarValue::try_from_array(value, 0)?)?;
            request
                .set(name, &text)
                .map_err(|error| plan_datafusion_err!("{function}: {error}"))?;
        }
    }
    Ok(())
}

fn text(function: &str, name: &str, value: &ScalarValue) -> PlanResult<String> {
    let found = value.try_as_str().flatten().map(str::to_owned);
    found.ok_or_else(|| {
        plan_datafusion_err!("{function}: option `{name}` is a text, found {value}; leave it out")
    })
}

/// One text, or a list of texts.
fn texts(function: &str, name: &str, value: &ScalarValue) -> PlanResult<Vec<String>> {
    let ScalarValue::List(list) = value else {
        return Ok(vec![text(function, name, value)?]);
    };
    let items = cast(&list.value(0), &DataType::Utf8)?;
    let items = items.as_string::<i32>().iter();
    let items: Option<Vec<String>> = items.map(|item| item.map(str::to_owned)).collect();
    items.ok_or_else(|| plan_datafusion_err!("{function}: option `{name}` holds a NULL"))
}

#[cfg(test)]
mod tests;
