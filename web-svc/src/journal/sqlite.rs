//! The journal of a single process: the local database itself.

use futures_util::{FutureExt, future::BoxFuture};

use super::{Change, Expect, Journal, JournalError, Operation, Revision};
use crate::store::{Store, StoreError, WriteTransaction};

/// Commits each change in one local transaction, durable when it returns (`synchronous=FULL`).
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    store: Store,
}

impl SqliteJournal {
    /// A journal that writes the given store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn commit_now(&self, operations: Vec<Operation>) -> Result<Revision, JournalError> {
        let mut transaction = self.store.begin().await.map_err(JournalError::Unavailable)?;
        for operation in &operations {
            check(&mut transaction, operation).await?;
        }
        let revision = Revision::new(transaction.revision().get() + 1);
        transaction.apply(revision, operations).await.map_err(JournalError::Unavailable)?;
        transaction.commit().await.map_err(JournalError::Unavailable)?;
        Ok(revision)
    }
}

async fn check(transaction: &mut WriteTransaction, operation: &Operation) -> Result<(), JournalError> {
    let unavailable = |error: StoreError| JournalError::Unavailable(error);
    let holds = match operation.expect {
        Expect::Anything => true,
        Expect::Absent => transaction.revision_of(&operation.key).await.map_err(unavailable)?.is_none(),
        Expect::At(revision) => transaction.revision_of(&operation.key).await.map_err(unavailable)? == Some(revision),
    };
    if holds { Ok(()) } else { Err(JournalError::Conflict { key: operation.key.clone() }) }
}

impl Journal for SqliteJournal {
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>> {
        // A term needs no check: the only process of an installation leads for as long as it lives.
        async move { self.commit_now(change.into_operations()?).await }.boxed()
    }

    fn obstacle(&self) -> Option<String> {
        None
    }
}
