//! Sources that become something else in their middle, as broadcasts, calls and joined files do.

use std::path::Path;

use web_svc::pipeline::{Limits, PipelineError, Plan, SourceFault};

use crate::encoding::{Bench, Published};
use crate::fixture::{click_times, clicks, frame_numbers, input, make, numbered};

const RATE: usize = 25;

fn join(parts: &[&Path], whole: &Path) {
    let bytes: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect();
    std::fs::write(whole, bytes).unwrap();
}

/// A click is heard at each of these seconds, and no other.
fn assert_heard(published: &Published, seconds: impl Iterator<Item = u32>, within: f64) {
    let times = click_times(&published.assembled(&published.audio[0]));
    let seconds: Vec<f64> = seconds.map(f64::from).collect();
    assert_eq!(times.len(), seconds.len(), "{times:?}");
    for (time, second) in times.iter().zip(&seconds) {
        assert!((time - second).abs() < within, "{second} is heard at {time}: {times:?}");
    }
}

#[tokio::test]
async fn a_broadcast_with_other_pictures_and_channels_from_its_middle_on_keeps_every_frame_and_click() {
    let bench = Bench::start().await;
    let part = |name: &str, frames: &str, size: &str, more: &str| {
        let inputs = [numbered("25", 500, "320:240"), clicks(10.0)].concat();
        let pictures = format!("-vf trim={frames},setpts=PTS-STARTPTS,scale={size}:flags=neighbor");
        let codecs = "-c:v libx264 -bf 2 -g 50 -c:a ac3 -muxdelay 0 -t 10 -mpegts_copyts 1";
        make(&bench.path(name), &inputs, &format!("{pictures} {codecs} {more}"));
    };
    part("one.ts", "end_frame=250", "320:240", "-ac 6 -output_ts_offset 1");
    part("two.ts", "start_frame=250", "640:480", "-ac 2 -output_ts_offset 11");
    join(&[&bench.path("one.ts"), &bench.path("two.ts")], &bench.path("a.ts"));
    let published = bench.publish("a.ts").await;
    let numbers: Vec<u32> = (0..500).collect();
    for track in &published.video {
        assert_eq!(frame_numbers(&published.assembled(track)), numbers, "{}", track.name);
    }
    // Its first part ends with a block that the second one begins in.
    assert_heard(&published, 0..20, 0.025);
}

#[tokio::test]
async fn interlaced_pictures_that_grow_are_deinterlaced_in_one_size() {
    let bench = Bench::start().await;
    let part = |name: &str, frames: &str, size: &str, more: &str| {
        let filter = format!("-vf trim={frames},setpts=PTS-STARTPTS,scale={size}:flags=neighbor,setfield=tff");
        let codec = "-c:v mpeg2video -flags +ildct+ilme -q:v 2 -muxdelay 0 -mpegts_copyts 1";
        make(&bench.path(name), &numbered("25", 200, "320:240"), &format!("{filter} {codec} {more}"));
    };
    part("one.ts", "end_frame=100", "320:240", "-output_ts_offset 1");
    part("two.ts", "start_frame=100", "720:576", "-output_ts_offset 5");
    join(&[&bench.path("one.ts"), &bench.path("two.ts")], &bench.path("a.ts"));
    let published = bench.publish("a.ts").await;
    assert!(published.plan.info.video.interlaced);
    // The decoder of MPEG-2 drops the picture that it still holds when the size changes.
    let numbers: Vec<u32> = (0..200).map(|number| if number == 99 { 98 } else { number }).collect();
    assert_eq!(frame_numbers(&published.assembled(&published.video[0])), numbers);
}

#[tokio::test]
async fn joined_sounds_of_other_rates_and_channels_are_heard_to_the_end() {
    let bench = Bench::start().await;
    let bare = "-c:a libmp3lame -write_xing 0 -id3v2_version 0";
    make(&bench.path("one.mp3"), &clicks(8.0), &format!("-ar 44100 -ac 2 {bare}"));
    make(&bench.path("two.mp3"), &clicks(8.0), &format!("-ar 48000 -ac 1 {bare}"));
    join(&[&bench.path("one.mp3"), &bench.path("two.mp3")], &bench.path("a.mp3"));
    let published = bench.publish("a.mp3").await;
    // Each part begins with what its encoder needed, and is filled up to a whole frame.
    assert_heard(&published, 0..16, 0.15);
    let ticks: u64 = published.video[0].segments.iter().map(|segment| segment.duration_ticks).sum();
    let seconds = ticks as f64 / f64::from(published.video[0].timescale);
    assert!((seconds - 16.0).abs() < 0.2, "{seconds}");
}

