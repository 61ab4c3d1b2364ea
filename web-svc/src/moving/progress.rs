//! How far an import has come, as a record that each of its changes moves on: an import that was interrupted goes on from
//! there, although records that it wrote have been worked on since, and two imports cannot run at once.

use serde::{Deserialize, Serialize};

use crate::{
    catalog::Rest,
    journal::{Change, Expect, JournalError, RecordKey, Revision},
    store::{Store, StoreError},
};

/// What the journal keeps of an import while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ImportRecord {
    /// The version of this shape.
    v: u32,
    /// The hash of the file.
    blake3: String,
    /// Records of the file, from its first one on, that are here.
    records_done: u64,
    /// Fields of newer versions.
    #[serde(flatten)]
    rest: Rest,
}

/// The record, and the condition on which it may be changed.
#[derive(Debug)]
pub(super) struct Progress {
    record: ImportRecord,
    expect: Expect,
}

impl Progress {
    /// That of an interrupted import of the same file, or a new one.
    pub(super) async fn find(store: &Store, blake3: &str) -> Result<Self, StoreError> {
        let stored = store.get::<ImportRecord>(&RecordKey::metadata_import()).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::At(stored.revision));
        let same = stored.map(|stored| stored.value).filter(|record| record.blake3 == blake3);
        let new = || ImportRecord { v: 1, blake3: blake3.to_owned(), records_done: 0, rest: Rest::new() };
        Ok(Self { record: same.unwrap_or_else(new), expect })
    }

    /// Records at the beginning of the file that are here.
    pub(super) fn records_done(&self) -> u64 {
        self.record.records_done
    }

    /// Adds to a change that it brings the import to this position.
    pub(super) fn moves_on(&mut self, change: Change, records_done: u64) -> Result<Change, JournalError> {
        self.record.records_done = records_done;
        change.put(RecordKey::metadata_import(), self.expect, &self.record)
    }

    /// Notes that the change was committed.
    pub(super) fn moved_on(&mut self, revision: Revision) {
        self.expect = Expect::At(revision);
    }

    /// The change that ends the import; `None` where it has changed nothing.
    pub(super) fn end(self) -> Option<Change> {
        let key = RecordKey::metadata_import();
        (self.expect != Expect::Absent).then(|| Change::new().delete(key, self.expect))
    }
}
