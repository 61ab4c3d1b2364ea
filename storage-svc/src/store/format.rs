//! The format of a blob's file: the payload first, then a footer that describes and guards it. Pure: no I/O.
//!
//! ```text
//! payload             LEN bytes, exactly as they were sent
//! block sums          CRC32 of each 64 KiB block of the payload, 4 bytes each, little endian
//! description         JSON {"key", "blake3", "len", "created_at"}, filled up with spaces and a newline to 992 bytes
//! tail                32 bytes: LEN (u64), block size (u32), number of blocks (u32), CRC32 of all of the footer
//!                     before this field (u32), format version (u32), magic "TRITBLOB"; little endian
//! ```
//!
//! So the last 1024 bytes always describe the file, its length alone tells the payload's, and a person gets the
//! payload with `head -c LEN FILE` and reads the description with `tail -c 1024 FILE | head -n 1`.

use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use triton_api::{BlobHash, BlobKey};

/// Payload bytes that one checksum guards.
pub(crate) const BLOCK_BYTES: u64 = 64 * 1024;
/// Readers make the sums of the same blocks.
const _: () = assert!(BLOCK_BYTES == triton_api::sums::BLOCK_BYTES as u64);
/// Bytes of the description and the tail.
pub(crate) const TRAILER_BYTES: u64 = (DESCRIPTION_BYTES + TAIL_BYTES) as u64;

const DESCRIPTION_BYTES: usize = 992;
const TAIL_BYTES: usize = 32;
const SUM_BYTES: u64 = 4;
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"TRITBLOB";

/// What a blob's file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The blob's key.
    pub(crate) key: BlobKey,
    /// BLAKE3 of the payload.
    #[serde(rename = "blake3")]
    pub(crate) hash: BlobHash,
    /// Bytes of the payload.
    #[serde(rename = "len")]
    pub(crate) len_bytes: u64,
    /// When this copy was written.
    pub(crate) created_at: Timestamp,
}

/// Why bytes are not a footer, or not the footer of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the footer is damaged: {0}")]
pub(crate) struct FooterError(&'static str);

impl FooterError {
    /// What is wrong with it.
    pub(crate) fn reason(self) -> &'static str {
        self.0
    }
}

/// The description together with the sums of all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) description: Description,
    pub(crate) sums: Vec<u32>,
}

/// The number of blocks of a payload.
pub(crate) const fn blocks_of(len_bytes: u64) -> u64 {
    len_bytes.div_ceil(BLOCK_BYTES)
}

/// The length of a file with this payload.
pub(crate) const fn file_bytes_of(len_bytes: u64) -> u64 {
    len_bytes + blocks_of(len_bytes) * SUM_BYTES + TRAILER_BYTES
}

/// The payload's length in a file of this length; `None` where no blob has such a file.
pub(crate) fn payload_bytes_of(file_bytes: u64) -> Option<u64> {
    let rest = file_bytes.checked_sub(TRAILER_BYTES)?;
    let len_bytes = rest.checked_sub(rest.div_ceil(BLOCK_BYTES + SUM_BYTES) * SUM_BYTES)?;
    (file_bytes_of(len_bytes) == file_bytes).then_some(len_bytes)
}

/// The blocks that a part of the payload touches, as the bytes to read: `part` widened to block borders.
pub(crate) fn aligned(part: &Range<u64>, len_bytes: u64) -> Range<u64> {
    let start = part.start / BLOCK_BYTES * BLOCK_BYTES;
    start..part.end.next_multiple_of(BLOCK_BYTES).min(len_bytes)
}

