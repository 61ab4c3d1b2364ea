//! How an upload ended, and what it left.

use std::time::{Duration, Instant};

use serde_json::Value;
use triton_api::video::{VideoQuery, VideoState};
use triton_testkit::{WebService, eventually};

/// How long an upload may take to end on a busy machine: three attempts with pauses in between, at worst.
const END_DEADLINE: Duration = Duration::from_secs(240);
/// How long deleted content may stay.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);
/// What the service may keep beyond what it had: its caches and its allocator are not made for hostile files alone.
const MEMORY_KEPT_KIB_MAX: u64 = 96 * 1024;

/// How an upload ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Refused, or accepted and failed later, with this reason.
    Failed(String),
    Ready,
}

/// Uploads a file and waits for its end.
pub(crate) async fn outcome(web: &WebService, name: &str, content: Vec<u8>) -> Outcome {
    let file = reqwest::multipart::Part::bytes(content).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().part("file", file);
    let request = reqwest::Client::new().post(format!("{}/api/v1/videos", web.origin)).multipart(form);
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    if status != 202 {
        let detail = body["detail"].as_str().unwrap_or_default().to_owned();
        // Not 5xx: the file is at fault, and sending it again does not help.
        assert_eq!((status, &body["type"]), (422, &"urn:tritontube:problem:not-a-video".into()), "{name}: {body}");
        return Outcome::Failed(detail);
    }
    let (id, began) = (body["id"].as_str().unwrap().parse().unwrap(), Instant::now());
    loop {
        let video = web.client().video(id).await.unwrap();
        match video.state {
            VideoState::Ready => return Outcome::Ready,
            VideoState::Failed => return Outcome::Failed(video.reason.unwrap_or_default()),
            _ => assert!(began.elapsed() < END_DEADLINE, "{name} does not end: {video:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A sentence for whoever uploaded the file, which tells nothing of the machine.
pub(crate) fn assert_for_people(name: &str, reason: &str) {
    let telling = reason.chars().next().is_some_and(char::is_uppercase) && reason.split(' ').count() >= 4;
    assert!(telling && reason.len() < 400, "{name}: {reason}");
    for secret in ["127.0.0.1", "/tmp", "0x", "panicked", "ffprobe", "os error"] {
        assert!(!reason.contains(secret), "{name}: {reason}");
    }
}

/// The resident memory of the service in KiB.
pub(crate) fn memory_kib(web: &WebService) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", web.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Deletes all videos, and waits until neither a blob nor a file in the making nor memory is left of them.
pub(crate) async fn assert_as_before(web: &WebService, memory_before_kib: u64) {
    for video in web.client().videos(&VideoQuery { all: true, ..VideoQuery::default() }).await.unwrap().items {
        web.client().delete(video.id).await.unwrap();
    }
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
    assert!(web.videos().await.is_empty());
    let left = || std::fs::read_dir(web.data_dir().join("work")).unwrap().count();
    eventually(SETTLE_DEADLINE, || async { left() == 0 }).await;
    let kept = || memory_kib(web).saturating_sub(memory_before_kib);
    eventually(SETTLE_DEADLINE, || async { kept() < MEMORY_KEPT_KIB_MAX }).await;
}
