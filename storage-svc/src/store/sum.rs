//! A digest of a set that is kept up to date entry by entry. Pure.
//!
//! The BLAKE3 hashes of all entries are added, as four numbers modulo 2^64 each (`AdHash`: Bellare and Micciancio, "A New
//! Paradigm for Collision-free Hashing", 1997). The order does not matter, and what is added can be taken away again, so
//! that a change of one blob costs one hash and not the reading of its whole partition. It tells copies of an honest
//! cluster apart; it does not withstand somebody who chooses thousands of contents to make two sets look equal.

use triton_api::{BlobHash, BlobKey};

/// The sum over a partition's blobs and tombstones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SetSum([u64; 4]);

impl SetSum {
    /// What a blob adds.
    pub(crate) fn of_blob(key: &BlobKey, hash: BlobHash) -> Self {
        Self::of(key, 0, hash.as_bytes())
    }

    /// What a tombstone adds: its key alone, for who never had the blob does not know its hash.
    pub(crate) fn of_tombstone(key: &BlobKey) -> Self {
        Self::of(key, 1, &[])
    }

    fn of(key: &BlobKey, kind: u8, content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.as_str().len() as u64).to_le_bytes());
        hasher.update(key.as_str().as_bytes());
        hasher.update(&[kind]);
        hasher.update(content);
        Self::from_bytes(*hasher.finalize().as_bytes())
    }

    /// The sum with another one added.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].wrapping_add(other.0[at])))
    }

    /// The sum with another one taken away.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].wrapping_sub(other.0[at])))
    }

    /// As a digest on the wire and in the ledger's file.
    pub(crate) fn digest(self) -> BlobHash {
        let mut bytes = [0; 32];
        for (place, number) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        BlobHash::from(bytes)
    }

    /// The sum with this digest.
    pub(crate) fn from_digest(digest: BlobHash) -> Self {
        Self::from_bytes(*digest.as_bytes())
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        Self(std::array::from_fn(|at| numbers.get(at).map_or(0, |number| u64::from_le_bytes(*number))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u16) -> SetSum {
        let key = format!("k/{}", number / 2).parse().unwrap();
        if number.is_multiple_of(2) { SetSum::of_tombstone(&key) } else { SetSum::of_blob(&key, BlobHash::of(b"x")) }
    }

    proptest! {
        #[test]
        fn sums_are_equal_for_equal_sets_alone(
            mut one in prop::collection::btree_set(0_u16..300, 0..40), other in prop::collection::btree_set(0_u16..300, 0..40)
        ) {
            let sum = |set: &std::collections::BTreeSet<u16>| set.iter().fold(SetSum::default(), |sum, n| sum.plus(entry(*n)));
            prop_assert_eq!(sum(&one) == sum(&other), one == other);
            // From one set to the other by single changes, the other way round.
            let mut present = sum(&one);
            for gone in one.difference(&other) {
                present = present.minus(entry(*gone));
            }
            for new in other.difference(&one) {
                present = present.plus(entry(*new));
            }
            prop_assert_eq!(present, sum(&other));
            prop_assert_eq!(SetSum::from_digest(present.digest()), present);
            one.clear();
            prop_assert_eq!(sum(&one), SetSum::default());
        }
    }
}
