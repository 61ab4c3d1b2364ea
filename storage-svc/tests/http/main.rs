//! A node over HTTP, in this process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blobs;
mod cache;
mod moves;
mod node;
mod refusals;

use std::{net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use storage_svc::{Config, Running, serve};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use triton_api::{
    BlobHash, BlobKey, Epoch, NodeUrl, PartitionId,
    client::{Caller, NodeClient},
    layout::LayoutNode,
};

/// A node with a directory of its own.
struct Node {
    running: Running,
    url: NodeUrl,
    client: NodeClient,
    http: reqwest::Client,
    dir: TempDir,
}

impl Node {
    async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    async fn start_with(adapt: impl FnOnce(Config) -> Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path(), SocketAddr::from(([127, 0, 0, 1], 0)));
        config.reserve_bytes = Some(0);
        let running = serve(adapt(config), CancellationToken::new()).await.unwrap();
        let url: NodeUrl = format!("http://{}", running.address()).parse().unwrap();
        let client = NodeClient::new(Caller::untraced(None).unwrap(), url.clone());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { running, url, client, http, dir }
    }

    /// Stores a blob without an epoch and without a declared hash, as a person with curl does.
    async fn put(&self, key: &str, content: impl Into<reqwest::Body>) -> reqwest::Response {
        self.http.put(self.blob_url(key)).body(content).send().await.unwrap()
    }

    fn get(&self, key: &str) -> reqwest::RequestBuilder {
        self.http.get(self.blob_url(key))
    }

    fn blob_url(&self, key: &str) -> String {
        self.url.join(&format!("/v1/blobs/{key}"))
    }

    fn blob_file(&self, key: &str) -> PathBuf {
        let folder = format!("blobs/{:04}", partition(key).get());
        self.dir.path().join(folder).join(key.replace('/', ","))
    }

    /// Turns one bit of a blob's file.
    fn damage(&self, key: &str, at: usize) {
        let path = self.blob_file(key);
        let mut content = std::fs::read(&path).unwrap();
        content[at] ^= 4;
        std::fs::write(&path, content).unwrap();
    }

    fn member(&self) -> LayoutNode {
        let (id, url, zone) = (self.running.id(), self.url.clone(), self.url.to_string());
        LayoutNode::active(id, url, zone, 100)
    }

    fn temporary_files(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("tmp")).unwrap().count()
    }
}

fn key(text: &str) -> BlobKey {
    text.parse().unwrap()
}

fn partition(text: &str) -> PartitionId {
    triton_placement::partition_of(&key(text))
}

async fn put(node: &Node, text: &str, content: &Bytes, epoch: Epoch) {
    node.client.put(&key(text), BlobHash::of(content), content.clone(), epoch).await.unwrap();
}

/// The name of the problem that a response is.
async fn problem(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: triton_api::Problem = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(problem.status, status);
    (status, problem.kind.rsplit(':').next().unwrap().to_owned())
}
