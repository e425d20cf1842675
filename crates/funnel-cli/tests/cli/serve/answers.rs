//! Answers are those of the command line.

use std::io::Read;

use serde_json::Value;

use super::{DAYS, Service, accounts, lake};
use crate::{empty_dir, funnel, run};

/// What the command line answers.
#[track_caller]
fn cli(words: &[&str]) -> String {
    let lake = lake();
    let dir = lake.parent().unwrap();
    run(funnel(dir).args(words).args(["--lake", "lake"]), 0).0
}

const RANGE: [&str; 4] = ["--from", "2024-03-01", "--to", "2024-04-30"];

#[test]
fn reports_are_those_of_the_command_line_in_every_form() {
    let service = Service::start("");
    let account = &accounts()[0];
    for (funnel, more, words) in [
        ("monitored", "", vec![]),
        ("unmonitored", "&unit=visitor", vec!["--unit", "visitor"]),
        (
            "impression_to_chat",
            "&by=flow&mode=ordered&window=30m",
            vec!["--by", "flow", "--mode", "ordered", "--window", "30m"],
        ),
        (
            "impression_to_chat",
            "&by=device_family&top=1",
            vec!["--by", "device_family", "--top", "1"],
        ),
    ] {
        let path = format!("/api/v1/funnels/{funnel}/report?{DAYS}&account={account}{more}");
        let words = [
            &["report", funnel, "--account", account][..],
            &RANGE,
            &words,
        ]
        .concat();
        let csv = service.client.get(&path, &[("accept", "text/csv")]);
        assert_eq!(
            csv.text(),
            cli(&[&words[..], &["--format", "csv"]].concat()),
            "{funnel}"
        );
        let rows: Value =
            serde_json::from_str(&cli(&[&words[..], &["--format", "json"]].concat())).unwrap();
        let report = service.get(&path).json();
        assert_eq!(report["rows"], rows, "{funnel}");
        assert!(rows.as_array().unwrap().len() > 2);
        assert_eq!(report["header"]["account"], account.as_str());
        let parquet = service.get(&format!("{path}&format=parquet"));
        assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
        let arrow = service.get(&format!("{path}&format=arrow"));
        assert_eq!(
            arrow.headers["content-type"],
            "application/vnd.apache.arrow.stream"
        );
        assert_eq!(arrow.body[..4], [0xff; 4]);
        // The statement that is shown gives the same rows.
        let statement = service.get(&path.replace("/report?", "/sql?")).json();
        let found = service.sql(statement["sql"].as_str().unwrap(), None).json();
        let counts = |rows: &Value| -> Vec<Value> {
            rows.as_array()
                .unwrap()
                .iter()
                .map(|row| row["reached"].clone())
                .collect()
        };
        assert_eq!(counts(&found["rows"]), counts(&rows), "{statement}");
    }
}

/// Every number of the page has a statement, which the command line runs to the same rows.
#[test]
fn the_sql_behind_each_number_gives_it() {
    let service = Service::start("");
    let account = &accounts()[0];
    let days = "from=2024-03-05&to=2024-03-08";
    let path = |route: &str, more: &str| {
        format!("/api/v1/funnels/monitored/{route}?{days}&account={account}{more}")
    };
    let statement = |of: &str, more: &str| {
        let found = service.get(&path("sql", &format!("&of={of}{more}"))).json();
        found["sql"].as_str().unwrap().to_owned()
    };
    let dropped = "&level=2&state=dropped";
    for (of, route, more) in [
        ("report", "report", ""),
        ("report", "report", "&by=device_family&top=1"),
        (
            "report",
            "report",
            "&unit=visitor&mode=ordered&window=30m&timezone=Asia/Tokyo",
        ),
        ("comparison", "comparison", ""),
        ("keys", "keys", ""),
        ("keys", "keys", dropped),
        ("losses", "losses", ""),
        (
            "losses",
            "losses",
            "&where=device_family%20%3D%20%27MOBILE%27",
        ),
        ("trend", "trend", ""),
        ("trend", "trend", "&every=week&timezone=America/New_York"),
        ("trend", "trend", "&every=month"),
        ("availability", "availability", "&stale_after=30s"),
    ] {
        let asked = path(route, &format!("{more}&format=csv"));
        let wanted = service.get(&asked).text().to_owned();
        assert!(wanted.lines().count() > 1, "{asked}: {wanted}");
        let sql = statement(of, more);
        let found = cli(&["sql", "--format", "csv", "-c", &sql]);
        assert_eq!(found, wanted, "{sql}");
    }
    let times = cli(&["sql", "--format", "json", "-c", &statement("times", "")]);
    let times: Value = serde_json::from_str(&times).unwrap();
    let report = service.get(&path("report", "")).json();
    let steps = report["rows"].as_array().unwrap();
    assert_eq!(times.as_array().unwrap().len(), steps.len());
    for (found, step) in times.as_array().unwrap().iter().zip(steps) {
        for (name, value) in found.as_object().unwrap() {
            assert_eq!(*value, step[name], "{name}");
        }
    }
    let said = service.get(&path("sql", "&of=nothing")).problem(400);
    assert!(said.contains("availability"), "{said}");
}

