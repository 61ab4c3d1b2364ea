//! Calls into the store, which blocks, from asynchronous code.

use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

/// Work on a blocking thread that has been started; dropping it forgets its result.
pub(crate) type Started<T> = AbortOnDropHandle<T>;

/// Starts `work` on a blocking thread, within the current span.
pub(crate) fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Started<T> {
    let span = Span::current();
    AbortOnDropHandle::new(tokio::task::spawn_blocking(move || span.in_scope(work)))
}

/// Waits for work that was started; its panic goes on here.
pub(crate) async fn finish<T>(started: Started<T>) -> T {
    match started.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the runtime goes down, and then nobody waits for an answer.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Runs `work` on a blocking thread.
///
/// # Cancel safety
/// Work that has begun is finished when this is dropped, so that what it does to the disk is whole.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    finish(start(work)).await
}
