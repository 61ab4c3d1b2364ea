//! What is written: many small blobs and some large ones.

use bytes::Bytes;
use rand::Rng;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of all contents after which only small ones are made: they are kept in memory, and on tmpfs.
const CONTENT_BYTES_MAX: usize = 96 * MIB;

/// The length of the next blob, from 1 B to 8 MiB.
pub(super) fn length(rng: &mut impl Rng, content_bytes: usize) -> usize {
    let small = content_bytes > CONTENT_BYTES_MAX;
    match rng.random_range(0..1_000) {
        0..10 => 1,
        10..400 => rng.random_range(2..4 * KIB),
        400..850 => rng.random_range(4 * KIB..80 * KIB),
        // One block, one more and one less.
        850..880 => 64 * KIB - 1 + rng.random_range(0..3),
        880..970 if !small => rng.random_range(80 * KIB..512 * KIB),
        970..996 if !small => rng.random_range(512 * KIB..2 * MIB),
        996..1_000 if !small => rng.random_range(4 * MIB..=8 * MIB),
        _ => rng.random_range(2..80 * KIB),
    }
}

/// Content in which no two places look alike.
pub(super) fn content(seed: u64, number: u64, len_bytes: usize) -> Bytes {
    let mut content = vec![0; len_bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).update(&number.to_le_bytes()).finalize_xof().fill(&mut content);
    content.into()
}
