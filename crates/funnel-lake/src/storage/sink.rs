//! A data file being written. Nobody sees it before it is whole, and it is durable then.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path as LocalPath, PathBuf};

use object_store::{ObjectStoreExt, WriteMultipart};

use super::remote::Remote;
use super::{Location, sync_dir};
use crate::error::{Cause, LakeError, Result};

/// Size of the parts in which a large file goes to a store; smaller files go in one piece.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const PARTS_MAX: usize = 4;

/// Where the bytes of a new file go. Dropped before its end it leaves nothing behind.
pub(crate) struct Sink {
    place: Location,
    path: String,
    bytes: u64,
    given_up: bool,
    target: Target,
}

enum Target {
    Disk { file: File, unfinished: Unfinished },
    Store(Box<Upload>),
}

/// A file on its way to a store. Waits for it: for threads that may block.
struct Upload {
    remote: std::sync::Arc<Remote>,
    place: Location,
    to: object_store::path::Path,
    buffer: Vec<u8>,
    /// The parts that went already, if the file is large.
    parts: Option<WriteMultipart>,
}

impl Sink {
    /// Starts a file at `path` below `place`, which must not be there yet.
    pub(crate) fn create(place: &Location, path: &str) -> Result<Self> {
        let target = match place.remote() {
            None => Target::on_disk(place, path)?,
            Some(remote) => Target::Store(Box::new(Upload {
                remote: std::sync::Arc::clone(remote),
                place: place.clone(),
                to: place.full_path(path)?,
                buffer: Vec::new(),
                parts: None,
            })),
        };
        Ok(Self {
            place: place.clone(),
            path: path.to_owned(),
            bytes: 0,
            given_up: false,
            target,
        })
    }

    /// From here on nothing is taken, and nobody waits.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Ends the file and makes it durable; its size in bytes.
    pub(crate) fn finish(self) -> Result<u64> {
        let failed = |e: Cause| self.place.failed("write", &self.path, e);
        match self.target {
            Target::Disk { file, unfinished } => {
                file.sync_all().map_err(|e| failed(e.into()))?;
                if let Some(folder) = unfinished.0.as_deref().and_then(LocalPath::parent) {
                    sync_dir(folder)?;
                }
                unfinished.keep();
            }
            Target::Store(upload) => upload.finish().map_err(|e| failed(e.into()))?,
        }
        Ok(self.bytes)
    }
}

impl Target {
    fn on_disk(place: &Location, path: &str) -> Result<Self> {
        let local = place.local_file(path).unwrap_or_default();
        make_folder(&local, place.local())?;
        // Never over another file: a name that is taken belongs to a batch that may be committed.
        let file = File::create_new(&local).map_err(|e| place.failed("write", path, e))?;
        let unfinished = Unfinished(Some(local));
        Ok(Self::Disk { file, unfinished })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.given_up {
            return Err(io::Error::other("the file is not wanted any more"));
        }
        let written = match &mut self.target {
            Target::Disk { file, .. } => file.write(bytes)?,
            Target::Store(upload) => upload.take(bytes)?,
        };
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Disk { file, .. } => file.flush(),
            Target::Store(_) => Ok(()),
        }
    }
}

impl Upload {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.send_part()?;
        }
        Ok(bytes.len())
    }

    fn send_part(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.buffer);
        let runtime = self.remote.runtime().clone();
        let (store, to, parts) = (self.place.root_store(), &self.to, &mut self.parts);
        runtime.block_on(async {
            let parts = match parts {
                Some(parts) => parts,
                None => {
                    let upload = store.put_multipart(to).await?;
                    parts.insert(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
                }
            };
            parts.wait_for_capacity(PARTS_MAX).await?;
            parts.put(part.into());
            Ok(())
        })
    }

    /// In one piece, or as the last part. Its name holds a random part, so that nothing is there
    /// that it could replace, and a request whose answer was lost may be sent again.
    fn finish(mut self) -> object_store::Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        let runtime = self.remote.runtime().clone();
        let store = self.place.root_store();
        runtime.block_on(async {
            match self.parts.take() {
                None => store.put(&self.to, rest.into()).await.map(|_| ()),
                Some(mut parts) => {
                    parts.wait_for_capacity(PARTS_MAX).await?;
                    parts.put(rest.into());
                    parts.finish().await.map(|_| ())
                }
            }
        })
    }
}

impl Drop for Upload {
    /// Parts of an upload that was neither ended nor aborted cost space, and nobody sees them.
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        let path = self.to.to_string();
        drop(self.remote.runtime().spawn(async move {
            if let Err(error) = parts.abort().await {
                tracing::warn!(path, %error, "could not abort an upload");
            }
        }));
    }
}

/// Makes the folder of `path`; a new folder's name is made durable as well.
fn make_folder(path: &LocalPath, root: Option<&LocalPath>) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|e| {
        LakeError::unavailable(
            format!("could not make the folder `{}`", folder.display()),
            e,
        )
    })?;
    root.map_or(Ok(()), sync_dir)
}

/// Removes a half-written file when the writer fails.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove a half-written file");
        }
    }
}
