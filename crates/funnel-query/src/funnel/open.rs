//! Which units can still get rows: the rule by which view `offers` says `in_progress`.

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, ident};

use super::options::Unit;
use super::projection::{UNIT_KEY, all_columns, facts};

/// Whether the unit of a row can still get rows.
pub(crate) const STILL_OPEN: &str = "is_still_open";

/// Signs of life of a chat.
const CHAT_EVENTS: [&str; 7] = [
    "chat_requested",
    "chat_connected",
    "chat_line",
    "chat_interactive",
    "chat_transferred",
    "chat_resume_failed",
    CHAT_END,
];
const CHAT_END: &str = "chat_ended";

/// A session lives at most six hours; a chat without an end is given up six hours after its last
/// sign of life.
const LIFE: TimeDelta = TimeDelta::hours(6);

/// Adds [`STILL_OPEN`] to the rows of units. A visitor can always come back.
pub(super) fn mark(rows: DataFrame, unit: Unit, as_of: DateTime<Utc>) -> PlanResult<DataFrame> {
    if unit == Unit::Visitor {
        return rows.with_column(STILL_OPEN, lit(true));
    }
    let latest = |condition: Expr| -> PlanResult<Expr> {
        Ok(max(when(condition, ident("event_time")).end()?))
    };
    let chat = CHAT_EVENTS.iter().map(|name| lit(*name)).collect();
    let signs = vec![
        max(ident("session_start_time")).alias("began"),
        latest(ident("event_type").in_list(chat, false))?.alias("last_chat"),
        latest(ident("event_type").eq(lit(CHAT_END)))?.alias("ended"),
    ];
    let alive = |time: &str| ident(time).gt(instant(as_of - LIFE));
    let no_end = ident("ended").is_null();
    let is_open = match unit {
        Unit::Session => alive("began")
            .or(alive("last_chat").and(no_end.or(ident("ended").lt(ident("last_chat"))))),
        _ => no_end
            .and(when(ident("last_chat").is_null(), alive("began")).otherwise(alive("last_chat"))?),
    };
    let open = facts(rows.clone())?
        .aggregate(vec![ident(UNIT_KEY).alias("open_unit")], signs)?
        .filter(is_open)?
        .select(vec![ident("open_unit")])?;
    let mut columns = all_columns(&rows);
    columns.push(ident("open_unit").is_not_null().alias(STILL_OPEN));
    rows.join(open, JoinType::Left, &[UNIT_KEY], &["open_unit"], None)?
        .select(columns)
}

/// A time as a literal of the type that the tables use.
pub(super) fn instant(time: DateTime<Utc>) -> Expr {
    let value = Some(time.timestamp_micros());
    Expr::Literal(
        ScalarValue::TimestampMicrosecond(value, Some("UTC".into())),
        None,
    )
}
