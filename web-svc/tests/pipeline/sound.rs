//! Files that hold sound alone: pictures are drawn of it, and the rest is as for any video.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::encoding::{Bench, Published};
use crate::fixture::{click_times, clicks, make, run, words};
use web_svc::pipeline::{Demuxer, Growth, Limits, PipelineError, SourceFault};

/// More than one chunk.
const SECONDS: u32 = 61;
const FRAME_RATE: u32 = 25;

/// The mean of each picture, from 0 to 255.
pub(crate) fn brightness(video: &str) -> Vec<u8> {
    let arguments = ["-v", "error", "-nostdin", "-i", video, "-vf", "scale=1:1:flags=area,format=gray"];
    let (pictures, stderr) =
        run("ffmpeg", &[&arguments[..], &["-fps_mode", "passthrough", "-f", "rawvideo", "-"]].concat());
    assert_eq!(stderr, "", "{video}");
    pictures
}

/// Every click is heard at its second and seen there, in every rendition.
fn assert_heard_and_seen(name: &str, published: &Published, heard_within: f64) {
    assert!(published.plan.info.video.drawn);
    let names: Vec<&str> = published.video.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["360p", "240p", "144p"], "{name}");
    let times = click_times(&published.assembled(&published.audio[0]));
    assert_eq!(times.len(), SECONDS as usize, "{name}: {times:?}");
    for (second, time) in times.iter().enumerate() {
        assert!((time - second as f64).abs() < heard_within, "{name}: click {second} at {time}");
    }
    for track in &published.video {
        let pictures = brightness(&published.assembled(track));
        let expected = (SECONDS * FRAME_RATE) as usize;
        assert!(pictures.len().abs_diff(expected) <= 5, "{name}, {}: {} pictures", track.name, pictures.len());
        assert_eq!(
            track.segments.iter().map(|segment| segment.number).collect::<Vec<_>>(),
            (1..=16).collect::<Vec<_>>()
        );
        for second in 0..SECONDS as usize {
            let click = second * FRAME_RATE as usize;
            let around = &pictures[click.saturating_sub(3)..(click + 4).min(pictures.len())];
            let silence = pictures[(click + 12).min(pictures.len() - 1)];
            let seen = around.iter().max().unwrap().saturating_sub(silence);
            assert!(seen >= 4, "{name}, {}: nothing is seen of click {second}: {around:?}, {silence}", track.name);
        }
    }
}

