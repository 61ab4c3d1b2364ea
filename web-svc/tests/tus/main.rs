//! Resumable uploads by the tus protocol against real processes: statuses, crashes, zombies, checksums, joining, ending.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod chunkings;
mod client;
mod clip;
mod ending;
mod integrity;
mod protocol;
mod resuming;

use std::time::Duration;

use triton_testkit::{WebService, eventually};

use self::clip::clip;

/// How long the service may take to clean up.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);

/// A service that does not transcode: what an upload is about ends with the queued video.
async fn service() -> WebService {
    WebService::start(&["--transcode-slots", "0"]).await
}

/// The original, byte for byte.
async fn assert_download(web: &WebService, id: &str, content: &[u8]) {
    let answer = reqwest::get(format!("{}/api/v1/videos/{id}/download", web.origin)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().await.unwrap();
    assert_eq!(bytes.len(), content.len());
    assert!(&*bytes == content, "other bytes than were sent");
}

/// No video, no blob, no file.
async fn assert_nothing_left(web: &WebService) {
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == 0 }).await;
    assert!(web.videos().await.is_empty());
    let left: Vec<_> = std::fs::read_dir(web.data_dir().join("work")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The video's parts, and nothing else: no tail.
async fn assert_parts_only(web: &WebService, len: usize) {
    let parts = len.div_ceil(8 << 20) as u64;
    eventually(SETTLE_DEADLINE, || async { web.node().info().await.unwrap().blobs == parts }).await;
}
