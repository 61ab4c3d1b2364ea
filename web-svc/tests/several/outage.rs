//! etcd, or all storage nodes, go away and come back.

use std::time::{Duration, Instant};

use serde_json::json;
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE, installation::Installation};

/// What a write may take when etcd is back.
const RECOVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_etcd_videos_play_and_lists_are_shown_and_writes_wait_for_its_return() {
    let mut installation = Installation::start(3, &[]).await;
    let video = installation.webs[0].upload(&installation.clip(3)).await;
    for web in &installation.webs {
        web.ready(video.id, READY_DEADLINE).await;
    }
    installation.etcd.stop_all();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for web in &installation.webs {
        let address = format!("{}/api/v1/videos/{}", web.origin, video.id);
        let began = Instant::now();
        let refused = http.patch(&address).json(&json!({"title": "other"})).send().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(20), "refused after {:?}", began.elapsed());
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(refused.headers()["content-type"], "application/problem+json");

        let url = format!("{}/media/{}/master.m3u8", web.origin, video.id);
        let complaints = tokio::task::spawn_blocking(move || media::complaints(&url)).await.unwrap();
        assert_eq!(complaints, "");
        assert_eq!(web.videos().await.len(), 1);
        assert!(web.text("/api/v1/videos?q=clip").await.contains(&video.id.to_string()));
        assert_eq!(http.get(format!("{}/healthz", web.origin)).send().await.unwrap().status(), 200);
        let ready = async || http.get(format!("{}/readyz", web.origin)).send().await.unwrap();
        eventually(SETTLE_DEADLINE, || async { ready().await.status() == 503 }).await;
        assert!(ready().await.text().await.unwrap().contains("etcd"));
    }
    installation.etcd.restart_all().await;
    let back = Instant::now();
    for (number, web) in installation.webs.iter().enumerate() {
        let address = format!("{}/api/v1/videos/{}", web.origin, video.id);
        let title = format!("back {number}");
        let write = async || http.patch(&address).json(&json!({"title": title})).send().await.unwrap().status();
        eventually(RECOVERY.saturating_sub(back.elapsed()), || async { write().await == 200 }).await;
    }
    let client = installation.webs[0].client();
    eventually(SETTLE_DEADLINE, || async { client.video(video.id).await.unwrap().title == "back 1" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_service_restarts_without_etcd_and_plays_what_it_knew() {
    let mut installation = Installation::start(1, &[]).await;
    let video = installation.webs[0].upload(&installation.clip(2)).await;
    installation.webs[1].ready(video.id, READY_DEADLINE).await;
    installation.etcd.stop_all();
    let web = &mut installation.webs[1];
    web.process.restart();
    let health = format!("{}/healthz", web.origin);
    web.process.wait_ready(&health, SETTLE_DEADLINE).await;
    let url = format!("{}/media/{}/master.m3u8", web.origin, video.id);
    let complaints = tokio::task::spawn_blocking(move || media::complaints(&url)).await.unwrap();
    assert_eq!(complaints, "");
}

/// ffmpeg takes what it has read of an original for the whole, and a job fails its video with its fourth failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_an_original_that_is_away_and_count_no_failure() {
    let mut installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let video = installation.webs[0].upload(&installation.clip(4)).await;
    for node in &mut installation.nodes {
        node.process.kill();
    }
    let _worker = WebService::worker(&installation.etcd.url(), &["--transcode-slots", "1"]).await;
    let client = installation.webs[0].client();
    let failed = async || client.jobs(None).await.unwrap().items.into_iter().find_map(|job| job.last_error);
    eventually(READY_DEADLINE, || async { failed().await.is_some() }).await;
    assert_eq!(failed().await.as_deref(), Some("the storage nodes do not answer"));
    for node in &mut installation.nodes {
        node.restart().await;
    }
    installation.webs[0].ready(video.id, READY_DEADLINE).await;
}
