//! From enriched rows to the rows of a unit.
//!
//! Session rows are repeated for each offer or conversation of their session, offer rows go to the
//! conversations they led to, and each attributed conversion becomes a row of the interaction that
//! gets it, with the event type `conversion` and that interaction's dimensions and dates. Events
//! keep their own type: a definition that asks for `conversion` sees attributed ones only.
//!
//! Every form of a fact takes part, duplicates marked by `is_duplicate`: what is known of a unit is
//! known from any form, what is counted is counted from the one that is no duplicate. What a view
//! takes from the session stands beside the row's own value as `session_` and its name.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::Result as PlanResult;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, SessionContext, ident};

use super::attribution;
use super::open::{self, STILL_OPEN};
use super::options::{Attribution, DateBasis, Unit};
use crate::error::{QueryError, Result};

/// The key of the unit that a projected row belongs to.
pub(crate) const UNIT_KEY: &str = "unit_key";
/// The visitor of a projected row; of the rows of a unit, nearly always one.
pub(crate) const VISITOR_KEY: &str = "visitor_key";
/// Whether the row is one of the session, repeated for this unit.
const REPEATED: &str = "is_repeated";
/// Whether the row's conversation became interactive.
pub(crate) const AFTER_INTERACTIVE: &str = "after_interactive";

/// Rows of a session that belong to each of its offers and conversations.
const SESSION_EVENTS: [&str; 6] = [
    "session_started",
    "page_viewed",
    "engagement_eligible",
    "engagement_retrieved",
    "sde_reported",
    "goal_reached",
];

/// Dimensions of which a session has one value, whichever of its offers or chats it is known from.
const SESSION_DIMENSIONS: [&str; 9] = [
    "control_group",
    "device_family",
    "os",
    "browser",
    "country_code",
    "customer_type",
    "marketing_channel",
    "marketing_affiliate",
    "marketing_campaign",
];

/// Dimensions that a unit has of its own, and from its session where it has none.
const INHERITED_DIMENSIONS: [&str; 2] = ["language", "consumer_key"];

/// Dimensions of an offer: what another event of the session says about them is another offer's.
const OFFER_DIMENSIONS: [&str; 16] = [
    "campaign_id",
    "engagement_id",
    "engagement_revision",
    "engagement_name",
    "engagement_type",
    "conversation_type",
    "skill_id",
    "skill_name",
    "window_id",
    "zone_id",
    "goal_id",
    "goal_type",
    "visitor_profile_id",
    "visitor_behavior_id",
    "lob_id",
    "connector_id",
];

/// What every projection needs, whatever the definition asks for.
const KEY_COLUMNS: [&str; 8] = [
    "event_id",
    "event_type",
    "event_time",
    "is_duplicate",
    "session_key",
    "offer_key",
    "conversation_key",
    VISITOR_KEY,
];

/// Columns in which an attributed conversion keeps its own value beside type and time.
const CONVERSION_COLUMNS: [&str; 5] = [
    "conversion_type",
    "order_ref",
    "amount",
    "currency",
    "num_items",
];

/// Which rows are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) account: String,
    pub(crate) from: NaiveDate,
    /// Inclusive.
    pub(crate) to: NaiveDate,
    /// `None`: the time zone of the account, in which the dates are stored.
    pub(crate) timezone: Option<Tz>,
    pub(crate) basis: DateBasis,
    pub(crate) attribution: Attribution,
    /// How far the rows are complete. `None`: nothing is open any more.
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// What a projected row says about dimension `name`, for breakdowns and filters.
pub(crate) fn dimension(name: &str) -> PlanResult<Expr> {
    if SESSION_DIMENSIONS.contains(&name) {
        return Ok(ident(of_session(name)));
    }
    if INHERITED_DIMENSIONS.contains(&name) {
        return Ok(coalesce(vec![own(name)?, ident(inherited(name))]));
    }
    if OFFER_DIMENSIONS.contains(&name) {
        return own(name);
    }
    Ok(ident(name))
}

