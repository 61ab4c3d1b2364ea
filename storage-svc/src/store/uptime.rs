//! The time that this node has seen passing, over all its runs: what somebody does to a clock does not change it.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError,
    dir::{self, UPTIME},
    disk::{Disk, DiskError},
};

const VERSION: u32 = 1;
/// Half a week: what is kept for a week goes no earlier, whatever the clock says. Not the whole week, so that nodes that are
/// off now and then still forget together with the others.
const SEEN_SECONDS_MIN: i64 = 84 * 3600;
/// A time that lies further ahead is of a count that was lost: a crash takes back an hour at most.
const AHEAD_SECONDS_MAX: i64 = 2 * 3600;

#[derive(Debug, Serialize, Deserialize)]
struct UptimeFile {
    v: u32,
    seconds: i64,
}

/// A clock that stands still while the node is off.
#[derive(Debug)]
pub(super) struct Uptime {
    /// What it shows, less what [`ticking`] shows.
    offset: AtomicI64,
}

/// Seconds on a clock that goes on while the machine sleeps, and that nobody sets.
fn ticking() -> i64 {
    clock_gettime(ClockId::Boottime).tv_sec
}

impl Uptime {
    /// Goes on where the run before has left it, or a little earlier after a crash: then what is kept is kept for longer.
    pub(super) fn open(disk: &Disk) -> Result<Self, DiskError> {
        let content = disk.read_small(Path::new(UPTIME))?;
        let known = content.as_deref().map(serde_json::from_slice::<UptimeFile>);
        let seconds = match known {
            None => 0,
            Some(Ok(UptimeFile { v: VERSION, seconds })) => seconds,
            Some(_) => {
                tracing::warn!(
                    "{UPTIME} is damaged: deletes and orphans are kept for half a week from now on at least"
                );
                0
            }
        };
        Ok(Self { offset: AtomicI64::new(seconds.saturating_sub(ticking())) })
    }

    /// What it shows.
    pub(super) fn seconds(&self) -> i64 {
        self.offset.load(Ordering::Relaxed).saturating_add(ticking())
    }

    /// Whether enough time was seen passing since it showed `since` to believe a clock that says: a week.
    pub(super) fn bears_out(&self, since: i64) -> bool {
        self.seen_seconds(since) >= SEEN_SECONDS_MIN
    }

    /// The highest age that can be believed of what happened when it showed `since`: what was seen, and as long as the node
    /// may have been off.
    pub(super) fn age_max_ms(&self, since: i64) -> u64 {
        u64::try_from(self.seen_seconds(since).saturating_add(SEEN_SECONDS_MIN)).unwrap_or(0).saturating_mul(1000)
    }

    fn seen_seconds(&self, since: i64) -> i64 {
        let seconds = self.seconds();
        let since = if since > seconds.saturating_add(AHEAD_SECONDS_MAX) { 0 } else { since };
        seconds.saturating_sub(since).max(0)
    }

    #[cfg(test)]
    pub(super) fn pass(&self, time: jiff::SignedDuration) {
        self.offset.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

impl Store {
    /// Writes down how much time has passed.
    pub(crate) fn remember_uptime(&self) -> Result<(), StoreError> {
        if self.disk.is_read_only() {
            return Ok(());
        }
        let file = UptimeFile { v: VERSION, seconds: self.uptime.seconds() };
        let json = serde_json::to_vec(&file).expect("a number is plain JSON");
        Ok(dir::write_durably(&self.disk, Path::new(UPTIME), json)?)
    }
}
