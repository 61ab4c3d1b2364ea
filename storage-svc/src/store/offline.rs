//! A blob as it lies on a disk, for tools that fill a data directory while no node works on it.

use std::path::PathBuf;

use jiff::Timestamp;
use triton_api::{BlobHash, BlobKey};

use super::{
    dir::{self, BLOBS},
    format::{BlockSums, Description, Footer},
};

/// Where a blob lies, relative to the data directory, and its file's content. The partition's folder must exist: a node that
/// has been started once has made it.
pub fn blob_file(key: &BlobKey, payload: &[u8]) -> (PathBuf, Vec<u8>) {
    let mut sums = BlockSums::default();
    sums.update(payload);
    let (hash, len_bytes) = (BlobHash::of(payload), payload.len() as u64);
    let description = Description { key: key.clone(), hash, len_bytes, created_at: Timestamp::now() };
    let footer = Footer { description, sums: sums.finish() }.encode();
    (dir::key_path(BLOBS, triton_placement::partition_of(key), key), [payload, &footer].concat())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    #[test]
    fn file_that_is_put_into_place_is_a_blob() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Some(0)).unwrap());
        let key: BlobKey = "a/b".parse().unwrap();
        let (path, file) = blob_file(&key, b"content");
        std::fs::write(dir.path().join(path), file).unwrap();
        let store = Store::open(dir.path(), Some(0)).unwrap();
        assert_eq!(store.info().unwrap().blobs, 1);
        let blob = store.open_blob(&key).unwrap();
        assert_eq!(blob.read(&(0..7)).unwrap(), "content");
    }
}
