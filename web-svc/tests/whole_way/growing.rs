//! A video that plays while the rest of it is still being made.

use triton_api::video::{Video, VideoState};
use triton_testkit::{WebService, eventually, media};
use web_svc::catalog::VideoRecord;

use crate::{READY_DEADLINE, viewer::Viewer};

/// Long enough for several chunks, one after the other.
const SECONDS: u32 = 50;
const SEGMENT_SECONDS: u32 = 4;

async fn playable(web: &WebService, video: &Video) -> Video {
    let now = async || web.client().video(video.id).await.unwrap();
    eventually(READY_DEADLINE, || async { now().await.playable }).await;
    now().await
}

/// The rendition's media playlist that the master playlist names first.
async fn media_playlist(web: &WebService, video: &Video) -> String {
    let base = format!("/media/{}", video.id);
    let master = web.text(&format!("{base}/master.m3u8")).await;
    let path = master.lines().find(|line| !line.starts_with('#') && line.contains("/index.")).unwrap();
    web.text(&format!("{base}/{path}")).await
}

fn segments(playlist: &str) -> usize {
    playlist.lines().filter(|line| line.starts_with("seg-")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_plays_from_its_first_chunk_on_and_what_was_listed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "long.mp4", SECONDS, "640x360");
    let web = WebService::start(&["--transcode-slots", "1"]).await;
    let begun = playable(&web, &web.upload(&clip).await).await;
    assert_eq!(begun.state, VideoState::Processing, "{begun:?}");
    assert!(begun.progress < 0.9, "{begun:?}");
    // The length that it will have, all renditions, and the sound.
    assert!((49_900..50_200).contains(&begun.duration_ms.unwrap()), "{begun:?}");
    assert!(begun.renditions.len() >= 3 && begun.renditions.last().unwrap().name == "audio-0", "{begun:?}");

    let dash = format!("/media/{}/manifest.mpd", begun.id);
    let manifest = web.text(&dash).await;
    assert!(manifest.contains(r#"type="dynamic""#), "{manifest}");
    let first = media_playlist(&web, &begun).await;
    assert!(first.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !first.contains("#EXT-X-ENDLIST"), "{first}");
    let viewer = Viewer::new(&web.origin);
    let seen = viewer.watch(&viewer.paths(begun.id).await).await.unwrap();
    let listed = segments(&first);
    assert!((1..SECONDS.div_ceil(SEGMENT_SECONDS) as usize).contains(&listed), "{first}");

    eventually(READY_DEADLINE, || async { segments(&media_playlist(&web, &begun).await) > listed }).await;
    let ready = web.ready(begun.id, READY_DEADLINE).await;
    assert_eq!(ready.playback.as_ref().unwrap().dash, dash, "a player need not load anew");
    let manifest = web.text(&dash).await;
    assert!(manifest.contains(r#"type="static""#), "{manifest}");
    let last = media_playlist(&web, &ready).await;
    assert!(last.contains("#EXT-X-PLAYLIST-TYPE:VOD") && last.contains("#EXT-X-ENDLIST"), "{last}");
    assert_eq!(segments(&last), SECONDS.div_ceil(SEGMENT_SECONDS) as usize);
    let whole = viewer.watch(&viewer.paths(begun.id).await).await.unwrap();
    for (path, hash) in seen {
        assert_eq!(whole.get(&path), Some(&hash), "{path}");
    }
    assert_eq!(media::complaints(&format!("{}{dash}", web.origin)), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_film_plays_before_all_of_its_sound_is_made() {
    const FILM_SECONDS: u32 = 400;
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "film.mp4", FILM_SECONDS, "64x36");
    let web = WebService::start(&["--transcode-slots", "1"]).await;
    let id = web.upload(&clip).await.id;
    eventually(READY_DEADLINE, || async { web.client().video(id).await.unwrap().playable }).await;
    // Some segments of sound are there, and more than the first pictures need.
    let sound = format!("/media/{id}/1/audio-0/index.m3u8");
    let begun = web.text(&sound).await;
    let listed = segments(&begun);
    assert!((1..80).contains(&listed) && begun.contains("EVENT"), "{listed} segments: {begun}");
    eventually(READY_DEADLINE, || async { segments(&web.text(&sound).await) > listed }).await;
    let ready = web.ready(id, READY_DEADLINE).await;
    assert_eq!(ready.state, VideoState::Ready, "{ready:?}");
    let whole = web.text(&sound).await;
    assert_eq!(segments(&whole), (FILM_SECONDS / SEGMENT_SECONDS) as usize);
    assert!(begun.lines().filter(|line| line.starts_with("seg-")).all(|line| whole.contains(line)));
    assert_eq!(media::complaints(&format!("{}/media/{id}/master.m3u8", web.origin)), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_that_is_deleted_while_it_grows_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "long.mp4", SECONDS, "640x360");
    let web = WebService::start(&["--transcode-slots", "1"]).await;
    let begun = playable(&web, &web.upload(&clip).await).await;
    assert_eq!(begun.state, VideoState::Processing, "{begun:?}");
    web.client().delete(begun.id).await.unwrap();
    let gone = reqwest::get(format!("{}/media/{}/manifest.mpd", web.origin, begun.id)).await.unwrap();
    assert_eq!(gone.status(), 404);
    eventually(crate::SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_begun_to_play_goes_with_a_generation_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "long.mp4", SECONDS, "640x360");
    let web = WebService::start(&["--transcode-slots", "1"]).await;
    let begun = playable(&web, &web.upload(&clip).await).await;
    assert_eq!(begun.state, VideoState::Processing, "{begun:?}");
    // Later chunks have nothing to read any more.
    let epoch = web.node().layout().await.unwrap().unwrap().current.epoch;
    for part in 0..2 {
        web.node().delete(&VideoRecord::original_part(begun.id, part), epoch).await.unwrap();
    }
    let now = async || web.client().video(begun.id).await.unwrap();
    eventually(READY_DEADLINE, || async { now().await.state == VideoState::Failed }).await;
    let failed = now().await;
    assert!(!failed.playable, "{failed:?}");
    assert!(failed.reason.is_some_and(|reason| reason.contains("could not be processed")));
    let gone = reqwest::get(format!("{}/media/{}/manifest.mpd", web.origin, begun.id)).await.unwrap();
    assert_eq!(gone.status(), 404);
    eventually(crate::SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}
