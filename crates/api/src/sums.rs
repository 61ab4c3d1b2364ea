//! A cheap check of a whole content on its way from a node's disk to a reader.
//!
//! A node keeps the CRC-32 of each 64 KiB block of a content, made while it checked the content's BLAKE3 hash. The CRC-32 of
//! these sums, one after the other, is a few bytes that cost the node nothing; a reader makes the same of what arrives for
//! a tenth of what BLAKE3 would cost it. It finds any change within four bytes and misses others once in four billion
//! times: a guard against accidents, as the hash is the name.

use crc32fast::Hasher;

/// Bytes of a content that one sum is about.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// The sums of a content that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct BlockSums {
    block: Hasher,
    /// Bytes in `block`, less than [`BLOCK_BYTES`].
    block_bytes: usize,
    all: Hasher,
}

impl BlockSums {
    /// Takes in the next piece.
    pub fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let (now, later) = piece.split_at(piece.len().min(BLOCK_BYTES - self.block_bytes));
            self.block.update(now);
            self.block_bytes += now.len();
            piece = later;
            if self.block_bytes == BLOCK_BYTES {
                self.end_block();
            }
        }
    }

    /// The sum of all sums.
    pub fn finish(mut self) -> u32 {
        if self.block_bytes > 0 {
            self.end_block();
        }
        self.all.finalize()
    }

    /// The sum of sums that were made before.
    pub fn of(sums: &[u32]) -> u32 {
        let mut all = Hasher::new();
        for sum in sums {
            all.update(&sum.to_le_bytes());
        }
        all.finalize()
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.all.update(&block.finalize().to_le_bytes());
        self.block_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums_of(content: &[u8]) -> Vec<u32> {
        content.chunks(BLOCK_BYTES).map(crc32fast::hash).collect()
    }

    #[test]
    fn a_changed_bit_or_a_block_in_another_place_shows() {
        let content: Vec<u8> = (0..3 * BLOCK_BYTES + 5).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let sum = |content: &[u8]| {
            let mut sums = BlockSums::default();
            sums.update(content);
            sums.finish()
        };
        let right = sum(&content);
        for at in [0, BLOCK_BYTES - 1, BLOCK_BYTES, content.len() - 1] {
            let mut changed = content.clone();
            changed[at] ^= 1;
            assert_ne!(sum(&changed), right);
        }
        let mut swapped = content.clone();
        swapped[..2 * BLOCK_BYTES].rotate_left(BLOCK_BYTES);
        assert_ne!(sum(&swapped), right);
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(len in 0_usize..300_000, cuts in prop::collection::vec(0_usize..300_000, 0..8)) {
            let content: Vec<u8> = (0..len).map(|at| u8::try_from(at * 31 % 253).unwrap()).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(len)).chain([0, len]).collect();
            cuts.sort_unstable();
            let mut sums = BlockSums::default();
            cuts.windows(2).for_each(|pair| sums.update(&content[pair[0]..pair[1]]));
            prop_assert_eq!(sums.finish(), BlockSums::of(&sums_of(&content)));
        }
    }
}
