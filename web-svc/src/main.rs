//! The binary of the web service: parse, start, announce, wait for a stop, drain.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use triton_kit::{metrics, shutdown, telemetry};
use web_svc::{
    config::{Config, Role},
    sandbox, service,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before there is a second thread: a launcher confines the thread that becomes the program.
    sandbox::launched(std::env::args_os()).unwrap_or_else(serve)
}

#[tokio::main]
async fn serve() -> ExitCode {
    match run(&Config::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last words: where standard error is closed nobody reads them.
            writeln!(std::io::stderr(), "web-svc: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    metrics::init();
    let running = service::start(config).await?;
    let name = if config.role == Some(Role::Worker) { "web-svc worker" } else { "web-svc" };
    writeln!(std::io::stdout(), "{name} listens on http://{}", running.address())?;
    let signal = shutdown::signal().await.context("cannot wait for signals")?;
    tracing::info!(signal, "stopping");
    let drained = running.stop().await;
    tracing::info!(%drained, "stopped");
    Ok(())
}
