//! How much sooner a video is ready with more workers: really with two, and replayed with up to 64.

use std::{
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde::Deserialize;
use triton_api::{Generation, VideoId, job::Job};
use triton_testkit::{Etcd, StorageNode, WebService, media};
use web_svc::{
    catalog::JobKind,
    pipeline::{AudioTrack, Colour, Demuxer, FrameRate, Plan, SourceInfo, Timestamp, VideoStream},
    upload,
};

use crate::{
    harness::Bench,
    plot::Curve,
    replay::{Costs, Queue, Recorded},
    report::{Finding, Outcome},
    spread::Spread,
};

/// The clip that is really made, and replayed: small pictures, to be done soon, but ten minutes of them: what no worker can share
/// (the publication at the end) is a second of either time.
const SECONDS: u32 = 600;
const WIDTH: u32 = 426;
const HEIGHT: u32 = 240;
const FRAME_RATE: &str = "30";
const WORKERS_MAX: usize = 64;
const DEADLINE: Duration = Duration::from_secs(900);
/// What of it is encoded to know the machine.
const CEILING_SECONDS: &str = "120";

/// One and two workers, each on a core of its own; what one worker took is then replayed with more.
pub(super) fn workers(bench: &Bench) -> anyhow::Result<Outcome> {
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores >= 2, "two workers need two cores, this machine has {cores}");
    let clip = media::clip(bench.scratch(), "scale.mp4", SECONDS, &format!("{WIDTH}x{HEIGHT}"));
    let (mut ratios, mut recorded) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds.min(3) {
        let one = bench.runtime.block_on(made_by(1, &clip))?;
        let two = bench.runtime.block_on(made_by(2, &clip))?;
        let ratio = one.ready.as_secs_f64() / two.ready.as_secs_f64();
        println!(
            "round {round}: ready after {:.1} s with one worker, {:.1} s with two: {ratio:.2} x; of the machine's own {:.2} x",
            one.ready.as_secs_f64(),
            two.ready.as_secs_f64(),
            ceiling(&clip)?
        );
        ratios.push(ratio);
        recorded = one.recorded;
    }
    let curve = replay(&Costs::of(&recorded))?;
    let findings = vec![Finding { goal: "scale-two", value: Spread::of(ratios) }];
    Ok(Outcome { findings, curves: vec![curve], ..Outcome::default() })
}

/// How much two of this machine's cores do of what one does, with an encoder of one thread on each: cores that are two threads of
/// one, or that others share, do less than twice as much, and no worker can change that.
fn ceiling(clip: &Path) -> anyhow::Result<f64> {
    let encode = |core: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", core, "ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-t", CEILING_SECONDS, "-i"]);
        command.arg(clip).args("-an -c:v libx264 -preset veryfast -threads 1 -f null -".split(' ')).spawn()
    };
    let timed = |cores: &[&str]| -> anyhow::Result<f64> {
        let began = Instant::now();
        let running: Vec<Child> = cores.iter().map(|core| encode(core)).collect::<Result<_, _>>()?;
        for mut child in running {
            ensure!(child.wait()?.success(), "ffmpeg failed");
        }
        Ok(began.elapsed().as_secs_f64())
    };
    let (one, both, other) = (timed(&["0"])?, timed(&["0", "1"])?, timed(&["1"])?);
    Ok((one + other) / both)
}

/// How long a video took, and each of its jobs.
struct Made {
    ready: Duration,
    recorded: Vec<Recorded>,
}

/// From the end of the upload until the video is ready, with so many workers, each pinned to a core.
async fn made_by(workers: usize, clip: &Path) -> anyhow::Result<Made> {
    let etcd = Etcd::start(1).await;
    let node = StorageNode::start(None).await;
    let metadata = etcd.url();
    let args = ["--metadata", metadata.as_str(), "--transcode-slots", "0"];
    let web = WebService::start_on(std::slice::from_ref(&node.url), &args).await;
    let mut running = Vec::with_capacity(workers);
    for core in 0..workers {
        let pin = ["-c".to_owned(), core.to_string()];
        let slot = ["--transcode-slots", "1"];
        running.push(WebService::worker_with(&metadata, &slot, |program| program.under("taskset", pin)).await);
    }
    let video = web.upload(clip).await;
    let began = Instant::now();
    web.ready(video.id, DEADLINE).await;
    let ready = began.elapsed();
    let jobs = web.client().jobs(None).await?.items;
    let logs: Vec<String> = running.iter().map(|worker| worker.process.log()).collect();
    let plan = plan(SECONDS)?;
    let recorded = logs.iter().flat_map(|log| log.lines()).filter_map(|line| recorded(line, &plan));
    let recorded: Vec<Recorded> = recorded.collect();
    ensure!(
        recorded.len() == jobs.len(),
        "{} of {} jobs are in the logs: {}",
        recorded.len(),
        jobs.len(),
        names(&jobs)
    );
    Ok(Made { ready, recorded })
}

fn names(jobs: &[Job]) -> String {
    jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>().join(", ")
}

/// A worker's line about a job that it did.
#[derive(Deserialize)]
struct Ended {
    seconds: f64,
    outcome: String,
    span: Span,
}

#[derive(Deserialize)]
struct Span {
    #[serde(rename = "job.id")]
    job: String,
}

