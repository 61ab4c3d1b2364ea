//! The binary of the web service: parse, start, announce, wait for a stop, drain.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser as _;
use triton_kit::{metrics, shutdown, telemetry};
use web_svc::{config::Config, service};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log)?;
    metrics::init();
    let running = service::start(&config).await?;
    writeln!(std::io::stdout(), "web-svc listens on http://{}", running.address())?;
    let signal = shutdown::signal().await.context("cannot wait for signals")?;
    tracing::info!(signal, "stopping");
    let drained = running.stop().await;
    tracing::info!(%drained, "stopped");
    Ok(())
}
