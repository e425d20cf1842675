//! Traffic and truth as files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::json::Obj;
use crate::message::Message;
use crate::sim::Simulation;
use crate::truth::Truth;

/// A file could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    #[error("cannot write {path}: is the folder writable and is there space?")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write the truth to {path} as JSON")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// Writes one NDJSON file per topic and `truth.json` into `dir`, and gives the truth back.
///
/// A line is a record's value as it is. A value that is not one line of JSON by the look of it (a
/// tombstone, an empty value, invalid UTF-8, a line break inside, no `{` in front) is wrapped as
/// `{"key":…,"valueBase64":…}`, with null for a tombstone.
pub fn write_dir(simulation: Simulation, dir: &Path) -> Result<Truth, OutputError> {
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    let mut simulation = simulation;
    let mut files: BTreeMap<&'static str, (PathBuf, BufWriter<File>)> = BTreeMap::new();
    for topic in crate::topics::ALL {
        let path = dir.join(format!("{topic}.ndjson"));
        let file = File::create(&path).map_err(|e| failed(&path, e))?;
        files.insert(topic, (path, BufWriter::new(file)));
    }
    for message in simulation.by_ref() {
        if let Some((path, file)) = files.get_mut(message.topic) {
            write_line(file, &message).map_err(|e| failed(path, e))?;
        }
    }
    for (path, file) in files.values_mut() {
        file.flush().map_err(|e| failed(path, e))?;
    }
    let truth = simulation.into_truth();
    write_truth(&truth, &dir.join("truth.json"))?;
    Ok(truth)
}

/// Writes the truth as indented JSON.
pub fn write_truth(truth: &Truth, path: &Path) -> Result<(), OutputError> {
    let json = serde_json::to_string_pretty(truth).map_err(|source| OutputError::Json {
        path: path.to_path_buf(),
        source,
    })?;
    fs::write(path, json + "\n").map_err(|e| failed(path, e))
}

/// One record as one line, with its line feed.
pub fn write_line(out: &mut impl Write, message: &Message) -> io::Result<()> {
    match &message.value {
        Some(v) if is_plain_line(v) => out.write_all(v)?,
        other => {
            let mut o = Obj::new();
            o.str("key", &String::from_utf8_lossy(&message.key));
            o.opt_str(
                "valueBase64",
                other.as_ref().map(|v| STANDARD.encode(v)).as_deref(),
            );
            out.write_all(o.end().as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

fn is_plain_line(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
        && !value.iter().any(|b| matches!(b, b'\n' | b'\r'))
        && std::str::from_utf8(value).is_ok()
}

fn failed(path: &Path, source: io::Error) -> OutputError {
    OutputError::Write {
        path: path.to_path_buf(),
        source,
    }
}
