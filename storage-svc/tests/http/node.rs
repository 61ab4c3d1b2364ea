//! The node itself, its layout and its documents.

use std::time::Duration;

use triton_api::layout::{LayoutRecord, NodeState};
use triton_testkit::eventually;

use super::*;

#[tokio::test]
async fn node_learns_layouts_and_fences_older_writers() {
    let node = Node::start().await;
    assert_eq!(node.client.layout().await.unwrap(), None);
    let first = triton_placement::layout::first(vec![node.member()], 1).unwrap();
    let second = triton_placement::layout::change(&first, vec![node.member()], 3).unwrap();
    let begun = LayoutRecord::migrating(first.clone(), second.clone());
    node.client.put_layout(&LayoutRecord::settled(first.clone())).await.unwrap();
    put(&node, "a", &Bytes::from("x"), first.epoch).await;
    for _ in 0..2 {
        node.client.put_layout(&begun).await.unwrap();
    }
    assert_eq!(node.client.layout().await.unwrap(), Some(begun));
    assert_eq!(node.client.info().await.unwrap().epoch, Some(second.epoch));
    let stale = node.client.put(&key("b"), BlobHash::of(b"x"), Bytes::from("x"), first.epoch).await.unwrap_err();
    assert_eq!(stale.problem_type(), Some(triton_api::ProblemType::StaleEpoch));
    let stale = node.client.delete(&key("a"), first.epoch).await.unwrap_err();
    assert_eq!(stale.problem_type(), Some(triton_api::ProblemType::StaleEpoch));
    let replayed = node.client.put_layout(&LayoutRecord::settled(first)).await.unwrap_err();
    assert_eq!(replayed.problem_type(), Some(triton_api::ProblemType::StaleEpoch));
    put(&node, "b", &Bytes::from("x"), second.epoch).await;
}

#[tokio::test]
async fn node_describes_itself() {
    let node = Node::start().await;
    node.put("a", "x").await;
    let document = node.http.get(node.url.join("/openapi.json")).send().await.unwrap().text().await.unwrap();
    let served: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(served, serde_json::to_value(storage_svc::openapi()).unwrap());
    assert!(served["paths"]["/v1/blobs/{key}"]["head"].is_object());
    assert_eq!(node.http.get(node.url.join("/docs/")).send().await.unwrap().status(), 200);
    let partitions = node.client.partitions().await.unwrap();
    assert_eq!((partitions.len(), partitions[0].partition, partitions[0].bytes), (1, partition("a"), 1));
}

#[tokio::test]
async fn stopped_node_finishes_its_answers_and_lets_its_directory_go() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let config = Config::new(dir.path(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let running = serve(config.clone(), stop.clone()).await.unwrap();
    let (id, address) = (running.id(), running.address());
    assert!(serve(config.clone(), CancellationToken::new()).await.is_err(), "two nodes on one directory");
    stop.cancel();
    assert_eq!(running.stopped().await.cut, 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(serve(config, CancellationToken::new()).await.unwrap().id(), id);
}

/// What it has may have been deleted meanwhile: nobody sends deletes to a node that is given up.
#[tokio::test]
async fn a_node_that_is_given_up_answers_no_reader_until_it_is_taken_back() {
    let (node, other) = (Node::start().await, Node::start().await);
    let sent = triton_testkit::content(1, 200_000);
    let read = async || {
        let answer = node.get("a").send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap() == sent)
    };
    let first = triton_placement::layout::first(vec![node.member(), other.member()], 1).unwrap();
    let down = LayoutNode { state: NodeState::Down, ..node.member() };
    let without = triton_placement::layout::change(&first, vec![down, other.member()], 1).unwrap();
    let again = triton_placement::layout::change(&without, vec![node.member(), other.member()], 1).unwrap();
    node.client.put_layout(&LayoutRecord::settled(first)).await.unwrap();
    assert_eq!(node.put("a", sent.clone()).await.status(), 201);
    for _ in 0..2 {
        assert_eq!(read().await, (200, true));
    }
    node.client.put_layout(&LayoutRecord::settled(without.clone())).await.unwrap();
    assert_eq!(read().await.0, 503);
    // A delete that reaches the other one alone.
    other.client.put_layout(&LayoutRecord::settled(without)).await.unwrap();
    assert_eq!(other.http.delete(other.blob_url("a")).send().await.unwrap().status(), 204);
    assert_eq!(read().await.0, 503);
    node.client.put_layout(&LayoutRecord::settled(again)).await.unwrap();
    eventually(Duration::from_secs(20), || async { read().await.0 != 503 }).await;
    assert_eq!(read().await.0, 404);
}
