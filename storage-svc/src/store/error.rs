//! What can go wrong with a blob.

use thiserror::Error;
use triton_api::{BlobHash, BlobKey, Epoch, PartitionId, storage::BLOB_BYTES_MAX};

pub(crate) use super::disk::DiskError;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no copy here.
    #[error("there is no blob {0} on this node")]
    NotFound(BlobKey),
    /// There is no copy here, and the node remembers that it was deleted.
    #[error("the blob {0} was deleted")]
    Deleted(BlobKey),
    /// The key takes no content: it was deleted, and keys are never used again.
    #[error("{0} was deleted, and a key is never used again")]
    Gone(BlobKey),
    /// The key is taken by another content.
    #[error("{key} exists with the content {found}: blobs never change")]
    Exists {
        /// The key.
        key: BlobKey,
        /// The hash of what is there.
        found: BlobHash,
    },
    /// The writer's layout is older than this node's.
    #[error("the request is of layout epoch {given}, this node writes in epoch {known}")]
    StaleEpoch {
        /// The epoch of the request.
        given: Epoch,
        /// The node's write epoch.
        known: Epoch,
    },
    /// The content is not what its sender declared.
    #[error("the content of {key} has the hash {found}, {declared} was declared")]
    Mismatch {
        /// The key.
        key: BlobKey,
        /// What the sender declared.
        declared: BlobHash,
        /// What arrived.
        found: BlobHash,
    },
    /// The content is longer or shorter than its sender declared.
    #[error("the content of {key} has {found} bytes, {declared} were declared")]
    Length {
        /// The key.
        key: BlobKey,
        /// What the sender declared.
        declared: u64,
        /// What arrived.
        found: u64,
    },
    /// More bytes than a blob may have.
    #[error("a blob has at most {BLOB_BYTES_MAX} bytes")]
    TooLarge,
    /// No room besides the reserve.
    #[error("the disk is full: nothing is written into its reserve")]
    Full,
    /// An fsync has failed since the start.
    #[error("the disk takes no writes since an fsync failed: check it, then restart the node")]
    ReadOnly,
    /// The copy here is damaged; it has been put aside.
    #[error("the copy of {key} on this node was damaged ({reason}) and has been put aside")]
    Corrupt {
        /// The key.
        key: BlobKey,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A read of the copy here has failed, and it has not been looked at again: nobody may count on it.
    #[error("the copy of {0} on this node could not be read the last time")]
    Unreadable(BlobKey),
    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(PartitionId),
    /// The disk failed: whether the blob is there is not known.
    #[error(transparent)]
    Disk(DiskError),
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        if error.is_full() { Self::Full } else { Self::Disk(error) }
    }
}

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("{0} is in use by another process (it holds the lock on the file `lock` in it): one directory, one node")]
    Locked(std::path::PathBuf),
    /// Neither empty nor ours.
    #[error("{0} is neither empty nor the data directory of a storage node: name an empty or a new directory")]
    Foreign(std::path::PathBuf),
    /// Written by another version.
    #[error("{path}: format version {found} is not {known}, which this program writes")]
    Version {
        /// The file that says so.
        path: String,
        /// The version found.
        found: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// One of our own files cannot be read.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What the parser says.
        reason: String,
    },
    /// The directory itself cannot be made.
    #[error("cannot make the directory {path}: {source}")]
    Make {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The blobs cannot be counted.
    #[error("cannot count the blobs: {0}")]
    Stock(#[source] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
