//! Leadership as the journal sees it: what a leader's changes are fenced by.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Change, Journal, JournalError, Revision};

/// The time for which one process leads. A change that carries a term is committed only while the term lasts, whatever the
/// process itself believes: the term is the fencing token of everything that only a leader may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term(Mandate);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mandate {
    /// The only process of an installation: there is nobody to be deposed by.
    Sole,
    /// Elected through etcd.
    Elected(ElectionKey),
}

/// The key by which an elected process leads: the election is won while it exists as it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ElectionKey {
    pub(super) key: Vec<u8>,
    pub(super) create_revision: i64,
}

impl Term {
    /// The term of a process that is alone, which ends with the process.
    pub const fn sole() -> Self {
        Self(Mandate::Sole)
    }

    pub(super) fn elected(key: Vec<u8>, create_revision: i64) -> Self {
        Self(Mandate::Elected(ElectionKey { key, create_revision }))
    }

    /// What the journal has to compare; nothing for a process that is alone.
    pub(super) fn election_key(&self) -> Option<&ElectionKey> {
        match &self.0 {
            Mandate::Sole => None,
            Mandate::Elected(key) => Some(key),
        }
    }
}

/// A journal whose every change is fenced by a term.
pub struct Fenced {
    journal: Arc<dyn Journal>,
    term: Term,
}

impl Fenced {
    /// The same journal for as long as the term lasts.
    pub fn new(journal: Arc<dyn Journal>, term: Term) -> Self {
        Self { journal, term }
    }
}

impl Journal for Fenced {
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>> {
        self.journal.commit(change.in_term(self.term.clone()))
    }

    fn obstacle(&self) -> Option<String> {
        self.journal.obstacle()
    }
}
