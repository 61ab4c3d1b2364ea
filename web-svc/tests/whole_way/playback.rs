//! A video from upload to deletion.

use triton_api::{client::ClientError, video::VideoState};
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE, viewer::Viewer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_becomes_ready_decodes_whole_downloads_unchanged_and_is_deleted_without_trace() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "My holiday.mp4", 9, "640x360");
    let web = WebService::start(&[]).await;
    let uploaded = web.upload(&clip).await;
    assert_eq!(uploaded.title, "My holiday");
    assert!(matches!(uploaded.state, VideoState::Queued | VideoState::Processing), "{uploaded:?}");
    let video = web.ready(uploaded.id, READY_DEADLINE).await;
    assert!(video.playable && video.progress > 0.999, "{video:?}");
    assert!((8_900..9_200).contains(&video.duration_ms.unwrap()), "{video:?}");
    assert!(video.renditions.iter().filter(|rendition| rendition.height > 0).count() >= 2, "{video:?}");

    let playback = video.playback.clone().unwrap();
    for manifest in [&playback.dash, &playback.hls] {
        assert_eq!(media::complaints(&format!("{}{manifest}", web.origin)), "", "{manifest}");
    }
    let poster = reqwest::get(format!("{}{}", web.origin, playback.poster.unwrap())).await.unwrap();
    assert_eq!(poster.headers()["content-type"], "image/jpeg");
    assert!(web.text(&playback.storyboard.unwrap()).await.starts_with("WEBVTT"));

    assert_download(&web, &format!("/api/v1/videos/{}/download", video.id), &std::fs::read(&clip).unwrap()).await;
    assert_conditional_segment(&web, &Viewer::new(&web.origin).paths(video.id).await[0]).await;

    web.client().delete(video.id).await.unwrap();
    assert!(matches!(web.client().video(video.id).await, Err(error) if error.is_not_found()));
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
    let metrics = web.text("/metrics").await;
    for name in ["triton_jobs_total{", "triton_jobs{state=\"done\"}", "http_requests_total{"] {
        assert!(metrics.contains(name), "{name} is not among {metrics}");
    }
}

async fn assert_download(web: &WebService, path: &str, original: &[u8]) {
    let http = reqwest::Client::new();
    let url = format!("{}{path}", web.origin);
    let whole = http.get(&url).send().await.unwrap();
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename*=UTF-8''My%20holiday.mp4");
    assert!(whole.bytes().await.unwrap() == original, "the download is not the original");
    let part = http.get(&url).header("range", "bytes=1000-1999").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 1000-1999/{}", original.len()));
    assert!(part.bytes().await.unwrap() == original[1000..2000], "the range is not the original's");
}

async fn assert_conditional_segment(web: &WebService, path: &str) {
    let http = reqwest::Client::new();
    let url = format!("{}{path}", web.origin);
    let whole = http.get(&url).send().await.unwrap();
    assert!(whole.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let etag = whole.headers()["etag"].clone();
    let bytes = whole.bytes().await.unwrap();
    let again = http.get(&url).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let part = http.get(&url).header("range", "bytes=-10").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, bytes.slice(bytes.len() - 10..)));
    let beyond = http.get(&url).header("range", format!("bytes={}-", bytes.len())).send().await.unwrap();
    assert_eq!(beyond.status(), 416);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_failed_video_can_be_retried_and_an_edit_is_found_by_search() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 1, "320x180");
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let video = web.upload(&clip).await;
    let refused = web.client().retry(video.id).await;
    assert!(matches!(refused, Err(ClientError::Problem(problem)) if problem.status == 409));
    let patched = reqwest::Client::new()
        .patch(format!("{}/api/v1/videos/{}", web.origin, video.id))
        .json(&serde_json::json!({"title": "Ärger im Büro", "description": "a \"quoted\" <b>story</b>"}))
        .send()
        .await
        .unwrap();
    assert_eq!(patched.status(), 200);
    for (words, found) in [("arger", 1), ("BÜR", 1), ("quoted story", 1), ("clip", 0), ("\" OR *", 0)] {
        let query = triton_api::video::VideoQuery { q: Some(words.to_owned()), ..Default::default() };
        let page = web.client().videos(&query).await.unwrap();
        assert_eq!(page.items.len(), found, "{words}");
    }
}
