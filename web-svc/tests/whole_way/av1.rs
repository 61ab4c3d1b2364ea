//! Videos in AV1 beside H.264, where the operator wants that.

use std::{ffi::OsString, os::unix::fs::PermissionsExt, path::Path};

use triton_api::{
    job::{Job, JobState},
    video::Video,
};
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE};

/// The smallest picture of which there is AV1.
const SIZE: &str = "854x480";

fn names(video: &Video) -> Vec<&str> {
    video.renditions.iter().map(|rendition| rendition.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_plays_in_both_codecs_and_goes_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 9, SIZE);
    let web = WebService::start(&["--av1"]).await;
    let video = web.upload(&clip).await;
    web.ready(video.id, READY_DEADLINE).await;
    let listed = || async { names(&web.client().video(video.id).await.unwrap()).contains(&"480p-av1") };
    eventually(READY_DEADLINE, listed).await;
    let video = web.client().video(video.id).await.unwrap();
    assert_eq!(names(&video), ["480p", "360p", "240p", "144p", "480p-av1", "audio-0"]);
    assert!(video.renditions[4].codecs.starts_with("av01."), "{video:?}");
    let playback = video.playback.unwrap();
    let master = web.text(&playback.hls).await;
    assert!(master.find("avc1.").unwrap() < master.find("av01.").unwrap(), "{master}");
    for manifest in [&playback.dash, &playback.hls] {
        assert_eq!(media::complaints(&format!("{}{manifest}", web.origin)), "", "{manifest}");
    }
    assert!(!web.process.log().contains("unexpected box"), "a warning for every chunk");
    web.client().delete(video.id).await.unwrap();
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}

/// A directory with an ffmpeg that lists the encoder and cannot use it, to come first in `PATH`.
fn broken_encoder(dir: &Path) -> OsString {
    let script = dir.join("ffmpeg");
    let path = std::env::var("PATH").unwrap();
    std::fs::write(
        &script,
        format!("#!/bin/sh\ncase \" $* \" in *' libsvtav1 '*) exit 1 ;; esac\nPATH={path} exec ffmpeg \"$@\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{path}", dir.display()).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_av1_cannot_be_made_the_video_is_ready_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 2, SIZE);
    let path = broken_encoder(dir.path());
    let web = WebService::start_with(&["--av1", "--sandbox", "off"], |program| program.env("PATH", path)).await;
    let video = web.upload(&clip).await;
    let video = web.ready(video.id, READY_DEADLINE).await;
    assert_eq!(names(&video), ["480p", "360p", "240p", "144p", "audio-0"]);
    let is_over = |job: &Job| job.kind == "finalize-extra" && job.state == JobState::Done;
    eventually(READY_DEADLINE, || async { web.client().jobs(None).await.unwrap().items.iter().any(is_over) }).await;
    assert!(web.process.log().contains("the video will have no renditions in AV1"));
    let video = web.client().video(video.id).await.unwrap();
    assert_eq!(names(&video), ["480p", "360p", "240p", "144p", "audio-0"]);
}
