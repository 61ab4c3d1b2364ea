//! A store that follows another journal: whose records it has, and loading all of them anew.

use sqlx::Row;

use super::{During, Store, StoreError, WriteTransaction, revision_from, transaction::revision_stored};
use crate::journal::{RecordKey, Revision};

/// Records that are compared and applied between two looks at the table.
const BATCH: i64 = 500;

/// A record as another journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingRecord {
    /// Its key.
    pub key: RecordKey,
    /// When it was last changed.
    pub revision: Revision,
    /// Its value, as JSON.
    pub json: String,
}

impl Store {
    /// The etcd cluster whose records these are; `None` where they are of no cluster yet.
    pub async fn etcd_cluster(&self) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'etcd_cluster'")
            .fetch_optional(&self.readers)
            .await
            .during("reading whose records these are")?;
        Ok(row.map(|row| row.get::<i64, _>(0).cast_unsigned()))
    }

    /// The record that was changed last, and when.
    pub async fn newest_record(&self) -> Result<Option<(RecordKey, Revision)>, StoreError> {
        let row = sqlx::query("SELECT key, revision FROM records ORDER BY revision DESC LIMIT 1")
            .fetch_optional(&self.readers)
            .await
            .during("looking for the newest record")?;
        Ok(row.map(|row| (RecordKey::from_stored(row.get(0)), revision_from(row.get(1)))))
    }

    /// Begins to take in all records of a journal, beside those that are there.
    pub async fn clear_incoming(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM incoming").execute(&self.writer).await.during("clearing the way for records").map(drop)
    }

    /// Takes in some of the records.
    pub async fn take_in(&self, records: &[IncomingRecord]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for record in records {
            sqlx::query("INSERT OR REPLACE INTO incoming (key, revision, value) VALUES (?, ?, ?)")
                .bind(record.key.as_str())
                .bind(revision_stored(record.revision))
                .bind(&record.json)
                .execute(transaction.connection())
                .await
                .during("taking in a record")?;
        }
        transaction.commit().await
    }

    /// Makes the records what was taken in, as of `revision`, in one transaction: readers see the old or the new ones.
    pub async fn become_incoming(&self, revision: Revision, etcd_cluster: u64) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        drop_missing(&mut transaction, revision).await?;
        put_differing(&mut transaction, revision).await?;
        sqlx::query("INSERT OR REPLACE INTO meta (name, value) VALUES ('etcd_cluster', ?)")
            .bind(etcd_cluster.cast_signed())
            .execute(transaction.connection())
            .await
            .during("writing whose records these are")?;
        sqlx::query("DELETE FROM incoming").execute(transaction.connection()).await.during("clearing up")?;
        transaction.move_to(revision).await?;
        transaction.commit().await
    }
}

/// Deletes the records that were not taken in.
async fn drop_missing(transaction: &mut WriteTransaction, revision: Revision) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows = sqlx::query(
            "SELECT key FROM records WHERE key > ? AND key NOT IN (SELECT key FROM incoming) ORDER BY key LIMIT ?",
        )
        .bind(after.clone())
        .bind(BATCH)
        .fetch_all(transaction.connection())
        .await
        .during("looking for records that are gone")?;
        let keys: Vec<RecordKey> = rows.iter().map(|row| RecordKey::from_stored(row.get(0))).collect();
        let Some(last) = keys.last() else { return Ok(()) };
        last.as_str().clone_into(&mut after);
        for key in &keys {
            transaction.delete(key).await?;
        }
        transaction.note(revision, keys);
    }
}

/// Writes the records that are new or another than what was taken in.
async fn put_differing(transaction: &mut WriteTransaction, revision: Revision) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows = sqlx::query(
            "SELECT i.key, i.revision, i.value FROM incoming i LEFT JOIN records r ON r.key = i.key
             WHERE i.key > ? AND (r.revision IS NULL OR r.revision <> i.revision OR r.value <> i.value)
             ORDER BY i.key LIMIT ?",
        )
        .bind(after.clone())
        .bind(BATCH)
        .fetch_all(transaction.connection())
        .await
        .during("looking for records that have changed")?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let key = RecordKey::from_stored(row.get(0));
            transaction.put(&key, row.get(1), row.get(2)).await?;
            keys.push(key);
        }
        let Some(last) = keys.last() else { return Ok(()) };
        last.as_str().clone_into(&mut after);
        transaction.note(revision, keys);
    }
}
