//! Work that is spread over processes.

use triton_api::{job::JobState, video::VideoState};
use triton_testkit::{WebService, eventually, media};

use crate::{READY_DEADLINE, SETTLE_DEADLINE, installation::Installation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_uploaded_through_one_is_made_by_a_worker_and_plays_through_the_other() {
    let installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let worker = WebService::worker(&installation.etcd.url(), &["--transcode-slots", "1"]).await;
    let video = installation.webs[0].upload(&installation.clip(3)).await;
    installation.shows(1, video.id).await;
    // What happens elsewhere is told here.
    let mut events = installation.webs[1].client().events(video.id).await.unwrap();
    let mut last = None;
    while last != Some(VideoState::Ready) {
        let event = tokio::time::timeout(READY_DEADLINE, events.next()).await.unwrap().unwrap().unwrap();
        last = Some(event.video.state);
    }
    for web in &installation.webs {
        web.ready(video.id, READY_DEADLINE).await;
        let url = format!("{}/media/{}/manifest.mpd", web.origin, video.id);
        let complaints = tokio::task::spawn_blocking(move || media::complaints(&url)).await.unwrap();
        assert_eq!(complaints, "");
    }
    let cluster = installation.webs[0].client().cluster().await.unwrap();
    assert_eq!(cluster.workers.len(), 1, "{:?}", cluster.workers);
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_worker_is_killed_is_done_by_another_one() {
    // The preset is the plan's, whatever a worker's own is.
    let installation = Installation::start(1, &["--transcode-slots", "0", "--x264-preset", "slower"]).await;
    let url = installation.etcd.url();
    let mut doomed = WebService::worker(&url, &["--transcode-slots", "1"]).await;
    let video = installation.webs[0].upload(&installation.clip(8)).await;
    let client = installation.webs[1].client();
    let runs = async || client.jobs(None).await.unwrap().items.iter().any(|job| job.state == JobState::Running);
    eventually(SETTLE_DEADLINE, || async { runs().await }).await;
    doomed.process.kill();
    let other = WebService::worker(&url, &["--transcode-slots", "1"]).await;
    installation.webs[1].ready(video.id, READY_DEADLINE).await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_web_service_is_killed_is_cleaned_up_by_the_other() {
    let mut installation = Installation::start(1, &["--transcode-slots", "0"]).await;
    let clip = std::fs::read(installation.clip(3)).unwrap();
    let mut body = b"--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"c.mp4\"\r\n\r\n".to_vec();
    body.extend(&clip);
    let address = installation.webs[0].origin.trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/videos HTTP/1.1\r\nhost: {address}\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: {}\r\n\r\n",
        body.len() + 100_000
    );
    tokio::io::AsyncWriteExt::write_all(&mut connection, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, &body).await.unwrap();
    let survivor = &installation.webs[1];
    eventually(SETTLE_DEADLINE, || async { survivor.videos().await.len() == 1 }).await;
    installation.webs[0].process.kill();
    let survivor = &installation.webs[1];
    eventually(SETTLE_DEADLINE, || async { survivor.videos().await.is_empty() }).await;
}
