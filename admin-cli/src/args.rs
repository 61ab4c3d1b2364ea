//! The command line as a whole.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use reqwest::Url;

use crate::{
    cluster::ClusterCommand, job::JobCommand, metadata::MetadataCommand, node::NodeCommand,
    rebalance::RebalanceCommand, video::VideoCommand,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed; standard error says why
  2  the command line is wrong
  3  there is no such video or node
  4  the server does not answer";

/// Runs a TritonTube installation: storage nodes, rebalancing, videos, jobs
#[derive(Debug, Parser)]
#[command(name = "tritonctl", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to talk to the server and to the caller.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The web service
    #[arg(long, global = true, env = "TRITON_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: Url,
    /// Print the API's own JSON, one document a line, and nothing else on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// A file with the cluster secret (`TRITON_CLUSTER_SECRET` holds the secret itself)
    #[arg(long, global = true, env = "TRITON_CLUSTER_SECRET_FILE", value_name = "FILE")]
    pub(crate) cluster_secret_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Storage nodes: list, add, set, drain, remove
    #[command(subcommand)]
    Node(NodeCommand),
    /// Moves of content between nodes: plan, apply, losses, status, pause, resume, abort
    #[command(subcommand)]
    Rebalance(RebalanceCommand),
    /// Videos: list, show, upload, retry, delete
    #[command(subcommand)]
    Video(VideoCommand),
    /// Transcode jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// The cluster at a glance
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// All metadata as a file: export, import into another installation
    #[command(subcommand)]
    Metadata(MetadataCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_manual_parses() {
        for line in [
            "node list",
            "node add http://127.0.0.1:8095 --zone a --weight 200",
            "node add http://127.0.0.1:8095 --stage",
            "node drain 5b7b --no-wait",
            "node remove http://127.0.0.1:8095 --force",
            "node add http://127.0.0.1:8095 --dry-run",
            "node set 5b7b --weight 200 --zone b --stage",
            "node set 5b7b --zone b --dry-run",
            "node drain 5b7b --dry-run",
            "node remove 5b7b --force --dry-run",
            "rebalance plan",
            "rebalance apply --dry-run",
            "rebalance apply --accept-loss --no-wait",
            "rebalance losses --limit 10 --cursor x:1",
            "rebalance apply --epoch 3 --no-wait",
            "rebalance status --watch",
            "rebalance pause",
            "rebalance resume",
            "rebalance abort",
            "video list -q cats --sort title --limit 5 --all",
            "video show AZqxJ2QkcYuS5T3mVb0aXw",
            "video upload a.mp4 b.mp4 --no-wait",
            "video upload a.mp4 --title x",
            "video retry AZqxJ2QkcYuS5T3mVb0aXw",
            "video delete AZqxJ2QkcYuS5T3mVb0aXw",
            "job list",
            "cluster status",
            "metadata export house.jsonl",
            "metadata export -",
            "metadata import house.jsonl",
            "metadata import - --node http://10.0.0.10:8090 --node http://10.0.0.11:8090",
            "metadata import house.jsonl --without-nodes",
            "completions zsh",
        ] {
            if let Err(error) = parse(&format!("tritonctl {line} --server http://h:1 --json")) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn contradictions_and_bad_values_are_usage_errors() {
        for line in [
            "node add http://h:1 --stage --no-wait",
            "node add https://h:1",
            "node add http://h:1 --stage --dry-run",
            "node set 5b7b",
            "node set 5b7b --weight 0",
            "rebalance apply --dry-run --no-wait",
            "rebalance losses --limit 0",
            "node add http://h:1 --weight 0",
            "node add http://h:1 --weight 1000001",
            "video upload",
            "video show x",
            "video list --limit 0",
            "video list --limit 101",
            "rebalance apply --epoch x",
            "metadata export",
            "metadata import x --node nonsense",
            "metadata import x --node http://h:1 --without-nodes",
            "cluster status --server nonsense",
        ] {
            assert_eq!(parse(&format!("tritonctl {line}")).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
