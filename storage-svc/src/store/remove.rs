//! Removing blobs: deletes with tombstones, releases without.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use triton_api::{
    BlobHash, BlobKey, Epoch, Page, PartitionId,
    layout::{LayoutRecord, PARTITIONS},
    storage::{Tombstone as Deleted, TombstoneDigest},
};

use super::{
    PAGE_ENTRIES_MAX, Store, StoreError,
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
pub(crate) struct Tombstone {
    pub(super) key: BlobKey,
    #[serde(rename = "blake3")]
    pub(super) hash: BlobHash,
    deleted_at: Timestamp,
    /// The node's uptime then; before its first start where it has learned of an older delete.
    #[serde(default)]
    uptime_seconds: i64,
}

/// Whether a tombstone may go. By whole hours, so that nodes forget together: one that still remembers would seem to know
/// more than the others.
fn is_outdated(deleted_at: Timestamp, now: Timestamp) -> bool {
    let hour = |at: Timestamp| at.as_second().div_euclid(3600);
    hour(now) - hour(deleted_at) > TOMBSTONE_TTL.as_hours()
}

/// How long ago something was.
pub(super) fn age_ms(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(at).as_millis()).unwrap_or(0)
}

/// Whether a delete of this age would be forgotten at once.
pub(crate) fn is_forgotten(age_ms: u64) -> bool {
    u128::from(age_ms) > TOMBSTONE_TTL.unsigned_abs().as_millis()
}

impl Store {
    /// Deletes a key for good: the tombstone is durable before the blob goes. Deleting twice is no error.
    ///
    /// `hash` is that of the deleted content where somebody else knows it.
    pub(crate) fn delete(&self, key: &BlobKey, hash: Option<BlobHash>, epoch: Option<Epoch>) -> Result<(), StoreError> {
        self.delete_since(key, hash, epoch, SignedDuration::ZERO)
    }

    /// Takes over a delete that another node knows. The tombstone keeps the age that it has there: taken over again and
    /// again, it would never be forgotten.
    pub(crate) fn take_over(&self, deleted: &Deleted, epoch: Option<Epoch>) -> Result<(), StoreError> {
        let age = SignedDuration::from_millis(i64::try_from(deleted.age_ms).unwrap_or(i64::MAX));
        self.delete_since(&deleted.key, Some(deleted.hash), epoch, age)
    }

    fn delete_since(
        &self,
        key: &BlobKey,
        hash: Option<BlobHash>,
        epoch: Option<Epoch>,
        age: SignedDuration,
    ) -> Result<(), StoreError> {
        let deleted = self.delete_durably(key, hash, epoch, age);
        if matches!(deleted, Err(StoreError::ReadOnly | StoreError::Full | StoreError::Disk(_))) {
            self.withhold(key);
        }
        deleted
    }

    /// The other holders may take a delete that this disk cannot: from then on the copy here is not served either.
    fn withhold(&self, key: &BlobKey) {
        self.withheld.add(key);
        // After the key is on the list: caches look again, and find it there.
        self.ledger.lock(triton_placement::partition_of(key)).distrust_caches();
    }

