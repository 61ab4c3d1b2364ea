//! What was found, as tables for people.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::Context as _;

use crate::{
    goal::GOALS,
    harness::{Bench, Comparison},
    plot::{self, Curve},
    spread::Spread,
};

/// A figure for one of the goals.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    /// The id of the goal.
    pub(crate) goal: &'static str,
    pub(crate) value: Spread,
}

/// What the cases have found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) findings: Vec<Finding>,
    /// What is drawn by itself.
    pub(crate) curves: Vec<Curve>,
}

impl Outcome {
    /// One comparison, in which `side` is what the goal is about.
    pub(crate) fn of(goal: &'static str, comparison: Comparison, side: &str) -> Self {
        let value = comparison.ratio(side);
        Self { comparisons: vec![comparison], findings: vec![Finding { goal, value }], curves: Vec::new() }
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.comparisons.extend(more.comparisons);
        self.findings.extend(more.findings);
        self.curves.extend(more.curves);
    }
}

/// The goals with what was found.
pub(crate) fn goals(findings: &[Finding]) -> String {
    let mut text = "| What | Goal | Found (lowest..highest) | Met |\n|---|---|---|---|\n".to_owned();
    for goal in GOALS {
        let found = findings.iter().find(|finding| finding.goal == goal.id);
        let (value, met) = match found {
            Some(found) if goal.is_met(found.value.median) => (found.value.to_string(), "yes"),
            Some(found) => (found.value.to_string(), "**no**"),
            None => ("not measured".to_owned(), ""),
        };
        line(&mut text, &format!("| {} | {} | {value} | {met} |", goal.what, goal.bound_text()));
    }
    text
}

/// All sides of the comparisons.
pub(crate) fn comparisons(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        line(&mut text, &format!("\n### {}\n", comparison.title));
        line(
            &mut text,
            "| Side | Ratio (lowest..highest) | Requests/s | CPU µs per request | Client's | Resident MiB |",
        );
        line(&mut text, "|---|---|---|---|---|---|");
        for row in &comparison.rows {
            let cpu = row.cpu_us_per_request.map_or_else(|| "-".to_owned(), |cpu| format!("{:.0}", cpu.median));
            let (ratio, rate) = (row.ratio, row.requests_per_second.median);
            let client = row.client_us_per_request.median;
            let resident = row.resident_bytes / (1024 * 1024);
            line(&mut text, &format!("| {} | {ratio} | {rate:.0} | {cpu} | {client:.0} | {resident} |", row.name));
        }
    }
    text
}

/// Writes `RESULTS.md` and `results.svg` into a directory.
pub(crate) fn write(dir: &Path, bench: &Bench, outcome: &Outcome) -> anyhow::Result<()> {
    let text = format!(
        "# What `make bench` has found\n\n{}\n\nThe median of {} rounds of {} s each; the sides of a comparison are measured \
         in turn, and a ratio is taken within a round. Spread: lowest and highest round.\n\n{}\n![Figures relative to \
         their goals](results.svg)\n{}\n## All sides\n{}",
        machine(),
        bench.rounds,
        bench.seconds,
        goals(&outcome.findings),
        pictures(&outcome.curves),
        comparisons(&outcome.comparisons)
    );
    let path = dir.join("RESULTS.md");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    for curve in &outcome.curves {
        plot::draw_curve(&dir.join(file_of(curve)), curve)?;
    }
    plot::draw(&dir.join("results.svg"), &outcome.findings)
}

fn file_of(curve: &Curve) -> String {
    format!("{}.svg", curve.name)
}

fn pictures(curves: &[Curve]) -> String {
    let mut text = String::new();
    for curve in curves {
        line(&mut text, &format!("\n![{}]({})", curve.title, file_of(curve)));
    }
    text
}

/// Machine, day and commit in one line.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let day = jiff::Timestamp::now().strftime("%F %H:%M UTC");
    format!("{day}, commit {commit}, {cores} cores of {}, Linux {}.", model.unwrap_or("an unknown CPU"), kernel.trim())
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}
