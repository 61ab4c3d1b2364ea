//! SIGKILL in the middle of many writes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::TryStreamExt as _;
use tokio::{sync::mpsc, task::JoinSet};
use triton_api::{BlobHash, BlobKey, Epoch, client::NodeClient};
use triton_testkit::{StorageNode, content, eventually};

use super::DEADLINE;

const ROUNDS: usize = 3;
const WRITERS: u64 = 8;
const ACKNOWLEDGED_BEFORE_KILL: usize = 40;

fn key(seed: u64) -> BlobKey {
    format!("v/crash/{seed}").parse().unwrap()
}

/// From nothing to a bit more than two batches.
fn len(seed: u64) -> usize {
    usize::try_from(seed * 7919 % 37).unwrap() * 61_441
}

/// Writes blob after blob until the node is gone; tells which were acknowledged.
async fn write(
    client: NodeClient,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    done: mpsc::UnboundedSender<(u64, bool)>,
) {
    while !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let body = content(seed, len(seed));
        let outcome = client.put(&key(seed), BlobHash::of(&body), body, Epoch::new(1)).await;
        done.send((seed, outcome.is_ok())).unwrap();
        if outcome.is_err() {
            return;
        }
    }
}

async fn read(client: &NodeClient, seed: u64) -> Option<Vec<u8>> {
    match client.get(&key(seed), None).await {
        Ok(read) => Some(read.into_stream().map_ok(|piece| piece.to_vec()).try_concat().await.unwrap()),
        Err(error) if error.is_not_found() => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_blobs_survive_sigkill_and_others_are_whole_or_absent() {
    let mut node = StorageNode::start(None).await;
    let (next, mut fate) = (Arc::new(AtomicU64::new(1)), HashMap::new());
    for _ in 0..ROUNDS {
        let (sender, mut done) = mpsc::unbounded_channel();
        let (mut writers, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for _ in 0..WRITERS {
            writers.spawn(write(node.client(), Arc::clone(&next), Arc::clone(&stop), sender.clone()));
        }
        drop(sender);
        for _ in 0..ACKNOWLEDGED_BEFORE_KILL {
            let (seed, acknowledged) = done.recv().await.unwrap();
            fate.insert(seed, acknowledged);
        }
        node.process.kill();
        stop.store(true, Ordering::Relaxed);
        while let Some((seed, acknowledged)) = done.recv().await {
            fate.insert(seed, acknowledged);
        }
        writers.join_all().await;
        node.restart().await;
        assert_eq!(std::fs::read_dir(node.dir().join("tmp")).unwrap().count(), 0, "leftovers are swept at the start");
    }
    let client = node.client();
    let mut present = 0;
    for (seed, acknowledged) in &fate {
        let found = read(&client, *seed).await;
        present += u64::from(found.is_some());
        match found {
            Some(found) => assert!(content(*seed, len(*seed)) == found, "blob {seed} is not what was written"),
            None => assert!(!acknowledged, "blob {seed} was acknowledged and is lost"),
        }
    }
    let broken_off = fate.values().filter(|acknowledged| !**acknowledged).count();
    assert!(broken_off > 0, "the kill hit no write");
    let info = client.info().await.unwrap();
    assert_eq!((info.blobs, info.quarantined), (present, 0));
}

#[tokio::test]
async fn suspended_node_answers_again_when_it_goes_on() {
    let node = StorageNode::start(None).await;
    node.process.suspend();
    let client = node.client();
    let answer = tokio::spawn(async move { client.info().await });
    node.process.resume();
    assert!(answer.await.unwrap().is_ok());
    eventually(DEADLINE, || async { node.client().info().await.is_ok() }).await;
}
