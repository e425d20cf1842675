//! From simulated files through ingest to audit, rejects, reports and marts: every number printed
//! equals the simulator's truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::{empty_dir, funnel, run};

/// A lake of simulated traffic, made once for all tests of this file.
struct World {
    dir: tempfile::TempDir,
    truth: Value,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::make)
    }

    fn make() -> Self {
        let dir = empty_dir();
        let generate = "generate --sessions 250 --seed 11 -o traffic --truth truth.json";
        run(funnel(dir.path()).args(generate.split(' ')), 0);
        let truth: Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("truth.json")).unwrap()).unwrap();
        let mut config = "[lake]\nurl = \"lake\"\n".to_owned();
        for (account, about) in truth["accounts"].as_object().unwrap() {
            let zone = about["time_zone"].as_str().unwrap();
            config.push_str(&format!("[accounts.{account}]\ntime_zone = \"{zone}\"\n"));
        }
        std::fs::write(dir.path().join("funnel.toml"), config).unwrap();
        run(
            funnel(dir.path())
                .args(["ingest", "--files"])
                .args(files(dir.path())),
            0,
        );
        Self { dir, truth }
    }

    /// The words of a command, in the directory whose `funnel.toml` names the lake.
    #[track_caller]
    fn run(&self, words: &str, code: i32) -> (String, String) {
        run(funnel(self.dir.path()).args(words.split(' ')), code)
    }

    #[track_caller]
    fn json(&self, words: &str) -> Vec<Value> {
        let (out, _) = self.run(&format!("{words} --format json"), 0);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}\n{out}"))
    }

    fn days(&self) -> (&str, &str) {
        (
            self.truth["from"].as_str().unwrap(),
            self.truth["to"].as_str().unwrap(),
        )
    }

    fn accounts(&self) -> Vec<&String> {
        self.truth["accounts"].as_object().unwrap().keys().collect()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir.join("traffic"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ndjson"))
        .collect();
    files.sort();
    files
}

fn sum(rows: &[Value], column: &str) -> u64 {
    rows.iter().map(|row| row[column].as_u64().unwrap()).sum()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let dirs = [empty_dir(), empty_dir()];
    let texts = dirs.each_ref().map(|dir| {
        run(
            funnel(dir.path()).args("generate --sessions 20 --seed 3 -o traffic".split(' ')),
            0,
        );
        files(dir.path())
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].iter().map(Vec::len).sum::<usize>() > 1_000);
}

#[test]
fn the_audit_closes_with_the_numbers_of_the_truth() {
    let world = World::get();
    let rows = world.json("audit");
    let truth = &world.truth;
    for fate in ["accepted", "duplicate", "rejected", "empty", "tombstone"] {
        assert_eq!(
            sum(&rows, fate),
            truth["records"][fate].as_u64().unwrap(),
            "{fate}"
        );
    }
    assert_eq!(
        sum(&rows, "records"),
        truth["records"]["produced"].as_u64().unwrap()
    );
    assert_eq!(
        sum(&rows, "event_rows"),
        truth["entries"]["events"].as_u64().unwrap()
    );
    assert_eq!(
        sum(&rows, "reject_rows"),
        truth["entries"]["rejects"].as_u64().unwrap()
    );
    let (_, err) = world.run("audit", 0);
    assert!(err.contains("the accounting closes"), "{err}");
}

#[test]
fn an_audit_that_does_not_close_is_exit_3() {
    let world = World::get();
    let dir = empty_dir();
    copy(&world.dir.path().join("lake"), &dir.path().join("lake"));
    let log = dir.path().join("lake/events/_delta_log");
    let mut commits: Vec<_> = std::fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    commits.sort();
    let commit = commits
        .iter()
        .find(|path| {
            std::fs::read_to_string(path)
                .unwrap()
                .contains("\"accepted\":")
        })
        .expect("a commit with a ledger");
    let text = std::fs::read_to_string(commit).unwrap();
    std::fs::write(commit, text.replacen("\"accepted\":", "\"accepted\":1", 1)).unwrap();
    let (_, err) = run(funnel(dir.path()).args(["audit", "--lake", "lake"]), 3);
    assert!(err.contains("problem: "), "{err}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn reading_the_same_files_again_adds_nothing() {
    let world = World::get();
    let dir = empty_dir();
    copy(&world.dir.path().join("lake"), &dir.path().join("lake"));
    let before = world.json("sql -c SELECT\u{a0}1").len();
    assert_eq!(before, 1);
    let mut command = funnel(dir.path());
    command
        .args(["ingest", "--lake", "lake", "--files"])
        .args(files(world.dir.path()));
    let (out, err) = run(&mut command, 0);
    assert_eq!(out, "");
    assert!(err.contains("nothing to do"), "{err}");
}

#[test]
fn rejects_are_listed_by_reason_as_the_truth_has_them() {
    let world = World::get();
    let listed: BTreeMap<String, u64> = world
        .json("rejects list --by-reason")
        .iter()
        .map(|row| {
            (
                row["reason_code"].as_str().unwrap().to_owned(),
                row["rejects"].as_u64().unwrap(),
            )
        })
        .collect();
    let truth: BTreeMap<String, u64> =
        serde_json::from_value(world.truth["rejects"].clone()).unwrap();
    assert_eq!(listed, truth);
    assert!(!truth.is_empty());
}

#[test]
fn a_reject_shows_its_bytes_only_when_asked() {
    let world = World::get();
    let rows = world.json("rejects list --limit 1000");
    let row = rows
        .iter()
        .find(|row| row["entry_index"].is_null() && row["payload_len"].as_u64().unwrap() < 60_000)
        .expect("a whole record that was rejected");
    assert!(
        row.get("payload").is_none() && row.get("key").is_none(),
        "{row}"
    );
    let id = row["reject_id"].as_str().unwrap();
    let (out, _) = world.run(&format!("rejects show {id}"), 0);
    assert!(
        !out.contains("payload,") && !out.contains(",payload_sha,key"),
        "{out}"
    );
    let bytes = funnel(world.dir.path())
        .args(["rejects", "show", id, "--payload"])
        .output()
        .unwrap()
        .stdout;
    assert_eq!(bytes.len() as u64, row["payload_len"].as_u64().unwrap());
    let (_, err) = world.run("rejects show nothing/0/0", 1);
    assert!(err.contains("nothing/0/0"), "{err}");
}

#[test]
fn several_accounts_must_be_told_apart() {
    let world = World::get();
    let (from, to) = world.days();
    let (out, err) = world.run(&format!("report monitored --from {from} --to {to}"), 2);
    assert_eq!(out, "");
    for account in world.accounts() {
        assert!(
            err.contains(account.as_str()),
            "{account} is missing in\n{err}"
        );
    }
}

#[test]
fn reports_print_the_numbers_of_the_truth() {
    let world = World::get();
    let (from, to) = world.days();
    let account = world.accounts()[0];
    let funnels = world.truth["accounts"][account]["funnels"]
        .as_object()
        .unwrap();
    // Every unit of every funnel has its test beside the query; here each funnel is printed once.
    for (funnel, units) in funnels {
        let (unit, modes) = units.as_object().unwrap().iter().next().unwrap();
        for (mode, steps) in modes.as_object().unwrap() {
            let rows = world.json(&format!(
                "report {funnel} --account {account} --from {from} --to {to} --unit {unit} --mode {mode}"
            ));
            let ours: Vec<_> = rows
                .iter()
                .map(|row| (&row["step"], &row["reached"]))
                .collect();
            let truth: Vec<_> = steps
                .as_array()
                .unwrap()
                .iter()
                .map(|step| (&step["step"], &step["reached"]))
                .collect();
            assert_eq!(ours, truth, "{funnel} {unit} {mode}");
        }
    }
}

#[test]
fn a_report_for_people_has_per_cents_outcomes_and_metrics_beside() {
    let world = World::get();
    let (from, to) = world.days();
    let account = world.accounts()[0];
    let words = format!("report monitored --account {account} --from {from} --to {to} --reconcile");
    let (out, _) = world.run(&format!("{words} --format table"), 0);
    for part in [
        "of previous",
        "100.0 %",
        "What became of the offers",
        "LivePerson's metrics",
        "By topic and partition",
    ] {
        assert!(out.contains(part), "{part} is missing in\n{out}");
    }
    let sessions = &world.truth["accounts"][account]["metrics"]["sessions"];
    let line = out
        .lines()
        .find(|line| line.starts_with("│ sessions "))
        .unwrap();
    assert!(line.contains(&format!(" {sessions} ")), "{line}");
    let (_, err) = world.run(&format!("{words} --availability --format csv"), 2);
    assert!(err.contains("one at a time"), "{err}");
}

#[test]
fn a_reconciliation_closes_for_every_partition_of_the_truth() {
    let world = World::get();
    let (from, to) = world.days();
    let account = world.accounts()[0];
    let lines = world.json(&format!(
        "report monitored --account {account} --from {from} --to {to} --reconcile"
    ));
    let sum = |wanted: &dyn Fn(&Value) -> bool| -> i64 {
        let rows = lines.iter().filter(|line| wanted(line));
        rows.map(|line| line["rows"].as_i64().unwrap()).sum()
    };
    let events = world.truth["entries"]["events"].as_i64().unwrap();
    assert_eq!(sum(&|line| line["part"] == "events"), events);
    for fate in ["accepted", "rejected", "duplicate", "empty", "tombstone"] {
        let wanted = world.truth["records"][fate].as_i64().unwrap();
        let found = sum(&|line| line["part"] == "kafka" && line["class"] == fate);
        assert_eq!(found, wanted, "{fate}");
    }
    let produced = world.truth["records"]["produced"].as_i64().unwrap();
    let holes = sum(&|line| line["class"] == "holes");
    assert_eq!(sum(&|line| line["part"] == "range"), produced + holes);
}

#[test]
fn units_of_a_lake_come_one_by_one_and_losses_with_the_state_of_the_agents() {
    let world = World::get();
    let (from, to) = world.days();
    let account = world.accounts()[0];
    let words = format!("report impression_to_chat --account {account} --from {from} --to {to}");
    let steps = world.json(&words);
    let units = world.json(&format!("{words} --per-key"));
    let times = units
        .iter()
        .flat_map(|unit| unit["step_times"].as_array().unwrap());
    let reached: i64 = steps
        .iter()
        .map(|step| step["reached"].as_i64().unwrap())
        .sum();
    let times = i64::try_from(times.filter(|time| !time.is_null()).count()).unwrap();
    assert_eq!(times, reached);
    let losses = world.json(&format!("{words} --availability"));
    let query = world.json(&format!(
        "run availability_losses --param account={account} --param from={from} --param to={to}"
    ));
    assert!(!losses.is_empty());
    assert_eq!(losses, query);
    let (_, err) = world.run(&format!("{words} --availability --by flow"), 2);
    assert!(
        err.contains("--by has no meaning for --availability"),
        "{err}"
    );
}

#[test]
fn a_definition_with_a_source_reads_the_tables_of_the_lake() {
    let world = World::get();
    let write = |table: &str| {
        let text = format!(
            "name = 'own'\nmode = 'next,relevant=steps'\nwindow = '1 hour'\nwhere = 'NOT is_duplicate'
             [source]\ntable = '{table}'\nkey = 'visitor_key'\ntime = 'event_time'
             [[steps]]\nname = 'shown'\nwhen = \"event_type = 'engagement_impression'\"
             [[steps]]\nname = 'clicked'\nwhen = \"event_type = 'engagement_click'\""
        );
        std::fs::write(world.dir.path().join("own.toml"), text).unwrap();
    };
    write("events_enriched");
    let (_, err) = world.run("report --file own.toml", 2);
    assert!(err.contains("--account"), "{err}");
    let account = world.accounts()[0];
    let steps = world.json(&format!("report --file own.toml --account {account}"));
    let sql = "SELECT count(*) FILTER (WHERE level > 0) AS shown, count(*) FILTER (WHERE level > 1) AS clicked FROM (
          SELECT window_funnel(INTERVAL '1 hour', 'next,relevant=steps', event_time,
            event_type = 'engagement_impression', event_type = 'engagement_click') AS level
          FROM events_enriched WHERE NOT is_duplicate AND visitor_key IS NOT NULL AND account_id = 'ACCOUNT' GROUP BY visitor_key)";
    let sql = &sql.replace("ACCOUNT", account);
    let mut command = funnel(world.dir.path());
    let (out, _) = run(command.args(["sql", "--format", "json", "-c", sql]), 0);
    let counted: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(counted[0]["clicked"].as_i64().unwrap() > 0);
    for (step, name) in ["shown", "clicked"].into_iter().enumerate() {
        assert_eq!(steps[step]["reached"], counted[0][name], "{name}");
    }
    let (from, _) = world.days();
    for (words, wanted) in [
        (
            format!("--from {from}"),
            "--from is for funnels without a [source]",
        ),
        (
            "--reconcile".to_owned(),
            "--reconcile is for funnels without a [source]",
        ),
    ] {
        let (_, err) = world.run(&format!("report --file own.toml {words}"), 2);
        assert!(err.contains(wanted), "{err}");
    }
    write("nothing");
    let (_, err) = world.run("report --file own.toml", 2);
    assert!(
        err.contains("the lake has no table `nothing`") && err.contains("--table nothing=FILE"),
        "{err}"
    );
}

#[test]
fn a_report_states_what_its_numbers_mean() {
    let world = World::get();
    let (from, to) = world.days();
    let account = world.accounts()[0];
    let words = format!("report monitored --account {account} --from {from} --to {to}");
    let (out, err) = world.run(&words, 0);
    assert!(out.lines().next().unwrap().contains("step,"), "{out}");
    for word in [
        "unit",
        "mode",
        "window",
        "date basis",
        "completeness",
        account,
    ] {
        assert!(err.contains(word), "{word} is missing in\n{err}");
    }
    let (out, _) = world.run(&format!("{words} --format table"), 0);
    assert!(out.starts_with("monitored: "), "{out}");
}

#[test]
fn the_lake_answers_sql_with_its_views() {
    let world = World::get();
    let mut command = funnel(world.dir.path());
    command.args(["sql", "-c", "SELECT count(*) AS n FROM events"]);
    let (out, _) = run(&mut command, 0);
    assert_eq!(out, format!("n\n{}\n", world.truth["entries"]["events"]));
    for view in [
        "events_enriched",
        "sessions",
        "offers",
        "chats",
        "rejects",
        "ledger",
    ] {
        let query = format!("SELECT count(*) >= 0 AS fine FROM {view}");
        let (out, _) = run(funnel(world.dir.path()).args(["sql", "-c", &query]), 0);
        assert_eq!(out, "fine\ntrue\n", "{view}");
    }
}

#[test]
fn named_queries_run_with_bound_parameters() {
    let world = World::get();
    let (from, to) = world.days();
    let listed = world.json("run");
    assert!(
        listed.iter().any(|row| row["name"] == "outcomes"),
        "{listed:?}"
    );
    let words = format!("run outcomes --param from={from} --param to={to}");
    let rows = world.json(&words);
    for (account, about) in world.truth["accounts"].as_object().unwrap() {
        for (outcome, count) in about["outcomes"].as_object().unwrap() {
            let ours: Vec<Value> = rows
                .iter()
                .filter(|row| row["account_id"] == **account && row["offer_outcome"] == **outcome)
                .cloned()
                .collect();
            assert_eq!(
                Some(sum(&ours, "offers")),
                count.as_u64(),
                "{account} {outcome}"
            );
        }
    }
    let (_, err) = world.run(&format!("run outcomes --param from={from}"), 2);
    assert!(err.contains("to"), "{err}");
    // Text that would be SQL stays a value.
    let account = "x'\u{a0}OR\u{a0}true\u{a0}--";
    let rows = world.json(&format!("{words} --param account={account}"));
    assert_eq!(rows.len(), 0);
}

#[test]
fn a_closed_day_is_published_once() {
    let world = World::get();
    let dir = empty_dir();
    copy(&world.dir.path().join("lake"), &dir.path().join("lake"));
    let (from, _) = world.days();
    let day: chrono::NaiveDate = from.parse().unwrap();
    let day = (day + chrono::Days::new(1)).to_string();
    let words = ["publish", "--lake", "lake", "--date", &day];
    let (out, _) = run(funnel(dir.path()).args(words), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["unchanged"], false);
    let export = dir.path().join(format!(
        "lake/export/funnel_daily/date={day}/part-0.parquet"
    ));
    assert!(export.is_file(), "{}", export.display());
    let (out, err) = run(funnel(dir.path()).args(words), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["unchanged"], true);
    assert!(err.contains("nothing to do"), "{err}");
}

/// What a scheduler must try again: another run holds the lake, however long this one may wait for its day.
#[test]
fn while_another_run_publishes_it_is_exit_75_and_nothing_is_written() {
    let world = World::get();
    let dir = empty_dir();
    copy(&world.dir.path().join("lake"), &dir.path().join("lake"));
    let (from, _) = world.days();
    let day: chrono::NaiveDate = from.parse().unwrap();
    let day = (day + chrono::Days::new(1)).to_string();
    let words = ["publish", "--lake", "lake", "--date", &day, "--wait", "2h"];
    let state = dir.path().join("lake/_state");
    std::fs::create_dir_all(&state).unwrap();
    let held = std::fs::File::create(state.join("publish.lock")).unwrap();
    held.lock().unwrap();
    let (out, err) = run(funnel(dir.path()).args(words), 75);
    assert_eq!(out, "");
    assert!(err.contains("another publish run is at work"), "{err}");
    assert!(err.contains("publish.lock"), "{err}");
    assert!(!dir.path().join("lake/export").exists());
    drop(held);
    let (out, _) = run(funnel(dir.path()).args(words), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["unchanged"], false);
}

#[test]
fn an_open_day_is_exit_3() {
    let world = World::get();
    let tomorrow = (chrono::Utc::now().date_naive() + chrono::Days::new(1)).to_string();
    let (out, _) = world.run(&format!("publish --date {tomorrow}"), 3);
    assert_eq!(out, "");
}
