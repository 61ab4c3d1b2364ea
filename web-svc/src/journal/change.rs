//! A change of metadata as data: which records, on which conditions, to which values.

use std::{collections::HashSet, fmt};

use serde::Serialize;
use triton_api::{Generation, VideoId};

use super::{JournalError, Term};

/// The most operations of one change: below etcd's default for one transaction (128), for a receipt and a term come on top.
pub const CHANGE_OPS_MAX: usize = 120;
/// The most bytes of all values of one change: safely below etcd's default for one request.
pub const CHANGE_BYTES_MAX: usize = 1024 * 1024;

/// The name of a record: its kind, a slash, and what identifies it among its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(String);

impl RecordKey {
    /// The record of a video.
    pub fn video(id: VideoId) -> Self {
        Self(format!("video/{id}"))
    }

    /// What is to be transcoded in one generation of a video.
    pub fn plan(id: VideoId, generation: Generation) -> Self {
        Self(format!("plan/{id}/{generation}"))
    }

    /// One rendition of one generation of a video.
    pub fn track(id: VideoId, generation: Generation, position: u32) -> Self {
        Self(format!("{}{position:03}", Self::tracks_prefix(id, generation)))
    }

    /// What the keys of all renditions of one generation begin with.
    pub fn tracks_prefix(id: VideoId, generation: Generation) -> String {
        format!("track/{id}/{generation}/")
    }

    /// One job of one generation of a video.
    pub fn job(id: VideoId, generation: Generation, name: &str) -> Self {
        Self(format!("job/{id}/{generation}/{name}"))
    }

    /// An upload that goes on over several requests; its id is that of the video that it becomes.
    pub fn upload(id: VideoId) -> Self {
        Self(format!("upload/{id}"))
    }

    /// Blobs to delete.
    pub fn trash(id: VideoId, generation: Generation) -> Self {
        Self(format!("{}{generation}", Self::trash_prefix(id)))
    }

    /// An uploaded caption to delete, while its video stays.
    pub fn caption_trash(id: VideoId, file: &str) -> Self {
        Self(format!("{}{file}", Self::trash_prefix(id)))
    }

    /// What the keys of all trash of a video begin with.
    pub fn trash_prefix(id: VideoId) -> String {
        format!("trash/{id}/")
    }

    /// A process that transcodes.
    pub fn worker(id: &str) -> Self {
        Self(format!("worker/{id}"))
    }

    /// The layout of the storage nodes.
    pub fn layout() -> Self {
        Self("cluster/layout".to_owned())
    }

    /// Changes of the layout that wait to be applied.
    pub fn staged_layout() -> Self {
        Self("cluster/staged".to_owned())
    }

    /// How far the migration has come.
    pub fn migration() -> Self {
        Self("cluster/migration".to_owned())
    }

    /// The figures of the migration that ended last.
    pub fn last_migration() -> Self {
        Self("cluster/last-migration".to_owned())
    }

    /// What was done about nodes that stayed away.
    pub fn replacements() -> Self {
        Self("cluster/replacements".to_owned())
    }

    /// How far an import of metadata has come.
    pub fn metadata_import() -> Self {
        Self("cluster/import".to_owned())
    }

    /// When orphans were looked for last.
    pub fn orphan_run() -> Self {
        Self("cluster/orphans".to_owned())
    }

    /// A key read back from a store.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The video, where this is a record that says whether and what of it plays.
    pub(crate) fn publication_of(&self) -> Option<VideoId> {
        let mut parts = self.0.split('/');
        let says = matches!(parts.next(), Some("video" | "trash"));
        parts.next().filter(|_| says)?.parse().ok()
    }

    /// What comes before the first slash.
    pub fn kind(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The position of a committed change in the journal; grows with every change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(u64);

impl Revision {
    /// Before the first change.
    pub const ZERO: Self = Self(0);

    /// Wraps a stored number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The condition of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The record does not exist.
    Absent,
    /// The record was last changed at this revision.
    At(Revision),
    /// No condition.
    Anything,
}

/// What an operation does where all conditions of its change hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Writes the whole record, as JSON.
    Put(String),
    /// Deletes the record; no error where it does not exist.
    Delete,
    /// Only checks the condition.
    Check,
}

/// One record of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The record.
    pub key: RecordKey,
    /// On which condition.
    pub expect: Expect,
    /// To do what.
    pub effect: Effect,
}

/// A set of conditional puts and deletes that commits whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Change {
    operations: Vec<Operation>,
    bytes: usize,
    term: Option<Term>,
}

impl Change {
    /// A change without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a whole record.
    ///
    /// # Errors
    /// [`JournalError::Encode`] where the value has no JSON form.
    pub fn put<T: Serialize>(self, key: RecordKey, expect: Expect, value: &T) -> Result<Self, JournalError> {
        match serde_json::to_string(value) {
            Ok(json) => Ok(self.with(Operation { key, expect, effect: Effect::Put(json) })),
            Err(source) => Err(JournalError::Encode { key, source }),
        }
    }

    /// Deletes a record.
    #[must_use]
    pub fn delete(self, key: RecordKey, expect: Expect) -> Self {
        self.with(Operation { key, expect, effect: Effect::Delete })
    }

    /// Commits only if the condition holds, and leaves the record as it is.
    #[must_use]
    pub fn require(self, key: RecordKey, expect: Expect) -> Self {
        self.with(Operation { key, expect, effect: Effect::Check })
    }

    /// Commits only while the term lasts.
    #[must_use]
    pub fn in_term(self, term: Term) -> Self {
        Self { term: Some(term), ..self }
    }

    /// The term in which it has to be committed.
    pub(crate) fn term(&self) -> Option<&Term> {
        self.term.as_ref()
    }

    fn with(mut self, operation: Operation) -> Self {
        if let Effect::Put(json) = &operation.effect {
            self.bytes += json.len();
        }
        self.operations.push(operation);
        self
    }

    /// The operations, checked against the limits of a transaction.
    pub(crate) fn into_operations(self) -> Result<Vec<Operation>, JournalError> {
        if self.operations.len() > CHANGE_OPS_MAX {
            return Err(JournalError::TooManyOperations { operations: self.operations.len() });
        }
        if self.bytes > CHANGE_BYTES_MAX {
            return Err(JournalError::TooLarge { bytes: self.bytes });
        }
        let mut keys = HashSet::with_capacity(self.operations.len());
        if let Some(twice) = self.operations.iter().find(|operation| !keys.insert(&operation.key)) {
            return Err(JournalError::Repeated { key: twice.key.clone() });
        }
        Ok(self.operations)
    }
}
