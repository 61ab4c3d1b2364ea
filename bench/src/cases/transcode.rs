//! How soon a video plays, and how long all of it takes, against one plain run of ffmpeg that makes the same renditions.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use triton_api::{VideoId, video::VideoState};
use triton_testkit::{WebService, media};
use web_svc::pipeline::{FrameRate, Rung, Settings, ladder};

use crate::{
    harness::Bench,
    report::{Finding, Outcome},
    spread::Spread,
};

/// The clip: a minute of 1080p at 30 frames per second.
pub(super) const SECONDS: u32 = 60;
pub(super) const WIDTH: u32 = 1920;
pub(super) const HEIGHT: u32 = 1080;
pub(super) const FRAME_RATE: &str = "30";
const GOP_FRAMES: u32 = 60;
pub(super) const SOUND_OPTIONS: &str = "-c:a aac -b:a 128k";
pub(super) const DEADLINE: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A minute of 1080p: the first segment, and the whole, in parts of what a plain run takes; then the whole of one whose own
/// pictures can be the top rendition.
pub(super) fn one_minute(bench: &Bench) -> anyhow::Result<Outcome> {
    let size = format!("{WIDTH}x{HEIGHT}");
    let encoded = media::clip(bench.scratch(), "minute.mp4", SECONDS, &size);
    let recorded = media::recorded_clip(bench.scratch(), "recorded.mp4", SECONDS, &size);
    let (firsts, wholes) = in_parts_of_a_plain_run(bench, &encoded)?;
    let (_, copied) = in_parts_of_a_plain_run(bench, &recorded)?;
    let finding = |goal, values: Vec<f64>| Finding { goal, value: Spread::of(values) };
    let findings = vec![finding("first-play", firsts), finding("ready", wholes), finding("ready-copied", copied)];
    Ok(Outcome { findings, ..Outcome::default() })
}

/// When the first segment and the whole of a clip are there, in parts of what a plain run takes.
fn in_parts_of_a_plain_run(bench: &Bench, clip: &Path) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
    for round in 0..bench.rounds.min(3) {
        let plain = plain(bench, clip)?;
        let (first, whole) = bench.runtime.block_on(through_the_service(clip))?;
        let ratio = |time: Duration| time.as_secs_f64() / plain.as_secs_f64();
        println!(
            "round {round}: plain ffmpeg {:.1} s; first segment after {:.2} s ({:.3} x), ready after {:.1} s ({:.2} x)",
            plain.as_secs_f64(),
            first.as_secs_f64(),
            ratio(first),
            whole.as_secs_f64(),
            ratio(whole)
        );
        firsts.push(ratio(first));
        wholes.push(ratio(whole));
    }
    Ok((firsts, wholes))
}

/// How long one run of ffmpeg takes for all renditions.
fn plain(bench: &Bench, clip: &Path) -> anyhow::Result<Duration> {
    let rate: FrameRate = FRAME_RATE.parse()?;
    let rungs = ladder(WIDTH, HEIGHT, rate);
    let mut graph = format!("[0:v]split={}", rungs.len());
    for index in 0..rungs.len() {
        write!(graph, "[s{index}]")?;
    }
    for (index, Rung { width, height, .. }) in rungs.iter().enumerate() {
        write!(graph, ";[s{index}]scale={width}:{height},format=yuv420p[v{index}]")?;
    }
    let out: PathBuf = bench.scratch().join("plain");
    std::fs::create_dir_all(&out)?;
    let mut command = ffmpeg(clip);
    command.args(["-filter_complex", &graph]);
    for (index, rung) in rungs.iter().enumerate() {
        let options = format!("-map [v{index}] {} -f mp4", options(rung));
        command.args(options.split_whitespace()).arg(out.join(format!("{index}.mp4")));
    }
    let sound = format!("-map 0:a {SOUND_OPTIONS} -f mp4");
    command.args(sound.split_whitespace()).arg(out.join("sound.mp4"));
    let began = Instant::now();
    run(&mut command)?;
    Ok(began.elapsed())
}

/// A plain ffmpeg that reads a clip.
pub(super) fn ffmpeg(clip: &Path) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error", "-y", "-i"]).arg(clip);
    command
}

/// How a rendition is encoded.
pub(super) fn options(rung: &Rung) -> String {
    format!(
        "-c:v libx264 -profile:v high -sc_threshold 0 -flags +cgop -bf 3 -preset {} -crf 23 -maxrate {} -bufsize {} \
         -g {GOP_FRAMES} -keyint_min {GOP_FRAMES}",
        Settings::default().preset,
        rung.maxrate_bps,
        u64::from(rung.maxrate_bps) * 2,
    )
}

pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("cannot run ffmpeg")?;
    ensure!(status.success(), "ffmpeg ended with {status}");
    Ok(())
}

/// The time from the beginning of the upload, which takes a fraction of a second here, until a player has the first segment,
/// and until all is made.
async fn through_the_service(clip: &Path) -> anyhow::Result<(Duration, Duration)> {
    let web = WebService::start(&[]).await;
    let began = Instant::now();
    let id = web.upload(clip).await.id;
    while !web.client().video(id).await?.playable {
        ensure!(began.elapsed() < DEADLINE, "the video does not begin to play");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    fetch_first_segment(&web, id).await?;
    let first = began.elapsed();
    let video = web.ready(id, DEADLINE).await;
    ensure!(video.state == VideoState::Ready, "{video:?}");
    Ok((first, began.elapsed()))
}

/// As a player does: the master playlist, the one of its first rendition, and what that lists first.
async fn fetch_first_segment(web: &WebService, id: VideoId) -> anyhow::Result<()> {
    let base = format!("/media/{id}");
    let is_address = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let master = web.text(&format!("{base}/master.m3u8")).await;
    let playlist = master.lines().find(is_address).context("a playlist of a rendition")?;
    let segments = web.text(&format!("{base}/{playlist}")).await;
    let segment = segments.lines().find(is_address).context("a segment")?;
    let folder = Path::new(playlist).parent().and_then(Path::to_str).context("its folder")?;
    let answer = reqwest::get(format!("{}{base}/{folder}/{segment}", web.origin)).await?.error_for_status()?;
    ensure!(!answer.bytes().await?.is_empty(), "the first segment is empty");
    Ok(())
}
