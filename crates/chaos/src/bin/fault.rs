//! The fault suite from the command line: one seed, or many of them and a report.

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Parser;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::timeout,
};
use triton_chaos::blobs::{Plan, ReadLimits, Scenario, Tally, report, run};

/// How long one seed may take with everything.
const SEED_DEADLINE: Duration = Duration::from_secs(300);

/// Blobs through the ring while nodes, links, clocks, disks and the coordinator fail.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// One seed
    #[arg(long, value_name = "N", required_unless_present = "seeds", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Many seeds, each in a process of its own
    #[arg(long, value_name = "FIRST..=LAST")]
    seeds: Option<Seeds>,
    /// Letters of c, p, d, r, f, or `all`; the seed decides if absent
    #[arg(long, value_name = "LETTERS")]
    scenario: Option<Scenario>,
    /// How long there is trouble, in seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Seeds at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// The 99th percentile that reads must keep, in milliseconds
    #[arg(long, default_value_t = 300, value_name = "MS")]
    read_p99_ms: u64,
    /// The longest that a read may take, in milliseconds
    #[arg(long, default_value_t = 1_000, value_name = "MS")]
    read_max_ms: u64,
    /// Where results, and the logs of runs that broke a promise, are kept
    #[arg(long, default_value = "target/fault", value_name = "DIR")]
    dir: PathBuf,
    /// Keep the logs of a run in any case
    #[arg(long)]
    keep_logs: bool,
    /// Where the report of many seeds goes
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

impl Cli {
    fn limits(&self) -> ReadLimits {
        ReadLimits { p99_max: Duration::from_millis(self.read_p99_ms), max: Duration::from_millis(self.read_max_ms) }
    }
}

/// A range of seeds.
#[derive(Debug, Clone, Copy)]
struct Seeds(u64, u64);

impl FromStr for Seeds {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..=").context("a range of seeds is written 1..=100")?;
        Ok(Self(first.parse()?, last.parse()?))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // All are cancel safe, the run because it is given up: what it has started ends with it.
    tokio::select! {
        done = play(&cli) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn play(cli: &Cli) -> anyhow::Result<()> {
    match (cli.seed, cli.seeds) {
        (Some(seed), _) => one(cli, seed).await,
        (None, Some(seeds)) => many(cli, seeds).await,
        (None, None) => bail!("name a seed or a range of seeds"),
    }
}

fn dir_of(cli: &Cli, seed: u64) -> PathBuf {
    cli.dir.join(format!("seed-{seed}"))
}

async fn one(cli: &Cli, seed: u64) -> anyhow::Result<()> {
    let dir = dir_of(cli, seed);
    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let mut plan =
        Plan { reads: cli.limits(), logs: Some(dir.clone()), keeps_logs: cli.keep_logs, ..Plan::of_seed(seed) };
    if let Some(scenario) = &cli.scenario {
        plan.scenario = scenario.clone();
    }
    if let Some(seconds) = cli.seconds {
        plan.duration = Duration::try_from_secs_f64(seconds).context("--seconds must be positive")?;
    }
    let tally = run(&plan).await?;
    fs::write(dir.join("tally.json"), serde_json::to_vec_pretty(&tally)?).context("the result cannot be kept")?;
    show(&line(&tally));
    tally.texts.iter().for_each(|text| show(text));
    anyhow::ensure!(
        tally.is_clean(),
        "promises were broken; logs are in {}; again: {}",
        dir.display(),
        tally.command()
    );
    Ok(())
}

async fn many(cli: &Cli, Seeds(first, last): Seeds) -> anyhow::Result<()> {
    let began = Timestamp::now();
    let mut waiting: VecDeque<u64> = (first..=last).collect();
    let (mut running, mut tallies, mut crashed) = (JoinSet::new(), Vec::new(), Vec::new());
    loop {
        while running.len() < cli.jobs.max(1) {
            let Some(seed) = waiting.pop_front() else { break };
            let (command, dir) = (command_of(cli, seed)?, dir_of(cli, seed));
            running.spawn(async move { (seed, child(command, &dir).await) });
        }
        let Some(ended) = running.join_next().await else { break };
        match ended.context("a seed's task broke down")? {
            (_, Ok(tally)) => {
                show(&line(&tally));
                tally.texts.iter().take(3).for_each(|text| show(text));
                tallies.push(tally);
            }
            (seed, Err(error)) => {
                show(&format!("seed {seed}: BROKE DOWN: {error:#}; see {}", dir_of(cli, seed).display()));
                crashed.push((seed, format!("{error:#}")));
            }
        }
    }
    tallies.sort_by_key(|tally| tally.seed);
    let text = report(&tallies, began, cli.limits(), &crashed);
    if let Some(file) = &cli.report {
        fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let broken: Vec<_> = tallies.iter().filter(|tally| !tally.is_clean()).collect();
    for tally in &broken {
        show(&format!("again: {}", tally.command()));
    }
    anyhow::ensure!(broken.is_empty() && crashed.is_empty(), "promises were broken: see the report");
    Ok(())
}

fn command_of(cli: &Cli, seed: u64) -> anyhow::Result<Command> {
    let dir = dir_of(cli, seed);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("{} stays", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let log = File::create(dir.join("fault.log")).context("no log")?;
    let mut command = Command::new(std::env::current_exe().context("this program is nowhere")?);
    command.args(["--seed", &seed.to_string(), "--read-p99-ms", &cli.read_p99_ms.to_string()]);
    command.args(["--read-max-ms", &cli.read_max_ms.to_string()]).arg("--dir").arg(&cli.dir);
    if let Some(scenario) = &cli.scenario {
        command.args(["--scenario", &scenario.to_string()]);
    }
    if let Some(seconds) = cli.seconds {
        command.args(["--seconds", &seconds.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// A seed's process. It is told to end when nobody waits for it any more, and not killed: it has processes and file systems of
/// its own to clear away.
struct Child(tokio::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            show(&format!("a seed's process cannot be told to end: {error}"));
        }
    }
}

async fn child(mut command: Command, dir: &Path) -> anyhow::Result<Tally> {
    let mut child = Child(command.spawn().context("cannot start")?);
    match timeout(SEED_DEADLINE, child.0.wait()).await {
        Ok(ended) => drop(ended?),
        Err(_) => bail!("has not ended after {SEED_DEADLINE:?}"),
    }
    let result = fs::read(dir.join("tally.json")).context("no result")?;
    serde_json::from_slice(&result).context("the result is not one")
}

fn line(tally: &Tally) -> String {
    let kept = if tally.is_clean() { "kept" } else { "BROKEN" };
    format!(
        "seed {} {}{}: {} writes, {} deletes, {} reads, longest {} ms, {} strikes, epoch {}, at rest after {:.1} s, {:.0} s: {kept}",
        tally.seed,
        tally.scenario,
        if tally.rough { " (rough)" } else { "" },
        tally.count("writes acknowledged"),
        tally.count("deletes acknowledged"),
        tally.count("reads"),
        tally.read_max_ms,
        tally.strikes.values().sum::<u64>(),
        tally.count("epoch at the end"),
        Duration::from_millis(tally.settled_after_ms).as_secs_f32(),
        Duration::from_millis(tally.took_ms).as_secs_f32(),
    )
}

#[expect(clippy::print_stdout, reason = "the results are what the program is for")]
fn show(text: &str) {
    println!("{text}");
}
