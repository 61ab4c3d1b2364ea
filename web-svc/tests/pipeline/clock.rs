//! What is shown and heard when: sources of variable rate, and long ones with sound.

use crate::encoding::{Bench, Published};
use crate::fixture::{click_times, clicks, frame_numbers, input, make, numbered};

/// When frame `n` of the source of variable rate is shown, for ffmpeg and for the test: thirty frames a second that tremble,
/// fifteen from frame 200 on, and a second in which nothing moves.
const TIMES: &str = "N/30+max(N-200\\,0)/30+0.008*sin(2*N)+if(gt(N\\,260)\\,1\\,0)";

fn shown_at(frame: u32) -> f64 {
    let n = f64::from(frame);
    n / 30.0 + (n - 200.0).max(0.0) / 30.0 + 0.008 * (2.0 * n).sin() + if frame > 260 { 1.0 } else { 0.0 }
}

/// Every picture of the constant rate is the one that the source shows then, give or take half a frame of either.
fn assert_shown_in_time(published: &Published, frames: u32) {
    let rate = published.plan.info.video.frame_rate;
    // Time stamps in milliseconds, and half a frame of the output.
    let tolerance = 0.0012 + 0.5 / rate.fps();
    for track in &published.video {
        let numbers = frame_numbers(&published.assembled(track));
        assert!(numbers.is_sorted(), "{}: {numbers:?}", track.name);
        for (at, number) in (0_u64..).zip(&numbers) {
            // Time 0 is the first picture.
            let (time, from) = (rate.seconds(at), shown_at(*number) - shown_at(0));
            assert!(from <= time + tolerance, "{}: picture {at} shows {number} too early", track.name);
            if number + 1 < frames {
                let until = shown_at(number + 1) - shown_at(0);
                assert!(until >= time - tolerance, "{}: picture {at} still shows {number}", track.name);
            }
        }
        assert_eq!((numbers.first(), numbers.last()), (Some(&0), Some(&(frames - 1))), "{}", track.name);
    }
}

#[tokio::test]
async fn a_variable_rate_shows_the_right_picture_at_every_time() {
    const FRAMES: u32 = 400;
    let bench = Bench::start().await;
    let pace = format!("-vf settb=1/1000,setpts=({TIMES})/TB -fps_mode passthrough -enc_time_base 1:1000");
    let make_source = |name: &str, reordering: &str| {
        let options = format!("{pace} -c:v libx264 -preset ultrafast {reordering} -g 60");
        make(&bench.path(name), &numbered("30", FRAMES, "320:240"), &options);
    };
    make_source("a.mkv", "-bf 3");
    // As phones write it: without reordering, and the last frame lasts as long as its neighbours.
    make_source("b.mkv", "-bf 0");
    make(&bench.path("b.mp4"), &input(&bench.path("b.mkv")), "-c copy");
    for name in ["a.mkv", "b.mp4"] {
        let published = bench.publish(name).await;
        assert!(published.plan.grid.chunks.len() >= 3, "borders are to be crossed");
        assert_shown_in_time(&published, FRAMES);
    }
}

/// Ten minutes whose picture changes once a second, with a click at each change, in sound of another rate than ours.
fn make_ten_minutes(bench: &Bench, seconds: u32) {
    make(&bench.path("click.wav"), &clicks(1.0), "-ar 44100 -ac 1");
    let sound = [vec!["-stream_loop".to_owned(), (seconds - 1).to_string()], input(&bench.path("click.wav"))].concat();
    let inputs = [numbered("1", seconds, "160:90"), sound].concat();
    make(&bench.path("a.mkv"), &inputs, "-c:v libx264 -preset ultrafast -bf 3 -c:a aac -b:a 64k");
}

#[tokio::test]
async fn after_ten_minutes_every_click_is_still_within_20_ms_of_its_picture() {
    const SECONDS: u32 = 600;
    let bench = Bench::start().await;
    make_ten_minutes(&bench, SECONDS);
    let published = bench.publish("a.mkv").await;
    let rate = published.plan.info.video.frame_rate;
    let numbers = frame_numbers(&published.assembled(&published.video[0]));
    let clicks = click_times(&published.assembled(&published.audio[0]));
    assert_eq!(clicks.len(), SECONDS as usize, "{clicks:?}");
    for (second, click) in (0..SECONDS).zip(clicks) {
        let picture = numbers.iter().position(|number| *number == second).expect("every picture is shown");
        let shown = rate.seconds(picture as u64);
        assert!((click - shown).abs() < 0.02, "picture {second} at {shown} s, its click at {click} s");
    }
}

#[test]
fn the_times_of_the_variable_source_rise() {
    assert!((1..400).all(|frame| shown_at(frame) > shown_at(frame - 1)));
}