/// The value that the row itself has, unless it is a row of the session.
fn own(name: &str) -> PlanResult<Expr> {
    when(ident(REPEATED).is_false(), ident(name)).end()
}

fn inherited(name: &str) -> String {
    format!("inherited_{name}")
}

fn of_session(name: &str) -> String {
    format!("session_{name}")
}

/// The rows of `scope` with one row per unit they belong to: the key columns, `wanted`,
/// `after_interactive`, `unit_key`, `is_still_open`, and for the dimensions among `wanted` the
/// session's values.
pub(crate) async fn project(
    ctx: &SessionContext,
    scope: &Scope,
    unit: Unit,
    wanted: &BTreeSet<String>,
) -> Result<DataFrame> {
    let rows = of_scope(ctx, scope, wanted).await?;
    of_units(rows, scope, unit, wanted).await
}

/// The rows of `scope`, whatever units they belong to.
pub(crate) async fn of_scope(
    ctx: &SessionContext,
    scope: &Scope,
    wanted: &BTreeSet<String>,
) -> Result<DataFrame> {
    attribution::ensure_registered(ctx).await?;
    let failed = |source| QueryError::query("could not read the rows of the funnel", source);
    let mut wanted = wanted.clone();
    wanted.insert("session_start_time".to_owned());
    let rows = scoped_rows(ctx, scope, &wanted).await.map_err(failed)?;
    let conversions = conversions(ctx, rows.clone(), scope)
        .await
        .map_err(failed)?;
    // What several branches of a plan read is made once: optimising the copies would take longer
    // than the whole answer.
    materialised(rows.union(conversions)).await.map_err(failed)
}

/// Rows as [`of_scope`] gives them with one row per unit they belong to.
pub(crate) async fn of_units(
    rows: DataFrame,
    scope: &Scope,
    unit: Unit,
    wanted: &BTreeSet<String>,
) -> Result<DataFrame> {
    let failed = |source| QueryError::query("could not read the rows of the funnel", source);
    let rows = to_unit(rows, unit).and_then(|rows| inherit(rows, wanted));
    let rows = materialised(rows).await.map_err(failed)?;
    let rows = match scope.as_of {
        None => rows.with_column(STILL_OPEN, lit(false)),
        Some(as_of) => materialised(open::mark(rows, unit, as_of)).await,
    };
    rows.map_err(failed)
}

/// The rows as they are now, held in memory.
pub(crate) async fn materialised(rows: PlanResult<DataFrame>) -> PlanResult<DataFrame> {
    rows?.cache().await
}

/// The scoped rows, read once: everything after works on this copy of few columns.
async fn scoped_rows(
    ctx: &SessionContext,
    scope: &Scope,
    wanted: &BTreeSet<String>,
) -> PlanResult<DataFrame> {
    let mut columns: Vec<Expr> = KEY_COLUMNS.iter().map(|name| ident(*name)).collect();
    let extra = wanted
        .iter()
        .filter(|name| !KEY_COLUMNS.contains(&name.as_str()));
    columns.extend(extra.filter(|name| *name != AFTER_INTERACTIVE).map(ident));
    let rows = ctx
        .table("events_enriched")
        .await?
        .filter(in_scope(ctx, scope)?)?
        .select(columns.clone())?
        .cache()
        .await?;
    let interactive = facts(rows.clone())?
        .filter(ident("event_type").eq(lit("chat_interactive")))?
        .select(vec![ident("conversation_key").alias("interactive_key")])?
        .distinct()?;
    columns.push(
        ident("interactive_key")
            .is_not_null()
            .alias(AFTER_INTERACTIVE),
    );
    let rows = rows
        .join(
            interactive,
            JoinType::Left,
            &["conversation_key"],
            &["interactive_key"],
            None,
        )?
        .select(columns)?;
    with_session_values(ctx, rows, wanted).await
}

/// The rows that count: of each fact the form that is no duplicate.
pub(crate) fn facts(rows: DataFrame) -> PlanResult<DataFrame> {
    rows.filter(ident("is_duplicate").is_false())
}

