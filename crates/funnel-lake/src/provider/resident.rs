//! Reads of local files whose pages the system has in memory already.
//!
//! The store hands every read to another thread, which is right for a disk and wastes time where
//! nothing has to be waited for: what is copied there is not in the cache of the core that decodes it.

use std::fmt;
use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rustix::buffer::spare_capacity;
use rustix::io::{ReadWriteFlags, pread, preadv2};

/// A store of local files, from the root of the file system.
#[derive(Debug)]
pub(super) struct Resident(pub(super) Arc<dyn ObjectStore>);

impl fmt::Display for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How far apart the pages are that are looked for; those between are taken to be where they are.
const PROBE_BYTES: usize = 256 << 10;

/// The bytes, if nothing seems to have to be waited for; whatever goes wrong is for the store to say.
fn resident(location: &Path, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
    let file = File::open(format!("/{location}")).ok()?;
    let is_here = |range: &Range<u64>| {
        let mut probes = range.clone().step_by(PROBE_BYTES);
        !range.is_empty() && has(&file, range.end - 1) && probes.all(|at| has(&file, at))
    };
    if !ranges.iter().all(is_here) {
        return None;
    }
    ranges.iter().map(|range| read(&file, range)).collect()
}

/// Whether the page of this byte is in memory.
fn has(file: &File, at: u64) -> bool {
    let mut byte = [0];
    let read = preadv2(
        file,
        &mut [IoSliceMut::new(&mut byte)],
        at,
        ReadWriteFlags::NOWAIT,
    );
    read == Ok(1)
}

fn read(file: &File, range: &Range<u64>) -> Option<Bytes> {
    let length = usize::try_from(range.end - range.start).ok()?;
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    while bytes.len() < length {
        let at = range.start + bytes.len() as u64;
        if pread(file, spare_capacity(&mut bytes), at).ok()? == 0 {
            return None;
        }
    }
    // There may be room for more than was asked for.
    bytes.truncate(length);
    Some(Bytes::from(bytes))
}

#[async_trait]
impl ObjectStore for Resident {
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match resident(location, ranges) {
            Some(found) => Ok(found),
            None => self.0.get_ranges(location, ranges).await,
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;

    use super::*;

    #[tokio::test]
    async fn ranges_are_those_of_the_file_and_errors_those_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b=%20.bin");
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        std::fs::write(&file, &bytes).unwrap();
        let location = Path::from_absolute_path(&file).unwrap();
        let ranges = [0..1, 77..9_000, 99_999..100_000, 4_096..4_096];
        let store = Resident(Arc::new(LocalFileSystem::new()));
        for ranges in [&ranges[..3], &ranges] {
            let found = store.get_ranges(&location, ranges).await.unwrap();
            let wanted = ranges.iter().map(|range| {
                let (from, to) = (range.start as usize, range.end as usize);
                Bytes::copy_from_slice(&bytes[from..to])
            });
            assert_eq!(found, wanted.collect::<Vec<_>>());
        }
        // Not every file system tells what is in memory.
        let is_told = has(&File::open(&file).unwrap(), 0);
        assert_eq!(resident(&location, &ranges[..3]).is_some(), is_told);
        let beyond = 99_990..100_010;
        assert!(resident(&location, std::slice::from_ref(&beyond)).is_none());
        let missing = Path::from_absolute_path(dir.path().join("none")).unwrap();
        let error = store.get_ranges(&missing, &ranges[..1]).await.unwrap_err();
        assert!(
            matches!(error, object_store::Error::NotFound { .. }),
            "{error}"
        );
    }
}
