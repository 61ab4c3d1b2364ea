//! Waiting for a condition instead of sleeping.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How often a condition is tried.
const EVERY: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `deadline`; the panic names the caller.
#[track_caller]
pub fn eventually<F, Fut>(deadline: Duration, mut condition: F) -> impl Future<Output = ()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !condition().await {
            assert!(began.elapsed() < deadline, "not within {deadline:?}: the condition at {caller}");
            tokio::time::sleep(EVERY).await;
        }
    }
}
