//! A source whose own bitstream conforms is the top rendition as it is; any other is encoded.

use tokio_util::sync::CancellationToken;
use web_svc::pipeline::{Growth, PipelineError, Plan};

use crate::encoding::{Bench, Published};
use crate::fixture::{click_times, clicks, frame_numbers, make, numbered, run};

/// A keyframe every two seconds at 30 frames per second.
const H264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 60 -pix_fmt yuv420p";

async fn plan(bench: &Bench, name: &str) -> Plan {
    let info = bench.probe(name).await.unwrap();
    bench.pipeline.plan(info, &bench.server.source(name), &CancellationToken::new()).await.unwrap()
}

/// Makes the source, takes its top rendition over and checks every frame of all renditions.
async fn copied(bench: &Bench, name: &str, rate: &str, frames: u32, options: &str) -> Published {
    make(&bench.path(name), &numbered(rate, frames, "640:360"), options);
    let plan = plan(bench, name).await;
    assert!(plan.copies_top, "{options}");
    let published = bench.publish_plan(name, plan).await;
    assert_eq!(published.video.len(), 3);
    for track in &published.video {
        let numbers = frame_numbers(&published.assembled(track));
        assert_eq!(numbers, (0..frames).collect::<Vec<_>>(), "{options}: {}", track.name);
    }
    assert_eq!(pictures(&published.assembled(&published.video[0])), pictures(bench.path(name).to_str().unwrap()));
    published
}

/// A digest of the pictures of a video as they are decoded.
fn pictures(video: &str) -> String {
    let arguments = ["-v", "error", "-i", video, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "md5", "-"];
    String::from_utf8(run("ffmpeg", &arguments).0).unwrap()
}