#[test]
fn a_plan_says_how_each_number_is_found() {
    let service = Service::start("");
    let account = &accounts()[0];
    for (of, said) in [
        ("report", "funnel() counts"),
        ("times", "funnel() counts"),
        ("comparison", "funnel_comparison() counts"),
        ("keys", "funnel_units() judges"),
        ("losses", "funnel_units() judges"),
        ("trend", "funnel_units() judges"),
        ("availability", "named_query() runs"),
    ] {
        let path = format!("/api/v1/funnels/monitored/plan?{DAYS}&account={account}&of={of}");
        let plan = service.get(&path).json();
        let plan = plan["plan"].as_str().unwrap();
        assert!(plan.contains("TableScan") && plan.contains(said), "{plan}");
        assert!(plan.contains("DataSourceExec"), "{plan}");
    }
}

#[test]
fn funnels_of_a_directory_are_asked_for_by_name_everywhere() {
    let dir = empty_dir();
    let definition = "name = \"clicks\"\nquestion = \"Who clicks?\"\nunit = \"session\"
        [[steps]]\nname = \"shown\"\ntitle = \"shown\"\nwhen = \"event_type = 'engagement_impression'\"
        [[steps]]\nname = \"clicked\"\ntitle = \"clicked\"\nwhen = \"event_type = 'engagement_click'\"\n";
    std::fs::write(dir.path().join("clicks.toml"), definition).unwrap();
    let config = format!("[query]\nfunnels = \"{}\"\n", dir.path().display());
    let service = Service::start(&config);
    let names = service.get("/api/v1/funnels").json();
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"clicks") && names.contains(&"monitored"),
        "{names:?}"
    );
    let account = &accounts()[0];
    let path = format!("/api/v1/funnels/clicks/report?{DAYS}&account={account}");
    let report = service.get(&path).json();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let query = format!(
        "SELECT step, reached FROM funnel('clicks', '2024-03-01', '2024-04-30', named_struct('account', '{account}')) ORDER BY step_index"
    );
    let body = serde_json::json!({"sql": query}).to_string();
    let by_sql = service
        .client
        .send(
            "POST",
            "/api/v1/sql",
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
        .json();
    let beside = empty_dir();
    let own = beside.path().join("own.toml");
    std::fs::write(&own, &config).unwrap();
    let words = [
        &["report", "clicks", "--account", account, "--format", "json"][..],
        &RANGE,
    ]
    .concat();
    let own = own.display().to_string();
    let printed: Value =
        serde_json::from_str(&cli(&[&words[..], &["--config", &own]].concat())).unwrap();
    for (step, row) in rows.iter().enumerate() {
        assert!(row["reached"].as_i64().unwrap() > 0);
        assert_eq!(row, &printed[step]);
        assert_eq!(row["reached"], by_sql["rows"][step]["reached"]);
    }
    let unknown = service.get(&format!("/api/v1/funnels/click/report?{DAYS}"));
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("`clicks`"), "{}", unknown.text());
    // What is wrong in the directory is said before anything is answered.
    std::fs::write(dir.path().join("copy.toml"), definition).unwrap();
    let lake = lake();
    let mut command = funnel(lake.parent().unwrap());
    let (_, said) = run(
        command.args(["serve", "--lake", "lake", "--config", &own]),
        78,
    );
    assert!(
        said.contains("copy.toml: `name`: `clicks` is the name of a funnel of another file"),
        "{said}"
    );
}

