//! The report of many seeds, in Markdown.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use jiff::Timestamp;
use triton_kit::MigrationStep;

use super::{counts::Broken, tally::Tally};
use crate::latency::Latencies;

/// What to write down beside the results.
const HEAD: &str = "\
Storage nodes and the coordinator are real processes; blobs of 1 B to 8 MiB are written, read (whole and in ranges) and
deleted through the product's ring client, R = 3, four nodes and a spare one. Each seed draws its script from the seed alone:
about ten seconds of trouble, then everything is healed and every key is read on every node and through the ring. Letters:
c nodes killed or stopped, p links cut, slow or broken, d clocks jump, r layout changes with their coordinator killed, f disks
full, failing, rotting or lost. Reads are judged while at most one node is harmed.
";

/// What reads may take while at most one node is harmed.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// The 99th percentile.
    pub p99_max: Duration,
    /// The longest.
    pub max: Duration,
}

/// Writes the report of these seeds.
pub fn report(tallies: &[Tally], began: Timestamp, limits: ReadLimits, crashed: &[(u64, String)]) -> String {
    let mut text = format!("# Fault report\n\n{HEAD}\n");
    let rough = tallies.iter().filter(|tally| tally.rough).count();
    let seeds = tallies.len() + crashed.len();
    let when = began.strftime("%Y-%m-%d %H:%M UTC");
    write(
        &mut text,
        format_args!(
            "{seeds} seeds, begun {when}; in {rough} of them two nodes were harmed at once. Reads may take {:?} in \
             the 99th percentile and {:?} at most.\n\n",
            limits.p99_max, limits.max
        ),
    );
    verdict(&mut text, tallies, crashed);
    reads(&mut text, tallies);
    table(&mut text, "Counts", "count", &sum(tallies, |tally| &tally.counts));
    table(&mut text, "Strikes", "times", &sum(tallies, |tally| &tally.strikes));
    let steps = MigrationStep::ALL.iter().map(|step| (format!("{:02} {}", step.number(), step.name()), 0));
    let mut aborts: BTreeMap<String, u64> = steps.collect();
    for (step, count) in sum(tallies, |tally| &tally.steps) {
        *aborts.entry(step).or_default() += count;
    }
    table(&mut text, "Aborts at the numbered steps of a migration", "times", &aborts);
    table(&mut text, "The admin", "times", &sum(tallies, |tally| &tally.admin));
    left_out(&mut text, tallies);
    by_seed(&mut text, tallies);
    text
}

/// A string takes everything.
fn write(text: &mut String, words: fmt::Arguments<'_>) {
    text.write_fmt(words).unwrap_or_default();
}

fn verdict(text: &mut String, tallies: &[Tally], crashed: &[(u64, String)]) {
    let of = |broken| tallies.iter().map(|tally| tally.broken(broken)).sum::<u64>();
    let total: u64 = Broken::ALL.into_iter().map(of).sum();
    let word = if total == 0 && crashed.is_empty() { "Every promise was kept." } else { "PROMISES WERE BROKEN." };
    write(text, format_args!("## Verdict\n\n{word}\n\n| promise broken | times |\n|---|---|\n"));
    for broken in Broken::ALL {
        write(text, format_args!("| {} | {} |\n", broken.words(), of(broken)));
    }
    write(text, format_args!("| runs that broke down themselves | {} |\n\n", crashed.len()));
    for (seed, why) in crashed {
        write(text, format_args!("- seed {seed}: {why}\n"));
    }
    for tally in tallies.iter().filter(|tally| !tally.is_clean()) {
        write(text, format_args!("### Seed {} ({})\n\n`{}`\n\n", tally.seed, tally.scenario, tally.command()));
        for line in &tally.texts {
            write(text, format_args!("- {line}\n"));
        }
        text.push('\n');
    }
}

fn reads(text: &mut String, tallies: &[Tally]) {
    let mut all = Latencies::default();
    for tally in tallies {
        all.merge(&tally.latencies());
    }
    let slowest = tallies.iter().max_by_key(|tally| tally.read_max_ms);
    let rows = [
        ("judged, at most one node of four being harmed", all.count()),
        ("median (ms)", ms(all.quantile(0.5))),
        ("99th percentile (ms)", ms(all.quantile(0.99))),
        ("99.9th percentile (ms)", ms(all.quantile(0.999))),
        ("longest (ms)", ms(all.max())),
    ];
    text.push_str("## Reads\n\n| what | value |\n|---|---|\n");
    for (what, value) in rows {
        write(text, format_args!("| {what} | {value} |\n"));
    }
    if let Some(tally) = slowest {
        write(text, format_args!("| the longest, in seed {} | {} |\n", tally.seed, tally.slowest));
    }
    text.push('\n');
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn sum(tallies: &[Tally], of: impl Fn(&Tally) -> &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in tallies.iter().flat_map(of) {
        *sums.entry(name.clone()).or_default() += count;
    }
    sums.remove("epoch at the end");
    sums
}

fn table(text: &mut String, title: &str, value: &str, rows: &BTreeMap<String, u64>) {
    write(text, format_args!("## {title}\n\n| what | {value} |\n|---|---|\n"));
    for (what, count) in rows {
        write(text, format_args!("| {what} | {count} |\n"));
    }
    text.push('\n');
}

fn left_out(text: &mut String, tallies: &[Tally]) {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in tallies.iter().flat_map(|tally| &tally.left_out) {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, seeds) in reasons {
        write(text, format_args!("Left out in {seeds} seeds: {reason}.\n\n"));
    }
}

fn by_seed(text: &mut String, tallies: &[Tally]) {
    text.push_str("## Seeds\n\n| seed | scenario | strikes | epochs | writes | deletes | reads | judged | p99 ms | longest ms | at rest after ms | kept |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for tally in tallies {
        let cells = [
            tally.seed.to_string(),
            format!("{}{}", tally.scenario, if tally.rough { " (rough)" } else { "" }),
            tally.strikes.values().sum::<u64>().to_string(),
            tally.count("epoch at the end").to_string(),
            tally.count("writes acknowledged").to_string(),
            tally.count("deletes acknowledged").to_string(),
            tally.count("reads").to_string(),
            tally.count("reads judged (at most one node harmed)").to_string(),
            ms(tally.latencies().quantile(0.99)).to_string(),
            tally.read_max_ms.to_string(),
            tally.settled_after_ms.to_string(),
            if tally.is_clean() { "yes" } else { "NO" }.to_owned(),
        ];
        write(text, format_args!("| {} |\n", cells.join(" | ")));
    }
}
