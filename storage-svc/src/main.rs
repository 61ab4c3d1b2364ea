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

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    telemetry::init(&cli.log)?;
    metrics::init();
    let config = cli.node.config()?;
    let stop = CancellationToken::new();
    // Polled before the node listens: whoever sees it answer may stop it in good order.
    let mut signal = std::pin::pin!(shutdown::signal());
    let running = tokio::select! {
        biased;
        // Nothing is lost with a node that has not answered anybody yet.
        signal = &mut signal => return signal.map(drop).context("cannot wait for signals"),
        running = storage_svc::serve(config, stop.clone()) => running?,
    };
    writeln!(std::io::stdout(), "storage-svc listens on http://{}", running.address())?;
    let signal = signal.await.context("cannot wait for signals")?;
    tracing::info!(signal, node.id = %running.id(), "stopping");
    stop.cancel();
    let drained = running.stopped().await;
    tracing::info!(%drained, "stopped");
    Ok(())
}
