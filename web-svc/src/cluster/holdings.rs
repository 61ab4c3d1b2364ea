//! What the nodes have, as far as it matters to who looks for orphans.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobKey, NodeId, PartitionId,
    client::{ClientError, NodeClient},
    layout::{LayoutRecord, PARTITIONS},
    storage::DiskState,
};

use super::{
    Cluster,
    fence::is_given_up,
    named::Named,
    orphans::{Copies, OrphanError, SIGHTINGS_MAX, millis},
};

/// The pause between two partitions: nobody is in a hurry.
const PAUSE: Duration = Duration::from_millis(2);

/// Everything that is on the nodes.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) blobs: usize,
    /// Blobs that all their holders have, with all copies older than they must be; a part where there are very many.
    pub(super) old: Copies,
    /// Blobs that were moved aside.
    pub(super) aside: Copies,
}

/// The blobs of one partition: how old the youngest copy is, in milliseconds, and who has one.
type Found = BTreeMap<BlobKey, (u64, Vec<NodeId>)>;

impl Holdings {
    /// Adds a partition. What was referred to a moment ago is only counted, or all blobs would have to be remembered; what a
    /// holder lacks as well, for repair is about to copy it there, and that copy would be young.
    fn add(&mut self, found: Found, holders: &[NodeId], age_ms_min: u64, earlier: &Named) {
        self.blobs += found.len();
        for (key, (age_ms, on)) in found {
            let is_settled = age_ms >= age_ms_min && holders.iter().all(|holder| on.contains(holder));
            if is_settled && earlier.is_orphan(&key) && self.old.len() < SIGHTINGS_MAX {
                self.old.insert(key, on);
            }
        }
    }
}

impl Cluster {
    /// Takes the inventories of all nodes, one partition after the other.
    pub(super) async fn holdings(
        &self,
        record: &LayoutRecord,
        earlier: &Named,
        stop: &CancellationToken,
    ) -> Result<Holdings, OrphanError> {
        let nodes: Vec<(NodeId, NodeClient)> = record
            .nodes()
            .into_iter()
            .filter(|node| !is_given_up(record, node.id))
            .map(|node| (node.id, NodeClient::new(self.inner.caller.clone(), node.url.clone())))
            .collect();
        let mut holdings = Holdings::default();
        for (id, client) in &nodes {
            // It could move nothing, and repair would bring back what the others have moved.
            let info = client.info().await.map_err(|error| OrphanError::Silent(*id, error))?;
            if info.disk == DiskState::ReadOnly {
                return Err(OrphanError::ReadOnly(*id));
            }
            let aside = set_aside(client).await.map_err(|error| OrphanError::Silent(*id, error))?;
            for key in aside {
                holdings.aside.entry(key).or_default().push(*id);
            }
        }
        let mut held: Vec<(NodeId, &NodeClient, BTreeSet<PartitionId>)> = Vec::new();
        for (id, client) in &nodes {
            let digests = client.partitions().await.map_err(|error| OrphanError::Silent(*id, error))?;
            // Of one that cannot be read the inventory says why.
            let partitions = digests.into_iter().filter(|d| d.blobs > 0 || d.unreadable).map(|digest| digest.partition);
            held.push((*id, client, partitions.collect()));
        }
        let age_ms_min = millis(self.inner.settings.orphan_age);
        for partition in (0..PARTITIONS).map(PartitionId::new) {
            let mut found = Found::new();
            for (id, client, _) in held.iter().filter(|(.., partitions)| partitions.contains(&partition)) {
                for (key, age_ms) in blobs(client, partition).await.map_err(|e| OrphanError::Silent(*id, e))? {
                    let entry = found.entry(key).or_insert((u64::MAX, Vec::new()));
                    entry.0 = entry.0.min(age_ms);
                    entry.1.push(*id);
                }
            }
            let holders = record.current.holders(partition).map(|node| node.id).filter(|id| !is_given_up(record, *id));
            holdings.add(found, &holders.collect::<Vec<_>>(), age_ms_min, earlier);
            tokio::select! {
                () = stop.cancelled() => return Err(OrphanError::Stopped),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Ok(holdings)
    }
}

async fn set_aside(client: &NodeClient) -> Result<Vec<BlobKey>, ClientError> {
    let (mut keys, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = client.orphans(cursor.as_deref()).await?;
        keys.extend(page.items.into_iter().map(|orphan| orphan.key));
        match page.next_cursor {
            // A cursor that does not grow would be a loop.
            Some(next) if cursor.as_ref() < Some(&next) => cursor = Some(next),
            _ => return Ok(keys),
        }
    }
}

/// The blobs of a partition with their ages.
async fn blobs(client: &NodeClient, partition: PartitionId) -> Result<Vec<(BlobKey, u64)>, ClientError> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = client.inventory(partition, cursor.as_deref()).await?;
        let blobs = page.items.into_iter().filter(|entry| !entry.deleted);
        found.extend(blobs.map(|entry| (entry.key, entry.age_ms)));
        match page.next_cursor {
            Some(next) if cursor.as_ref() < Some(&next) => cursor = Some(next),
            _ => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use triton_api::VideoId;

    use super::*;

    #[test]
    fn blob_is_old_when_every_holder_has_it_and_no_copy_is_young() {
        let node = NodeId::from_u128;
        let holders = [node(1), node(2), node(3)];
        let referred = VideoId::generate();
        let key = |id: VideoId| BlobKey::from_str(&format!("v/{id}/1/a")).unwrap();
        let cases = [
            (VideoId::generate(), 10, vec![node(1), node(2), node(3)], true),
            (VideoId::generate(), 10, vec![node(3), node(9), node(2), node(1)], true),
            (VideoId::generate(), 9, vec![node(1), node(2), node(3)], false),
            (VideoId::generate(), 10, vec![node(1), node(3), node(9)], false),
            (referred, 10, vec![node(1), node(2), node(3)], false),
        ];
        let found = cases.iter().map(|(id, age_ms, on, _)| (key(*id), (*age_ms, on.clone())));
        let mut holdings = Holdings::default();
        holdings.add(found.collect(), &holders, 10, &Named::all_of(referred));
        assert_eq!(holdings.blobs, cases.len());
        for (id, age_ms, on, expected) in cases {
            assert_eq!(holdings.old.contains_key(&key(id)), expected, "{age_ms} ms on {on:?}");
        }
    }
}
