//! What is no video, or no request: a clear problem, and nothing left behind.

use std::{path::Path, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use triton_testkit::{WebService, eventually, media};

use crate::SETTLE_DEADLINE;

async fn post(web: &WebService, name: &str, content: Vec<u8>) -> (u16, Value) {
    let file = reqwest::multipart::Part::bytes(content).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().part("file", file);
    let url = format!("{}/api/v1/videos", web.origin);
    let answer = reqwest::Client::new().post(url).multipart(form).send().await.unwrap();
    let (status, media_type) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
    if status >= 400 {
        assert_eq!(media_type, "application/problem+json", "{name}");
    }
    (status, answer.json().await.unwrap())
}

/// No video, no blob, no file.
async fn assert_nothing_left(web: &WebService) {
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
    assert!(web.videos().await.is_empty());
    let left: Vec<_> = std::fs::read_dir(web.data_dir().join("work")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn without_tail(clip: &Path, kept: f64) -> Vec<u8> {
    let bytes = std::fs::read(clip).unwrap();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a cut somewhere"
    )]
    let keep = (bytes.len() as f64 * kept) as usize;
    bytes[..keep].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_video_is_refused_in_words_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 4, "320x180");
    let faststart = dir.path().join("faststart.mp4");
    let copied = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&clip)
        .args(["-c", "copy", "-movflags", "+faststart"])
        .arg(&faststart)
        .status();
    assert!(copied.unwrap().success());
    let secret = dir.path().join("secret.mp4");
    std::fs::copy(&clip, &secret).unwrap();
    let playlist =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{}\n#EXT-X-ENDLIST\n", secret.display());
    let script = format!("ffconcat version 1.0\nfile '{}'\n", secret.display());
    let web = WebService::start(&[]).await;
    for (name, content, word) in [
        ("text.mp4", b"just some text, many times over ".repeat(5_000), "video"),
        ("short.mp4", b"hello".to_vec(), "video"),
        ("empty.mp4", Vec::new(), "empty"),
        ("cut.mp4", without_tail(&clip, 0.5), "incomplete"),
        ("cut-faststart.mp4", without_tail(&faststart, 0.6), "incomplete"),
        ("playlist.mp4", playlist.into_bytes(), "playlist"),
        ("script.mp4", script.into_bytes(), "script"),
    ] {
        let (status, problem) = post(&web, name, content).await;
        let detail = problem["detail"].as_str().unwrap_or_default().to_lowercase();
        assert_eq!((status, problem["status"].as_u64()), (422, Some(422)), "{name}: {problem}");
        assert_eq!(problem["type"], "urn:tritontube:problem:not-a-video", "{name}");
        assert!(detail.contains(word), "{name}: {detail}");
        assert!(problem["instance"].is_string(), "{name}: {problem}");
    }
    assert_nothing_left(&web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_names_are_only_names() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 1, "320x180")).unwrap();
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let emoji = format!("{}.mp4", "🎬".repeat(300));
    let mut ids = std::collections::BTreeSet::new();
    for (name, title) in [
        ("../../x.mp4", "x"),
        ("...mp4", "mp4"),
        ("a\"b'c.mp4", "a\"b'c"),
        ("<script>alert(1)</script>.mp4", "script>"),
        (emoji.as_str(), "🎬"),
        ("holiday.one.mp4", "holiday.one"),
        ("holiday.two.mp4", "holiday.two"),
    ] {
        let (status, video) = post(&web, name, clip.clone()).await;
        assert_eq!(status, 202, "{name}: {video}");
        assert!(video["title"].as_str().unwrap().contains(title), "{name}: {video}");
        assert!(ids.insert(video["id"].as_str().unwrap().to_owned()), "{name} shares an id");
    }
    let (_, two) = post(&web, "holiday.two.mp4", clip.clone()).await;
    assert!(ids.insert(two["id"].as_str().unwrap().to_owned()), "the same file twice shares an id");
    assert_eq!(web.videos().await.len(), 8);
    // Nothing but our own files anywhere above the data directory.
    let above: Vec<_> =
        std::fs::read_dir(web.data_dir().parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(above.len(), 2, "{above:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 4, "640x360")).unwrap();
    let mut large = clip.clone();
    large.resize(20 << 20, 0);
    let web = WebService::start(&[]).await;
    let address = web.origin.strip_prefix("http://").unwrap().to_owned();
    let head = format!(
        "POST /api/v1/videos HTTP/1.1\r\nhost: {address}\r\ncontent-type: multipart/form-data; boundary=b\r\n\
         content-length: {}\r\n\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x.mp4\"\r\n\r\n",
        large.len() + 1000
    );
    let mut connection = TcpStream::connect(&address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&large[..large.len() - 5_000]).await.unwrap();
    connection.flush().await.unwrap();
    // Both whole parts have arrived on the ring: there is something to leave behind.
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs >= 2 }).await;
    drop(connection);
    eventually(SETTLE_DEADLINE, || async { web.videos().await.is_empty() }).await;
    assert_nothing_left(&web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_413() {
    let dir = tempfile::tempdir().unwrap();
    let mut clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 4, "640x360")).unwrap();
    clip.resize(3 << 20, 0);
    let web = WebService::start(&["--upload-bytes-max", "1000000"]).await;
    let (status, problem) = post(&web, "large.mp4", clip.clone()).await;
    assert_eq!((status, &problem["type"]), (413, &"urn:tritontube:problem:too-large".into()), "{problem}");
    // Without a declared length it is found out on the way.
    clip.truncate(1_900_000);
    let (status, _) = post(&web, "large.mp4", clip).await;
    assert_eq!(status, 413);
    assert_nothing_left(&web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_problems() {
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let http = reqwest::Client::new();
    let at = |path: &str| format!("{}{path}", web.origin);
    for (request, status) in [
        (http.post(at("/api/v1/videos")).body("x"), 415),
        (http.post(at("/api/v1/videos")).multipart(reqwest::multipart::Form::new()), 400),
        (http.post(at("/api/v1/videos")).multipart(reqwest::multipart::Form::new().text("title", " ")), 422),
        (http.get(at("/api/v1/videos/nonsense")), 400),
        (http.get(at("/api/v1/videos/AAAAAAAAAAAAAAAAAAAAAA")), 404),
        (http.get(at("/api/v1/videos?limit=0")), 400),
        (http.get(at("/api/v1/videos?cursor=x")), 400),
        (http.delete(at("/api/v1/videos")), 405),
        (http.get(at("/api/v2/nothing")), 404),
        (http.get(at("/media/AAAAAAAAAAAAAAAAAAAAAA/manifest.mpd")), 404),
        (http.get(at("/media/AAAAAAAAAAAAAAAAAAAAAA/1/720p/seg-00001.m4s")), 404),
        (http.get(at("/media/AAAAAAAAAAAAAAAAAAAAAA/1/..%2f..%2fx/seg-00001.m4s")), 404),
    ] {
        let request = request.build().unwrap();
        let named = format!("{} {}", request.method(), request.url());
        let answer = http.execute(request).await.unwrap();
        assert_eq!(answer.status(), status, "{named}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{named}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status, "{named}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{named}: {problem}");
    }
    let mut garbage = TcpStream::connect(web.origin.strip_prefix("http://").unwrap()).await.unwrap();
    garbage.write_all(b"\x16\x03\x01garbage\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), garbage.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
}
