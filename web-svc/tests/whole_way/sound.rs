//! A file of sound alone goes the whole way.

use std::process::Command;

use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_without_a_picture_plays_with_one_that_is_drawn_of_it_and_goes_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("talk.mp3");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=frequency=440:duration=14", "-c:a", "libmp3lame"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success());
    let web = WebService::start(&["--sandbox", "required"]).await;
    let video = web.upload(&file).await;
    let video = web.ready(video.id, READY_DEADLINE).await;
    let names: Vec<&str> = video.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
    assert_eq!(names, ["360p", "240p", "144p", "audio-0"]);
    assert!(video.duration_ms.unwrap().abs_diff(14_000) <= 100, "{video:?}");
    let playback = video.playback.unwrap();
    for manifest in [&playback.dash, &playback.hls] {
        assert_eq!(media::complaints(&format!("{}{manifest}", web.origin)), "", "{manifest}");
    }
    assert!(playback.poster.is_some() && playback.storyboard.is_some());
    web.client().delete(video.id).await.unwrap();
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}
