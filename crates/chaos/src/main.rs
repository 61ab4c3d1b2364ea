//! The long chaos test, against containers or processes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use triton_chaos::{Compose, Fleet, Plan, Processes, ProcessesOptions, run};

/// Viewers, uploaders and an admin at work while a nemesis kills and cuts.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    fleet: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Against the containers of compose.yaml, which run already.
    Compose {
        /// The compose project.
        #[arg(long, default_value = "tritontube", value_name = "NAME")]
        project: String,
        /// Replicas that the web services want.
        #[arg(long, default_value_t = 3, value_name = "N")]
        replicas: u8,
        #[command(flatten)]
        options: Options,
    },
    /// Against processes of this machine, which it starts itself.
    Processes {
        /// One web service with SQLite instead of several with etcd.
        #[arg(long)]
        sqlite: bool,
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// How long there are disturbances, in minutes.
    #[arg(long, default_value_t = 10.0, value_name = "MINUTES")]
    minutes: f64,
    /// Decides everything random; another one each time if absent.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The run of `make test`, about a minute, whatever --minutes says.
    #[arg(long)]
    short: bool,
    /// Where the report goes, beside the standard output.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // All are cancel safe, the run because it is given up: what it has started ends with it.
    tokio::select! {
        done = play_with(Cli::parse().fleet) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn play_with(fleet: Which) -> anyhow::Result<()> {
    match fleet {
        Which::Compose { project, replicas, options } => {
            let mut fleet = Compose::find(&project, replicas).await?;
            play(&mut fleet, &options, "the containers of compose.yaml").await
        }
        Which::Processes { sqlite, options } => {
            let processes = if sqlite { ProcessesOptions::sqlite() } else { ProcessesOptions::etcd() };
            let mut fleet = Processes::start(&processes).await?;
            play(&mut fleet, &options, "processes of this machine").await
        }
    }
}

async fn play<F: Fleet>(fleet: &mut F, options: &Options, title: &str) -> anyhow::Result<()> {
    let duration = Duration::try_from_secs_f64(options.minutes * 60.0).context("--minutes must be positive")?;
    let seed = options.seed.unwrap_or_else(rand::random);
    let plan = if options.short { Plan::short(seed) } else { Plan::long(seed, duration, title) };
    let outcome = run(fleet, &plan).await?;
    show(&outcome.report);
    if let Some(file) = &options.report {
        std::fs::write(file, &outcome.report).with_context(|| format!("cannot write {}", file.display()))?;
    }
    anyhow::ensure!(outcome.is_clean(), "promises were broken: see the report");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn show(report: &str) {
    println!("{report}");
}
