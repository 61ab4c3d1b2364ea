//! The journal: the one way by which metadata changes.
//!
//! A [`Change`] is a set of conditional puts and deletes of whole records that commits whole or not at all. Reading is not
//! the journal's business: every query goes to the local [`crate::store::Store`], to which each journal applies the
//! changes in the order of their revisions.

mod change;
mod etcd;
mod sqlite;
mod term;

use futures_util::future::BoxFuture;
use thiserror::Error;

pub use change::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, Change, Effect, Expect, Operation, RecordKey, Revision};
pub use etcd::{Etcd, EtcdAddress, EtcdAddressError, EtcdError, EtcdJournal};
pub use sqlite::SqliteJournal;
pub use term::{Fenced, Term};

use crate::store::StoreError;

/// Why a change was not committed.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A condition does not hold: somebody else was faster. Read again, decide again.
    #[error("the record {key} has changed meanwhile")]
    Conflict {
        /// The first record whose condition failed.
        key: RecordKey,
    },
    /// The change has more operations than one transaction of any journal takes.
    #[error("a change of {operations} operations is more than one transaction takes ({CHANGE_OPS_MAX})")]
    TooManyOperations {
        /// The number of operations.
        operations: usize,
    },
    /// The records are larger than one transaction of any journal takes.
    #[error("a change of {bytes} bytes is more than one transaction takes ({CHANGE_BYTES_MAX})")]
    TooLarge {
        /// The size of all values.
        bytes: usize,
    },
    /// One record has two operations, which no order is defined for.
    #[error("a change names the record {key} twice")]
    Repeated {
        /// The record.
        key: RecordKey,
    },
    /// A value cannot be written as JSON.
    #[error("the record {key} cannot be written as JSON")]
    Encode {
        /// The record.
        key: RecordKey,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The term of a leader has ended: another process leads, or soon will.
    #[error("this process does not lead any more")]
    Deposed,
    /// The journal's store does not answer right now: whether the change was committed is not known.
    #[error("the metadata journal is not available")]
    Unavailable(#[source] StoreError),
    /// etcd does not answer, or has no quorum: whether the change was committed is not known.
    #[error("the metadata journal is not available")]
    Unreachable(#[source] EtcdError),
    /// The change is committed, but the local database has not heard of it in time.
    #[error("the change is committed as revision {}, but this process lags behind the journal", revision.get())]
    Lagging {
        /// The change's revision.
        revision: Revision,
    },
}

impl JournalError {
    /// Whether the journal could not do its work, which says nothing about the change.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreachable(_) | Self::Lagging { .. })
    }
}

/// Commits changes. One implementation writes the local database, the other goes through etcd.
pub trait Journal: Send + Sync + 'static {
    /// Commits a change, whole or not at all, and returns its revision, which the local store has reached by then: a
    /// writer reads what it wrote.
    ///
    /// # Errors
    /// [`JournalError::Conflict`] where a condition does not hold; the local store then knows what has changed, so that
    /// reading again helps. [`JournalError::Deposed`] where the change's term has ended.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change either committed or not.
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>>;

    /// What keeps changes from being committed right now, as a sentence; nothing where they can be.
    fn obstacle(&self) -> Option<String>;
}
