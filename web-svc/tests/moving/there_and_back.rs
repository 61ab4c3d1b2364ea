use std::path::Path;

use bytes::Bytes;
use triton_api::{
    PartitionId, VideoId,
    caption::CaptionQuery,
    client::{Caller, NodeClient},
    video::{VideoQuery, VideoState},
};
use triton_testkit::{Etcd, StorageNode, eventually, media};

use crate::{
    READY_DEADLINE, SETTLE_DEADLINE,
    house::House,
    viewer::{Segments, Viewer},
};

/// What somebody who watched before expects to find afterwards.
struct Memory {
    videos: Vec<(VideoId, std::path::PathBuf)>,
    paths: Vec<String>,
    segments: Segments,
}

impl Memory {
    async fn of(house: &House, videos: &[(VideoId, std::path::PathBuf)]) -> Self {
        let viewer = Viewer::new(&house.origin);
        let mut paths = Vec::new();
        for (id, _) in videos {
            paths.extend(viewer.paths(*id).await);
        }
        let segments = viewer.watch(&paths).await.unwrap();
        assert!(paths.len() > 6, "{paths:?}");
        Self { videos: videos.to_vec(), paths, segments }
    }

    async fn check(&self, house: &House) {
        let viewer = Viewer::new(&house.origin);
        assert_eq!(viewer.watch(&self.paths).await.unwrap(), self.segments);
        for (id, file) in &self.videos {
            assert!(!viewer.paths(*id).await.is_empty());
            let url = format!("{}/api/v1/videos/{id}/download", house.origin);
            let original = reqwest::get(url).await.unwrap().bytes().await.unwrap();
            assert!(original == std::fs::read(file).unwrap(), "the download of {id} is not the original");
            let captions = house.client().captions(*id).await.unwrap().items;
            assert_eq!(captions.len(), 1, "{captions:?}");
            let captions = reqwest::get(format!("{}{}", house.origin, captions[0].url)).await.unwrap();
            assert!(captions.text().await.unwrap().ends_with("Hello\n"));
            let manifest = reqwest::get(format!("{}/media/{id}/manifest.mpd", house.origin)).await.unwrap();
            assert_eq!(manifest.status(), 200);
        }
    }
}

async fn wait_for(house: &House, id: VideoId) {
    let client = house.client();
    eventually(READY_DEADLINE, || async { client.video(id).await.unwrap().state == VideoState::Ready }).await;
}

async fn found(house: &House, words: &str) -> usize {
    let query = VideoQuery { q: Some(words.to_owned()), ..VideoQuery::default() };
    house.client().videos(&query).await.unwrap().items.len()
}

async fn unlist(house: &House, id: VideoId) {
    let url = format!("{}/api/v1/videos/{id}", house.origin);
    let patch = reqwest::Client::new().patch(url).json(&serde_json::json!({"visibility": "unlisted"}));
    assert_eq!(patch.send().await.unwrap().status(), 200);
}

/// The partitions of which a node has blobs, with their numbers of blobs and bytes.
async fn content(node: &NodeClient) -> Vec<(PartitionId, u64, u64)> {
    let digests = node.partitions().await.unwrap().into_iter().filter(|digest| digest.blobs > 0);
    digests.map(|digest| (digest.partition, digest.blobs, digest.bytes)).collect()
}

async fn is_empty(node: &StorageNode) -> bool {
    node.client().info().await.unwrap().blobs == 0
}

