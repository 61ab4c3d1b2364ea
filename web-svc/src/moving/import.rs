//! Looks at every record before the first one is written, lets the storage nodes join, then writes.

use serde_json::{Value, value::RawValue};
use triton_api::{
    NodeUrl,
    metadata::{MetadataImport, MetadataRecord},
};

use super::{error::ImportError, progress::Progress, spool::Spool};
use crate::{
    app::App,
    cluster::Cluster,
    journal::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, Change, Expect, JournalError, RecordKey},
    store::{Store, StoreError, check_record},
};

/// Records of one change: one operation is the progress, and some room is left for what a journal adds of its own.
const BATCH_RECORDS_MAX: usize = CHANGE_OPS_MAX - 8;
/// Bytes of all records of one change; the rest is for the progress. A record that is larger by itself goes alone.
const BATCH_BYTES_MAX: usize = CHANGE_BYTES_MAX - 4096;

/// Imports a file that was found whole. The nodes of its layout join unless `nodes` is `None`; it says where some answer.
pub(super) async fn import(
    app: &App,
    cluster: &Cluster,
    spool: &mut Spool,
    nodes: Option<&[NodeUrl]>,
) -> Result<MetadataImport, ImportError> {
    let progress = Progress::find(&app.store, &spool.trailer.blake3).await?;
    look(&app.store, spool, progress.records_done()).await?;
    let nodes_added = match nodes {
        Some(nodes) => cluster.adopt_nodes(&spool.header.layout, nodes).await?,
        None => 0,
    };
    let writing = Writing { app, progress, batch: Batch::default(), imported: 0, skipped: 0 };
    let written = writing.all(spool).await?;
    let MetadataImport { imported, skipped, .. } = written;
    tracing::info!(imported, skipped, nodes_added, "metadata was imported");
    Ok(MetadataImport { nodes_added, ..written })
}

/// Whether every record can be written; `done` records at the beginning have been.
async fn look(store: &Store, spool: &mut Spool, done: u64) -> Result<(), ImportError> {
    let mut first = None;
    let mut more = 0;
    let mut records = spool.records().await?;
    while let Some(record) = records.next().await? {
        if records.records() <= done {
            continue;
        }
        let key = RecordKey::from_stored(record.key.clone());
        check_record(&key, record.value.get()).map_err(|error| not_understood(key.clone(), &error))?;
        match find(store, &key, &record.value).await? {
            Presence::Absent | Presence::Same => {}
            Presence::Other if first.is_none() => first = Some(record.key),
            Presence::Other => more += 1,
        }
    }
    first.map_or(Ok(()), |key| Err(ImportError::Differs { key, more }))
}

fn not_understood(key: RecordKey, error: &StoreError) -> ImportError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    ImportError::NotUnderstood { key, reason }
}

enum Presence {
    Absent,
    Same,
    Other,
}

async fn find(store: &Store, key: &RecordKey, value: &RawValue) -> Result<Presence, ImportError> {
    let Some(present) = store.get::<Value>(key).await? else { return Ok(Presence::Absent) };
    // By meaning: the order of fields is no difference.
    let same = serde_json::from_str::<Value>(value.get()).is_ok_and(|value| value == present.value);
    Ok(if same { Presence::Same } else { Presence::Other })
}

struct Writing<'a> {
    app: &'a App,
    progress: Progress,
    batch: Batch,
    imported: u64,
    skipped: u64,
}

#[derive(Default)]
struct Batch {
    records: Vec<MetadataRecord>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self, record: &MetadataRecord) -> bool {
        let fits = self.bytes + record.value.get().len() <= BATCH_BYTES_MAX;
        self.records.is_empty() || (fits && self.records.len() < BATCH_RECORDS_MAX)
    }

    fn push(&mut self, record: MetadataRecord) {
        self.bytes += record.value.get().len();
        self.records.push(record);
    }
}

impl Writing<'_> {
    async fn all(mut self, spool: &mut Spool) -> Result<MetadataImport, ImportError> {
        let done = self.progress.records_done();
        let mut records = spool.records().await?;
        while let Some(record) = records.next().await? {
            let position = records.records();
            if position <= done {
                self.skipped += 1;
                continue;
            }
            let key = RecordKey::from_stored(record.key.clone());
            match find(&self.app.store, &key, &record.value).await? {
                Presence::Same => self.skipped += 1,
                // Whoever wrote another value since the look wins: the journal will say so.
                Presence::Absent | Presence::Other => {
                    if !self.batch.has_room(&record) {
                        self.flush(position - 1).await?;
                    }
                    self.batch.push(record);
                }
            }
        }
        let position = records.records();
        self.flush(position).await?;
        let (imported, skipped) = (self.imported, self.skipped);
        if let Some(end) = self.progress.end() {
            self.app.journal.commit(end).await.map_err(|error| interrupted(error, imported))?;
        }
        Ok(MetadataImport { imported, skipped, nodes_added: 0 })
    }

    /// Writes what has been gathered: with it all records before `position` are here.
    async fn flush(&mut self, position: u64) -> Result<(), ImportError> {
        let Batch { records, .. } = std::mem::take(&mut self.batch);
        if records.is_empty() {
            return Ok(());
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut change = Change::new();
        for MetadataRecord { key, value } in records {
            change = change.put(RecordKey::from_stored(key), Expect::Absent, &value)?;
        }
        let change = self.progress.moves_on(change, position)?;
        let committed = self.app.journal.commit(change).await;
        let revision = committed.map_err(|error| interrupted(error, self.imported))?;
        self.progress.moved_on(revision);
        self.imported += count;
        Ok(())
    }
}

fn interrupted(error: JournalError, imported: u64) -> ImportError {
    match error {
        JournalError::Conflict { key } if key == RecordKey::metadata_import() => ImportError::Overtaken,
        JournalError::Conflict { key } => ImportError::Raced { key },
        error if error.is_outage() || matches!(error, JournalError::Deposed) => {
            ImportError::Interrupted { imported, source: error }
        }
        error => ImportError::Journal(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Revision;

    #[test]
    fn an_import_that_any_journal_breaks_off_says_how_to_go_on() {
        for error in [JournalError::Lagging { revision: Revision::new(7) }, JournalError::Deposed] {
            let told = interrupted(error, 20).to_string();
            assert!(told.contains("20 records") && told.contains("import the same file again"), "{told}");
        }
    }
}
