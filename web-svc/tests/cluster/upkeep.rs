//! Damaged copies and nodes that were away, with storage nodes that are processes of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use triton_api::{BlobHash, BlobKey};
use triton_placement::partition_of;
use triton_testkit::{Program, StorageNode, eventually};
use web_svc::cluster::ClusterSettings;

use crate::farm::{DEADLINE, Web};

/// What is promised, with the settings that an installation has.
const REPAIRED_WITHIN: Duration = Duration::from_secs(60);
const BLOB_BYTES: usize = 100_000;

async fn start_nodes(count: usize, scrub_bytes_per_second: &str) -> Vec<StorageNode> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        let adapt = |program: Program| program.args(["--scrub-bytes-per-second", scrub_bytes_per_second]);
        nodes.push(StorageNode::start_with(None, adapt).await);
    }
    nodes
}

async fn start_web(dir: &tempfile::TempDir, nodes: &[StorageNode]) -> Web {
    let urls: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    Web::start(dir, ClusterSettings::default(), &urls).await
}

fn file_of(node: &StorageNode, key: &BlobKey) -> PathBuf {
    node.dir().join(format!("blobs/{:04}", partition_of(key).get())).join(key.as_str().replace('/', ","))
}

fn flip(node: &StorageNode, key: &BlobKey) {
    let mut content = fs::read(file_of(node, key)).unwrap();
    content[BLOB_BYTES / 2] ^= 8;
    fs::write(file_of(node, key), content).unwrap();
}

fn is_right(node: &StorageNode, key: &BlobKey, hash: &BlobHash) -> bool {
    fs::read(file_of(node, key)).is_ok_and(|file| BlobHash::of(&file[..BLOB_BYTES]) == *hash)
}

fn in_quarantine(node: &StorageNode) -> usize {
    fs::read_dir(node.dir().join("quarantine")).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_a_reader_or_the_scrub_finds_damaged_is_right_again_within_a_minute() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3, "20000000").await);
    let web = start_web(&dir, &nodes).await;
    let content = web.fill(12, BLOB_BYTES).await;
    let mut blobs = content.blobs.iter();
    let ((by_reader, one), (by_scrub, other)) = (blobs.next().unwrap(), blobs.next().unwrap());
    // Damaged on two nodes, and the third one is good.
    for node in &nodes[..2] {
        flip(node, by_reader);
    }
    flip(&nodes[2], by_scrub);
    let damaged_at = Instant::now();
    for node in &nodes[..2] {
        // The scrub may have come first.
        assert!(node.client().get(by_reader, None).await.is_err(), "the damaged copy is served");
    }
    let repaired = || async {
        nodes[..2].iter().all(|node| is_right(node, by_reader, one)) && is_right(&nodes[2], by_scrub, other)
    };
    eventually(REPAIRED_WITHIN, repaired).await;
    assert!(damaged_at.elapsed() < REPAIRED_WITHIN);
    assert_eq!(nodes.iter().map(in_quarantine).collect::<Vec<_>>(), [1, 1, 1], "the bad ones are kept");
    assert_eq!(nodes[2].client().info().await.unwrap().scrub.found_corrupt, 1);
    content.read_all(&web.ring).await;
}

/// A bad sector: no read of this file by this node's process succeeds, until it is dropped.
struct BadSector(Child);

