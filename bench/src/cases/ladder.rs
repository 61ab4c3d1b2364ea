//! What a ladder costs the processor, against one decode and each of its encodes alone.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use triton_api::video::VideoState;
use triton_testkit::{WebService, media};
use web_svc::pipeline::{Rung, ladder};

use super::transcode::{DEADLINE, FRAME_RATE, HEIGHT, SECONDS, SOUND_OPTIONS, WIDTH, ffmpeg, options, run};
use crate::{
    harness::Bench,
    process::ended_children_cpu_time,
    report::{Finding, Outcome},
    spread::Spread,
};

/// All programs that the service runs for a minute of 1080p, probes and stills among them, in parts of the least that is to be
/// done: one decode, every rendition's scaling and encode, and the sound's.
pub(super) fn processor(bench: &Bench) -> anyhow::Result<Outcome> {
    let clip = media::clip(bench.scratch(), "ladder.mp4", SECONDS, &format!("{WIDTH}x{HEIGHT}"));
    let mut ratios = Vec::new();
    for round in 0..bench.rounds.min(3) {
        let service = bench.runtime.block_on(by_the_service(&clip))?;
        let alone = alone(&clip)?;
        let ratio = service.as_secs_f64() / alone.as_secs_f64();
        println!(
            "round {round}: {:.1} s of processor time in the service, {:.1} s alone: {ratio:.2} x",
            service.as_secs_f64(),
            alone.as_secs_f64()
        );
        ratios.push(ratio);
    }
    Ok(Outcome { findings: vec![Finding { goal: "ladder-cpu", value: Spread::of(ratios) }], ..Outcome::default() })
}

async fn by_the_service(clip: &Path) -> anyhow::Result<Duration> {
    let web = WebService::start(&[]).await;
    let pid = web.process.pid();
    let before = ended_children_cpu_time(pid)?;
    let id = web.upload(clip).await.id;
    let video = web.ready(id, DEADLINE).await;
    ensure!(video.state == VideoState::Ready, "{video:?}");
    Ok(ended_children_cpu_time(pid)?.saturating_sub(before))
}

fn alone(clip: &Path) -> anyhow::Result<Duration> {
    let decode = cost(clip, "-map 0:v")?;
    let mut sum = decode + cost(clip, &format!("-map 0:a {SOUND_OPTIONS}"))?;
    for rung in ladder(WIDTH, HEIGHT, FRAME_RATE.parse()?) {
        let Rung { width, height, .. } = rung;
        let encode = format!("-map 0:v -vf scale={width}:{height},format=yuv420p {}", options(&rung));
        sum += cost(clip, &encode)?.saturating_sub(decode);
    }
    Ok(sum)
}

/// The processor time of one run that writes nothing.
fn cost(clip: &Path, options: &str) -> anyhow::Result<Duration> {
    let own = std::process::id();
    let before = ended_children_cpu_time(own)?;
    run(ffmpeg(clip).args(options.split_whitespace()).args(["-f", "null", "-"]))?;
    Ok(ended_children_cpu_time(own)?.saturating_sub(before))
}
