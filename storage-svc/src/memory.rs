//! How much memory there is for the cache.

use triton_kit::memory;

/// What the cache takes of the memory where nothing is said.
const CACHE_SHARE: u64 = 16;

/// The default size of the cache in bytes: a sixteenth of the memory that this process may use.
pub(crate) fn default_cache_bytes() -> u64 {
    memory::limit_bytes() / CACHE_SHARE
}
