//! Nodes that were away, and what they say of blobs that were deleted meanwhile.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use triton_api::{BlobHash, BlobKey, Epoch, client::NodeClient, layout::LayoutRecord};
use triton_testkit::{Cluster, content, eventually};

use super::DEADLINE;

const BLOBS: u64 = 60;

fn key(number: u64) -> BlobKey {
    format!("v/away/{number}").parse().unwrap()
}

/// Three nodes that all hold everything, with blobs on all of them.
async fn filled() -> Cluster {
    let cluster = Cluster::start(3).await;
    cluster.announce(&LayoutRecord::settled(cluster.first_layout(3))).await;
    for number in 0..BLOBS {
        let body = content(number, 5000);
        for node in &cluster.nodes {
            node.client().put(&key(number), BlobHash::of(&body), body.clone(), Epoch::new(1)).await.unwrap();
            // From now on it lies in memory, too.
            node.client().get(&key(number), None).await.unwrap();
        }
    }
    cluster
}

async fn delete_every_second(nodes: &[&triton_testkit::StorageNode]) {
    for number in (0..BLOBS).step_by(2) {
        for node in nodes {
            node.client().delete(&key(number), Epoch::new(1)).await.unwrap();
        }
    }
}

/// Reads everything, again and again, until the node has said of each blob whether it has it. A deleted one is never there,
/// and one that is there is never absent.
async fn read_until_all_is_known(client: &NodeClient) -> usize {
    let (mut unknown, began) = (0, Instant::now());
    for number in 0..BLOBS {
        loop {
            match client.get(&key(number), None).await {
                Ok(_) => assert!(number % 2 == 1, "the deleted blob {number} was served"),
                Err(error) if error.is_not_found() => assert!(number % 2 == 0, "blob {number} is said to be absent"),
                Err(error) => {
                    assert!(error.to_string().contains("reconciling"), "{error}");
                    assert!(began.elapsed() < DEADLINE);
                    unknown += 1;
                    continue;
                }
            }
            break;
        }
    }
    unknown
}

#[tokio::test]
async fn node_that_was_killed_never_serves_what_was_deleted_meanwhile() {
    let mut cluster = filled().await;
    cluster.nodes[2].process.kill();
    delete_every_second(&[&cluster.nodes[0], &cluster.nodes[1]]).await;
    cluster.nodes[2].restart().await;
    let client = cluster.nodes[2].client();
    read_until_all_is_known(&client).await;
    let info = client.info().await.unwrap();
    assert_eq!((info.blobs, info.reconciling), (BLOBS / 2, false));
    // What it knows now it tells others, and the delete is no younger there than where it came from.
    let ages = |node: usize| {
        let client = cluster.nodes[node].client();
        async move { client.tombstones(triton_placement::partition_of(&key(0)), None).await.unwrap().items[0].age_ms }
    };
    let (here, there) = (ages(2).await, ages(0).await);
    assert!(here + 1 >= there.saturating_sub(1000) && here > 0, "{here} {there}");
}

#[tokio::test]
async fn node_that_stood_still_never_serves_what_was_deleted_meanwhile() {
    let cluster = filled().await;
    cluster.nodes[2].process.suspend();
    delete_every_second(&[&cluster.nodes[0], &cluster.nodes[1]]).await;
    // Longer than a process may stand still without missing anything.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    // These are in the node's buffers when it goes on.
    let client = cluster.nodes[2].client();
    let reads = tokio::spawn(async move { read_until_all_is_known(&client).await });
    tokio::task::yield_now().await;
    cluster.nodes[2].process.resume();
    reads.await.unwrap();
    assert!(cluster.nodes[2].process.log().contains("its process stood still"));
}

