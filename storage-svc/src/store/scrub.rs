//! Verifying what lies on the disk, blob by blob, and remembering how far that has come.

use std::{path::Path, sync::PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{PartitionId, layout::PARTITIONS, storage::Scrub};

use super::{
    OpenBlob, Store, StoreError,
    dir::{self, BLOBS},
};

const SCRUB: &str = "scrub.json";
const VERSION: u32 = 1;

/// `scrub.json`, and the same in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScrubState {
    v: u32,
    /// What everybody may see.
    pub(crate) progress: Scrub,
    /// The last file of the position's partition that was verified.
    pub(crate) after: Option<String>,
}

/// What became of a look at a file.
#[derive(Debug)]
pub(crate) enum Checked {
    /// It is open, and its footer is right: its blocks are to be read.
    Open(Box<OpenBlob>),
    /// It went meanwhile.
    Gone,
    /// It was damaged, and is put aside now.
    Corrupt,
}

impl ScrubState {
    /// Goes on to the next partition; at the end the pass is finished and another one begins. Answers whether it was.
    pub(crate) fn next_partition(&mut self, now: Timestamp) -> bool {
        self.after = None;
        let next = self.progress.position.get() + 1;
        let is_end = next >= PARTITIONS;
        self.progress.position = PartitionId::new(if is_end { 0 } else { next });
        if is_end {
            let Scrub { found_corrupt, bytes_per_second, .. } = self.progress;
            let (last_pass_finished_at, pass_started_at) = (Some(now), Some(now));
            let new = Scrub { last_pass_finished_at, pass_started_at, ..Scrub::default() };
            self.progress = Scrub { found_corrupt, bytes_per_second, ..new };
        }
        is_end
    }
}

impl Store {
    /// What the process before has left. One that cannot be read costs a pass from the beginning.
    pub(super) fn recall_scrub(&self) -> Result<(), StoreError> {
        let content = self.disk.read_small(Path::new(SCRUB))?;
        let known = content.and_then(|content| serde_json::from_slice::<ScrubState>(&content).ok());
        let known = known.filter(|state| state.v == VERSION && state.progress.position.get() < PARTITIONS);
        self.with_scrub(|state| {
            *state = known.unwrap_or(ScrubState { v: VERSION, ..ScrubState::default() });
            state.progress.pass_started_at.get_or_insert_with(Timestamp::now);
        });
        Ok(())
    }

    /// Writes down how far the scrub has come.
    pub(crate) fn remember_scrub(&self) -> Result<(), StoreError> {
        if self.disk.is_read_only() {
            return Ok(());
        }
        let json = serde_json::to_vec(&self.with_scrub(|state| state.clone())).expect("a state is plain JSON");
        Ok(dir::write_durably(&self.disk, Path::new(SCRUB), json)?)
    }

    /// Looks at the state of the scrub, or changes it.
    pub(crate) fn with_scrub<T>(&self, look: impl FnOnce(&mut ScrubState) -> T) -> T {
        look(&mut self.scrub.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files of a partition's blobs behind `after`, sorted.
    pub(crate) fn files_after(&self, partition: PartitionId, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let mut names = self.disk.list(&dir::partition_path(BLOBS, partition))?;
        names.retain(|name| after.is_none_or(|after| name.as_str() > after));
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a file of a partition from the disk, past every cache of ours, and verifies its footer.
    pub(crate) fn check(&self, partition: PartitionId, file_name: &str) -> Result<Checked, StoreError> {
        let path = dir::partition_path(BLOBS, partition).join(file_name);
        let Some(key) = self.key_of_file(partition, BLOBS, file_name)? else {
            let Some(facts) = self.disk.facts_at(&path)? else { return Ok(Checked::Gone) };
            self.put_aside(partition, &path, facts.identity, "it is the file of no key")?;
            return Ok(Checked::Corrupt);
        };
        match self.open_to_check(&key) {
            // Nobody finds a blob in another partition than its key's.
            Ok(blob) if blob.lies_in(partition) => Ok(Checked::Open(Box::new(blob))),
            Ok(_) | Err(StoreError::NotFound(_)) => match self.disk.facts_at(&path)? {
                Some(facts) => {
                    self.put_aside(partition, &path, facts.identity, "it lies in another partition than its key")?;
                    Ok(Checked::Corrupt)
                }
                None => Ok(Checked::Gone),
            },
            Err(StoreError::Corrupt { .. }) => Ok(Checked::Corrupt),
            Err(error) => Err(error),
        }
    }
}
