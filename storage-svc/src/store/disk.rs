//! Every touch of the file system, in one place: what the store asks of a disk, and what the answers mean.
//!
//! All functions block. Paths are relative to the data directory. No other file of the store may touch the file system by
//! itself; the calls go through the seam [`Files`], at which the tests inject faults and record operations.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use triton_api::storage::DiskState;

pub(crate) use super::files::Space;
use super::{
    files::Files,
    shared_sync::{Shared, SharedSyncs},
};

/// The reserve is at most this much where none is configured.
const RESERVE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The operation that gets at a file's content.
const READ: &str = "read";

/// An operation on the file system that failed.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct DiskError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    /// Whether the file system had no room.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    pub(crate) fn is_short(&self) -> bool {
        self.source.kind() == io::ErrorKind::UnexpectedEof
    }

    /// Whether the disk did not give out what a file has: a bad sector, most of the time.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.operation == READ && self.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    }
}

/// Which file a path names right now: another file of the same name has another identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileFacts {
    pub(crate) identity: FileIdentity,
    pub(crate) len_bytes: u64,
}

/// When and as what something was last changed: a directory whose stamp is the same has the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    /// The time, in nanoseconds since the epoch.
    pub(crate) fn nanosecond(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

/// A data directory's file system.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    files: Arc<dyn Files>,
    syncs: SharedSyncs,
    reserve_bytes: u64,
    read_only: AtomicBool,
}

