//! Deletes that this disk could not write down, in memory: what the others delete is not served from here.
//!
//! They end with the process. A node that starts learns the deletes from the others before it serves.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use triton_api::BlobKey;

use super::StoreError;

/// The most keys; with one more nothing is served.
const KEYS_MAX: usize = 100_000;

/// The keys.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    keys: Mutex<HashSet<BlobKey>>,
    /// So that a disk without trouble costs its readers no lock.
    any: AtomicBool,
}

impl Withheld {
    pub(super) fn add(&self, key: &BlobKey) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() <= KEYS_MAX {
            keys.insert(key.clone());
        }
        self.any.store(true, Ordering::Release);
    }

    /// Refuses a reader of a blob that was deleted, or may have been.
    pub(super) fn refuse(&self, key: &BlobKey) -> Result<(), StoreError> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.contains(key) {
            true => Err(StoreError::Deleted(key.clone())),
            false if keys.len() > KEYS_MAX => Err(StoreError::ReadOnly),
            false => Ok(()),
        }
    }
}
