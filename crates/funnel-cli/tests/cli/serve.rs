//! `funnel serve` from outside, over a lake of two accounts: the same answers as the command line, only for those who
//! may have them.

mod answers;
mod client;
mod connections;
mod dashboards;
mod flight;
mod hostile;
mod metrics;
mod mutations;
mod sight;
mod tls;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use funnel_datagen::output::write_dir;
use funnel_datagen::{Options, Simulation};

use super::ingest::wait_for_line;
use super::{empty_dir, funnel, run};
use client::{Answer, Client};

/// All days of the simulation.
const DAYS: &str = "from=2024-03-01&to=2024-04-30";

/// A lake that tests only read, made once.
static LAKE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let dir = empty_dir();
    let options = Options {
        sessions: 150,
        accounts: 2,
        ..Options::default()
    };
    let traffic = dir.path().join("traffic");
    write_dir(Simulation::new(options).unwrap(), &traffic).unwrap();
    let files = std::fs::read_dir(traffic).unwrap();
    let files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
    let words = ["ingest", "--lake", "lake", "--files"];
    run(funnel(dir.path()).args(words).args(files), 0);
    dir
});

fn lake() -> PathBuf {
    LAKE.path().join("lake")
}

/// The accounts of the lake, as the command line knows them.
fn accounts() -> Vec<String> {
    let query = "SELECT DISTINCT account_id FROM events ORDER BY 1";
    let (out, _) = run(
        funnel(LAKE.path()).args(["sql", "--lake", "lake", "--format", "csv", "-c", query]),
        0,
    );
    let accounts: Vec<String> = out.lines().skip(1).map(str::to_owned).collect();
    assert_eq!(accounts.len(), 2, "{out}");
    accounts
}

/// A server that ends with the test.
struct Service {
    child: Child,
    client: Client,
    /// Of the PostgreSQL wire.
    pg: SocketAddr,
    /// Of Arrow Flight SQL.
    flight: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Service {
    /// Over the lake that all share; `config` are lines of `[serve]`.
    fn start(config: &str) -> Self {
        Self::over(&lake(), config)
    }

    /// Over a lake of the test's own.
    fn over(lake: &Path, config: &str) -> Self {
        let dir = empty_dir();
        let text = format!("[lake]\nurl = \"{}\"\n[serve]\n{config}\n", lake.display());
        std::fs::write(dir.path().join("funnel.toml"), text).unwrap();
        Self::run(dir)
    }

    /// With these entries in its file of tokens.
    fn with_tokens(tokens: &str) -> Self {
        let dir = empty_dir();
        std::fs::write(dir.path().join("tokens.toml"), tokens).unwrap();
        let text = format!(
            "[lake]\nurl = \"{}\"\n[serve]\ntokens = \"tokens.toml\"\n",
            lake().display()
        );
        std::fs::write(dir.path().join("funnel.toml"), text).unwrap();
        Self::run(dir)
    }

    fn run(dir: tempfile::TempDir) -> Self {
        let mut child = command(
            dir.path(),
            &[
                "serve",
                "--config",
                "funnel.toml",
                "--listen",
                "127.0.0.1:0",
                "--pg-listen",
                "127.0.0.1:0",
                "--flight-listen",
                "127.0.0.1:0",
            ],
        )
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let started = wait_for_line(&mut child, "Arrow Flight SQL");
        let address = |scheme: &str| {
            let (_, rest) = started.split_once(scheme).unwrap();
            let address = rest.split(['/', ' ']).next().unwrap();
            address.parse().unwrap()
        };
        Self {
            client: Client {
                address: address("http://"),
            },
            pg: address("postgresql://"),
            flight: address("grpc://"),
            child,
            _dir: dir,
        }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.client.get(path, &[])
    }

    /// A query in SQL, with a token or without.
    #[track_caller]
    fn sql(&self, query: &str, token: Option<&str>) -> Answer {
        let body = serde_json::json!({ "sql": query }).to_string();
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(
            authorization
                .as_deref()
                .map(|value| ("authorization", value)),
        );
        self.client
            .send("POST", "/api/v1/sql", &headers, body.as_bytes())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("funnel"));
    command
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .args(words);
    command
}
