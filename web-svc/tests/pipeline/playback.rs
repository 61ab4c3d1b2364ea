//! What is published plays: manifests are read and decoded by ffmpeg without a word.

use tokio_util::sync::CancellationToken;
use web_svc::pipeline::{Growth, INIT_FILE, Storyboard, segment_file};

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
}

#[tokio::test]
async fn a_storyboard_shows_the_first_picture_of_each_interval_though_segments_between_are_missing() {
    let bench = Bench::start().await;
    // 600 s, whose light changes every 6 s, which is what a tile stands for; segments last 4 s.
    let graph = "color=s=64x36:r=5:d=600,format=yuv420p,geq=lum='20+20*mod(floor(N/30)*7,11)':cb=128:cr=128";
    make(&bench.path("a.mp4"), &["-f", "lavfi", "-i", graph].map(str::to_owned), H264);
    let published = bench.publish("a.mp4").await;
    let presentation = published.presentation(Growth::Complete);
    let rendition = presentation.video().last().unwrap();
    let board = Storyboard::of(rendition);
    let numbers = board.segments(&rendition.track);
    assert_eq!((rendition.track.segments.len(), numbers.len()), (150, 100));
    let folder = published.root.join("1").join(rendition.track.name.as_str());
    let mut film = vec![INIT_FILE.to_owned()];
    film.extend(numbers.into_iter().map(segment_file));
    let film: Vec<_> = film.iter().map(|file| std::fs::read(folder.join(file)).unwrap().into()).collect();
    let work = bench.directory.path();
    let sprite = bench.pipeline.sprite(&board, &film, work, &CancellationToken::new()).await.unwrap();
    assert_eq!(jpeg_size(&bench, &sprite), "1600,900");
    assert!(board.vtt("s.jpg").contains("00:01:06.000 --> 00:01:12.000\ns.jpg#xywh=160,90,160,90\n"));
    for (tile, luma) in tiles_luma(&bench, &sprite, 10, 10).into_iter().enumerate() {
        // Studio range, as drawn, on its way to the full range.
        let drawn = (20.0 + 20.0 * (tile * 7 % 11) as f64 - 16.0) * 255.0 / 219.0;
        assert!((f64::from(luma) - drawn).abs() < 10.0, "tile {tile}: {luma}, not {drawn}");
    }
}

/// The mean luma of each tile of a sprite.
fn tiles_luma(bench: &Bench, sprite: &[u8], columns: u32, rows: u32) -> Vec<u8> {
    let path = bench.path("sprite.jpg");
    std::fs::write(&path, sprite).unwrap();
    let graph = format!("scale={columns}:{rows}:flags=area,format=gray");
    run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-vf", &graph, "-f", "rawvideo", "-"]).0
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
