//! Uploads that end before their time, and those that nobody ends.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use triton_api::video::VideoState;
use triton_testkit::{StorageNode, WebService, eventually};
use web_svc::{
    catalog::{UploadRecord, UploadState},
    journal::{Change, Expect, Journal as _, RecordKey, SqliteJournal},
    store::Store,
};

use crate::{
    SETTLE_DEADLINE, assert_download, assert_nothing_left, assert_parts_only,
    client::{Tus, UPLOADS, id_of},
    clip, service,
};

const PART: usize = 8 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn termination_leaves_no_blob_even_of_a_request_that_still_sends() {
    let (web, content) = (service().await, clip(3 * PART));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    assert_eq!(tus.patch(&path, 0, &content[..500_000]).await.status, 204);
    let mut slow = tus.begin_patch(&path, 500_000, content.len() - 500_000).await;
    slow.send(&content[500_000..PART + 1_000]).await;
    eventually(SETTLE_DEADLINE, || async { tus.head(&path).await.offset() == PART as u64 }).await;
    assert_eq!(tus.send("DELETE", &path, &[], Vec::new()).await.status, 204);
    assert!(matches!(tus.head(&path).await.status, 404 | 410));
    assert!(matches!(tus.patch(&path, 500_000, b"x").await.status, 404 | 410));
    assert!(matches!(slow.status(&content[PART + 1_000..]).await, 404 | 409 | 410));
    assert_nothing_left(&web).await;
    eventually(SETTLE_DEADLINE, || async { tus.send("DELETE", &path, &[], Vec::new()).await.status == 404 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_upload_goes_with_everything() {
    let (mut web, content) = (service().await, clip(PART + 100_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    assert_eq!(tus.patch(&path, 0, &content[..PART + 5]).await.status, 204);
    let other = tus.create(content.len(), &[]).await;
    web.process.kill();
    edit(&web, &path, |record| record.expires_at = Timestamp::now()).await;
    web.restart().await;
    eventually(SETTLE_DEADLINE, || async { tus.head(&path).await.status == 404 }).await;
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
    let left: Vec<_> = web.videos().await.iter().map(|video| video.id.to_string()).collect();
    assert_eq!(left, [id_of(&other)]);
    assert_eq!(tus.head(&other).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_upload_that_a_crash_left_unfinished_is_finished_by_whoever_comes_first() {
    let (mut web, content) = (service().await, clip(200_000));
    let tus = Tus::new(&web);
    let mut paths = Vec::new();
    for _ in 0..3 {
        let path = tus.create(content.len(), &[]).await;
        assert_eq!(tus.patch(&path, 0, &content).await.status, 204);
        paths.push(path);
    }
    web.process.kill();
    // As if the process had been killed between the last byte and the probe, a day ago by its clock.
    for path in &paths {
        edit(&web, path, |record| {
            record.state = UploadState::Open;
            record.expires_at = Timestamp::now() + SignedDuration::from_hours(1);
            record.touched_at = Timestamp::now() - SignedDuration::from_hours(24);
        })
        .await;
        unqueue(&web, path).await;
    }
    web.restart().await;
    let state = |path: &str| {
        let (client, id) = (web.client(), id_of(path).parse().unwrap());
        async move { client.video(id).await.unwrap().state }
    };
    let began = Instant::now();
    assert_eq!(tus.head(&paths[0]).await.offset(), 200_000);
    assert_eq!(tus.patch(&paths[1], 200_000, &[]).await.status, 204);
    assert_eq!((state(&paths[0]).await, state(&paths[1]).await), (VideoState::Queued, VideoState::Queued));
    // Nobody asks for the third: the janitor sees that it does not change for a minute.
    eventually(SETTLE_DEADLINE, || async { state(&paths[2]).await == VideoState::Queued }).await;
    assert!(began.elapsed() > Duration::from_secs(45), "a clock of another process was believed");
    for path in &paths {
        assert_eq!(state(path).await, VideoState::Queued);
        assert_download(&web, id_of(path), &content).await;
    }
    assert_parts_only(&web, 3 * PART).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_finish_one_upload_at_once_make_one_generation() {
    let (mut web, content) = (service().await, clip(200_000));
    let tus = Tus::new(&web);
    let path = tus.create(content.len(), &[]).await;
    assert_eq!(tus.patch(&path, 0, &content).await.status, 204);
    web.process.kill();
    edit(&web, &path, |record| record.state = UploadState::Open).await;
    unqueue(&web, &path).await;
    web.restart().await;
    let requests = (0..6).map(|_| tus.patch(&path, 200_000, &[]));
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|answer| answer.status == 204), "{answers:?}");
    let store = Store::open(&web.data_dir().join("catalog.db"), web_svc::store::Durability::Full).await.unwrap();
    let plans = store.list::<serde_json::Value>("plan/", 10).await.unwrap();
    let jobs = store.list::<serde_json::Value>("job/", 100).await.unwrap();
    let video = store.video(id_of(&path).parse().unwrap()).await.unwrap().unwrap().value;
    assert_eq!(plans.len(), 1, "{plans:?}");
    assert!(jobs.iter().all(|(_, job)| job.value["generation"] == video.generation.get()), "{jobs:?}");
    assert_eq!(jobs.iter().filter(|(_, job)| job.value["kind"]["name"] == "finalize").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_does_not_end_an_upload_that_was_just_created() {
    let mut node = StorageNode::start(None).await;
    let web = WebService::start_on(std::slice::from_ref(&node.url), &["--transcode-slots", "0"]).await;
    let (tus, content) = (Tus::new(&web), clip(200_000));
    node.process.kill();
    let len = content.len().to_string();
    let headers = [("upload-length", len.as_str()), ("content-type", "application/offset+octet-stream")];
    let answer = tus.send("POST", UPLOADS, &headers, content.clone()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let path = answer.header("location").unwrap().to_owned();
    assert_eq!(tus.head(&path).await.offset(), 0);
    node.restart().await;
    eventually(SETTLE_DEADLINE, || async { tus.patch(&path, 0, &content).await.status == 204 }).await;
    assert_download(&web, id_of(&path), &content).await;
}

/// Changes the record of an upload while the service is away.
async fn edit(web: &WebService, path: &str, change: impl Fn(&mut UploadRecord)) {
    let store = Store::open(&web.data_dir().join("catalog.db"), web_svc::store::Durability::Full).await.unwrap();
    let key = RecordKey::upload(id_of(path).parse().unwrap());
    let mut record = store.get::<UploadRecord>(&key).await.unwrap().unwrap().value;
    change(&mut record);
    let change = Change::new().put(key, Expect::Anything, &record).unwrap();
    SqliteJournal::new(store.clone()).commit(change).await.unwrap();
    store.close().await;
}

/// Takes the video back to where it was before it was queued, its first attempt's jobs included.
async fn unqueue(web: &WebService, path: &str) {
    let store = Store::open(&web.data_dir().join("catalog.db"), web_svc::store::Durability::Full).await.unwrap();
    let id = id_of(path).parse().unwrap();
    let mut video = store.video(id).await.unwrap().unwrap().value;
    video.state = VideoState::Uploading;
    video.original.len_bytes = 0;
    let change = Change::new().put(RecordKey::video(id), Expect::Anything, &video).unwrap();
    SqliteJournal::new(store.clone()).commit(change).await.unwrap();
    store.close().await;
}
