//! One maintenance run at a time.

use std::fs::{File, TryLockError};

use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::storage::blocking;

const FILE: &str = "_state/maintenance.lock";

/// Keeps other maintenance runs of this machine away until it is dropped. Two at once would do no
/// harm, and each other's work twice.
#[derive(Debug)]
pub struct MaintenanceLock {
    /// The operating system lets go of the lock when the file is closed, however that comes about.
    _file: File,
}

impl Lake {
    /// Takes the lock.
    ///
    /// # Errors
    /// `Unavailable` while another run has it.
    pub async fn lock_maintenance(&self) -> Result<MaintenanceLock> {
        let path = self
            .location()
            .local_file(FILE)
            .ok_or_else(|| LakeError::config("maintenance works on a lake on a local disk only"))?;
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
                Ok(()) => Ok(MaintenanceLock { _file: file }),
                Err(TryLockError::WouldBlock) => Err(LakeError::new(
                    ErrorKind::Unavailable,
                    format!(
                        "another maintenance run is at work on this lake (it holds `{}`)",
                        path.display()
                    ),
                )),
                Err(TryLockError::Error(e)) => Err(failed(e)),
            }
        })
        .await
    }
}
