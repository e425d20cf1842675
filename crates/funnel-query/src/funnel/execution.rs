//! From the rows of the units to counts per step.
//!
//! First one row per unit and breakdown value: which steps it reached and when. Then one row per
//! breakdown value with every count. A unit with several values of a dimension counts in each;
//! rows without a value belong to all values of their unit, and NULL is a value only where the
//! unit has no other. Values come from every form of a fact, counts from one.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures::StreamExt;

use super::chain::{self, Matcher};
use super::counts::{Counter, Counts};
use super::definition::FunnelDefinition;
use super::options::{Mode, Unit, Window};
use super::projection::{self, AFTER_INTERACTIVE, Scope, UNIT_KEY};
use super::top::{self, Kept};
use crate::error::{QueryError, Result};

/// A funnel question with every choice made.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) definition: &'a FunnelDefinition,
    pub(crate) unit: Unit,
    pub(crate) mode: Mode,
    pub(crate) window: Window,
    pub(crate) by: &'a [String],
    /// How many values of each breakdown stay apart; `None`: all.
    pub(crate) top: Option<usize>,
    pub(crate) where_sql: Option<&'a str>,
}

/// The predicates of one step, parsed.
#[derive(Debug)]
pub(crate) struct StepRules {
    pub(crate) when: Expr,
    pub(crate) optional: bool,
    /// Its rows are among those of the step before.
    pub(crate) refines_previous: bool,
    pub(crate) required_when: Option<Expr>,
    pub(crate) seen_when: Option<Expr>,
}

/// Counts per breakdown value.
pub(crate) async fn execute(
    ctx: &SessionContext,
    scope: &Scope,
    question: &Question<'_>,
) -> Result<Counts> {
    let parsed = Parsed::new(ctx, question).await?;
    let rows = projection::project(ctx, scope, question.unit, &parsed.wanted).await?;
    let kept = top::kept(ctx, scope, &rows, question, &parsed).await?;
    count(ctx, scope, rows, question, kept.as_ref(), &parsed).await
}

/// One row per unit and breakdown value: what [`execute`] counts.
pub(crate) async fn plan(
    ctx: &SessionContext,
    scope: &Scope,
    question: &Question<'_>,
) -> Result<DataFrame> {
    let parsed = Parsed::new(ctx, question).await?;
    let rows = projection::project(ctx, scope, question.unit, &parsed.wanted).await?;
    let kept = top::kept(ctx, scope, &rows, question, &parsed).await?;
    units_of(ctx, scope, rows, question, kept.as_ref(), &parsed)
}

/// For each of several questions about the same rows, which are then read once, and projected once
/// for each unit: its units as `chain` makes them.
pub(crate) async fn units_of_all(
    ctx: &SessionContext,
    scope: &Scope,
    questions: &[Question<'_>],
) -> Result<Vec<Vec<RecordBatch>>> {
    let mut parsed = Vec::with_capacity(questions.len());
    for question in questions {
        parsed.push(Parsed::new(ctx, question).await?);
    }
    let wanted = parsed
        .iter()
        .flat_map(|parsed| parsed.wanted.iter().cloned())
        .collect();
    let rows = projection::of_scope(ctx, scope, &wanted).await?;
    let mut by_unit = HashMap::new();
    let mut units = Vec::with_capacity(questions.len());
    for (question, parsed) in questions.iter().zip(&parsed) {
        let rows = match by_unit.entry(question.unit) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(missing) => missing
                .insert(projection::of_units(rows.clone(), scope, question.unit, &wanted).await?),
        };
        let kept = top::kept(ctx, scope, rows, question, parsed).await?;
        let found = units_of(ctx, scope, rows.clone(), question, kept.as_ref(), parsed)?
            .collect()
            .await;
        units.push(found.map_err(|source| QueryError::query("could not run the funnel", source))?);
    }
    Ok(units)
}

/// Counts units that were made before.
pub(crate) async fn tally(
    ctx: &SessionContext,
    question: &Question<'_>,
    units: &[RecordBatch],
) -> Result<Counts> {
    let failed = |source: ArrowError| QueryError::query("could not count units", source.into());
    let parsed = Parsed::new(ctx, question).await?;
    let types = types_of(ctx, question.by).await?;
    let mut counter = Counter::new(&parsed.steps, &types).map_err(failed)?;
    for batch in units {
        counter.add(batch).map_err(failed)?;
    }
    counter.finish()
}

/// The types of columns of `events_enriched`, which are those of breakdowns by them.
pub(crate) async fn types_of(ctx: &SessionContext, names: &[String]) -> Result<Vec<DataType>> {
    let failed = |source| QueryError::query("could not read view `events_enriched`", source);
    let enriched = ctx.table("events_enriched").await.map_err(failed)?;
    let field = |name: &String| enriched.schema().field_with_unqualified_name(name);
    let types = names
        .iter()
        .map(|name| Ok(field(name)?.data_type().clone()));
    types.collect::<PlanResult<_>>().map_err(failed)
}

