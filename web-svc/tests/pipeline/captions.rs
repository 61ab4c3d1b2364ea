//! Text tracks in all forms and containers, on clocks that begin anywhere.

use tokio_util::sync::CancellationToken;

use crate::encoding::Bench;
use crate::fixture::{make, words};

const SUBRIP: &str =
    "1\n00:00:01,000 --> 00:00:02,500\nA & B, 1 < 2\n\n2\n00:00:03,000 --> 00:00:09,000\n<b>long</b>\n";
const EXPECTED: &str =
    "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nA &amp; B, 1 &lt; 2\n\n00:00:03.000 --> 00:00:04.000\n<b>long</b>\n";

/// Four seconds of picture, with the text of [`SUBRIP`].
fn film(bench: &Bench, name: &str, options: &str) {
    film_with(bench, name, "a.srt", SUBRIP, options);
}

fn film_with(bench: &Bench, name: &str, text_name: &str, text: &str, options: &str) {
    std::fs::write(bench.path(text_name), text).unwrap();
    let mut inputs =
        words("-f lavfi -i testsrc2=s=160x90:r=25:d=4 -i").into_iter().map(str::to_owned).collect::<Vec<_>>();
    inputs.push(bench.path(text_name).to_str().unwrap().to_owned());
    let options = format!("-map 0 -map 1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p {options}");
    make(&bench.path(name), &inputs, &options);
}

async fn captions(bench: &Bench, name: &str) -> Vec<Option<String>> {
    let info = bench.probe(name).await.unwrap();
    let (source, cancel) = (bench.server.source(name), CancellationToken::new());
    bench.pipeline.captions(&info, &source, bench.directory.path(), &cancel).await.unwrap()
}

#[tokio::test]
async fn times_count_from_the_first_picture_whatever_the_clock_of_the_file_says() {
    let bench = Bench::start().await;
    for (name, options) in [
        ("plain.mkv", "-c:s srt"),
        ("ass.mkv", "-c:s ass"),
        ("text.mp4", "-c:s mov_text"),
        ("late.mkv", "-c:s srt -output_ts_offset 7"),
        ("late.mp4", "-c:s mov_text -bf 2 -output_ts_offset 7"),
        ("very-late.mkv", "-c:s ass -output_ts_offset 4000"),
    ] {
        film(&bench, name, options);
        assert_eq!(captions(&bench, name).await, [Some(EXPECTED.to_owned())], "{name}");
    }
}

#[tokio::test]
async fn a_track_of_webvtt_keeps_its_text() {
    let bench = Bench::start().await;
    film_with(&bench, "a.mkv", "a.vtt", EXPECTED, "-c:s copy -output_ts_offset 7");
    assert_eq!(captions(&bench, "a.mkv").await, [Some(EXPECTED.to_owned())]);
}

#[tokio::test]
async fn a_file_without_text_has_no_captions() {
    let bench = Bench::start().await;
    let inputs = words("-f lavfi -i testsrc2=s=160x90:r=25:d=2").into_iter().map(str::to_owned).collect::<Vec<_>>();
    make(&bench.path("none.mkv"), &inputs, "-c:v libx264 -preset ultrafast -pix_fmt yuv420p");
    assert_eq!(captions(&bench, "none.mkv").await, Vec::<Option<String>>::new());
}
