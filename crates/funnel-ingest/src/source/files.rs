//! Files instead of Kafka: the same path for backfills.
//!
//! A file is a topic `file:<name>` with one partition. Line `n`, counted from 0, is offset `n`; an
//! empty line is an offset without a record. The identity of the topic is a hash of the file's
//! canonical path, so reading a file again adds nothing and a file that grew is read on from
//! where it was.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use tracing::info;

use super::{Command, Port, Source};
use crate::error::IngestError;
use crate::message::{Input, Owned};
use crate::record::{Epoch, Record, Records, Tp};

/// A longer line is cut here; the decoder refuses it as too large long before.
const LINE_BYTES_MAX: u64 = 64 << 20;
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 4096;
const PATIENCE: Duration = Duration::from_millis(200);

/// Reads NDJSON files, plain or gzip.
#[derive(Debug)]
pub(crate) struct FileSource {
    files: Vec<InputFile>,
}

#[derive(Debug)]
struct InputFile {
    path: PathBuf,
    tp: Tp,
    identity: String,
}

type Outcome = Result<(), IngestError>;

impl FileSource {
    /// Finds the files behind `paths`; a folder stands for the NDJSON files in it.
    pub(crate) fn new(paths: &[PathBuf]) -> Result<Self, IngestError> {
        let mut files: Vec<InputFile> = Vec::new();
        for path in expand(paths)? {
            let file = InputFile::new(path)?;
            if let Some(same) = files.iter().find(|known| known.tp == file.tp) {
                return Err(IngestError::config(format!(
                    "`{}` and `{}` have the same name, which is their topic in the lake; \
                     read them in two runs, or rename one",
                    same.path.display(),
                    file.path.display()
                )));
            }
            files.push(file);
        }
        if files.is_empty() {
            return Err(IngestError::config(
                "there is no file to read; name files, or folders with *.ndjson or *.ndjson.gz",
            ));
        }
        Ok(Self { files })
    }
}

impl InputFile {
    fn new(path: PathBuf) -> Result<Self, IngestError> {
        let canonical = path
            .canonicalize()
            .map_err(|error| unreadable(&path, error))?;
        let name = canonical
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let hash = blake3::hash(canonical.as_os_str().as_encoded_bytes());
        Ok(Self {
            tp: Tp::new(format!("file:{name}"), 0),
            identity: hash.to_hex().chars().take(32).collect(),
            path,
        })
    }
}

impl Source for FileSource {
    fn name(&self) -> &'static str {
        "funnel-read"
    }

    fn run(self: Box<Self>, port: Port) {
        let mut reader = Reader {
            files: self.files,
            lines: BTreeMap::new(),
            starts: VecDeque::new(),
            current: None,
            port,
        };
        if let Err(error) = reader.run() {
            reader.port.inbox.push(Input::Failed(error));
        }
    }
}

struct Reader {
    files: Vec<InputFile>,
    lines: BTreeMap<Tp, i64>,
    starts: VecDeque<(Tp, Epoch, i64)>,
    /// The file that is being read.
    current: Option<Tp>,
    port: Port,
}

/// Whether to go on.
enum Next {
    GoOn,
    /// The file that is being read was started again elsewhere, or taken away.
    Restarted,
    Leave,
}

impl Reader {
    fn run(&mut self) -> Outcome {
        self.port.health.kafka(None);
        self.port.health.assigned(true);
        for file in &self.files {
            if self.port.abort.is_cancelled() {
                return Ok(());
            }
            self.lines.insert(file.tp.clone(), count_lines(&file.path)?);
        }
        self.port.inbox.push(Input::Targets(self.lines.clone()));
        let owned = self.files.iter().map(|file| self.owned(file)).collect();
        self.port.inbox.push(Input::Owned(owned));
        let mut stopped = false;
        loop {
            if let Next::Leave = self.serve(PATIENCE) {
                return Ok(());
            }
            if self.port.shutdown.is_cancelled() && !stopped {
                stopped = true;
                self.starts.clear();
                self.port.inbox.push(Input::Stop);
            }
            if let Some((tp, epoch, offset)) = self.starts.pop_front()
                && !stopped
                && let Next::Leave = self.read(&tp, epoch, offset)?
            {
                return Ok(());
            }
        }
    }