    fn delete_durably(
        &self,
        key: &BlobKey,
        hash: Option<BlobHash>,
        epoch: Option<Epoch>,
        age: SignedDuration,
    ) -> Result<(), StoreError> {
        drop(self.layout.admit(epoch)?);
        self.refuse_distrusted()?;
        let partition = triton_placement::partition_of(key);
        let tombstone_path = dir::key_path(TOMBSTONES, partition, key);
        if self.disk.facts_at(&tombstone_path)?.is_none() {
            let found = match self.describe(key) {
                Ok(description) => Some(description.hash),
                // What cannot be read can be deleted as well.
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. } | StoreError::Disk(_)) => None,
                Err(error) => return Err(error),
            };
            let hash = found.or(hash).unwrap_or(BlobHash::from(UNKNOWN_HASH));
            let deleted_at = Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN);
            let uptime_seconds = self.uptime.seconds().saturating_sub(age.as_secs());
            self.bury(partition, &Tombstone { key: key.clone(), hash, deleted_at, uptime_seconds }, epoch)?;
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
            ledger.tombstone_found(&tombstone.key);
            temporary.keep();
        }
        Ok(())
    }

    /// Unlinks a blob's file; answers its payload's length, or `None` where there was none.
    fn unlink_blob(&self, partition: PartitionId, key: &BlobKey) -> Result<Option<u64>, StoreError> {
        let path = dir::key_path(BLOBS, partition, key);
        // A file that cannot be read can be removed; the digest is read anew then. The read may take a bad disk minutes: not under the lock.
        let read = self.disk.facts_at(&path)?.map(|facts| facts.identity);
        let found = read.and_then(|_| self.description_at(&path).ok().flatten());
        let mut ledger = self.ledger.lock(partition);
        let Some(facts) = self.disk.facts_at(&path)? else { return Ok(None) };
        let found = found.filter(|found| read == Some(facts.identity) && found.key == *key);
        let hash = found.map(|found| found.hash);
        self.disk.unlink(&path)?;
        let len_bytes = format::payload_bytes_of(facts.len_bytes).unwrap_or(0);
        ledger.blob_gone(hash.map(|hash| (key, hash)), len_bytes);
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
        self.unlink_blob(triton_placement::partition_of(key), key)
    }

    /// Makes the unlinks of a release durable, where the disk still can; answers how many blobs are left.
    ///
    /// A disk that takes no writes is the one that is drained: it can be emptied, and what a crash brings back is surplus.
    pub(crate) fn settle_release(&self, partition: PartitionId) -> Result<u64, StoreError> {
        if self.dir.partitions.has(BLOBS, partition) && !self.disk.is_read_only() {
            self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        }
        Ok(self.take_stock(partition)?.blobs)
    }

    /// Removes the tombstones that `outdated` picks; answers how many.
    pub(crate) fn drop_tombstones(
        &self,
        partition: PartitionId,
        outdated: impl Fn(&Tombstone) -> bool,
    ) -> Result<u64, StoreError> {
        self.refuse_distrusted()?;
        let mut dropped = 0;
        for file_name in self.tombstone_files(partition)? {
            dropped += u64::from(self.drop_tombstone(partition, &file_name, &outdated)?);
        }
        Ok(dropped)
    }

    /// Removes the tombstones with the given files, while `allowed` holds for the layout: a node that becomes a holder again
    /// keeps what it remembers.
    pub(crate) fn release_tombstones(
        &self,
        partition: PartitionId,
        file_names: &[String],
        allowed: impl Fn(Option<&LayoutRecord>) -> bool,
    ) -> Result<(), StoreError> {
        self.refuse_distrusted()?;
        for file_name in file_names {
            // No newer layout is taken meanwhile, so that no delete can count on what goes here.
            let admission = self.layout.admit(None)?;
            if !allowed(admission.record()) {
                break;
            }
            self.drop_tombstone(partition, file_name, |_| true)?;
        }
        Ok(())
    }

    /// The files of a partition's tombstones.
    pub(crate) fn tombstone_files(&self, partition: PartitionId) -> Result<Vec<String>, StoreError> {
        Ok(self.disk.list(&dir::partition_path(TOMBSTONES, partition))?)
    }

    fn drop_tombstone(
        &self,
        partition: PartitionId,
        file_name: &str,
        outdated: impl FnOnce(&Tombstone) -> bool,
    ) -> Result<bool, StoreError> {
        let path = dir::partition_path(TOMBSTONES, partition).join(file_name);
        let Some(tombstone) = self.read_tombstone(&path)?.filter(|found| outdated(found)) else { return Ok(false) };
        let mut ledger = self.ledger.lock(partition);
        let is_gone = self.disk.unlink(&path)?;
        if is_gone {
            ledger.tombstone_gone(&tombstone.key);
        }
        Ok(is_gone)
    }

    /// Removes the tombstones of all partitions that are older than [`TOMBSTONE_TTL`], unless a clock that was put forward is
    /// all that says so; answers how many.
    pub(crate) fn sweep_tombstones(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut dropped = 0;
        for partition in (0..PARTITIONS).map(PartitionId::new) {
            if self.ledger.lock(partition).tally().is_none_or(|tally| tally.tombstones > 0) {
                let is_over = |found: &Tombstone| {
                    is_outdated(found.deleted_at, now) && self.uptime.bears_out(found.uptime_seconds)
                };
                dropped += self.drop_tombstones(partition, is_over)?;
            }
        }
        Ok(dropped)
    }

    /// The tombstones of a partition behind the key `after`, sorted by key, at most [`PAGE_ENTRIES_MAX`] of them.
    pub(crate) fn tombstones(
        &self,
        partition: PartitionId,
        after: Option<&BlobKey>,
    ) -> Result<Page<Deleted>, StoreError> {
        super::check_partition(partition)?;
        let folder = dir::partition_path(TOMBSTONES, partition);
        let mut found = BTreeMap::new();
        for name in self.disk.list(&folder)? {
            if let Some(key) =
                self.key_of_file(partition, TOMBSTONES, &name)?.filter(|key| after.is_none_or(|after| key > after))
            {
                found.insert(key, name);
            }
        }
        let is_last = found.len() <= PAGE_ENTRIES_MAX;
        let (mut items, now) = (Vec::new(), Timestamp::now());
        for (key, name) in found.into_iter().take(PAGE_ENTRIES_MAX) {
            items.extend(self.deleted(&folder.join(name), key, now)?);
        }
        let next_cursor = items.last().filter(|_| !is_last).map(|last: &Deleted| last.key.to_string());
        Ok(Page { items, next_cursor })
    }

    /// `None` where the tombstone went meanwhile. One that cannot be parsed is as good as new.
    pub(super) fn deleted(&self, path: &Path, key: BlobKey, now: Timestamp) -> Result<Option<Deleted>, StoreError> {
        Ok(match self.read_tombstone(path)? {
            Some(Tombstone { hash, deleted_at, uptime_seconds, .. }) => {
                // No more than this node can vouch for: who takes it over believes that the time has passed.
                let age_ms = age_ms(deleted_at, now).min(self.uptime.age_max_ms(uptime_seconds));
                Some(Deleted { key, hash, age_ms })
            }
            None if self.disk.facts_at(path)?.is_some() => Some(Deleted { key, hash: UNKNOWN_HASH.into(), age_ms: 0 }),
            None => None,
        })
    }

    /// Digests of the tombstones of all partitions that have some.
    pub(crate) fn tombstone_digests(&self) -> Result<Vec<TombstoneDigest>, StoreError> {
        let mut digests = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId::new) {
            let tombstones = match self.ledger.lock(partition).tally() {
                Some(tally) => tally.tombstones,
                None => self.disk.list(&dir::partition_path(TOMBSTONES, partition))?.len() as u64,
            };
            if tombstones > 0 {
                let digest = self.graves(partition)?.digest();
                digests.push(TombstoneDigest { partition, tombstones, digest });
            }
        }
        Ok(digests)
    }

    /// A tombstone that cannot be parsed stays: forgetting a delete is worse than remembering it for ever.
    pub(super) fn read_tombstone(&self, path: &Path) -> Result<Option<Tombstone>, DiskError> {
        let content = self.disk.read_small(path)?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }
}
