//! Writing a blob: a temporary file, a flush, one atomic rename, a synced directory; only then is it acknowledged.

use std::{fs::File, path::PathBuf, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use triton_api::{
    BlobHash, BlobKey, Epoch, PartitionId,
    storage::{BLOB_BYTES_MAX, BlobReceipt},
};

use super::{
    Store, StoreError,
    dir::{self, BLOBS, TOMBSTONES},
    disk::Disk,
    format::{BlockSums, Description, Footer},
};

/// A temporary file that is removed unless it has got its name.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
    pub(super) file: File,
    disk: Arc<Disk>,
    named: bool,
}

impl Temporary {
    pub(super) fn create(disk: &Arc<Disk>, path: PathBuf) -> Result<Self, StoreError> {
        let file = disk.create(&path)?;
        Ok(Self { path, file, disk: Arc::clone(disk), named: false })
    }

    /// The file has another name now.
    pub(super) fn keep(mut self) {
        self.named = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named
            && let Err(error) = self.disk.unlink(&self.path)
        {
            tracing::warn!(%error, "a temporary file stays until the next start");
        }
    }
}

/// What a sender says of a blob before its content is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The hash; the blob is stored only if it is true.
    pub(crate) hash: Option<BlobHash>,
    /// The length in bytes; the blob is stored only if it is true.
    pub(crate) len_bytes: Option<u64>,
    /// The layout epoch on whose behalf; a person with curl knows none.
    pub(crate) epoch: Option<Epoch>,
}

/// A blob on its way in. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Staged {
    store: Store,
    key: BlobKey,
    claim: Claim,
    partition: PartitionId,
    temporary: Temporary,
    /// Two kilobytes: on the heap, because a write moves between threads.
    hasher: Box<blake3::Hasher>,
    sums: BlockSums,
    len_bytes: u64,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) receipt: BlobReceipt,
    /// False where the same content was here already.
    pub(crate) fresh: bool,
}

impl Store {
    /// Begins a blob; refuses early what would be refused at its end.
    pub(crate) fn stage(&self, key: &BlobKey, claim: Claim) -> Result<Staged, StoreError> {
        if claim.len_bytes.is_some_and(|len| len > BLOB_BYTES_MAX) {
            return Err(StoreError::TooLarge);
        }
        drop(self.layout.admit(claim.epoch)?);
        let partition = triton_placement::partition_of(key);
        self.refuse_deleted(key, partition)?;
        self.refuse_writes(claim.len_bytes.unwrap_or(0))?;
        let temporary = Temporary::create(&self.disk, self.temporary_path())?;
        Ok(Staged {
            store: self.clone(),
            key: key.clone(),
            claim,
            partition,
            temporary,
            hasher: Box::default(),
            sums: BlockSums::default(),
            len_bytes: 0,
        })
    }

    pub(super) fn refuse_deleted(&self, key: &BlobKey, partition: PartitionId) -> Result<(), StoreError> {
        if self.is_deleted_in(partition, key)? { Err(StoreError::Gone(key.clone())) } else { Ok(()) }
    }

    /// Whether the key has a tombstone here.
    pub(crate) fn is_deleted(&self, key: &BlobKey) -> Result<bool, StoreError> {
        self.is_deleted_in(triton_placement::partition_of(key), key)
    }

    fn is_deleted_in(&self, partition: PartitionId, key: &BlobKey) -> Result<bool, StoreError> {
        Ok(self.disk.facts_at(&dir::key_path(TOMBSTONES, partition, key))?.is_some())
    }

    /// Refuses to go on, or to acknowledge, after an fsync of anybody has failed: the kernel tells each loss once, and
    /// whose it was cannot be known for sure.
    pub(super) fn refuse_distrusted(&self) -> Result<(), StoreError> {
        if self.disk.is_read_only() { Err(StoreError::ReadOnly) } else { Ok(()) }
    }

