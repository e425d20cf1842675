//! From the expressions of a definition to rows ordered by key and time.
//!
//! Columns: `key_0` (with attribution `all` the breakdown follows as `key_1`, …), `hold_0`, …,
//! `by_0`, …, `time` (Int64), `step_0`, …, `exclusion_0`, …, `event_id` where there is one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result as PlanResult;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use datafusion::prelude::{DataFrame, SessionContext, ident};

use super::definition::{Instant, Span, TableFunnel, Touch};
use crate::error::{QueryError, Result};
use crate::funnel::Window;

/// What a number in the column `time` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The table's own unit.
    Integer,
    /// The table's own unit, without a sign: moved by 2^63, so that order and distances stay.
    Unsigned,
    /// So many a second.
    Ticks(i64),
}

impl Clock {
    /// The `span` given as `key` in this unit; `None` is unbounded.
    pub(crate) fn length(self, key: &str, span: Span) -> Result<Option<u64>> {
        match (self, span) {
            (_, Span::Time(Window::Unbounded)) => Ok(None),
            (Self::Integer | Self::Unsigned, Span::Number(number)) => Ok(Some(number)),
            (Self::Ticks(ticks), Span::Time(Window::Within(span))) => {
                let ticks = u64::try_from(ticks).unwrap_or(1);
                Ok(Some(span.as_secs().saturating_mul(ticks)))
            }
            (Self::Integer | Self::Unsigned, Span::Time(window)) => {
                Err(QueryError::usage(format!(
                    "`{key}` is {window}, but `source.time` is an integer: write a bare number in \
                 the unit of that column, or make a timestamp of it"
                )))
            }
            (Self::Ticks(_), Span::Number(number)) => Err(QueryError::usage(format!(
                "`{key}` is {number}, but `source.time` is a time: write a unit, such as \
                 \"{number} seconds\""
            ))),
        }
    }

    /// `instant` in this unit.
    pub(crate) fn instant(self, instant: Instant) -> Result<i64> {
        match (self, instant) {
            (Self::Integer, Instant::Number(number)) => Ok(number),
            // Nothing is before 0.
            (Self::Unsigned, Instant::Number(number)) => Ok(number.max(0) ^ i64::MIN),
            (Self::Ticks(ticks), Instant::Time(time)) => {
                let micros = i128::from(time.timestamp_micros()) * i128::from(ticks);
                let found = i64::try_from(micros.div_euclid(1_000_000));
                found.map_err(|_| QueryError::usage(format!("`as_of` {time} is out of range")))
            }
            (Self::Integer | Self::Unsigned, Instant::Time(time)) => Err(QueryError::usage(
                format!("`as_of` is {time}, but `source.time` is an integer: write a bare number"),
            )),
            (Self::Ticks(_), Instant::Number(number)) => Err(QueryError::usage(format!(
                "`as_of` is {number}, but `source.time` is a time: write a time such as \
                 2024-03-04T12:00:00Z"
            ))),
        }
    }

    /// The instant that a number of a time column stands for.
    pub(crate) fn time(self, number: i64) -> Option<DateTime<Utc>> {
        match self {
            Self::Integer | Self::Unsigned => None,
            Self::Ticks(ticks) => {
                let rest = number.rem_euclid(ticks) * (1_000_000_000 / ticks);
                DateTime::from_timestamp(number.div_euclid(ticks), u32::try_from(rest).ok()?)
            }
        }
    }

    /// How many units of `time` are a second; 1 where the unit is the table's own.
    pub(crate) fn ticks(self) -> i64 {
        match self {
            Self::Integer | Self::Unsigned => 1,
            Self::Ticks(ticks) => ticks,
        }
    }

    /// What stands in the column for `number`, where that is a number.
    pub(crate) fn number(self, number: i64) -> i128 {
        match self {
            Self::Integer | Self::Ticks(_) => number.into(),
            Self::Unsigned => i128::from(number) - i128::from(i64::MIN),
        }
    }

    /// Numbers of the column, where its times are numbers.
    pub(crate) fn numbers(self, times: &[Option<i64>]) -> Option<ArrayRef> {
        let unsigned = |time: &Option<i64>| time.map(|time| (time ^ i64::MIN).cast_unsigned());
        match self {
            Self::Integer => Some(Arc::new(Int64Array::from(times.to_vec()))),
            Self::Unsigned => Some(Arc::new(
                times.iter().map(unsigned).collect::<UInt64Array>(),
            )),
            Self::Ticks(_) => None,
        }
    }
}

/// The rows of a funnel, and how to read them.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rows: DataFrame,
    pub(crate) clock: Clock,
    /// Columns that are the key: the first alone, or with the breakdown.
    pub(crate) keys: usize,
    pub(crate) holds: usize,
    pub(crate) by: usize,
    pub(crate) steps: usize,
    pub(crate) exclusions: usize,
    pub(crate) has_id: bool,
}

