//! The data directory: its folders, its lock, its identity.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{BlobKey, NodeId, PartitionId, layout::PARTITIONS};

use super::{
    disk::{Disk, DiskError},
    error::OpenError,
    files::Files,
    name,
};

pub(crate) const BLOBS: &str = "blobs";
pub(crate) const TOMBSTONES: &str = "tombstones";
pub(crate) const QUARANTINE: &str = "quarantine";
pub(crate) const ORPHANS: &str = "orphans";
pub(crate) const LAYOUT: &str = "layout.json";
pub(super) const UPTIME: &str = "uptime.json";
pub(super) const TMP: &str = "tmp";
const LOCK: &str = "lock";
const NODE: &str = "node.json";
const FORMAT_VERSION: u32 = 1;
/// What may lie in a new directory: the root of an ext4 file system is not quite empty.
const NEUTRAL: [&str; 2] = [LOCK, "lost+found"];

/// `node.json`: written once, when the directory is first used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) id: NodeId,
    format_version: u32,
    created_at: Timestamp,
}

/// A directory that this process alone works on.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) disk: Arc<Disk>,
    pub(crate) id: NodeId,
    pub(crate) partitions: PartitionDirs,
    /// Held for as long as the node lives.
    _lock: File,
}

impl DataDir {
    /// Locks the directory, makes what is missing and sweeps what a crash has left.
    pub(crate) fn open(root: &Path, files: Arc<dyn Files>, reserve_bytes: Option<u64>) -> Result<Self, OpenError> {
        fs::create_dir_all(root).map_err(|source| OpenError::Make { path: root.to_owned(), source })?;
        let disk = Disk::new(root, files, reserve_bytes)?;
        let lock = disk.lock(Path::new(LOCK))?.ok_or_else(|| OpenError::Locked(root.to_owned()))?;
        let known = read_identity(&disk)?;
        if known.is_none() && !may_be_taken(&disk)? {
            return Err(OpenError::Foreign(root.to_owned()));
        }
        for folder in [BLOBS, TOMBSTONES, QUARANTINE, ORPHANS, TMP] {
            disk.make_dir(Path::new(folder))?;
        }
        for name in disk.list(Path::new(TMP))? {
            disk.unlink(&Path::new(TMP).join(name))?;
        }
        // What is seen here from now on counts as durable. A process that was killed may have left names and directories,
        // the root's own among them, that no sync had reached yet.
        match disk.sync_everything() {
            // What is here can be read; it has been logged, and the disk takes no writes.
            Err(_) if known.is_some() => {}
            synced => synced?,
        }
        let partitions = PartitionDirs::find(&disk)?;
        // Last, so that a directory with an identity is complete.
        let id = match known {
            Some(identity) => identity.id,
            None => write_identity(&disk)?,
        };
        Ok(Self { disk: Arc::new(disk), id, partitions, _lock: lock })
    }
}

/// Which directories of partitions are there, durably. A running node makes all of them with one sync
/// ([`Self::make_all`]); what is needed before that is made on its own, at the price of a sync of its own.
#[derive(Debug)]
pub(crate) struct PartitionDirs {
    blobs: Vec<AtomicBool>,
    tombstones: Vec<AtomicBool>,
}

impl PartitionDirs {
    fn find(disk: &Disk) -> Result<Self, DiskError> {
        let none = || (0..PARTITIONS).map(|_| AtomicBool::new(false)).collect();
        let found = Self { blobs: none(), tombstones: none() };
        for folder in [BLOBS, TOMBSTONES] {
            for dir_name in disk.list(Path::new(folder))? {
                if let Some(there) = name::partition_of_dir(&dir_name).and_then(|found_at| found.flag(folder, found_at))
                {
                    there.store(true, Ordering::Release);
                }
            }
        }
        Ok(found)
    }

