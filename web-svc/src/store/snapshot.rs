//! All records at one revision, for as long as it takes to carry them away.

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use serde::de::DeserializeOwned;
use sqlx::{ConnectOptions, Row, SqliteConnection};

use super::{During, Store, StoreError, Stored, decode, revision_from};
use crate::journal::{RecordKey, Revision};

/// The records as they were when it was taken, whatever is written meanwhile.
///
/// It has a connection of its own, so that no query waits for it. The write-ahead log grows while it lives: do not keep it
/// longer than it takes.
#[derive(Debug)]
pub struct Snapshot {
    connection: SqliteConnection,
    revision: Revision,
}

impl Store {
    /// Takes a snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let options = self.readers.connect_options();
        let mut connection = options.connect().await.during("opening a snapshot")?;
        sqlx::query("BEGIN").execute(&mut connection).await.during("beginning a snapshot")?;
        // The first read decides what the snapshot shows.
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'revision'").fetch_one(&mut connection).await;
        let revision = revision_from(row.during("reading the revision")?.get(0));
        Ok(Snapshot { connection, revision })
    }
}

impl Snapshot {
    /// The revision that it shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// One record.
    pub async fn get<T: DeserializeOwned>(&mut self, key: &RecordKey) -> Result<Option<Stored<T>>, StoreError> {
        let query = sqlx::query("SELECT revision, value FROM records WHERE key = ?").bind(key.as_str());
        let row = query.fetch_optional(&mut self.connection).await.during("reading a record")?;
        row.map(|row| decode(key.clone(), row.get(0), row.get::<&str, _>(1))).transpose()
    }

    /// The kinds of records that there are.
    pub async fn kinds(&mut self) -> Result<Vec<String>, StoreError> {
        let mut kinds = Vec::new();
        let mut after = String::new();
        loop {
            let query = sqlx::query("SELECT key FROM records WHERE key >= ? ORDER BY key LIMIT 1").bind(&after);
            let row = query.fetch_optional(&mut self.connection).await.during("looking for kinds of records")?;
            let Some(row) = row else { return Ok(kinds) };
            let kind = RecordKey::from_stored(row.get(0)).kind().to_owned();
            after = end_of(&kind);
            kinds.push(kind);
        }
    }

    /// The records of one kind in the order of their keys, with their JSON; a few at a time are in memory.
    pub fn records(&mut self, kind: &str) -> BoxStream<'_, Result<(RecordKey, String), StoreError>> {
        sqlx::query("SELECT key, value FROM records WHERE key >= ? AND key < ? ORDER BY key")
            .bind(format!("{kind}/"))
            .bind(end_of(kind))
            .fetch(&mut self.connection)
            .map(|row| row.during("reading the records of a snapshot"))
            .map_ok(|row| (RecordKey::from_stored(row.get(0)), row.get(1)))
            .boxed()
    }
}

/// The least key that comes after all records of a kind.
fn end_of(kind: &str) -> String {
    // '0' comes after '/'.
    format!("{kind}0")
}
