//! One run of a kind at a time.
//!
//! On a local disk the operating system keeps runs of one machine apart; in an object store a lease
//! keeps those of all machines apart.

mod lease;

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use self::lease::Lease;
use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::storage::blocking;

/// Keeps other runs of its kind away until it is dropped, or [`RunLock::hold`] ends.
#[derive(Debug)]
pub struct RunLock(Hold);

#[derive(Debug)]
enum Hold {
    /// The operating system lets go of the lock when the file is closed, however that comes about.
    File(File),
    Lease(Lease),
}

impl Lake {
    /// Takes the lock of maintenance. Two runs at once would do no harm, and each other's work
    /// twice.
    ///
    /// # Errors
    /// `Unavailable` while another run has it.
    pub async fn lock_maintenance(&self) -> Result<RunLock> {
        self.lock("maintenance").await
    }

    /// Takes the lock of publishing: what was published is written down at the end of a run.
    ///
    /// # Errors
    /// `Unavailable` while another run has it.
    pub async fn lock_publish(&self) -> Result<RunLock> {
        self.lock("publish").await
    }

    async fn lock(&self, kind: &'static str) -> Result<RunLock> {
        let file = format!("_state/{kind}.lock");
        match self.location().local_file(&file) {
            Some(path) => lock_file(kind, path).await.map(Hold::File),
            None => Lease::take(kind, self.location().clone(), file)
                .await
                .map(Hold::Lease),
        }
        .map(RunLock)
    }
}

impl RunLock {
    /// Does `work` and lets go of the lock.
    ///
    /// # Errors
    /// `Unavailable` when another run took the lock over because this one could not say for too
    /// long that it is alive; `work` is dropped where it stands.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> Result<T> {
        match self.0 {
            Hold::File(file) => {
                let done = work.await;
                drop(file);
                Ok(done)
            }
            Hold::Lease(lease) => lease.hold(work).await,
        }
    }
}

async fn lock_file(kind: &'static str, path: PathBuf) -> Result<File> {
    blocking(move || {
        let failed = |e: std::io::Error| {
            LakeError::unavailable(format!("could not lock `{}`", path.display()), e)
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(held(kind, &path.display().to_string())),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    })
    .await
}

fn held(kind: &str, place: &str) -> LakeError {
    LakeError::new(
        ErrorKind::Unavailable,
        format!("another {kind} run is at work on this lake (it holds `{place}`)"),
    )
}
