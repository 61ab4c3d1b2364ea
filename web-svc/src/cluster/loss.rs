//! What is lost when nodes are given up that alone hold something.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use triton_api::{
    BlobKey, NodeId, Page, PartitionId, VideoId,
    client::NodeClient,
    layout::{Layout, LayoutNode, LayoutRecord, NodeState, PARTITIONS},
    rebalance::{LossQuery, LostBlob},
};
use triton_placement::partition_of;

use super::{
    Cluster,
    census::Census,
    error::ClusterError,
    staged::{StagedLayout, StagedNode},
};
use crate::catalog::{TrackRecord, VideoRecord};

/// Entries of a page that asks for no number of them, and the most.
const PAGE_ENTRIES: u16 = 100;
const PAGE_ENTRIES_MAX: u16 = 1000;
/// Videos that one page looks at: a page may be short, or empty, and not be the last.
const PAGE_VIDEOS_MAX: u32 = 200;
/// Blobs that are asked for at once.
const IN_FLIGHT: usize = 8;
/// Renditions of a video that are looked at; there are never as many.
const TRACKS_MAX: u32 = 100;

/// The nodes that a change gives up.
pub(super) fn given_up(current: &Layout, next: &Layout) -> BTreeSet<NodeId> {
    let is_down = |node: &&LayoutNode| next.node(node.id).is_none_or(|next| next.state == NodeState::Down);
    current.nodes.iter().filter(is_down).map(|node| node.id).collect()
}

/// The partitions whose only holders a change gives up, but for those of which all of these say that they are empty.
pub(super) fn partitions(current: &Layout, next: &Layout, census: &Census) -> BTreeSet<PartitionId> {
    let gone = given_up(current, next);
    let is_empty = |id: &NodeId, partition| {
        census.tells(*id, partition) && census.digest(*id, partition).is_none_or(|digest| digest.blobs == 0)
    };
    let is_lost = |partition: &PartitionId| {
        let holders: Vec<NodeId> = current.holders(*partition).map(|node| node.id).collect();
        holders.iter().all(|id| gone.contains(id)) && !holders.iter().all(|id| is_empty(id, *partition))
    };
    if gone.is_empty() { BTreeSet::new() } else { (0..PARTITIONS).map(PartitionId::new).filter(is_lost).collect() }
}

/// Where one looks for blobs whose holders are given up.
struct Search {
    record: LayoutRecord,
    lost: BTreeSet<PartitionId>,
    /// Nodes that remain and have something of a lost partition, such as a stand-in.
    remaining: BTreeMap<PartitionId, Vec<NodeId>>,
}

/// How far a page has come: the video that it stands at, and how many of its blobs were looked at.
struct Place {
    video: String,
    blobs: usize,
}

impl Place {
    fn parse(cursor: &str) -> Result<Self, ClusterError> {
        let place = cursor.split_once(':').and_then(|(video, blobs)| {
            let video: VideoId = video.parse().ok()?;
            Some(Self { video: video.to_string(), blobs: blobs.parse().ok()? })
        });
        place.ok_or_else(|| ClusterError::Invalid(format!("`{cursor}` is no cursor of this list.")))
    }
}

impl Cluster {
    /// The blobs that metadata names and that nobody has when what is staged is applied, in the order of their videos.
    pub async fn losses(&self, query: &LossQuery) -> Result<Page<LostBlob>, ClusterError> {
        let place = query.cursor.as_deref().map(Place::parse).transpose()?;
        let limit = usize::from(query.limit.unwrap_or(PAGE_ENTRIES).clamp(1, PAGE_ENTRIES_MAX));
        let search = self.search(query.give_up).await?;
        if search.lost.is_empty() {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        }
        let from = place.as_ref().map_or("", |place| place.video.as_str());
        let videos = self.records.videos_from(from, PAGE_VIDEOS_MAX + 1).await?;
        let mut items = Vec::new();
        for (number, video) in videos.iter().enumerate() {
            if number == usize::try_from(PAGE_VIDEOS_MAX).unwrap_or(usize::MAX) {
                return Ok(Page { items, next_cursor: Some(format!("{}:0", video.id)) });
            }
            let id = video.id.to_string();
            let skipped = place.as_ref().filter(|place| place.video == id).map_or(0, |place| place.blobs);
            let keys = self.keys_of(video).await?;
            let mut found = self.lost_of(&search, keys.into_iter().enumerate().skip(skipped));
            while let Some((position, key)) = found.next().await {
                if items.len() == limit {
                    return Ok(Page { items, next_cursor: Some(format!("{id}:{position}")) });
                }
                items.push(LostBlob { key, video_id: video.id });
            }
        }
        Ok(Page { items, next_cursor: None })
    }