#[tokio::test]
async fn node_says_unknown_and_not_absent_while_the_others_may_still_answer() {
    let mut cluster = filled().await;
    cluster.nodes[2].process.kill();
    delete_every_second(&[&cluster.nodes[0], &cluster.nodes[1]]).await;
    cluster.nodes[0].process.suspend();
    cluster.nodes[1].process.suspend();
    cluster.nodes[2].restart().await;
    let client = cluster.nodes[2].client();
    for number in [0, 1] {
        let error = client.get(&key(number), None).await.unwrap_err();
        assert!(error.to_string().contains("reconciling"), "{error}");
    }
    assert!(client.head(&key(1)).await.is_err() && client.partitions().await.is_err(), "its copies do not count yet");
    assert!(client.inventory(triton_placement::partition_of(&key(1)), None).await.is_err(), "nor are they listed");
    cluster.nodes[0].process.resume();
    cluster.nodes[1].process.resume();
    read_until_all_is_known(&client).await;
}

#[tokio::test]
async fn node_serves_after_a_while_when_nobody_else_answers_and_learns_the_deletes_later() {
    let mut cluster = filled().await;
    cluster.nodes[2].process.kill();
    delete_every_second(&[&cluster.nodes[0], &cluster.nodes[1]]).await;
    cluster.nodes[0].process.kill();
    cluster.nodes[1].process.kill();
    cluster.nodes[2].restart().await;
    let client = cluster.nodes[2].client();
    eventually(DEADLINE, || async { client.get(&key(1), None).await.is_ok() }).await;
    cluster.nodes[0].restart().await;
    eventually(DEADLINE, || async { client.info().await.is_ok_and(|info| info.blobs == BLOBS / 2) }).await;
    read_until_all_is_known(&client).await;
}

#[tokio::test]
async fn cluster_that_starts_as_a_whole_does_not_wait_for_itself() {
    let mut cluster = filled().await;
    delete_every_second(&[&cluster.nodes[0], &cluster.nodes[1]]).await;
    cluster.nodes.iter_mut().for_each(|node| node.process.kill());
    let mut starting = tokio::task::JoinSet::new();
    for mut node in cluster.nodes {
        starting.spawn(async move {
            node.restart().await;
            node
        });
    }
    for node in starting.join_all().await {
        read_until_all_is_known(&node.client()).await;
    }
}

#[tokio::test]
async fn node_that_is_alone_answers_at_once() {
    let mut cluster = Cluster::start(1).await;
    cluster.announce(&LayoutRecord::settled(cluster.first_layout(1))).await;
    let body = content(1, 5000);
    cluster.nodes[0].client().put(&key(1), BlobHash::of(&body), body, Epoch::new(1)).await.unwrap();
    cluster.nodes[0].restart().await;
    assert!(cluster.nodes[0].client().get(&key(1), None).await.is_ok());
}

/// A node that tells that it remembers deletes, and then hangs.
async fn half_silent(listener: tokio::net::TcpListener) {
    let hash = BlobHash::of(b"some deletes");
    let body =
        format!(r#"{{"items": [{{"partition": 0, "tombstones": 1, "digest": "{hash}"}}], "next_cursor": null}}"#);
    let mut kept_open = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = [0; 4096];
        let read = stream.read(&mut head).await.unwrap_or(0);
        if head[..read].starts_with(b"GET /v1/tombstones HTTP") {
            let len = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n");
            let answer = format!("{head}connection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        } else {
            kept_open.push(stream);
        }
    }
}

#[tokio::test]
async fn node_does_not_wait_long_for_one_that_hangs_while_it_tells_its_deletes() {
    let mut cluster = Cluster::start(2).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut members = cluster.members();
    members[1].url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let layout = triton_placement::layout::first(members, 2).unwrap();
    cluster.nodes[0].client().put_layout(&LayoutRecord::settled(layout)).await.unwrap();
    let body = content(1, 5000);
    cluster.nodes[0].client().put(&key(1), BlobHash::of(&body), body, Epoch::new(1)).await.unwrap();
    let silent = tokio::spawn(half_silent(listener));
    cluster.nodes[0].restart().await;
    let client = cluster.nodes[0].client();
    assert!(client.get(&key(1), None).await.is_err(), "it does not wait at all");
    eventually(DEADLINE, || async { client.get(&key(1), None).await.is_ok() }).await;
    silent.abort();
}
