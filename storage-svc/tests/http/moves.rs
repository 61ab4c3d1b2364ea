//! Pulls and releases between nodes.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use triton_api::{
    NodeId, ProblemType,
    client::ClientError,
    layout::{Layout, LayoutRecord, PARTITIONS},
    storage::{PullReport, PullRequest, ReleaseReport, ReleaseRequest},
};
use triton_testkit::content;

use super::*;

const BLOBS: u64 = 60;
const LEN: usize = 3000;

/// Three nodes that know the layout of the first two, with blobs on both, and the layout of all three.
struct Scene {
    nodes: Vec<Node>,
    first: Layout,
    second: Layout,
}

impl Scene {
    async fn set(last: impl FnOnce(Config) -> Config) -> Self {
        let nodes = vec![Node::start().await, Node::start().await, Node::start_with(last).await];
        let members: Vec<_> = nodes.iter().map(Node::member).collect();
        let first = triton_placement::layout::first(members[..2].to_vec(), 2).unwrap();
        let second = triton_placement::layout::change(&first, members, 2).unwrap();
        let scene = Self { nodes, first, second };
        scene.announce(&LayoutRecord::settled(scene.first.clone())).await;
        for number in 0..BLOBS {
            for node in &scene.nodes[..2] {
                put(node, &name(number), &content(number, LEN), scene.first.epoch).await;
            }
        }
        scene
    }

    async fn announce(&self, record: &LayoutRecord) {
        for node in &self.nodes {
            node.client.put_layout(record).await.unwrap();
        }
    }

    async fn begin(&self) {
        self.announce(&LayoutRecord::migrating(self.first.clone(), self.second.clone())).await;
    }

    async fn commit(&self) {
        self.announce(&LayoutRecord::settled(self.second.clone())).await;
    }

    fn pull_request(&self, bytes_max: u64) -> PullRequest {
        PullRequest { from: self.nodes[0].running.id(), epoch: self.second.epoch, cursor: None, bytes_max }
    }

    /// Pulls a partition from the first node to the third, step by step; answers the reports of all steps.
    async fn pull(&self, partition: PartitionId, bytes_max: u64) -> Result<Vec<PullReport>, ClientError> {
        let (mut reports, mut request) = (Vec::new(), self.pull_request(bytes_max));
        loop {
            let report = self.nodes[2].client.pull(partition, &request).await?;
            request.cursor.clone_from(&report.next_cursor);
            reports.push(report);
            if request.cursor.is_none() {
                return Ok(reports);
            }
        }
    }

    async fn pull_all(&self) {
        for partition in self.partitions_of(2) {
            self.pull(partition, 1_000_000).await.unwrap();
        }
    }

    /// The partitions that a node holds in the second layout.
    fn partitions_of(&self, node: usize) -> Vec<PartitionId> {
        let id = self.nodes[node].running.id();
        let holds = |partition: &PartitionId| self.second.holders(*partition).any(|holder| holder.id == id);
        (0..PARTITIONS).map(PartitionId::new).filter(holds).collect()
    }

    /// A blob that the third node holds in the second layout, and the old holder that it takes the place of.
    fn moved(&self) -> (String, usize) {
        let third = self.partitions_of(2);
        let text = (0..BLOBS).map(name).find(|text| third.contains(&partition(text))).unwrap();
        let loser = (0..2).find(|node| !self.partitions_of(*node).contains(&partition(&text))).unwrap();
        (text, loser)
    }

    async fn release(&self, node: usize, partition: PartitionId) -> Result<ReleaseReport, ClientError> {
        self.nodes[node].client.release(partition, &ReleaseRequest { epoch: self.second.epoch }).await
    }
}

fn name(number: u64) -> String {
    format!("v/{number}/seg")
}

#[tokio::test]
async fn blobs_move_to_where_the_next_layout_wants_them() {
    let scene = Scene::set(|config| config).await;
    scene.begin().await;
    scene.pull_all().await;
    scene.commit().await;
    for node in 0..3 {
        let held = scene.partitions_of(node);
        for partition in (0..PARTITIONS).map(PartitionId::new).filter(|partition| !held.contains(partition)) {
            assert_eq!(scene.release(node, partition).await.unwrap().blobs_kept, 0);
        }
    }
    for number in 0..BLOBS {
        let (text, expected) = (name(number), (BlobHash::of(&content(number, LEN)), LEN as u64));
        let holders: Vec<_> = scene.second.holders(partition(&text)).map(|holder| holder.id).collect();
        for node in &scene.nodes {
            let found = node.client.head(&key(&text)).await.unwrap();
            assert_eq!(found, holders.contains(&node.running.id()).then_some(expected), "{text}");
        }
    }
}

#[tokio::test]
async fn pull_goes_on_by_its_cursor_and_skips_what_is_here() {
    let scene = Scene::set(|config| config).await;
    // Several blobs of one partition.
    let same: Vec<_> =
        (0..).map(|number| format!("same/{number}")).filter(|text| partition(text).get() == 5).take(5).collect();
    for text in &same {
        put(&scene.nodes[0], text, &content(9, LEN), scene.first.epoch).await;
    }
    scene.begin().await;
    put(&scene.nodes[2], &same[0], &content(9, LEN), scene.second.epoch).await;
    let reports = scene.pull(PartitionId::new(5), 1).await.unwrap();
    assert!(reports.len() >= 4 && reports.iter().all(|report| report.blobs_copied <= 1), "{reports:?}");
    assert_eq!(reports.iter().map(|report| report.blobs_copied).sum::<u64>(), 4);
    assert_eq!(reports.iter().map(|report| report.blobs_present).sum::<u64>(), 1);
    let again = scene.pull(PartitionId::new(5), u64::MAX).await.unwrap();
    assert_eq!((again.len(), again[0].blobs_present, again[0].blobs_copied), (1, 5, 0));
}