impl BadSector {
    fn under(file: &Path, node: &StorageNode) -> Self {
        let calls = "read,pread64,preadv,preadv2,sendfile";
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EIO"));
        let (options, pid) = (["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], node.process.pid());
        let mut strace = Command::new("strace");
        strace.args(options).arg("-P").arg(file).args(["-p", &pid.to_string()]);
        Self(strace.stdin(Stdio::null()).spawn().expect("strace is installed"))
    }
}

impl Drop for BadSector {
    fn drop(&mut self) {
        // SIGTERM lets strace detach from the process.
        let ended = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().is_ok();
        assert!(ended && self.0.wait().is_ok() || std::thread::panicking(), "strace stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_the_disk_does_not_give_out_is_replaced_within_a_minute() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3, "0").await);
    let web = start_web(&dir, &nodes).await;
    let content = web.fill(12, BLOB_BYTES).await;
    let (key, hash) = content.blobs.iter().next().unwrap();
    // Past the node's cache.
    let (node, client) = (&nodes[0], nodes[0].client().in_background());
    let sector = BadSector::under(&file_of(node, key), node);
    eventually(DEADLINE, || async { client.get(key, None).await.is_err() }).await;
    eventually(REPAIRED_WITHIN, || async { in_quarantine(node) == 1 && is_right(node, key, hash) }).await;
    drop(sector);
    eventually(DEADLINE, || async { client.get(key, None).await.is_ok() }).await;
    assert_eq!((in_quarantine(&nodes[1]), in_quarantine(&nodes[2])), (0, 0));
    content.read_all(&web.ring).await;
}

/// The other copies have ends that tell of a whole, and are damaged: nobody knows it before they are read.
#[tokio::test(flavor = "multi_thread")]
async fn copy_that_the_disk_does_not_give_out_stays_where_no_other_can_be_read_to_its_end() {
    let (dir, nodes) = (tempfile::tempdir().unwrap(), start_nodes(3, "0").await);
    let web = start_web(&dir, &nodes).await;
    let content = web.fill(1, BLOB_BYTES).await;
    let (key, hash) = content.blobs.iter().next().unwrap();
    nodes[1..].iter().for_each(|node| flip(node, key));
    let (node, client) = (&nodes[0], nodes[0].client().in_background());
    let sector = BadSector::under(&file_of(node, key), node);
    eventually(DEADLINE, || async { client.get(key, None).await.is_err() }).await;
    eventually(REPAIRED_WITHIN, || async { node.process.log().contains("no other holder gives one") }).await;
    assert_eq!(nodes.iter().map(in_quarantine).collect::<Vec<_>>(), [0, 1, 1]);
    drop(sector);
    eventually(REPAIRED_WITHIN, || async { nodes.iter().all(|node| is_right(node, key, hash)) }).await;
    content.read_all(&web.ring).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_returns_serves_nothing_deleted_and_costs_no_reader_anything() {
    let (dir, mut nodes) = (tempfile::tempdir().unwrap(), start_nodes(3, "0").await);
    let web = start_web(&dir, &nodes).await;
    let content = web.fill(90, 2000).await;
    let (deleted, kept): (Vec<_>, Vec<_>) = content.blobs.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    nodes[1].process.kill();
    for (_, (key, _)) in &deleted {
        web.ring.delete(key).await.unwrap();
    }
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let reader = async {
        while !stop.load(Ordering::Relaxed) {
            for (_, (key, hash)) in &kept {
                let bytes = web.ring.read_all(key, 1 << 20).await.unwrap();
                assert_eq!(BlobHash::of(&bytes), *hash);
                reads.fetch_add(1, Ordering::Relaxed);
            }
            for (_, (key, _)) in &deleted {
                assert!(web.ring.read_all(key, 1 << 20).await.is_err(), "{key} was served after it was deleted");
            }
        }
    };
    let story = async {
        nodes[1].restart().await;
        let client = nodes[1].client();
        for (_, (key, _)) in &deleted {
            assert!(client.get(key, None).await.is_err(), "{key} is served by the node that was away");
        }
        eventually(DEADLINE, || async { client.info().await.is_ok_and(|info| !info.reconciling) }).await;
        for (_, (key, _)) in &deleted {
            assert!(client.get(key, None).await.is_err_and(|error| error.is_not_found()));
        }
        let so_far = reads.load(Ordering::Relaxed);
        eventually(DEADLINE, || async { reads.load(Ordering::Relaxed) > so_far + 100 }).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(reader, story);
    assert!(nodes[1].process.log().contains("deletes that were missed are carried out"));
}
