//! The scrub on real processes.

use std::{fs, path::PathBuf};

use triton_api::{BlobHash, BlobKey, Epoch, storage::Scrub};
use triton_testkit::{Program, StorageNode, content, eventually};

use super::DEADLINE;

const BLOBS: u64 = 30;
const BYTES: usize = 200_000;

fn key(number: u64) -> BlobKey {
    format!("v/scrub/{number}").parse().unwrap()
}

async fn filled(bytes_per_second: &str) -> StorageNode {
    let rate = bytes_per_second.to_owned();
    let adapt = |program: Program| program.args(["--scrub-bytes-per-second", &rate]);
    let node = StorageNode::start_with(None, adapt).await;
    for number in 0..BLOBS {
        let body = content(number, BYTES);
        node.client().put(&key(number), BlobHash::of(&body), body, Epoch::new(1)).await.unwrap();
    }
    node
}

fn file_of(node: &StorageNode, number: u64) -> PathBuf {
    let partition = triton_placement::partition_of(&key(number)).get();
    node.dir().join(format!("blobs/{partition:04}/v,scrub,{number}"))
}

async fn progress(node: &StorageNode) -> Scrub {
    node.client().info().await.unwrap().scrub
}

#[tokio::test]
async fn flipped_bit_is_found_without_a_reader_and_kept_in_quarantine() {
    let node = filled("100000000").await;
    let mut bad = fs::read(file_of(&node, 3)).unwrap();
    bad[BYTES / 2] ^= 1;
    fs::write(file_of(&node, 3), &bad).unwrap();
    eventually(DEADLINE, || async { progress(&node).await.found_corrupt == 1 }).await;
    assert!(!file_of(&node, 3).exists());
    let aside: Vec<_> = fs::read_dir(node.dir().join("quarantine")).unwrap().collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(aside[0].as_ref().unwrap().path()).unwrap(), bad, "the bad copy is kept as it was");
    eventually(DEADLINE, || async { progress(&node).await.last_pass_finished_at.is_some() }).await;
    let info = node.client().info().await.unwrap();
    assert_eq!((info.quarantined, info.blobs), (1, BLOBS - 1));
}

#[tokio::test]
async fn pass_goes_on_after_a_restart_where_it_was() {
    let mut node = filled("2000000").await;
    eventually(DEADLINE, || async { progress(&node).await.checked_blobs >= 5 }).await;
    assert!(node.process.terminate(DEADLINE).success());
    let left: serde_json::Value = serde_json::from_slice(&fs::read(node.dir().join("scrub.json")).unwrap()).unwrap();
    node.restart().await;
    let after = progress(&node).await;
    assert!(left["progress"]["checked_blobs"].as_u64().unwrap() >= 5, "{left}");
    assert!(after.checked_blobs >= left["progress"]["checked_blobs"].as_u64().unwrap(), "{after:?} {left}");
    assert!(u64::from(after.position.get()) >= left["progress"]["position"].as_u64().unwrap(), "{after:?} {left}");
    eventually(DEADLINE, || async { progress(&node).await.last_pass_finished_at.is_some() }).await;
}

#[tokio::test]
async fn scrub_keeps_to_its_rate() {
    let node = filled("1000000").await;
    let began = progress(&node).await;
    let start = std::time::Instant::now();
    eventually(DEADLINE, || async { progress(&node).await.checked_bytes > began.checked_bytes + 2_000_000 }).await;
    // Two blobs may be on their way when the first look is taken.
    assert!(start.elapsed().as_secs_f64() > 1.4, "{:?}", start.elapsed());
    assert_eq!(progress(&node).await.bytes_per_second, 1_000_000);
}

#[tokio::test]
async fn scrub_that_is_turned_off_reads_nothing() {
    let node = filled("0").await;
    let scrub = progress(&node).await;
    assert_eq!((scrub.checked_blobs, scrub.bytes_per_second), (0, 0));
}
