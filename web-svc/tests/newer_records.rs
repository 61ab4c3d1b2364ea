//! A newer web-svc writes records that this one does not understand: it goes on without them and leaves them alone.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use serde_json::{Value, json};
use triton_api::{Generation, VideoId, video::VideoState};
use web_svc::{
    catalog::{TrashRecord, VideoRecord},
    journal::{Change, Expect, Journal, RecordKey, SqliteJournal},
    store::{Abilities, Durability, Store, VideoListing},
};

const FIRST: Generation = Generation::new(1);

fn video(id: VideoId, state: &str) -> Value {
    json!({"v": 1, "id": id, "title": "a title", "description": "", "visibility": "public", "state": state,
        "created_at": Timestamp::now(), "original": {"len_bytes": 1, "file_name": "f"}, "generation": 1})
}

fn job(id: VideoId, kind: &Value, state: &str) -> Value {
    json!({"v": 1, "video_id": id, "generation": 1, "kind": kind, "priority": 0, "cost_frames": 1, "state": state,
        "failures": 0, "leases": 0, "not_before": "2026-01-01T00:00:00Z", "progress": 0.0,
        "created_at": "2026-01-01T00:00:00Z"})
}

async fn put(journal: &dyn Journal, records: &[(RecordKey, Value)]) {
    let change = records
        .iter()
        .fold(Change::new(), |change, (key, value)| change.put(key.clone(), Expect::Anything, value).unwrap());
    journal.commit(change).await.unwrap();
}

async fn listed(store: &Store) -> Vec<VideoId> {
    let listing = VideoListing { limit: 10, ..VideoListing::default() };
    store.videos(&listing).await.unwrap().into_iter().map(|(video, _)| video.id).collect()
}

async fn runnable(store: &Store) -> Vec<String> {
    let jobs = store.runnable_jobs(Timestamp::now(), Abilities { av1: true }, 10).await.unwrap();
    jobs.into_iter().map(|(_, job)| job.value.kind.to_string()).collect()
}

#[tokio::test]
async fn records_of_a_future_shape_are_kept_and_left_out_and_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = Store::open(&path, Durability::Full).await.unwrap();
    let journal = SqliteJournal::new(store.clone());
    let (good, newer) = (VideoId::generate(), VideoId::generate());
    let chunk = json!({"name": "chunk", "index": 0});
    let good_job = RecordKey::job(good, FIRST, "chunk-00000");
    let newer_job = RecordKey::job(good, FIRST, "hologram-1");
    let hyphened = RecordKey::job(good, FIRST, "finalize-extra");
    let orphan = RecordKey::job(newer, FIRST, "chunk-00000");
    let unlike_anything = (RecordKey::trash(newer, FIRST), json!(["v2"]));
    put(
        &journal,
        &[
            (RecordKey::video(newer), video(newer, "dreaming")),
            (RecordKey::video(good), video(good, "processing")),
            (newer_job, job(good, &json!({"name": "hologram", "index": 1}), "waiting")),
            (hyphened.clone(), job(good, &json!({"name": "hologram"}), "waiting")),
            (good_job.clone(), job(good, &chunk, "waiting")),
            (RecordKey::job(good, FIRST, "finalize"), job(good, &json!({"name": "finalize"}), "waiting")),
            (orphan.clone(), job(newer, &chunk, "done")),
            unlike_anything.clone(),
        ],
    )
    .await;

    assert_eq!(listed(&store).await, [good]);
    assert_eq!(store.videos_in_state(VideoState::Processing, 10).await.unwrap().len(), 1);
    assert_eq!(runnable(&store).await, ["chunk-00000"]);
    assert_eq!(store.jobs(None, 10).await.unwrap().len(), 3);
    assert!(store.list::<TrashRecord>("trash/", 10).await.unwrap().is_empty());
    assert!(store.get::<VideoRecord>(&RecordKey::video(newer)).await.is_err());
    // Nothing that hangs on what is not understood is taken for forgotten, or for done.
    assert!(store.idle_jobs(Timestamp::now(), 10).await.unwrap().is_empty());
    put(&journal, &[(good_job, job(good, &chunk, "done"))]).await;
    assert_eq!(runnable(&store).await, Vec::<String>::new(), "published without what the newer version still makes");

    // A video that was listed, too, is not any more when a newer version has changed it.
    put(&journal, &[(RecordKey::video(good), video(good, "dreaming"))]).await;
    assert_eq!(listed(&store).await, []);
    let raw = store.get::<Value>(&RecordKey::video(good)).await.unwrap().unwrap().value;
    assert_eq!(raw["state"], "dreaming");
    store.close().await;

    // The update that understands them finds them without a further change: here older records stand in for that.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let last = json!({"name": "finalize-extra"});
    for (key, value) in
        [(RecordKey::video(newer), video(newer, "ready")), (hyphened.clone(), job(good, &last, "waiting"))]
    {
        let query = sqlx::query("UPDATE records SET value = ? WHERE key = ?").bind(value.to_string());
        query.bind(key.as_str()).execute(&pool).await.unwrap();
    }
    let kind = async |pool: &sqlx::SqlitePool| -> String {
        let query = sqlx::query_scalar("SELECT kind FROM jobs WHERE record_key = ?").bind(hyphened.as_str());
        query.fetch_one(pool).await.unwrap()
    };
    assert_eq!(kind(&pool).await, "finalize-extra", "by its key alone");
    // As a version noted it that knew names without hyphens only.
    sqlx::query("UPDATE jobs SET kind = 'finalize'").execute(&pool).await.unwrap();
    pool.close().await;
    let store = Store::open(&path, Durability::Full).await.unwrap();
    assert_eq!(listed(&store).await, [newer]);
    store.close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    assert_eq!(kind(&pool).await, "finalize-extra");
}
