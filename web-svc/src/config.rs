//! The configuration: flags and environment variables, checked before anything is opened.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU64,
    path::PathBuf,
    str::FromStr,
};

use clap::{Parser, Subcommand, builder::BoolishValueParser};
use thiserror::Error;
use triton_api::{NodeUrl, secret::ClusterSecret};
use triton_kit::{secret::SecretArgs, telemetry::LogArgs};

use crate::{
    hot,
    journal::{EtcdAddress, EtcdAddressError},
    sandbox::SandboxMode,
};

/// The port of the REST API and the page.
const PORT: u16 = 8080;

/// TritonTube's web service: upload, transcode and play videos; without any flag all in one process.
#[derive(Debug, Clone, Parser)]
#[command(name = "web-svc", version, max_term_width = 120)]
pub struct Config {
    /// What this process does; everything if absent
    #[command(subcommand)]
    pub role: Option<Role>,
    /// Address of the REST API and the page [default: 127.0.0.1:8080; of a worker: any free port of 127.0.0.1]
    #[arg(long, global = true, env = "TRITON_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where everything is kept that is kept here
    #[arg(long, global = true, env = "TRITON_DATA_DIR", default_value = "data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where metadata is kept: sqlite:PATH for one process, etcd://HOST:PORT,... for several; by default sqlite: and
    /// `catalog.db` in the data directory
    #[arg(long, global = true, env = "TRITON_METADATA", value_name = "sqlite:PATH|etcd://HOST:PORT,...")]
    pub metadata: Option<Metadata>,
    /// Where blobs are kept: `embedded` for a storage node in this process, or the URLs of the first storage nodes
    #[arg(long, env = "TRITON_STORAGE", default_value = "embedded", value_name = "embedded|URL,URL,...")]
    pub storage: Storage,
    /// Replicas of every blob, on distinct nodes; as many as there are nodes while there are fewer
    #[arg(long, env = "TRITON_REPLICAS", default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=7))]
    pub replicas: u8,
    /// Address of the embedded storage node
    #[arg(long, env = "TRITON_NODE_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDR")]
    pub node_listen: SocketAddr,
    /// The most memory of the embedded storage node for contents that are asked for often, in bytes; 0 for none
    #[arg(long, env = "TRITON_NODE_CACHE_BYTES", default_value_t = 64 * 1024 * 1024, value_name = "BYTES")]
    pub node_cache_bytes: u64,
    /// Bytes of the disk that the embedded storage node keeps free [default: 1% of the disk, at most 1 GiB]
    #[arg(long, env = "TRITON_RESERVE_BYTES", value_name = "BYTES")]
    pub reserve_bytes: Option<u64>,
    /// The fastest that the embedded storage node pulls from other nodes, in bytes per second [default: no limit]
    #[arg(long, env = "TRITON_PULL_BYTES_PER_SECOND", value_name = "BYTES")]
    pub pull_bytes_per_second: Option<NonZeroU64>,
    /// The fastest that the embedded storage node verifies what it holds, in bytes per second, 0 for never [default: a pass
    /// in 25 days]
    #[arg(long, env = "TRITON_SCRUB_BYTES_PER_SECOND", value_name = "BYTES")]
    pub scrub_bytes_per_second: Option<u64>,
    /// Transcode jobs at once, 0 for none [default: one for every four cores and one more; 2 for two cores]
    #[arg(long, global = true, env = "TRITON_TRANSCODE_SLOTS", value_name = "N")]
    pub transcode_slots: Option<usize>,
    /// x264's preset: slower ones make smaller files
    #[arg(long, global = true, env = "TRITON_X264_PRESET", default_value = "veryfast", value_name = "NAME", value_parser = [
        "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"])]
    pub x264_preset: String,
    /// New videos get renditions in AV1 as well, made by SVT-AV1 after those in H.264 of all videos: smaller files for players
    /// that can play them, and more work. It refuses to start where ffmpeg has no libsvtav1
    #[arg(long, global = true, env = "TRITON_AV1", value_parser = BoolishValueParser::new())]
    pub av1: bool,
    /// The confinement of ffmpeg, which reads what strangers upload: as far as this machine can and a warning about what is
    /// missing, or all of it and no start without, or resource limits only
    #[arg(long, global = true, env = "TRITON_SANDBOX", default_value = "auto", value_name = "MODE")]
    pub sandbox: SandboxMode,
    /// The longest upload, in bytes
    #[arg(long, env = "TRITON_UPLOAD_BYTES_MAX", default_value_t = 64 * 1024 * 1024 * 1024, value_name = "BYTES",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub upload_bytes_max: u64,
    /// An unfinished resumable upload is removed this long after its last byte, in hours
    #[arg(long, env = "TRITON_UPLOAD_EXPIRY_HOURS", default_value_t = 24, value_name = "HOURS",
          value_parser = clap::value_parser!(u32).range(1..=24 * 365))]
    pub upload_expiry_hours: u32,
    /// Memory for segments that several viewers want, in bytes; a sixteenth of the memory of the machine or container if
    /// absent, at least 64 MiB; 0 for none
    #[arg(long, env = "TRITON_CACHE_BYTES", value_name = "BYTES")]
    pub cache_bytes: Option<u64>,
    /// The zone of this process: of equally good replicas those in the same zone are read; without one all zones are alike
    #[arg(long, global = true, env = "TRITON_ZONE", value_name = "NAME")]
    pub zone: Option<String>,
    /// Pulls of a rebalance at once run at most this fast, in bytes per second; 0 for no limit
    #[arg(long, env = "TRITON_REBALANCE_BYTES_PER_SECOND", default_value_t = 0, value_name = "BYTES")]
    pub rebalance_bytes_per_second: u64,
    /// Former holders keep their copies this long after a rebalance, in seconds
    #[arg(long, env = "TRITON_RECLAIM_GRACE_SECONDS", default_value_t = 5, value_name = "SECONDS")]
    pub reclaim_grace_seconds: u64,
    /// A storage node that is down for so long is replaced by the others, in seconds; 0 for never
    #[arg(long, env = "TRITON_REPLACE_AFTER_SECONDS", default_value_t = 900, value_name = "SECONDS")]
    pub replace_after_seconds: u64,
    /// The nodes of each partition are compared this often, and repaired where they differ, in seconds
    #[arg(long, env = "TRITON_REPAIR_INTERVAL_SECONDS", default_value_t = 10, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=24 * 3600))]
    pub repair_interval_seconds: u64,
    /// Blobs that no metadata refers to are looked for so often, in seconds
    #[arg(long, env = "TRITON_ORPHAN_INTERVAL_SECONDS", default_value_t = 6 * 60 * 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub orphan_interval_seconds: u64,
    /// Such a blob is moved aside when it is so old and was seen twice, in seconds
    #[arg(long, env = "TRITON_ORPHAN_AGE_SECONDS", default_value_t = 24 * 60 * 60, value_name = "SECONDS")]
    pub orphan_age_seconds: u64,
    /// The secret of the cluster
    #[command(flatten)]
    pub secret: SecretArgs,
    /// Logging
    #[command(flatten)]
    pub log: LogArgs,
}

