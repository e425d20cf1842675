//! Object stores on the network that speak S3.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::execution::cache::cache_manager::{
    CacheManager, CacheManagerConfig, FileMetadataCache,
};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::{
    ClientConfigKey, Error, ObjectStore, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use super::{Location, ObjectStoreExt, Path};
use crate::error::{Cause, ErrorKind, LakeError, Result};

const SCHEME: &str = "s3";
/// A request is tried so often more, and not after this time; callers with patience try again.
const RETRIES_MAX: usize = 6;
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest that one request may take, its body included; a part of a file is 8 MiB, a range
/// that is read may be a column of a row group.
const REQUEST_TIME_MAX: &str = "120 seconds";

/// How to reach an object store: what the variables `AWS_…` say, by their names in small letters,
/// such as `aws_endpoint_url`. Names that mean nothing to the store are ignored.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StorageOptions {
    values: BTreeMap<String, String>,
}

impl StorageOptions {
    /// Sets one value; the last one counts.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Takes a value away.
    pub fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Whether the place and these options can mean a store. Nothing is asked of the network.
    ///
    /// # Errors
    /// `Config` or `Storage` with what to change.
    pub fn check(&self, place: &str) -> Result<()> {
        if is_remote(place) {
            store(&address(place)?, self)?;
        }
        Ok(())
    }
}

impl fmt::Debug for StorageOptions {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Whether a place is in an object store on the network.
pub fn is_remote(place: &str) -> bool {
    place.starts_with("s3://")
}

/// The store of the bucket of an `s3://` URL, and the bucket's own URL.
///
/// # Errors
/// `Config` or `Storage` with what to change.
pub fn open_store(place: &str, options: &StorageOptions) -> Result<(Url, Arc<dyn ObjectStore>)> {
    let mut url = address(place)?;
    let (store, _) = store(&url, options)?;
    url.set_path("");
    Ok((url, store))
}

/// What all locations of one lake in an object store share.
pub(crate) struct Remote {
    /// Where waiting for the store is done on behalf of threads that may block.
    runtime: Handle,
    /// Footers of data files. Files never change, so they are read once and not once per query.
    footers: Arc<FileMetadataCache>,
    /// The folder that was opened.
    base: Path,
    bucket: String,
    endpoint: String,
    conditional: OnceCell<()>,
}

/// The store behind an `s3://` URL.
pub(super) fn open(
    place: &str,
    options: &StorageOptions,
) -> Result<(Url, Arc<dyn ObjectStore>, Remote)> {
    let url = address(place)?;
    let (store, endpoint) = store(&url, options)?;
    let remote = Remote::new(&url, endpoint)?;
    Ok((url, store, remote))
}

/// As [`open`] for a store that somebody else made.
pub(super) fn stand_in(place: &str) -> Result<(Url, Remote)> {
    let url = address(place)?;
    let remote = Remote::new(&url, "a stand-in".to_owned())?;
    Ok((url, remote))
}

/// The URL of a folder, with a slash at its end.
fn address(place: &str) -> Result<Url> {
    let what = format!("write {SCHEME}://BUCKET/FOLDER; credentials and endpoint go elsewhere");
    let wrong = |why: &str| LakeError::config(format!("`{place}` {why}; {what}"));
    let mut url = Url::parse(place).map_err(|e| wrong("is not a URL").with_source(e))?;
    let more = url.port().is_some() || url.query().is_some() || url.fragment().is_some();
    if more || !url.username().is_empty() || url.password().is_some() {
        // Not shown: it may hold a secret.
        return Err(LakeError::config(format!(
            "a lake's URL has only a bucket and a folder; {what}"
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("names no bucket"));
    }
    let folder = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&folder);
    Ok(url)
}

fn store(url: &Url, options: &StorageOptions) -> Result<(Arc<dyn ObjectStore>, String)> {
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
        ..RetryConfig::default()
    };
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let mut builder = AmazonS3Builder::new()
        .with_retry(retry)
        .with_config(timeout, REQUEST_TIME_MAX);
    for (name, value) in &options.values {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let value = |key| builder.get_config_value(&key);
    let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| value(AmazonS3ConfigKey::Endpoint))
        .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let allowed = value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    let yes = ["1", "true", "on", "yes", "y"];
    let allowed = allowed.is_some_and(|text| yes.contains(&text.to_ascii_lowercase().as_str()));
    if endpoint.starts_with("http://") && !allowed {
        return Err(LakeError::new(
            ErrorKind::Storage,
            format!(
                "the object store's endpoint `{endpoint}` is not encrypted; set \
                 AWS_ALLOW_HTTP=true, or allow_http = true under [lake.s3], if that is meant"
            ),
        ));
    }
    let built = builder
        .with_bucket_name(url.host_str().unwrap_or_default())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build();
    let built = built.map_err(|e| {
        let message = format!("the object store of `{url}` cannot be used as it is configured");
        LakeError::new(ErrorKind::Storage, message).with_source(e)
    })?;
    Ok((Arc::new(built), endpoint))
}

impl Remote {
    fn new(url: &Url, endpoint: String) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|e| {
            LakeError::internal("an object store needs a running Tokio runtime").with_source(e)
        })?;
        let caches = CacheManager::try_new(&CacheManagerConfig::default())
            .map_err(|e| LakeError::internal("no cache could be made").with_source(e))?;
        Ok(Self {
            runtime,
            footers: caches.get_file_metadata_cache(),
            base: Path::from_url_path(url.path()).map_err(|e| {
                LakeError::config(format!("`{url}` is not a usable path")).with_source(e)
            })?,
            bucket: url.host_str().unwrap_or_default().to_owned(),
            endpoint,
            conditional: OnceCell::new(),
        })
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn footers(&self) -> &Arc<FileMetadataCache> {
        &self.footers
    }