    fn owned(&self, file: &InputFile) -> Owned {
        Owned {
            tp: file.tp.clone(),
            topic_uuid: file.identity.clone(),
            low: 0,
            high: self.lines.get(&file.tp).copied().unwrap_or_default(),
            wanted: None,
        }
    }

    /// Does what the core asked, waiting for it up to `patience` if there is nothing else to do.
    fn serve(&mut self, patience: Duration) -> Next {
        self.port.health.tick("read");
        let mut wait = if self.starts.is_empty() {
            patience
        } else {
            Duration::ZERO
        };
        let mut next = Next::GoOn;
        while let Some(command) = self.port.commands.pop(wait) {
            wait = Duration::ZERO;
            match command {
                Command::Start { tp, epoch, offset } => {
                    self.starts.retain(|(known, _, _)| *known != tp);
                    if self.current.as_ref() == Some(&tp) {
                        next = Next::Restarted;
                    }
                    self.starts.push_back((tp, epoch, offset));
                }
                Command::Release(tp) => {
                    self.starts.retain(|(known, _, _)| *known != tp);
                    if self.current.as_ref() == Some(&tp) {
                        next = Next::Restarted;
                    }
                }
                Command::Recheck(tp) => {
                    // A file does not change its mind: the same answer, at once.
                    let found = self.files.iter().find(|file| file.tp == tp);
                    let answer = found.map(|file| Input::Watermarks(self.owned(file)));
                    answer
                        .into_iter()
                        .for_each(|answer| self.port.inbox.push(answer));
                }
                Command::CommitKafka { .. } => {}
                Command::Leave => return Next::Leave,
            }
        }
        if self.port.abort.is_cancelled() {
            return Next::Leave;
        }
        next
    }

    fn read(&mut self, tp: &Tp, epoch: Epoch, offset: i64) -> Result<Next, IngestError> {
        let Some(path) = self
            .files
            .iter()
            .find(|file| file.tp == *tp)
            .map(|file| file.path.clone())
        else {
            return Ok(Next::GoOn);
        };
        info!(path = %path.display(), offset, "reading");
        self.current = Some(tp.clone());
        let mut lines = Lines::open(&path)?;
        let end = self.lines.get(tp).copied().unwrap_or_default();
        let mut batch = Records::with_capacity(BATCH_BYTES);
        while let Some((number, line)) = lines.next_line()? {
            if number >= end {
                break; // It grew since it was counted: the next run reads the rest.
            }
            if number < offset || line.is_empty() {
                continue;
            }
            push_line(&mut batch, tp, epoch, number, line);
            if batch.bytes() >= BATCH_BYTES || batch.len() >= BATCH_RECORDS {
                match self.send(std::mem::take(&mut batch)) {
                    Next::GoOn => {}
                    other => return Ok(other),
                }
            }
        }
        match self.send(batch) {
            Next::GoOn => {}
            other => return Ok(other),
        }
        let (tp, next) = (tp.clone(), end);
        self.port.inbox.push(Input::AtEnd { tp, epoch, next });
        Ok(Next::GoOn)
    }

    /// Waits for room: in the budget and in the queue.
    fn send(&mut self, batch: Records) -> Next {
        let mut waiting = Some(batch);
        loop {
            match self.serve(Duration::ZERO) {
                Next::GoOn => {}
                other => return other,
            }
            if self.port.shutdown.is_cancelled() {
                return Next::Restarted;
            }
            if self.port.budget.must_pause(self.port.inbox.weight(), false) {
                // An empty offer with patience is a wait that ends early when there is room.
                std::thread::park_timeout(Duration::from_millis(10));
                continue;
            }
            let Some(batch) = waiting.take() else {
                return Next::GoOn;
            };
            match self.port.send(batch, PATIENCE) {
                Ok(()) => return Next::GoOn,
                Err(batch) => waiting = Some(batch),
            }
        }
    }
}

/// A line that carries what a JSON line cannot: a key, raw bytes, or no value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    #[serde(deserialize_with = "present")]
    key: Option<String>,
    #[serde(rename = "valueBase64", deserialize_with = "present")]
    value: Option<String>,
}

/// The key must be there, even if it is null.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(from)
}

