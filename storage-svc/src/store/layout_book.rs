//! The layout as this node knows it, and the fence that it is for writes.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use thiserror::Error;
use triton_api::{Epoch, layout::LayoutRecord};

use super::{
    dir,
    disk::{Disk, DiskError},
    error::{OpenError, StoreError},
};

/// Why a layout is not taken.
#[derive(Debug, Error)]
pub(crate) enum LearnError {
    /// A newer one is known.
    #[error("this node knows the layout with epochs {known}, which is newer than {given}")]
    Stale {
        /// Epochs of the known record.
        known: String,
        /// Epochs of the given record.
        given: String,
    },
    /// The same epochs, but another content.
    #[error("this node knows another layout with the same epochs {0}: an epoch is used once")]
    Forked(String),
    /// Not sound in itself.
    #[error("the layout is not sound: {0}")]
    Unsound(String),
    /// It could not be kept.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Keeps a writer's epoch admitted: while one lives, no newer layout is taken.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    known: RwLockReadGuard<'a, Option<Arc<LayoutRecord>>>,
}

impl Admission<'_> {
    /// The layout that holds for as long as this lives.
    pub(crate) fn record(&self) -> Option<&LayoutRecord> {
        self.known.as_deref()
    }
}

/// The layout record, in memory and in `layout.json`.
#[derive(Debug)]
pub(crate) struct LayoutBook {
    known: RwLock<Option<Arc<LayoutRecord>>>,
    /// One layout is learned at a time; not `known` itself, which must not be held during an fsync.
    learning: Mutex<()>,
}

impl LayoutBook {
    /// Reads what the node knew when it stopped.
    pub(crate) fn open(disk: &Disk) -> Result<Self, OpenError> {
        let known = match disk.read_small(Path::new(dir::LAYOUT))? {
            None => None,
            Some(content) => Some(serde_json::from_slice(&content).map_err(|error| OpenError::Damaged {
                path: disk.root().join(dir::LAYOUT).display().to_string(),
                reason: error.to_string(),
            })?),
        };
        Ok(Self { known: RwLock::new(known), learning: Mutex::default() })
    }

    /// The layout, where one is known.
    pub(crate) fn record(&self) -> Option<Arc<LayoutRecord>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets a write of `epoch` go on, unless a newer epoch is known. Without an epoch the caller is a person.
    pub(crate) fn admit(&self, epoch: Option<Epoch>) -> Result<Admission<'_>, StoreError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match (epoch, known.as_ref().map(|record| record.write_epoch())) {
            (Some(given), Some(known)) if given < known => Err(StoreError::StaleEpoch { given, known }),
            _ => Ok(Admission { known }),
        }
    }

    /// Takes a newer layout and makes it durable. When this returns, no write of an older epoch can succeed any more.
    ///
    /// Records are ordered by their write epoch, then by their current epoch. A migration from 4 to 5 is (5, 4), its
    /// commit (5, 5). Going back is a migration too, from 5 to a new epoch 6 that has the old table: (6, 5), then (6, 6).
    pub(crate) fn learn(&self, disk: &Disk, record: LayoutRecord) -> Result<(), LearnError> {
        verify(&record)?;
        let _one_at_a_time = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.record() {
            if *known == record {
                return Ok(());
            }
            match rank(&record).cmp(&rank(&known)) {
                std::cmp::Ordering::Less => {
                    return Err(LearnError::Stale { known: epochs(&known), given: epochs(&record) });
                }
                std::cmp::Ordering::Equal if digests(&record) != digests(&known) => {
                    return Err(LearnError::Forked(epochs(&known)));
                }
                // The same layout with more said about it, in fields that this version does not know.
                std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => {}
            }
        }
        let json = serde_json::to_vec(&record).expect("a layout is plain JSON");
        dir::write_durably(disk, Path::new(dir::LAYOUT), json)?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(record));
        Ok(())
    }
}

fn verify(record: &LayoutRecord) -> Result<(), LearnError> {
    for layout in std::iter::once(&record.current).chain(&record.next) {
        triton_placement::verify(layout).map_err(|error| LearnError::Unsound(error.to_string()))?;
    }
    match &record.next {
        Some(next) if next.epoch <= record.current.epoch => {
            Err(LearnError::Unsound("the next epoch is not greater than the current one".to_owned()))
        }
        _ => Ok(()),
    }
}

fn rank(record: &LayoutRecord) -> (Epoch, Epoch) {
    (record.write_epoch(), record.current.epoch)
}

/// What tells two layouts apart that have the same epochs.
fn digests(record: &LayoutRecord) -> (&str, Option<&str>) {
    (&record.current.digest, record.next.as_ref().map(|next| next.digest.as_str()))
}

fn epochs(record: &LayoutRecord) -> String {
    match &record.next {
        Some(next) => format!("{} to {}", record.current.epoch, next.epoch),
        None => record.current.epoch.to_string(),
    }
}