#[tokio::test]
async fn a_conforming_source_is_the_top_rendition_bit_for_bit_and_the_others_keep_to_its_keyframes() {
    let bench = Bench::start().await;
    copied(&bench, "a.mp4", "30000/1001", 700, H264).await;
    copied(&bench, "b.mp4", "25", 303, &format!("{H264} -g 125 -movflags +faststart -video_track_timescale 90000"))
        .await;
    // Keyframes wherever the encoder likes.
    let uneven = "-force_key_frames 0.5,1.2,2.04,4.4,5,9.6,9.64,12 -x264-params open-gop=0";
    copied(&bench, "c.mp4", "25", 320, &format!("{H264} -g 120 {uneven}")).await;
    copied(&bench, "d.mp4", "30", 200, "-c:v libx264 -preset veryfast -profile:v baseline -g 45 -pix_fmt yuv420p")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_copied_plays_from_both_manifests_with_its_sound() {
    let bench = Bench::start().await;
    let inputs = [numbered("30", 610, "640:360"), clicks(20.3)].concat();
    make(&bench.path("a.mp4"), &inputs, &format!("{H264} -c:a aac"));
    let plan = plan(&bench, "a.mp4").await;
    assert!(plan.copies_top);
    let published = bench.publish_plan("a.mp4", plan).await;
    published.write_manifests(&published.presentation(Growth::Complete));
    let server = crate::server::FileServer::start(&published.root).await;
    for manifest in ["manifest.mpd", "master.m3u8"] {
        let url = server.url(manifest);
        // The first rendition in either manifest is the best one.
        let (output, stderr) = run(
            "ffprobe",
            &[
                "-v",
                "warning",
                "-count_frames",
                "-select_streams",
                "v:0",
                "-show_entries",
                "stream=nb_read_frames,height",
                "-of",
                "csv=p=0",
                &url,
            ],
        );
        assert_eq!(stderr, "", "{manifest}");
        assert!(String::from_utf8(output).unwrap().starts_with("360,610"), "{manifest}");
    }
    let times = click_times(&published.assembled(&published.audio[0]));
    assert!(times.iter().enumerate().all(|(second, time)| (time - second as f64).abs() < 0.02), "{times:?}");
}

#[tokio::test]
async fn what_a_player_could_tell_from_ours_is_encoded() {
    let bench = Bench::start().await;
    let doubtful = [
        (
            "open groups",
            "a.mp4",
            "-c:v libx264 -preset veryfast -bf 3 -g 60 -x264-params open-gop=1:bframes=3 -pix_fmt yuv420p",
        ),
        (
            "groups of ten seconds",
            "b.mp4",
            "-c:v libx264 -preset veryfast -g 300 -keyint_min 300 -sc_threshold 0 -pix_fmt yuv420p",
        ),
        ("another container", "c.mkv", H264),
        ("another codec", "d.mp4", "-c:v mpeg4 -q:v 3 -g 30"),
        ("ten bits", "e.mp4", "-c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p10le"),
        ("4:4:4", "f.mp4", "-c:v libx264 -preset veryfast -g 60 -pix_fmt yuv444p"),
        (
            "fragments",
            "g.mp4",
            "-c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p -movflags +frag_keyframe+empty_moov",
        ),
        (
            "a wavering rate",
            "h.mp4",
            "-vf select='mod(n\\,7)' -fps_mode vfr -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p",
        ),
        ("wide pixels", "i.mp4", "-vf setsar=4/3 -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p"),
        (
            "keyframes that are no IDR pictures",
            "j.mp4",
            "-c:v libx264 -preset veryfast -bf 0 -g 60 -x264-params intra-refresh=1 -pix_fmt yuv420p",
        ),
    ];
    for (what, name, options) in doubtful {
        make(&bench.path(name), &numbered("30", 330, "640:360"), options);
        assert!(!plan(&bench, name).await.copies_top, "{what}");
    }
    // Noise takes more than viewers were promised.
    let noise = ["-f", "lavfi", "-i", "nullsrc=s=640x360:r=30:d=5,geq=random(1)*255:128:128"].map(str::to_owned);
    make(&bench.path("noise.mp4"), &noise, &format!("{H264} -crf 10"));
    assert!(!plan(&bench, "noise.mp4").await.copies_top);
}

#[tokio::test]
async fn turned_and_trimmed_copies_of_a_conforming_source_are_encoded() {
    let bench = Bench::start().await;
    make(&bench.path("plain.mp4"), &numbered("30", 330, "640:360"), H264);
    assert!(plan(&bench, "plain.mp4").await.copies_top);
    let plain = bench.path("plain.mp4").to_str().unwrap().to_owned();
    let from = |seek: &[&str]| [seek, &["-i", &plain]].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    make(&bench.path("turned.mp4"), &from(&[]), "-c copy -metadata:s:v:0 rotate=90");
    // The muxer keeps the pictures from the keyframe on and hides the first of them by an edit list.
    make(&bench.path("trimmed.mp4"), &from(&["-ss", "1.0"]), "-c copy");
    make(&bench.path("late.mp4"), &from(&["-itsoffset", "2"]), "-c copy");
    for name in ["turned.mp4", "trimmed.mp4", "late.mp4"] {
        assert!(!plan(&bench, name).await.copies_top, "{name}");
    }
}

#[tokio::test]
async fn a_small_source_is_only_copied() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 260, "160:90"), "-c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p");
    let plan = plan(&bench, "a.mp4").await;
    assert!(plan.copies_top && plan.encoded_rungs().is_empty(), "{:?}", plan.rungs);
    let published = bench.publish_plan("a.mp4", plan).await;
    assert_eq!(frame_numbers(&published.assembled(&published.video[0])), (0..260).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_index_that_names_what_is_not_there_is_not_trusted() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 260, "160:90"), "-c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p");
    assert!(plan(&bench, "a.mp4").await.copies_top);
    let info = bench.probe("a.mp4").await.unwrap();
    let file = std::fs::read(bench.path("a.mp4")).unwrap();
    // The last entries of the picture's tables: where its last chunk is, and how long its last picture.
    for (table, entry) in [("stco", u32::MAX - 15), ("stsz", 0), ("stsz", u32::MAX)] {
        let start = file.windows(4).position(|window| window == table.as_bytes()).unwrap() - 4;
        let length = u32::from_be_bytes(file[start..start + 4].try_into().unwrap()) as usize;
        let mut patched = file.clone();
        patched[start + length - 4..start + length].copy_from_slice(&entry.to_be_bytes());
        std::fs::write(bench.path("b.mp4"), patched).unwrap();
        let source = bench.server.source("b.mp4");
        let plan = bench.pipeline.plan(info.clone(), &source, &CancellationToken::new()).await.unwrap();
        assert!(!plan.copies_top, "{table} {entry}");
    }
}

