//! Removing blobs: deletes with tombstones, releases without.

use std::path::Path;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use triton_api::{
    BlobHash, BlobKey, Epoch, PartitionId,
    layout::{LayoutRecord, PARTITIONS},
};

use super::{
    Store, StoreError,
    dir::{self, BLOBS, TOMBSTONES},
    disk::DiskError,
    format,
    put::Temporary,
};

/// How long a deleted key is remembered: by then every copy of it is gone, too.
pub(crate) const TOMBSTONE_TTL: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The hash in the tombstone of a key that this node never had.
pub(crate) const UNKNOWN_HASH: [u8; 32] = [0; 32];

/// A tombstone's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) key: BlobKey,
    #[serde(rename = "blake3")]
    pub(super) hash: BlobHash,
    deleted_at: Timestamp,
}

impl Store {
    /// Deletes a key for good: the tombstone is durable before the blob goes. Deleting twice is no error.
    ///
    /// `hash` is that of the deleted content where somebody else knows it.
    pub(crate) fn delete(&self, key: &BlobKey, hash: Option<BlobHash>, epoch: Option<Epoch>) -> Result<(), StoreError> {
        drop(self.layout.admit(epoch)?);
        self.refuse_distrusted()?;
        let partition = triton_placement::partition_of(key);
        let tombstone_path = dir::key_path(TOMBSTONES, partition, key);
        if self.disk.facts_at(&tombstone_path)?.is_none() {
            let found = match self.describe(key) {
                Ok(description) => Some(description.hash),
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            let hash = found.or(hash).unwrap_or(BlobHash::from(UNKNOWN_HASH));
            self.bury(partition, &Tombstone { key: key.clone(), hash, deleted_at: Timestamp::now() }, epoch)?;
        }
        // Also where the tombstone was there: whoever made it may not have come to this point.
        self.disk.sync_dir(&dir::partition_path(TOMBSTONES, partition))?;
        if self.unlink_blob(partition, key)?.is_some() {
            self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        }
        self.refuse_distrusted()
    }

    fn bury(&self, partition: PartitionId, tombstone: &Tombstone, epoch: Option<Epoch>) -> Result<(), StoreError> {
        let json = serde_json::to_vec(tombstone).expect("a tombstone is plain JSON");
        let temporary = Temporary::create(&self.disk, self.temporary_path())?;
        self.disk.append(&temporary.path, &temporary.file, &[Bytes::from(json)])?;
        self.disk.sync(&temporary.path, &temporary.file)?;
        self.refuse_distrusted()?;
        self.dir.partitions.make(&self.disk, TOMBSTONES, partition)?;
        let _admitted = self.layout.admit(epoch)?;
        let mut ledger = self.ledger.lock(partition);
        if self.disk.publish(&temporary.path, &dir::key_path(TOMBSTONES, partition, &tombstone.key))? {
            ledger.tombstone_found();
            temporary.keep();
        }
        Ok(())
    }

    /// Unlinks a blob's file; answers its payload's length, or `None` where there was none.
    fn unlink_blob(&self, partition: PartitionId, key: &BlobKey) -> Result<Option<u64>, DiskError> {
        let path = dir::key_path(BLOBS, partition, key);
        let mut ledger = self.ledger.lock(partition);
        let Some(facts) = self.disk.facts_at(&path)? else { return Ok(None) };
        self.disk.unlink(&path)?;
        let len_bytes = format::payload_bytes_of(facts.len_bytes).unwrap_or(0);
        ledger.blob_gone(len_bytes);
        Ok(Some(len_bytes))
    }

    /// Unlinks this node's copy without a tombstone, while `allowed` holds for the layout; answers the bytes released.
    ///
    /// The caller has made sure that other copies exist. A crash may bring the copy back: it is released again then.
    pub(crate) fn release(
        &self,
        key: &BlobKey,
        allowed: impl FnOnce(Option<&LayoutRecord>) -> bool,
    ) -> Result<Option<u64>, StoreError> {
        let admission = self.layout.admit(None)?;
        if !allowed(admission.record()) {
            return Ok(None);
        }
        Ok(self.unlink_blob(triton_placement::partition_of(key), key)?)
    }

    /// Makes the unlinks of a release durable; answers how many blobs are left.
    pub(crate) fn settle_release(&self, partition: PartitionId) -> Result<u64, StoreError> {
        if self.dir.partitions.has(BLOBS, partition) {
            self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        }
        Ok(self.ledger.lock(partition).tally().blobs)
    }

    /// Removes the tombstones that `outdated` picks; answers how many.
    pub(crate) fn drop_tombstones(
        &self,
        partition: PartitionId,
        outdated: impl Fn(Timestamp) -> bool,
    ) -> Result<u64, StoreError> {
        let folder = dir::partition_path(TOMBSTONES, partition);
        let mut dropped = 0;
        for name in self.disk.list(&folder)? {
            let path = folder.join(name);
            if self.read_tombstone(&path)?.is_some_and(|tombstone| outdated(tombstone.deleted_at)) {
                let mut ledger = self.ledger.lock(partition);
                if self.disk.unlink(&path)? {
                    ledger.tombstone_gone();
                    dropped += 1;
                }
            }
        }
        Ok(dropped)
    }

    /// Removes the tombstones of all partitions that are older than [`TOMBSTONE_TTL`]; answers how many.
    pub(crate) fn sweep_tombstones(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut dropped = 0;
        for partition in (0..PARTITIONS).map(PartitionId::new) {
            if self.ledger.lock(partition).tally().tombstones > 0 {
                dropped +=
                    self.drop_tombstones(partition, |deleted_at| now.duration_since(deleted_at) > TOMBSTONE_TTL)?;
            }
        }
        Ok(dropped)
    }

    /// A tombstone that cannot be parsed stays: forgetting a delete is worse than remembering it for ever.
    pub(super) fn read_tombstone(&self, path: &Path) -> Result<Option<Tombstone>, DiskError> {
        let content = self.disk.read_small(path)?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }
}
