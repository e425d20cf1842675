//! Lakes in an object store: the binary against an S3 server over loopback, which fails on demand.

mod bucket;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use funnel_datagen::{Options, Simulation};
use funnel_tests::Lab;
use serde_json::{Value, json};

use self::bucket::{Bucket, LAKE};
use crate::truth;

const ROWS: &str = "SELECT count(*) AS rows, count(DISTINCT event_id) AS ids, \
                    sum(kafka_offset) AS offsets FROM events";

#[test]
fn every_number_of_a_lake_in_a_bucket_is_that_of_one_on_a_disk() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(120);
    let day = truth.day_after_first();
    let report = truth.report();
    let mut answers = Vec::new();
    for lake in ["on-disk", LAKE] {
        bucket.ingest(lake, 0);
        let (_, said) = bucket.run(lake, &bucket.ingest_words(), 0);
        assert!(said.contains("nothing to do"), "{said}");
        bucket.run(lake, &["audit"], 0);
        let before = bucket.json(lake, &report);
        let sorted = bucket.json(lake, &["maintain", "compact"]);
        let sorted = sorted.as_array().expect("a row per day");
        assert!(
            sorted.iter().all(|day| day["action"] == "sorted"),
            "{sorted:?}"
        );
        assert_eq!(
            bucket.json(lake, &report),
            before,
            "{lake}: sorting changes nothing"
        );
        bucket.run(lake, &["audit"], 0);
        let publish = ["publish", "--date", &day];
        let published = bucket.published(lake, &publish);
        let (again, _) = bucket.run(lake, &publish, 0);
        let again: Value = serde_json::from_str(&again).expect("a report");
        assert_eq!(again["unchanged"], json!(true), "{lake}");
        answers.push(json!({
            "rows": bucket.json(lake, &["sql", "-c", ROWS]),
            "report": before,
            "published": published,
            "exported": bucket.exported(lake, "funnel_daily"),
            "offers": bucket.exported(lake, "offers"),
        }));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1]["rows"][0]["rows"], truth.events());
}

#[test]
fn of_two_writers_at_once_each_commit_has_one_and_nothing_is_lost() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(150);
    let words = bucket.ingest_words();
    let mut writers: Vec<Child> = (0..2)
        .map(|_| bucket.spawn(LAKE, &words, Stdio::null()))
        .collect();
    for writer in &mut writers {
        assert!(writer.wait().expect("it ends").success());
    }
    bucket.run(LAKE, &["audit"], 0);
    let rows = bucket.json(LAKE, &["sql", "-c", ROWS]);
    assert_eq!(
        (&rows[0]["rows"], &rows[0]["ids"]),
        (&truth.events(), &truth.events())
    );
}

#[test]
fn of_a_writer_killed_between_its_files_and_its_commit_nothing_is_seen() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(60);
    bucket.tell("hold events/_delta_log/00000000000000000001");
    let mut killed = bucket.spawn(LAKE, &bucket.ingest_words(), Stdio::null());
    bucket.await_held();
    killed.kill().expect("SIGKILL reaches it");
    killed.wait().expect("it ends");
    bucket.tell("drop");
    assert_eq!(bucket.json(LAKE, &["sql", "-c", ROWS])[0]["rows"], json!(0));
    bucket.run(LAKE, &["audit"], 0);
    bucket.ingest(LAKE, 0);
    bucket.run(LAKE, &["audit"], 0);
    assert_eq!(
        bucket.json(LAKE, &["sql", "-c", ROWS])[0]["rows"],
        truth.events()
    );
}

#[test]
fn a_commit_whose_answer_was_lost_counts_once() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(60);
    bucket.tell("hold events/_delta_log/00000000000000000001");
    let mut writer = bucket.spawn(LAKE, &bucket.ingest_words(), Stdio::null());
    bucket.await_held();
    bucket.tell("lose");
    assert!(writer.wait().expect("it ends").success());
    bucket.run(LAKE, &["audit"], 0);
    let rows = bucket.json(LAKE, &["sql", "-c", ROWS]);
    assert_eq!(
        (&rows[0]["rows"], &rows[0]["ids"]),
        (&truth.events(), &truth.events())
    );
}

#[test]
fn a_store_that_goes_away_is_named_and_work_goes_on_when_it_is_back() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(60);
    bucket.tell("hold events/_delta_log/00000000000000000001");
    let mut writer = bucket.spawn(LAKE, &bucket.ingest_words(), Stdio::null());
    bucket.await_held();
    bucket.tell("stop");
    bucket.tell("drop");
    for words in [vec!["sql", "-c", ROWS], vec!["audit"], truth.report()] {
        let (_, said) = bucket.run(LAKE, &words, 75);
        assert!(said.contains("no answer from `http://127.0.0.1"), "{said}");
    }
    bucket.tell("start");
    assert!(writer.wait().expect("it ends").success());
    bucket.run(LAKE, &["audit"], 0);
    assert_eq!(
        bucket.json(LAKE, &["sql", "-c", ROWS])[0]["rows"],
        truth.events()
    );
}

#[test]
fn a_store_that_cannot_keep_writers_apart_is_refused() {
    let bucket = Bucket::new();
    bucket.traffic(10);
    bucket.tell("ignore");
    let (_, said) = bucket.run(LAKE, &bucket.ingest_words(), 78);
    assert!(said.contains("ignores `If-None-Match`"), "{said}");
    let (_, said) = bucket.run(LAKE, &["sql", "-c", ROWS], 1);
    assert!(said.contains("there is no lake"), "{said}");
}