    /// Two writers of one log entry are told apart by the store, or by nobody: a store that
    /// ignores the condition would let the second one replace the commit of the first.
    pub(super) async fn check_conditional_writes(&self, place: &Location) -> Result<()> {
        let probe = || async {
            let name = format!("probe-{}", Uuid::new_v4());
            let path = self.base.clone().join("_state").join(name);
            let kept = self.keeps_apart(place, &path).await;
            if let Err(error) = place.root_store().delete(&path).await {
                tracing::warn!(%path, %error, "could not remove a probe");
            }
            if kept? {
                return Ok(());
            }
            Err(self.unconditional())
        };
        self.conditional.get_or_try_init(probe).await.map(|_| ())
    }

    /// Whether the object at `path` can be neither created twice nor replaced by its old version.
    async fn keeps_apart(&self, place: &Location, path: &Path) -> Result<bool> {
        let store = place.root_store();
        let put = async |text: &'static str, mode: PutMode| {
            let payload = Bytes::from_static(text.as_bytes()).into();
            store.put_opts(path, payload, PutOptions::from(mode)).await
        };
        let failed = |source: Error| match source {
            source if says_it_cannot(&source) => self.unconditional().with_source(source),
            source => {
                let attempted = format!("could not write `{SCHEME}://{}/{path}`", self.bucket);
                self.explain(&attempted, source)
            }
        };
        let first = put("first", PutMode::Create).await.map_err(failed)?;
        match put("second", PutMode::Create).await {
            Ok(_) => return Ok(false),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let first = UpdateVersion::from(first);
        let known = first.clone();
        put("third", PutMode::Update(known)).await.map_err(failed)?;
        match put("fourth", PutMode::Update(first)).await {
            Ok(_) => Ok(false),
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => Ok(true),
            Err(error) => Err(failed(error)),
        }
    }

    fn unconditional(&self) -> LakeError {
        LakeError::new(
            ErrorKind::Storage,
            format!(
                "the object store at `{}` ignores `If-None-Match` or `If-Match`, so two writers \
                 would lose each other's commits; keep the lake in one with conditional writes: \
                 AWS S3, MinIO, Ceph, R2",
                self.endpoint
            ),
        )
    }

    /// What a failure means, and what to do about it.
    pub(super) fn explain(&self, attempted: &str, source: impl Into<Cause>) -> LakeError {
        let source = source.into();
        let (kind, why) = self.meaning(source.as_ref());
        LakeError::new(kind, format!("{attempted}: {why}")).with_source(source)
    }

    fn meaning(&self, error: &(dyn StdError + 'static)) -> (ErrorKind, String) {
        use Error::{PermissionDenied, Unauthenticated};
        let (bucket, endpoint) = (&self.bucket, &self.endpoint);
        let text = text_of(error);
        // The addresses at which machines of a cloud ask for the role that they have.
        let asks_for_role = ["/latest/api/token", "/latest/meta-data/", "169.254.170.2"];
        if asks_for_role.iter().any(|part| text.contains(part)) {
            let why = "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                       or access_key_id and secret_access_key under [lake.s3]";
            return (ErrorKind::Storage, why.to_owned());
        }
        if text.contains(NO_BUCKET) {
            let why = format!(
                "there is no bucket `{bucket}` at `{endpoint}`; create it, or correct the URL, \
                 the endpoint or the region"
            );
            return (ErrorKind::Storage, why);
        }
        let refused = find::<Error>(error)
            .is_some_and(|e| matches!(e, PermissionDenied { .. } | Unauthenticated { .. }));
        if refused {
            let why = format!(
                "`{endpoint}` refuses these credentials; look at the keys, and at their rights \
                 s3:ListBucket on `{bucket}` and s3:GetObject, s3:PutObject, s3:DeleteObject and \
                 s3:AbortMultipartUpload on what is in it"
            );
            return (ErrorKind::Storage, why);
        }
        if text.contains("incorrectly configured region") || text.contains("PermanentRedirect") {
            let why = format!("the bucket `{bucket}` is in another region; set AWS_REGION");
            return (ErrorKind::Storage, why);
        }
        let unreachable = find::<HttpError>(error)
            .is_some_and(|e| matches!(e.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout));
        let why = if unreachable {
            format!("no answer from `{endpoint}`; is it the right address, and does it run?")
        } else {
            format!("the object store at `{endpoint}` failed")
        };
        (ErrorKind::Unavailable, why)
    }
}

const NO_BUCKET: &str = "NoSuchBucket";

/// Whether it is the bucket that is missing, and not an object in it.
pub(super) fn is_no_bucket(error: &Error) -> bool {
    text_of(error).contains(NO_BUCKET)
}

fn says_it_cannot(error: &Error) -> bool {
    let text = text_of(error);
    matches!(error, Error::NotImplemented { .. })
        || text.contains("NotImplemented")
        || text.contains("501 Not Implemented")
}

/// Whether a store failed, at whatever depth; that something is not there is an answer.
pub fn is_store_failure(error: &(dyn StdError + 'static)) -> bool {
    match find::<Error>(error) {
        Some(found) => !matches!(found, Error::NotFound { .. }),
        // DataFusion makes text of what kept a footer from being read.
        None => text_of(error).contains("Generic S3 error"),
    }
}

/// An error with all its causes.
fn text_of(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push('\n');
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The first cause of this kind.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests;
