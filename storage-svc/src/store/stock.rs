//! Counting what lies on the disk, and remembering the counts from one process to the next.
//!
//! `ledger.json` has the counts and the sum of every partition together with the change times of its two directories. A
//! name cannot come or go without changing that time, so a count whose directories still have theirs holds: after a stop
//! in good order for every partition, after a crash for all that were not written since the file. Only the others are
//! counted again, and a node need not wait for that. So a start costs two thousand calls of `stat`, not a million.

use std::{
    path::{Path, PathBuf},
    sync::PoisonError,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{BlobHash, PartitionId, layout::PARTITIONS};

use super::{
    Store, StoreError,
    dir::{self, BLOBS, TOMBSTONES},
    disk::{FileFacts, FileIdentity, Stamp},
    ledger::Tally,
    sum::SetSum,
};

const LEDGER: &str = "ledger.json";
const VERSION: u32 = 1;
/// How many threads look at the partitions at the start.
const THREADS: u16 = 8;
/// Counts that changes keep overtaking; the next one is made while changes wait.
const ATTEMPTS_MAX: usize = 3;
/// A directory that changed this short a time ago is not written down: the clock that stamps it advances in steps, so that
/// a later change might get the same time.
const STEADY_NANOS: i128 = 100_000_000;

#[derive(Debug, Serialize, Deserialize)]
struct LedgerFile {
    v: u32,
    partitions: Vec<Line>,
}

/// What is remembered of one partition.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    partition: PartitionId,
    blobs: u64,
    bytes: u64,
    tombstones: u64,
    /// Absent where nobody has asked for it.
    sum: Option<BlobHash>,
    /// The same of the tombstones.
    graves: Option<BlobHash>,
    blobs_changed: Option<Stamp>,
    tombstones_changed: Option<Stamp>,
}

/// What a look into a partition's directory found.
#[derive(Debug, Default)]
struct Count {
    tally: Tally,
    /// Files that no blob can have.
    odd: Vec<(PathBuf, FileIdentity)>,
}

/// A step of the work on all partitions.
type Step<'a> = &'a (dyn Fn(PartitionId) -> Result<(), StoreError> + Sync);

impl Store {
    /// Finishes deletes that a crash cut off and takes over the counts that still hold.
    pub(super) fn recall(&self) -> Result<(), StoreError> {
        Self::on_all(&|partition| self.finish_deletes(partition))?;
        let Some(content) = self.disk.read_small(Path::new(LEDGER))? else { return Ok(()) };
        // A ledger that cannot be read costs a count, and nothing else.
        let Ok(file) = serde_json::from_slice::<LedgerFile>(&content) else { return Ok(()) };
        for line in file.partitions.iter().filter(|line| file.v == VERSION && line.partition.get() < PARTITIONS) {
            let stamps = self.stamps(line.partition)?;
            if stamps == (line.blobs_changed, line.tombstones_changed) {
                let mut ledger = self.ledger.lock(line.partition);
                let changes = ledger.changes();
                let Line { blobs, bytes, tombstones, .. } = *line;
                ledger.keep_tally(Tally { blobs, bytes, tombstones }, changes);
                line.sum.map(|sum| ledger.keep_sum(SetSum::from_digest(sum), changes));
                line.graves.map(|graves| ledger.keep_graves(SetSum::from_digest(graves), changes));
            }
        }
        Ok(())
    }

    /// Counts the partitions that are not counted yet, for about `budget` at most; false where some are left.
    pub(crate) fn count_for(&self, budget: Duration) -> Result<bool, StoreError> {
        let began = Instant::now();
        Self::on_all(&|partition| {
            if began.elapsed() < budget { self.take_stock(partition).map(drop) } else { Ok(()) }
        })?;
        Ok(self.ledger.total().1 == 0)
    }