/// Where the body of the first box of that kind begins.
fn body_of(file: &[u8], kind: &str) -> usize {
    file.windows(4).position(|window| window == kind.as_bytes()).unwrap() + 4
}

#[tokio::test]
async fn a_movie_that_is_turned_as_a_whole_is_encoded() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 50, "160:90"), "-c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p");
    let mut file = std::fs::read(bench.path("a.mp4")).unwrap();
    let matrix = body_of(&file, "mvhd") + 36;
    for place in [matrix, matrix + 16] {
        assert_eq!(file[place..place + 4], 0x1_0000_u32.to_be_bytes());
        file[place..place + 4].copy_from_slice(&(-0x1_0000_i32).to_be_bytes());
    }
    std::fs::write(bench.path("b.mp4"), file).unwrap();
    assert!(plan(&bench, "a.mp4").await.copies_top && !plan(&bench, "b.mp4").await.copies_top);
}

#[tokio::test]
async fn a_table_that_claims_four_thousand_million_entries_costs_nothing() {
    let bench = Bench::start().await;
    make(&bench.path("a.mp4"), &numbered("25", 50, "160:90"), "-c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p");
    let mut file = std::fs::read(bench.path("a.mp4")).unwrap();
    let claim = [b"\0\0\0\x14sgpd\0\0\0\0roll".as_slice(), &u32::MAX.to_be_bytes()].concat();
    for parent in ["moov", "trak", "mdia", "minf", "stbl"] {
        let start = body_of(&file, parent) - 8;
        let length = u32::from_be_bytes(file[start..start + 4].try_into().unwrap()) + 20;
        file[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    let table = body_of(&file, "stbl");
    file.splice(table..table, claim);
    std::fs::write(bench.path("b.mp4"), file).unwrap();
    assert!(plan(&bench, "b.mp4").await.copies_top);
}

/// The offset and the size of the picture that comes so many pictures after the first.
fn picture_at(file: &str, index: usize) -> (usize, usize) {
    let entries = ["-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,size", "-of", "csv=p=0", file];
    let listed = String::from_utf8(run("ffprobe", &entries).0).unwrap();
    let (size, offset) = listed.lines().nth(index).unwrap().split_once(',').unwrap();
    (offset.trim_end_matches(',').parse().unwrap(), size.parse().unwrap())
}

#[tokio::test]
async fn damaged_pictures_are_not_handed_on() {
    let bench = Bench::start().await;
    make(&bench.path("whole.mp4"), &numbered("25", 100, "640:360"), H264);
    let whole = std::fs::read(bench.path("whole.mp4")).unwrap();
    let (offset, size) = picture_at(bench.path("whole.mp4").to_str().unwrap(), 30);
    let cases: [(&str, std::ops::Range<usize>); 2] =
        [("length.mp4", offset..offset + 3), ("content.mp4", offset + size / 2..offset + size)];
    for (name, damaged) in cases {
        let mut bytes = whole.clone();
        bytes[damaged].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(bench.path(name), bytes).unwrap();
        let plan = plan(&bench, name).await;
        assert!(plan.copies_top, "{name}");
        let (source, cancel) = (bench.server.source(name), CancellationToken::new());
        let made = bench.pipeline.encode_chunk(&plan, 0, &source, &bench.path("."), |_| (), &cancel).await;
        assert!(matches!(made, Err(PipelineError::Unfit(_))), "{name}: {made:?}");
        let plan = Plan::new(plan.info);
        bench.pipeline.encode_chunk(&plan, 0, &source, &bench.path("."), |_| (), &cancel).await.unwrap();
    }
}
