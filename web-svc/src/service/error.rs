//! Why the service does not start.

use thiserror::Error;
use triton_api::client::ClientError;
use triton_kit::{secret::SecretError, serve::BindError};

use crate::{cluster, journal::EtcdError, pipeline::PipelineError, sandbox::SandboxError, store::StoreError};

/// Why the service does not start. Each is a sentence for a person.
#[derive(Debug, Error)]
pub enum StartError {
    /// Others could reach it, and there is no secret; or the secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A directory cannot be made.
    #[error("--data-dir (TRITON_DATA_DIR): cannot make {path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the directory.
    #[error(
        "--data-dir (TRITON_DATA_DIR): {path} is in use by another web-svc. Stop that one, or name another directory"
    )]
    InUse {
        /// The directory.
        path: String,
    },
    /// The database cannot be used.
    #[error("--metadata (TRITON_METADATA): {0}")]
    Store(#[from] StoreError),
    /// The embedded node does not start.
    #[error("the embedded storage node: {0}")]
    Node(#[from] storage_svc::StartError),
    /// There is no HTTP client.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] ClientError),
    /// The first layout cannot be made.
    #[error("--storage (TRITON_STORAGE): {0}")]
    Cluster(#[from] cluster::StartError),
    /// ffmpeg is missing or too old.
    #[error("{0}. On Debian or Ubuntu: apt-get install ffmpeg")]
    Pipeline(#[from] PipelineError),
    /// ffmpeg cannot be confined.
    #[error("--sandbox (TRITON_SANDBOX): {0}")]
    Sandbox(#[from] SandboxError),
    /// etcd cannot be used.
    #[error("--metadata (TRITON_METADATA): {0}. Is etcd running there?")]
    Etcd(#[from] EtcdError),
    /// A worker has nobody to work for.
    #[error("a worker takes its jobs from etcd: name it with --metadata etcd://HOST:PORT,... (TRITON_METADATA)")]
    LonelyWorker,
    /// The loopback server for ffmpeg does not start.
    #[error("cannot listen on a loopback port for ffmpeg: {0}")]
    Sources(#[source] std::io::Error),
}
