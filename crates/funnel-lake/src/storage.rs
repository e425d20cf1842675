//! Where things are and how they become durable.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `remote` | object stores: how to reach one, that its writes can be conditional, what its errors mean |
//! | `sink` | a file being written, on a disk or into a store |
//! | `source` | a file in a store being read |

mod remote;
mod sink;
mod source;

use std::fmt;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore, logstore_with};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use url::Url;

pub(crate) use self::remote::Remote;
pub use self::remote::{StorageOptions, is_remote, is_store_failure, open_store};
pub(crate) use self::sink::Sink;
pub(crate) use self::source::StoredFile;
use crate::error::{Cause, ErrorKind, LakeError, Result};

/// A folder in an object store. `root` is the store itself, `url` and `prefix` name the folder.
#[derive(Clone)]
pub(crate) struct Location {
    url: Url,
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    medium: Medium,
}

#[derive(Clone)]
enum Medium {
    /// A folder of a local disk.
    Disk(PathBuf),
    /// An object store on the network.
    Store(Arc<Remote>),
}

impl fmt::Debug for Location {
    /// The store is left out: it knows its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("Location");
        shown.field(&self.url.as_str()).finish()
    }
}

impl Location {
    /// The folder behind a local path, a `file://` URL or an `s3://` URL.
    pub(crate) fn parse(place: &str, options: &StorageOptions) -> Result<Self> {
        if is_remote(place) {
            let (url, store, remote) = remote::open(place, options)?;
            return Self::at(url, store, Medium::Store(Arc::new(remote)));
        }
        Self::with_store(place, Arc::new(LocalFileSystem::new()))
    }

    /// The same through another store: over the local disk, or for an `s3://` URL in its place.
    pub(crate) fn with_store(place: &str, root: Arc<dyn ObjectStore>) -> Result<Self> {
        if is_remote(place) {
            let (url, remote) = remote::stand_in(place)?;
            return Self::at(url, root, Medium::Store(Arc::new(remote)));
        }
        let local = local_path(place)?;
        let url = Url::from_directory_path(&local).map_err(|()| {
            LakeError::config(format!("`{place}` is not a folder that a URL can name"))
        })?;
        Self::at(url, root, Medium::Disk(local))
    }