/// The predicates of a question and the columns that they and its breakdown need.
pub(crate) struct Parsed {
    pub(crate) steps: Vec<StepRules>,
    pub(crate) filters: Vec<Expr>,
    pub(crate) wanted: BTreeSet<String>,
}

impl Parsed {
    pub(crate) async fn new(ctx: &SessionContext, question: &Question<'_>) -> Result<Self> {
        let parser = Parser::new(ctx).await?;
        let steps = parser.steps(question.definition)?;
        let filters = parser.filters(question)?;
        parser.check_columns(question.by)?;
        let mut wanted: BTreeSet<String> = question.by.iter().cloned().collect();
        for rule in steps
            .iter()
            .flat_map(StepRules::expressions)
            .chain(&filters)
        {
            wanted.extend(
                rule.column_refs()
                    .into_iter()
                    .map(|column| column.name.clone()),
            );
        }
        wanted.remove(UNIT_KEY);
        let filters = filters.into_iter().map(with_values_of_unit);
        let failed = |source| QueryError::query("could not plan the funnel", source);
        Ok(Self {
            steps,
            filters: filters.collect::<PlanResult<_>>().map_err(failed)?,
            wanted,
        })
    }
}

/// The filter over the same values of dimensions as a breakdown has.
fn with_values_of_unit(filter: Expr) -> PlanResult<Expr> {
    let replaced = filter.transform_down(|part| match part {
        Expr::Column(column) => {
            let value = projection::dimension(&column.name)?;
            // What stands for a column is not looked into again.
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(replaced?.data)
}

/// One row per unit and breakdown value.
fn units_of(
    ctx: &SessionContext,
    scope: &Scope,
    rows: DataFrame,
    question: &Question<'_>,
    kept: Option<&Kept>,
    parsed: &Parsed,
) -> Result<DataFrame> {
    let failed = |source| QueryError::query("could not plan the funnel", source);
    let rows = counted(rows, question, kept, &parsed.filters).map_err(failed)?;
    let matcher = Matcher {
        ctx,
        mode: question.mode,
        window: question.window,
        as_of: scope.as_of,
    };
    chain::per_unit(&matcher, rows, &parsed.steps, question.by.len()).map_err(failed)
}

/// Counts `rows`; of the breakdowns the values in `kept` stay apart.
pub(super) async fn count(
    ctx: &SessionContext,
    scope: &Scope,
    rows: DataFrame,
    question: &Question<'_>,
    kept: Option<&Kept>,
    parsed: &Parsed,
) -> Result<Counts> {
    let units = units_of(ctx, scope, rows, question, kept, parsed)?;
    let failed = |source| QueryError::query("could not run the funnel", source);
    let types: Vec<_> = (0..question.by.len())
        .map(|index| units.schema().field(index).data_type().clone())
        .collect();
    let counter = Counter::new(&parsed.steps, &types);
    let mut counter = counter.map_err(|e| failed(e.into()))?;
    let mut batches = units.execute_stream().await.map_err(failed)?;
    while let Some(batch) = batches.next().await {
        counter
            .add(&batch.map_err(failed)?)
            .map_err(|e| failed(e.into()))?;
    }
    counter.finish()
}

/// The rows that count for a question, with their breakdown values.
pub(crate) fn counted(
    mut rows: DataFrame,
    question: &Question<'_>,
    kept: Option<&Kept>,
    filters: &[Expr],
) -> PlanResult<DataFrame> {
    for filter in filters {
        rows = restrict(rows, filter.clone())?;
    }
    break_down(rows, question.by, kept).and_then(projection::facts)
}

impl StepRules {
    fn expressions(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.when)
            .chain(&self.required_when)
            .chain(&self.seen_when)
    }
}

/// Parses predicates against the columns of the projection.
struct Parser<'a> {
    ctx: &'a SessionContext,
    schema: DFSchema,
}

impl<'a> Parser<'a> {
    async fn new(ctx: &'a SessionContext) -> Result<Self> {
        let failed = |source| QueryError::query("could not read view `events_enriched`", source);
        let enriched = ctx.table("events_enriched").await.map_err(failed)?;
        let projected = enriched
            .with_column(AFTER_INTERACTIVE, lit(true))
            .and_then(|rows| rows.with_column(UNIT_KEY, lit("")))
            .map_err(failed)?;
        let arrow = projected.schema().as_arrow().clone();
        let schema = DFSchema::try_from(arrow).map_err(failed)?;
        Ok(Self { ctx, schema })
    }

    fn predicate(&self, place: &str, sql: &str) -> Result<Expr> {
        let parsed = self.ctx.parse_sql_expr(sql, &self.schema);
        parsed.map_err(|source| {
            QueryError::usage(format!(
                "{place} is not a predicate over events_enriched: {sql}"
            ))
            .with_source(source)
        })
    }

    fn steps(&self, definition: &FunnelDefinition) -> Result<Vec<StepRules>> {
        let mut rules = Vec::with_capacity(definition.steps.len());
        for step in &definition.steps {
            let rule = |key: &str, sql: &str| {
                let place = format!(
                    "`{key}` of step `{}` of funnel `{}`",
                    step.name, definition.name
                );
                self.predicate(&place, sql)
            };
            let optional_rule = |key: &str, sql: &Option<String>| {
                sql.as_deref().map(|sql| rule(key, sql)).transpose()
            };
            rules.push(StepRules {
                when: rule("when", &step.when)?,
                optional: step.optional,
                refines_previous: step.refines_previous,
                required_when: optional_rule("required_when", &step.required_when)?,
                seen_when: optional_rule("seen_when", &step.seen_when)?,
            });
        }
        Ok(rules)
    }

    fn filters(&self, question: &Question<'_>) -> Result<Vec<Expr>> {
        let mut filters = Vec::new();
        if let Some(sql) = &question.definition.where_sql {
            let place = format!("`where` of funnel `{}`", question.definition.name);
            filters.push(self.predicate(&place, sql)?);
        }
        if let Some(sql) = question.where_sql {
            filters.push(self.predicate("the filter", sql)?);
        }
        Ok(filters)
    }

    fn check_columns(&self, names: &[String]) -> Result<()> {
        for name in names {
            if self.schema.field_with_unqualified_name(name).is_err() || name == UNIT_KEY {
                return Err(QueryError::usage(format!(
                    "could not break down by `{name}`: events_enriched has no such column; \
                     `DESCRIBE events_enriched` lists them"
                )));
            }
        }
        Ok(())
    }
}

/// Keeps the rows for which the filter is true, and those for which it is NULL, of the units that
/// have a row for which it is true. A filter on a dimension thus keeps the session rows, which do
/// not carry it.
fn restrict(rows: DataFrame, filter: Expr) -> PlanResult<DataFrame> {
    let units = rows
        .clone()
        .filter(filter.clone().is_true())?
        .select(vec![ident(UNIT_KEY).alias("kept_key")])?
        .distinct()?;
    rows.filter(filter.is_not_false())?.join(
        units,
        JoinType::LeftSemi,
        &[UNIT_KEY],
        &["kept_key"],
        None,
    )
}

/// Adds `by_0`, `by_1`, … with the breakdown values of each row.
fn break_down(rows: DataFrame, by: &[String], kept: Option<&Kept>) -> PlanResult<DataFrame> {
    let mut rows = rows;
    for (index, column) in by.iter().enumerate() {
        let value = projection::dimension(column)?;
        let value = match kept.and_then(|kept| kept.get(index)) {
            Some(kept) => top::value(value, kept)?,
            None => value,
        };
        rows = rows.with_column(&by_name(index), value)?;
    }
    for index in 0..by.len() {
        rows = spread(rows, index)?;
    }
    Ok(rows)
}

/// Repeats the rows without a value of breakdown `index` for each value that the rest of the unit
/// has among rows equal in the breakdowns before.
fn spread(rows: DataFrame, index: usize) -> PlanResult<DataFrame> {
    let name = by_name(index);
    let mut keys = vec![
        ident(UNIT_KEY).alias("value_unit"),
        ident(&name).alias("value"),
    ];
    let mut on = vec![
        ident(UNIT_KEY).eq(ident("value_unit")),
        ident(&name).is_null(),
    ];
    for before in 0..index {
        let alias = format!("value_{before}");
        keys.push(ident(by_name(before)).alias(&alias));
        on.push(datafusion::logical_expr::binary_expr(
            ident(by_name(before)),
            datafusion::logical_expr::Operator::IsNotDistinctFrom,
            ident(alias),
        ));
    }
    let values = rows
        .clone()
        .filter(ident(&name).is_not_null())?
        .select(keys)?
        .distinct()?;
    let columns: Vec<Expr> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| match field.name() {
            own if *own == name => {
                datafusion::functions::expr_fn::coalesce(vec![ident(own), ident("value")])
                    .alias(own)
            }
            other => ident(other),
        })
        .collect();
    rows.join_on(values, JoinType::Left, on)?.select(columns)
}

/// Name of the column that holds breakdown `index` inside the plan.
pub(crate) fn by_name(index: usize) -> String {
    format!("by_{index}")
}