/// A lake, variables, the exit code, and words that are said.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], i32, &'a str);

#[test]
fn what_keeps_the_lake_from_being_reached_is_said_with_what_to_do() {
    let bucket = Bucket::new();
    let cases: [Case<'_>; 6] = [
        (
            "s3://elsewhere/lake",
            &[],
            78,
            "there is no bucket `elsewhere`",
        ),
        (
            LAKE,
            &[("AWS_ACCESS_KEY_ID", "refused")],
            78,
            "refuses these credentials",
        ),
        (
            LAKE,
            &[("AWS_ALLOW_HTTP", "false")],
            78,
            "AWS_ALLOW_HTTP=true",
        ),
        (
            LAKE,
            &[("AWS_SECRET_ACCESS_KEY", "")],
            78,
            "SecretAccessKey",
        ),
        (
            LAKE,
            &[
                ("AWS_ACCESS_KEY_ID", ""),
                ("AWS_SECRET_ACCESS_KEY", ""),
                ("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9"),
            ],
            78,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            LAKE,
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")],
            75,
            "no answer from",
        ),
    ];
    for (lake, changes, code, words) in cases {
        let mut command = bucket.command(lake, &["sql", "-c", "SELECT 1"]);
        command.envs(changes.iter().copied());
        let said = bucket::finish(&mut command, code).1;
        assert!(said.contains(words), "{changes:?}: {said}");
        assert!(!said.contains(bucket::SECRET), "{said}");
    }
}

#[test]
fn the_configuration_names_the_store_as_well_and_shows_no_secret() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(20);
    std::fs::write(bucket.path("key"), format!("{}\n", bucket::SECRET)).expect("a file");
    let config = format!(
        "[lake]\nurl = \"{LAKE}\"\n[lake.s3]\nendpoint = \"{}\"\nallow_http = true\n\
         access_key_id = \"key\"\nsecret_access_key_file = \"key\"\n",
        bucket.endpoint()
    );
    std::fs::write(bucket.path("funnel.toml"), config).expect("a file");
    let run = |words: &[&str], code| {
        let mut command = bucket.bare(words);
        // A key of somewhere else, whose token does not belong to the configured one.
        command.env("AWS_SESSION_TOKEN", "other");
        command.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
        bucket::finish(&mut command, code)
    };
    run(&["config", "check"], 0);
    run(&bucket.ingest_words(), 0);
    let (rows, _) = run(&["sql", "--format", "json", "-c", ROWS], 0);
    let rows: Value = serde_json::from_str(&rows).expect("rows");
    assert_eq!(rows[0]["rows"], truth.events());
    let (shown, said) = run(&["config", "show"], 0);
    assert!(shown.contains("lake.s3.endpoint"), "{shown}");
    assert!(
        !format!("{shown}{said}").contains(bucket::SECRET),
        "{shown}"
    );
}

#[test]
fn two_runs_of_publish_are_kept_apart_and_a_table_by_path_is_read() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(40);
    bucket.ingest(LAKE, 0);
    let day = truth.day_after_first();
    let publish = ["publish", "--date", day.as_str()];
    bucket.tell("hold export/");
    let mut first = bucket.spawn(LAKE, &publish, Stdio::null());
    bucket.await_held();
    let (_, said) = bucket.run(LAKE, &publish, 75);
    assert!(said.contains("another publish run is at work"), "{said}");
    bucket.tell("release");
    assert!(first.wait().expect("it ends").success());
    bucket.run(LAKE, &publish, 0);
    let table = format!("t={LAKE}/events");
    let count = [
        "sql",
        "--table",
        &table,
        "-c",
        "SELECT count(*) AS n FROM t",
    ];
    assert_eq!(bucket.json(LAKE, &count)[0]["n"], truth.events());
}

#[test]
fn the_server_answers_from_a_bucket() {
    let bucket = Bucket::new();
    let truth = bucket.traffic(60);
    bucket.ingest(LAKE, 0);
    let words = ["serve", "--listen", "127.0.0.1:0", "--pg-listen", "off"];
    let mut server = Ended(bucket.spawn(LAKE, &words, Stdio::piped()));
    let stderr = server.0.stderr.take().expect("its words");
    let mut lines = BufReader::new(stderr).lines();
    let address = lines.find_map(|line| {
        let line = line.ok()?;
        let (_, rest) = line.split_once("http://")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let address = address.expect("an address");
    let path = format!(
        "/api/v1/funnels/impression_to_chat/report?{}",
        truth.query()
    );
    let (status, served) = get(&address, &path);
    assert_eq!(status, 200, "{served}");
    let printed = bucket.json(LAKE, &truth.report());
    let counts = |rows: &Value| -> Vec<Value> {
        let rows = rows.as_array().expect("rows").iter();
        rows.map(|row| row["reached"].clone()).collect()
    };
    let served: Value = serde_json::from_str(&served).expect("JSON");
    assert_eq!(counts(&served["rows"]), counts(&printed));
    assert_eq!(get(&address, "/api/v1/status").0, 200);
}

#[test]
fn kafka_is_read_into_a_bucket() {
    let bucket = Bucket::new();
    let lab = Lab::over(LAKE, &bucket.section());
    let options = Options {
        sessions: 100,
        seed: 5,
        ..Options::default()
    };
    let mut simulation = Simulation::new(options).expect("options are in range");
    lab.send(simulation.by_ref());
    lab.ingest();
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &simulation.into_truth());
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Status and body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).expect("the server is there");
    write!(socket, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}
