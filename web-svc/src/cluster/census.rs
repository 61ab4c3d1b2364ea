//! What the nodes that answer have of each partition. Pure.

use std::collections::{BTreeMap, BTreeSet};

use triton_api::{BlobHash, NodeId, PartitionId, storage::PartitionDigest};

/// The digests of every node that answered.
#[derive(Debug, Clone, Default)]
pub struct Census {
    nodes: BTreeMap<NodeId, BTreeMap<PartitionId, PartitionDigest>>,
}

impl Census {
    /// Adds the answer of a node.
    pub fn add(&mut self, id: NodeId, digests: Vec<PartitionDigest>) {
        self.nodes.insert(id, digests.into_iter().map(|digest| (digest.partition, digest)).collect());
    }

    /// Forgets the answers of all but these nodes.
    pub fn retain(&mut self, nodes: &BTreeSet<NodeId>) {
        self.nodes.retain(|id, _| nodes.contains(id));
    }

    /// The nodes that answered.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// The nodes that say what they have of the partition, if anything.
    pub fn telling(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes().filter(move |id| self.tells(*id, partition))
    }

    /// Whether the node answered, and its disk did not fail over the partition.
    pub fn tells(&self, id: NodeId, partition: PartitionId) -> bool {
        self.nodes.get(&id).is_some_and(|digests| digests.get(&partition).is_none_or(|digest| !digest.unreadable))
    }

    /// What the node has of the partition; `None` where that is nothing, or not known.
    pub fn digest(&self, id: NodeId, partition: PartitionId) -> Option<&PartitionDigest> {
        self.nodes.get(&id)?.get(&partition).filter(|digest| !digest.unreadable)
    }

    /// The payload bytes that the node has of the partition.
    pub fn bytes(&self, id: NodeId, partition: PartitionId) -> u64 {
        self.digest(id, partition).map_or(0, |digest| digest.bytes)
    }

    /// The nodes that have blobs of the partition.
    pub fn with_blobs(&self, partition: PartitionId) -> impl Iterator<Item = NodeId> + '_ {
        let has = move |id: &NodeId| self.digest(*id, partition).is_some_and(|digest| digest.blobs > 0);
        self.nodes().filter(has)
    }

    /// Every partition of which some node has something.
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.nodes.values().flat_map(|digests| digests.keys().copied()).collect()
    }

    /// The nodes with content of the partition that `to` may lack, in groups of nodes that have the same: one node of each
    /// group is enough. The start within a group differs from partition to partition, which spreads the work.
    pub fn sources(&self, partition: PartitionId, to: NodeId) -> Vec<Vec<NodeId>> {
        let present = self.digest(to, partition).map(|digest| digest.digest);
        let mut groups: BTreeMap<BlobHash, Vec<NodeId>> = BTreeMap::new();
        for id in self.nodes().filter(|id| *id != to) {
            match self.digest(id, partition) {
                Some(found) if Some(found.digest) != present => groups.entry(found.digest).or_default().push(id),
                _ => {}
            }
        }
        let mut groups: Vec<Vec<NodeId>> = groups.into_values().collect();
        for group in &mut groups {
            let start = usize::from(partition.get()) % group.len();
            group.rotate_left(start);
        }
        groups
    }
}