    fn flag(&self, folder: &str, partition: PartitionId) -> Option<&AtomicBool> {
        let flags = if folder == BLOBS { &self.blobs } else { &self.tombstones };
        flags.get(usize::from(partition.get()))
    }

    /// Whether the partition has a directory in `folder`, durably.
    pub(crate) fn has(&self, folder: &str, partition: PartitionId) -> bool {
        self.flag(folder, partition).is_some_and(|there| there.load(Ordering::Acquire))
    }

    /// Makes the directories of all partitions.
    pub(crate) fn make_all(&self, disk: &Disk) -> Result<(), DiskError> {
        for folder in [BLOBS, TOMBSTONES] {
            let all = (0..PARTITIONS).map(PartitionId::new);
            let lacking: Vec<PartitionId> = all.filter(|partition| !self.has(folder, *partition)).collect();
            for partition in &lacking {
                disk.make_dir(&partition_path(folder, *partition))?;
            }
            if !lacking.is_empty() {
                disk.sync_dir(Path::new(folder))?;
            }
            for there in lacking.iter().filter_map(|partition| self.flag(folder, *partition)) {
                there.store(true, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Makes the partition's directory in `folder` where there is none; its name is durable when this returns.
    pub(crate) fn make(&self, disk: &Disk, folder: &str, partition: PartitionId) -> Result<(), DiskError> {
        let Some(there) = self.flag(folder, partition) else { return Ok(()) };
        if !there.load(Ordering::Acquire) {
            disk.make_dir(&partition_path(folder, partition))?;
            // Also where another writer has made it just now: its sync may not be done.
            disk.sync_dir(Path::new(folder))?;
            there.store(true, Ordering::Release);
        }
        Ok(())
    }
}

fn read_identity(disk: &Disk) -> Result<Option<Identity>, OpenError> {
    let Some(content) = disk.read_small(Path::new(NODE))? else { return Ok(None) };
    let path = disk.root().join(NODE).display().to_string();
    let identity: Identity = serde_json::from_slice(&content)
        .map_err(|error| OpenError::Damaged { path: path.clone(), reason: error.to_string() })?;
    if identity.format_version != FORMAT_VERSION {
        return Err(OpenError::Version { path, found: identity.format_version, known: FORMAT_VERSION });
    }
    Ok(Some(identity))
}

/// Whether a directory without an identity is new, or one whose making was cut off.
fn may_be_taken(disk: &Disk) -> Result<bool, DiskError> {
    let ours = [BLOBS, TOMBSTONES, QUARANTINE, ORPHANS, TMP];
    Ok(disk.list(Path::new(""))?.iter().all(|name| NEUTRAL.contains(&name.as_str()) || ours.contains(&name.as_str())))
}

fn write_identity(disk: &Disk) -> Result<NodeId, DiskError> {
    let identity = Identity { id: NodeId::generate(), format_version: FORMAT_VERSION, created_at: Timestamp::now() };
    let json = serde_json::to_vec_pretty(&identity).expect("an identity is plain JSON");
    write_durably(disk, Path::new(NODE), json)?;
    Ok(identity.id)
}

/// Writes a small file so that after a crash it is there whole, or as it was before.
pub(crate) fn write_durably(disk: &Disk, path: &Path, content: Vec<u8>) -> Result<(), DiskError> {
    let temporary = Path::new(TMP).join(path.file_name().unwrap_or_default());
    disk.unlink(&temporary)?;
    let file = disk.create(&temporary)?;
    disk.append(&temporary, &file, &[Bytes::from(content)])?;
    disk.sync(&temporary, &file)?;
    disk.replace(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// A partition's directory below `folder`.
pub(crate) fn partition_path(folder: &str, partition: PartitionId) -> PathBuf {
    Path::new(folder).join(name::partition_dir_name(partition))
}

/// Where a blob, or its tombstone, lies.
pub(crate) fn key_path(folder: &str, partition: PartitionId, key: &BlobKey) -> PathBuf {
    partition_path(folder, partition).join(name::file_name(key))
}
