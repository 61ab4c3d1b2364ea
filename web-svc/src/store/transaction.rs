//! The application of one committed change to the local database.

use std::sync::Arc;

use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::{Changed, During, Feed, StoreError, projection, revision_from};
use crate::journal::{Effect, Operation, RecordKey, Revision};

/// An open write transaction on the local database; there is at most one at a time.
#[derive(Debug)]
pub struct WriteTransaction {
    transaction: Transaction<'static, Sqlite>,
    revision: Revision,
    feed: Feed,
    changed: Vec<Changed>,
}

impl WriteTransaction {
    pub(super) async fn begin(writer: &SqlitePool, feed: Feed) -> Result<Self, StoreError> {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.during("beginning a change")?;
        feed.publications.settle();
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'revision'")
            .fetch_one(&mut *transaction)
            .await
            .during("reading the revision")?;
        Ok(Self { transaction, revision: revision_from(row.get(0)), feed, changed: Vec::new() })
    }

    /// The revision of the last change applied.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// When a record was last changed; `None` where it does not exist.
    pub async fn revision_of(&mut self, key: &RecordKey) -> Result<Option<Revision>, StoreError> {
        let row = sqlx::query("SELECT revision FROM records WHERE key = ?")
            .bind(key.as_str())
            .fetch_optional(&mut *self.transaction)
            .await
            .during("reading a record's revision")?;
        Ok(row.map(|row| revision_from(row.get(0))))
    }

    /// Applies the effects of a change and moves the store to its revision; several changes may be applied in their order.
    pub async fn apply(&mut self, revision: Revision, operations: Vec<Operation>) -> Result<(), StoreError> {
        let stored = revision_stored(revision);
        let mut keys = Vec::with_capacity(operations.len());
        for Operation { key, effect, .. } in operations {
            match effect {
                Effect::Check => continue,
                Effect::Put(json) => self.put(&key, stored, &json).await?,
                Effect::Delete => self.delete(&key).await?,
            }
            keys.push(key);
        }
        self.move_to(revision).await?;
        self.note(revision, keys);
        Ok(())
    }

    pub(super) async fn put(&mut self, key: &RecordKey, revision: i64, json: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO records (key, revision, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET revision = ?2, value = ?3",
        )
        .bind(key.as_str())
        .bind(revision)
        .bind(json)
        .execute(&mut *self.transaction)
        .await
        .during("writing a record")?;
        projection::put(&mut self.transaction, key, json).await
    }

    pub(super) async fn delete(&mut self, key: &RecordKey) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM records WHERE key = ?")
            .bind(key.as_str())
            .execute(&mut *self.transaction)
            .await
            .during("deleting a record")?;
        projection::delete(&mut self.transaction, key).await
    }

    /// Moves the store to a revision.
    pub(crate) async fn move_to(&mut self, revision: Revision) -> Result<(), StoreError> {
        sqlx::query("UPDATE meta SET value = ? WHERE name = 'revision'")
            .bind(revision_stored(revision))
            .execute(&mut *self.transaction)
            .await
            .during("writing the revision")?;
        self.revision = revision;
        Ok(())
    }

    /// Notes what subscribers are told after the commit.
    pub(super) fn note(&mut self, revision: Revision, keys: Vec<RecordKey>) {
        self.changed.push(Changed { revision, keys: Arc::from(keys) });
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Makes the change durable and tells the subscribers.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { transaction, revision, feed, changed } = self;
        feed.publications.change(changed.iter().flat_map(|changed| changed.keys.iter()));
        transaction.commit().await.during("committing a change")?;
        feed.publications.settle();
        for changed in changed {
            // An error only means that nobody subscribes right now.
            feed.changes.send(changed).ok();
        }
        feed.revision.send_replace(revision);
        Ok(())
    }
}

pub(super) fn revision_stored(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}
