//! A web service whose data directory outlives it, and `tritonctl`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use triton_api::{
    NodeUrl,
    client::{Caller, WebClient},
};
use triton_testkit::{Process, Program, free_port};

const START_DEADLINE: Duration = Duration::from_secs(60);
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// A running web service.
pub(crate) struct House {
    pub(crate) process: Process,
    pub(crate) origin: String,
    pub(crate) dir: PathBuf,
}

impl House {
    /// Starts a service with an embedded node.
    pub(crate) async fn embedded(dir: &Path, slots: u32) -> Self {
        let node = format!("127.0.0.1:{}", free_port());
        Self::start(dir, slots, &["--node-listen", &node]).await
    }

    /// One of the services of a cluster: the nodes and the etcd are shared with others.
    pub(crate) async fn of_cluster(etcd: &str, nodes: &[NodeUrl], dir: &Path, slots: u32) -> Self {
        let urls: Vec<&str> = nodes.iter().map(NodeUrl::as_str).collect();
        Self::start(dir, slots, &["--storage", &urls.join(","), "--metadata", etcd]).await
    }

    async fn start(dir: &Path, slots: u32, storage: &[&str]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let mut process = Program::ours("web-svc", dir.join("log"))
            .args(["--listen", &listen, "--transcode-slots", &slots.to_string(), "--x264-preset", "ultrafast"])
            .args(storage)
            .arg("--data-dir")
            .arg(dir)
            .start();
        let origin = format!("http://{listen}");
        process.wait_ready(&format!("{origin}/readyz"), START_DEADLINE).await;
        Self { process, origin, dir: dir.to_owned() }
    }

    pub(crate) fn client(&self) -> WebClient {
        WebClient::new(Caller::untraced(None).unwrap(), &self.origin)
    }

    /// Stops it as a person does.
    pub(crate) fn stop(mut self) {
        self.process.terminate(STOP_DEADLINE);
    }

    pub(crate) async fn restart(&mut self) {
        self.process.restart();
        self.process.wait_ready(&format!("{}/readyz", self.origin), START_DEADLINE).await;
    }

    /// Runs `tritonctl` and returns whether it succeeded, and what it printed.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> (bool, String) {
        let path = std::env::current_exe().unwrap();
        let path = path.ancestors().skip(1).take(2).map(|dir| dir.join("tritonctl")).find(|path| path.is_file());
        let path = path.expect("tritonctl is not built: run `cargo build -p admin-cli` first");
        let output = Command::new(path).args(arguments).args(["--server", &self.origin]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    pub(crate) fn ctl_ok(&self, arguments: &[&str]) -> String {
        let (ok, text) = self.ctl(arguments);
        assert!(ok, "{arguments:?}: {text}");
        text
    }

    /// The titles of all videos, unlisted ones included, sorted.
    pub(crate) async fn titles(&self) -> Vec<String> {
        let query = triton_api::video::VideoQuery { all: true, ..Default::default() };
        let mut titles: Vec<_> =
            self.client().videos(&query).await.unwrap().items.into_iter().map(|video| video.title).collect();
        titles.sort();
        titles
    }

    pub(crate) async fn upload(&self, file: &Path) -> triton_api::video::Video {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let part = reqwest::multipart::Part::bytes(std::fs::read(file).unwrap()).file_name(name);
        self.client().upload(None, part).await.unwrap()
    }
}
