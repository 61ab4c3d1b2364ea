//! Crashes and stops of the web service.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use triton_api::video::VideoState;
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcode_goes_on_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 30, "640x360");
    let mut web = WebService::start(&[]).await;
    let video = web.upload(&clip).await;
    let client = web.client();
    eventually(READY_DEADLINE, || async {
        let video = client.video(video.id).await.unwrap();
        video.state == VideoState::Processing && video.progress > 0.1
    })
    .await;
    web.process.kill();
    web.restart().await;
    let video = web.ready(video.id, READY_DEADLINE).await;
    let playback = video.playback.unwrap();
    assert_eq!(media::complaints(&format!("{}{}", web.origin, playback.dash)), "");
    assert_eq!(media::complaints(&format!("{}{}", web.origin, playback.hls)), "");
    let left: Vec<_> = std::fs::read_dir(web.data_dir().join("work")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_the_job_back_and_the_next_start_takes_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let clip = media::clip(dir.path(), "clip.mp4", 20, "640x360");
    let mut web = WebService::start(&[]).await;
    let video = web.upload(&clip).await;
    let client = web.client();
    eventually(READY_DEADLINE, || async { client.video(video.id).await.unwrap().state == VideoState::Processing })
        .await;
    let status = web.process.terminate(SETTLE_DEADLINE);
    assert!(status.success(), "{status}");
    web.restart().await;
    web.ready(video.id, READY_DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_cut_by_kill_9_leaves_nothing_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 4, "640x360")).unwrap();
    let mut web = WebService::start(&[]).await;
    let mut upload = SlowUpload::begin(&web, &padded(clip, 20 << 20)).await;
    upload.send_all_but(0).await;
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs >= 2 }).await;
    web.process.kill();
    web.restart().await;
    eventually(SETTLE_DEADLINE, || async { web.videos().await.is_empty() }).await;
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_ends_while_the_service_stops_is_taken_and_made_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 2, "320x180")).unwrap();
    let mut web = WebService::start(&[]).await;
    let mut upload = SlowUpload::begin(&web, &clip).await;
    upload.send_all_but(1_000).await;
    eventually(SETTLE_DEADLINE, || async { web.videos().await.len() == 1 }).await;
    let pid = web.process.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // The service stops: it takes no new connection any more.
    eventually(SETTLE_DEADLINE, || async { tokio::net::TcpStream::connect(&upload.address).await.is_err() }).await;
    let answer = upload.finish().await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(web.process.wait(SETTLE_DEADLINE).success());
    web.restart().await;
    let id = web.videos().await[0].id;
    web.ready(id, READY_DEADLINE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_in_upload_belongs_to_its_upload() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 2, "320x180")).unwrap();
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let mut upload = SlowUpload::begin(&web, &clip).await;
    upload.send_all_but(1_000).await;
    eventually(SETTLE_DEADLINE, || async { web.videos().await.len() == 1 }).await;
    let url = format!("{}/api/v1/videos/{}", web.origin, web.videos().await[0].id);
    let http = reqwest::Client::new();
    let patch = http.patch(&url).json(&serde_json::json!({"title": "other"}));
    for request in [patch, http.delete(&url), http.get(format!("{url}/download")), http.post(format!("{url}/retry"))] {
        assert_eq!(request.send().await.unwrap().status(), 409);
    }
    let answer = upload.finish().await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_directory_is_refused() {
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let second = triton_testkit::Program::ours("web-svc", web.data_dir().join("second.log"))
        .args(["--listen", "127.0.0.1:0", "--storage", web.node_url.as_str(), "--data-dir"])
        .arg(web.data_dir());
    let (status, log) = second.run(SETTLE_DEADLINE);
    assert!(!status.success() && log.contains("--data-dir") && log.contains("in use"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_the_upload() {
    let dir = tempfile::tempdir().unwrap();
    let clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 2, "320x180")).unwrap();
    let web = WebService::start(&["--transcode-slots", "0"]).await;
    let mut upload = SlowUpload::begin(&web, &padded(clip, 300 << 20)).await;
    upload.send_all_but(0).await;
    let answer = upload.finish().await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", web.process.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 150 * 1024, "{peak_kib} KiB were resident");
}

/// A real clip with a `free` box behind it, which players skip.
fn padded(mut clip: Vec<u8>, len: usize) -> Vec<u8> {
    let free = u32::try_from(len - clip.len()).unwrap();
    clip.extend(free.to_be_bytes());
    clip.extend(b"free");
    clip.resize(len, 0);
    clip
}

/// An upload by hand, so that it can stop anywhere.
struct SlowUpload {
    address: String,
    connection: TcpStream,
    body: Vec<u8>,
    sent: usize,
}

impl SlowUpload {
    async fn begin(web: &WebService, content: &[u8]) -> Self {
        let address = web.origin.strip_prefix("http://").unwrap().to_owned();
        let part = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x.mp4\"\r\n\r\n";
        let body = [part.as_bytes(), content, b"\r\n--b--\r\n"].concat();
        let head = format!(
            "POST /api/v1/videos HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        Self { address, connection, body, sent: 0 }
    }

    async fn send_all_but(&mut self, rest: usize) {
        let end = self.body.len() - rest;
        self.connection.write_all(&self.body[self.sent..end]).await.unwrap();
        self.sent = end;
    }

    async fn finish(mut self) -> String {
        self.send_all_but(0).await;
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
