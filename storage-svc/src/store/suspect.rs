//! Copies of which a read has failed: looked at again, and put aside where the disk still does not give them out.
//!
//! A sector that has gone bad fails every read, while the file's name, and mostly its footer, are as good as ever. Such a copy
//! would count as one for ever. In `quarantine/` it is missing, and the repair pulls another one into a file of its own; nothing
//! is written to the place that failed, and nothing is unlinked.

use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use triton_api::{BlobKey, PartitionId};

use super::{
    Store, StoreError,
    dir::{self, BLOBS},
    disk::FileIdentity,
};

/// What is wrong for a moment, as a link that is reset, is over by then.
pub(super) const LOOK_AFTER: Duration = Duration::from_secs(10);
/// When a copy is looked at once more that could not be put aside.
const LOOK_LATER: Duration = Duration::from_secs(300);
/// The most suspects: with more of them no copy of this disk is to be counted on.
pub(super) const SUSPECTS_MAX: usize = 1024;
/// Bytes read in one go.
const CHUNK_BYTES: u64 = 1024 * 1024;
/// How long a day is, for what may be put aside in one.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What may be put aside in a day, however little there is.
pub(super) const DAILY_MIN: u64 = 16;

/// The suspects, and when each is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    list: Mutex<List>,
    /// So that a disk without trouble costs nobody a lock.
    any: AtomicBool,
    allowance: Mutex<Allowance>,
}

#[derive(Debug, Default)]
struct List {
    look_at: HashMap<BlobKey, Instant>,
    /// There were more than fit in: until it is empty, nobody knows which those were.
    overflowed: bool,
}

impl Suspects {
    /// Notes that a read of a copy has failed.
    pub(super) fn note(&self, key: &BlobKey, now: Instant) {
        let mut list = self.list();
        if list.look_at.len() < SUSPECTS_MAX {
            list.look_at.entry(key.clone()).or_insert(now + LOOK_AFTER);
            self.any.store(true, Ordering::Release);
        } else if !list.look_at.contains_key(key) {
            list.overflowed = true;
        }
    }

    /// There is another copy, or the read that failed was a mishap.
    pub(super) fn forget(&self, key: &BlobKey) {
        if self.any.load(Ordering::Acquire) {
            let mut list = self.list();
            list.look_at.remove(key);
            let any = !list.look_at.is_empty();
            list.overflowed &= any;
            self.any.store(any, Ordering::Release);
        }
    }

    /// Refuses to count on a copy of which a read has failed, or may have, where there are too many to be remembered.
    pub(super) fn refuse(&self, key: &BlobKey) -> Result<(), StoreError> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let list = self.list();
        let is_suspect = list.overflowed || list.look_at.contains_key(key);
        if is_suspect { Err(StoreError::Unreadable(key.clone())) } else { Ok(()) }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_due(&self, now: Instant) -> Vec<BlobKey> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut list = self.list();
        let due = list.look_at.iter_mut().filter(|(_, at)| **at <= now);
        due.map(|(key, at)| {
            *at = now + LOOK_LATER;
            key.clone()
        })
        .collect()
    }
}

/// How many copies may be put aside because they cannot be read: where more cannot, it is the whole disk, and a cable perhaps.
#[derive(Debug, Default)]
struct Allowance {
    day_began: Option<Instant>,
    spent: u64,
}

impl Allowance {
    /// Whether one is left: of a hundredth of all blobs in a day.
    fn is_left(&mut self, blobs: u64, now: Instant) -> bool {
        if self.day_began.is_none_or(|began| now.saturating_duration_since(began) >= DAY) {
            *self = Self { day_began: Some(now), spent: 0 };
        }
        self.spent < DAILY_MIN.max(blobs / 100)
    }

    /// Takes one where there is one.
    fn take(&mut self, blobs: u64, now: Instant) -> bool {
        let is_left = self.is_left(blobs, now);
        self.spent += u64::from(is_left);
        is_left
    }
}

/// A file that the disk does not give out.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) key: BlobKey,
    pub(crate) partition: PartitionId,
    identity: FileIdentity,
    /// While it is open, no other file gets its identity.
    _file: File,
}

impl Store {
    /// The suspects that are to be looked at by now. Each comes back later unless it is cleared or put aside.
    pub(crate) fn due_suspects(&self, now: Instant) -> Vec<BlobKey> {
        self.suspects.take_due(now)
    }

    /// Reads a suspect's copy from its beginning to its end. Answers the file where the disk still does not give it out;
    /// otherwise it is no suspect any more: it is sound, gone, or damaged and put aside.
    pub(crate) fn look_again(&self, key: &BlobKey) -> Result<Option<Unreadable>, StoreError> {
        let partition = triton_placement::partition_of(key);
        let path = dir::key_path(BLOBS, partition, key);
        let file = self.disk.open(&path)?;
        match (self.read_through(key), file) {
            (Err(StoreError::Disk(error)), Some(file)) if error.is_unreadable() => {
                let identity = self.disk.facts(&path, &file)?.identity;
                Ok(Some(Unreadable { key: key.clone(), partition, identity, _file: file }))
            }
            (Ok(()) | Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }), _) => {
                self.suspects.forget(key);
                self.ledger.lock(partition).turns_readable();
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn read_through(&self, key: &BlobKey) -> Result<(), StoreError> {
        let blob = self.open_to_check(key)?;
        let len_bytes = blob.description().len_bytes;
        let mut start = 0;
        while start < len_bytes {
            let end = len_bytes.min(start + CHUNK_BYTES);
            drop(blob.read(&(start..end))?);
            start = end;
        }
        Ok(())
    }

    /// Whether a further copy may be put aside today: otherwise there is no need to read it elsewhere.
    pub(crate) fn may_put_aside(&self, now: Instant) -> bool {
        let blobs = self.ledger.total().0.blobs;
        !self.disk.is_read_only() && self.suspects.allowance().is_left(blobs, now)
    }

    /// Puts a copy aside that the disk does not give out; false where so many were today that the disk must be at fault.
    ///
    /// The caller has made sure that another node has the blob.
    pub(crate) fn put_unreadable_aside(&self, copy: &Unreadable, now: Instant) -> Result<bool, StoreError> {
        // A name that moved may be back after a crash there, and nothing could be pulled in its place.
        self.refuse_distrusted()?;
        let blobs = self.ledger.total().0.blobs;
        if !self.suspects.allowance().take(blobs, now) {
            return Ok(false);
        }
        let path = dir::key_path(BLOBS, copy.partition, &copy.key);
        self.put_aside(copy.partition, &path, copy.identity, "the disk does not give it out")?;
        self.suspects.forget(&copy.key);
        Ok(true)
    }
}
