//! Reading a blob: nothing leaves this node before the checksum of its block was right.

use std::{fs::File, ops::Range, path::PathBuf, time::Instant};

use bytes::Bytes;
use triton_api::{BlobKey, PartitionId, sums::BlockSums};

use super::{
    Store, StoreError,
    dir::{self, BLOBS},
    disk::{DiskError, FileIdentity},
    format::{self, Description, Footer, FooterError},
};

/// Files up to this length are read whole with one system call; a segment of a low rendition is that small.
const ONE_READ_BYTES_MAX: u64 = 256 * 1024;

/// Which file a blob was found in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlobFile {
    pub(crate) partition: PartitionId,
    identity: FileIdentity,
}

/// A blob that is open for reading; deleting it meanwhile does not disturb its readers.
#[derive(Debug)]
pub(crate) struct OpenBlob {
    store: Store,
    partition: PartitionId,
    /// How many blobs of the partition had been removed before this one was opened.
    removals: u64,
    path: PathBuf,
    file: File,
    identity: FileIdentity,
    footer: Footer,
    /// The payload, where the file was read whole. Not verified yet.
    payload: Option<Bytes>,
}

/// How much of a file is worth reading when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eager {
    Footer,
    SmallFile,
}

impl Store {
    /// Opens a blob to read its content.
    pub(crate) fn open_blob(&self, key: &BlobKey) -> Result<OpenBlob, StoreError> {
        let blob = self.open_footer(key, Eager::SmallFile).map_err(|error| self.explain(error))?;
        // After the removals were counted: a cache that gets this looks again when the key is withheld later.
        self.withheld.refuse(key)?;
        Ok(blob)
    }

    /// Opens a blob to verify what lies on the disk, and not what the kernel remembers of it.
    pub(super) fn open_to_check(&self, key: &BlobKey) -> Result<OpenBlob, StoreError> {
        let path = dir::key_path(BLOBS, triton_placement::partition_of(key), key);
        if let Some(file) = self.disk.open(&path)? {
            self.disk.forget(&path, &file)?;
        }
        self.open_footer(key, Eager::Footer)
    }

    /// What a blob's file says of itself, whether or not its name is durable yet.
    pub(crate) fn describe(&self, key: &BlobKey) -> Result<Description, StoreError> {
        Ok(self.open_footer(key, Eager::Footer)?.footer.description)
    }

    /// What a blob's file says of itself. The answer may be built upon: the name is durable when this returns.
    pub(crate) fn head(&self, key: &BlobKey) -> Result<Description, StoreError> {
        let description = self.describe(key).map_err(|error| self.explain(error))?;
        self.withheld.refuse(key)?;
        self.suspects.refuse(key)?;
        self.settle(triton_placement::partition_of(key))?;
        Ok(description)
    }

