use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use chrono::NaiveDate;
use funnel_datagen::golden::{self, UNMONITORED_ACCOUNT, Variant};
use serde_json::json;

use super::*;
use crate::ErrorKind;
use crate::funnel::{FunnelDefinition, Mode};
use crate::report::{report, unit_report};
use crate::testing::{golden_session, row, session};

fn request(funnel: &str, account: &str) -> ReportRequest {
    let day: NaiveDate = golden::DATE.parse().unwrap();
    let funnel = FunnelDefinition::shipped(funnel).unwrap();
    ReportRequest {
        account: Some(account.to_owned()),
        ..ReportRequest::new(funnel, day, day)
    }
}

/// Every unit of a question, judged.
async fn judged(session: &QuerySession, request: &ReportRequest) -> Vec<Judgement> {
    let question = request.question();
    let scope = request.scope(request.account.clone().unwrap());
    let parsed = Parsed::new(session.ctx(), &question).await.unwrap();
    let rules = timeline::rules(&question, &parsed, None).unwrap();
    let timeline = Timeline::new(session.ctx(), &scope, &question, &parsed, None)
        .await
        .unwrap();
    let units = timeline.each_unit(|unit| Ok(Some(unit.judged(&rules))));
    units.await.unwrap().1
}

#[tokio::test]
async fn units_that_are_explained_add_up_to_the_report() {
    let session = golden_session(Variant::default()).await;
    for (funnel, account) in [
        ("monitored", golden::ACCOUNT),
        ("unmonitored", UNMONITORED_ACCOUNT),
        ("impression_to_chat", golden::ACCOUNT),
        ("chat_lifecycle", golden::ACCOUNT),
    ] {
        for mode in [Mode::Loose, Mode::Ordered] {
            let request = ReportRequest {
                mode: Some(mode),
                ..request(funnel, account)
            };
            let units = judged(&session, &request).await;
            let answer = report(&session, request).await.unwrap();
            let numbers = |name: &str| {
                let column = answer.rows.column_by_name(name).unwrap();
                column.as_primitive::<Int64Type>().clone()
            };
            let (reached, dropped) = (numbers("reached"), numbers("dropped"));
            for step in 0..answer.rows.num_rows() {
                let here = |unit: &&Judgement| unit.reached >> step & 1 == 1;
                let lost = |unit: &&Judgement| {
                    let missing = unit.reason.map(|reason| reason.step());
                    unit.reached != 0 && missing == Some(step)
                };
                let place = format!("{funnel} {mode} step {step}");
                let count = units.iter().filter(here).count();
                assert_eq!(
                    count.to_string(),
                    reached.value(step).to_string(),
                    "{place}"
                );
                if dropped.is_valid(step) {
                    let count = units.iter().filter(lost).count();
                    assert_eq!(
                        count.to_string(),
                        dropped.value(step).to_string(),
                        "{place}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn losses_of_the_golden_scenario_are_laid_at_the_right_door() {
    let session = golden_session(Variant::default()).await;
    let mut doors: BTreeMap<String, (Option<String>, String)> = BTreeMap::new();
    for account in [golden::ACCOUNT, UNMONITORED_ACCOUNT] {
        let sql = format!(
            "SELECT offer_key FROM offers WHERE account_id = '{account}' \
             AND session_start_date = DATE '{}' AND offer_outcome_code IN (45, 52, 60)",
            golden::DATE
        );
        for batch in session.collect(&sql).await.unwrap() {
            for key in timeline::text(&batch, "offer_key")
                .unwrap()
                .iter()
                .flatten()
            {
                let request = request("impression_to_chat", account);
                let verdict = explain(&session, request, key).await.unwrap().verdict;
                let text = verdict.outcome_text.unwrap().to_owned();
                doors.insert(verdict.offer_outcome.unwrap(), (verdict.missing_step, text));
            }
        }
    }
    let missing = |outcome: &str| doors[outcome].0.as_deref();
    let mut listed = BTreeMap::new();
    for account in [golden::ACCOUNT, UNMONITORED_ACCOUNT] {
        let units = unit_report(&session, &request("impression_to_chat", account))
            .await
            .unwrap();
        let column = |name| timeline::text(&units, name).unwrap();
        let (reasons, outcomes) = (column("reason"), column("offer_outcome"));
        for (reason, outcome) in reasons.iter().zip(&outcomes) {
            // A unit that is done has lost nothing that could be explained.
            assert!(reason.is_some() || outcome.is_none());
            *listed.entry(outcome.map(str::to_owned)).or_insert(0) += 1;
        }
    }
    for outcome in doors.keys() {
        assert!(
            listed.contains_key(&Some(outcome.clone())),
            "{outcome}: {listed:?}"
        );
    }
    assert_eq!(missing("blocked_offline"), Some("requested"));
    assert_eq!(missing("unavailable_at_recheck"), Some("requested"));
    assert_eq!(missing("abandoned_in_queue"), Some("connected"));
    assert!(doors["blocked_offline"].1.contains("without agents online"));
}

/// The example of docs/funnels.md, "Why did this visitor drop?".
fn example() -> Vec<serde_json::Value> {
    let offer =
        |context: &str| json!({"offer_key": format!("a|v|s|{context}"), "context_id": context});
    let at = |event: &str, minute: u32, second: u32| {
        row(
            event,
            Some("s"),
            14 * 3600 + minute * 60 + second,
            offer("1"),
        )
    };
    vec![
        at("engagement_impression", 0, 1),
        at("engagement_impression", 1, 10),
        at("engagement_click", 1, 42),
        at("engagement_click", 1, 43),
        at("chat_requested", 35, 0),
    ]
}

#[tokio::test]
async fn the_example_of_the_documentation_is_true() {
    let session = session(&example()).await;
    let request = ReportRequest {
        mode: Some(Mode::Ordered),
        window: Some("30m".parse().unwrap()),
        ..request("impression_to_chat", "a")
    };
    let answer = explain(&session, request.clone(), "1").await.unwrap();
    let classes = timeline::text(&answer.rows, "class").unwrap();
    let classes: Vec<&str> = classes.iter().flatten().collect();
    assert_eq!(
        classes,
        [
            "superseded_entry",
            "used",
            "used",
            "repeat",
            "out_of_window"
        ]
    );
    let verdict = answer.verdict;
    assert_eq!(verdict.level_step.as_deref(), Some("clicked"));
    assert_eq!(verdict.missing_step.as_deref(), Some("requested"));
    assert_eq!(verdict.reason, Some("after_window"));
    assert_eq!(
        verdict.text,
        "`Chat requested` happened 3 min 50 s after the window had ended"
    );
    let wider = ReportRequest {
        window: Some("2030s".parse().unwrap()),
        ..request
    };
    let verdict = explain(&session, wider, "a|v|s|1").await.unwrap().verdict;
    assert_eq!(verdict.level_step.as_deref(), Some("requested"));
}

#[tokio::test]
async fn rows_say_where_they_stand_in_kafka() {
    let session = golden_session(Variant::default()).await;
    let sql = format!(
        "SELECT session_key FROM sessions WHERE account_id = '{}' ORDER BY 1 LIMIT 1",
        golden::ACCOUNT
    );
    let batches = session.collect(&sql).await.unwrap();
    let keys = timeline::text(&batches[0], "session_key").unwrap();
    let wide = ReportRequest {
        from: NaiveDate::MIN,
        to: NaiveDate::MAX,
        ..request("monitored", golden::ACCOUNT)
    };
    let answer = explain(&session, wide, keys.value(0)).await.unwrap();
    let offsets = answer.rows.column_by_name("kafka_offset").unwrap();
    let topics = answer.rows.column_by_name("kafka_topic").unwrap();
    assert!(answer.rows.num_rows() > 0);
    let types = timeline::text(&answer.rows, "event_type").unwrap();
    for row in 0..answer.rows.num_rows() {
        let derived = matches!(types.value(row), "chat_interactive" | "conversion");
        assert!(
            derived || (offsets.is_valid(row) && topics.is_valid(row)),
            "row {row}"
        );
    }
}

#[tokio::test]
async fn a_key_that_does_not_exist_is_answered_with_the_nearest() {
    let session = session(&example()).await;
    let asked = request("monitored", "a");
    let error = explain(&session, asked.clone(), "t").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        error.to_string(),
        "no session of account `a` has the key `t`; the nearest keys are `a|v|s`"
    );
    let error = explain(&session, asked, "v").await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("but a visitor has: add --unit visitor"),
        "{error}"
    );
}
