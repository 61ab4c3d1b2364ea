//! What a node is told when it starts.

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf, time::Duration};

use triton_api::secret::ClusterSecret;
use triton_kit::secret::{SecretArgs, SecretError};

/// How long requests may go on after a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A node's settings, for programs that embed one.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory; made where there is none.
    pub dir: PathBuf,
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The flag that set `listen`, to be named in errors.
    pub listen_flag: &'static str,
    /// The cluster secret. Without one the node listens on loopback only.
    pub secret: Option<ClusterSecret>,
    /// Bytes of the disk to keep free; by default 1% of it, at most 1 GiB.
    pub reserve_bytes: Option<u64>,
    /// The fastest that this node pulls from others, in bytes per second; without a limit by default.
    pub pull_bytes_per_second: Option<NonZeroU64>,
    /// The fastest that the scrub reads, in bytes per second; 0 turns it off. By default as fast as a pass in 25 days needs.
    pub scrub_bytes_per_second: Option<u64>,
    /// How long requests may go on after a stop was asked for.
    pub drain_timeout: Duration,
}

impl Config {
    /// A node with default settings.
    pub fn new(dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            dir: dir.into(),
            listen,
            listen_flag: "--listen",
            secret: None,
            reserve_bytes: None,
            pull_bytes_per_second: None,
            scrub_bytes_per_second: None,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// The command line of a node.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The directory that holds the blobs; made where there is none
    #[arg(value_name = "DIR", env = "TRITON_DIR")]
    dir: PathBuf,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "TRITON_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Bytes of the disk to keep free [default: 1% of the disk, at most 1 GiB]
    #[arg(long, env = "TRITON_RESERVE_BYTES", value_name = "BYTES")]
    reserve_bytes: Option<u64>,
    /// The fastest that this node pulls blobs from others [default: no limit]
    #[arg(long, env = "TRITON_PULL_BYTES_PER_SECOND", value_name = "BYTES")]
    pull_bytes_per_second: Option<NonZeroU64>,
    /// The fastest that the scrub reads, 0 for no scrub [default: as fast as a pass in 25 days needs, 64 KiB to 64 MiB]
    #[arg(long, env = "TRITON_SCRUB_BYTES_PER_SECOND", value_name = "BYTES")]
    scrub_bytes_per_second: Option<u64>,
    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    /// The settings; reads the secret's file.
    pub fn config(&self) -> Result<Config, SecretError> {
        Ok(Config {
            secret: self.secret.load()?,
            reserve_bytes: self.reserve_bytes,
            pull_bytes_per_second: self.pull_bytes_per_second,
            scrub_bytes_per_second: self.scrub_bytes_per_second,
            ..Config::new(&self.dir, self.listen)
        })
    }
}
