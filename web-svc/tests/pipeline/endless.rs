//! Sources that never end, or say that they are longer than anything: limits end what they begin.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use triton_testkit::eventually;
use web_svc::pipeline::{Limits, PipelineError, Source, SourceFault};

use crate::encoding::Bench;
use crate::fixture::{clicks, make, numbered};

/// Serves `head`, and then `again` and `again`, as a file of so many bytes, or of none that it tells.
#[derive(Clone, Default)]
struct Endless {
    head: Bytes,
    again: Bytes,
    claims_bytes: Option<u64>,
    served_bytes: Arc<AtomicUsize>,
}

async fn serve(State(endless): State<Endless>, headers: HeaderMap) -> Response<Body> {
    let asked =
        headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let start = asked.map_or(0, |(start, _)| start.parse::<u64>().unwrap());
    let from_head = endless.head.slice(usize::try_from(start).unwrap_or(usize::MAX).min(endless.head.len())..);
    let Endless { again, served_bytes, .. } = endless;
    let pieces = stream::unfold(from_head, move |piece| {
        served_bytes.fetch_add(piece.len(), Ordering::Relaxed);
        let again = again.clone();
        async move { Some((Ok::<_, Infallible>(piece), again)) }
    });
    let answer = Response::builder().header(header::ACCEPT_RANGES, "bytes");
    let answer = match endless.claims_bytes {
        None => answer,
        Some(bytes) if start >= bytes => answer.status(StatusCode::RANGE_NOT_SATISFIABLE),
        Some(bytes) => answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_LENGTH, bytes - start)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{bytes}", bytes - 1)),
    };
    answer.body(Body::from_stream(pieces)).unwrap()
}

async fn endless(endless: Endless) -> Source {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let app = Router::new().route("/x", get(serve)).with_state(endless);
    // It ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Source::new(url.parse().unwrap()).unwrap()
}

fn tight() -> Limits {
    let second = Duration::from_secs(1);
    Limits { duration_max: second * 3600, frames_max: 5_000, probe_time_max: second * 10, ..Limits::default() }
}

/// A clip in a container that tells no length.
fn clip(bench: &Bench, name: &str, options: &str) -> Bytes {
    make(&bench.path(name), &numbered("25", 25, "160:120"), options);
    std::fs::read(bench.path(name)).unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_end_is_refused_for_its_frames() {
    let bench = Bench::with_limits(tight()).await;
    let clip = clip(&bench, "clip.ts", "-c:v mpeg2video -pix_fmt yuv420p");
    let source = endless(Endless { head: clip.clone(), again: clip, claims_bytes: None, ..Endless::default() }).await;
    let began = Instant::now();
    let refused = bench.pipeline.probe(&source, &CancellationToken::new()).await;
    let fault = PipelineError::Source(SourceFault::TooManyFrames { max: 5_000 });
    assert_eq!(refused.unwrap_err(), fault);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_without_end_is_refused_for_its_length() {
    let bench = Bench::with_limits(Limits { frames_max: u64::MAX, ..tight() }).await;
    make(&bench.path("clip.aac"), &clicks(2.0), "-c:a aac -f adts");
    let clip = Bytes::from(std::fs::read(bench.path("clip.aac")).unwrap());
    for claims_bytes in [None, Some(1 << 60)] {
        let source =
            endless(Endless { head: clip.clone(), again: clip.clone(), claims_bytes, ..Endless::default() }).await;
        let began = Instant::now();
        let refused = bench.pipeline.probe(&source, &CancellationToken::new()).await.unwrap_err();
        let is_too_long = matches!(refused, PipelineError::Source(SourceFault::TooLong { .. }));
        assert!(is_too_long, "{refused}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_file_is_read_when_the_one_before_has_been_and_pictures_do_not_wait() {
    let day = Duration::from_secs(86_400);
    let limits = Limits { frames_max: u64::MAX, duration_max: 1_000 * day, scans_max: 1, ..Limits::default() };
    let bench = Bench::with_limits(limits).await;
    clip(&bench, "clip.mp4", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    make(&bench.path("clip.wav"), &clicks(2.0), "-c:a pcm_s16le");
    let mut endless_wav = std::fs::read(bench.path("clip.wav")).unwrap();
    let data = endless_wav.windows(4).position(|kind| kind == b"data").unwrap();
    endless_wav[data + 4..data + 8].fill(0xFF);
    let served_bytes = Arc::new(AtomicUsize::new(0));
    let (again, head) = (Bytes::from(vec![0; 256 << 10]), endless_wav.into());
    let source = endless(Endless { head, again, claims_bytes: None, served_bytes: Arc::clone(&served_bytes) }).await;
    let cancel = CancellationToken::new();
    let (pipeline, cancelled) = (bench.pipeline.clone(), cancel.clone());
    let first = tokio::spawn(async move { pipeline.probe(&source, &cancelled).await });
    // Far more than anything reads that looks at a beginning.
    eventually(Duration::from_secs(60), || async { served_bytes.load(Ordering::Relaxed) > 64 << 20 }).await;
    bench.probe("clip.mp4").await.unwrap();
    let mut second = Box::pin(bench.probe("clip.wav"));
    // It would take a fraction of that.
    tokio::time::timeout(Duration::from_secs(5), &mut second).await.expect_err("two files are read at once");
    cancel.cancel();
    assert_eq!(first.await.unwrap().unwrap_err(), PipelineError::Cancelled);
    assert!(second.await.unwrap().video.drawn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_claims_an_exabyte_ends_by_limits() {
    let bench = Bench::with_limits(tight()).await;
    for (name, options) in [
        ("clip.ts", "-c:v mpeg2video -pix_fmt yuv420p"),
        ("clip.mkv", "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -live 1"),
        ("clip.flv", "-c:v flv -flvflags no_duration_filesize"),
    ] {
        let clip = clip(&bench, name, options);
        let source =
            endless(Endless { head: clip.clone(), again: clip, claims_bytes: Some(1 << 60), ..Endless::default() })
                .await;
        let began = Instant::now();
        let probed = bench.pipeline.probe(&source, &CancellationToken::new()).await;
        // Whatever it is taken for, it is soon taken for something.
        assert!(began.elapsed() < Duration::from_secs(120), "{name}: {:?}", began.elapsed());
        match probed {
            Ok(info) => assert!(info.duration() <= tight().duration_max, "{name}: {info:?}"),
            Err(error) => assert!(!matches!(error, PipelineError::Environment(_)), "{name}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeros_without_end_are_no_video() {
    let bench = Bench::with_limits(tight()).await;
    let zeros = Bytes::from(vec![0; 64 * 1024]);
    let source =
        endless(Endless { head: zeros.clone(), again: zeros.clone(), claims_bytes: None, ..Endless::default() }).await;
    let refused = bench.pipeline.probe(&source, &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, PipelineError::Source(SourceFault::NotAVideo(_))), "{refused}");
    // Behind the head of an MP4 they are a damaged one.
    let head = Bytes::from_static(b"\0\0\0\x14ftypisom\0\0\0\0isom");
    let source = endless(Endless { head, again: zeros, claims_bytes: None, ..Endless::default() }).await;
    let began = Instant::now();
    let refused = bench.pipeline.probe(&source, &CancellationToken::new()).await.unwrap_err();
    assert!(refused.is_permanent() || refused.to_string().contains("took longer"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
