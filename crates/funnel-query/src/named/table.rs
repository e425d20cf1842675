//! `named_query(name [, parameters])` and `named_queries()`: the named queries as tables of SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::datasource::MemTable;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use super::NamedQuery;
use crate::table_function::{Around, refused};

const FUNCTION: &str = "named_query";
const LIST: &str = "named_queries";
const USAGE: &str = "named_query takes a name and parameters: named_query('metrics', \
    named_struct('from', '2024-03-04', 'to', '2024-03-10')); `SELECT * FROM named_queries()` lists them";

/// Makes both functions known to a session.
pub(crate) fn register(ctx: &SessionContext, around: Arc<Around>) {
    ctx.register_udtf(FUNCTION, Arc::new(QueryFunction(around)));
    ctx.register_udtf(LIST, Arc::new(ListFunction));
}

#[derive(Debug)]
struct QueryFunction(Arc<Around>);

impl TableFunctionImpl for QueryFunction {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        let (name, params) = match args.exprs() {
            [Expr::Literal(name, _)] => (name, BTreeMap::new()),
            [Expr::Literal(name, _), Expr::Literal(params, _)] => (name, texts(params)?),
            _ => return plan_err!("{USAGE}"),
        };
        let Some(name) = name.try_as_str().flatten() else {
            return plan_err!("the name of a query is a text, found {name}; {USAGE}");
        };
        let query = super::find(name).map_err(|error| refused(FUNCTION, error))?;
        // A wrong parameter is an error of the plan.
        super::bind::values(&query, &params).map_err(|error| refused(FUNCTION, error))?;
        Ok(Arc::new(QueryTable {
            around: Arc::clone(&self.0),
            schema: schema(&query),
            query,
            params,
        }))
    }
}

/// A named query that is run when it is scanned.
#[derive(Debug)]
struct QueryTable {
    around: Arc<Around>,
    schema: SchemaRef,
    query: NamedQuery,
    params: BTreeMap<String, String>,
}

#[async_trait]
impl TableProvider for QueryTable {
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
        let batches = super::run(&session, &self.query.name, &self.params)
            .await
            .map_err(|error| refused(FUNCTION, error))?;
        let batches = batches.iter().map(|batch| {
            let columns = batch.columns().iter().zip(self.schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        });
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let rows = concat_batches(&self.schema, &batches)?;
        let schema = Arc::clone(&self.schema);
        let plan = MemorySourceConfig::try_new_exec(&[vec![rows]], schema, projection.cloned())?;
        Ok(plan)
    }
}

/// The columns that the front matter declares.
fn schema(query: &NamedQuery) -> SchemaRef {
    let fields = query.columns.iter().map(|column| {
        let data_type = match column.kind.as_str() {
            "DATE" => DataType::Date32,
            "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "BIGINT" => DataType::Int64,
            "INTEGER" => DataType::Int32,
            "SMALLINT" => DataType::Int16,
            "DOUBLE" => DataType::Float64,
            "BOOLEAN" => DataType::Boolean,
            "DECIMAL" => DataType::Decimal128(38, 4),
            _ => DataType::Utf8,
        };
        Field::new(&column.name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The fields of a struct as the texts of parameters.
fn texts(params: &ScalarValue) -> PlanResult<BTreeMap<String, String>> {
    let ScalarValue::Struct(params) = params else {
        return plan_err!("the parameters are a struct, found {params}; {USAGE}");
    };
    let mut texts = BTreeMap::new();
    for (field, values) in params.fields().iter().zip(params.columns()) {
        let text = ScalarValue::try_from_array(&cast(values, &DataType::Utf8)?, 0)?;
        let text = text.try_as_str().flatten();
        let text = text.ok_or_else(|| {
            plan_datafusion_err!(
                "parameter `{}` of a named query has no value; leave it out",
                field.name()
            )
        })?;
        texts.insert(field.name().clone(), text.to_owned());
    }
    Ok(texts)
}

#[derive(Debug)]
struct ListFunction;

impl TableFunctionImpl for ListFunction {
    fn call_with_args(
        &self,
        args: TableFunctionArgs<'_, '_>,
    ) -> PlanResult<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("{LIST} takes no arguments");
        }
        let queries = super::list().map_err(|error| refused(LIST, error))?;
        let params = |query: &NamedQuery| {
            let params = query.params.iter().map(|param| {
                let default = param
                    .default
                    .as_ref()
                    .map(|default| format!(" = {default}"));
                format!(
                    "{} {}{}",
                    param.name,
                    param.kind,
                    default.unwrap_or_default()
                )
            });
            params.collect::<Vec<_>>().join(", ")
        };
        let columns = |query: &NamedQuery| {
            let columns = query.columns.iter().map(|column| column.name.as_str());
            columns.collect::<Vec<_>>().join(", ")
        };
        let texts = |text: &dyn Fn(&NamedQuery) -> String| -> ArrayRef {
            Arc::new(
                queries
                    .iter()
                    .map(|query| Some(text(query)))
                    .collect::<StringArray>(),
            )
        };
        let values = vec![
            texts(&|query| query.name.clone()),
            texts(&|query| query.question.clone()),
            texts(&params),
            texts(&columns),
        ];
        let fields = ["name", "question", "parameters", "columns"];
        let fields = fields.map(|name| Field::new(name, DataType::Utf8, false));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let rows = RecordBatch::try_new(Arc::clone(&schema), values)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?))
    }
}
