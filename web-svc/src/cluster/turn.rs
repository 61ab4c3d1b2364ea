//! Who may copy or remove blobs for reasons of upkeep: one at a time.

use tokio::sync::{Mutex, MutexGuard};

/// Taken by a comparison of the nodes with the repairs that follow from it, and by whoever moves orphans: each would take the
/// other's half-done work for a difference between the nodes.
///
/// It keeps the work of one leader apart. Two leaders may be at work for a moment when one hangs and wakes up, and then a blob
/// that was moved aside comes back to all its nodes, to be moved again another day.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<()>);

impl Turn {
    /// Waits for the turn, in the order of asking, and keeps it until the guard is dropped. It guards no data, and is meant to
    /// be held while nodes are asked.
    pub(super) async fn take(&self) -> MutexGuard<'_, ()> {
        self.0.lock().await
    }
}
