//! Files that are too large to decode, broken, or of a kind that is not decoded here.

use std::{path::Path, process::Command};

use futures_util::{StreamExt as _, stream};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use triton_testkit::{WebService, media};

use crate::outcome::{Outcome, assert_as_before, assert_for_people, memory_kib, outcome};

/// Of the 200 seeds that the pipeline's own test has, so many go the whole way through a service.
const SEEDS: u64 = 16;
/// And so many of them at once.
const AT_ONCE: usize = 4;

/// Makes a video without sound from a filter.
fn made(dir: &Path, name: &str, picture: &str, options: &str) -> Vec<u8> {
    let file = dir.join(name);
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture])
        .args(options.split_whitespace())
        .arg(&file)
        .status();
    assert!(status.unwrap().success(), "ffmpeg could not make {name}");
    std::fs::read(file).unwrap()
}

fn hostile(dir: &Path) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let small = "testsrc2=size=160x120:rate=25:duration=1";
    let bomb = "color=size=12000x12000:rate=1:duration=1";
    let whole = std::fs::read(media::clip(dir, "whole.mp4", 2, "320x180")).unwrap();
    let cut = |name, keep: usize| (name, whole[..keep].to_vec(), "incomplete");
    vec![
        ("bomb.mkv", made(dir, "bomb.mkv", bomb, "-c:v mjpeg -q:v 31 -frames:v 1"), "picture"),
        ("bomb.mov", made(dir, "bomb.mov", bomb, "-c:v mjpeg -q:v 31 -frames:v 1"), "picture"),
        ("months.mkv", made(dir, "months.mkv", small, "-vf setpts=N*400000/TB -fps_mode vfr -c:v mjpeg"), "long"),
        ("gif.mkv", made(dir, "gif.mkv", small, "-c:v gif -pix_fmt rgb8"), "gif"),
        ("zmbv.avi", made(dir, "zmbv.avi", small, "-c:v zmbv"), "zmbv"),
        ("snow.avi", made(dir, "snow.avi", small, "-c:v snow -strict -2"), "snow"),
        cut("cut-to-half.mp4", whole.len() / 2),
        cut("cut-to-a-tenth.mp4", whole.len() / 10),
        ("first-bytes.mp4", whole[..40].to_vec(), ""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_broken_or_strange_files_end_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let web = WebService::start(&["--sandbox", "required"]).await;
    let files = hostile(dir.path());
    let memory_before_kib = memory_kib(&web);
    for (name, content, word) in files {
        let Outcome::Failed(reason) = outcome(&web, name, content).await else { panic!("{name} became a video") };
        assert!(reason.contains(word), "{name}: {reason}");
        assert_for_people(name, &reason);
    }
    assert_as_before(&web, memory_before_kib).await;
}

/// The clip with up to 200 bits flipped, anywhere.
fn flipped(clip: &[u8], seed: u64) -> Vec<u8> {
    let (mut bytes, mut random) = (clip.to_vec(), StdRng::seed_from_u64(seed));
    for _ in 0..random.random_range(1..=200) {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_end_in_a_video_or_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 1, "160x120")).unwrap();
    let mut web = WebService::start(&["--sandbox", "required", "--x264-preset", "ultrafast"]).await;
    let memory_before_kib = memory_kib(&web);
    let (clip, uploaded_to) = (&clip, &web);
    let fates = stream::iter(0..SEEDS).map(async |seed| {
        let name = format!("seed-{seed}.mp4");
        if let Outcome::Failed(reason) = outcome(uploaded_to, &name, flipped(clip, seed)).await {
            assert_for_people(&name, &reason);
        }
    });
    fates.buffer_unordered(AT_ONCE).collect::<()>().await;
    assert!(!web.process.has_ended());
    assert!(!web.process.log().contains("panicked"), "a task of the service panicked");
    assert_as_before(&web, memory_before_kib).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_get_whole_pictures_of_a_source_that_conforms_but_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut content = std::fs::read(media::recorded_clip(dir.path(), "recorded.mp4", 14, "640x360")).unwrap();
    // After the first chunk has been made of whole pictures.
    let middle = content.len() / 2;
    content[middle..middle + 2000].fill(0);
    let web = WebService::start(&["--sandbox", "required"]).await;
    let memory_before_kib = memory_kib(&web);
    let Outcome::Ready = outcome(&web, "recorded.mp4", content).await else { panic!("it failed") };
    let video = web.videos().await.remove(0);
    let master = format!("{}/media/{}/master.m3u8", web.origin, video.id);
    assert_eq!(media::complaints(&master), "");
    assert!(video.duration_ms.is_some_and(|length| (14_000..14_100).contains(&length)), "{video:?}");
    let log = web.process.log();
    assert!(log.contains("the source's own pictures are no rendition"), "it was encoded from the beginning");
    let jobs = web.client().jobs(None).await.unwrap().items;
    assert!(jobs.iter().all(|job| job.id.contains("/2/")), "{jobs:?}");
    assert_as_before(&web, memory_before_kib).await;
}
