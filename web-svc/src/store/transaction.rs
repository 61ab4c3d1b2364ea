//! The application of one committed change to the local database.

use std::sync::Arc;

use sqlx::{Row, Sqlite, SqlitePool, Transaction};
use tokio::sync::broadcast;

use super::{Changed, During, StoreError, projection, revision_from};
use crate::journal::{Effect, Operation, RecordKey, Revision};

/// An open write transaction on the local database; there is at most one at a time.
#[derive(Debug)]
pub struct WriteTransaction {
    transaction: Transaction<'static, Sqlite>,
    revision: Revision,
    changes: broadcast::Sender<Changed>,
    changed: Option<Changed>,
}

impl WriteTransaction {
    pub(super) async fn begin(writer: &SqlitePool, changes: broadcast::Sender<Changed>) -> Result<Self, StoreError> {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.during("beginning a change")?;
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'revision'")
            .fetch_one(&mut *transaction)
            .await
            .during("reading the revision")?;
        Ok(Self { transaction, revision: revision_from(row.get(0)), changes, changed: None })
    }

    /// The revision of the last change applied before this one.
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

    /// Applies the effects of a change and moves the store to its revision.
    pub async fn apply(&mut self, revision: Revision, operations: Vec<Operation>) -> Result<(), StoreError> {
        let stored = i64::try_from(revision.get()).unwrap_or(i64::MAX);
        let mut keys = Vec::with_capacity(operations.len());
        for Operation { key, effect, .. } in operations {
            match effect {
                Effect::Check => continue,
                Effect::Put(json) => {
                    sqlx::query(
                        "INSERT INTO records (key, revision, value) VALUES (?1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE SET revision = ?2, value = ?3",
                    )
                    .bind(key.as_str())
                    .bind(stored)
                    .bind(&json)
                    .execute(&mut *self.transaction)
                    .await
                    .during("writing a record")?;
                    projection::put(&mut self.transaction, &key, &json).await?;
                }
                Effect::Delete => {
                    sqlx::query("DELETE FROM records WHERE key = ?")
                        .bind(key.as_str())
                        .execute(&mut *self.transaction)
                        .await
                        .during("deleting a record")?;
                    projection::delete(&mut self.transaction, &key).await?;
                }
            }
            keys.push(key);
        }
        sqlx::query("UPDATE meta SET value = ? WHERE name = 'revision'")
            .bind(stored)
            .execute(&mut *self.transaction)
            .await
            .during("writing the revision")?;
        self.changed = Some(Changed { revision, keys: Arc::from(keys) });
        Ok(())
    }

    /// Makes the change durable and tells the subscribers.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.during("committing a change")?;
        if let Some(changed) = self.changed {
            // An error only means that nobody subscribes right now.
            self.changes.send(changed).ok();
        }
        Ok(())
    }
}