#[tokio::test]
async fn sound_whose_time_stamps_jump_a_little_is_heard_to_the_end() {
    let bench = Bench::start().await;
    make(&bench.path("a.mkv"), &[numbered("25", 500, "160:120"), clicks(20.0)].concat(), "-c:v libx264 -c:a aac");
    for jump_ms in [-30, 16, 30] {
        let later = format!("-c copy -bsf:a setts=ts='if(gte(N,469),TS+{jump_ms},TS)'");
        make(&bench.path("jump.mkv"), &input(&bench.path("a.mkv")), &later);
        assert_heard(&bench.publish("jump.mkv").await, 0..20, 0.06);
    }
}

/// Clicks for 20 seconds, the second ten so many seconds later than they were.
fn with_a_hole(bench: &Bench, hole_seconds: u32) -> String {
    make(&bench.path("short.m4a"), &clicks(20.0), "-c:a aac");
    let later = format!("-c copy -bsf:a setts=ts='if(gte(N,469),TS+{hole_seconds}*48000,TS)'");
    let name = format!("hole-{hole_seconds}.m4a");
    make(&bench.path(&name), &input(&bench.path("short.m4a")), &later);
    name
}

#[tokio::test]
async fn minutes_that_the_packets_leave_out_are_silent_and_what_follows_comes_in_its_time() {
    const HOLE: u32 = 240;
    let bench = Bench::start().await;
    let published = bench.publish(&with_a_hole(&bench, HOLE)).await;
    assert_heard(&published, (0..10).chain(HOLE + 10..HOLE + 20), 0.03);
    let pictures = super::sound::brightness(&published.assembled(&published.video[0]));
    let at = |second: u32| &pictures[second as usize * RATE - 3..second as usize * RATE + 4];
    let silence = pictures[RATE / 2];
    assert!(at(HOLE / 2).iter().all(|&mean| mean.abs_diff(silence) <= 1), "{:?}, {silence}", at(HOLE / 2));
    for second in HOLE + 11..HOLE + 19 {
        assert!(at(second).iter().max().unwrap().saturating_sub(silence) >= 4, "{second}: {:?}", at(second));
    }
}

#[tokio::test]
async fn sound_that_began_an_hour_before_the_picture_is_heard_with_it() {
    const LEAD: u32 = 3610;
    let bench = Bench::start().await;
    let sound = input(&bench.path(&with_a_hole(&bench, LEAD - 10)));
    make(&bench.path("picture.mp4"), &numbered("25", 250, "160:120"), "-c:v libx264");
    let offset = ["-itsoffset".to_owned(), LEAD.to_string()].to_vec();
    let inputs = [offset, input(&bench.path("picture.mp4")), sound].concat();
    make(&bench.path("a.mkv"), &inputs, "-map 0 -map 1 -c copy");
    assert_heard(&bench.publish("a.mkv").await, 0..10, 0.03);
}

#[tokio::test]
async fn long_holes_beside_pictures_are_filled_a_little_at_a_time() {
    const HOLE: u32 = 900;
    // Filled at once, half an hour takes 1.6 GB.
    let bench = Bench::with_limits(Limits { memory_bytes_max: 700 << 20, ..Limits::default() }).await;
    let sound = input(&bench.path(&with_a_hole(&bench, HOLE)));
    let late = ["-itsoffset".to_owned(), HOLE.to_string()].to_vec();
    let inputs = [numbered("1", 2 * HOLE + 20, "160:120"), late, sound].concat();
    make(&bench.path("a.mkv"), &inputs, "-map 0 -map 1 -c:v libx264 -preset ultrafast -c:a copy");
    let plan = Plan::new(bench.probe("a.mkv").await.unwrap());
    let published = bench.publish_sound("a.mkv", plan).await;
    assert_heard(&published, (HOLE..HOLE + 10).chain(2 * HOLE + 10..2 * HOLE + 20), 0.03);
}

#[tokio::test]
async fn sound_alone_with_an_hour_left_out_is_refused() {
    let bench = Bench::start().await;
    let name = with_a_hole(&bench, 3600);
    let error = bench.probe(&name).await.unwrap_err();
    let PipelineError::Source(SourceFault::Hole { duration, .. }) = error else { panic!("{error}") };
    assert_eq!(duration.as_secs(), 3600);
}
