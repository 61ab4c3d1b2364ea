//! How many programs examine sources at once.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::error::PipelineError;

/// Turns of which only so many are taken at once. Who comes then waits, in the order of coming and for as long as its caller does.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// Waits for a turn, which lasts until the answer is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue.
    pub(super) async fn take(&self, cancel: &CancellationToken) -> Result<SemaphorePermit<'_>, PipelineError> {
        tokio::select! {
            () = cancel.cancelled() => Err(PipelineError::Cancelled),
            turn = self.0.acquire() => Ok(turn.expect("the semaphore is never closed")),
        }
    }
}
