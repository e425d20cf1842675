//! An S3 server as a value: started by a test, ended with it.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

/// Why the S3 server could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum S3Error {
    /// It was not installed.
    #[error("there is no `{}`; run `scripts/install-test-deps`", python.display())]
    Missing {
        /// The Python that has it.
        python: PathBuf,
    },
    /// It does not do what it was told.
    #[error("the S3 server did not {what}; its own words are on stderr")]
    Silent {
        /// What it was told.
        what: String,
    },
    /// It could not be run or spoken to.
    #[error("could not run the S3 server")]
    Run(#[from] io::Error),
}

/// moto's server on a free loopback port, its objects in memory. `tests/s3/server.py` says in which
/// ways it can be made to fail.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    port: String,
    talk: Mutex<Talk>,
}

#[derive(Debug)]
struct Talk {
    says: BufReader<ChildStdout>,
    hears: ChildStdin,
}

impl S3Server {
    /// Starts a server with one bucket, `lake`.
    ///
    /// # Errors
    /// When it is not installed, with what to do, or does not start.
    pub fn start() -> Result<Self, S3Error> {
        let python = python();
        if !python.is_file() {
            return Err(S3Error::Missing { python });
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/s3/server.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(hears), Some(says)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no stdin or stdout").into());
        };
        let mut talk = Talk {
            says: BufReader::new(says),
            hears,
        };
        let server = Self {
            port: talk.line("start")?,
            child,
            talk: Mutex::new(talk),
        };
        server.tell("bucket lake")?;
        Ok(server)
    }

    /// `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Gives a command and waits until it was carried out.
    ///
    /// # Errors
    /// When it was not.
    pub fn tell(&self, command: &str) -> Result<(), S3Error> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(talk.hears, "{command}")?;
        // What was held meanwhile is told first.
        while talk.line(command)? != "ok" {}
        Ok(())
    }

    /// Waits until a request is held.
    ///
    /// # Errors
    /// When the server ends before.
    pub fn await_held(&self) -> Result<(), S3Error> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        match talk.line("hold a request")?.as_str() {
            "held" => Ok(()),
            other => Err(S3Error::Silent {
                what: format!("hold a request, but said `{other}`"),
            }),
        }
    }
}

impl Talk {
    fn line(&mut self, what: &str) -> Result<String, S3Error> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        if line.is_empty() {
            let what = what.to_owned();
            return Err(S3Error::Silent { what });
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The Python that `scripts/install-test-deps` made.
fn python() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = var("XDG_CACHE_HOME")
        .or_else(|| var("HOME").map(|home| home.join(".cache")))
        .unwrap_or_default();
    cache.join("funnel/s3/bin/python")
}