/// What a process of this program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Role {
    /// Transcodes only: leases jobs that other processes queue, on the metadata of --metadata etcd://...
    Worker,
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The kind of metadata store is not known.
    #[error("`{0}` is no metadata store: use sqlite:PATH or etcd://HOST:PORT,HOST:PORT,...")]
    Metadata(String),
    /// The address of etcd is wrong.
    #[error(transparent)]
    Etcd(#[from] EtcdAddressError),
    /// Neither `embedded` nor a list of URLs.
    #[error(
        "`{0}` is neither `embedded` nor a list of storage nodes such as http://127.0.0.1:8091,http://127.0.0.1:8092"
    )]
    Storage(String),
}

/// Where metadata is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata {
    /// A SQLite database, for one process.
    Sqlite(PathBuf),
    /// etcd, for several.
    Etcd(EtcdAddress),
}

impl FromStr for Metadata {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            None if text.starts_with("etcd://") => Ok(Self::Etcd(text.parse()?)),
            _ => Err(ConfigError::Metadata(text.to_owned())),
        }
    }
}

/// Where blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In a storage node inside of this process.
    Embedded,
    /// On these nodes, which make the first layout.
    Nodes(Vec<NodeUrl>),
}

impl FromStr for Storage {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        let urls: Result<Vec<NodeUrl>, _> = text.split(',').map(|url| url.trim().parse()).collect();
        urls.map(Self::Nodes).map_err(|_| ConfigError::Storage(text.to_owned()))
    }
}

