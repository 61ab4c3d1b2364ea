//! Blobs that no metadata refers to.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use triton_api::{
    BlobKey, Generation, VideoId,
    video::{VideoState, Visibility},
};
use triton_testkit::{content, eventually};
use web_svc::{
    catalog::{Original, Rest, VideoRecord},
    cluster::ClusterSettings,
    journal::{Change, Expect, Journal, JournalError, RecordKey, Revision, SqliteJournal},
    store::{Changed, Durability, Store},
};

use crate::farm::{DEADLINE, Node, Web, quick, start_nodes, urls};

/// Enough for one in a hundred to be two.
const BLOBS: u64 = 200;

fn settings() -> ClusterSettings {
    ClusterSettings { orphan_interval: Duration::from_millis(500), orphan_age: Duration::from_millis(100), ..quick() }
}

fn video(id: VideoId) -> VideoRecord {
    VideoRecord {
        v: 1,
        id,
        title: "t".into(),
        description: String::new(),
        visibility: Visibility::Public,
        state: VideoState::Uploading,
        reason: None,
        created_at: Timestamp::now(),
        original: Original { len_bytes: 1, file_name: String::new() },
        generation: Generation::new(1),
        published: None,
        uploader: None,
        rest: Rest::new(),
    }
}

async fn record(store: &Store, id: VideoId) {
    let change = Change::new().put(RecordKey::video(id), Expect::Anything, &video(id)).unwrap();
    SqliteJournal::new(store.clone()).commit(change).await.unwrap();
}

/// Parts of an original, as an upload writes them.
async fn fill(web: &Web, id: VideoId, count: u64) -> Vec<BlobKey> {
    let keys: Vec<_> = (0..count).map(|part| VideoRecord::original_part(id, part)).collect();
    for (seed, key) in keys.iter().enumerate() {
        web.ring.put(key, content(seed as u64, 500)).await.unwrap();
    }
    keys
}

async fn aside(nodes: &[Node]) -> Vec<u64> {
    let mut counts = Vec::new();
    for node in nodes {
        counts.push(node.client().info().await.unwrap().orphans);
    }
    counts
}

/// How many runs have been made: each writes its record.
async fn runs(web: &Web, count: u64) {
    let revision = || async {
        let run = web.store.get::<serde_json::Value>(&RecordKey::orphan_run()).await.unwrap();
        run.map_or(0, |run| run.revision.get())
    };
    for _ in 0..count {
        let before = revision().await;
        eventually(DEADLINE, || async { revision().await > before }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_moved_aside_a_hundredth_at_a_time_and_come_back_when_they_are_referred_to() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let web = Web::start(&dir, settings(), &urls(&nodes)).await;
    let mut changes = web.store.subscribe();
    let (kept, lost) = (VideoId::generate(), VideoId::generate());
    record(&web.store, kept).await;
    // In progress: its record is there, and nothing else is.
    let upload = fill(&web, kept, BLOBS - 10).await;
    let orphans = fill(&web, lost, 10).await;
    eventually(DEADLINE, || async { aside(&nodes).await == [10, 10, 10] }).await;
    let is_run = |change: &Changed| change.keys.contains(&RecordKey::orphan_run());
    let runs_so_far = std::iter::from_fn(|| changes.try_recv().ok()).filter(is_run).count();
    // One that sees them, and then at most two in each: a hundredth of two hundred.
    assert!(runs_so_far >= 6, "{runs_so_far}");
    for key in &orphans {
        assert!(web.ring.head(key).await.is_err_and(|error| error.is_absent()), "{key}");
    }
    runs(&web, 3).await;
    for key in &upload {
        assert!(web.ring.head(key).await.is_ok(), "{key} of an upload in progress is gone");
    }
    record(&web.store, lost).await;
    eventually(DEADLINE, || async { aside(&nodes).await == [0, 0, 0] }).await;
    for (seed, key) in orphans.iter().enumerate() {
        assert_eq!(web.ring.read_all(key, 1 << 20).await.unwrap(), content(seed as u64, 500), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_collected_while_a_node_is_silent_or_a_blob_is_young() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let old = ClusterSettings { orphan_age: Duration::from_secs(3600), ..settings() };
    let web = Web::start(&dir, old, &urls(&nodes)).await;
    fill(&web, VideoId::generate(), 120).await;
    runs(&web, 4).await;
    assert_eq!(aside(&nodes).await, [0, 0, 0], "they are young");
    web.crash().await;
    nodes[2].kill();
    let web = Web::start(&dir, settings(), &urls(&nodes)).await;
    tokio::time::sleep(4 * settings().orphan_interval).await;
    assert_eq!(aside(&nodes[..2]).await, [0, 0], "what is on the silent node is not known");
    nodes[2].restart().await;
    eventually(DEADLINE, || async { aside(&nodes).await.iter().all(|count| *count > 0) }).await;
    drop(web);
}

/// Commits elsewhere: the store that is read does not learn of it, as that of a process which lags behind etcd.
struct Elsewhere(SqliteJournal);

impl Journal for Elsewhere {
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>> {
        self.0.commit(change)
    }

    fn obstacle(&self) -> Option<String> {
        self.0.obstacle()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lagging_metadata_collects_nothing() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    fill(&web, VideoId::generate(), 120).await;
    web.crash().await;
    let elsewhere = Store::open(&dir.path().join("elsewhere.db"), Durability::Full).await.unwrap();
    let ahead = SqliteJournal::new(elsewhere.clone());
    for _ in 0..100 {
        ahead.commit(Change::new().put(RecordKey::worker("x"), Expect::Anything, &1).unwrap()).await.unwrap();
    }
    let web = Web::start_through(&dir, settings(), &urls(&nodes), Arc::new(Elsewhere(ahead))).await;
    let ran = || async { elsewhere.get::<serde_json::Value>(&RecordKey::orphan_run()).await.unwrap() };
    for _ in 0..4 {
        let before = ran().await.map(|run| run.revision);
        eventually(DEADLINE, || async { ran().await.map(|run| run.revision) > before }).await;
    }
    assert_eq!(aside(&nodes).await, [0, 0, 0]);
    drop(web);
}
