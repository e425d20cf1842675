//! `scripts/kafka` as a value: started by a test, stopped when the test process ends.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use thiserror::Error;

/// Why a real Kafka could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// The script could not be run at all.
    #[error("could not run `scripts/kafka {verb}`")]
    Run {
        /// What was asked of the script.
        verb: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The script ran and said no; its own words tell how to get what is missing.
    #[error("`scripts/kafka {verb}` failed: {stderr}")]
    Refused {
        /// What was asked of the script.
        verb: String,
        /// What it printed.
        stderr: String,
    },
}

/// One or three brokers of Apache Kafka on free loopback ports, with data in a temporary folder.
#[derive(Debug)]
pub struct KafkaCluster {
    dir: TempDir,
    bootstrap: String,
}

impl KafkaCluster {
    /// Starts `brokers` (1 or 3) brokers and waits until each answers.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] with the script's text when Java, Maven or Kafka is missing.
    pub fn start(brokers: u8) -> Result<Self, KafkaError> {
        let dir = tempfile::Builder::new()
            .prefix("funnel-kafka-")
            .tempdir()
            .map_err(|source| KafkaError::Run {
                verb: "start".to_owned(),
                source,
            })?;
        let brokers = brokers.to_string();
        let owner = std::process::id().to_string();
        let out = script(
            dir.path(),
            &["start", "--brokers", &brokers, "--until-exit", &owner],
        )?;
        let bootstrap = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        Ok(Self { dir, bootstrap })
    }

    /// The value of `bootstrap.servers`: `host:port`, comma-separated.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Ends broker `number` (from 1) with SIGKILL.
    ///
    /// # Errors
    /// When it is not up.
    pub fn kill(&self, number: u8) -> Result<(), KafkaError> {
        script(self.dir.path(), &["kill", &number.to_string()]).map(drop)
    }

    /// Starts broker `number` again on its ports and data.
    ///
    /// # Errors
    /// When it is up already, or does not come up.
    pub fn restart(&self, number: u8) -> Result<(), KafkaError> {
        script(self.dir.path(), &["restart", &number.to_string()]).map(drop)
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        // A failed stop leaves processes behind; the script's own watch on this process ends them.
        drop(script(self.dir.path(), &["stop"]));
    }
}

fn script(dir: &Path, args: &[&str]) -> Result<Output, KafkaError> {
    let verb = args.join(" ");
    // stderr goes to a file: a broker started in the background would hold a pipe open.
    let errors = dir.join("script.stderr");
    let run = || -> io::Result<Output> {
        let stderr = std::fs::File::create(&errors)?;
        let mut command = Command::new(script_path());
        command.args(args).arg("--dir").arg(dir.join("cluster"));
        command.stdin(Stdio::null()).stderr(stderr).output()
    };
    let out = run().map_err(|source| KafkaError::Run {
        verb: verb.clone(),
        source,
    })?;
    if out.status.success() {
        return Ok(out);
    }
    let stderr = std::fs::read_to_string(&errors).unwrap_or_default();
    Err(KafkaError::Refused {
        verb,
        stderr: stderr.trim().to_owned(),
    })
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka")
}
