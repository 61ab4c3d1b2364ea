//! Several storage nodes with a layout.

use triton_api::layout::{Layout, LayoutNode, LayoutRecord};

use crate::StorageNode;

/// Storage nodes, each a process of its own. Without a web service nobody tells them a layout: see [`Self::announce`].
#[derive(Debug)]
pub struct Cluster {
    /// The nodes; push to it or take from it as the test goes.
    pub nodes: Vec<StorageNode>,
}

impl Cluster {
    /// Starts `count` nodes.
    pub async fn start(count: usize) -> Self {
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            nodes.push(StorageNode::start(None).await);
        }
        Self { nodes }
    }

    /// The nodes as a layout would list them, each in a zone of its own.
    pub fn members(&self) -> Vec<LayoutNode> {
        self.nodes.iter().enumerate().map(|(number, node)| node.in_zone(&format!("zone-{number}"))).collect()
    }

    /// The first layout of all nodes.
    pub fn first_layout(&self, replicas: u8) -> Layout {
        triton_placement::layout::first(self.members(), replicas).unwrap()
    }

    /// Tells every node a layout record.
    pub async fn announce(&self, record: &LayoutRecord) {
        for node in &self.nodes {
            node.client().put_layout(record).await.unwrap();
        }
    }
}