#[test]
fn a_period_beside_the_one_before_is_that_of_the_command_line() {
    let service = Service::start("");
    let account = &accounts()[0];
    let days = "from=2024-03-07&to=2024-03-08";
    let path = format!("/api/v1/funnels/monitored/comparison?{days}&account={account}");
    let words = [
        "report",
        "monitored",
        "--account",
        account,
        "--from",
        "2024-03-07",
        "--to",
        "2024-03-08",
    ];
    let wanted = cli(&[&words[..], &["--compare", "previous", "--format", "csv"]].concat());
    assert_eq!(service.get(&format!("{path}&format=csv")).text(), wanted);
    let found = service.get(&path).json();
    assert_eq!(found["previous"]["from"], "2024-03-05", "{found}");
    assert_eq!(found["previous"]["to"], "2024-03-06");
    assert_eq!(found["previous"]["coverage"], "whole", "{}", found["text"]);
    let before: Value = serde_json::from_str(&cli(&[
        "report",
        "monitored",
        "--account",
        account,
        "--from",
        "2024-03-05",
        "--to",
        "2024-03-06",
        "--format",
        "json",
    ]))
    .unwrap();
    let pairs = found["rows"]
        .as_array()
        .unwrap()
        .iter()
        .zip(before.as_array().unwrap());
    for (row, before) in pairs {
        assert_eq!(row["reached_before"], before["reached"]);
        let ratio = |row: &Value, name: &str| row[name].as_f64();
        let (now, then) = (
            ratio(row, "rate_from_first"),
            ratio(before, "rate_from_first"),
        );
        let change = ratio(row, "rate_from_first_change");
        if row["step_index"] != 1 {
            assert!(
                (now.unwrap() - then.unwrap() - change.unwrap()).abs() < 1e-12,
                "{row}"
            );
        }
    }
    let refused = service.get(&format!("{path}&by=flow")).problem(400);
    assert!(refused.contains("breakdown"), "{refused}");
}

/// Where account and flow are one each, a plan that DataFusion refuses has to be put right.
#[test]
fn losses_by_availability_are_there_for_every_flow() {
    let service = Service::start("");
    let account = &accounts()[0];
    for funnel in ["monitored", "unmonitored", "impression_to_chat"] {
        let words = [
            "report",
            funnel,
            "--account",
            account,
            "--availability",
            "--format",
            "csv",
        ];
        let wanted = cli(&[&words[..], &RANGE].concat());
        assert!(wanted.lines().count() > 3, "{funnel}: {wanted}");
        let path = format!("/api/v1/funnels/{funnel}/availability?{DAYS}&account={account}");
        assert_eq!(
            service.get(&format!("{path}&format=csv")).text(),
            wanted,
            "{funnel}"
        );
    }
}