async fn plays(name: &str, options: &str, heard_within: f64) {
    let bench = Bench::start().await;
    make(&bench.path(name), &clicks(f64::from(SECONDS)), options);
    let published = bench.publish(name).await;
    assert_heard_and_seen(name, &published, heard_within);
    let presentation = published.presentation(Growth::Complete);
    assert!(presentation.dash_manifest().contains(r#"contentType="audio""#), "{name}");
    assert!(presentation.hls_master().contains("AUDIO"), "{name}");
}

#[tokio::test]
async fn sound_in_an_mp4_plays() {
    plays("a.m4a", "-c:a aac", 0.02).await;
}

#[tokio::test]
async fn an_mp3_plays() {
    plays("a.mp3", "-c:a libmp3lame -q:a 4", 0.02).await;
}

#[tokio::test]
async fn a_wav_plays() {
    plays("a.wav", "-c:a pcm_s16le", 0.02).await;
}

#[tokio::test]
async fn a_flac_plays() {
    plays("a.flac", "-c:a flac", 0.02).await;
}

#[tokio::test]
async fn aac_in_adts_plays() {
    // It has no place for the delay of its encoder, two blocks of 1024 samples.
    plays("a.aac", "-c:a aac -f adts", 0.06).await;
}

/// An `ID3v2` tag of so many bytes that hold nothing, with or without a footer.
fn tag(len_bytes: u32, has_footer: bool) -> Vec<u8> {
    let len = [21, 14, 7, 0].map(|shift| u8::try_from(len_bytes >> shift & 0x7F).unwrap());
    let ends = |name: &[u8]| [name, &[4, 0, if has_footer { 0x10 } else { 0 }], &len].concat();
    let footer = if has_footer { ends(b"3DI") } else { Vec::new() };
    [ends(b"ID3"), vec![0; len_bytes as usize], footer].concat()
}

#[tokio::test]
async fn any_kind_of_sound_may_begin_with_a_tag() {
    let bench = Bench::start().await;
    let kinds = [
        ("a.flac", "-c:a flac", Demuxer::Flac),
        ("a.aac", "-c:a aac -f adts", Demuxer::Aac),
        ("a.wav", "-c:a pcm_s16le", Demuxer::Wav),
        ("a.mp3", "-c:a libmp3lame", Demuxer::Mp3),
    ];
    for (name, options, demuxer) in kinds {
        make(&bench.path(name), &clicks(2.0), options);
        let sound = std::fs::read(bench.path(name)).unwrap();
        // The length is of seven bits a byte.
        for tags in [tag(300, false), tag(300, true), [tag(200, false), tag(20_000, true)].concat()] {
            std::fs::write(bench.path(name), [&tags[..], &sound].concat()).unwrap();
            let info = bench.probe(name).await.unwrap();
            assert_eq!(info.demuxer, demuxer, "{name}");
            assert!(info.duration().abs_diff(Duration::from_secs(2)) < Duration::from_millis(100), "{name}: {info:?}");
        }
    }
}

#[tokio::test]
async fn sound_in_webm_and_ogg_plays() {
    plays("a.webm", "-c:a libopus", 0.02).await;
    plays("a.ogg", "-c:a libvorbis", 0.02).await;
}

#[tokio::test]
async fn a_cover_is_not_taken_for_the_picture_and_the_poster_shows_the_sound() {
    let bench = Bench::start().await;
    let cover = words("-f lavfi -i color=red:s=64x64:d=1").into_iter().map(str::to_owned);
    let inputs = clicks(3.0).into_iter().chain(cover).collect::<Vec<_>>();
    make(
        &bench.path("a.mp3"),
        &inputs,
        "-map 0 -map 1 -frames:v 1 -c:a libmp3lame -c:v mjpeg -id3v2_version 3 -disposition:v attached_pic",
    );
    let info = bench.probe("a.mp3").await.unwrap();
    assert!(info.video.drawn && info.video.index == info.audio[0].index);
    let (source, cancel) = (bench.server.source("a.mp3"), CancellationToken::new());
    let poster = bench.pipeline.poster(&info, &source, bench.directory.path(), &cancel).await.unwrap();
    assert!(poster.starts_with(&[0xFF, 0xD8]));
    bench.publish("a.mp3").await;
}

#[tokio::test]
async fn a_file_of_subtitles_alone_is_refused() {
    let bench = Bench::start().await;
    std::fs::write(bench.path("a.srt"), "1\n00:00:00,000 --> 00:00:01,000\nHello\n").unwrap();
    let inputs = ["-i".to_owned(), bench.path("a.srt").to_str().unwrap().to_owned()];
    make(&bench.path("a.mkv"), &inputs, "-c:s srt");
    let error = bench.probe("a.mkv").await.unwrap_err();
    assert!(matches!(error, PipelineError::Source(SourceFault::Nothing)), "{error}");
}

/// The number of samples in a FLAC file's head, as of many hours.
fn lie(flac: &mut [u8]) {
    assert!(flac.starts_with(b"fLaC"));
    flac[22..26].copy_from_slice(&[0x40, 0, 0, 0]);
}

#[tokio::test]
async fn a_file_that_promises_hours_is_as_long_as_its_sound() {
    let bench = Bench::start().await;
    make(&bench.path("a.flac"), &clicks(10.0), "-c:a flac");
    let mut flac = std::fs::read(bench.path("a.flac")).unwrap();
    lie(&mut flac);
    std::fs::write(bench.path("lie.flac"), flac).unwrap();
    let info = bench.probe("lie.flac").await.unwrap();
    assert_eq!(info.video.frames, 250);
}

#[tokio::test]
async fn samples_are_not_taken_for_frames() {
    // A second has 48,000 samples, which QuickTime counts, in some 47 packets.
    let bench = Bench::with_limits(Limits { frames_max: 1_000, ..Limits::default() }).await;
    make(&bench.path("a.mov"), &clicks(2.0), "-c:a pcm_s16le");
    assert_eq!(bench.probe("a.mov").await.unwrap().video.frames, 50);
}

#[tokio::test]
async fn sound_that_cannot_be_decoded_is_refused_as_sound() {
    let bench = Bench::start().await;
    make(&bench.path("a.m4a"), &clicks(3.0), "-c:a aac");
    let mut mp4 = std::fs::read(bench.path("a.m4a")).unwrap();
    let kind = mp4.windows(4).position(|kind| kind == b"mdat").unwrap();
    let len_bytes = u32::from_be_bytes(mp4[kind - 4..kind].try_into().unwrap()) as usize;
    mp4[kind + 4..kind - 4 + len_bytes].fill(0xFF);
    std::fs::write(bench.path("noise.m4a"), mp4).unwrap();
    let error = bench.probe("noise.m4a").await.unwrap_err();
    assert!(matches!(error, PipelineError::Source(_)), "{error}");
    assert_eq!(error.to_string(), "No sound could be decoded: the aac data is damaged");
}

#[tokio::test]
async fn a_sampling_rate_that_no_sound_has_is_refused() {
    let bench = Bench::start().await;
    make(&bench.path("a.wav"), &clicks(1.0), "-c:a pcm_u8");
    let mut wav = std::fs::read(bench.path("a.wav")).unwrap();
    wav[24..28].copy_from_slice(&1_u32.to_le_bytes());
    std::fs::write(bench.path("slow.wav"), wav).unwrap();
    let error = bench.probe("slow.wav").await.unwrap_err();
    assert!(matches!(error, PipelineError::Source(_)), "{error}");
    assert_eq!(error.to_string(), "Sound with a sampling rate of 1 Hz is not supported.");
}
