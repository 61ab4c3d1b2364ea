//! Work that viewers must not notice: on threads of its own, to which the system gives a core when nobody else wants it.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::blocking;

/// The niceness of the threads: against one thread of a viewer such a thread gets a quarter of a core, and all that is idle.
const NICENESS: i32 = 5;
/// Threads that receive and hash.
const WORKERS: usize = 2;
/// Threads that write and sync.
const BLOCKING_THREADS_MAX: usize = 16;

/// Threads of low priority. Dropping it ends what runs there.
#[derive(Debug)]
pub(crate) struct Background {
    runtime: Option<Runtime>,
}

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let niceness = getpriority_process(None)? + NICENESS;
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("background")
            .on_thread_start(move || yield_to_others(niceness))
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs the work there, and its blocking parts, too.
    ///
    /// # Cancel safety
    /// Dropping the future ends the work at its next await.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.runtime.as_ref().expect("it is there until it is dropped");
        blocking::finish(AbortOnDropHandle::new(runtime.spawn(work.in_current_span()))).await
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The last owner may be a task of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// On Linux a niceness is a thread's own, and inherited by the threads that it starts: so it is set, not raised.
fn yield_to_others(niceness: i32) {
    if let Err(error) = setpriority_process(None, niceness) {
        tracing::warn!(%error, "copies between nodes run with the priority of viewers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_on_threads_of_low_priority_and_leaves_the_others_alone() {
        let nice = || getpriority_process(None).unwrap();
        let background = Background::start().unwrap();
        let here = nice();
        let there = background.run(async move { (nice(), blocking::run(nice).await) }).await;
        assert_eq!(there, (here + NICENESS, here + NICENESS));
        assert_eq!(nice(), here);
    }
}
