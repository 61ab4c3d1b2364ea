//! What is no video, or only pretends, is refused with a reason, and makes nobody read anything else.

use tokio_util::sync::CancellationToken;
use web_svc::pipeline::{PipelineError, Plan, SourceFault};

use crate::encoding::Bench;
use crate::fixture::{make, numbered, words};

const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 50 -pix_fmt yuv420p";

async fn fault(bench: &Bench, name: &str) -> SourceFault {
    match bench.probe(name).await {
        Err(PipelineError::Source(fault)) => fault,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn playlists_and_scripts_named_mp4_are_refused_and_their_targets_never_read() {
    let bench = Bench::start().await;
    make(&bench.path("victim.mp4"), &numbered("25", 10, "320:240"), H264);
    let (victim, url) = (bench.path("victim.mp4"), bench.server.url("victim.mp4"));
    let victim = victim.display();
    let lures = [
        (
            "hls.mp4",
            format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXTINF:10,\nfile://{victim}\n#EXT-X-ENDLIST\n"
            ),
            "HLS playlist",
        ),
        ("concat.mp4", format!("ffconcat version 1.0\nfile {victim}\nfile {url}\n"), "ffconcat"),
        ("dash.mp4", format!("<?xml version=\"1.0\"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>"), "DASH"),
        (
            "sdp.mp4",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9999 RTP/AVP 96\n".to_owned(),
            "SDP",
        ),
        ("svg.mp4", format!("<svg xmlns='http://www.w3.org/2000/svg'><image href='{url}'/></svg>"), "SVG"),
        ("text.mp4", "Dear diary, this is not a video.\n".to_owned(), "text file"),
    ];
    for (name, content, reason) in &lures {
        std::fs::write(bench.path(name), content).unwrap();
        assert!(fault(&bench, name).await.to_string().contains(reason), "{name}");
    }
    assert!(!bench.server.asked().iter().any(|path| path == "victim.mp4"), "{:?}", bench.server.asked());
}

#[tokio::test]
async fn a_playlist_behind_the_head_of_an_mp4_opens_nothing() {
    let bench = Bench::start().await;
    make(&bench.path("victim.mp4"), &numbered("25", 10, "320:240"), H264);
    let mut lure = b"\0\0\0\x14ftypisom\0\0\0\0isom".to_vec();
    lure.extend(format!("\n#EXTM3U\n#EXTINF:10,\n{}\n", bench.server.url("victim.mp4")).into_bytes());
    std::fs::write(bench.path("lure.mp4"), lure).unwrap();
    assert!(matches!(fault(&bench, "lure.mp4").await, SourceFault::Damaged { .. }));
    assert!(!bench.server.asked().iter().any(|path| path == "victim.mp4"));
}

#[tokio::test]
async fn a_playlist_or_script_behind_the_head_of_sound_opens_nothing() {
    let bench = Bench::start().await;
    make(&bench.path("victim.mp4"), &numbered("25", 10, "320:240"), H264);
    let (victim, url) = (bench.path("victim.mp4"), bench.server.url("victim.mp4"));
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n");
    let script = format!("ffconcat version 1.0\nfile {url}\nfile {}\n", victim.display());
    let heads: [&[u8]; 8] = [
        b"ID3\x04\0\0\0\0\0\0",
        b"ID3\x03\0\0",
        b"ID3\x04\0\0\0\0\0\0fLaC\0\0\0\x22",
        b"RIFF\xFF\0\0\0WAVE",
        b"RIFF\xFF\0\0\0WAVEdata\xFF\0\0\0",
        b"fLaC\x80\0\0\x22",
        b"\xFF\xFB\x90\x64",
        b"\xFF\xF1\x50\x80",
    ];
    for head in heads {
        for lure in [&hls, &script] {
            std::fs::write(bench.path("lure"), [head, b"\n", lure.as_bytes()].concat()).unwrap();
            let reason = fault(&bench, "lure").await.to_string();
            assert!(!reason.contains("127.0.0.1"), "{}: {reason}", head.escape_ascii());
        }
    }
    assert!(!bench.server.asked().iter().any(|path| path == "victim.mp4"), "{:?}", bench.server.asked());
}

#[tokio::test]
async fn empty_truncated_and_garbled_files_are_told_apart() {
    let bench = Bench::start().await;
    std::fs::write(bench.path("empty.mp4"), b"").unwrap();
    assert_eq!(fault(&bench, "empty.mp4").await, SourceFault::Empty);

    make(&bench.path("whole.mp4"), &numbered("25", 100, "320:240"), H264);
    let whole = std::fs::read(bench.path("whole.mp4")).unwrap();
    std::fs::write(bench.path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let reason = fault(&bench, "cut.mp4").await.to_string();
    assert!(reason.contains("damaged or incomplete") && reason.contains("should have"), "{reason}");

    let noise: Vec<u8> =
        (0_u32..100_000).map(|index| u8::try_from(index.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    std::fs::write(bench.path("noise.mp4"), noise).unwrap();
    assert!(matches!(fault(&bench, "noise.mp4").await, SourceFault::NotAVideo(_)));
}

#[tokio::test]
async fn huge_and_strange_pictures_are_refused() {
    let bench = Bench::start().await;
    let inputs = words("-f lavfi -i color=s=12000x12000:r=1:d=1").into_iter().map(str::to_owned).collect::<Vec<_>>();
    make(&bench.path("bomb.mkv"), &inputs, "-c:v mjpeg -q:v 31 -frames:v 1");
    let reason = fault(&bench, "bomb.mkv").await;
    assert!(
        matches!(reason, SourceFault::Dimensions { .. } | SourceFault::Undecodable(_) | SourceFault::Damaged { .. }),
        "{reason}"
    );

    make(&bench.path("gif.mkv"), &numbered("25", 5, "320:240"), "-c:v gif -pix_fmt rgb8");
    assert_eq!(fault(&bench, "gif.mkv").await, SourceFault::UnsupportedCodec("gif".to_owned()));
}

#[tokio::test]
async fn a_source_that_is_not_there_may_come_back() {
    let bench = Bench::start().await;
    assert!(matches!(bench.probe("nothing.mp4").await, Err(PipelineError::Transient { .. })));
}

#[tokio::test]
async fn a_cancelled_chunk_leaves_no_file() {
    let bench = Bench::start().await;
    let inputs = words("-f lavfi -i testsrc2=s=1920x1080:r=30:d=8").into_iter().map(str::to_owned).collect::<Vec<_>>();
    make(&bench.path("a.mp4"), &inputs, "-c:v libx264 -preset ultrafast");
    let plan = Plan::new(bench.probe("a.mp4").await.unwrap());
    let work = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let progress = |_: f32| cancel.cancel();
    let outcome =
        bench.pipeline.encode_chunk(&plan, 0, &bench.server.source("a.mp4"), work.path(), progress, &cancel).await;
    assert!(matches!(outcome, Err(PipelineError::Cancelled)), "{outcome:?}");
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
}