    /// Tells an absence that is due to a delete: a reader then need not look elsewhere, and must not.
    fn explain(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::NotFound(key) => match self.is_deleted(&key) {
                Ok(true) => StoreError::Deleted(key),
                Ok(false) => StoreError::NotFound(key),
                Err(error) => error,
            },
            error => error,
        }
    }

    /// Makes the names durable that are visible in a partition already, but whose writers have not been answered yet.
    pub(crate) fn settle(&self, partition: PartitionId) -> Result<(), StoreError> {
        if !self.ledger.lock(partition).has_unsynced() {
            return Ok(());
        }
        if self.disk.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        Ok(self.disk.sync_dir(&dir::partition_path(BLOBS, partition))?)
    }

    /// What a file says of itself, whatever key it is found under; `None` where it is gone or damaged.
    pub(super) fn description_at(&self, path: &std::path::Path) -> Result<Option<Description>, StoreError> {
        let Some(file) = self.disk.open(path)? else { return Ok(None) };
        let facts = self.disk.facts(path, &file)?;
        let read = self.read_footer(path, &file, facts.len_bytes, Eager::Footer)?;
        Ok(read.ok().map(|(footer, _)| footer.description))
    }

    /// How many blobs of a partition have been removed since the start: while the number stands, what was there is there.
    pub(crate) fn removals(&self, partition: PartitionId) -> u64 {
        self.ledger.removals(partition)
    }

    /// Whether a file still has the name that it was found under.
    pub(crate) fn is_named(&self, key: &BlobKey, file: &BlobFile) -> Result<bool, StoreError> {
        self.withheld.refuse(key)?;
        let facts = self.disk.facts_at(&dir::key_path(BLOBS, file.partition, key))?;
        Ok(facts.is_some_and(|facts| facts.identity == file.identity))
    }

    fn open_footer(&self, key: &BlobKey, eager: Eager) -> Result<OpenBlob, StoreError> {
        let partition = triton_placement::partition_of(key);
        let removals = self.removals(partition);
        let path = dir::key_path(BLOBS, partition, key);
        let file = self.disk.open(&path)?.ok_or_else(|| StoreError::NotFound(key.clone()))?;
        let facts = self.disk.facts(&path, &file)?;
        let read = self.read_footer(&path, &file, facts.len_bytes, eager);
        let read = match read.inspect_err(|error| self.suspect(key, error))? {
            Ok((footer, _)) if footer.description.key != *key => Err("it is the file of another key"),
            read => read,
        };
        match read {
            Ok((footer, payload)) => {
                let (store, identity) = (self.clone(), facts.identity);
                Ok(OpenBlob { store, partition, removals, path, file, identity, footer, payload })
            }
            Err(reason) => {
                self.put_aside(partition, &path, facts.identity, reason)?;
                Err(StoreError::Corrupt { key: key.clone(), reason })
            }
        }
    }

    /// Has the copy looked at again where it was the disk that did not give it out.
    fn suspect(&self, key: &BlobKey, error: &DiskError) {
        if error.is_unreadable() {
            self.suspects.note(key, Instant::now());
        }
    }

    /// The outer error is the disk's, the inner one says what is wrong with the file.
    fn read_footer(
        &self,
        path: &std::path::Path,
        file: &File,
        file_bytes: u64,
        eager: Eager,
    ) -> Result<Result<(Footer, Option<Bytes>), &'static str>, DiskError> {
        let Some(len_bytes) = format::payload_bytes_of(file_bytes) else { return Ok(Err("its length is no blob's")) };
        let whole = eager == Eager::SmallFile && file_bytes <= ONE_READ_BYTES_MAX;
        let start = if whole { 0 } else { len_bytes };
        let read = self.disk.read_at(path, file, start, size(file_bytes - start));
        let Some(content) = or_short(read)? else { return Ok(Err("it ends early")) };
        let mut content = Bytes::from(content);
        let payload = whole.then(|| content.split_to(size(len_bytes)));
        Ok(Footer::decode(&content, len_bytes).map(|footer| (footer, payload)).map_err(FooterError::reason))
    }
}

impl OpenBlob {
    /// Hash, length and age.
    pub(crate) fn description(&self) -> &Description {
        &self.footer.description
    }

    /// The file that it is.
    pub(crate) fn file_facts(&self) -> BlobFile {
        BlobFile { partition: self.partition, identity: self.identity }
    }

    /// [`Store::removals`] before it was opened.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// The sum of the sums of all blocks, for a reader to check the way to him.
    pub(crate) fn block_sums(&self) -> u32 {
        BlockSums::of(&self.footer.sums)
    }

    /// Whether it is the file of this partition.
    pub(super) fn lies_in(&self, partition: PartitionId) -> bool {
        self.partition == partition
    }

    /// Reads a part of the payload and verifies every block that it touches. A damaged copy is put aside.
    pub(crate) fn read(&self, part: &Range<u64>) -> Result<Bytes, StoreError> {
        let wide = format::aligned(part, self.description().len_bytes);
        let content = if let Some(payload) = &self.payload {
            Some(payload.slice(size(wide.start)..size(wide.end)))
        } else {
            let read = self.store.disk.read_at(&self.path, &self.file, wide.start, size(wide.end - wide.start));
            let read = read.inspect_err(|error| self.store.suspect(&self.description().key, error));
            or_short(read)?.map(Bytes::from)
        };
        let reason = match content {
            Some(content) if self.footer.verify(wide.start, &content) => {
                let start = size(part.start - wide.start);
                return Ok(content.slice(start..start + size(part.end - part.start)));
            }
            Some(_) => "a block's checksum is wrong",
            None => "it ends early",
        };
        self.store.put_aside(self.partition, &self.path, self.identity, reason)?;
        Err(StoreError::Corrupt { key: self.description().key.clone(), reason })
    }
}

/// Lengths in a blob are below `BLOB_BYTES_MAX`, or at least below that of a file that was read.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn or_short(read: Result<Vec<u8>, DiskError>) -> Result<Option<Vec<u8>>, DiskError> {
    match read {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.is_short() => Ok(None),
        Err(error) => Err(error),
    }
}