#[test]
fn people_add_up_to_the_report() {
    let service = Service::start("");
    let account = &accounts()[1];
    let path = |what: &str| format!("/api/v1/funnels/monitored/{what}?{DAYS}&account={account}");
    let words = [
        "report",
        "monitored",
        "--account",
        account,
        "--per-key",
        "--format",
        "json",
    ];
    let keys: Vec<Value> = serde_json::from_str(&cli(&[&words[..], &RANGE].concat())).unwrap();
    assert!(keys.len() > 20);

    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = service
            .get(&format!("{}&limit=7{after}", path("keys")))
            .json();
        assert_eq!(page["total"], keys.len());
        paged.extend(page["keys"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => {
                after = format!("&after={}", next.replace('|', "%7C").replace('+', "%2B"))
            }
            None => break,
        }
    }
    let sorted = |mut keys: Vec<Value>| {
        keys.sort_by_key(|key| key["key"].as_str().unwrap().to_owned());
        keys
    };
    assert_eq!(sorted(paged), sorted(keys.clone()));

    // Without a limit other forms hold all of them.
    let rows = service.get(&format!("{}&format=ndjson", path("keys")));
    assert_eq!(rows.text().lines().count(), keys.len());

    let losses = service.get(&path("losses")).json();
    for loss in losses["losses"].as_array().unwrap() {
        let alike = |key: &&Value| {
            ["level", "state", "reason"]
                .iter()
                .all(|field| key[*field] == loss[*field])
        };
        assert_eq!(loss["keys"], keys.iter().filter(alike).count());
    }
    let trend = service.get(&path("trend")).json();
    let entered: u64 = trend["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day["entered"].as_u64().unwrap())
        .sum();
    let begun = keys.iter().filter(|key| {
        key["step_times"]
            .as_array()
            .unwrap()
            .iter()
            .any(|time| !time.is_null())
    });
    assert_eq!(entered as usize, begun.count());

    let lost = keys.iter().find(|key| key["state"] == "dropped").unwrap();
    let key = lost["key"].as_str().unwrap().replace('|', "%7C");
    let explained = service.get(&path(&format!("explain/{key}"))).json();
    assert_eq!(explained["verdict"]["unit_key"], lost["key"]);
    assert_eq!(explained["verdict"]["level"], lost["level"]);
    assert_eq!(explained["verdict"]["reason"], lost["reason"]);
    assert!(!explained["rows"].as_array().unwrap().is_empty());
}

#[test]
fn every_route_of_the_document_answers_and_none_is_missing() {
    let service = Service::start("");
    let account = &accounts()[0];
    let document = service.get("/api/v1/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let key = service
        .get(&format!(
            "/api/v1/funnels/monitored/keys?{DAYS}&account={account}&limit=1"
        ))
        .json();
    let key = key["keys"][0]["key"].as_str().unwrap().replace('|', "%7C");
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 14, "{:?}", paths.keys());
    for (path, methods) in paths {
        let funnel = if path.contains("/queries/") {
            "metrics"
        } else {
            "monitored"
        };
        let path = path.replace("{name}", funnel).replace("{key}", &key);
        if methods.get("post").is_some() {
            let found = service.sql("SELECT count(*) AS n FROM events", None).json();
            assert!(found["rows"][0]["n"].as_i64().unwrap() > 100);
            continue;
        }
        let asked = if path.contains("monitored") || path.contains("metrics") {
            format!("{path}?{DAYS}&account={account}")
        } else {
            path
        };
        service.get(&asked).json();
    }
    let printed = cli_document();
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), document);
}

fn cli_document() -> String {
    let dir = crate::empty_dir();
    run(funnel(dir.path()).args(["serve", "--openapi"]), 0).0
}

#[test]
fn an_answer_that_is_known_is_not_sent_again_and_may_be_compressed() {
    let service = Service::start("");
    let path = format!(
        "/api/v1/funnels/monitored/report?{DAYS}&account={}",
        accounts()[0]
    );
    let first = service.get(&path);
    let tag = first.headers["etag"].clone();
    let again = service.client.get(&path, &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = service
        .client
        .get(&format!("{path}&by=flow"), &[("if-none-match", &tag)]);
    assert_eq!(other.status, 200);
    let small = service.client.get(&path, &[("accept-encoding", "gzip")]);
    assert_eq!(small.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(small.body.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, first.body);
}

#[test]
fn the_page_is_there_with_what_it_needs_and_a_policy() {
    let service = Service::start("");
    let page = service.get("/");
    assert_eq!(page.status, 200);
    assert!(page.headers["content-type"].starts_with("text/html"));
    assert!(page.headers["content-security-policy"].contains("default-src 'self'"));
    let parts = page
        .text()
        .split(['"', '\''])
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let parts: Vec<&str> = parts.collect();
    assert!(parts.len() >= 2, "{parts:?}");
    for part in parts {
        let path = format!("/{}", part.trim_start_matches(['.', '/']));
        assert_eq!(service.get(&path).status, 200, "{path}");
    }
    service.get("/nothing").problem(404);
    service.get("/../../etc/passwd").problem(404);
    assert_eq!(service.get("/livez").text(), "ok\n");
    assert_eq!(service.get("/readyz").text(), "ready\n");
}
