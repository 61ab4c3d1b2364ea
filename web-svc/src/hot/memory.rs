//! How much memory there is to give.

use triton_kit::memory;

/// The cache's share of the memory by default.
const SHARE: u64 = 16;
/// The smallest cache that is one, in bytes: some segments of a few videos.
const BYTES_MIN: u64 = 64 * 1024 * 1024;

/// A sixteenth of the memory that this process may use; at least 64 MiB.
pub fn default_bytes() -> u64 {
    share_of(memory::limit_bytes())
}

fn share_of(memory_bytes: u64) -> u64 {
    (memory_bytes / SHARE).max(BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_a_share_of_the_memory_and_never_tiny() {
        assert_eq!(share_of(4 << 30), 256 << 20);
        assert_eq!(share_of(512 << 20), 64 << 20);
    }
}
