//! Files in which single bits are wrong, as bad memory and bad cables make them, and as fuzzers do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_svc::pipeline::{Limits, PipelineError, Plan};

use crate::encoding::Bench;
use crate::fixture::{clicks, make, numbered};

const SEEDS: u64 = 300;
/// A clip of a second takes a fraction of one; this is for a machine that has much else to do.
const TIME_MAX: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 4;

/// The containers, with what they usually hold, as small as it gets.
const CLIPS: [(&str, &str); 10] = [
    ("clip.mp4", "-c:v libx264 -preset ultrafast -c:a aac -shortest -movflags +faststart"),
    ("clip.webm", "-c:v libvpx -deadline realtime -cpu-used 16 -c:a libvorbis -shortest"),
    ("clip.ts", "-c:v mpeg2video -c:a mp2 -shortest"),
    ("clip.avi", "-c:v mpeg4 -c:a libmp3lame -shortest"),
    ("clip.flv", "-c:v flv -an"),
    ("clip.mp3", "-vn -c:a libmp3lame"),
    ("clip.wav", "-vn -c:a pcm_s16le"),
    ("clip.flac", "-vn -c:a flac"),
    ("clip.aac", "-vn -c:a aac -f adts"),
    ("clip.m4a", "-vn -c:a aac"),
];

/// The clip with 1 to 64 bits flipped, half of the time in its first part, where containers keep their structure.
fn flipped(clip: &[u8], seed: u64) -> Vec<u8> {
    let (mut bytes, mut random) = (clip.to_vec(), StdRng::seed_from_u64(seed));
    let within = if random.random() { bytes.len() } else { bytes.len().min(1500) };
    for _ in 0..random.random_range(1..=64) {
        bytes[random.random_range(0..within)] ^= 1 << random.random_range(0..8);
    }
    bytes
}

/// Takes one file the whole way: whether it ended well, or with a reason.
async fn fate(bench: &Bench, name: &str, with_sound: bool) -> Result<(), PipelineError> {
    let (source, cancel, work) = (bench.server.source(name), CancellationToken::new(), bench.path("work"));
    let plan = bench.pipeline.plan(bench.probe(name).await?, &source, &cancel).await?;
    let (made, plan) = match bench.pipeline.encode_chunk(&plan, 0, &source, &work, |_| (), &cancel).await {
        Err(PipelineError::Unfit(_)) => {
            let plan = Plan::new(plan.info);
            (bench.pipeline.encode_chunk(&plan, 0, &source, &work, |_| (), &cancel).await, plan)
        }
        made => (made, plan),
    };
    made?;
    for position in 0..if with_sound { plan.audio.len() } else { 0 } {
        let take = |_| std::future::ready(Ok::<_, PipelineError>(())).boxed();
        bench.pipeline.encode_audio(&plan, position, &source, &work, |_| (), take, &cancel).await?;
    }
    Ok(())
}

/// What is wrong with the way a file ended, if anything is.
fn complaint(fate: &Result<(), PipelineError>) -> Option<String> {
    match fate {
        // What may work another time is tried again, and fails the video in words of the service's own.
        Ok(()) | Err(PipelineError::Transient { .. }) => None,
        // For the person who uploaded it: a sentence, and nothing of this machine.
        Err(PipelineError::Source(fault)) => {
            let text = fault.to_string();
            let telling = text.chars().next().is_some_and(char::is_uppercase) && text.contains(' ');
            (!telling || text.contains("127.0.0.1") || text.contains("/tmp")).then_some(text)
        }
        Err(other) => Some(other.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_end_in_a_video_or_a_reason_and_leave_nothing() {
    let limits = Limits {
        encode_time_base: Duration::from_secs(20),
        probe_time_max: Duration::from_secs(20),
        duration_max: Duration::from_secs(60),
        ..Limits::default()
    };
    let bench = Arc::new(Bench::with_limits(limits).await);
    std::fs::create_dir(bench.path("work")).unwrap();
    let clips = CLIPS.map(|(name, options)| {
        let inputs = [numbered("25", 25, "160:120"), clicks(1.0)].concat();
        make(&bench.path(name), &inputs, &format!("-pix_fmt yuv420p {options}"));
        std::fs::read(bench.path(name)).unwrap()
    });
    let (mut running, mut fates) = (JoinSet::new(), Vec::new());
    for (seed, clip) in (0..SEEDS).zip(clips.iter().cycle()) {
        if running.len() >= AT_ONCE {
            fates.extend(running.join_next().await.map(Result::unwrap));
        }
        std::fs::write(bench.path(&format!("{seed}")), flipped(clip, seed)).unwrap();
        let bench = Arc::clone(&bench);
        running.spawn(async move {
            let began = Instant::now();
            // Sound takes as long as pictures here, because nearly all of it is ffmpeg's start.
            let with_sound = (seed / CLIPS.len() as u64).is_multiple_of(4);
            let ended = tokio::time::timeout(TIME_MAX, fate(&bench, &format!("{seed}"), with_sound)).await;
            (seed, ended.unwrap_or_else(|_| panic!("seed {seed} hangs")), began.elapsed())
        });
    }
    fates.extend(running.join_all().await);
    for (seed, fate, took) in &fates {
        assert_eq!(complaint(fate), None, "seed {seed} after {took:?}");
    }
    let count = |what: fn(&Result<(), PipelineError>) -> bool| fates.iter().filter(|(_, fate, _)| what(fate)).count();
    let (fine, faults) = (count(Result::is_ok), count(|fate| matches!(fate, Err(PipelineError::Source(_)))));
    for (seed, fate, _) in fates.iter().filter(|(_, fate, _)| matches!(fate, Err(PipelineError::Transient { .. }))) {
        println!("seed {seed}: {fate:?}");
    }
    println!("{fine} became videos, {faults} were refused, {} others", fates.len() - fine - faults);
    // Otherwise the flips are too many or too few to show anything.
    assert!(fine > 10 && faults > 10, "{fine} videos, {faults} refusals");
    assert_eq!(std::fs::read_dir(bench.path("work")).unwrap().count(), 0);
}