/// Plans the rows of `funnel`.
pub(crate) async fn plan(ctx: &SessionContext, funnel: &TableFunnel) -> Result<Plan> {
    plan_rows(ctx, funnel, None).await
}

/// Plans every row of one key; the column `kept` says whether `where` holds.
pub(crate) async fn plan_key(
    ctx: &SessionContext,
    funnel: &TableFunnel,
    key: &str,
) -> Result<Plan> {
    plan_rows(ctx, funnel, Some(key)).await
}

async fn plan_rows(ctx: &SessionContext, funnel: &TableFunnel, only: Option<&str>) -> Result<Plan> {
    let table = &funnel.source.table;
    let rows = ctx.table(table.as_str()).await.map_err(|source| {
        let message =
            format!("the definition reads table `{table}`: give it with --table {table}=FILE");
        QueryError::usage(message).with_source(source)
    })?;
    let parser = Parser {
        funnel,
        rows: &rows,
    };
    let (time, clock) = parser.time()?;
    let Grouping { keys, mut columns } = parser.grouping()?;
    // Rows of a key stand together, those of equal held values within, each in order of time.
    let names = columns.iter().map(|column| column.qualified_name().1);
    let mut order: Vec<Expr> = names.map(ident).collect();
    for (index, sql) in funnel.breakdown.by.iter().enumerate() {
        columns.push(parser.breakdown(sql)?.alias(format!("by_{index}")));
    }
    columns.push(time.alias("time"));
    order.push(ident("time"));
    let any = parser.conditions(&mut columns)?;
    if let Some(sql) = &funnel.source.sequence {
        columns.push(parser.expression("source.sequence", sql)?.alias("sequence"));
        order.push(ident("sequence"));
    }
    if let Some(sql) = &funnel.source.event_id {
        let id = cast(parser.expression("source.event_id", sql)?, DataType::Utf8);
        columns.push(id.alias("event_id"));
        order.push(ident("event_id"));
    }
    let filter = funnel.where_sql.as_deref();
    let filter = filter
        .map(|sql| parser.predicate("where", sql))
        .transpose()?;
    let failed = |source| QueryError::query("could not plan the funnel", source);
    let rows = match only {
        None => {
            let any = (!funnel.mode.needs_all_rows()).then_some(any);
            ordered(rows.clone(), funnel, filter, columns, order, any)
        }
        Some(key) => {
            let kept = filter.map_or_else(|| lit(true), Expr::is_true);
            columns.push(kept.alias("kept"));
            let own = cast(
                parser.expression("source.key", &funnel.source.key)?,
                DataType::Utf8,
            );
            let rows = rows.clone().filter(own.eq(lit(key))).map_err(failed)?;
            ordered(rows, funnel, None, columns, order, None)
        }
    };
    Ok(Plan {
        rows: rows.map_err(failed)?,
        clock,
        keys,
        holds: funnel.hold.len(),
        by: funnel.breakdown.by.len(),
        steps: funnel.steps.len(),
        exclusions: funnel.exclusions.len(),
        has_id: funnel.source.event_id.is_some(),
    })
}

/// The columns whose values a chain has in common.
struct Grouping {
    keys: usize,
    columns: Vec<Expr>,
}

/// The rows that can matter, in the order in which they are matched.
fn ordered(
    rows: DataFrame,
    funnel: &TableFunnel,
    filter: Option<Expr>,
    mut columns: Vec<Expr>,
    mut order: Vec<Expr>,
    any: Option<Expr>,
) -> PlanResult<DataFrame> {
    let mut rows = rows;
    if funnel.mode.depends_on_row_order() && funnel.source.sequence.is_none() {
        rows = rows.window(vec![row_number().alias("arrival_order")])?;
        columns.push(ident("arrival_order"));
        let after_time = order.iter().position(|key| *key == ident("time"));
        order.insert(
            after_time.map_or(order.len(), |at| at + 1),
            ident("arrival_order"),
        );
    }
    if let Some(filter) = filter {
        rows = rows.filter(filter)?;
    }
    rows = rows.select(columns)?;
    if let Some(any) = any {
        rows = rows.filter(any)?;
    }
    rows.sort(order.into_iter().map(|key| key.sort(true, false)).collect())
}

/// Parses expressions over the columns of the table.
struct Parser<'a> {
    funnel: &'a TableFunnel,
    rows: &'a DataFrame,
}

