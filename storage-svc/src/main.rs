//! The binary of a storage node: parse, start, announce, wait for a stop, drain.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use triton_kit::{metrics, shutdown, telemetry};

/// A storage node of TritonTube: immutable blobs over HTTP
#[derive(Debug, Parser)]
#[command(name = "storage-svc", version)]
struct Cli {
    #[command(flatten)]
    node: storage_svc::Args,
    #[command(flatten)]
    log: telemetry::LogArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    telemetry::init(&cli.log)?;
    metrics::init();
    let config = cli.node.config()?;
    let stop = CancellationToken::new();
    let running = storage_svc::serve(config, stop.clone()).await?;
    writeln!(std::io::stdout(), "storage-svc listens on http://{}", running.address())?;
    let signal = shutdown::signal().await.context("cannot wait for signals")?;
    tracing::info!(signal, node.id = %running.id(), "stopping");
    stop.cancel();
    let drained = running.stopped().await;
    tracing::info!(%drained, "stopped");
    Ok(())
}
