//! Sides that are compared, and how they are measured: in turn, round by round.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::runtime::Runtime;

use crate::{process, spread::Spread};

/// How long each side works before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// What all cases share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) rounds: u32,
    pub(crate) seconds: u64,
    /// For what is asynchronous: starting services, filling them, loads of our own.
    pub(crate) runtime: Runtime,
    scratch: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(rounds: u32, seconds: u64) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("cannot make a directory for the data")?;
        Ok(Self { rounds, seconds, runtime: Runtime::new()?, scratch })
    }

    /// A directory that goes with the bench, on the disk that everything is measured on.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }
}

/// What a load has done in one go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
}

/// Puts a side under load for so long.
pub(crate) type Load<'a> = Box<dyn FnMut(Duration) -> anyhow::Result<Sample> + 'a>;

/// One of several that do the same work.
pub(crate) struct Side<'a> {
    pub(crate) name: &'static str,
    /// The processes that serve, without their children; empty where this process itself does the work.
    pub(crate) pids: Vec<u32>,
    pub(crate) load: Load<'a>,
}

/// What was found of one side.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) requests_per_second: Spread,
    /// To the first side, round by round.
    pub(crate) ratio: Spread,
    /// Processor time of the serving processes; `None` where there are none.
    pub(crate) cpu_us_per_request: Option<Spread>,
    /// Processor time of the program that asks.
    pub(crate) client_us_per_request: Spread,
    pub(crate) resident_bytes: u64,
}

/// What was found of all sides.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

impl Comparison {
    /// The ratio of a side to the first one.
    ///
    /// # Panics
    /// Where no side has this name.
    pub(crate) fn ratio(&self, name: &str) -> Spread {
        self.rows.iter().find(|row| row.name == name).expect("the name of a side").ratio
    }
}

/// Measures all sides in turn; the first is what the others are compared with.
pub(crate) fn compare(bench: &Bench, title: &str, mut sides: Vec<Side<'_>>) -> anyhow::Result<Comparison> {
    for side in &mut sides {
        (side.load)(WARM_UP).with_context(|| format!("{} warming up", side.name))?;
    }
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); sides.len()];
    for round in 0..bench.rounds {
        for place in 0..sides.len() {
            // Another side begins each round, so that none always follows the same one.
            let at = (place + round as usize) % sides.len();
            measured[at].push(sides[at].measure(Duration::from_secs(bench.seconds))?);
        }
    }
    let rows = sides.iter().zip(&measured).map(|(side, own)| side.row(own, &measured[0]));
    Ok(Comparison { title: title.to_owned(), rows: rows.collect::<anyhow::Result<_>>()? })
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    requests_per_second: f64,
    cpu_us_per_request: f64,
    client_us_per_request: f64,
}

impl Side<'_> {
    fn measure(&mut self, duration: Duration) -> anyhow::Result<Measured> {
        let (before, client_before) = (self.cpu_time()?, process::ended_children_cpu_time(std::process::id())?);
        let sample = (self.load)(duration).with_context(|| self.name.to_owned())?;
        ensure!(sample.requests > 0 && sample.seconds > 0.0, "{} has answered nothing", self.name);
        let cpu = self.cpu_time()?.saturating_sub(before);
        let client = process::ended_children_cpu_time(std::process::id())?.saturating_sub(client_before);
        let requests = u32::try_from(sample.requests).context("more requests than this is made for")?;
        Ok(Measured {
            requests_per_second: f64::from(requests) / sample.seconds,
            cpu_us_per_request: cpu.as_secs_f64() * 1e6 / f64::from(requests),
            client_us_per_request: client.as_secs_f64() * 1e6 / f64::from(requests),
        })
    }

    fn cpu_time(&self) -> anyhow::Result<Duration> {
        self.pids.iter().map(|pid| process::cpu_time(*pid)).sum()
    }

    fn row(&self, own: &[Measured], first: &[Measured]) -> anyhow::Result<Row> {
        let resident: anyhow::Result<u64> = self.pids.iter().map(|pid| process::resident_bytes(*pid)).sum();
        let ratios = own.iter().zip(first).map(|(own, first)| own.requests_per_second / first.requests_per_second);
        Ok(Row {
            name: self.name,
            requests_per_second: Spread::of(own.iter().map(|m| m.requests_per_second)),
            ratio: Spread::of(ratios),
            cpu_us_per_request: (!self.pids.is_empty()).then(|| Spread::of(own.iter().map(|m| m.cpu_us_per_request))),
            client_us_per_request: Spread::of(own.iter().map(|m| m.client_us_per_request)),
            resident_bytes: resident?,
        })
    }
}