    async fn search(&self, give_up: Option<NodeId>) -> Result<Search, ClusterError> {
        let state = self.records.state().await?;
        let record = state.layout.value.clone();
        let mut staged: StagedLayout = state.staged();
        if let Some(id) = give_up {
            let node = record.write_layout().node(id).ok_or(ClusterError::UnknownNode(id))?;
            let node = LayoutNode { state: NodeState::Down, ..node.clone() };
            staged = staged.with(record.write_layout(), StagedNode::new(node, true));
        }
        // Only who is given up counts, so the table of the next layout is not needed.
        let next = Layout { nodes: staged.node_list(&record.current), ..record.current.clone() };
        let census = self.census(&record).await;
        let (lost, gone) = (partitions(&record.current, &next, &census), given_up(&record.current, &next));
        let others = |partition| census.with_blobs(partition).filter(|id| !gone.contains(id)).collect();
        let remaining = lost.iter().map(|partition| (*partition, others(*partition))).collect();
        Ok(Search { record, lost, remaining })
    }

    /// Every blob that a video needs to play, its captions, and its original.
    async fn keys_of(&self, video: &VideoRecord) -> Result<Vec<BlobKey>, ClusterError> {
        let mut keys: Vec<_> =
            (0..video.original.parts()).map(|part| VideoRecord::original_part(video.id, part)).collect();
        keys.extend(video.caption_blobs());
        let Some(published) = &video.published else { return Ok(keys) };
        let still = |file| VideoRecord::still_file(video.id, published.generation, file);
        keys.extend(published.poster.then(|| still("poster.jpg")));
        let storyboard = ["storyboard.jpg", "storyboard.vtt"].map(still);
        keys.extend(storyboard.into_iter().filter(|_| published.storyboard));
        let tracks: Vec<TrackRecord> = self.records.tracks(video.id, published.generation, TRACKS_MAX).await?;
        for track in &tracks {
            let segments = (1..=track.segments.len()).map(|number| format!("seg-{number:05}.m4s"));
            let files = std::iter::once("init.mp4".to_owned()).chain(segments);
            keys.extend(files.filter_map(|file| {
                VideoRecord::media_file(video.id, published.generation, track.name.as_str(), &file)
            }));
        }
        Ok(keys)
    }

    /// Those of the keys that no node has which remains.
    fn lost_of<'a>(
        &'a self,
        search: &'a Search,
        keys: impl Iterator<Item = (usize, BlobKey)> + Send + 'a,
    ) -> stream::BoxStream<'a, (usize, BlobKey)> {
        let candidates = keys.filter(|(_, key)| search.lost.contains(&partition_of(key)));
        let looks = candidates.map(move |(position, key)| async move {
            let is_lost = !self.remains(search, &key).await;
            is_lost.then_some((position, key))
        });
        stream::iter(looks).buffered(IN_FLIGHT).filter_map(std::future::ready).boxed()
    }

    async fn remains(&self, search: &Search, key: &BlobKey) -> bool {
        let nodes = search.remaining.get(&partition_of(key)).into_iter().flatten();
        for node in nodes.filter_map(|id| search.record.node(*id)) {
            let client = NodeClient::new(self.inner.caller.clone(), node.url.clone());
            if matches!(client.head(key).await, Ok(Some(_))) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use triton_api::{BlobHash, storage::PartitionDigest};

    use super::*;
    use crate::cluster::sample::{layout_of, node};

    fn without(layout: &Layout, n: u16) -> Layout {
        let mut nodes = layout.nodes.clone();
        for gone in nodes.iter_mut().filter(|present| present.id == node(n).id) {
            gone.state = NodeState::Down;
        }
        triton_placement::layout::change(layout, nodes, layout.replicas).unwrap()
    }

    #[test]
    fn with_one_replica_everything_of_a_dead_node_is_lost() {
        let current = layout_of(3, 1);
        let next = without(&current, 2);
        let lost = partitions(&current, &next, &Census::default());
        assert_eq!(lost.len(), current.partitions_of(node(2).id));
        assert_eq!(given_up(&current, &next), BTreeSet::from([node(2).id]));
    }

    #[test]
    fn with_more_replicas_nothing_is() {
        let current = layout_of(4, 3);
        assert_eq!(partitions(&current, &without(&current, 2), &Census::default()), BTreeSet::new());
    }

    #[test]
    fn a_node_that_says_that_it_has_nothing_loses_nothing() {
        let current = layout_of(2, 1);
        let next = without(&current, 1);
        let mut census = Census::default();
        census.add(node(1).id, Vec::new());
        assert_eq!(partitions(&current, &next, &census), BTreeSet::new());
        let held = (0..PARTITIONS).map(PartitionId::new).find(|p| current.holders(*p).any(|h| h.id == node(1).id));
        let digest = BlobHash::of(b"");
        let partition = held.unwrap();
        census.add(
            node(1).id,
            vec![PartitionDigest { partition, blobs: 1, bytes: 1, tombstones: 0, digest, unreadable: false }],
        );
        assert_eq!(partitions(&current, &next, &census), BTreeSet::from([partition]));
    }
}
