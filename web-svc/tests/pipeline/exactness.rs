//! Every frame of a source comes back once and in order, in every rendition, whatever its container and rate.

use crate::encoding::{Bench, Published};
use crate::fixture::{click_times, clicks, frame_numbers, frame_numbers_through, input, make, numbered};
use web_svc::pipeline::{Encoded, Pipeline, Plan, Settings};

const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 50 -pix_fmt yuv420p";

fn assert_exact(published: &Published, frames: u32) {
    assert_shows(published, &(0..frames).collect::<Vec<u32>>());
}

/// Every rendition shows these frames, each for as long as one of the constant rate lasts.
fn assert_shows(published: &Published, wanted: &[u32]) {
    assert!(published.video.len() >= 2, "only {} renditions", published.video.len());
    for track in &published.video {
        let numbers = frame_numbers(&published.assembled(track));
        assert_eq!(numbers, wanted, "{}", track.name);
        let ticks = u64::from(published.plan.info.video.frame_rate.frame_ticks());
        assert_eq!(track.duration_ticks(), wanted.len() as u64 * ticks);
    }
}

/// Makes a source without sound, encodes it and checks every frame.
async fn exact(name: &str, rate: &str, frames: u32, options: &str) -> Published {
    let bench = Bench::start().await;
    make(&bench.path(name), &numbered(rate, frames, "320:240"), options);
    let published = bench.publish(name).await;
    assert_eq!(published.plan.info.video.frame_rate.to_string(), rate);
    assert_exact(&published, frames);
    published
}

#[tokio::test]
async fn h264_at_29_97_keeps_every_frame() {
    exact("a.mp4", "30000/1001", 290, H264).await;
}

#[tokio::test]
async fn h264_at_30_keeps_every_frame() {
    exact("a.mp4", "30", 310, &format!("{H264} -g 250")).await;
}

#[tokio::test]
async fn h264_at_59_94_keeps_every_frame() {
    exact("a.mp4", "60000/1001", 500, H264).await;
}

#[tokio::test]
async fn a_matroska_file_with_open_gops_at_23_976_keeps_every_frame() {
    exact("a.mkv", "24000/1001", 300, "-c:v libx264 -preset veryfast -bf 3 -g 30 -x264-params open-gop=1:bframes=3")
        .await;
}

#[tokio::test]
async fn a_webm_keeps_every_frame() {
    exact("a.webm", "25", 260, "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M -g 128").await;
}

#[tokio::test]
async fn an_avi_keeps_every_frame() {
    exact("a.avi", "25", 260, "-c:v mpeg4 -q:v 3 -bf 2 -g 100").await;
}

#[tokio::test]
async fn a_transport_stream_with_gops_of_thirty_seconds_keeps_every_frame() {
    exact("a.ts", "25", 1000, &format!("{H264} -g 750 -sc_threshold 0")).await;
}

#[tokio::test]
async fn a_fragmented_mp4_keeps_every_frame() {
    exact("a.mp4", "25", 230, &format!("{H264} -movflags +frag_keyframe+empty_moov")).await;
}

#[tokio::test]
async fn a_matroska_file_without_a_duration_keeps_every_frame() {
    exact("a.mkv", "25", 230, &format!("{H264} -live 1")).await;
}

#[tokio::test]
async fn a_single_frame_is_a_video() {
    let published = exact("a.mp4", "25", 1, H264).await;
    assert_eq!(published.video[0].segments.len(), 1);
}

#[tokio::test]
async fn a_video_that_starts_at_two_seconds_keeps_every_frame() {
    let bench = Bench::start().await;
    make(&bench.path("plain.mp4"), &numbered("25", 230, "320:240"), H264);
    let plain = bench.path("plain.mp4");
    let inputs = ["-itsoffset", "2", "-i", plain.to_str().unwrap()].map(str::to_owned);
    make(&bench.path("a.mp4"), &inputs, "-c copy");
    make(&bench.path("b.mkv"), &inputs, "-c copy");
    for name in ["a.mp4", "b.mkv"] {
        let published = bench.publish(name).await;
        assert!(
            (published.plan.info.video.start.seconds() - 2.0).abs() < 0.1,
            "{name}: {:?}",
            published.plan.info.video.start
        );
        assert_exact(&published, 230);
    }
}

/// An edit list may begin in the middle of a group of pictures: what comes before is decoded and never shown.
#[tokio::test]
async fn an_edit_list_hides_what_comes_before_it_and_nothing_else() {
    let bench = Bench::start().await;
    make(&bench.path("plain.mp4"), &numbered("25", 430, "320:240"), H264);
    let from = [vec!["-ss".to_owned(), "1.3".to_owned()], input(&bench.path("plain.mp4"))].concat();
    make(&bench.path("a.mp4"), &from, "-c copy");
    let published = bench.publish("a.mp4").await;
    assert_shows(&published, &(33..430).collect::<Vec<u32>>());
}

