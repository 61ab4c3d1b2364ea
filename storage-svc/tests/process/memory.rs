//! Memory under large bodies.

use std::fs;

use futures_util::TryStreamExt as _;
use triton_api::{BlobKey, storage::BLOB_BYTES_MAX};
use triton_testkit::{StorageNode, content};

/// Far below the blob; most of it is the program itself in a debug build.
const PEAK_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// What is kept of contents on purpose has a bound of its own.
const CACHE_BYTES: &str = "8388608";
const WRITERS: u64 = 4;

pub(super) fn peak_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Puts blobs of these lengths, all at once, each under its place in the list, as fast as the node takes them.
async fn put_at_once(node: &StorageNode, lens_bytes: &[u64]) {
    let piece = content(1, 1024 * 1024);
    let puts = lens_bytes.iter().enumerate().map(|(number, len_bytes)| {
        let (piece, pieces) = (piece.clone(), usize::try_from(*len_bytes).unwrap() / piece.len());
        let stream = futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.put(node.url.join(&format!("/v1/blobs/big/{number}")));
        async move { request.body(reqwest::Body::wrap_stream(stream)).send().await.unwrap().status() }
    });
    for status in futures_util::future::join_all(puts).await {
        assert_eq!(status, 201);
    }
}

/// A node that took what comes, faster than the disk does, would hold a gibibyte here: it is the sender that waits.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_of_large_blobs_wait_for_the_disk() {
    let node = StorageNode::start(None).await;
    put_at_once(&node, &[64 * 1024 * 1024; 16]).await;
    let peak = peak_bytes(node.process.pid());
    assert!(peak <= 120 * 1024 * 1024, "{} MiB at most were resident", peak / 1024 / 1024);
    println!("{} MiB at most were resident", peak / 1024 / 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_blob() {
    let node = StorageNode::start_with(None, |node| node.args(["--cache-bytes", CACHE_BYTES])).await;
    // One blob of the greatest length, several smaller ones at once, and all of them read back at once.
    let blobs: Vec<_> = (0..=WRITERS).map(|n| if n == 0 { BLOB_BYTES_MAX } else { BLOB_BYTES_MAX / 8 }).collect();
    put_at_once(&node, &blobs).await;
    let client = node.client();
    let gets = (0..blobs.len()).map(|number| {
        let (client, key): (_, BlobKey) = (client.clone(), format!("big/{number}").parse().unwrap());
        async move {
            let stream = client.get(&key, None).await.unwrap().into_stream();
            stream.try_fold(0, |sum, piece| async move { Ok(sum + piece.len() as u64) }).await.unwrap()
        }
    });
    assert_eq!(futures_util::future::join_all(gets).await, blobs);
    let peak = peak_bytes(node.process.pid());
    assert!(peak < PEAK_BYTES_MAX, "{} MiB at most were resident", peak / 1024 / 1024);
}
