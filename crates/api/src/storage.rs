//! The REST types of a storage node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{BlobHash, BlobKey, Epoch, NodeId, PartitionId};

/// Paths of the storage API.
pub mod route {
    /// One blob; the key is everything after the prefix.
    pub const BLOB: &str = "/v1/blobs/{*key}";
    /// What [`BLOB`] begins with.
    pub const BLOB_PREFIX: &str = "/v1/blobs/";
    /// Digests of all partitions that have content here.
    pub const PARTITIONS: &str = "/v1/partitions";
    /// The inventory of one partition.
    pub const PARTITION: &str = "/v1/partitions/{partition}";
    /// Pull a partition from other holders.
    pub const PULL: &str = "/v1/partitions/{partition}/pull";
    /// Delete what this node no longer holds of a partition.
    pub const RELEASE: &str = "/v1/partitions/{partition}/release";
    /// The layout as this node knows it.
    pub const LAYOUT: &str = "/v1/layout";
    /// The node itself.
    pub const NODE: &str = "/v1/node";
}

/// Header with the layout epoch of a request; a node refuses a write that is older than its own layout.
pub const EPOCH_HEADER: &str = "triton-epoch";
/// Header with the BLAKE3 hash that the sender declares; the blob is stored only if it is true.
pub const HASH_HEADER: &str = "triton-blake3";
/// Header of a read that copies a blob to another node: it yields to the reads of viewers.
pub const BACKGROUND_HEADER: &str = "triton-background";

/// The longest blob, in bytes. Originals are split into smaller parts; no segment comes near.
pub const BLOB_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a node answers to a `PUT` of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobReceipt {
    /// The key.
    pub key: BlobKey,
    /// BLAKE3 of the content as it lies on the disk.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// Whether a node's disk takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Reads and writes.
    Ok,
    /// Writes are refused: less than the reserve is free.
    Full,
    /// Writes are refused until a restart: an fsync failed.
    ReadOnly,
}

/// A storage node about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeInfo {
    /// The node's identity, kept in its data directory.
    pub id: NodeId,
    /// The version of the program.
    pub version: String,
    /// The epoch of the layout that it knows.
    pub epoch: Option<Epoch>,
    /// Size of the file system that holds the data directory, in bytes.
    pub capacity_bytes: u64,
    /// Free bytes on that file system.
    pub free_bytes: u64,
    /// Payload bytes of the blobs here.
    pub used_bytes: u64,
    /// Number of blobs here.
    pub blobs: u64,
    /// Number of damaged copies put aside since the data directory was made.
    pub quarantined: u64,
    /// Whether writes are taken.
    pub disk: DiskState,
}

/// What a node has of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionDigest {
    /// The partition.
    pub partition: PartitionId,
    /// Number of blobs.
    pub blobs: u64,
    /// Payload bytes of the blobs.
    pub bytes: u64,
    /// Number of tombstones.
    pub tombstones: u64,
    /// BLAKE3 over the sorted keys with their hashes and tombstones: equal digests mean equal content.
    pub digest: BlobHash,
}

/// One line of a partition's inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InventoryEntry {
    /// The key.
    pub key: BlobKey,
    /// BLAKE3 of the content; of the content that was deleted where `deleted`.
    pub hash: BlobHash,
    /// Length of the content in bytes; 0 where `deleted`.
    pub len_bytes: u64,
    /// A tombstone: the key was deleted and must not come back.
    #[serde(default)]
    pub deleted: bool,
}

/// Asks a node to fetch what it lacks of a partition from other holders, in one bounded step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullRequest {
    /// The node to pull from; it must be part of the layout that this node knows.
    pub from: NodeId,
    /// The epoch on whose behalf; refused with 409 where it is not this node's write epoch.
    pub epoch: Epoch,
    /// Where the previous step ended.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Stop after about this many payload bytes (one blob more at most).
    #[schema(example = 67_108_864)]
    pub bytes_max: u64,
}

/// What one step of a pull did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullReport {
    /// Blobs copied and made durable.
    pub blobs_copied: u64,
    /// Their payload bytes.
    pub bytes_copied: u64,
    /// Blobs of the inventory that were here already.
    pub blobs_present: u64,
    /// Tombstones taken over.
    pub tombstones: u64,
    /// Blobs that the source listed, but could not deliver whole: keys for another source.
    pub failed: Vec<BlobKey>,
    /// Pass it as `cursor` to go on; null when the source's inventory is through.
    pub next_cursor: Option<String>,
}

/// Asks a node to delete its copies of a partition that it no longer holds in the committed epoch.
///
/// The node itself checks that it is no holder, and asks every new holder for the same hash before each unlink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseRequest {
    /// The committed epoch; refused with 409 where this node knows another, or still a migration.
    pub epoch: Epoch,
}

/// What a release did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseReport {
    /// Blobs unlinked after each new holder confirmed the same hash.
    pub blobs_released: u64,
    /// Their payload bytes.
    pub bytes_released: u64,
    /// Blobs kept, because some new holder did not confirm.
    pub blobs_kept: u64,
}
