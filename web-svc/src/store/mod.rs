//! The read model: a local SQLite database that every query reads and to which journals apply committed changes.

mod jobs;
mod projection;
mod publications;
mod replica;
mod snapshot;
mod transaction;
mod videos;

use std::{path::Path, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use thiserror::Error;
use tokio::sync::{broadcast, watch};

pub use jobs::{Abilities, JobRow};
pub(crate) use projection::check as check_record;
pub use publications::Publication;
pub use replica::IncomingRecord;
pub use snapshot::Snapshot;
pub use transaction::WriteTransaction;
pub use videos::{VideoListing, VideoPosition};

use crate::journal::{RecordKey, Revision};

/// Connections for queries; the one for changes comes on top.
const READERS: u32 = 4;
/// The longest wait for a connection or a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Changes that a slow subscriber may lag behind before it has to read everything again.
const CHANGES_BUFFERED: usize = 1024;

/// Why the local database failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {path}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The migrations cannot be run.
    #[error("cannot bring the database's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A query failed.
    #[error("the database failed while {operation}")]
    Query {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A record is not what this version understands.
    #[error("the record {key} cannot be read")]
    Decode {
        /// The record.
        key: RecordKey,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Names the operation in the error of a query.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Query { operation, source })
    }
}

/// A record with the revision at which it was last changed: the condition of the next change.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// The record's value.
    pub value: T,
    /// When it was last changed.
    pub revision: Revision,
}

/// A committed change, as subscribers see it.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The change's revision.
    pub revision: Revision,
    /// The records that it wrote or deleted.
    pub keys: Arc<[RecordKey]>,
}

/// What a committed change survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: this database is the truth.
    Full,
    /// The end of the process: what a power cut takes is read again from where it came.
    Replica,
}

/// The local database. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    writer: SqlitePool,
    feed: Feed,
}

/// Who is told of what has been applied.
#[derive(Debug, Clone)]
struct Feed {
    changes: broadcast::Sender<Changed>,
    revision: watch::Sender<Revision>,
    publications: publications::Publications,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub async fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let synchronous = match durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Replica => SqliteSynchronous::Normal,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let open = |source| StoreError::Open { path: path.display().to_string(), source };
        // A connection to a file does not age. And what looks for aged ones counts wrongly in sqlx 0.9 where a pool is closed meanwhile:
        // its loop to the largest number never ends, and keeps a processor busy.
        let pool = |connections| {
            let options = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(BUSY_TIMEOUT);
            options.idle_timeout(None).max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await.map_err(open)?;
        sqlx::migrate!("../migrations").run(&writer).await.map_err(StoreError::Migrate)?;
        let mut transaction = writer.begin().await.map_err(open)?;
        projection::catch_up(&mut transaction).await?;
        transaction.commit().await.map_err(open)?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(open)?;
        let (changes, _) = broadcast::channel(CHANGES_BUFFERED);
        let feed = Feed {
            changes,
            revision: watch::Sender::new(Revision::ZERO),
            publications: publications::Publications::default(),
        };
        let store = Self { readers, writer, feed };
        store.feed.revision.send_replace(store.revision().await?);
        Ok(store)
    }

    /// Closes all connections, so that the write-ahead log is folded into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins the application of a change; others wait meanwhile.
    pub(crate) async fn begin(&self) -> Result<WriteTransaction, StoreError> {
        WriteTransaction::begin(&self.writer, self.feed.clone()).await
    }

    /// Every change committed from now on. A receiver that lags reads what it needs again.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.feed.changes.subscribe()
    }

    /// The revision of the last change applied here, as it grows.
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.feed.revision.subscribe()
    }

    /// The revision of the last change applied here.
    pub async fn revision(&self) -> Result<Revision, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'revision'")
            .fetch_one(&self.readers)
            .await
            .during("reading the revision")?;
        Ok(revision_from(row.get(0)))
    }

    /// One record.
    pub async fn get<T: DeserializeOwned>(&self, key: &RecordKey) -> Result<Option<Stored<T>>, StoreError> {
        let row = sqlx::query("SELECT revision, value FROM records WHERE key = ?")
            .bind(key.as_str())
            .fetch_optional(&self.readers)
            .await
            .during("reading a record")?;
        row.map(|row| decode(key.clone(), row.get(0), row.get::<&str, _>(1))).transpose()
    }

    /// All records whose key begins with `prefix`, in the order of their keys, less those that this version does not
    /// understand; at most `limit`.
    pub async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Stored<T>)>, StoreError> {
        self.list_from(prefix, "", limit).await
    }

    /// The same from the key on that has `first` after the prefix.
    pub async fn list_from<T: DeserializeOwned>(
        &self,
        prefix: &str,
        first: &str,
        limit: u32,
    ) -> Result<Vec<(RecordKey, Stored<T>)>, StoreError> {
        // No key contains a character above 'z', so this bound ends the range of the prefix.
        let end = format!("{prefix}\u{7f}");
        let rows =
            sqlx::query("SELECT key, revision, value FROM records WHERE key >= ? AND key < ? ORDER BY key LIMIT ?")
                .bind(format!("{prefix}{first}"))
                .bind(end)
                .bind(limit)
                .fetch_all(&self.readers)
                .await
                .during("listing records")?;
        Ok(rows.iter().filter_map(understood).collect())
    }
}

fn revision_from(stored: i64) -> Revision {
    Revision::new(stored.unsigned_abs())
}

/// The record in a row of key, revision and value; `None` where a newer version wrote it in a shape unknown here.
fn understood<T: DeserializeOwned>(row: &SqliteRow) -> Option<(RecordKey, Stored<T>)> {
    let key = RecordKey::from_stored(row.get(0));
    match decode(key.clone(), row.get(1), row.get::<&str, _>(2)) {
        Ok(stored) => Some((key, stored)),
        Err(error) => {
            tracing::debug!(%key, %error, "a record is left out, as it is not understood");
            None
        }
    }
}

fn decode<T: DeserializeOwned>(key: RecordKey, revision: i64, json: &str) -> Result<Stored<T>, StoreError> {
    match serde_json::from_str(json) {
        Ok(value) => Ok(Stored { value, revision: revision_from(revision) }),
        Err(source) => Err(StoreError::Decode { key, source }),
    }
}
