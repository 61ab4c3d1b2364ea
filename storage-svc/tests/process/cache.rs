//! The memory that a node keeps contents in.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use triton_api::{BlobHash, BlobKey, Epoch, client::NodeClient};
use triton_testkit::{StorageNode, content};

use super::{memory::peak_bytes, trace::traced};

const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Far below all of the blobs. Beside the cache there is the program itself, in a debug build, and what is on its way.
const PEAK_BYTES_MAX: u64 = CACHE_BYTES + 64 * 1024 * 1024;
const BLOBS: u64 = 400;
const BLOB_BYTES: usize = 512 * 1024;
const READERS: usize = 1000;

fn key(number: u64) -> BlobKey {
    format!("v/x/{number}").parse().unwrap()
}

async fn put(client: &NodeClient, number: u64) -> Bytes {
    let body = content(number + 1, BLOB_BYTES);
    client.put(&key(number), BlobHash::of(&body), body.clone(), Epoch::new(1)).await.unwrap();
    body
}

async fn get(client: &NodeClient, number: u64) -> Vec<u8> {
    let pieces = client.get(&key(number), None).await.unwrap().into_stream();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    pieces.concat()
}

/// A counter of the node, summed over its labels; 0 where it has counted nothing.
async fn counter(node: &StorageNode, name: &str) -> u64 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = http.get(node.url.join("/metrics")).send().await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_when_more_is_read_than_fits() {
    let bytes = CACHE_BYTES.to_string();
    let node = StorageNode::start_with(None, |node| node.args(["--cache-bytes", bytes.as_str()])).await;
    let client = node.client();
    let puts = stream::iter(0..BLOBS).map(|number| put(&client, number)).buffer_unordered(4);
    puts.for_each(async |_| {}).await;
    for _ in 0..2 {
        let gets = stream::iter(0..BLOBS).map(|number| get(&client, number)).buffer_unordered(4);
        gets.for_each(async |body| assert_eq!(body.len(), BLOB_BYTES)).await;
    }
    let peak = peak_bytes(node.process.pid());
    assert!(peak < PEAK_BYTES_MAX, "{} MiB at most were resident", peak / 1024 / 1024);
    // It was in use meanwhile: what was read just now is there.
    let before = counter(&node, "triton_cache_hits_total").await;
    for _ in 0..2 {
        get(&client, BLOBS - 1).await;
    }
    assert!(counter(&node, "triton_cache_hits_total").await > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_first_readers_read_the_disk_once_and_a_write_keeps_nothing() {
    // Each read of the disk takes long enough for many to come meanwhile.
    let slow = ["--seccomp-bpf", "-o", "/dev/null", "-e", "trace=pread64", "-e", "inject=pread64:delay_enter=1000000"];
    let node = StorageNode::start_with(None, |program| traced(program, &slow)).await;
    let body = content(1, 50_000);
    node.client().put(&key(0), BlobHash::of(&body), body.clone(), Epoch::new(1)).await.unwrap();
    assert_eq!(counter(&node, "triton_cache_loads_total").await, 0);
    let (http, url) =
        (reqwest::Client::builder().no_proxy().build().unwrap(), node.url.join(&format!("/v1/blobs/{}", key(0))));
    let gets = stream::iter(0..READERS).map(async |_| http.get(&url).send().await.unwrap().bytes().await.unwrap());
    gets.buffer_unordered(READERS).for_each(async |read| assert!(read == body)).await;
    assert_eq!(counter(&node, "triton_cache_loads_total").await, 1);
    let (hits, misses) =
        (counter(&node, "triton_cache_hits_total").await, counter(&node, "triton_cache_misses_total").await);
    assert_eq!(hits + misses, READERS as u64);
    assert!(misses > 1, "they did not come at once");
}