/// Adds, for the dimensions among `wanted` that a session has, the value in view `sessions`.
async fn with_session_values(
    ctx: &SessionContext,
    rows: DataFrame,
    wanted: &BTreeSet<String>,
) -> PlanResult<DataFrame> {
    let names = SESSION_DIMENSIONS.iter().chain(&INHERITED_DIMENSIONS);
    let names: Vec<&str> = names.copied().filter(|n| wanted.contains(*n)).collect();
    if names.is_empty() {
        return Ok(rows);
    }
    let mut own = vec![ident("session_key").alias("valued_session")];
    let value = |name: &&str| ident(*name).alias(format!("value_of_{name}"));
    own.extend(names.iter().map(value));
    let sessions = ctx.table("sessions").await?.select(own)?;
    let mut columns = all_columns(&rows);
    // A row without a session knows what it says itself.
    let value = |name: &&str| {
        let name = *name;
        coalesce(vec![ident(format!("value_of_{name}")), ident(name)]).alias(of_session(name))
    };
    columns.extend(names.iter().map(value));
    rows.join(
        sessions,
        JoinType::Left,
        &["session_key"],
        &["valued_session"],
        None,
    )?
    .select(columns)
}

/// Gives units without a value of an inherited dimension the value of the session.
fn inherit(rows: DataFrame, wanted: &BTreeSet<String>) -> PlanResult<DataFrame> {
    let mut rows = rows;
    let names = INHERITED_DIMENSIONS.iter();
    for name in names.filter(|name| wanted.contains(**name)) {
        let valued = rows
            .clone()
            .filter(own(name)?.is_not_null())?
            .select(vec![ident(UNIT_KEY).alias("valued_unit")])?
            .distinct()?;
        let mut columns = all_columns(&rows);
        let value = when(ident("valued_unit").is_null(), ident(of_session(name)));
        columns.push(value.end()?.alias(inherited(name)));
        rows = rows
            .join(valued, JoinType::Left, &[UNIT_KEY], &["valued_unit"], None)?
            .select(columns)?;
    }
    Ok(rows)
}

/// Account, no chats without an offer, and the dates by the basis asked for. Rows without a session
/// have only their own date. Copies of a record say nothing that the record does not say.
pub(crate) fn in_scope(ctx: &SessionContext, scope: &Scope) -> PlanResult<Expr> {
    let (session_date, event_date) = match scope.timezone {
        None => (ident("session_start_date"), ident("local_date")),
        Some(zone) => {
            let local_date = ctx.udf("local_date")?;
            let local = |time: &str| local_date.call(vec![ident(time), lit(zone.name())]);
            (local("session_start_time"), local("event_time"))
        }
    };
    let session_date = coalesce(vec![session_date, event_date.clone()]);
    let inside = |date: Expr| date.between(date_literal(scope.from), date_literal(scope.to));
    let dates = match scope.basis {
        DateBasis::SessionStart => inside(session_date),
        DateBasis::EventTime => inside(event_date),
        DateBasis::SessionStartAndEventTime => inside(session_date).and(inside(event_date)),
    };
    // Chats without an offer are counted apart, in no funnel.
    let unattributed = ident("conversation_key")
        .is_not_null()
        .and(ident("offer_key").is_null());
    Ok(ident("account_id")
        .eq(lit(scope.account.as_str()))
        .and(
            ident("duplicate_kind")
                .is_null()
                .or(ident("duplicate_kind").in_list(vec![lit("form"), lit("source")], false)),
        )
        .and(!unattributed)
        .and(dates))
}

/// A date as a literal of the type that the tables use.
pub(crate) fn date_literal(date: NaiveDate) -> Expr {
    let epoch = NaiveDate::default();
    let days = i32::try_from(date.signed_duration_since(epoch).num_days()).unwrap_or(i32::MAX);
    Expr::Literal(ScalarValue::Date32(Some(days)), None)
}

