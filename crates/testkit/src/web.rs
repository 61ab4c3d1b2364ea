//! The web service as a child process.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use triton_api::{
    NodeUrl, VideoId,
    client::{Caller, NodeClient, WebClient},
    video::{Video, VideoQuery, VideoState},
};

use crate::{Process, Program, free_port};

/// How long the service may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// How often a video is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// A running `web-svc` with its data directory, which goes with it.
#[derive(Debug)]
pub struct WebService {
    /// The process, to be killed, suspended and restarted.
    pub process: Process,
    /// `http://host:port`; the same after a restart.
    pub origin: String,
    /// Where the embedded node answers, if there is one.
    pub node_url: NodeUrl,
    temporary: TempDir,
}

impl WebService {
    /// Starts an all-in-one service on free ports, with further arguments.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_with(args, |program| program).await
    }

    /// The same under another program, or with variables in its environment.
    pub async fn start_with(args: &[&str], adapt: impl FnOnce(Program) -> Program) -> Self {
        let node = format!("127.0.0.1:{}", free_port());
        let mut service = Self::launch(args, &["--node-listen", &node], adapt).await;
        service.node_url = format!("http://{node}").parse().unwrap();
        service
    }

    /// The same without an embedded node, with the program adapted.
    pub async fn start_under(args: &[&str], adapt: impl FnOnce(Program) -> Program) -> Self {
        Self::launch(args, &[], adapt).await
    }

    async fn launch(args: &[&str], more: &[&str], adapt: impl FnOnce(Program) -> Program) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let program = Program::ours("web-svc", temporary.path().join("log"))
            .args(args.iter().map(OsString::from))
            .args(["--listen", &listen, "--data-dir"])
            .arg(temporary.path().join("data"))
            .args(more.iter().map(OsString::from));
        let origin = format!("http://{listen}");
        let mut process = adapt(program).start();
        process.wait_ready(&format!("{origin}/readyz"), START_DEADLINE).await;
        // Without an embedded node nobody answers there.
        let node_url = "http://127.0.0.1:9".parse().unwrap();
        Self { process, origin, node_url, temporary }
    }

    /// Starts a service whose blobs lie on the given nodes.
    pub async fn start_on(nodes: &[NodeUrl], args: &[&str]) -> Self {
        let urls: Vec<&str> = nodes.iter().map(NodeUrl::as_str).collect();
        let storage = urls.join(",");
        let mut all = vec!["--storage", storage.as_str()];
        all.extend(args);
        Self::start(&all).await
    }

    /// Starts a worker: a process that only transcodes, for an installation on etcd. Its origin answers nothing but health
    /// and metrics.
    pub async fn worker(etcd: &str, args: &[&str]) -> Self {
        Self::worker_with(etcd, args, |program| program).await
    }

    /// The same under another program, or with variables in its environment.
    pub async fn worker_with(etcd: &str, args: &[&str], adapt: impl FnOnce(Program) -> Program) -> Self {
        let mut all = vec!["worker", "--metadata", etcd];
        all.extend(args);
        Self::launch(&all, &[], adapt).await
    }

    /// Kills it if it still runs, starts it again with the same arguments, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.process.restart();
        self.process.wait_ready(&format!("{}/readyz", self.origin), START_DEADLINE).await;
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.temporary.path().join("data")
    }

    /// A client of it, with connections of its own.
    pub fn client(&self) -> WebClient {
        WebClient::new(Caller::untraced(None).unwrap(), &self.origin)
    }

    /// A client of the embedded node.
    pub fn node(&self) -> NodeClient {
        NodeClient::new(Caller::untraced(None).unwrap(), self.node_url.clone())
    }

    /// Uploads a file under its own name.
    pub async fn upload(&self, file: &Path) -> Video {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let part = reqwest::multipart::Part::bytes(std::fs::read(file).unwrap()).file_name(name);
        self.client().upload(None, part).await.unwrap()
    }

    /// Waits until a video is ready.
    ///
    /// # Panics
    /// When it fails, or is not ready within `deadline`.
    pub async fn ready(&self, id: VideoId, deadline: Duration) -> Video {
        let (client, began) = (self.client(), Instant::now());
        loop {
            let video = client.video(id).await.unwrap();
            match video.state {
                VideoState::Ready => return video,
                VideoState::Failed => panic!("the video failed: {:?}", video.reason),
                _ => assert!(began.elapsed() < deadline, "not ready within {deadline:?}: {video:?}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// All videos, unlisted ones included.
    pub async fn videos(&self) -> Vec<Video> {
        self.client().videos(&VideoQuery { all: true, ..VideoQuery::default() }).await.unwrap().items
    }

    /// The text at a path, which must answer 200.
    pub async fn text(&self, path: &str) -> String {
        let answer = reqwest::get(format!("{}{path}", self.origin)).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }
}
