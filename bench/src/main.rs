//! The benches: every side of a comparison measured in turn, in the same minutes, on the same machine.
//!
//! `make bench` runs all cases and writes `bench/RESULTS.md` and `bench/results.svg`. How to add a case is in
//! `bench/README.md`.
#![expect(clippy::print_stdout, reason = "a command-line tool")]

mod cases;
mod corpus;
mod goal;
mod harness;
mod nginx;
mod plot;
mod process;
mod replay;
mod report;
mod spread;
mod wrk;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::{cases::CASES, harness::Bench, report::Outcome};

/// Measures the services against nginx and plain loops, side by side
#[derive(Debug, Parser)]
struct Cli {
    /// Rounds of every comparison; each side is measured once in each
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one side is measured in one round, in seconds
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only the cases whose name contains this; prints the results and leaves the files alone
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Where RESULTS.md and results.svg are written after all cases
    #[arg(long, default_value = "bench", value_name = "DIR")]
    out: PathBuf,
    /// Lists the cases
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let chosen = CASES.iter().filter(|case| cli.only.as_ref().is_none_or(|part| case.name.contains(part.as_str())));
    if cli.list {
        chosen.for_each(|case| println!("{:24} {}", case.name, case.what));
        return Ok(());
    }
    let bench = Bench::new(cli.rounds, cli.seconds)?;
    let mut outcome = Outcome::default();
    for case in chosen {
        println!("\n== {}: {}", case.name, case.what);
        let more = (case.run)(&bench).with_context(|| format!("the case {}", case.name))?;
        println!("{}", report::comparisons(&more.comparisons));
        outcome.extend(more);
    }
    println!("{}", report::goals(&outcome.findings));
    if cli.only.is_none() {
        report::write(&cli.out, &bench, &outcome)?;
    }
    Ok(())
}
