//! A bucket, a folder, and the binary over both.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use funnel_datagen::output::write_dir;
use funnel_datagen::{Options, Simulation};
use funnel_testkit::S3Server;
use funnel_tests::funnel_binary;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The lake in the bucket.
pub(super) const LAKE: &str = "s3://lake/some/folder";
pub(super) const SECRET: &str = "a-secret-that-nobody-sees";

pub(super) struct Bucket {
    server: S3Server,
    dir: TempDir,
}

/// What was sent.
pub(super) struct Traffic(Value);

impl Bucket {
    pub(super) fn new() -> Self {
        let server = S3Server::start().unwrap_or_else(|error| panic!("{error}"));
        let dir = TempDir::new().expect("a folder");
        Self { server, dir }
    }

    pub(super) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    pub(super) fn tell(&self, command: &str) {
        let told = self.server.tell(command);
        told.unwrap_or_else(|error| panic!("{error}"));
    }

    pub(super) fn await_held(&self) {
        let held = self.server.await_held();
        held.unwrap_or_else(|error| panic!("{error}"));
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The lines of a configuration that reach this bucket.
    pub(super) fn section(&self) -> String {
        format!(
            "[lake.s3]\nendpoint = \"{}\"\nallow_http = true\naccess_key_id = \"key\"\n\
             secret_access_key = \"{SECRET}\"\n",
            self.endpoint()
        )
    }

    /// Simulated traffic as files.
    pub(super) fn traffic(&self, sessions: u64) -> Traffic {
        let options = Options {
            sessions,
            accounts: 1,
            ..Options::default()
        };
        let simulation = Simulation::new(options).expect("options are in range");
        let truth = write_dir(simulation, &self.path("traffic")).expect("the files are written");
        Traffic(serde_json::to_value(truth).expect("the truth is JSON"))
    }

    /// `funnel WORDS` in this folder, without anybody's environment.
    pub(super) fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new(funnel_binary());
        command
            .args(words)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// The same with the bucket's address and keys, over `lake`.
    pub(super) fn command(&self, lake: &str, words: &[&str]) -> Command {
        let mut command = self.bare(words);
        command
            .args(["--lake", lake])
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    pub(super) fn spawn(&self, lake: &str, words: &[&str], stderr: Stdio) -> Child {
        let mut command = self.command(lake, words);
        command.stdout(Stdio::null()).stderr(stderr);
        command.spawn().expect("the binary starts")
    }

    /// Runs it; stdout and stderr.
    pub(super) fn run(&self, lake: &str, words: &[&str], code: i32) -> (String, String) {
        finish(&mut self.command(lake, words), code)
    }

    pub(super) fn json(&self, lake: &str, words: &[&str]) -> Value {
        let words = [words, &["--format", "json"]].concat();
        let (out, _) = self.run(lake, &words, 0);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    pub(super) fn ingest_words(&self) -> [&'static str; 3] {
        ["ingest", "--files", "traffic"]
    }

    pub(super) fn ingest(&self, lake: &str, code: i32) {
        self.run(lake, &self.ingest_words(), code);
    }

    /// What a run of publish says it wrote, without when and where.
    pub(super) fn published(&self, lake: &str, words: &[&str]) -> Value {
        let (out, _) = self.run(lake, words, 0);
        let report: Value = serde_json::from_str(&out).expect("a report");
        let parts = report["partitions"].as_array().expect("partitions").iter();
        let parts = parts.map(|part| {
            ["mart", "date", "rows", "content_hash", "export"]
                .map(|name| part[name].clone())
                .to_vec()
        });
        json!([
            parts.collect::<Vec<_>>(),
            report["days"],
            report["event_days_read"]
        ])
    }

    /// The rows at the stable path of a mart, in some order that is always the same.
    pub(super) fn exported(&self, lake: &str, mart: &str) -> Vec<String> {
        let table = format!("t={lake}/export/{mart}");
        let rows = self.json(lake, &["sql", "--table", &table, "-c", "SELECT * FROM t"]);
        let rows = without(rows, "computed_at");
        let rows = rows.as_array().expect("rows").iter();
        let mut rows: Vec<String> = rows.map(Value::to_string).collect();
        assert!(!rows.is_empty(), "{mart}");
        rows.sort();
        rows
    }
}

/// Runs a command to its end.
pub(super) fn finish(command: &mut Command, code: i32) -> (String, String) {
    let out = command.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(
        out.status.code(),
        Some(code),
        "{command:?}\n{stdout}\n{stderr}"
    );
    (stdout, stderr)
}

fn without(mut rows: Value, column: &str) -> Value {
    for row in rows.as_array_mut().into_iter().flatten() {
        if let Some(row) = row.as_object_mut() {
            row.remove(column);
        }
    }
    rows
}

impl Traffic {
    pub(super) fn events(&self) -> Value {
        self.0["entries"]["events"].clone()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().expect("a day")
    }

    pub(super) fn day_after_first(&self) -> String {
        let from: chrono::NaiveDate = self.text("from").parse().expect("a day");
        (from + chrono::Days::new(1)).to_string()
    }

    pub(super) fn report(&self) -> Vec<&str> {
        let (from, to) = (self.text("from"), self.text("to"));
        vec!["report", "impression_to_chat", "--from", from, "--to", to]
    }

    /// The same for the server.
    pub(super) fn query(&self) -> String {
        format!("from={}&to={}", self.text("from"), self.text("to"))
    }
}