    /// Refuses where the disk takes no writes, or has no room for `more_bytes`.
    fn refuse_writes(&self, more_bytes: u64) -> Result<(), StoreError> {
        self.refuse_distrusted()?;
        if self.disk.has_room(more_bytes)? { Ok(()) } else { Err(StoreError::Full) }
    }
}

impl Staged {
    /// Takes the next frames of the content.
    pub(crate) fn append(&mut self, frames: &[Bytes]) -> Result<(), StoreError> {
        let more_bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        if self.len_bytes + more_bytes > BLOB_BYTES_MAX {
            return Err(StoreError::TooLarge);
        }
        self.store.refuse_writes(more_bytes)?;
        self.store.disk.append(&self.temporary.path, &self.temporary.file, frames)?;
        for frame in frames {
            self.hasher.update(frame);
            self.sums.update(frame);
        }
        self.len_bytes += more_bytes;
        Ok(())
    }

    /// Makes the blob durable under its key; when this returns, it may be acknowledged.
    ///
    /// Blobs that differ from their claim, whose epoch has grown old meanwhile, or whose key is deleted or taken by
    /// another content, leave nothing behind.
    pub(crate) fn commit(self) -> Result<Stored, StoreError> {
        let Self { store, key, claim, partition, temporary, hasher, sums, len_bytes } = self;
        let hash = BlobHash::from(hasher.finalize());
        if let Some(declared) = claim.len_bytes
            && declared != len_bytes
        {
            return Err(StoreError::Length { key, declared, found: len_bytes });
        }
        if let Some(declared) = claim.hash
            && declared != hash
        {
            return Err(StoreError::Mismatch { key, declared, found: hash });
        }
        let description = Description { key: key.clone(), hash, len_bytes, created_at: Timestamp::now() };
        let footer = Footer { description, sums: sums.finish() }.encode();
        store.disk.append(&temporary.path, &temporary.file, &[Bytes::from(footer)])?;
        store.disk.sync(&temporary.path, &temporary.file)?;
        store.refuse_distrusted()?;
        let receipt = BlobReceipt { key, hash, len_bytes };
        store.dir.partitions.make(&store.disk, BLOBS, partition)?;
        let fresh = store.publish(temporary, partition, &receipt, claim.epoch)?;
        // The same content may have come a moment ago, and its directory not be synced yet: sync in either case.
        store.disk.sync_dir(&dir::partition_path(BLOBS, partition))?;
        if fresh {
            store.ledger.lock(partition).synced();
        }
        store.refuse_distrusted()?;
        Ok(Stored { receipt, fresh })
    }
}

impl Store {
    /// Gives the file its name; false where the same content has it already.
    fn publish(
        &self,
        temporary: Temporary,
        partition: PartitionId,
        receipt: &BlobReceipt,
        epoch: Option<Epoch>,
    ) -> Result<bool, StoreError> {
        let path = dir::key_path(BLOBS, partition, &receipt.key);
        // Two rounds at most: what has the name may be damaged and is put aside then.
        for _ in 0..2 {
            {
                let _admitted = self.layout.admit(epoch)?;
                let mut ledger = self.ledger.lock(partition);
                self.refuse_deleted(&receipt.key, partition)?;
                if self.disk.publish(&temporary.path, &path)? {
                    ledger.blob_published(&receipt.key, receipt.hash, receipt.len_bytes);
                    temporary.keep();
                    self.suspects.forget(&receipt.key);
                    return Ok(true);
                }
            }
            match self.describe(&receipt.key) {
                Ok(found) if found.hash == receipt.hash => return self.suspects.refuse(&receipt.key).map(|()| false),
                Ok(found) => return Err(StoreError::Exists { key: receipt.key.clone(), found: found.hash }),
                Err(StoreError::Corrupt { .. } | StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Corrupt { key: receipt.key.clone(), reason: "it keeps coming back" })
    }
}
