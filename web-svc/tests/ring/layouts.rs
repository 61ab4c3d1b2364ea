use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;
use triton_api::layout::{LayoutRecord, NodeState};
use triton_placement::partition_of;
use web_svc::ring::{RingError, RingLimits};

use crate::cluster::{Cluster, content, key, limits};

/// A cluster of four nodes in the middle of draining its first node, as the nodes see it.
async fn draining() -> (Cluster, LayoutRecord) {
    let cluster =
        Cluster::start_with(4, 3, RingLimits { stale_layout_wait: Duration::from_millis(800), ..limits() }).await;
    let leaving = cluster.nodes[0].id;
    let state = |id| if id == leaving { NodeState::Draining } else { NodeState::Active };
    let migrating = LayoutRecord { next: Some(cluster.next_layout(state)), ..cluster.record() };
    (cluster, migrating)
}

#[tokio::test]
async fn writer_with_an_old_epoch_goes_on_when_the_new_layout_arrives() {
    let (cluster, migrating) = draining().await;
    cluster.tell_nodes(&migrating).await;
    let (key, content) = (key("a/b"), content(1, 1_000));
    let write = async { timeout(Duration::from_secs(5), cluster.ring.put(&key, content.clone())).await.unwrap() };
    let learn = async {
        // Let the write be refused first.
        assert!(timeout(Duration::from_millis(200), std::future::pending::<()>()).await.is_err());
        cluster.tell_ring(migrating.clone());
    };
    let (written, ()) = join(write, learn).await;
    written.unwrap();
    let next = migrating.next.as_ref().unwrap();
    for copy in cluster.copies(&key).await {
        assert!(next.holders(partition_of(&key)).any(|holder| holder.id == copy));
    }
    assert_eq!(cluster.ring.read_all(&key, 1_000).await.unwrap(), content);
    cluster.ring.delete(&key).await.unwrap();
}

#[tokio::test]
async fn writer_with_an_old_epoch_says_so_when_no_layout_arrives() {
    let (cluster, migrating) = draining().await;
    let old = cluster.record().write_epoch();
    cluster.tell_nodes(&migrating).await;
    assert_eq!(
        cluster.ring.put(&key("a/b"), content(1, 1_000)).await.unwrap_err(),
        RingError::StaleLayout { epoch: old }
    );
    assert_eq!(cluster.ring.delete(&key("a/b")).await.unwrap_err(), RingError::StaleLayout { epoch: old });
}

#[tokio::test]
async fn what_was_written_before_a_migration_is_read_during_it() {
    let (cluster, migrating) = draining().await;
    let keys: Vec<_> = (0..20).map(|n| key(&format!("v/{n}"))).collect();
    for key in &keys {
        cluster.ring.put(key, content(3, 5_000)).await.unwrap();
    }
    cluster.tell_nodes(&migrating).await;
    cluster.tell_ring(migrating);
    for key in &keys {
        assert_eq!(cluster.ring.read_all(key, 5_000).await.unwrap(), content(3, 5_000));
    }
    let missing = key("v/none");
    assert_eq!(cluster.ring.head(&missing).await.unwrap_err(), RingError::NotFound { key: missing });
}

#[tokio::test]
async fn copy_of_a_former_holder_is_not_served_once_the_holders_have_deleted_the_blob() {
    let (cluster, migrating) = draining().await;
    let (leaving, next) = (cluster.nodes[0].id, migrating.next.clone().unwrap());
    let key = (0..100).map(|n| key(&format!("v/{n}"))).find(|key| cluster.holders(key).contains(&leaving)).unwrap();
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    cluster.put_everywhere(&key, &content(1, 1_000)).await;
    let mut committed = LayoutRecord::settled(next);
    cluster.tell_nodes(&migrating).await;
    cluster.tell_nodes(&committed).await;
    // A node that drains is asked in any case. Here it has given up this partition only.
    committed.current.nodes.iter_mut().for_each(|node| node.state = NodeState::Active);
    cluster.tell_ring(committed);
    cluster.ring.delete(&key).await.unwrap();
    assert!(cluster.copies(&key).await.contains(&leaving), "it was not asked");
    for _ in 0..20 {
        assert!(cluster.ring.open(&key, None).await.is_err_and(|error| error.is_absent()));
        assert!(cluster.ring.head(&key).await.unwrap_err().is_absent());
    }
}

#[tokio::test]
async fn node_that_was_given_up_is_never_asked() {
    let cluster = Cluster::start(4, 3).await;
    let key = key("a/b");
    let holders = cluster.holders(&key);
    cluster.ring.put(&key, content(1, 1_000)).await.unwrap();
    let mut record = cluster.record();
    record.current.nodes.iter_mut().filter(|node| node.id == holders[0]).for_each(|node| node.state = NodeState::Down);
    cluster.tell_ring(record);
    let before = cluster.node(holders[0]).proxy.reads();
    for _ in 0..30 {
        cluster.ring.read_all(&key, 1_000).await.unwrap();
    }
    assert_eq!(cluster.node(holders[0]).proxy.reads(), before);
}