/// A laptop with two videos that play and one whose jobs nobody has begun; its metadata in `file`.
async fn laptop(dir: &Path, file: &str) -> (Memory, VideoId) {
    let clips =
        ["Red holiday.mp4", "Blue holiday.mp4", "Green holiday.mp4"].map(|name| media::clip(dir, name, 5, "320x180"));
    let laptop = House::embedded(&dir.join("laptop"), 1).await;
    let mut videos = Vec::new();
    for clip in &clips[..2] {
        videos.push((laptop.upload(clip).await.id, clip.clone()));
    }
    let text = Bytes::from_static(b"1\n00:00:00,000 --> 00:00:01,000\nHello\n");
    for (id, _) in &videos {
        wait_for(&laptop, *id).await;
        let (language, query) = ("en".parse().unwrap(), CaptionQuery::default());
        laptop.client().put_captions(*id, &language, &query, text.clone()).await.unwrap();
    }
    unlist(&laptop, videos[1].0).await;
    let memory = Memory::of(&laptop, &videos).await;
    laptop.stop();
    let laptop = House::embedded(&dir.join("laptop"), 0).await;
    let unfinished = laptop.upload(&clips[2]).await.id;
    let exported = laptop.ctl_ok(&["metadata", "export", file]);
    assert!(exported.contains("Exported"), "{exported}");
    laptop.stop();
    (memory, unfinished)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_moves_to_a_cluster_on_etcd_and_back_without_an_upload() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, file) = (temporary.path(), temporary.path().join("house.jsonl").display().to_string());
    let (memory, unfinished) = laptop(dir, &file).await;

    let old = StorageNode::start(Some(&dir.join("laptop/node"))).await;
    let blobs = old.client().info().await.unwrap().blobs;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(StorageNode::start(None).await);
    }
    let etcd = Etcd::start(1).await;
    let urls: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let (metadata, dirs) = (etcd.url(), ["cluster 1", "cluster 2"].map(|name| dir.join(name)));
    let (cluster, other) = tokio::join!(
        House::of_cluster(&metadata, &urls, &dirs[0], 1),
        House::of_cluster(&metadata, &urls, &dirs[1], 0)
    );
    let (ok, refusal) = cluster.ctl(&["metadata", "import", &file]);
    assert!(!ok && refusal.contains("does not answer") && refusal.contains("--node URL"), "{refusal}");
    assert_eq!((cluster.titles().await.len(), cluster.client().nodes().await.unwrap().items.len()), (0, 3));

    // One of the web services leads, and the file may be given to the other one.
    let imported = other.ctl_ok(&["metadata", "import", &file, "--node", old.url.as_str()]);
    assert!(imported.contains("came along: 1."), "{imported}");
    for house in [&cluster, &other] {
        eventually(SETTLE_DEADLINE, || async { house.titles().await.len() == 3 }).await;
        memory.check(house).await;
        assert_eq!(house.titles().await, ["Blue holiday", "Green holiday", "Red holiday"]);
        assert_eq!((found(house, "red").await, found(house, "blue").await), (1, 0), "one is unlisted");
    }
    wait_for(&cluster, unfinished).await;

    eventually(SETTLE_DEADLINE, || is_empty(&old)).await;
    memory.check(&cluster).await;
    eventually(SETTLE_DEADLINE, || async {
        let first = content(&nodes[0].client()).await;
        first == content(&nodes[1].client()).await && first == content(&nodes[2].client()).await
    })
    .await;
    for node in &nodes {
        assert!(node.client().info().await.unwrap().blobs >= blobs, "a replica is missing");
    }
    cluster.client().remove_node(old.id, false).await.unwrap();
    assert_eq!(cluster.client().nodes().await.unwrap().items.len(), 3);
    drop(old);
    memory.check(&cluster).await;
    memory.check(&other).await;
    other.stop();
    back(dir, cluster, &nodes, &memory).await;
}

/// From the nodes of a cluster to the embedded node of a fresh laptop.
async fn back(dir: &Path, cluster: House, nodes: &[StorageNode], memory: &Memory) {
    let file = dir.join("back.jsonl").display().to_string();
    cluster.ctl_ok(&["metadata", "export", &file]);
    cluster.stop();
    let expected = content(&nodes[0].client()).await;
    let laptop = House::embedded(&dir.join("fresh laptop"), 0).await;
    let imported = laptop.ctl_ok(&["metadata", "import", &file]);
    assert!(imported.contains("came along: 3."), "{imported}");
    memory.check(&laptop).await;
    assert_eq!(found(&laptop, "holiday").await, 2);
    for node in nodes {
        eventually(SETTLE_DEADLINE, || is_empty(node)).await;
        laptop.client().remove_node(node.id, false).await.unwrap();
    }
    let left = laptop.client().nodes().await.unwrap().items;
    assert_eq!(left.len(), 1);
    let embedded = NodeClient::new(Caller::untraced(None).unwrap(), left[0].url.clone());
    assert_eq!(content(&embedded).await, expected);
    memory.check(&laptop).await;
}
