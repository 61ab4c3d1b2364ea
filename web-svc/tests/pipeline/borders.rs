//! Chunk borders at every frame: whatever a chunk begins or ends with in the source, no frame is lost or doubled there.

use web_svc::pipeline::{Chunk, Grid, Plan};

use crate::encoding::Bench;
use crate::fixture::{frame_numbers, make, numbered};

/// Far enough from the beginning that every chunk under test has to be sought.
const FIRST: u32 = 320;
/// The source's group of pictures, at each of whose frames a border lies once.
const GOP: u32 = 24;
/// A chunk under test: long enough for a run of B-frames, and no divisor of `GOP`.
const CHUNK: u32 = 7;
const FRAMES: u32 = FIRST + GOP + 3 * CHUNK;

/// One long chunk, then short ones from `FIRST + phase` on, and the rest.
fn grid(phase: u32) -> Grid {
    let starts = (0..).map(|index| FIRST + phase + index * CHUNK).take_while(|start| *start < FRAMES - CHUNK);
    let starts: Vec<u32> = [0].into_iter().chain(starts).collect();
    let ends = starts.iter().skip(1).copied().chain([FRAMES]);
    let chunk = |(index, (start, end)): (u32, (&u32, u32))| Chunk {
        index,
        start_frame: u64::from(*start),
        first_segment: index + 1,
        segments: vec![end - start],
    };
    Grid { chunks: (0..).zip(starts.iter().zip(ends)).map(chunk).collect() }
}

/// Encodes a source once for each phase, so that a chunk begins and another one ends at every frame of a group of pictures.
async fn assert_borders(name: &str, rate: &str, options: &str) {
    let bench = Bench::start().await;
    // The least picture in which the number can be read: one rendition.
    make(&bench.path(name), &numbered(rate, FRAMES, "160:90"), options);
    let info = bench.probe(name).await.unwrap();
    assert_eq!(info.video.frame_rate.to_string(), rate);
    for phase in 0..CHUNK {
        let mut plan = Plan::new(info.clone());
        plan.grid = grid(phase);
        let published = bench.publish_plan(name, plan).await;
        let numbers = frame_numbers(&published.assembled(&published.video[0]));
        assert_eq!(numbers, (0..FRAMES).collect::<Vec<u32>>(), "{name}, phase {phase}");
    }
}

#[test]
fn over_all_phases_a_border_lies_at_every_frame_of_a_group_of_pictures() {
    let starts = (0..CHUNK).flat_map(|phase| grid(phase).chunks).map(|chunk| chunk.start_frame);
    let starts: std::collections::BTreeSet<u64> = starts.collect();
    let group = u64::from(FIRST)..u64::from(FIRST + GOP);
    assert!(group.clone().all(|frame| starts.contains(&frame)), "{starts:?}");
}

#[tokio::test]
async fn open_gops_in_a_matroska_file_may_be_cut_at_every_frame() {
    let options = format!(
        "-c:v libx264 -preset ultrafast -bf 3 -g {GOP} -sc_threshold 0 -x264-params open-gop=1:bframes=3:b-pyramid=1"
    );
    assert_borders("a.mkv", "24000/1001", &options).await;
}

#[tokio::test]
async fn an_mp4_with_b_frames_may_be_cut_at_every_frame() {
    let options = format!("-c:v libx264 -preset ultrafast -bf 3 -g {GOP} -sc_threshold 0");
    assert_borders("a.mp4", "30000/1001", &options).await;
}

#[tokio::test]
async fn a_transport_stream_may_be_cut_at_every_frame() {
    let options = format!("-c:v mpeg2video -q:v 4 -bf 2 -g {GOP}");
    assert_borders("a.ts", "25", &options).await;
}