    fn at(url: Url, root: Arc<dyn ObjectStore>, medium: Medium) -> Result<Self> {
        let prefix = Path::from_url_path(url.path()).map_err(|e| {
            LakeError::config(format!("`{url}` is not a usable path")).with_source(e)
        })?;
        Ok(Self {
            url,
            root,
            prefix,
            medium,
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
            medium: match &self.medium {
                Medium::Disk(local) => Medium::Disk(local.join(name)),
                Medium::Store(remote) => Medium::Store(Arc::clone(remote)),
            },
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
        match &self.medium {
            Medium::Disk(local) => Some(local),
            Medium::Store(_) => None,
        }
    }

    /// The object store on the network, where it is in one.
    pub(crate) fn remote(&self) -> Option<&Arc<Remote>> {
        match &self.medium {
            Medium::Disk(_) => None,
            Medium::Store(remote) => Some(remote),
        }
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
        let root = Arc::clone(&self.root);
        if self.remote().is_some() {
            let prefixed = Arc::new(PrefixStore::new(
                Arc::clone(&self.root),
                self.prefix.clone(),
            ));
            let options = StorageConfig::default();
            return Ok(default_logstore(prefixed, root, &self.url, &options));
        }
        logstore_with(root, &self.url, StorageConfig::default()).map_err(|e| {
            LakeError::config(format!("could not use `{}` as a table", self.url)).with_source(e)
        })
    }

    /// The bytes at `path`, or `None` if there is nothing.
    pub(crate) async fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let read = self.read_version(path).await?;
        Ok(read.map(|(bytes, _)| bytes))
    }

    /// The same, and which version of the object it is.
    pub(crate) async fn read_version(&self, path: &str) -> Result<Option<(Bytes, UpdateVersion)>> {
        let full = self.full_path(path)?;
        let read = async {
            let found = self.root.get(&full).await?;
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            Ok((found.bytes().await?, version))
        };
        match read.await {
            Ok(read) => Ok(Some(read)),
            Err(error) if self.is_nothing(&error) => Ok(None),
            Err(e) => Err(self.failed("read", path, e)),
        }
    }

    /// Whether there is something at `path`.
    pub(crate) async fn exists(&self, path: &str) -> Result<bool> {
        match self.root.head(&self.full_path(path)?).await {
            Ok(_) => Ok(true),
            Err(error) if self.is_nothing(&error) => Ok(false),
            Err(e) => Err(self.failed("look at", path, e)),
        }
    }

    /// Whether the store is there and the object is not.
    fn is_nothing(&self, error: &object_store::Error) -> bool {
        matches!(error, object_store::Error::NotFound { .. }) && !remote::is_no_bucket(error)
    }

    /// Replaces what is at `path` in one step and makes it durable.
    pub(crate) async fn replace(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.put(path, bytes, PutMode::Overwrite).await.map(|_| ())
    }

    /// Writes `path` unless it is there already; says whether it wrote.
    pub(crate) async fn create(&self, path: &str, bytes: Bytes) -> Result<bool> {
        self.check_conditional_writes().await?;
        let written = self.put(path, bytes, PutMode::Create).await?;
        Ok(written.is_some())
    }

    /// Replaces the `known` version of `path`; the version that it has then, or `None` if somebody
    /// was faster.
    pub(crate) async fn update(
        &self,
        path: &str,
        bytes: Bytes,
        known: UpdateVersion,
    ) -> Result<Option<UpdateVersion>> {
        self.put(path, bytes, PutMode::Update(known)).await
    }

    /// Writes `path` as `mode` says; `None` if that does not allow it.
    pub(crate) async fn put(
        &self,
        path: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Option<UpdateVersion>> {
        use object_store::Error::{AlreadyExists, Precondition};
        let full = self.full_path(path)?;
        let options = PutOptions::from(mode);
        match self.root.put_opts(&full, bytes.into(), options).await {
            Ok(put) => {
                self.make_durable(path).await?;
                Ok(Some(put.into()))
            }
            Err(AlreadyExists { .. } | Precondition { .. }) => Ok(None),
            Err(e) => Err(self.failed("write", path, e)),
        }
    }

    /// Finds out whether the store keeps writers apart; asked once.
    ///
    /// # Errors
    /// `Storage` when it does not.
    pub(crate) async fn check_conditional_writes(&self) -> Result<()> {
        match &self.medium {
            Medium::Disk(_) => Ok(()),
            Medium::Store(remote) => remote.check_conditional_writes(self).await,
        }
    }

    /// Removes `path`; says whether there was something.
    pub(crate) async fn remove(&self, path: &str) -> Result<bool> {
        if !self.exists(path).await? {
            return Ok(false);
        }
        match self.root.delete(&self.full_path(path)?).await {
            Ok(()) => {}
            Err(error) if self.is_nothing(&error) => {}
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

    /// Removes `path` without saying whether that worked: what stays costs space and nothing else.
    /// Does not wait for a store on the network.
    pub(crate) fn discard(&self, path: &str) {
        match &self.medium {
            Medium::Disk(local) => {
                let file = local.join(path);
                if let Err(error) = std::fs::remove_file(&file) {
                    tracing::warn!(path = %file.display(), %error, "could not remove an unused file");
                }
            }
            Medium::Store(remote) => {
                let (place, path) = (self.clone(), path.to_owned());
                drop(remote.runtime().spawn(async move {
                    if let Err(error) = place.remove(&path).await {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(path, error, "could not remove an unused file");
                    }
                }));
            }
        }
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
        self.local().map(|local| local.join(path))
    }

    pub(crate) fn failed(&self, what: &str, path: &str, source: impl Into<Cause>) -> LakeError {
        self.explained(format!("could not {what} `{}{path}`", self.url), source)
    }

    /// The error for something that the store refused, with what to do about it.
    pub(crate) fn explained(&self, attempted: String, source: impl Into<Cause>) -> LakeError {
        let source = source.into();
        match &self.medium {
            Medium::Disk(_) => LakeError::unavailable(attempted, source),
            Medium::Store(remote) => remote.explain(&attempted, source),
        }
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
                "`{place}`: lakes live on local disks and in S3-compatible object stores, not on \
                 `{}`; give a path, a file:// or an s3:// URL",
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

    fn local(place: &str) -> Location {
        Location::parse(place, &StorageOptions::default()).unwrap()
    }

    #[test]
    fn paths_and_file_urls_name_the_same_folder() {
        let by_path = local("/tmp/a lake/x");
        let by_url = local("file:///tmp/a%20lake/x");
        assert_eq!(by_path.url(), by_url.url());
        assert_eq!(by_path.local(), Some(LocalPath::new("/tmp/a lake/x")));
        assert_eq!(
            by_path.full_path("events/part-0.parquet").unwrap().as_ref(),
            by_url.full_path("events/part-0.parquet").unwrap().as_ref()
        );
    }

    #[test]
    fn a_store_that_is_not_built_in_is_named() {
        let options = StorageOptions::default();
        let error = Location::parse("gs://bucket/lake", &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("not on `gs`"), "{error}");
    }

    /// Dashboards read files at stable paths while they are written again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_reads_while_a_file_is_replaced_sees_one_of_the_two_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = local(dir.path().to_str().unwrap());
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
        let place = local(dir.path().to_str().unwrap());
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
