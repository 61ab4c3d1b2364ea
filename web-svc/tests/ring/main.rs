//! The ring client against real storage nodes that are killed, stopped, cut off, slow or damaged.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test binary has no outside")]

mod cluster;
mod deletes;
mod hot;
mod layouts;
mod originals;
mod reads;
mod slow;
mod writes;

use std::time::Duration;

/// Far below every timeout of a single request, and far above what a busy machine needs: who took longer has waited for a
/// node that was not worth waiting for.
const PROMPT: Duration = Duration::from_secs(5);
