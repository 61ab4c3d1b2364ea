//! Whether every blob has its R equal copies, by what the nodes themselves say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use triton_api::{
    BlobHash, BlobKey, NodeId, PartitionId,
    client::{ClientError, NodeClient},
    layout::{Layout, LayoutRecord, NodeState},
    storage::PartitionDigest,
};

use crate::stage::Stage;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Replicas {
    pub(crate) epoch: u64,
    pub(crate) nodes: usize,
    pub(crate) wanted: usize,
    pub(crate) partitions: usize,
    pub(crate) blobs: u64,
    /// Copies on nodes that the layout does not name.
    pub(crate) surplus: u64,
    /// What is missing or different, in words.
    pub(crate) missing: Vec<String>,
}

type Inventory = BTreeMap<BlobKey, BlobHash>;

/// Compares the inventories of all nodes with the layout that they know.
pub(crate) async fn census(stage: &Stage) -> Result<Replicas, ClientError> {
    let mut found = Replicas::default();
    let mut nodes = HashMap::new();
    let mut layouts: Vec<LayoutRecord> = Vec::new();
    for number in 0..stage.site.storage.len() {
        let Some(client) = stage.node(number) else { continue };
        let id = client.info().await?.id;
        layouts.extend(client.layout().await?);
        let digests = client.partitions().await?.into_iter().map(|digest| (digest.partition, digest)).collect();
        nodes.insert(id, Node { client, digests });
    }
    // A node that was removed keeps the last layout that it was told.
    let Some(record) = layouts.into_iter().max_by_key(LayoutRecord::write_epoch) else { return Ok(found) };
    if record.next.is_some() {
        found.missing.push("a migration still runs".to_owned());
    }
    compare(&record.current, &nodes, &mut found).await?;
    Ok(found)
}

struct Node {
    client: NodeClient,
    digests: HashMap<PartitionId, PartitionDigest>,
}

async fn compare(layout: &Layout, nodes: &HashMap<NodeId, Node>, found: &mut Replicas) -> Result<(), ClientError> {
    let active = layout.nodes.iter().filter(|node| node.state == NodeState::Active).count();
    (found.epoch, found.nodes) = (layout.epoch.get(), active);
    found.wanted = usize::from(layout.replicas).min(active);
    let partitions: BTreeSet<_> = nodes.values().flat_map(|node| node.digests.keys().copied()).collect();
    for partition in partitions {
        let holders: Vec<_> = layout.holders(partition).map(|node| node.id).collect();
        if holders.len() != found.wanted {
            found.missing.push(format!("partition {partition} has {} holders in the layout", holders.len()));
        }
        let strangers = nodes.iter().filter(|(id, _)| !holders.contains(id));
        let surplus: u64 = strangers.filter_map(|(_, node)| node.digests.get(&partition)).map(|d| d.blobs).sum();
        found.surplus += surplus;
        let digests: BTreeSet<_> = holders
            .iter()
            .map(|id| {
                nodes.get(id).and_then(|node| node.digests.get(&partition)).map(|digest| digest.digest.to_string())
            })
            .collect();
        let on_first = holders.first().and_then(|id| nodes.get(id)?.digests.get(&partition)).map_or(0, |d| d.blobs);
        if digests.len() == 1 && surplus == 0 {
            found.partitions += usize::from(on_first > 0);
            found.blobs += on_first;
            continue;
        }
        compare_blobs(partition, &holders, nodes, found).await?;
    }
    Ok(())
}

/// Blob by blob, with what lies on strangers: it has to be on the holders, too.
async fn compare_blobs(
    partition: PartitionId,
    holders: &[NodeId],
    nodes: &HashMap<NodeId, Node>,
    found: &mut Replicas,
) -> Result<(), ClientError> {
    let (mut all, mut deleted, mut inventories) = (Inventory::new(), BTreeSet::new(), Vec::new());
    for (id, node) in nodes {
        let (inventory, gone) = inventory(&node.client, partition).await?;
        all.extend(inventory.iter().map(|(key, hash)| (key.clone(), *hash)));
        deleted.extend(gone);
        if holders.contains(id) {
            inventories.push((id, inventory));
        }
    }
    all.retain(|key, _| !deleted.contains(key));
    found.partitions += usize::from(!all.is_empty());
    found.blobs += all.len() as u64;
    for (key, hash) in &all {
        let with = inventories.iter().filter(|(_, inventory)| inventory.get(key) == Some(hash)).count();
        if with < found.wanted {
            found.missing.push(format!("{key} of partition {partition} has {with} of {} copies", found.wanted));
        }
    }
    Ok(())
}

async fn inventory(client: &NodeClient, partition: PartitionId) -> Result<(Inventory, Vec<BlobKey>), ClientError> {
    let (mut inventory, mut deleted, mut cursor) = (Inventory::new(), Vec::new(), None);
    loop {
        let page = client.inventory(partition, cursor.as_deref()).await?;
        for entry in page.items {
            if entry.deleted {
                deleted.push(entry.key);
            } else {
                inventory.insert(entry.key, entry.hash);
            }
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return Ok((inventory, deleted)),
        }
    }
}
