//! Where things are and how they become durable.

use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, logstore_with};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use url::Url;

use crate::error::{ErrorKind, LakeError, Result};

/// A folder in an object store. `root` is the store itself, `url` and `prefix` name the folder.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    url: Url,
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    local: Option<PathBuf>,
}

impl Location {
    /// The folder behind a local path or a `file://` URL.
    pub(crate) fn parse(place: &str) -> Result<Self> {
        Self::with_store(place, Arc::new(LocalFileSystem::new()))
    }

    /// The same, through another store over the same local disk.
    pub(crate) fn with_store(place: &str, root: Arc<dyn ObjectStore>) -> Result<Self> {
        let local = local_path(place)?;
        let url = Url::from_directory_path(&local).map_err(|()| {
            LakeError::config(format!("`{place}` is not a folder that a URL can name"))
        })?;
        let prefix = Path::from_url_path(url.path()).map_err(|e| {
            LakeError::config(format!("`{place}` is not a usable path")).with_source(e)
        })?;
        Ok(Self {
            url,
            root,
            prefix,
            local: Some(local),
        })
    }

    /// A folder below this one.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        let url = self
            .url
            .join(&format!("{name}/"))
            .map_err(|e| LakeError::internal(format!("could not name `{name}`")).with_source(e))?;
        Ok(Self {
            url,
            root: Arc::clone(&self.root),
            prefix: self.prefix.clone().join(name),
            local: self.local.as_ref().map(|local| local.join(name)),
        })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn root_store(&self) -> &Arc<dyn ObjectStore> {
        &self.root
    }

    /// The folder on the local disk, where it is on one.
    pub(crate) fn local(&self) -> Option<&LocalPath> {
        self.local.as_deref()
    }

    /// The full path in the store of `path` below this folder.
    pub(crate) fn full_path(&self, path: &str) -> Result<Path> {
        let below = Path::parse(path).map_err(|e| {
            LakeError::corrupt(format!("`{path}` is not a path below `{}`", self.url))
                .with_source(e)
        })?;
        Ok(self.prefix.parts().chain(below.parts()).collect())
    }

    pub(crate) fn log_store(&self) -> Result<LogStoreRef> {
        logstore_with(Arc::clone(&self.root), &self.url, StorageConfig::default()).map_err(|e| {
            LakeError::config(format!("could not use `{}` as a table", self.url)).with_source(e)
        })
    }