#[tokio::test]
async fn pull_takes_deletes_over_and_lists_what_the_source_cannot_deliver() {
    let scene = Scene::set(|config| config).await;
    let same: Vec<_> =
        (0..).map(|number| format!("same/{number}")).filter(|text| partition(text).get() == 5).take(3).collect();
    for text in &same {
        put(&scene.nodes[0], text, &content(9, LEN), scene.first.epoch).await;
    }
    put(&scene.nodes[2], &same[0], &content(9, LEN), scene.first.epoch).await;
    scene.nodes[0].client.delete(&key(&same[0]), scene.first.epoch).await.unwrap();
    // The source finds out when it reads the payload, not when it lists it.
    scene.nodes[0].damage(&same[1], 100);
    scene.begin().await;
    let report = scene.pull(PartitionId::new(5), u64::MAX).await.unwrap().remove(0);
    assert_eq!((report.tombstones, report.blobs_copied, report.failed), (1, 1, vec![key(&same[1])]));
    let third = &scene.nodes[2];
    assert!(third.client.head(&key(&same[0])).await.unwrap_err().is_deleted());
    assert_eq!(problem(third.put(&same[0], "x").await).await.0, 410);
    assert!(third.client.head(&key(&same[2])).await.unwrap().is_some());
}

#[tokio::test]
async fn pull_is_refused_from_strangers_and_in_other_epochs() {
    let scene = Scene::set(|config| config).await;
    let third = &scene.nodes[2].client;
    let kind = |request: PullRequest| async move {
        third.pull(PartitionId::new(0), &request).await.unwrap_err().problem_type().unwrap()
    };
    assert_eq!(kind(scene.pull_request(1)).await, ProblemType::StaleEpoch);
    scene.begin().await;
    for from in [NodeId::from_u128(1), scene.nodes[2].running.id()] {
        assert_eq!(kind(PullRequest { from, ..scene.pull_request(1) }).await, ProblemType::Unprocessable);
    }
    assert_eq!(kind(PullRequest { epoch: scene.first.epoch, ..scene.pull_request(1) }).await, ProblemType::StaleEpoch);
    let nowhere = third.pull(PartitionId::new(1024), &scene.pull_request(1)).await.unwrap_err();
    assert_eq!(nowhere.problem_type(), Some(ProblemType::NotFound));
}

#[tokio::test]
async fn pull_keeps_to_its_rate() {
    let limit = NonZeroU64::new(20_000);
    let scene = Scene::set(|config| Config { pull_bytes_per_second: limit, ..config }).await;
    let same: Vec<_> =
        (0..).map(|number| format!("same/{number}")).filter(|text| partition(text).get() == 5).take(5).collect();
    for text in &same {
        put(&scene.nodes[0], text, &content(9, LEN), scene.first.epoch).await;
    }
    scene.begin().await;
    let began = Instant::now();
    scene.pull(PartitionId::new(5), u64::MAX).await.unwrap();
    // Four of the five blobs are paid for before the last may pass: 12,000 bytes at 20,000 bytes per second.
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}

#[tokio::test]
async fn release_keeps_what_a_holder_lacks() {
    let scene = Scene::set(|config| config).await;
    scene.begin().await;
    let (text, loser) = scene.moved();
    scene.commit().await;
    // Nothing was pulled: the third node has nothing to confirm.
    let report = scene.release(loser, partition(&text)).await.unwrap();
    assert_eq!((report.blobs_released, report.blobs_kept > 0), (0, true));
    assert!(scene.nodes[loser].client.head(&key(&text)).await.unwrap().is_some());
}

#[tokio::test]
async fn release_keeps_what_a_holder_has_with_another_content() {
    let scene = Scene::set(|config| config).await;
    scene.begin().await;
    let (text, loser) = scene.moved();
    scene.nodes[2].put(&text, "not this").await;
    scene.commit().await;
    assert_eq!(scene.release(loser, partition(&text)).await.unwrap().blobs_released, 0);
    assert!(scene.nodes[loser].client.head(&key(&text)).await.unwrap().is_some());
}

#[tokio::test]
async fn release_drops_what_a_holder_has_deleted() {
    let scene = Scene::set(|config| config).await;
    scene.begin().await;
    scene.pull_all().await;
    let (text, loser) = scene.moved();
    scene.commit().await;
    // After the commit nobody asks the former holder to delete anything.
    scene.nodes[2].client.delete(&key(&text), scene.second.epoch).await.unwrap();
    assert_eq!(scene.release(loser, partition(&text)).await.unwrap().blobs_kept, 0);
    assert_eq!(scene.nodes[loser].client.head(&key(&text)).await.unwrap(), None);
}

#[tokio::test]
async fn release_is_refused_to_holders_and_during_a_migration() {
    let scene = Scene::set(|config| config).await;
    scene.begin().await;
    let (text, loser) = scene.moved();
    scene.pull_all().await;
    let early = scene.release(loser, partition(&text)).await.unwrap_err();
    assert_eq!(early.problem_type(), Some(ProblemType::StaleEpoch));
    scene.commit().await;
    let holder = scene.release(2, partition(&text)).await.unwrap_err();
    assert_eq!(holder.problem_type(), Some(ProblemType::Conflict));
    let old = ReleaseRequest { epoch: scene.first.epoch };
    let stale = scene.nodes[loser].client.release(partition(&text), &old).await.unwrap_err();
    assert_eq!(stale.problem_type(), Some(ProblemType::StaleEpoch));
    assert!(scene.release(loser, partition(&text)).await.unwrap().blobs_released > 0);
}
