//! A node as a real process: killed, doubled, traced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod crash;
mod disk;
mod memory;
mod scrub;
mod trace;

use std::time::Duration;

use triton_testkit::{Program, StorageNode};

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn second_process_on_one_directory_is_refused() {
    let node = StorageNode::start(None).await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let second = Program::ours("storage-svc", log.path()).args(["--listen", "127.0.0.1:0"]).arg(node.dir());
    let (status, log) = second.run(DEADLINE);
    assert!(!status.success());
    assert!(log.contains("is in use by another process"), "{log}");
    assert_eq!(node.client().info().await.unwrap().id, node.id);
}

#[tokio::test]
async fn terminated_node_ends_well_and_keeps_its_identity() {
    let mut node = StorageNode::start(None).await;
    assert!(node.process.terminate(DEADLINE).success());
    assert!(node.process.log().contains(&format!("storage-svc listens on {}", node.url)));
    node.restart().await;
    assert_eq!(node.client().info().await.unwrap().id, node.id);
}
