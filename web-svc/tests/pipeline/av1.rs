//! The extra set: AV1 beside H.264, on the same grid, in the same cage.

use std::os::unix::fs::PermissionsExt;

use tokio_util::sync::CancellationToken;
use web_svc::{
    pipeline::{Growth, INIT_FILE, Pipeline, PipelineError, Plan, Settings, Track, segment_file},
    sandbox::Sandbox,
};

use crate::encoding::{Bench, Published};
use crate::fixture::{clicks, frame_numbers, make, numbered, run, words};
use crate::server::FileServer;

const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 50 -pix_fmt yuv420p";
/// The smallest picture that has an extra set.
const SIZE: &str = "854:480";

impl Published {
    fn in_av1(&self) -> &Track {
        self.video.iter().find(|track| track.name.as_str() == "480p-av1").unwrap()
    }
}

/// Every frame is there once and in order; and each segment shows its own, with nothing before it and nothing behind.
fn assert_exact(published: &Published, frames: u32) {
    assert!(published.plan.grid.chunks.len() >= 3);
    for track in &published.video {
        let numbers = frame_numbers(&published.assembled(track));
        assert_eq!(numbers, (0..frames).collect::<Vec<u32>>(), "{}", track.name);
    }
    let (track, boundaries) = (published.in_av1(), published.plan.grid.boundaries());
    assert_eq!(track.segments.len() + 1, boundaries.len());
    let folder = published.root.join("1").join(track.name.as_str());
    let init = std::fs::read(folder.join(INIT_FILE)).unwrap();
    for (segment, bounds) in track.segments.iter().zip(boundaries.windows(2)) {
        let media = std::fs::read(folder.join(segment_file(segment.number))).unwrap();
        let alone = folder.join("alone.mp4");
        std::fs::write(&alone, [init.clone(), media].concat()).unwrap();
        let numbers: Vec<u64> = frame_numbers(alone.to_str().unwrap()).into_iter().map(u64::from).collect();
        assert_eq!(numbers, (bounds[0]..bounds[1]).collect::<Vec<u64>>(), "segment {}", segment.number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_is_in_both_codecs_and_both_manifests_play() {
    let bench = Bench::start().await;
    let inputs = [numbered("25", 425, SIZE), clicks(17.0)].concat();
    make(&bench.path("a.mkv"), &inputs, &format!("{H264} -c:a aac"));
    let plan = Plan::new(bench.probe("a.mkv").await.unwrap()).with_extra();
    let published = bench.publish_plan("a.mkv", plan).await;
    assert_exact(&published, 425);
    let codecs = &published.in_av1().codecs;
    assert!(codecs.starts_with("av01.0.") && codecs.ends_with("M.08"), "{codecs}");

    let presentation = published.presentation(Growth::Complete);
    assert!(presentation.video().last().is_some_and(|last| last.track.name.as_str() == "480p-av1"));
    published.write_manifests(&presentation);
    let server = FileServer::start(&published.root).await;
    let in_av1 = format!("0:v:{}", presentation.video().len() - 1);
    for manifest in ["manifest.mpd", "master.m3u8"] {
        let command = format!("-v warning -nostdin -i {} -map {in_av1} -map 0:a:0 -f null -", server.url(manifest));
        let decode = move || run("ffmpeg", &words(&command)).1;
        assert_eq!(tokio::task::spawn_blocking(decode).await.unwrap(), "", "{manifest}");
    }
}

/// Keyframes wherever the source has them: the grid is not one of whole groups.
#[tokio::test]
async fn beside_a_copy_it_keeps_to_the_keyframes_of_the_source() {
    let bench = Bench::start().await;
    let uneven = "-force_key_frames 0.5,1.2,2.04,4.4,5,9.6,9.64,12,15.2 -x264-params open-gop=0";
    make(&bench.path("a.mp4"), &numbered("25", 470, SIZE), &format!("{H264} -g 120 {uneven}"));
    let (info, source) = (bench.probe("a.mp4").await.unwrap(), bench.server.source("a.mp4"));
    let plan = bench.pipeline.plan(info, &source, &CancellationToken::new()).await.unwrap().with_extra();
    assert!(plan.copies_top);
    assert_exact(&bench.publish_plan("a.mp4", plan).await, 470);
}

#[tokio::test]
async fn an_ffmpeg_without_the_encoder_is_refused_at_the_start_and_fails_no_more_than_the_job() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 30, SIZE), H264);
    let plan = Plan::new(bench.probe("a.mp4").await.unwrap()).with_extra();
    let old = bench.path("old-ffmpeg");
    std::fs::write(&old, "#!/bin/sh\nffmpeg \"$@\" | grep -v libsvtav1\n").unwrap();
    std::fs::set_permissions(&old, PermissionsExt::from_mode(0o755)).unwrap();
    let settings = Settings { ffmpeg: old, sandbox: Sandbox::none(), ..Settings::default() };

    let refused = Pipeline::detect(Settings { av1: true, ..settings.clone() }).await.unwrap_err();
    assert!(matches!(&refused, PipelineError::Environment(text) if text.contains("--av1 (TRITON_AV1)")), "{refused}");
    let worker = Pipeline::detect(settings).await.unwrap();
    let (source, work, cancel) = (bench.server.source("a.mp4"), bench.directory.path(), CancellationToken::new());
    let failed = worker.encode_extra(&plan, 0, &source, work, |_| (), &cancel).await.unwrap_err();
    assert!(matches!(&failed, PipelineError::Environment(text) if text.contains("libsvtav1")), "{failed}");
    assert!(!failed.is_permanent());
}
