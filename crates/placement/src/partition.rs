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

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(key: &str) -> u16 {
        partition_of(&key.parse().unwrap()).get()
    }

    /// Computed by another program (Python, `blake3` 1.0, jump hash written from the paper).
    #[test]
    fn partitions_never_change() {
        assert_eq!(partition("a"), 533);
        assert_eq!(partition("v/AZqxJ2QkcYuS5T3mVb0aXw/1/720p/seg-00001.m4s"), 23);
        assert_eq!(partition("v/AZqxJ2QkcYuS5T3mVb0aXw/1/720p/seg-00002.m4s"), 284);
        assert_eq!(partition("v/AZqxJ2QkcYuS5T3mVb0aXw/original/part-00000"), 652);
        assert_eq!(partition("..."), 224);
        assert_eq!(partition(&"0".repeat(512)), 2);
    }

    /// Version 0.1.0 of the crate adds without wrapping: this key panics where its overflow checks are on.
    #[test]
    fn no_hash_overflows_in_a_debug_build() {
        assert!(jump_consistent_hash::hash(2_313_046_976_756_913_067, usize::from(PARTITIONS)) < u32::from(PARTITIONS));
    }

    #[test]
    fn keys_that_differ_in_little_fill_all_partitions_alike() {
        let mut keys = [0_u32; PARTITIONS as usize];
        for number in 0..100_000 {
            let key = format!("v/AZqxJ2QkcYuS5T3mVb0aXw/1/720p/seg-{number:05}.m4s");
            keys[usize::from(partition(&key))] += 1;
        }
        // Chi squared of 1023 degrees of freedom: 1023 on average, within five standard deviations of 45.
        let mean = 100_000.0 / f64::from(PARTITIONS);
        let chi_squared: f64 = keys.iter().map(|keys| (f64::from(*keys) - mean).powi(2) / mean).sum();
        assert!((797.0..1249.0).contains(&chi_squared), "{chi_squared}");
    }
}
