//! The views over `events_enriched`: one row per session, per offer, per chat leg, per conversion.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;

use crate::error::{QueryError, Result};

/// One view: its name and its SQL, in the order in which they build on each other.
const VIEWS: [(&str, &str); 4] = [
    (
        "sessions",
        include_str!("../../../queries/views/sessions.sql"),
    ),
    ("chats", include_str!("../../../queries/views/chats.sql")),
    ("offers", include_str!("../../../queries/views/offers.sql")),
    (
        "conversions",
        include_str!("../../../queries/views/conversions.sql"),
    ),
];

/// Registers every view with `ctx`; `as_of` stands for `$as_of` in their SQL.
pub(crate) async fn register(ctx: &SessionContext, as_of: DateTime<Utc>) -> Result<()> {
    let as_of =
        ScalarValue::TimestampMicrosecond(Some(as_of.timestamp_micros()), Some("UTC".into()));
    for (name, sql) in VIEWS {
        let plan = async {
            let frame = ctx.sql(sql).await?;
            if sql.contains("$as_of") {
                frame.with_param_values(vec![("as_of", as_of.clone())])
            } else {
                Ok(frame)
            }
        };
        plan.await
            .and_then(|frame| {
                let view = ViewTable::new(frame.into_unoptimized_plan(), Some(sql.to_owned()));
                ctx.register_table(name, Arc::new(view))
            })
            .map_err(|source| QueryError::query(format!("could not make view `{name}`"), source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