    /// The bytes at `path`, or `None` if there is nothing.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let full = self.full_path(path)?;
        let read = async { self.root.get(&full).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("read", path, e)),
        }
    }

    /// Whether there is something at `path`.
    pub(crate) async fn exists(&self, path: &str) -> Result<bool> {
        match self.root.head(&self.full_path(path)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.failed("look at", path, e)),
        }
    }

    /// Replaces what is at `path` in one step and makes it durable.
    pub(crate) async fn replace(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.put(path, bytes, PutMode::Overwrite).await.map(|_| ())
    }

    /// Writes `path` unless it is there already; says whether it wrote.
    pub(crate) async fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        self.put(path, bytes, PutMode::Create).await
    }

    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<bool> {
        let full = self.full_path(path)?;
        let options = PutOptions::from(mode);
        match self.root.put_opts(&full, bytes.into(), options).await {
            Ok(_) => self.make_durable(path).await.map(|()| true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(e) => Err(self.failed("write", path, e)),
        }
    }

    /// Removes `path`; says whether there was something.
    pub(crate) async fn remove(&self, path: &str) -> Result<bool> {
        if !self.exists(path).await? {
            return Ok(false);
        }
        match self.root.delete(&self.full_path(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(self.failed("remove", path, e)),
        }
        if let Some(parent) = self
            .local_file(path)
            .and_then(|f| f.parent().map(LocalPath::to_owned))
        {
            blocking(move || sync_dir(&parent)).await?;
        }
        Ok(true)
    }

    /// Forces a file and its folder to the disk; other stores are durable when they answer.
    pub(crate) async fn make_durable(&self, path: &str) -> Result<()> {
        let Some(file) = self.local_file(path) else {
            return Ok(());
        };
        blocking(move || sync_file_and_dir(&file)).await
    }

    /// The local file of `path`.
    pub(crate) fn local_file(&self, path: &str) -> Option<PathBuf> {
        self.local.as_ref().map(|local| local.join(path))
    }

    fn failed(&self, what: &str, path: &str, source: object_store::Error) -> LakeError {
        LakeError::unavailable(format!("could not {what} `{}{path}`", self.url), source)
    }
}

/// Forces a file and the folder that names it to the disk.
pub(crate) fn sync_file_and_dir(file: &LocalPath) -> Result<()> {
    let failed = |e| LakeError::unavailable(format!("could not sync `{}`", file.display()), e);
    std::fs::File::open(file)
        .and_then(|f| f.sync_all())
        .map_err(failed)?;
    match file.parent() {
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

/// Forces a folder's list of names to the disk.
pub(crate) fn sync_dir(dir: &LocalPath) -> Result<()> {
    std::fs::File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| LakeError::unavailable(format!("could not sync `{}`", dir.display()), e))
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(LakeError::internal("a blocking task did not finish").with_source(e)),
    }
}

/// The absolute local path behind a path or a `file://` URL.
fn local_path(place: &str) -> Result<PathBuf> {
    let path = match Url::parse(place) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().map_err(|()| {
            LakeError::config(format!(
                "`{place}` is not a local file URL; write file:///path"
            ))
        })?,
        Ok(url) if place.contains("://") => {
            return Err(LakeError::config(format!(
                "`{place}`: this build keeps lakes on local disks only, not on `{}`; \
                 give a path or a file:// URL",
                url.scheme()
            )));
        }
        _ => PathBuf::from(place),
    };
    if place.is_empty() {
        return Err(LakeError::config("the place of a lake or table is empty"));
    }
    std::path::absolute(&path).map_err(|e| {
        LakeError::new(
            ErrorKind::Config,
            format!("`{}` is not a usable path", path.display()),
        )
        .with_source(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_name_the_same_folder() {
        let by_path = Location::parse("/tmp/a lake/x").unwrap();
        let by_url = Location::parse("file:///tmp/a%20lake/x").unwrap();
        assert_eq!(by_path.url(), by_url.url());
        assert_eq!(by_path.local(), Some(LocalPath::new("/tmp/a lake/x")));
        assert_eq!(
            by_path.full_path("events/part-0.parquet").unwrap().as_ref(),
            by_url.full_path("events/part-0.parquet").unwrap().as_ref()
        );
    }

    #[test]
    fn a_store_that_is_not_built_in_is_named() {
        let error = Location::parse("s3://bucket/lake").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("not on `s3`"), "{error}");
    }

    /// Dashboards read files at stable paths while they are written again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_reads_while_a_file_is_replaced_sees_one_of_the_two_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location::parse(dir.path().to_str().unwrap()).unwrap();
        let contents =
            [b'a', b'b'].map(|byte| Bytes::from(vec![byte; 100_000 + usize::from(byte)]));
        place.replace("a", contents[0].clone()).await.unwrap();
        let (path, whole) = (dir.path().join("a"), contents.clone());
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let reader = std::thread::spawn(move || {
            let mut seen = [0, 0];
            while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                let read = std::fs::read(&path).expect("always there");
                let which = whole.iter().position(|content| *content == read);
                seen[which.expect("one of the two, whole")] += 1;
            }
            seen
        });
        // Until the reader has seen both for certain, but not for ever.
        for round in 0..400 {
            let content = contents[round % 2].clone();
            place.replace("a", content).await.unwrap();
        }
        drop(stop);
        let seen = reader.join().unwrap();
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    }

    #[tokio::test]
    async fn create_never_replaces_and_replace_does() {
        let dir = tempfile::tempdir().unwrap();
        let place = Location::parse(dir.path().to_str().unwrap()).unwrap();
        assert!(
            place
                .create("a.json", Bytes::from_static(b"1"))
                .await
                .unwrap()
        );
        assert!(
            !place
                .create("a.json", Bytes::from_static(b"2"))
                .await
                .unwrap()
        );
        assert_eq!(place.read("a.json").await.unwrap().unwrap(), "1");
        place
            .replace("a.json", Bytes::from_static(b"3"))
            .await
            .unwrap();
        assert_eq!(place.read("a.json").await.unwrap().unwrap(), "3");
        assert!(place.remove("a.json").await.unwrap());
        assert!(!place.remove("a.json").await.unwrap());
        assert_eq!(place.read("a.json").await.unwrap(), None);
    }
}
