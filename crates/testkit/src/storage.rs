//! A storage node as a child process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use triton_api::{
    NodeId, NodeUrl,
    client::{Caller, NodeClient},
    layout::LayoutNode,
};

use crate::{Process, Program, free_port};

/// How long a node may take to start on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running `storage-svc` with its data directory, which goes with it unless it was given.
#[derive(Debug)]
pub struct StorageNode {
    /// The process, to be killed, suspended and restarted.
    pub process: Process,
    /// Where it answers; the same after a restart.
    pub url: NodeUrl,
    /// Its identity.
    pub id: NodeId,
    dir: PathBuf,
    _temporary: TempDir,
}

impl StorageNode {
    /// Starts a node on a free port, with a data directory of its own unless one is given.
    pub async fn start(dir: Option<&Path>) -> Self {
        Self::start_with(dir, |program| program).await
    }

    /// The same with further arguments or under another program.
    pub async fn start_with(dir: Option<&Path>, adapt: impl FnOnce(Program) -> Program) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = dir.map_or_else(|| temporary.path().join("data"), Path::to_path_buf);
        let listen = format!("127.0.0.1:{}", free_port());
        let url: NodeUrl = format!("http://{listen}").parse().unwrap();
        let program = Program::ours("storage-svc", temporary.path().join("log")).args(["--listen", &listen]).arg(&dir);
        let mut process = adapt(program).start();
        process.wait_ready(&url.join("/healthz"), START_DEADLINE).await;
        let id = client_of(&url).info().await.unwrap().id;
        Self { process, url, id, dir, _temporary: temporary }
    }

    /// Kills it if it still runs, starts it again on the same port and directory, and waits until it answers.
    pub async fn restart(&mut self) {
        self.process.restart();
        self.process.wait_ready(&self.url.join("/healthz"), START_DEADLINE).await;
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A client of it, with connections of its own.
    pub fn client(&self) -> NodeClient {
        client_of(&self.url)
    }

    /// The node as a layout would list it: active, with the usual weight.
    pub fn in_zone(&self, zone: &str) -> LayoutNode {
        let (id, url, zone) = (self.id, self.url.clone(), zone.to_owned());
        LayoutNode::active(id, url, zone, 100)
    }
}

fn client_of(url: &NodeUrl) -> NodeClient {
    NodeClient::new(Caller::untraced(None).unwrap(), url.clone())
}

/// Bytes that look random, the same for the same seed, and different for different seeds.
pub fn content(seed: u64, len: usize) -> Bytes {
    // xorshift64*, Vigna 2016: good enough to tell contents apart.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
