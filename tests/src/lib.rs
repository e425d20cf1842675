//! A laboratory for one test: its own topics on the shared Kafka, its own lake, the real binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use funnel_datagen::Message;
use funnel_testkit::{KafkaCluster, Producer, TOPICS, create_topics};
use serde_json::Value;
use tempfile::TempDir;

/// Partitions of every topic: several per instance, so that a rebalance moves some.
pub const PARTITIONS: i32 = 4;

/// The broker that tests share; each uses topics of its own.
///
/// # Panics
/// When Kafka cannot be started: the lane fails, it does not skip.
pub fn kafka() -> &'static KafkaCluster {
    static KAFKA: OnceLock<KafkaCluster> = OnceLock::new();
    #[expect(
        clippy::panic,
        reason = "without Kafka the lane must fail, with the script's words"
    )]
    KAFKA.get_or_init(|| KafkaCluster::start(1).unwrap_or_else(|error| panic!("{error}")))
}

/// The binary under test, built by the same `cargo test`.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn funnel_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let binary = test.ancestors().nth(2).unwrap_or(&test).join("funnel");
    assert!(
        binary.is_file(),
        "{} is not built; run `cargo test --workspace`, or `cargo build -p funnel-cli` first",
        binary.display()
    );
    binary
}

/// Topics, lake and configuration of one test.
#[derive(Debug)]
pub struct Lab {
    dir: TempDir,
    prefix: String,
    bootstrap: String,
    lake: String,
    extra_config: String,
}

impl Lab {
    /// Creates the four topics under a prefix of their own on the shared Kafka.
    #[must_use]
    pub fn new() -> Self {
        Self::on(kafka().bootstrap(), "")
    }

    /// As [`Lab::new`], with more lines for the configuration file (whole TOML sections).
    #[must_use]
    pub fn with_config(extra: &str) -> Self {
        Self::on(kafka().bootstrap(), extra)
    }

    /// The same on another Kafka.
    ///
    /// # Panics
    /// When the topics cannot be created.
    #[must_use]
    pub fn on(bootstrap: &str, extra: &str) -> Self {
        Self::make(bootstrap, None, extra)
    }

    /// As [`Lab::with_config`], with the lake at `url`.
    #[must_use]
    pub fn over(url: &str, extra: &str) -> Self {
        Self::make(kafka().bootstrap(), Some(url), extra)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its parts")]
    fn make(bootstrap: &str, lake: Option<&str>, extra: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("t{}.", NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = TempDir::new().expect("a temporary folder");
        let on_disk = || dir.path().join("lake").display().to_string();
        let lab = Self {
            lake: lake.map_or_else(on_disk, str::to_owned),
            dir,
            prefix,
            bootstrap: bootstrap.to_owned(),
            extra_config: extra.to_owned(),
        };
        let names = lab.topics();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime")
            .block_on(create_topics(bootstrap, &names, PARTITIONS))
            .expect("topics are created");
        std::fs::write(lab.config(), lab.config_text()).expect("the configuration is written");
        lab
    }

    /// The four topics with this test's prefix.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        TOPICS.iter().map(|name| self.topic(name)).collect()
    }

    /// One topic with this test's prefix.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `host:port` of the Kafka in use.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The lake's folder, unless it is elsewhere.
    #[must_use]
    pub fn lake(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    /// A file of this test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("funnel.toml")
    }

    fn config_text(&self) -> String {
        let topics: Vec<String> = self.topics().iter().map(|t| format!("\"{t}\"")).collect();
        format!(
            "[lake]\nurl = \"{}\"\n\n[kafka]\nbrokers = \"{}\"\ngroup = \"{}funnel\"\ntopics = [{}]\n\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\n{}\n",
            self.lake,
            self.bootstrap,
            self.prefix,
            topics.join(", "),
            self.extra_config
        )
    }

    /// Sends the messages to this test's topics and waits for the broker to have them all.
    ///
    /// # Panics
    /// When one is not delivered.
    #[expect(
        clippy::expect_used,
        reason = "a test cannot go on without its records"
    )]
    pub fn send(&self, messages: impl IntoIterator<Item = Message>) -> u64 {
        let producer = Producer::new(&self.bootstrap).expect("a producer");
        let mut sent = 0;
        for message in messages {
            let topic = self.topic(message.topic);
            producer
                .send(&topic, Some(&message.key), message.value.as_deref())
                .expect("a record is queued");
            sent += 1;
        }
        producer.flush().expect("every record is delivered");
        sent
    }

    /// A command line `funnel ARGS` with this test's configuration, not yet started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(funnel_binary());
        command
            .args(args)
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null());
        command
            .env("NO_COLOR", "1")
            .env_remove("FUNNEL_LAKE")
            .env_remove("FUNNEL_CONFIG");
        command
    }

    /// Runs `funnel ARGS` to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without the binary")]
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// Runs `funnel ARGS`, which must succeed; its stdout.
    ///
    /// # Panics
    /// With stderr when it does not exit 0.
    #[must_use]
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success(),
            "funnel {args:?} ended with {}: {stderr}",
            out.status
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs `funnel ARGS --format json`, which must succeed; the parsed answer.
    ///
    /// # Panics
    /// When it fails or does not print JSON.
    #[must_use]
    #[expect(clippy::panic, reason = "an answer that is not JSON is the failure")]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["--format", "json"]);
        let text = self.ok(&args);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("funnel {args:?}: {e} in {text}"))
    }

    /// The rows of a query over the lake.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        match self.json(&["sql", "-c", sql]) {
            Value::Array(rows) => rows,
            other => vec![other],
        }
    }

    /// The one integer that a query over the lake gives.
    ///
    /// # Panics
    /// When it gives something else.
    #[must_use]
    #[expect(clippy::panic, reason = "a query that gives no integer is the failure")]
    pub fn count(&self, sql: &str) -> i64 {
        let rows = self.sql(sql);
        let value = rows
            .first()
            .and_then(Value::as_object)
            .and_then(|row| row.values().next());
        value
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{sql} gave {rows:?}"))
    }

    /// `funnel ingest --until-end`, which must succeed.
    pub fn ingest(&self) {
        drop(self.ok(&["ingest", "--until-end"]));
    }

    /// `funnel ingest` in the background, its words in a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test cannot go on without the binary")]
    pub fn spawn_ingest(&self, name: &str) -> Ingestor {
        let log = std::fs::File::create(self.path(name)).expect("a log file");
        let mut command = self.command(&["ingest"]);
        command.stdout(Stdio::null()).stderr(log);
        Ingestor(command.spawn().expect("the ingestor starts"))
    }

    /// `funnel audit` must close, and its tables must hold each coordinate once.
    ///
    /// # Panics
    /// When it does not.
    pub fn audit_closes(&self) {
        drop(self.ok(&["audit"]));
    }
}

/// A running `funnel ingest` that does not outlive a test that fails.
#[derive(Debug)]
pub struct Ingestor(Child);

impl std::ops::Deref for Ingestor {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Ingestor {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Ingestor {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// The folder of test material `tests/`.
#[must_use]
pub fn material() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python with readers that we did not write; installed by `scripts/install-test-deps`.
///
/// # Panics
/// When it is not there: the lane fails, it does not skip.
#[must_use]
pub fn readers_python() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME")
        .or_else(|| var("HOME").map(|home| home.join(".cache")))
        .unwrap_or_default();
    let python = cache.join("funnel/readers/bin/python");
    assert!(
        python.is_file(),
        "no Python readers; run `scripts/install-test-deps`"
    );
    python
}
