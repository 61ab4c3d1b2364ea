//! The store on a real disk.

mod crash;
mod damage;
mod faults;
mod fences;
mod inventory;
mod model;
mod open;
mod orphan;
mod scripted;
mod stock;
mod suspect;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use triton_api::{BlobHash, BlobKey, PartitionId};

use super::{Claim, Store, StoreError, Stored, dir, format::BLOCK_BYTES};

pub(super) fn key(text: &str) -> BlobKey {
    text.parse().unwrap()
}

/// A store in a directory that goes with it.
pub(super) fn temporary() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

/// Tests must not fail because the machine's disk is nearly full.
pub(super) fn open(dir: &Path) -> Store {
    let store = Store::open(dir, Some(0)).unwrap();
    assert!(store.count_for(std::time::Duration::MAX).unwrap());
    store
}

pub(super) fn put_claimed(store: &Store, text: &str, content: &[u8], claim: Claim) -> Result<Stored, StoreError> {
    let mut staged = store.stage(&key(text), claim)?;
    // Odd pieces, so that no border of a piece is one of a block.
    for piece in content.chunks(10_007) {
        staged.append(&[Bytes::copy_from_slice(piece)])?;
    }
    staged.commit()
}

pub(super) fn put(store: &Store, text: &str, content: &[u8]) -> Result<Stored, StoreError> {
    put_claimed(store, text, content, Claim { hash: Some(BlobHash::of(content)), ..Claim::default() })
}

pub(super) fn get(store: &Store, text: &str) -> Result<Bytes, StoreError> {
    let blob = store.open_blob(&key(text))?;
    blob.read(&(0..blob.description().len_bytes))
}

pub(super) fn partition(text: &str) -> PartitionId {
    triton_placement::partition_of(&key(text))
}

pub(super) fn blob_file(root: &Path, text: &str) -> PathBuf {
    root.join(dir::key_path(dir::BLOBS, partition(text), &key(text)))
}

pub(super) fn names_in(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Three blocks and a bit.
pub(super) fn sample() -> Bytes {
    triton_testkit::content(7, usize::try_from(3 * BLOCK_BYTES).unwrap() + 123)
}
