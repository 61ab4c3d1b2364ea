//! Pictures that are not plain: rotated, with wide pixels, interlaced, deep or of high dynamic range.

use crate::encoding::{Bench, Published};
use crate::fixture::{frame_numbers, make, numbered, run};

/// Encodes `name` and answers `width,height,pix_fmt,field_order,color_space` of the top rendition.
async fn top_rendition(bench: &Bench, name: &str) -> (Published, String) {
    let published = bench.publish(name).await;
    let path = published.assembled(&published.video[0]);
    let entries = "stream=width,height,sample_aspect_ratio,pix_fmt,color_space,color_transfer";
    let (output, _) = run("ffprobe", &["-v", "error", "-show_entries", entries, "-of", "csv=p=0", &path]);
    (published, String::from_utf8(output).unwrap().trim().to_owned())
}

fn lavfi(graph: &str) -> Vec<String> {
    ["-f", "lavfi", "-i", graph].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_rotated_phone_video_stands_upright() {
    let bench = Bench::start().await;
    make(
        &bench.path("plain.mp4"),
        &lavfi("testsrc2=s=426x240:r=25:d=1"),
        "-c:v libx264 -preset veryfast -pix_fmt yuv420p",
    );
    let plain = bench.path("plain.mp4");
    make(
        &bench.path("a.mp4"),
        &["-i".to_owned(), plain.to_str().unwrap().to_owned()],
        "-c copy -metadata:s:v:0 rotate=90",
    );
    let (published, top) = top_rendition(&bench, "a.mp4").await;
    assert_eq!((published.plan.info.video.width, published.plan.info.video.height), (240, 426));
    assert_eq!(top, "240,426,1:1,yuv420p,bt709,bt709");
}

#[tokio::test]
async fn wide_pixels_and_odd_sizes_become_square_and_even() {
    let bench = Bench::start().await;
    make(
        &bench.path("a.mkv"),
        &lavfi("testsrc2=s=361x289:r=25:d=1,setsar=16/11"),
        "-c:v libx264 -preset veryfast -pix_fmt yuv444p",
    );
    let (_, top) = top_rendition(&bench, "a.mkv").await;
    assert_eq!(top, "524,288,1:1,yuv420p,bt709,bt709");
}

#[tokio::test]
async fn fields_become_frames() {
    let bench = Bench::start().await;
    let graph = "testsrc2=s=352x288:r=50:d=2,interlace";
    make(&bench.path("a.ts"), &lavfi(graph), "-c:v mpeg2video -b:v 4M -flags +ildct+ilme -pix_fmt yuv420p");
    let (published, top) = top_rendition(&bench, "a.ts").await;
    assert!(published.plan.info.video.interlaced);
    assert_eq!(published.plan.info.video.frame_rate.to_string(), "25");
    assert_eq!(published.video[0].duration_ticks(), 50 * 1000);
    assert!(top.starts_with("352,288,"), "{top}");
}

#[tokio::test]
async fn high_dynamic_range_is_mapped_to_the_standard_one() {
    let bench = Bench::start().await;
    let options = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc \
                   -x265-params log-level=none:hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc";
    make(&bench.path("a.mp4"), &lavfi("testsrc2=s=426x240:r=25:d=1"), options);
    let (published, top) = top_rendition(&bench, "a.mp4").await;
    assert_eq!(published.plan.info.video.colour, web_svc::pipeline::Colour::Pq);
    assert_eq!(top, "426,240,1:1,yuv420p,bt709,bt709");
}

#[tokio::test]
async fn a_wavering_frame_rate_becomes_constant_and_loses_nothing() {
    let bench = Bench::start().await;
    // Frames at 30 per second of which every picture is shown, but some twice as long: their successors are dropped.
    let inputs = numbered("30", 300, "320:240");
    make(
        &bench.path("a.mkv"),
        &inputs,
        "-vf select='mod(n\\,7)' -fps_mode vfr -c:v libx264 -preset veryfast -bf 3 -g 60",
    );
    let published = bench.publish("a.mkv").await;
    let numbers = frame_numbers(&published.assembled(&published.video[0]));
    let kept: Vec<u32> = (0..300).filter(|number| number % 7 != 0).collect();
    let mut seen = numbers.clone();
    seen.dedup();
    assert_eq!(seen, kept, "{numbers:?}");
}
