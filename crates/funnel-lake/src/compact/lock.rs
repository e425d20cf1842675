//! One run of a kind at a time.

use std::fs::{File, TryLockError};

use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::storage::blocking;

/// Keeps other runs of its kind on this machine away until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    /// The operating system lets go of the lock when the file is closed, however that comes about.
    _file: File,
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
        let path = self.location().local_file(&file).ok_or_else(|| {
            LakeError::config(format!("{kind} works on a lake on a local disk only"))
        })?;
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
                Ok(()) => Ok(RunLock { _file: file }),
                Err(TryLockError::WouldBlock) => Err(LakeError::new(
                    ErrorKind::Unavailable,
                    format!(
                        "another {kind} run is at work on this lake (it holds `{}`)",
                        path.display()
                    ),
                )),
                Err(TryLockError::Error(e)) => Err(failed(e)),
            }
        })
        .await
    }
}
