//! From a key to its partition.

use triton_api::{BlobKey, PartitionId, layout::PARTITIONS};

// The jump-consistent-hash crate answers 0 for 0 buckets: there must be one.
const _: () = assert!(PARTITIONS > 0);

/// The partition that holds the blob with this key.
///
/// Jump consistent hash (Lamping and Veach, <https://arxiv.org/abs/1406.2294>) over [`PARTITIONS`] buckets of the first
/// eight bytes of the key's BLAKE3, read as a little-endian number. The hash spreads keys that differ in little.
///
/// It must never change: every blob lies where this function said on the day it was written.
pub fn partition_of(key: &BlobKey) -> PartitionId {
    let number = first_number(&blake3::hash(key.as_str().as_bytes()));
    let bucket = jump_consistent_hash::hash(number, usize::from(PARTITIONS));
    PartitionId::new(u16::try_from(bucket).expect("a bucket is below the number of partitions, which is a u16"))
}

/// The first eight bytes of a hash as a little-endian number.
pub(crate) fn first_number(hash: &blake3::Hash) -> u64 {
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}
