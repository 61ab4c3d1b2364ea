//! Syncs of directories that writers share: group commit.
//!
//! A writer whose name is in a directory waits for a sync that *began* after that. While one sync runs, all who come
//! wait for the next one together, so that a directory has one sync at work however many write to it. Syncs of different
//! directories run side by side on purpose: a journaling file system commits them together then, and to wait so as to put
//! them in one row was measured to be several times slower (docs/disk-faults.md has the figures).
//!
//! That syncs of a directory never overlap matters for more than speed. The kernel reports a failed write-back once, to
//! one caller; a second sync at the same time could be told that all is well. So a failure is the answer for all who
//! wait, and for all who come later.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// What came of waiting for a shared sync.
#[derive(Debug)]
pub(crate) enum Shared<E> {
    /// A sync that began after the call has succeeded.
    Done,
    /// The sync of this caller has failed.
    Failed(E),
    /// The sync of another caller has failed: nothing in this directory can be trusted to be durable.
    FailedForAnother,
}

#[derive(Debug, Default)]
struct Round {
    begun: u64,
    finished: u64,
    running: bool,
    failed: bool,
}

#[derive(Debug, Default)]
struct Turnstile {
    round: Mutex<Round>,
    turned: Condvar,
}

/// The syncs of all directories; as many as there are directories.
#[derive(Debug, Default)]
pub(crate) struct SharedSyncs {
    turnstiles: Mutex<HashMap<PathBuf, Arc<Turnstile>>>,
}

impl SharedSyncs {
    /// Runs `sync` for the directory at `path`, or waits for that of another caller which begins after this call.
    pub(crate) fn sync<E>(&self, path: &Path, sync: impl FnOnce() -> Result<(), E>) -> Shared<E> {
        self.turnstile(path).pass(sync)
    }

    fn turnstile(&self, path: &Path) -> Arc<Turnstile> {
        let mut turnstiles = self.turnstiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turnstile) = turnstiles.get(path) {
            return Arc::clone(turnstile);
        }
        Arc::clone(turnstiles.entry(path.to_owned()).or_default())
    }
}

impl Turnstile {
    fn pass<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Shared<E> {
        let mut round = self.lock();
        let mine = round.begun + 1;
        while round.running && round.finished < mine && !round.failed {
            round = self.turned.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        if round.failed {
            return Shared::FailedForAnother;
        }
        if round.finished >= mine {
            metrics::counter!("triton_dir_syncs_shared_total").increment(1);
            return Shared::Done;
        }
        round.running = true;
        round.begun += 1;
        let this = round.begun;
        drop(round);
        let result = sync();
        let mut round = self.lock();
        round.running = false;
        round.finished = this;
        round.failed = result.is_err();
        drop(round);
        self.turned.notify_all();
        result.map_or_else(Shared::Failed, |()| Shared::Done)
    }

    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Starts `followers` callers while the first one's sync is at work; answers how all of them fared, the first last.
    fn meet(followers: usize, outcome: Result<(), ()>) -> (Vec<Shared<()>>, u64) {
        let (syncs, path, calls) = (SharedSyncs::default(), Path::new("d"), AtomicU64::new(0));
        let (begun, begun_at) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let fates = std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                syncs.sync(path, move || {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    outcome
                })
            });
            begun_at.recv().unwrap();
            let call = || {
                syncs.sync(path, || {
                    calls.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            };
            let others: Vec<_> = (0..followers).map(|_| scope.spawn(call)).collect();
            // All wait, however the scheduler orders them: nobody gets past a sync that is at work.
            while Arc::strong_count(&syncs.turnstile(path)) < followers + 3 {
                std::thread::yield_now();
            }
            assert_eq!(calls.load(Ordering::SeqCst), 0, "two syncs of one directory at once");
            go_on.send(()).unwrap();
            others.into_iter().chain([first]).map(|thread| thread.join().unwrap()).collect()
        });
        (fates, calls.into_inner())
    }

    #[test]
    fn all_who_came_during_a_sync_share_the_next_one() {
        let (fates, calls) = meet(16, Ok(()));
        assert!(fates.iter().all(|fate| matches!(fate, Shared::Done)), "{fates:?}");
        // One, unless followers were scheduled so late that the second round was over.
        assert!((1..=8).contains(&calls), "{calls} syncs for 16 followers");
    }

    #[test]
    fn failure_is_everybodys_and_is_never_tried_again() {
        let (fates, calls) = meet(8, Err(()));
        assert_eq!(calls, 0);
        let others = fates.iter().filter(|fate| matches!(fate, Shared::FailedForAnother)).count();
        assert_eq!(others, 8, "{fates:?}");
        assert!(matches!(fates.last(), Some(Shared::Failed(()))));
    }
}