/// Phones record upright pictures lying down. Turned back by hand, every frame is to be read as it was drawn.
#[tokio::test]
async fn a_turned_mp4_keeps_every_frame_and_stands_upright() {
    let bench = Bench::start().await;
    make(&bench.path("plain.mp4"), &numbered("30", 310, "320:240"), H264);
    for (degrees, turn_back, size) in
        [(90, "transpose=clock", (240, 320)), (180, "hflip,vflip", (320, 240)), (270, "transpose=cclock", (240, 320))]
    {
        let name = format!("{degrees}.mp4");
        let options = format!("-c copy -metadata:s:v:0 rotate={degrees}");
        make(&bench.path(&name), &input(&bench.path("plain.mp4")), &options);
        let published = bench.publish(&name).await;
        assert_eq!((published.plan.info.video.width, published.plan.info.video.height), size, "{name}");
        for track in &published.video {
            let numbers = frame_numbers_through(&published.assembled(track), turn_back);
            assert_eq!(numbers, (0..310).collect::<Vec<u32>>(), "{name}, {}", track.name);
        }
    }
}

#[tokio::test]
async fn a_minute_with_sound_keeps_every_frame_and_stays_in_sync() {
    let bench = Bench::start().await;
    let inputs = [numbered("25", 1525, "320:240"), clicks(61.0)].concat();
    make(&bench.path("a.mp4"), &inputs, &format!("{H264} -c:a aac"));
    let published = bench.publish("a.mp4").await;
    assert_exact(&published, 1525);
    assert_eq!(published.plan.grid.chunks.len(), 5, "{:?}", published.plan.grid);
    assert_clicks(&published, 61);
}

#[tokio::test]
async fn sound_that_starts_late_or_early_stays_where_it_was() {
    let bench = Bench::start().await;
    make(&bench.path("picture.mp4"), &numbered("25", 150, "320:240"), H264);
    make(&bench.path("sound.mp4"), &clicks(6.5), "-c:a aac");
    let input = |name: &str| vec!["-i".to_owned(), bench.path(name).to_str().unwrap().to_owned()];
    let offset = || vec!["-itsoffset".to_owned(), "0.48".to_owned()];
    // Clicks are at the full seconds of the sound, which starts 0.48 s after the picture in one file and before it in the other.
    let late = [input("picture.mp4"), offset(), input("sound.mp4")].concat();
    let early = [offset(), input("picture.mp4"), input("sound.mp4")].concat();
    for (name, inputs, first_click) in [("late.mp4", late, 0.48), ("early.mp4", early, 0.52)] {
        make(&bench.path(name), &inputs, "-map 0 -map 1 -c copy");
        let published = bench.publish(name).await;
        let times = click_times(&published.assembled(&published.audio[0]));
        assert!(times.len() >= 5, "{name}: {times:?}");
        for (second, time) in times.iter().enumerate() {
            assert!((time - second as f64 - first_click).abs() < 0.02, "{name}: {times:?}");
        }
    }
}

fn assert_clicks(published: &Published, seconds: u32) {
    let times = click_times(&published.assembled(&published.audio[0]));
    assert_eq!(times.len(), seconds as usize, "{times:?}");
    for (second, time) in times.iter().enumerate() {
        assert!((time - second as f64).abs() < 0.02, "click {second} at {time}");
    }
}

#[tokio::test]
async fn a_plan_that_promises_too_much_ends_with_the_source() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 130, "320:240"), H264);
    let mut info = bench.probe("a.mp4").await.unwrap();
    info.video.frames = 2000;
    let published = bench.publish_plan("a.mp4", Plan::new(info)).await;
    assert_exact(&published, 130);
    assert_eq!(published.video[0].segments.len(), 2);
    let beyond = bench.encode_chunk(&published.plan, 3, &bench.server.source("a.mp4")).await;
    assert!(beyond.source_ended && beyond.renditions.is_empty());
}

#[tokio::test]
async fn a_plan_that_promises_a_little_too_few_still_takes_all() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 230, "320:240"), H264);
    let mut info = bench.probe("a.mp4").await.unwrap();
    info.video.frames = 215;
    let published = bench.publish_plan("a.mp4", Plan::new(info)).await;
    assert_exact(&published, 230);
}

#[tokio::test]
async fn workers_with_other_presets_make_parts_of_the_same_renditions() {
    let mut bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 210, "320:240"), H264);
    let source = bench.server.source("a.mp4");
    let plan = bench.pipeline.plan_of_encoded(bench.probe("a.mp4").await.unwrap());
    let inits = |encoded: &Encoded| encoded.renditions.iter().map(|output| output.init.clone()).collect::<Vec<_>>();
    let first = inits(&bench.encode_chunk(&plan, 0, &source).await);
    bench.pipeline = Pipeline::detect(Settings { preset: "medium".to_owned(), ..Settings::default() }).await.unwrap();
    assert_eq!(inits(&bench.encode_chunk(&plan, 1, &source).await), first);
    // A plan of an older version leaves it to each worker.
    let older = Plan { preset: None, ..plan };
    assert_ne!(inits(&bench.encode_chunk(&older, 1, &source).await), first);
}
