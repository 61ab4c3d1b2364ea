//! Whether everything is as it was promised, with one migration behind it.

use std::collections::BTreeMap;

use triton_api::{
    BlobHash, BlobKey, NodeId, PartitionId,
    client::NodeClient,
    layout::{LayoutRecord, PARTITIONS},
};
use triton_placement::{partition_of, verify};
use triton_testkit::eventually;

use crate::scene::{DEADLINE, Scene, caller};

/// A partition's copies: the digest on each node that has anything.
type Copies = BTreeMap<PartitionId, BTreeMap<NodeId, BlobHash>>;

impl Scene {
    /// Panics where anything was lost, came back, or lies elsewhere than the layout says.
    pub(crate) async fn judge(&self, when: &str) {
        let record = self.nodes[1].client().layout().await.unwrap().unwrap();
        assert!(record.next.is_none(), "{when}: two epochs");
        verify(&record.current).unwrap();
        self.deeds.rest(true);
        // The last writes are on their way, and repair takes its time.
        let found = std::sync::Mutex::new(Vec::new());
        let is_right = || async {
            let wrong = self.wrong(&record).await;
            let is_right = wrong.is_empty();
            *found.lock().unwrap() = wrong;
            is_right
        };
        let settled = tokio::time::timeout(DEADLINE, eventually(DEADLINE * 2, is_right)).await;
        assert!(settled.is_ok(), "{when}: {:?}", found.into_inner().unwrap());
        self.deeds.rest(false);
        assert_eq!(self.deeds.memory().failures, Vec::<String>::new(), "{when}");
    }

    async fn wrong(&self, record: &LayoutRecord) -> Vec<String> {
        // First the promises, then the world: what is promised in between is not asked for.
        let (kept, deleted) = {
            let memory = self.deeds.memory();
            (memory.kept.clone(), memory.deleted.clone())
        };
        let world = self.world().await;
        let mut wrong = unequal(record, &self.copies().await);
        let is_there = |holder: &NodeId, key: &BlobKey| world.get(key).and_then(|nodes| nodes.get(holder)).copied();
        for (key, hash) in &kept {
            for holder in record.current.holders(partition_of(key)) {
                if is_there(&holder.id, key) != Some(*hash) && self.deeds.memory().kept.contains_key(key) {
                    wrong.push(format!("{key} is not on {}", holder.id));
                }
            }
        }
        wrong.extend(deleted.iter().filter(|key| world.contains_key(key)).map(|key| format!("{key} is back")));
        wrong
    }

    /// Every blob on every node.
    async fn world(&self) -> BTreeMap<BlobKey, BTreeMap<NodeId, BlobHash>> {
        let mut world: BTreeMap<BlobKey, BTreeMap<NodeId, BlobHash>> = BTreeMap::new();
        for node in &self.nodes {
            let client = NodeClient::new(caller(), node.url.clone());
            for digest in client.partitions().await.unwrap_or_default() {
                let page = client.inventory(digest.partition, None).await.unwrap();
                for entry in page.items.into_iter().filter(|entry| !entry.deleted) {
                    world.entry(entry.key).or_default().insert(node.id, entry.hash);
                }
            }
        }
        world
    }

    async fn copies(&self) -> Copies {
        let mut copies = Copies::new();
        for node in &self.nodes {
            for digest in node.client().partitions().await.unwrap_or_default() {
                // A node that holds nothing any more may remember deletes.
                if digest.blobs > 0 {
                    copies.entry(digest.partition).or_default().insert(node.id, digest.digest);
                }
            }
        }
        copies
    }
}

/// The partitions that are not on all of their holders alike, or on others.
fn unequal(record: &LayoutRecord, copies: &Copies) -> Vec<String> {
    let mut wrong = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionId::new) {
        let Some(found) = copies.get(&partition) else { continue };
        let holders: Vec<NodeId> = record.current.holders(partition).map(|node| node.id).collect();
        let is_equal = found.values().all(|digest| Some(digest) == found.values().next());
        if found.len() != holders.len() || !is_equal || found.keys().any(|id| !holders.contains(id)) {
            wrong.push(format!("partition {partition} lies on {:?}, and {holders:?} hold it", found.keys()));
        }
    }
    wrong
}
