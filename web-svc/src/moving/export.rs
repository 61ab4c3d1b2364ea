//! Reads a snapshot and sends it away line by line.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use triton_api::{
    layout::LayoutRecord,
    metadata::{FORMAT, MetadataHeader, Order, VERSION, Writer, is_portable},
};

use super::error::ExportError;
use crate::{
    app::App,
    journal::RecordKey,
    store::{Snapshot, StoreError},
};

/// What is sent at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for a slow reader.
const CHUNKS_WAITING: usize = 4;
/// The longest that a reader may take none: the snapshot keeps the database's log from being folded in.
const READER_SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why an export breaks off. The reader sees no last line.
#[derive(Debug, Error)]
enum BrokenOff {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {key} is not JSON")]
    Record { key: RecordKey, source: serde_json::Error },
    #[error("the last line has no JSON form")]
    Trailer(#[source] serde_json::Error),
    #[error("the reader is gone, or has read nothing for {} s", READER_SILENCE_MAX.as_secs())]
    Reader,
}

/// The lines, which a task of its own reads; it ends with the stream.
pub(super) async fn start(
    app: &App,
    turn: OwnedSemaphorePermit,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, ExportError> {
    let mut snapshot = app.store.snapshot().await?;
    let header = header(&mut snapshot).await?;
    let (mut writer, mut first) = (Writer::default(), BytesMut::new());
    writer.header(&header, &mut first)?;
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let sending = Sending { sender, writer, buffer: first };
        if let Err(error) = sending.all(snapshot).await {
            tracing::warn!(%error, "an export of the metadata broke off");
        }
        drop(turn);
    }));
    Ok(ReceiverStream::new(receiver).map(move |chunk| {
        let _owned = &task;
        chunk
    }))
}

async fn header(snapshot: &mut Snapshot) -> Result<MetadataHeader, ExportError> {
    let layout = snapshot.get::<LayoutRecord>(&RecordKey::layout()).await?.ok_or(ExportError::NoLayout)?.value;
    let migration = snapshot.get::<serde_json::Value>(&RecordKey::migration()).await?;
    if migration.is_some() || layout.next.is_some() {
        return Err(ExportError::Migrating);
    }
    let revision = snapshot.revision().get();
    Ok(MetadataHeader { format: FORMAT.to_owned(), v: VERSION, revision, exported_at: Timestamp::now(), layout })
}

struct Sending {
    sender: mpsc::Sender<io::Result<Bytes>>,
    writer: Writer,
    buffer: BytesMut,
}

impl Sending {
    async fn all(mut self, mut snapshot: Snapshot) -> Result<(), BrokenOff> {
        let ended = self.records(&mut snapshot).await;
        let Err(error) = ended else {
            self.writer.trailer(&mut self.buffer).map_err(BrokenOff::Trailer)?;
            return send(&self.sender, Ok(self.buffer.split().freeze())).await;
        };
        // Breaks the connection, so that nobody takes it for an end.
        send(&self.sender, Err(io::Error::other("the export broke off"))).await?;
        Err(error)
    }

    async fn records(&mut self, snapshot: &mut Snapshot) -> Result<(), BrokenOff> {
        // Within a kind, the order of the file is that of the keys.
        let mut kinds = snapshot.kinds().await?;
        kinds.retain(|kind| is_portable(&format!("{kind}/")));
        kinds.sort_by_key(|kind| Order::of(&format!("{kind}/")));
        for kind in kinds {
            let mut records = snapshot.records(&kind);
            while let Some((key, json)) = records.try_next().await? {
                let written = self.writer.record(key.as_str(), &json, &mut self.buffer);
                written.map_err(|source| BrokenOff::Record { key, source })?;
                if self.buffer.len() >= CHUNK_BYTES {
                    send(&self.sender, Ok(self.buffer.split().freeze())).await?;
                }
            }
        }
        Ok(())
    }
}

async fn send(sender: &mpsc::Sender<io::Result<Bytes>>, chunk: io::Result<Bytes>) -> Result<(), BrokenOff> {
    sender.send_timeout(chunk, READER_SILENCE_MAX).await.map_err(|_| BrokenOff::Reader)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use triton_api::{Generation, NodeId, VideoId, layout::LayoutNode};

    use super::*;
    use crate::{
        journal::{Change, Expect, Journal, SqliteJournal},
        store::{Durability, Store},
    };

    fn layout() -> LayoutRecord {
        let url = "http://127.0.0.1:8090".parse().unwrap();
        let node = LayoutNode::active(NodeId::generate(), url, "default".to_owned(), 100);
        LayoutRecord::settled(triton_placement::layout::first(vec![node], 3).unwrap())
    }

    async fn house() -> (tempfile::TempDir, Store, SqliteJournal) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
        let journal = SqliteJournal::new(store.clone());
        let change = Change::new().put(RecordKey::layout(), Expect::Absent, &layout()).unwrap();
        let change = change.put(RecordKey::worker("a"), Expect::Absent, &json!({})).unwrap();
        journal.commit(change).await.unwrap();
        (dir, store, journal)
    }

    async fn put(journal: &SqliteJournal, key: RecordKey) {
        journal.commit(Change::new().put(key, Expect::Absent, &json!({"v": 1})).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_migration_is_not_exported() {
        let (_dir, store, journal) = house().await;
        let mut before = store.snapshot().await.unwrap();
        put(&journal, RecordKey::migration()).await;
        let refused = header(&mut store.snapshot().await.unwrap()).await;
        assert!(matches!(refused, Err(ExportError::Migrating)), "{refused:?}");
        assert_eq!(header(&mut before).await.unwrap().revision, 1, "this one was taken before");
    }

    #[tokio::test]
    async fn what_is_written_meanwhile_is_not_in_it_and_nodes_and_processes_stay() {
        let (_dir, store, journal) = house().await;
        let id = VideoId::generate();
        let keys = [1, 2].map(|number| RecordKey::plan(id, Generation::new(number)));
        let trash = RecordKey::trash(id, Generation::new(1));
        put(&journal, trash.clone()).await;
        put(&journal, keys[0].clone()).await;
        let snapshot = store.snapshot().await.unwrap();
        put(&journal, keys[1].clone()).await;

        let (sender, mut chunks) = mpsc::channel(CHUNKS_WAITING);
        let sending = Sending { sender, writer: Writer::default(), buffer: BytesMut::new() };
        sending.all(snapshot).await.unwrap();
        let text = String::from_utf8(chunks.recv().await.unwrap().unwrap().to_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[0].contains(keys[0].as_str()) && lines[1].contains(trash.as_str()), "{text}");
        assert!(lines[2].contains("\"records\":2"), "{text}");
    }
}