fn push_line(batch: &mut Records, tp: &Tp, epoch: Epoch, offset: i64, line: &[u8]) {
    let mut push = |key: Option<&[u8]>, value: Option<&[u8]>| {
        let record = Record {
            offset,
            timestamp_ms: None,
            key,
            value,
        };
        batch.push(tp, epoch, record, std::iter::empty());
    };
    if let Some((key, value)) = unwrap_line(line) {
        push(key.as_ref().map(String::as_bytes), value.as_deref());
    } else {
        push(None, Some(line));
    }
}

type Unwrapped = (Option<String>, Option<Vec<u8>>);

fn unwrap_line(line: &[u8]) -> Option<Unwrapped> {
    const NAME: &[u8] = b"\"valueBase64\"";
    let could_be = line.first() == Some(&b'{') && line.windows(NAME.len()).any(|at| at == NAME);
    if !could_be {
        return None;
    }
    let wrapped: Wrapped = serde_json::from_slice(line).ok()?;
    let value = match wrapped.value {
        None => None,
        Some(text) => Some(STANDARD.decode(text).ok()?),
    };
    Some((wrapped.key, value))
}

/// Lines of a file, numbered from 0, without their ends.
struct Lines {
    path: PathBuf,
    from: Box<dyn BufRead>,
    line: Vec<u8>,
    number: i64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, IngestError> {
        let failed = |error| unreadable(path, error);
        let mut plain = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
        let is_gzip = plain.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let from: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(
                1 << 18,
                MultiGzDecoder::new(plain),
            ))
        } else {
            Box::new(plain)
        };
        Ok(Self {
            path: path.to_owned(),
            from,
            line: Vec::new(),
            number: -1,
        })
    }

    fn next_line(&mut self) -> Result<Option<(i64, &[u8])>, IngestError> {
        self.line.clear();
        let read = (&mut self.from)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut self.line)
            .and_then(|read| {
                if read as u64 == LINE_BYTES_MAX && self.line.last() != Some(&b'\n') {
                    self.from.skip_until(b'\n')?;
                }
                Ok(read)
            })
            .map_err(|error| unreadable(&self.path, error))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some((self.number, line)))
    }
}

fn count_lines(path: &Path) -> Result<i64, IngestError> {
    let mut lines = Lines::open(path)?;
    while lines.next_line()?.is_some() {}
    Ok(lines.number + 1)
}

fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, IngestError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| unreadable(path, error))? {
            let file = entry.map_err(|error| unreadable(path, error))?.path();
            if is_ndjson(&file) {
                inside.push(file);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn is_ndjson(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| {
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        [".ndjson", ".jsonl"]
            .iter()
            .any(|ending| name.ends_with(ending))
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> IngestError {
    IngestError::config(format!("could not read `{}`", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_with_exactly_both_keys_is_unwrapped() {
        let raw = unwrap_line(br#"{"key":"k","valueBase64":"AAE="}"#);
        assert_eq!(raw, Some((Some("k".to_owned()), Some(vec![0, 1]))));
        let tombstone = unwrap_line(br#"{"key":null,"valueBase64":null}"#);
        assert_eq!(tombstone, Some((None, None)));
        for as_it_is in [
            r#"{"valueBase64":"AAE="}"#,
            r#"{"key":"k","valueBase64":"AAE=","x":1}"#,
            r#"{"key":"k","valueBase64":"not base64"}"#,
            r#"{"key":"k"}"#,
            "text with \"valueBase64\"",
        ] {
            assert_eq!(unwrap_line(as_it_is.as_bytes()), None, "{as_it_is}");
        }
    }

    #[test]
    fn a_line_above_the_limit_is_cut_and_the_next_one_is_whole() {
        let mut text = vec![b'x'; usize::try_from(LINE_BYTES_MAX).expect("fits") + 10];
        text.extend_from_slice(b"\nnext\r\nlast");
        let mut lines = Lines {
            path: PathBuf::new(),
            from: Box::new(std::io::Cursor::new(text)),
            line: Vec::new(),
            number: -1,
        };
        let (number, line) = lines.next_line().expect("read").expect("a line");
        assert_eq!((number, line.len() as u64), (0, LINE_BYTES_MAX));
        assert_eq!(
            lines.next_line().expect("read"),
            Some((1, b"next".as_slice()))
        );
        assert_eq!(
            lines.next_line().expect("read"),
            Some((2, b"last".as_slice()))
        );
        assert_eq!(lines.next_line().expect("read"), None);
    }
}
