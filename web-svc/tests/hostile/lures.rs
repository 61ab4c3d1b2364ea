//! Playlists, scripts and pictures that call themselves videos and want the service to open something for them.

use triton_testkit::{WebService, media};

use crate::outcome::{Outcome, assert_as_before, assert_for_people, memory_kib, outcome};
use crate::trap::Trap;

/// What wants `target` to be opened, with a word that the reason must have.
fn lures(target: &str) -> Vec<(&'static str, String, &'static str)> {
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n");
    let key = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-KEY:METHOD=AES-128,URI=\"{target}\"\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n"
    );
    let dash = format!(
        "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\"PT9S\"><Period>\
         <AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>{target}</BaseURL>\
         </Representation></AdaptationSet></Period></MPD>"
    );
    let sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9999 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"99\" height=\"99\">\
         <image xlink:href=\"{target}\" width=\"99\" height=\"99\"/></svg>"
    );
    vec![
        ("hls.mp4", hls.clone(), "HLS playlist"),
        ("key.mp4", key, "HLS playlist"),
        ("concat.mp4", format!("ffconcat version 1.0\nfile '{target}'\n"), "ffconcat"),
        ("dash.mp4", dash, "DASH"),
        ("sdp.mp4", sdp.to_owned(), "SDP"),
        ("svg.mp4", svg, "SVG"),
        // Each behind the first bytes of a container, which is all that a sniffer sees.
        ("head.mp4", format!("\0\0\0\x14ftypisom\0\0\0\0isom\n{hls}"), "damaged"),
        ("head.flv", format!("FLV\x01\x05\0\0\0\t\0\0\0\0\n{hls}"), ""),
        ("head.ogv", format!("OggS\n{hls}"), ""),
        ("head.mp3", format!("ID3\x04\0\0\0\0\0\0\n{hls}"), ""),
        ("head.wav", format!("RIFF\0\0\0\0WAVE\n{hls}"), ""),
        ("head.flac", format!("fLaC\0\0\0\x22\n{hls}"), ""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_points_elsewhere_is_refused_and_nobody_is_called() {
    let (dir, trap) = (tempfile::tempdir().unwrap(), Trap::set());
    // Real videos, so that whoever follows a lure succeeds.
    let victim = media::clip(dir.path(), "victim.mp4", 1, "320x180");
    let web = WebService::start(&["--sandbox", "required"]).await;
    let memory_before_kib = memory_kib(&web);
    for target in [format!("file://{}", victim.display()), victim.display().to_string(), format!("{}/x.ts", trap.url())]
    {
        for (name, content, word) in lures(&target) {
            let Outcome::Failed(reason) = outcome(&web, name, content.into_bytes()).await else {
                panic!("{name} became a video")
            };
            assert!(reason.contains(word), "{name}: {reason}");
            assert_for_people(name, &reason);
        }
    }
    assert!(!trap.was_sprung(), "a lure was followed");
    assert_as_before(&web, memory_before_kib).await;
}