    fn on_all(step: Step<'_>) -> Result<(), StoreError> {
        let every = |thread: u16| {
            let mut partitions = (thread..PARTITIONS).step_by(usize::from(THREADS));
            partitions.try_for_each(|partition| step(PartitionId::new(partition)))
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || every(thread))).collect();
            let done = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
            done.collect::<Result<Vec<()>, _>>().map(drop)
        })
    }

    /// Unlinks the blobs that have a tombstone: their delete was cut off between the two.
    fn finish_deletes(&self, partition: PartitionId) -> Result<(), StoreError> {
        for name in self.disk.list(&dir::partition_path(TOMBSTONES, partition))? {
            self.disk.unlink(&dir::partition_path(BLOBS, partition).join(name))?;
        }
        Ok(())
    }

    /// Counts a partition unless that has been done; answers its tally. Files that no blob can have are put aside.
    pub(super) fn take_stock(&self, partition: PartitionId) -> Result<Tally, StoreError> {
        for attempt in 0..=ATTEMPTS_MAX {
            let ledger = self.ledger.lock(partition);
            if let Some(tally) = ledger.tally() {
                return Ok(tally);
            }
            let changes = ledger.changes();
            // The last attempt keeps the lock: nothing can overtake it.
            let kept = (attempt == ATTEMPTS_MAX).then_some(ledger);
            let count = self.count(partition)?;
            if kept.unwrap_or_else(|| self.ledger.lock(partition)).keep_tally(count.tally, changes) {
                for (path, identity) in count.odd {
                    self.put_aside(partition, &path, identity, "its length is no blob's")?;
                }
            }
        }
        Ok(self.ledger.lock(partition).tally().unwrap_or_default())
    }

    fn count(&self, partition: PartitionId) -> Result<Count, StoreError> {
        let folder = dir::partition_path(BLOBS, partition);
        let mut count = Count::default();
        for file_name in self.disk.list(&folder)? {
            let path = folder.join(file_name);
            let Some(FileFacts { identity, len_bytes }) = self.disk.facts_at(&path)? else { continue };
            let payload_bytes = super::format::payload_bytes_of(len_bytes);
            count.tally.blobs += 1;
            count.tally.bytes += payload_bytes.unwrap_or(0);
            if payload_bytes.is_none() {
                count.odd.push((path, identity));
            }
        }
        count.tally.tombstones = self.disk.list(&dir::partition_path(TOMBSTONES, partition))?.len() as u64;
        Ok(count)
    }

    /// Writes `ledger.json`, unless nothing has changed since `written_at`; answers at which count of changes it was.
    pub(crate) fn remember(&self, written_at: Option<u64>) -> Result<u64, StoreError> {
        let changes = self.ledger.changes();
        if written_at == Some(changes) || self.disk.is_read_only() {
            return Ok(changes);
        }
        let lines = (0..PARTITIONS).map(|partition| self.line(PartitionId::new(partition)));
        let partitions = lines.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        let json = serde_json::to_vec(&LedgerFile { v: VERSION, partitions }).expect("a ledger is plain JSON");
        dir::write_durably(&self.disk, Path::new(LEDGER), json)?;
        Ok(changes)
    }

    /// `None` where a later change could not be told from the present state.
    fn line(&self, partition: PartitionId) -> Result<Option<Line>, StoreError> {
        // Under the lock no name comes or goes.
        let ledger = self.ledger.lock(partition);
        let Some(tally) = ledger.tally().filter(|_| !ledger.has_unsynced()) else { return Ok(None) };
        let (blobs_changed, tombstones_changed) = self.stamps(partition)?;
        let steady_before = Timestamp::now().as_nanosecond() - STEADY_NANOS;
        if [blobs_changed, tombstones_changed].iter().flatten().any(|stamp| stamp.nanosecond() > steady_before) {
            return Ok(None);
        }
        let Tally { blobs, bytes, tombstones } = tally;
        let (sum, graves) = (ledger.sum().map(SetSum::digest), ledger.graves().map(SetSum::digest));
        Ok(Some(Line { partition, blobs, bytes, tombstones, sum, graves, blobs_changed, tombstones_changed }))
    }

    fn stamps(&self, partition: PartitionId) -> Result<(Option<Stamp>, Option<Stamp>), StoreError> {
        let stamp = |folder| self.disk.stamp_at(&dir::partition_path(folder, partition));
        Ok((stamp(BLOBS)?, stamp(TOMBSTONES)?))
    }

    /// The sum of a partition's blobs and tombstones, read where it is not known.
    pub(super) fn sum(&self, partition: PartitionId) -> Result<SetSum, StoreError> {
        let graves = self.graves(partition)?;
        // One at a time: two that ask need not read the same twice.
        let _turn = self.summing.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, changes) = {
            let ledger = self.ledger.lock(partition);
            (ledger.sum(), ledger.changes())
        };
        if let Some(sum) = known {
            return Ok(sum.plus(graves));
        }
        let sum = self.read_sum(partition)?;
        // Overtaken by a change it is as good an answer as one a moment ago, but not kept.
        self.ledger.lock(partition).keep_sum(sum, changes);
        Ok(sum.plus(graves))
    }

    /// The sum of a partition's tombstones.
    pub(super) fn graves(&self, partition: PartitionId) -> Result<SetSum, StoreError> {
        let (known, changes) = {
            let ledger = self.ledger.lock(partition);
            (ledger.graves(), ledger.changes())
        };
        if let Some(graves) = known {
            return Ok(graves);
        }
        let mut graves = SetSum::default();
        for name in self.disk.list(&dir::partition_path(TOMBSTONES, partition))? {
            let key = self.key_of_file(partition, TOMBSTONES, &name)?;
            graves = key.map_or(graves, |key| graves.plus(SetSum::of_tombstone(&key)));
        }
        self.ledger.lock(partition).keep_graves(graves, changes);
        Ok(graves)
    }

    fn read_sum(&self, partition: PartitionId) -> Result<SetSum, StoreError> {
        let mut sum = SetSum::default();
        for name in self.disk.list(&dir::partition_path(BLOBS, partition))? {
            let Some(key) = self.key_of_file(partition, BLOBS, &name)? else { continue };
            match self.describe(&key) {
                Ok(found) => sum = sum.plus(SetSum::of_blob(&key, found.hash)),
                Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }
}