/// Conversions attributed to an engagement of the scope, as rows of that engagement.
async fn conversions(
    ctx: &SessionContext,
    rows: DataFrame,
    scope: &Scope,
) -> PlanResult<DataFrame> {
    let names: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    let arguments = vec![
        lit(scope.attribution.model.as_str()),
        lit(scope.attribution.days()),
    ];
    let function = ctx.table_function(attribution::FUNCTION)?;
    let state = ctx.state();
    let provider = function.create_table_provider_with_args(
        datafusion::catalog::TableFunctionArgs::new(&arguments, &state),
    )?;
    let mut own = vec![
        ident("interaction_id"),
        ident("conversion_id"),
        ident("conversion_time"),
    ];
    own.extend(CONVERSION_COLUMNS.map(|name| ident(name).alias(format!("own_{name}"))));
    let attributed = ctx
        .read_table(provider)?
        .filter(ident("scope").eq(lit("engagement")))?
        .select(own)?;
    let joined = facts(rows)?.join(
        attributed,
        JoinType::Inner,
        &["event_id"],
        &["interaction_id"],
        None,
    )?;
    let columns = names.iter().map(|name| match name.as_str() {
        "event_id" => ident("conversion_id").alias(name),
        "event_time" => ident("conversion_time").alias(name),
        "event_type" => lit("conversion").alias(name),
        own if CONVERSION_COLUMNS.contains(&own) => ident(format!("own_{own}")).alias(name),
        _ => ident(name),
    });
    joined.select(columns.collect::<Vec<_>>())
}

/// Gives each row the key of its unit, repeating rows that belong to several.
fn to_unit(rows: DataFrame, unit: Unit) -> PlanResult<DataFrame> {
    match unit {
        Unit::Session => keyed(rows, "session_key"),
        Unit::Visitor => keyed(rows, "visitor_key"),
        Unit::Offer => {
            let own = keyed(rows.clone(), "offer_key")?;
            let session = rows.clone().filter(is_session_row("offer_key"))?;
            own.union(repeated(session, rows, "session_key", "offer_key")?)
        }
        Unit::Conversation => {
            let own = keyed(rows.clone(), "conversation_key")?;
            let offer = rows.clone().filter(
                ident("conversation_key")
                    .is_null()
                    .and(ident("offer_key").is_not_null()),
            )?;
            let session = rows
                .clone()
                .filter(is_session_row("offer_key").and(ident("conversation_key").is_null()))?;
            own.union(repeated(
                offer,
                rows.clone(),
                "offer_key",
                "conversation_key",
            )?)?
            .union(repeated(session, rows, "session_key", "conversation_key")?)
        }
    }
}

fn is_session_row(narrower: &str) -> Expr {
    let events = SESSION_EVENTS.iter().map(|name| lit(*name)).collect();
    ident(narrower)
        .is_null()
        .and(ident("event_type").in_list(events, false))
}

/// Rows whose own column is the key of their unit.
fn keyed(rows: DataFrame, key: &str) -> PlanResult<DataFrame> {
    let mut columns = all_columns(&rows);
    columns.push(ident(key).alias(UNIT_KEY));
    columns.push(lit(false).alias(REPEATED));
    rows.filter(ident(key).is_not_null())?.select(columns)
}

/// `wide` rows once for each `narrow` key that stands beside their `wide` key anywhere in `rows`.
fn repeated(
    wide: DataFrame,
    rows: DataFrame,
    wide_key: &str,
    narrow_key: &str,
) -> PlanResult<DataFrame> {
    let pairs = facts(rows)?
        .filter(
            ident(wide_key)
                .is_not_null()
                .and(ident(narrow_key).is_not_null()),
        )?
        .select(vec![
            ident(wide_key).alias("pair_wide"),
            ident(narrow_key).alias("pair_narrow"),
        ])?
        .distinct()?;
    let mut columns = all_columns(&wide);
    columns.push(ident("pair_narrow").alias(UNIT_KEY));
    columns.push(lit(wide_key == "session_key").alias(REPEATED));
    wide.join(pairs, JoinType::Inner, &[wide_key], &["pair_wide"], None)?
        .select(columns)
}

pub(super) fn all_columns(rows: &DataFrame) -> Vec<Expr> {
    let name = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        Expr::Column(Column::from_name(field.name()))
    };
    rows.schema().fields().iter().map(name).collect()
}
