//! What is published plays: manifests are read and decoded by ffmpeg without a word.

use tokio_util::sync::CancellationToken;
use web_svc::pipeline::Growth;

use crate::encoding::Bench;
use crate::fixture::{clicks, frame_numbers, make, numbered, run};
use crate::server::FileServer;

const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 50 -pix_fmt yuv420p";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_manifests_decode_whole_without_a_warning() {
    let bench = Bench::start().await;
    let inputs = [numbered("30000/1001", 290, "320:240"), clicks(9.6), clicks(9.6)].concat();
    let options =
        format!("-map 0:v -map 1:a -map 2:a {H264} -c:a aac -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu");
    make(&bench.path("a.mp4"), &inputs, &options);
    let published = bench.publish("a.mp4").await;
    published.write_manifests(&published.presentation(Growth::Complete));
    let server = FileServer::start(&published.root).await;
    for manifest in ["manifest.mpd", "master.m3u8"] {
        let url = server.url(manifest);
        let url_for_ffmpeg = url.clone();
        let decode = move || {
            run("ffmpeg", &["-v", "warning", "-nostdin", "-i", &url_for_ffmpeg, "-map", "0", "-f", "null", "-"]).1
        };
        let stderr = tokio::task::spawn_blocking(decode).await.unwrap();
        assert_eq!(stderr, "", "{manifest}:\n{}", std::fs::read_to_string(published.root.join(manifest)).unwrap());
        let numbers = tokio::task::spawn_blocking(move || frame_numbers(&url)).await.unwrap();
        assert_eq!(numbers, (0..290).collect::<Vec<u32>>(), "{manifest}");
    }
}

#[tokio::test]
async fn a_video_without_sound_has_no_sound_in_its_manifests() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 30, "320:240"), H264);
    let published = bench.publish("a.mp4").await;
    let presentation = published.presentation(Growth::Complete);
    assert!(!presentation.dash_manifest().contains("audio"));
    assert!(!presentation.hls_master().contains("AUDIO"));
    assert_eq!(presentation.duration_ms(), 1200);
}

#[tokio::test]
async fn poster_and_storyboard_are_pictures_of_the_right_size() {
    let bench = Bench::start().await;
    // Two seconds of black, then bars.
    let graph = "color=black:s=640x360:r=25:d=2[a];smptebars=s=640x360:r=25:d=4[b];[a][b]concat";
    let inputs = ["-f", "lavfi", "-i", graph].map(str::to_owned);
    make(&bench.path("a.mp4"), &inputs, H264);
    let info = bench.probe("a.mp4").await.unwrap();
    let (source, cancel) = (bench.server.source("a.mp4"), CancellationToken::new());
    let poster = bench.pipeline.poster(&info, &source, bench.directory.path(), &cancel).await.unwrap();
    assert_eq!(jpeg_size(&bench, &poster), "640,360");
    assert!(mean_luma(&bench, &poster) > 40, "the poster is black");
    let storyboard = bench.pipeline.storyboard(&info, &source, bench.directory.path(), &cancel).await.unwrap();
    assert_eq!(jpeg_size(&bench, &storyboard.sprite), "960,90");
    let vtt = storyboard.vtt("1/storyboard.jpg");
    assert_eq!(vtt.matches("-->").count(), 6);
    assert!(vtt.contains("00:00:05.000 --> 00:00:06.000\n1/storyboard.jpg#xywh=800,0,160,90\n"), "{vtt}");
}

fn jpeg_size(bench: &Bench, picture: &[u8]) -> String {
    let path = bench.path("picture.jpg");
    std::fs::write(&path, picture).unwrap();
    let arguments = ["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", path.to_str().unwrap()];
    String::from_utf8(run("ffprobe", &arguments).0).unwrap().trim().to_owned()
}

fn mean_luma(bench: &Bench, picture: &[u8]) -> u8 {
    let path = bench.path("picture.jpg");
    std::fs::write(&path, picture).unwrap();
    let arguments =
        ["-v", "error", "-i", path.to_str().unwrap(), "-vf", "scale=1:1:flags=area,format=gray", "-f", "rawvideo", "-"];
    run("ffmpeg", &arguments).0[0]
}