impl Config {
    /// Where to listen.
    pub fn listen(&self) -> SocketAddr {
        let port = if self.role == Some(Role::Worker) { 0 } else { PORT };
        self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Where metadata is kept.
    pub fn metadata(&self) -> Metadata {
        self.metadata.clone().unwrap_or_else(|| Metadata::Sqlite(self.data_dir.join("catalog.db")))
    }

    /// The local copy of metadata that is kept elsewhere; never the database of an installation on SQLite.
    pub fn replica(&self) -> PathBuf {
        self.data_dir.join("replica.db")
    }

    /// Memory for segments that several viewers want; a worker has no viewers.
    pub fn cache_bytes(&self) -> u64 {
        match self.role {
            Some(Role::Worker) => 0,
            None => self.cache_bytes.unwrap_or_else(hot::default_bytes),
        }
    }

    /// The settings of the embedded storage node.
    pub fn node(&self, secret: Option<ClusterSecret>) -> storage_svc::Config {
        storage_svc::Config {
            listen_flag: "--node-listen",
            secret,
            reserve_bytes: self.reserve_bytes,
            pull_bytes_per_second: self.pull_bytes_per_second,
            scrub_bytes_per_second: self.scrub_bytes_per_second,
            cache_bytes: Some(self.node_cache_bytes),
            ..storage_svc::Config::new(self.data_dir.join("node"), self.node_listen)
        }
    }

    /// Transcode jobs at once, and threads for each.
    pub fn slots_and_threads(&self) -> (usize, u32) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        share(cores, self.transcode_slots)
    }
}

/// How a machine's cores are shared out to jobs: one job for four cores and one more, which works while another waits for bytes
/// or for the ring, or has work for one thread only. Together they have half as many threads again as there are cores, as
/// x264 takes by itself: some always wait for a picture.
fn share(cores: usize, slots: Option<usize>) -> (usize, u32) {
    let by_itself = (cores / 4 + 1).max(cores.min(2));
    let slots = slots.unwrap_or(by_itself);
    let threads = (cores * 3 / 2).div_ceil(slots.max(1)).max(1);
    (slots, u32::try_from(threads).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_never_idle_because_one_job_waits() {
        let shares: Vec<_> = [1, 2, 4, 8, 16].map(|cores| share(cores, None)).into();
        assert_eq!(shares, [(1, 1), (2, 2), (2, 3), (3, 4), (5, 5)]);
        assert_eq!((share(2, Some(1)), share(2, Some(0)), share(2, Some(4))), ((1, 3), (0, 3), (4, 1)));
    }

    #[test]
    fn flags_parse_and_bad_values_name_the_fix() {
        let config = Config::try_parse_from(["web-svc", "--storage", "http://a:1, http://b:2/"]).unwrap();
        assert!(matches!(config.storage, Storage::Nodes(nodes) if nodes.len() == 2));
        let worker =
            Config::try_parse_from(["web-svc", "worker", "--metadata", "etcd://a:1,b:2", "--transcode-slots", "2"]);
        let worker = worker.unwrap();
        assert_eq!((worker.role, worker.listen().port(), worker.transcode_slots), (Some(Role::Worker), 0, Some(2)));
        assert!(matches!(worker.metadata(), Metadata::Etcd(_)) && !worker.av1);
        assert!(Config::try_parse_from(["web-svc", "worker", "--av1"]).unwrap().av1);
        for bad in [
            ["--metadata", "etcd://a"],
            ["--storage", "embeded"],
            ["--metadata", "mysql://x"],
            ["--replicas", "0"],
            ["--listen", "8080"],
        ] {
            let error = Config::try_parse_from(["web-svc"].into_iter().chain(bad)).unwrap_err().to_string();
            assert!(error.contains(bad[0]), "{error}");
        }
    }

    #[test]
    fn embedded_node_is_set_up_as_one_of_its_own_would_be() {
        let flags = ["--reserve-bytes", "5", "--pull-bytes-per-second", "6", "--scrub-bytes-per-second", "0"];
        let config = Config::try_parse_from(["web-svc"].into_iter().chain(flags)).unwrap();
        let node = config.node(None);
        let rates = (node.pull_bytes_per_second.map(NonZeroU64::get), node.scrub_bytes_per_second);
        assert_eq!((node.reserve_bytes, rates), (Some(5), (Some(6), Some(0))));
        assert_eq!((node.cache_bytes, node.listen), (Some(config.node_cache_bytes), config.node_listen));
        assert_eq!((node.dir, node.listen_flag), (config.data_dir.join("node"), "--node-listen"));
    }
}
