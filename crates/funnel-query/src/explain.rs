//! `funnel explain`: the timeline of one unit, the decision at each row, and why it went no further.

pub(crate) mod judge;
pub(crate) mod key;
mod output;
mod table;
pub(crate) mod timeline;
mod words;

use arrow::array::RecordBatch;
use datafusion::logical_expr::lit;
use datafusion::prelude::ident;

use self::judge::Judgement;
pub use self::table::explain_key;
use self::timeline::{Timeline, UnitRows};
use self::words::Words;
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::Unit;
use crate::funnel::execution::{Parsed, Question};
use crate::funnel::projection::Scope;
use crate::funnel::tabular::Clock;
use crate::report::ReportRequest;

/// Why a unit went as far as it did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// `session`, `offer`, `conversation`, `visitor`; over a table `key`.
    pub unit: &'static str,
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
    let as_of = Some(session.complete_until().await?);
    let scope = Scope {
        as_of,
        ..request.scope(account.clone())
    };
    let question = request.question();
    let parsed = Parsed::new(session.ctx(), &question).await?;
    let rules = timeline::rules(&question, &parsed, as_of)?;
    let timeline =
        Timeline::new(session.ctx(), &scope, &question, &parsed, Some(&found.key)).await?;
    let judge = |unit: UnitRows| Ok(Some((unit.judged(&rules), unit.rows)));
    let (_, mut units) = timeline.each_unit(judge).await?;
    let Some((judgement, rows)) = units.pop() else {
        return Err(QueryError::usage(format!(
            "{unit} `{}` has no row on the days asked for; leave out --from and --to to see all",
            found.key
        )));
    };
    let outcome = outcome(session, unit, &found.key).await?;
    let names: Vec<&str> = request
        .funnel
        .steps
        .iter()
        .map(|step| &*step.name)
        .collect();
    let mut verdict = verdict(&words_of(&question), &names, found.key, &judgement);
    verdict.unit = unit.as_str();
    // An outcome explains a loss on the way to the chat, not what came after.
    verdict.outcome_text = outcome
        .as_deref()
        .and_then(words::of_outcome)
        .filter(|_| judgement.reason.is_some());
    verdict.offer_outcome = outcome;
    let zone = request
        .timezone
        .unwrap_or_else(|| session.options().time_zone(&account));
    let rows = output::table(session, &question, zone, &verdict, &rows, &judgement).await?;
    Ok(Explanation {
        verdict,
        time_zone: zone.name().to_owned(),
        rows,
    })
}

fn words_of<'a>(question: &Question<'a>) -> Words<'a> {
    let steps = question.definition.steps.iter();
    Words {
        titles: steps.map(|step| &*step.title).collect(),
        mode: question.mode.to_string(),
        clock: Clock::Ticks(1_000_000),
    }
}

/// The verdict about a key, of steps of these names.
fn verdict(words: &Words<'_>, names: &[&str], key: String, judgement: &Judgement) -> Verdict {
    let name = |step: usize| names.get(step).map(|name| (*name).to_owned());
    let last = judgement.reached.checked_ilog2().map(|step| step as usize);
    let (text, needed) = match judgement.reason {
        Some(reason) => {
            let (text, needed) = words::of_reason(words, reason);
            (text, Some(needed))
        }
        None => (
            "every step that this unit needed was reached".to_owned(),
            None,
        ),
    };
    Verdict {
        unit: "key",
        unit_key: key,
        level: last.map_or(0, |step| step + 1),
        level_step: last.and_then(name),
        steps: names.len(),
        missing_step: judgement.reason.and_then(|reason| name(reason.step())),
        reason: judgement.reason.map(funnel_match::classify::Reason::name),
        text,
        needed,
        offer_outcome: None,
        outcome_text: None,
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
