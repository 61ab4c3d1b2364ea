//! Sources that cannot be read to their end: ffmpeg calls what it has the whole, and nobody else may.

use std::sync::Mutex;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use web_svc::pipeline::{Break, PipelineError, Plan, RenditionOutput};

use crate::encoding::Bench;
use crate::fixture::{clicks, make, numbered};

/// A minute whose connection breaks off at 60 % of it, from when it has been probed.
async fn breaking(bench: &Bench, name: &str, options: &str) -> Plan {
    breaking_of(bench, name, &[numbered("25", 1500, "320:240"), clicks(60.0)].concat(), options).await
}

async fn breaking_of(bench: &Bench, name: &str, inputs: &[String], options: &str) -> Plan {
    make(&bench.path(name), inputs, options);
    let plan = Plan::new(bench.probe(name).await.unwrap());
    bench.server.break_at(Some(std::fs::metadata(bench.path(name)).unwrap().len() * 6 / 10));
    plan
}

fn assert_transient<T: std::fmt::Debug>(outcome: Result<T, PipelineError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, PipelineError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("could not be read to its end"), "{error}");
}

const MP4: &str = "-c:v libx264 -c:a aac -movflags +faststart";

#[tokio::test]
async fn pictures_that_did_not_come_are_not_taken_for_the_videos_end() {
    let bench = Bench::start().await;
    for (name, options) in [("a.mp4", MP4), ("a.mkv", "-c:v libx264 -c:a aac"), ("a.ts", "-c:v mpeg2video -c:a mp2")] {
        bench.server.break_at(None);
        let plan = breaking(&bench, name, options).await;
        assert!(plan.grid.chunks.len() >= 2);
        let (work, cancel) = (bench.directory.path(), CancellationToken::new());
        // ffmpeg's own words tell that as well, where it says any.
        let source = if name == "a.mp4" { bench.server.watched_source(name) } else { bench.server.source(name) };
        let last = plan.grid.chunks.last().unwrap().index;
        assert_transient(bench.pipeline.encode_chunk(&plan, last, &source, work, |_| (), &cancel).await);
        // The first one does not need what is missing, and was not told of it.
        bench.encode_chunk(&plan, 0, &bench.server.source(name)).await;
    }
}

#[tokio::test]
async fn sound_that_did_not_come_is_not_made_up_and_what_came_is_what_it_is_otherwise() {
    let bench = Bench::start().await;
    for (name, options) in [("a.m4a", "-c:a aac -movflags +faststart"), ("a.flac", "-c:a flac")] {
        bench.server.break_at(None);
        // So long that some of it is handed over before.
        let plan = breaking_of(&bench, name, &clicks(600.0), options).await;
        let (broken, made) = sound(&bench, name, &plan).await;
        assert_transient(broken);
        bench.server.break_at(None);
        let (whole, all) = sound(&bench, name, &plan).await;
        whole.unwrap();
        assert!(
            !made.is_empty() && made.len() < all.len() && all.starts_with(&made),
            "{} of {}",
            made.len(),
            all.len()
        );
    }
}

/// All segments of the first track that were handed over.
async fn sound(bench: &Bench, name: &str, plan: &Plan) -> (Result<(), PipelineError>, Vec<Vec<u8>>) {
    let (source, work, cancel) = (bench.server.source(name), bench.directory.path(), CancellationToken::new());
    let made = Mutex::new(Vec::new());
    let take = |output: RenditionOutput| {
        let read = output.segments.iter().map(|segment| std::fs::read(&segment.path).unwrap());
        made.lock().unwrap().extend(read);
        std::future::ready(Ok::<_, PipelineError>(())).boxed()
    };
    let outcome = bench.pipeline.encode_audio(plan, 0, &source, work, |_| (), take, &cancel).await;
    (outcome, made.into_inner().unwrap())
}

#[tokio::test]
async fn pictures_drawn_of_sound_that_did_not_come_are_not_made_up() {
    let bench = Bench::start().await;
    let plan = breaking(&bench, "a.wav", "-vn -c:a pcm_s16le").await;
    let (source, work, cancel) = (bench.server.source("a.wav"), bench.directory.path(), CancellationToken::new());
    let last = plan.grid.chunks.last().unwrap().index;
    assert_transient(bench.pipeline.encode_chunk(&plan, last, &source, work, |_| (), &cancel).await);
}

#[tokio::test]
async fn a_video_is_not_as_long_as_what_came_of_it() {
    let bench = Bench::start().await;
    for (name, options) in [("a.ts", "-c:v mpeg2video -c:a mp2"), ("a.aac", "-vn -c:a aac -f adts")] {
        bench.server.break_at(None);
        breaking(&bench, name, options).await;
        let source = bench.server.watched_source(name);
        let error = bench.pipeline.probe(&source, &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, PipelineError::Transient { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn all_runs_on_a_source_end_when_it_breaks() {
    let bench = Bench::start().await;
    let plan = breaking(&bench, "a.mp4", MP4).await;
    bench.server.break_at(None);
    let (source, work, cancel) = (bench.server.source("a.mp4"), bench.directory.path(), CancellationToken::new());
    let breaker = source.clone();
    // Its first word of progress is the sign.
    let progress = move |_| breaker.set_broken(Break::Other);
    assert_transient(bench.pipeline.encode_chunk(&plan, 0, &source, work, progress, &cancel).await);
    let poster = bench.pipeline.poster(&plan.info, &source, work, &cancel).await;
    assert!(matches!(poster, Err(PipelineError::Transient { .. })), "{poster:?}");
}
