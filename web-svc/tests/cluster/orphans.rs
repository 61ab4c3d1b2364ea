//! Blobs that no metadata refers to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{self, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::watch};
use triton_api::{
    BlobKey, Generation, NodeUrl, VideoId,
    storage::route,
    video::{VideoState, Visibility},
};
use triton_testkit::{content, eventually};
use web_svc::{
    catalog::{Original, Rest, VideoRecord},
    cluster::ClusterSettings,
    journal::{Change, Expect, Journal, JournalError, RecordKey, Revision, SqliteJournal},
    store::{Changed, Durability, Store},
};

use crate::farm::{DEADLINE, Node, Role, Web, quick, start_nodes, urls};

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
        captions: Vec::new(),
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
    // One that sees them, and then at most two in each, a hundredth of two hundred; these look at the metadata twice.
    assert!(runs_so_far > 2 * 5, "{runs_so_far}");
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

/// A way to a node on which requests to move orphans aside wait.
struct Door {
    node: NodeUrl,
    http: reqwest::Client,
    open: watch::Sender<bool>,
}

impl Door {
    async fn before(node: &Node) -> (Arc<Self>, NodeUrl) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let door = Arc::new(Self { node: node.url(), http, open: watch::Sender::new(false) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = axum::Router::new().fallback(Self::pass).with_state(Arc::clone(&door));
        // It ends with the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        (door, url)
    }

    async fn pass(State(door): State<Arc<Self>>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        if head.uri.path() == route::ORPHANS_COLLECT {
            door.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let url = door.node.join(head.uri.path_and_query().unwrap().as_str());
        let answer = door.http.request(head.method, url).headers(head.headers).body(body).send().await;
        answer.map_or_else(
            |_| StatusCode::BAD_GATEWAY.into_response(),
            |answer| http::Response::from(answer).map(Body::new),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_brings_nothing_back_while_orphans_are_moved_by_some_nodes_and_not_yet_by_others() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    // They are asked in this order.
    nodes.sort_by_key(|node| node.id);
    let (door, url) = Door::before(&nodes[1]).await;
    let web = Web::start(&dir, settings(), &[nodes[0].url(), url, nodes[2].url()]).await;
    fill(&web, VideoId::generate(), BLOBS).await;
    let counts = |node: usize| {
        let client = nodes[node].client();
        async move { client.info().await.map(|info| (info.blobs, info.orphans)).unwrap() }
    };
    eventually(DEADLINE, || async { door.open.receiver_count() > 0 }).await;
    // The first node has moved its copies, and the run waits for the one in the middle for longer than several sweeps take.
    let (kept, moved) = counts(0).await;
    assert!(moved > 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(8);
    while tokio::time::Instant::now() < until {
        assert_eq!(counts(0).await, (kept, moved), "a repair brought orphans back");
        assert_eq!((counts(1).await.1, counts(2).await.1), (0, 0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    door.open.send_replace(true);
    eventually(DEADLINE, || async {
        let all = [counts(0).await, counts(1).await, counts(2).await];
        all[0].1 >= moved && all.iter().all(|count| *count == all[0])
    })
    .await;
    drop(web);
}

/// Writes a video's record before the run record is written for the third time.
struct Late {
    journal: SqliteJournal,
    runs: Arc<AtomicU64>,
    id: VideoId,
}

impl Journal for Late {
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Revision, JournalError>> {
        let is_run = format!("{change:?}").contains(RecordKey::orphan_run().as_str());
        let is_third = is_run && self.runs.fetch_add(1, Ordering::SeqCst) == 2;
        Box::pin(async move {
            if is_third {
                let change = Change::new().put(RecordKey::video(self.id), Expect::Absent, &video(self.id)).unwrap();
                self.journal.commit(change).await.unwrap();
            }
            self.journal.commit(change).await
        })
    }

    fn obstacle(&self) -> Option<String> {
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_is_referred_to_after_the_look_at_the_metadata_is_not_moved() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3).await);
    let (id, looks) = (VideoId::generate(), Arc::new(AtomicU64::new(0)));
    let web = Web::start(&dir, quick(), &urls(&nodes)).await;
    let keys = fill(&web, id, 120).await;
    let on_all = |infos: &[u64]| infos.iter().all(|blobs| *blobs == 120);
    eventually(DEADLINE, || async {
        on_all(&[nodes[0].blobs().await, nodes[1].blobs().await, nodes[2].blobs().await])
    })
    .await;
    web.crash().await;
    let store = Store::open(&dir.path().join("catalog.db"), Durability::Full).await.unwrap();
    // The first run looks once. The second one looks, finds that something is due, and looks again before it moves that.
    let late = Late { journal: SqliteJournal::new(store.clone()), runs: Arc::clone(&looks), id };
    let web = Web::start_on(store, settings(), &urls(&nodes), Arc::new(late), Role::Leader).await;
    eventually(DEADLINE, || async {
        assert_eq!(aside(&nodes).await, [0, 0, 0]);
        looks.load(Ordering::SeqCst) >= 6
    })
    .await;
    assert!(web.ring.head(&keys[0]).await.is_ok());
    drop(web);
}