impl Disk {
    /// The disk under `root`, which exists. Without a configured reserve, 1% of it is kept free, at most 1 GiB.
    pub(crate) fn new(root: &Path, files: Arc<dyn Files>, reserve_bytes: Option<u64>) -> Result<Self, DiskError> {
        let (root, syncs, read_only) = (root.to_owned(), SharedSyncs::default(), AtomicBool::new(false));
        let mut disk = Self { root, files, syncs, reserve_bytes: 0, read_only };
        metrics::gauge!("triton_disk_read_only").set(0.0);
        let one_percent = disk.space()?.capacity_bytes / 100;
        disk.reserve_bytes = reserve_bytes.unwrap_or_else(|| one_percent.min(RESERVE_BYTES_MAX));
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Room as an unprivileged process sees it.
    pub(crate) fn space(&self) -> Result<Space, DiskError> {
        self.files.space(&self.root).map_err(|source| self.error("measure", Path::new(""), source))
    }

    /// Whether writes are taken.
    pub(crate) fn state(&self) -> Result<DiskState, DiskError> {
        if self.read_only.load(Ordering::Acquire) {
            return Ok(DiskState::ReadOnly);
        }
        let full = self.space()?.free_bytes < self.reserve_bytes;
        Ok(if full { DiskState::Full } else { DiskState::Ok })
    }

    /// Whether `more_bytes` can be written without touching the reserve.
    pub(crate) fn has_room(&self, more_bytes: u64) -> Result<bool, DiskError> {
        Ok(self.space()?.free_bytes >= self.reserve_bytes.saturating_add(more_bytes))
    }

    /// Whether an fsync has failed since the start: what the disk says can no longer be trusted.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// Creates a file that must not exist.
    pub(crate) fn create(&self, path: &Path) -> Result<File, DiskError> {
        self.files.create(&self.root.join(path)).map_err(|source| self.error("create", path, source))
    }

    /// Appends all frames, in as few system calls as the kernel lets it.
    pub(crate) fn append(&self, path: &Path, file: &File, frames: &[Bytes]) -> Result<(), DiskError> {
        let mut slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.files.write(path, file, rest) {
                Ok(0) => return Err(self.error("write", path, io::Error::from(io::ErrorKind::WriteZero))),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error("write", path, error)),
            }
        }
        Ok(())
    }

    /// Makes a file's content durable. A failure is final: the kernel may have dropped the pages and would answer a
    /// second fsync with success, so that the disk takes no more writes until a person has looked at it.
    pub(crate) fn sync(&self, path: &Path, file: &File) -> Result<(), DiskError> {
        let synced = self.files.sync(path, file);
        synced.map_err(|source| self.distrust(self.error("fsync", path, source)))
    }

    /// Makes the names in a directory durable, together with everybody else who waits for that; a failure is as final as
    /// in [`Self::sync`], and everybody's.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        // A directory that cannot be opened, for want of file descriptors say, is no failed fsync: it has lost nothing.
        let dir = self.files.open(&self.root.join(path)).map_err(|source| self.error("open", path, source))?;
        let synced = self.syncs.sync(path, || {
            let synced = self.files.sync_dir(&self.root.join(path), &dir);
            synced.map_err(|source| self.distrust(self.error("fsync", path, source)))
        });
        match synced {
            Shared::Done => Ok(()),
            Shared::Failed(error) => Err(error),
            Shared::FailedForAnother => {
                Err(self.error("trust", path, io::Error::other("an fsync of it has failed for another write")))
            }
        }
    }

    /// Makes everything durable that can be seen now. What a process that was killed has left in the kernel's memory looks
    /// the same as what is on the disk.
    pub(crate) fn sync_everything(&self) -> Result<(), DiskError> {
        let synced = self.files.sync_everything(&self.root);
        synced.map_err(|source| self.distrust(self.error("sync", Path::new(""), source)))
    }

    fn distrust(&self, error: DiskError) -> DiskError {
        if !self.read_only.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "an fsync failed: this node takes no more writes until it is restarted");
            metrics::gauge!("triton_disk_read_only").set(1.0);
        }
        metrics::counter!("triton_fsync_failures_total").increment(1);
        error
    }

    /// Gives a finished file its name, unless that name is taken: then it answers false and changes nothing.
    pub(crate) fn publish(&self, from: &Path, to: &Path) -> Result<bool, DiskError> {
        match self.files.publish(&self.root.join(from), &self.root.join(to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.error("publish", to, error)),
        }
    }

    /// Gives a file another name, in place of whatever has it.
    pub(crate) fn replace(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let replaced = self.files.replace(&self.root.join(from), &self.root.join(to));
        replaced.map_err(|source| self.error("rename", from, source))
    }

    /// Removes a name; false where there was none.
    pub(crate) fn unlink(&self, path: &Path) -> Result<bool, DiskError> {
        let unlinked = self.files.unlink(&self.root.join(path));
        Ok(or_absent(unlinked).map_err(|source| self.error("unlink", path, source))?.is_some())
    }

    /// Opens a file for reading; `None` only where there is none. Any other trouble is an error, never an absence.
    pub(crate) fn open(&self, path: &Path) -> Result<Option<File>, DiskError> {
        or_absent(self.files.open(&self.root.join(path))).map_err(|source| self.error("open", path, source))
    }

    /// Has the next reads of a file ask the disk. What is not written there yet stays in memory.
    pub(crate) fn forget(&self, path: &Path, file: &File) -> Result<(), DiskError> {
        self.files.forget(path, file).map_err(|source| self.error("give up the memory of", path, source))
    }

    /// Length and identity of an open file.
    pub(crate) fn facts(&self, path: &Path, file: &File) -> Result<FileFacts, DiskError> {
        let stat = self.files.stat(path, file);
        stat.map(|meta| facts_of(&meta)).map_err(|source| self.error("stat", path, source))
    }

    /// Length and identity of what has this name; `None` where nothing has.
    pub(crate) fn facts_at(&self, path: &Path) -> Result<Option<FileFacts>, DiskError> {
        let stat = or_absent(self.files.stat_at(&self.root.join(path)));
        Ok(stat.map_err(|source| self.error("stat", path, source))?.map(|meta| facts_of(&meta)))
    }

    /// The stamp of what has this name; `None` where nothing has. By the change time, which no program can set.
    pub(crate) fn stamp_at(&self, path: &Path) -> Result<Option<Stamp>, DiskError> {
        let stat = or_absent(self.files.stat_at(&self.root.join(path)));
        let stamp = |meta: Metadata| Stamp { inode: meta.ino(), seconds: meta.ctime(), nanoseconds: meta.ctime_nsec() };
        Ok(stat.map_err(|source| self.error("stat", path, source))?.map(stamp))
    }

    /// Reads exactly `len_bytes` from `offset`; an early end of the file is an error.
    pub(crate) fn read_at(
        &self,
        path: &Path,
        file: &File,
        offset: u64,
        len_bytes: usize,
    ) -> Result<Vec<u8>, DiskError> {
        let mut content = Vec::with_capacity(len_bytes);
        while content.len() < len_bytes {
            let at = offset + content.len() as u64;
            match self.files.read(path, file, &mut content, at) {
                Ok(0) => return Err(self.error(READ, path, io::Error::from(io::ErrorKind::UnexpectedEof))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(READ, path, error)),
            }
        }
        // The allocator may have given more room than was asked for.
        content.truncate(len_bytes);
        Ok(content)
    }

    /// A small file's whole content; `None` where there is none.
    pub(crate) fn read_small(&self, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let len_bytes = self.facts(path, &file)?.len_bytes;
        let len_bytes = usize::try_from(len_bytes).unwrap_or(usize::MAX);
        self.read_at(path, &file, 0, len_bytes).map(Some)
    }

    /// The names in a directory, in no order; none where there is no such directory.
    pub(crate) fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        let names = or_absent(self.files.list(&self.root.join(path)));
        Ok(names.map_err(|source| self.error("list", path, source))?.unwrap_or_default())
    }

    /// Makes a directory; one that exists is no error. Answers whether it was made.
    pub(crate) fn make_dir(&self, path: &Path) -> Result<bool, DiskError> {
        match self.files.make_dir(&self.root.join(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.error("make the directory", path, error)),
        }
    }

    /// Takes the exclusive lock on a file, which lasts as long as the answer lives; `None` where another has it.
    pub(crate) fn lock(&self, path: &Path) -> Result<Option<File>, DiskError> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.root.join(path));
        let file = file.map_err(|source| self.error("open", path, source))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(self.error("lock", path, errno)),
        }
    }

    fn error(&self, operation: &'static str, path: &Path, source: impl Into<io::Error>) -> DiskError {
        DiskError { operation, path: self.root.join(path), source: source.into() }
    }
}

/// Only "there is no such name" is an absence.
fn or_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn facts_of(meta: &Metadata) -> FileFacts {
    FileFacts { identity: FileIdentity { device: meta.dev(), inode: meta.ino() }, len_bytes: meta.len() }
}
