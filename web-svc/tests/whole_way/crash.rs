//! Crashes and stops of the web service.

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
    use tokio::io::AsyncWriteExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut content = std::fs::read(media::clip(dir.path(), "clip.mp4", 4, "640x360")).unwrap();
    content.resize(20 << 20, 0);
    let mut web = WebService::start(&[]).await;
    let address = web.origin.strip_prefix("http://").unwrap().to_owned();
    let head = format!(
        "POST /api/v1/videos HTTP/1.1\r\nhost: {address}\r\ncontent-type: multipart/form-data; boundary=b\r\n\
         content-length: 99999999\r\n\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x.mp4\"\r\n\r\n"
    );
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&content).await.unwrap();
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs >= 2 }).await;
    web.process.kill();
    web.restart().await;
    eventually(SETTLE_DEADLINE, || async { web.videos().await.is_empty() }).await;
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
}