fn recorded(line: &str, plan: &Plan) -> Option<Recorded> {
    let ended: Ended = serde_json::from_str(line).ok()?;
    let (kind, index) = match ended.span.job.rsplit('/').next()?.split_once('-') {
        Some((kind, index)) => (kind, index.parse().ok()?),
        None => (ended.span.job.rsplit('/').next()?, 0),
    };
    let kind = match kind {
        "chunk" => JobKind::Chunk { index },
        "audio" => JobKind::Audio { index },
        "poster" => JobKind::Poster,
        "finalize" => JobKind::Finalize,
        _ => return None,
    };
    let is_chunk = matches!(kind, JobKind::Chunk { .. });
    let frames = if is_chunk { plan.chunk(index).map_or(0, web_svc::pipeline::Chunk::frames) } else { 0 };
    (ended.outcome == "done").then_some(Recorded { kind, frames, seconds: ended.seconds })
}

/// Prints what more workers would do for a longer clip of the same kind.
fn replay(costs: &Costs) -> anyhow::Result<Curve> {
    let plan = plan(SECONDS)?;
    let jobs = upload::jobs(VideoId::generate(), Generation::new(1), &plan);
    let queue = Queue::new(jobs, &plan, costs);
    println!("replayed: {SECONDS} s of video, {} jobs, as recorded with one worker", queue.len());
    println!("| Workers | Ready after (s) | Speed-up | Of the ideal |\n|---|---|---|---|");
    let mut points = Vec::new();
    for workers in (0..).map(|power| 1 << power).take_while(|workers| *workers <= WORKERS_MAX) {
        let (ready, speed_up) = (queue.ready_seconds(workers), queue.speed_up(workers));
        let ideal = f64::from(u32::try_from(workers)?);
        println!("| {workers} | {ready:.1} | {speed_up:.2} | {:.0} % |", speed_up / ideal * 100.0);
    }
    for workers in 1..=WORKERS_MAX {
        points.push((f64::from(u32::try_from(workers)?), queue.speed_up(workers)));
    }
    println!("no number of workers gives more than {:.1} x: the longest job takes the rest", queue.speed_up_max());
    Ok(Curve {
        name: "scale",
        title: "Ten minutes of video: how much sooner by workers (replayed)",
        across: "workers",
        up: "speed-up",
        points,
    })
}

/// The plan of a clip of so many seconds with one track of sound.
fn plan(seconds: u32) -> anyhow::Result<Plan> {
    let frame_rate: FrameRate = FRAME_RATE.parse()?;
    let video = VideoStream {
        index: 0,
        codec: "h264".to_owned(),
        width: WIDTH,
        height: HEIGHT,
        frame_rate,
        frames: frame_rate.frames_in(f64::from(seconds)),
        start: Timestamp { ticks: 0, numerator: 1, denominator: 1000 },
        interlaced: false,
        pixel_format: "yuv420p".to_owned(),
        colour: Colour::Bt709,
        drawn: false,
        read_size: None,
    };
    let sound = AudioTrack { index: 1, codec: "aac".to_owned(), language: None, title: None, channels: 1 };
    let info = SourceInfo { demuxer: Demuxer::Mov, video, audio: vec![sound], captions: Vec::new() };
    ensure!(!info.duration().is_zero(), "a clip of no length");
    Ok(Plan::new(info))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_becomes_a_recorded_job_and_others_do_not() {
        let plan = plan(SECONDS).unwrap();
        let line = |outcome: &str, job: &str| {
            format!(r#"{{"message":"job ended","seconds":2.5,"outcome":"{outcome}","span":{{"job.id":"x/1/{job}"}}}}"#)
        };
        let kind = JobKind::Chunk { index: 1 };
        let chunk = Recorded { kind, frames: plan.chunk(1).unwrap().frames(), seconds: 2.5 };
        assert_eq!(recorded(&line("done", "chunk-00001"), &plan), Some(chunk));
        let poster = Recorded { kind: JobKind::Poster, frames: 0, seconds: 2.5 };
        assert_eq!(recorded(&line("done", "poster"), &plan), Some(poster));
        assert_eq!(recorded(&line("failed", "poster"), &plan), None);
        assert_eq!(recorded("web-svc worker listens", &plan), None);
    }

    #[test]
    fn first_chunks_and_sound_come_first_in_the_replay_of_the_real_jobs() {
        let plan = plan(SECONDS).unwrap();
        let recorded = |kind, frames, seconds| Recorded { kind, frames, seconds };
        let costs = Costs::of(&[
            recorded(JobKind::Chunk { index: 0 }, 100, 1.0),
            recorded(JobKind::Chunk { index: 1 }, 200, 2.0),
            recorded(JobKind::Audio { index: 0 }, 0, 0.3),
        ]);
        let jobs = upload::jobs(VideoId::generate(), Generation::new(1), &plan);
        let queue = Queue::new(jobs, &plan, &costs);
        // All chunks, one track, the stills; the publication waits for them.
        assert_eq!(queue.len(), plan.grid.chunks.len() + 2);
        assert!(queue.speed_up(2) > 1.9, "{}", queue.speed_up(2));
        assert!(queue.speed_up(64) <= queue.speed_up_max() + 1e-9);
    }
}
