//! `funnel explain`: the timeline of one unit, the decision at each row, and why it went no further.

pub(crate) mod judge;
mod key;
mod output;
pub(crate) mod timeline;
mod words;

use arrow::array::RecordBatch;
use datafusion::logical_expr::lit;
use datafusion::prelude::ident;

use self::judge::Judgement;
use self::timeline::{Timeline, TimelineRow};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::execution::Parsed;
use crate::funnel::{FunnelDefinition, Unit};
use crate::report::ReportRequest;

/// Why a unit went as far as it did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    pub unit: Unit,
    pub unit_key: String,
    /// Number of the last step reached; 0 if none.
    pub level: usize,
    /// Its name.
    pub level_step: Option<String>,
    /// Number of steps of the definition.
    pub steps: usize,
    /// Name of the step that is missing; `None` if no needed step is.
    pub missing_step: Option<String>,
    /// Name of the reason.
    pub reason: Option<&'static str>,
    /// The reason in words.
    pub text: String,
    /// What would have had to happen.
    pub needed: Option<String>,
    /// Outcome of the unit's offer that went furthest, as in view `offers`.
    pub offer_outcome: Option<String>,
    /// What the outcome says in words, where it explains a loss.
    pub outcome_text: Option<&'static str>,
}

/// A unit, explained.
#[derive(Debug, Clone)]
pub struct Explanation {
    pub verdict: Verdict,
    /// The time zone of the column `local_time`.
    pub time_zone: String,
    /// One row per row of the unit, in the order of time. Columns: unit_key, row, event_time,
    /// local_time, event_type, satisfies, class, decision, event_id, kafka_topic,
    /// kafka_partition, kafka_offset, entry_index (null for a fact that was derived); then, the same on each row: level, level_step,
    /// missing_step, reason, reason_text, offer_outcome.
    pub rows: RecordBatch,
}

/// Explains the unit that `key` names, of the days of `request`.
///
/// # Errors
/// Usage when there is no such unit, with the nearest keys, or when the mode has no explanation;
/// query when the query fails.
pub async fn explain(
    session: &QuerySession,
    mut request: ReportRequest,
    key: &str,
) -> Result<Explanation> {
    let account = crate::report::choose_account(session, request.account.as_deref()).await?;
    let unit = request.question().unit;
    let found = key::find(session, &account, unit, key).await?;
    request.from = request.from.max(found.from);
    request.to = request.to.min(found.to);
    let scope = request.scope(account.clone());
    let question = request.question();
    let parsed = Parsed::new(session.ctx(), &question).await?;
    let rules = timeline::rules(&question, &parsed, session.as_of().timestamp_micros())?;
    let timeline =
        Timeline::new(session.ctx(), &scope, &question, &parsed, Some(&found.key)).await?;
    let mut rows: Vec<TimelineRow> = Vec::new();
    timeline
        .each_unit(|_, unit_rows| {
            rows.extend(unit_rows);
            Ok(())
        })
        .await?;
    if rows.is_empty() {
        return Err(QueryError::usage(format!(
            "{unit} `{}` has no row on the days asked for; leave out --from and --to to see all",
            found.key
        )));
    }
    let unit_rows: Vec<judge::UnitRow> = rows.iter().map(|row| row.row).collect();
    let judgement =
        judge::judge(&rules, &unit_rows).map_err(|mode| QueryError::usage(mode.to_string()))?;
    let outcome = outcome(session, unit, &found.key).await?;
    let verdict = verdict(&request.funnel, unit, found.key, &judgement, outcome);
    let zone = request
        .timezone
        .unwrap_or_else(|| session.options().time_zone(&account));
    let rows = output::table(session, &request.funnel, &verdict, &rows, &judgement, zone).await?;
    Ok(Explanation {
        verdict,
        time_zone: zone.name().to_owned(),
        rows,
    })
}

fn verdict(
    definition: &FunnelDefinition,
    unit: Unit,
    unit_key: String,
    judgement: &Judgement,
    offer_outcome: Option<String>,
) -> Verdict {
    let name = |step: usize| definition.steps.get(step).map(|step| step.name.clone());
    let last = judgement.reached.checked_ilog2().map(|step| step as usize);
    let (text, needed) = match judgement.reason {
        Some(reason) => {
            let (text, needed) = words::of_reason(definition, reason);
            (text, Some(needed))
        }
        None => (
            "every step that this unit needed was reached".to_owned(),
            None,
        ),
    };
    // An outcome explains a loss on the way to the chat, not what came after.
    let outcome_text = offer_outcome.as_deref().and_then(words::of_outcome);
    Verdict {
        unit,
        unit_key,
        level: last.map_or(0, |step| step + 1),
        level_step: last.and_then(name),
        steps: definition.steps.len(),
        missing_step: judgement.reason.and_then(|reason| name(reason.step())),
        reason: judgement.reason.map(funnel_match::classify::Reason::name),
        text,
        needed,
        outcome_text: judgement.reason.and(outcome_text),
        offer_outcome,
    }
}

/// The outcome of the offer of the unit that went furthest.
async fn outcome(session: &QuerySession, unit: Unit, key: &str) -> Result<Option<String>> {
    let failed = |source| QueryError::query("could not read the outcome of the offers", source);
    let read = async {
        let offers = session.ctx().table("offers").await?;
        offers
            .filter(ident(key::column_of(unit)).eq(lit(key)))?
            .select(vec![ident("offer_outcome"), ident("offer_outcome_code")])?
            .sort(vec![ident("offer_outcome_code").sort(false, false)])?
            .limit(0, Some(1))?
            .collect()
            .await
    };
    for batch in read.await.map_err(failed)? {
        let outcomes =
            timeline::text(&batch, "offer_outcome").map_err(|source| failed(source.into()))?;
        if let Some(outcome) = outcomes.iter().flatten().next() {
            return Ok(Some(outcome.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