impl Parser<'_> {
    /// Adds a column for each step and each exclusion; gives whether any of them holds.
    fn conditions(&self, columns: &mut Vec<Expr>) -> Result<Expr> {
        let steps = self.funnel.steps.iter().map(|step| &step.when);
        let exclusions = self
            .funnel
            .exclusions
            .iter()
            .map(|exclusion| &exclusion.when);
        let steps = steps.enumerate().map(|(index, when)| ("step", index, when));
        let exclusions = exclusions.enumerate();
        let exclusions = exclusions.map(|(index, when)| ("exclusion", index, when));
        let mut any = lit(false);
        for (what, index, when) in steps.chain(exclusions) {
            let name = format!("{what}_{index}");
            let condition = self.predicate(&format!("{what}s[{index}].when"), when)?;
            columns.push(condition.alias(&name));
            any = any.or(ident(name));
        }
        Ok(any)
    }

    fn expression(&self, key: &str, sql: &str) -> Result<Expr> {
        let (name, table) = (&self.funnel.name, &self.funnel.source.table);
        let found = self.rows.parse_sql_expr(sql).map_err(|source| {
            QueryError::usage(format!(
                "`{key}` of funnel `{name}` is not an expression over table `{table}`: {sql}"
            ))
            .with_source(source)
        })?;
        let of_several_rows = |part: &Expr| {
            Ok(matches!(
                part,
                Expr::AggregateFunction(_)
                    | Expr::WindowFunction(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::ScalarSubquery(_)
            ))
        };
        if found.exists(of_several_rows).unwrap_or(true) {
            return Err(QueryError::usage(format!(
                "`{key}` of funnel `{name}` must be about one row of table `{table}`, without \
                 aggregates, windows and queries, found {sql}"
            )));
        }
        Ok(found)
    }

    fn data_type(&self, key: &str, sql: &str) -> Result<(Expr, DataType)> {
        let value = self.expression(key, sql)?;
        let found = value.get_type(self.rows.schema());
        let found = found.map_err(|source| {
            QueryError::usage(format!(
                "`{key}` of funnel `{}` has no type: {sql}",
                self.funnel.name
            ))
            .with_source(source)
        })?;
        Ok((value, found))
    }

    /// The first or last row with a value names the group; an empty text is none there.
    fn breakdown(&self, sql: &str) -> Result<Expr> {
        let (value, found) = self.data_type("breakdown.by", sql)?;
        let by_value = matches!(
            self.funnel.breakdown.attribution,
            Touch::First | Touch::Last
        );
        Ok(match by_value && found.is_string() {
            true => nullif(value, lit("")),
            false => value,
        })
    }

    fn predicate(&self, key: &str, sql: &str) -> Result<Expr> {
        match self.data_type(key, sql)? {
            (value, DataType::Boolean) => Ok(value),
            (value, found) if found.is_integer() || found == DataType::Null => {
                Ok(cast(value, DataType::Boolean))
            }
            (_, found) => Err(QueryError::usage(format!(
                "`{key}` of funnel `{}` is {found}, not a condition: {sql}",
                self.funnel.name
            ))),
        }
    }

    fn grouping(&self) -> Result<Grouping> {
        let mut expressions = vec![("source.key", &self.funnel.source.key)];
        if self.funnel.breakdown.attribution == Touch::All {
            expressions.extend(
                self.funnel
                    .breakdown
                    .by
                    .iter()
                    .map(|sql| ("breakdown.by", sql)),
            );
        }
        let mut columns = Vec::new();
        for (index, (key, sql)) in expressions.iter().enumerate() {
            columns.push(self.expression(key, sql)?.alias(format!("key_{index}")));
        }
        for (index, sql) in self.funnel.hold.iter().enumerate() {
            columns.push(self.expression("hold", sql)?.alias(format!("hold_{index}")));
        }
        Ok(Grouping {
            keys: expressions.len(),
            columns,
        })
    }

    fn time(&self) -> Result<(Expr, Clock)> {
        let sql = &self.funnel.source.time;
        let (value, found) = self.data_type("source.time", sql)?;
        let number = cast(value.clone(), DataType::Int64);
        Ok(match found {
            DataType::Timestamp(unit, _) => (number, Clock::Ticks(ticks(unit))),
            DataType::Date64 => (number, Clock::Ticks(1_000)),
            DataType::Date32 => {
                let days = cast(cast(value, DataType::Int32), DataType::Int64);
                (days * lit(86_400_i64), Clock::Ticks(1))
            }
            DataType::UInt64 => {
                const DIGITS: u8 = 20;
                let wide = cast(value, DataType::Decimal128(DIGITS, 0));
                let middle = ScalarValue::Decimal128(Some(1 << 63), DIGITS, 0);
                let moved = cast(wide - lit(middle), DataType::Int64);
                (moved, Clock::Unsigned)
            }
            found if found.is_integer() => (number, Clock::Integer),
            found => {
                return Err(QueryError::usage(format!(
                    "`source.time` of funnel `{}` is {found}: write a TIMESTAMP, a DATE or an \
                     integer, such as CAST({sql} AS TIMESTAMP)",
                    self.funnel.name
                )));
            }
        })
    }
}

fn ticks(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