impl Footer {
    /// The footer's bytes, to be written right after the payload.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let described_at = bytes.len();
        bytes.extend(serde_json::to_vec(&self.description).expect("a description is plain JSON"));
        debug_assert!(bytes.len() - described_at < DESCRIPTION_BYTES, "a key has at most 512 bytes");
        bytes.resize(described_at + DESCRIPTION_BYTES - 1, b' ');
        bytes.push(b'\n');
        bytes.extend(self.description.len_bytes.to_le_bytes());
        bytes.extend(BLOCK_BYTES.to_le_bytes().iter().take(4));
        bytes.extend((self.sums.len() as u64).to_le_bytes().iter().take(4));
        let guard = crc32fast::hash(&bytes);
        bytes.extend(guard.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    /// Reads the bytes that follow the payload of `len_bytes`.
    pub(crate) fn decode(bytes: &[u8], len_bytes: u64) -> Result<Self, FooterError> {
        let (guarded, end) = bytes.split_last_chunk::<16>().ok_or(FooterError("too short"))?;
        if !end.ends_with(MAGIC) {
            return Err(FooterError("no magic at its end"));
        }
        if u32_at(end, 4) != Some(VERSION) {
            return Err(FooterError("another format version"));
        }
        if u32_at(end, 0) != Some(crc32fast::hash(guarded)) {
            return Err(FooterError("its checksum is wrong"));
        }
        let (body, numbers) = guarded.split_last_chunk::<16>().ok_or(FooterError("too short"))?;
        let sums_bytes = body.len().checked_sub(DESCRIPTION_BYTES).ok_or(FooterError("too short"))?;
        let (sums, description) = body.split_at(sums_bytes);
        let description: Description =
            serde_json::from_slice(description).map_err(|_| FooterError("no description"))?;
        let sums: Vec<u32> = sums.chunks_exact(4).filter_map(|sum| u32_at(sum, 0)).collect();
        let declared = numbers.first_chunk::<8>().map(|len| u64::from_le_bytes(*len));
        if declared != Some(len_bytes) || description.len_bytes != len_bytes {
            return Err(FooterError("the length is another"));
        }
        if u32_at(numbers, 8).map(u64::from) != Some(BLOCK_BYTES) || sums.len() as u64 != blocks_of(len_bytes) {
            return Err(FooterError("the blocks are others"));
        }
        Ok(Self { description, sums })
    }

    /// Checks bytes that begin at `start`, a block border, and end at a block border or the end of the payload.
    pub(crate) fn verify(&self, start: u64, bytes: &[u8]) -> bool {
        let first = usize::try_from(start / BLOCK_BYTES).unwrap_or(usize::MAX);
        let blocks = bytes.chunks(usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX));
        let sums = self.sums.get(first..).unwrap_or_default();
        blocks.len() <= sums.len() && blocks.zip(sums).all(|(block, sum)| crc32fast::hash(block) == *sum)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Computes the sums of a payload that arrives in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct BlockSums {
    done: Vec<u32>,
    open: crc32fast::Hasher,
    open_bytes: u64,
}

impl BlockSums {
    /// Takes the next piece.
    pub(crate) fn update(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let room = usize::try_from(BLOCK_BYTES - self.open_bytes).unwrap_or(usize::MAX);
            let (head, rest) = piece.split_at(room.min(piece.len()));
            self.open.update(head);
            self.open_bytes += head.len() as u64;
            if self.open_bytes == BLOCK_BYTES {
                self.close();
            }
            piece = rest;
        }
    }

    fn close(&mut self) {
        self.done.push(std::mem::take(&mut self.open).finalize());
        self.open_bytes = 0;
    }

    /// The sums of all blocks, the last of which may be short.
    pub(crate) fn finish(mut self) -> Vec<u32> {
        if self.open_bytes > 0 {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn footer_of(payload: &[u8]) -> Footer {
        let mut sums = BlockSums::default();
        sums.update(payload);
        let description = Description {
            key: "v/x/1/seg-1.m4s".parse().unwrap(),
            hash: BlobHash::of(payload),
            len_bytes: payload.len() as u64,
            created_at: Timestamp::UNIX_EPOCH,
        };
        Footer { description, sums: sums.finish() }
    }

    #[test]
    fn length_of_the_file_tells_the_length_of_the_payload() {
        for len in [0, 1, 65_535, 65_536, 65_537, 131_072, 256 * 1024 * 1024, 256 * 1024 * 1024 + 1] {
            assert_eq!(payload_bytes_of(file_bytes_of(len)), Some(len));
        }
        assert_eq!(payload_bytes_of(TRAILER_BYTES - 1), None);
        assert_eq!(payload_bytes_of(TRAILER_BYTES + 3), None);
    }

    #[test]
    fn longest_key_fits_into_the_description() {
        let mut footer = footer_of(b"x");
        footer.description.key = "k".repeat(512).parse().unwrap();
        footer.description.len_bytes = u64::MAX;
        footer.description.created_at = Timestamp::MAX;
        assert_eq!(footer.encode().len(), 4 + 1024);
    }

    #[test]
    fn any_flipped_bit_of_the_footer_is_noticed() {
        let payload = vec![7; 70_000];
        let good = footer_of(&payload).encode();
        assert_eq!(Footer::decode(&good, 70_000), Ok(footer_of(&payload)));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Footer::decode(&bad, 70_000).is_err(), "a flip at {at} was not noticed");
        }
        assert!(Footer::decode(&good, 70_001).is_err());
        assert!(Footer::decode(&good[1..], 70_000).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn sums_do_not_depend_on_how_the_payload_is_cut(
            payload in prop::collection::vec(any::<u8>(), 0..200_000), cut in 50_usize..100_000
        ) {
            let whole = footer_of(&payload);
            let mut sums = BlockSums::default();
            payload.chunks(cut).for_each(|piece| sums.update(piece));
            prop_assert_eq!(&sums.finish(), &whole.sums);
            prop_assert!(whole.verify(0, &payload));
        }

        #[test]
        fn aligned_covers_the_part_with_whole_blocks(len in 1_u64..300_000, a in 0_u64..300_000, b in 0_u64..300_000) {
            let part = (a % len).min(b % len)..(a % len).max(b % len) + 1;
            let wide = aligned(&part, len);
            prop_assert!(wide.start <= part.start && part.end <= wide.end && wide.end <= len);
            prop_assert!(wide.start.is_multiple_of(BLOCK_BYTES) && (wide.end.is_multiple_of(BLOCK_BYTES) || wide.end == len));
            prop_assert!(wide.end - wide.start < (part.end - part.start) + 2 * BLOCK_BYTES);
        }
    }
}
