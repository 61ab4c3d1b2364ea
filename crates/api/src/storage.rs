//! The REST types of a storage node.

use jiff::Timestamp;
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
    /// Digests of the tombstones of all partitions that have some here.
    pub const TOMBSTONES: &str = "/v1/tombstones";
    /// The tombstones of one partition.
    pub const PARTITION_TOMBSTONES: &str = "/v1/tombstones/{partition}";
    /// Blobs that were moved aside, because no metadata refers to them.
    pub const ORPHANS: &str = "/v1/orphans";
    /// Move such blobs aside.
    pub const ORPHANS_COLLECT: &str = "/v1/orphans/collect";
    /// Bring them back.
    pub const ORPHANS_RESTORE: &str = "/v1/orphans/restore";
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

/// Header of a 404 about a blob that was deleted here: no other node may serve it either.
pub const TOMBSTONE_HEADER: &str = "triton-tombstone";

/// Header of an answer with a whole content: the sum of its block sums as eight hexadecimal digits, see
/// [`BlockSums`](crate::sums::BlockSums).
pub const BLOCK_SUMS_HEADER: &str = "triton-block-sums";

/// The longest blob, in bytes. Originals are split into smaller parts; no segment comes near.
pub const BLOB_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Keys in one request about orphans.
pub const ORPHANS_MAX: usize = 1000;

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

/// How far a node has come with reading and verifying everything that it holds.
///
/// A pass goes through the partitions in order, goes on after a restart where it was, and is followed by the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Scrub {
    /// The partition that is being read, of 1024.
    pub position: PartitionId,
    /// When the present pass began.
    pub pass_started_at: Option<Timestamp>,
    /// When the pass before it ended.
    pub last_pass_finished_at: Option<Timestamp>,
    /// Payload bytes verified in the present pass.
    pub checked_bytes: u64,
    /// Blobs verified in the present pass.
    pub checked_blobs: u64,
    /// Damaged copies that the scrub has found since the data directory was made.
    pub found_corrupt: u64,
    /// The fastest that it reads at present, in bytes per second; 0 where it is turned off.
    pub bytes_per_second: u64,
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
    /// Number of blobs moved aside, because no metadata refers to them: they are unlinked after a week.
    #[serde(default)]
    pub orphans: u64,
    /// Whether writes are taken.
    pub disk: DiskState,
    /// The blobs are still being counted after a start: `blobs` and `used_bytes` are too low until this is false.
    #[serde(default)]
    pub counting: bool,
    /// The node was away and learns the deletes that it missed: until this is false it answers readers with 503.
    #[serde(default)]
    pub reconciling: bool,
    /// How far it has come with verifying everything.
    #[serde(default)]
    pub scrub: Scrub,
}

impl NodeInfo {
    /// Whether it is known to hold no blob: a node that still counts, or learns what it missed, may hold some.
    pub fn is_empty(&self) -> bool {
        self.blobs == 0 && !self.counting && !self.reconciling
    }
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
    /// The sum of the BLAKE3 hashes of all entries, keys with content hashes and tombstones: equal digests mean equal
    /// content. Zeros where `unreadable`.
    pub digest: BlobHash,
    /// The disk fails to tell what is there: nothing follows from `digest`, and the counts may be too low.
    #[serde(default)]
    pub unreadable: bool,
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
    /// How long ago the key was deleted, or this copy written, by the clock of the node that answers, in milliseconds.
    #[serde(default)]
    pub age_ms: u64,
}

/// Which keys of a partition a node remembers as deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TombstoneDigest {
    /// The partition.
    pub partition: PartitionId,
    /// Number of tombstones.
    pub tombstones: u64,
    /// The sum of the BLAKE3 hashes of their keys: equal digests mean equal tombstones.
    pub digest: BlobHash,
}

/// A key that was deleted and must not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tombstone {
    /// The key.
    pub key: BlobKey,
    /// The hash of the content that was deleted; zeros where it is not known.
    pub hash: BlobHash,
    /// How long ago it was deleted, by the clock of the node that answers, in milliseconds.
    pub age_ms: u64,
}

/// A blob that was moved aside, because no metadata refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orphan {
    /// The key that it had.
    pub key: BlobKey,
    /// Length of the content in bytes.
    pub len_bytes: u64,
    /// How long ago it was moved, in milliseconds.
    pub aside_ms: u64,
}

/// Asks a node to move blobs aside, or to bring them back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrphanRequest {
    /// The blobs, at most 1000.
    pub keys: Vec<BlobKey>,
    /// The epoch on whose behalf; refused with 409 where it is old.
    pub epoch: Epoch,
    /// What is younger stays, by the node's own clock, in milliseconds; of no meaning where blobs are brought back.
    #[serde(default)]
    pub age_ms_min: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrphanReport {
    /// Blobs that were moved. The others were not there, too young or deleted.
    pub moved: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_empty_only_where_that_is_known() {
        let empty = NodeInfo {
            id: NodeId::generate(),
            version: String::new(),
            epoch: None,
            capacity_bytes: 1,
            free_bytes: 1,
            used_bytes: 0,
            blobs: 0,
            quarantined: 0,
            orphans: 0,
            disk: DiskState::Ok,
            counting: false,
            reconciling: false,
            scrub: Scrub::default(),
        };
        assert!(empty.is_empty());
        let unknown = [NodeInfo { counting: true, ..empty.clone() }, NodeInfo { reconciling: true, ..empty.clone() }];
        for info in unknown.into_iter().chain([NodeInfo { blobs: 1, ..empty }]) {
            assert!(!info.is_empty(), "{info:?}");
        }
    }
}
