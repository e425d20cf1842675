//! A lock in an object store: an object that its holder writes again and again.
//!
//! Who finds it held watches it. If it changes, its holder is alive. If it does not for the length
//! of a lease, it belongs to whoever replaces that version of it first. So no clock is compared
//! with that of another machine.

use std::time::Duration;

use bytes::Bytes;
use object_store::{PutMode, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::held;
use crate::error::{ErrorKind, LakeError, Result};
use crate::storage::Location;

/// How long is too long.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// A holder that was not heard of for so long has lost it.
    lease: Duration,
    /// How often a holder is heard of: several times, should a request fail.
    renew: Duration,
    /// How often a lock that is held is looked at.
    look: Duration,
}

const PACE: Pace = Pace {
    lease: Duration::from_secs(30),
    renew: Duration::from_secs(5),
    look: Duration::from_secs(1),
};

/// A lease, renewed until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    kind: &'static str,
    /// Dropping it lets go.
    stop: oneshot::Sender<()>,
    /// Ends with an error once the lease is lost.
    renewing: JoinHandle<Result<()>>,
}

/// What the object says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    holder: Uuid,
    held: bool,
    /// Makes every version another one.
    beat: u64,
}

/// The object, as one holder writes it.
struct Holder {
    pace: Pace,
    location: Location,
    path: String,
    note: Note,
    version: UpdateVersion,
}

impl Lease {
    pub(super) async fn take(kind: &'static str, location: Location, path: String) -> Result<Self> {
        Self::take_at(PACE, kind, location, path).await
    }

    async fn take_at(
        pace: Pace,
        kind: &'static str,
        location: Location,
        path: String,
    ) -> Result<Self> {
        location.check_conditional_writes().await?;
        let holder = Holder::take(pace, kind, location, path).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            kind,
            stop,
            renewing: tokio::spawn(holder.renew(stopped)),
        })
    }

    pub(super) async fn hold<T>(self, work: impl Future<Output = T>) -> Result<T> {
        let Self {
            kind,
            stop,
            mut renewing,
        } = self;
        let done = tokio::select! {
            done = work => done,
            lost = &mut renewing => {
                let message = format!("the {kind} run lost its lock and was stopped; start it again");
                let error = LakeError::new(ErrorKind::Unavailable, message);
                return Err(match lost {
                    Ok(Err(cause)) => error.with_source(cause),
                    Ok(Ok(())) => error,
                    Err(cause) => error.with_source(cause),
                });
            }
        };
        drop(stop);
        if !matches!(renewing.await, Ok(Ok(()))) {
            tracing::warn!(
                kind,
                "could not let go of the lock; the next run waits for it"
            );
        }
        Ok(done)
    }
}

impl Holder {
    async fn take(
        pace: Pace,
        kind: &'static str,
        location: Location,
        path: String,
    ) -> Result<Self> {
        let note = Note {
            holder: Uuid::new_v4(),
            held: true,
            beat: 0,
        };
        let mut seen: Option<(UpdateVersion, Instant)> = None;
        loop {
            let found = location.read_version(&path).await?;
            let mode = match found {
                None => PutMode::Create,
                Some((text, version)) => match &seen {
                    _ if !is_held(&text) => PutMode::Update(version),
                    Some((known, since)) if *known == version => {
                        if since.elapsed() < pace.lease {
                            sleep(pace.look).await;
                            continue;
                        }
                        PutMode::Update(version)
                    }
                    Some(_) => return Err(held(kind, &format!("{}{path}", location.url()))),
                    None => {
                        tracing::info!(kind, "the lock is held; looking whether its holder lives");
                        seen = Some((version, Instant::now()));
                        continue;
                    }
                },
            };
            if let Some(version) = location.put(&path, note.bytes()?, mode).await? {
                return Ok(Self {
                    pace,
                    location,
                    path,
                    note,
                    version,
                });
            }
        }
    }

    /// Writes the object again and again, until `stopped` by the other side, and then frees it.
    async fn renew(mut self, mut stopped: oneshot::Receiver<()>) -> Result<()> {
        let mut heard = Instant::now();
        loop {
            let stop = tokio::select! {
                _ = &mut stopped => true,
                () = sleep(self.pace.renew) => false,
            };
            match self.write(!stop).await {
                Ok(()) if stop => return Ok(()),
                Ok(()) => heard = Instant::now(),
                Err(error) => {
                    let again = error.kind() == ErrorKind::Unavailable;
                    if stop || !again || heard.elapsed() > self.pace.lease {
                        return Err(error);
                    }
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "could not renew the lock");
                }
            }
        }
    }

    async fn write(&mut self, held: bool) -> Result<()> {
        self.note.beat += 1;
        self.note.held = held;
        let text = self.note.bytes()?;
        let known = self.version.clone();
        if let Some(version) = self.location.update(&self.path, text, known).await? {
            self.version = version;
            return Ok(());
        }
        // Our own write, if only its answer was lost.
        if let Some((text, version)) = self.location.read_version(&self.path).await?
            && Note::parse(&text).is_some_and(|note| note.holder == self.note.holder)
        {
            self.version = version;
            return Ok(());
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!("`{}{}` was taken over", self.location.url(), self.path),
        ))
    }
}

/// What cannot be read is treated as held: its holder may know more than we do.
fn is_held(text: &Bytes) -> bool {
    Note::parse(text).is_none_or(|note| note.held)
}

impl Note {
    fn bytes(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|e| LakeError::internal("could not describe a lock").with_source(e))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

#[cfg(test)]
mod tests;
