//! Segments from memory: the same answers, within the memory given, and never of what was deleted.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use triton_api::{BlobHash, BlobKey, Epoch, VideoId};
use triton_testkit::{StorageNode, WebService, content, media};

use crate::{READY_DEADLINE, viewer::Viewer};

const MIB: u64 = 1024 * 1024;

struct Stage {
    node: StorageNode,
    web: WebService,
    id: VideoId,
    /// `/media/{id}/{generation}/{rendition}` of what plays.
    folder: String,
    _dir: tempfile::TempDir,
}

impl Stage {
    /// A service with one node behind it and one video that plays.
    async fn start(cache_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clip = media::clip(dir.path(), "clip.mp4", 1, "320x180");
        let node = StorageNode::start(None).await;
        let cache = cache_bytes.to_string();
        let web = WebService::start_on(
            std::slice::from_ref(&node.url),
            &["--cache-bytes", &cache, "--log", "info,triton_kit=debug"],
        )
        .await;
        let id = web.upload(&clip).await.id;
        web.ready(id, READY_DEADLINE).await;
        let segment = Viewer::new(&web.origin).paths(id).await.remove(0);
        let folder = Path::new(&segment).parent().unwrap().to_string_lossy().into_owned();
        Self { node, web, id, folder, _dir: dir }
    }

    /// Puts a blob where the media path has it.
    async fn put(&self, media_path: &str, content: Bytes) {
        let key: BlobKey = media_path.replacen("/media/", "v/", 1).parse().unwrap();
        let epoch = self.node.client().layout().await.unwrap().map_or(Epoch::new(1), |record| record.write_epoch());
        self.node.client().put(&key, BlobHash::of(&content), content, epoch).await.unwrap();
    }

    async fn metric(&self, name: &str) -> f64 {
        let metrics = self.web.text("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Status, headers and the body's hash, less what is of the one request.
async fn answer(url: &str, headers: &[(&str, &str)]) -> (u16, BTreeMap<String, String>, BlobHash) {
    let request =
        headers.iter().fold(reqwest::Client::new().get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    let fixed = |name: &str| !["x-request-id", "date", "content-length"].contains(&name);
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = headers.filter(|(name, _)| fixed(name)).collect();
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    // A problem names its request.
    (status, headers, BlobHash::of(if status == 416 { &[] } else { &body }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_from_memory_equal_those_from_the_ring_and_stop_with_the_video() {
    let stage = Stage::start(64 * MIB).await;
    let bytes = content(7, 300_000);
    let etag = format!("\"{}\"", BlobHash::of(&bytes));
    // Nothing of this generation plays, so it comes from the ring each time.
    let rendition = stage.folder.rsplit('/').next().unwrap();
    let unpublished = format!("/media/{}/99/{rendition}", stage.id);
    let [kept, relayed] = [&stage.folder, &unpublished].map(|folder| format!("{folder}/same.m4s"));
    for path in [&kept, &relayed] {
        stage.put(path, bytes.clone()).await;
    }
    let url = |path: &str| format!("{}{path}", stage.web.origin);
    assert_eq!(answer(&url(&kept), &[]).await.2, BlobHash::of(&bytes));
    let (hits, mut requests) = (stage.metric("triton_hot_hits_total").await, 0.0);
    for range in [
        None,
        Some("bytes=0-0"),
        Some("bytes=70000-"),
        Some("bytes=-10"),
        Some("bytes=5-400000"),
        Some("bytes=300000-"),
        Some("bytes=9-1"),
        Some("pages=1"),
    ] {
        for condition in [
            None,
            Some(("if-none-match", etag.as_str())),
            Some(("if-none-match", "\"other\"")),
            Some(("if-range", etag.as_str())),
            Some(("if-range", "\"other\"")),
        ] {
            let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().chain(condition).collect();
            let from_memory = answer(&url(&kept), &headers).await;
            assert_eq!(from_memory, answer(&url(&relayed), &headers).await, "{headers:?}");
            let expected = match (range, condition) {
                (_, Some(("if-none-match", tag))) if tag == etag => 304,
                (Some("bytes=300000-"), condition) if condition != Some(("if-range", "\"other\"")) => 416,
                (Some("pages=1" | "bytes=9-1") | None, _) | (_, Some(("if-range", "\"other\""))) => 200,
                (Some(_), _) => 206,
            };
            assert_eq!(from_memory.0, expected, "{headers:?}");
            requests += 1.0;
        }
    }
    assert!(
        (stage.metric("triton_hot_hits_total").await - hits - requests).abs() < 0.5,
        "they were not answered from memory"
    );
    // A plain GET was not even routed; and never one whose answer had to be asked for.
    let log = stage.web.process.log();
    let before_the_router =
        |path: &str| log.lines().filter(|line| line.contains("answered from memory") && line.contains(path)).count();
    assert!(before_the_router(&kept) > 0 && before_the_router(&relayed) == 0, "{log}");

    stage.web.client().delete(stage.id).await.unwrap();
    for path in [&kept, &relayed] {
        assert_eq!(answer(&url(path), &[]).await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_within_the_bytes_given_however_much_is_watched() {
    const CACHE_MIB: u32 = 32;
    const CACHE_BYTES: u64 = CACHE_MIB as u64 * MIB;
    const SEGMENTS: u64 = 160;
    let stage = Stage::start(CACHE_BYTES).await;
    let paths: Vec<String> = (0..SEGMENTS).map(|n| format!("{}/big-{n}.m4s", stage.folder)).collect();
    for (n, path) in paths.iter().enumerate() {
        stage.put(path, content(n as u64, 1024 * 1024)).await;
    }
    let before = resident_bytes(stage.web.process.pid());
    for _ in 0..3 {
        let watched = stream::iter(paths.iter().enumerate()).map(|(n, path)| {
            let url = format!("{}{path}", stage.web.origin);
            async move {
                let (status, _, body) = answer(&url, &[]).await;
                assert_eq!(status, 200);
                assert_eq!(body, BlobHash::of(&content(n as u64, 1024 * 1024)), "{url}");
            }
        });
        watched.buffer_unordered(8).collect::<()>().await;
    }
    let kept_mib = stage.metric("triton_hot_bytes").await / 1024.0 / 1024.0;
    assert!(kept_mib > 0.0 && kept_mib <= 1.01 * f64::from(CACHE_MIB), "{kept_mib}");
    assert!(stage.metric("triton_hot_evictions_total").await > 0.0);
    let grown = resident_bytes(stage.web.process.pid()).saturating_sub(before);
    // The cache, a quarter more, and what the allocator and eight connections hold.
    assert!(grown < CACHE_BYTES * 5 / 4 + 40 * MIB, "{} MiB", grown / MIB);
}
