//! The function against the report that it stands for.

use arrow::compute::concat_batches;
use arrow::util::pretty::pretty_format_batches;
use funnel_datagen::golden::{self, Variant};

use crate::QuerySession;
use crate::fixture::rows;
use crate::funnel::{FunnelDefinition, Mode, Unit};
use crate::report::{ReportRequest, report};
use crate::testing::golden_session;

/// The example of docs/funnels.md, over the golden day.
fn example() -> String {
    let text = include_str!("../../../../docs/funnels.md");
    let (_, section) = text.split_once("## Funnels in SQL").unwrap();
    let (_, block) = section.split_once("```sql\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

fn call(options: &str) -> String {
    let day = golden::DATE;
    format!("funnel('impression_to_chat', '{day}', DATE '{day}'{options})")
}

fn struct_of(options: &str) -> String {
    let account = golden::ACCOUNT;
    call(&format!(", named_struct('account', '{account}'{options})"))
}

fn asked(funnel: &str) -> ReportRequest {
    let day = golden::DATE.parse().unwrap();
    ReportRequest {
        account: Some(golden::ACCOUNT.to_owned()),
        ..ReportRequest::new(FunnelDefinition::shipped(funnel).unwrap(), day, day)
    }
}

async fn assert_same(session: &QuerySession, from: &str, request: ReportRequest) {
    let wanted = report(session, request).await.unwrap().rows;
    let found = session
        .collect(&format!("SELECT * FROM {from}"))
        .await
        .unwrap();
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    assert_eq!(found.schema(), wanted.schema(), "{from}");
    let text = |batch| pretty_format_batches(&[batch]).unwrap().to_string();
    assert_eq!(text(found), text(wanted), "{from}");
}

#[tokio::test]
async fn the_function_gives_the_rows_of_the_report() {
    let session = golden_session(Variant::default()).await;
    let plain = asked("impression_to_chat");
    assert_same(&session, &struct_of(""), plain.clone()).await;
    let device = ReportRequest {
        by: vec!["device_family".to_owned()],
        ..plain.clone()
    };
    assert_same(
        &session,
        &struct_of(", 'breakdown', 'device_family'"),
        device,
    )
    .await;
    let several = ReportRequest {
        by: vec!["campaign_id".to_owned(), "device_family".to_owned()],
        unit: Some(Unit::Session),
        mode: Some(Mode::Ordered),
        window: Some("30m".parse().unwrap()),
        timezone: Some(chrono_tz::Tz::Europe__Berlin),
        date_basis: "event-time".parse().unwrap(),
        attribution: "first,7d".parse().unwrap(),
        where_sql: Some("campaign_id IS NOT NULL".to_owned()),
        ..plain
    };
    let options = ", 'breakdown', make_array('campaign_id', 'device_family'), 'unit', 'session',
        'mode', 'ordered', 'window', '30m', 'timezone', 'Europe/Berlin', 'date_basis',
        'event-time', 'attribution', 'first,7d', 'where', 'campaign_id IS NOT NULL'";
    assert_same(&session, &struct_of(options), several).await;
}

#[tokio::test]
async fn projection_condition_limit_and_joins_work_over_it() {
    let session = golden_session(Variant::default()).await;
    let wanted = report(&session, asked("impression_to_chat")).await.unwrap();
    let reached = wanted.rows.column_by_name("reached").unwrap();
    let reached = arrow::util::display::array_value_to_string(reached, 1).unwrap();
    let from = struct_of("");
    let one = format!("SELECT step, reached FROM {from} WHERE step_index = 2");
    assert_eq!(rows(&session, &one).await, [format!("clicked {reached}")]);
    let limited = format!("SELECT step FROM {from} ORDER BY step_index DESC LIMIT 2");
    assert_eq!(rows(&session, &limited).await, ["converted", "interactive"]);
    let joined = format!(
        "SELECT a.step FROM {from} AS a JOIN {} AS b ON a.step = b.step
         WHERE a.reached > b.reached",
        struct_of(", 'mode', 'ordered', 'window', '0s'")
    );
    assert!(!rows(&session, &joined).await.is_empty());
    let counted = format!("SELECT count(*) FROM {from}");
    assert_eq!(rows(&session, &counted).await, ["6"]);
}

#[tokio::test]
async fn the_example_of_the_documentation_runs() {
    let session = golden_session(Variant::default()).await;
    let sql = example()
        .replace("58213347", golden::ACCOUNT)
        .replace("2024-03-10", golden::DATE);
    let found = rows(&session, &sql).await;
    assert!(
        found.len() > 1 && found.iter().all(|row| row.contains("clicked")),
        "{found:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_what_could_be() {
    let session = golden_session(Variant::default()).await;
    for (from, says) in [
        (
            "funnel('nothing', '2024-03-04', '2024-03-04')".to_owned(),
            "`impression_to_chat`",
        ),
        (
            "funnel('monitored', '2024-03-04')".to_owned(),
            "the first and the last day",
        ),
        (
            "funnel('monitored', 'monday', '2024-03-04')".to_owned(),
            "first day is a date",
        ),
        (
            "funnel('monitored', '2024-03-05', '2024-03-04')".to_owned(),
            "lies after",
        ),
        (call(", 'session'"), "named_struct('unit', 'session')"),
        (
            call(", named_struct('steps', 'x')"),
            "no option `steps`; it has: breakdown, top, account",
        ),
        (
            call(", named_struct('unit', 'week')"),
            "session, offer, conversation, visitor",
        ),
        (
            call(", named_struct('window', 30)"),
            "option `window` is a text",
        ),
        (
            call(", named_struct('mode', NULL)"),
            "option `mode` is a text, found NULL",
        ),
        (
            call(", named_struct('timezone', 'Mars')"),
            "`Mars` is no IANA time zone",
        ),
        (
            call(", named_struct('breakdown', 'colour')"),
            "no column `colour`",
        ),
        (
            call(", named_struct('breakdown', make_array('os', NULL))"),
            "holds a NULL",
        ),
        (
            call(", named_struct('unit', 'offer', 'unit', 'session')"),
            "unit",
        ),
    ] {
        let error = session
            .sql(&format!("SELECT * FROM {from}"))
            .await
            .unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(says), "{from}: {cause}");
    }
    for (from, says) in [
        (call(""), golden::ACCOUNT),
        (call(", named_struct('account', 'nobody')"), golden::ACCOUNT),
        (struct_of(", 'where', 'colour = 1'"), "colour"),
    ] {
        let query = format!("SELECT * FROM {from}");
        let error = session.collect(&query).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(says), "{from}: {cause}");
    }
}
