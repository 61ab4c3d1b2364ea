//! What came of one seed, to be written down and added up.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{books::Books, counts::Broken, ending::Ending, run::Plan, script::Script};
use crate::{latency::Latencies, stage::Stage};

/// The result of a seed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The seed.
    pub seed: u64,
    /// Its scenario, as it was asked for.
    pub scenario: String,
    /// Whether more than one node was harmed at a time.
    pub rough: bool,
    /// Troubles that this machine could not make, and why.
    pub left_out: Vec<String>,
    /// Counts by their names.
    pub counts: BTreeMap<String, u64>,
    /// Strikes by kind.
    pub strikes: BTreeMap<String, u64>,
    /// Aborts of processes by the step of a migration that they had come to.
    pub steps: BTreeMap<String, u64>,
    /// What the admin did.
    pub admin: BTreeMap<String, u64>,
    /// Judged reads by their milliseconds.
    pub latencies_ms: BTreeMap<u64, u64>,
    /// The longest judged read, in milliseconds.
    pub read_max_ms: u64,
    /// What that was.
    pub slowest: String,
    /// From the last heal until every key was as it should be on every node, in milliseconds.
    pub settled_after_ms: u64,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
    /// How often each promise was broken.
    pub broken: BTreeMap<Broken, u64>,
    /// Some of these times in words.
    pub texts: Vec<String>,
}

impl Tally {
    pub(super) fn of(
        plan: &Plan,
        script: &Script,
        left_out: Vec<String>,
        books: &Books,
        stage: &Stage,
        ending: &Ending,
        took: Duration,
    ) -> Self {
        let inner = books.open();
        let counts = &inner.counts;
        let named = [
            ("writes acknowledged", counts.writes_acknowledged),
            ("writes not acknowledged", counts.writes_unsure),
            ("deletes acknowledged", counts.deletes_acknowledged),
            ("deletes not acknowledged", counts.deletes_unsure),
            ("reads", counts.reads),
            ("of these ranges", counts.ranges),
            ("of these of deleted blobs", counts.reads_of_deleted),
            ("reads judged (at most one node harmed)", counts.judged.count()),
            ("reads not answered while more nodes were harmed", counts.unavailable),
            ("deleted blobs served by a node that had missed the delete, before repair", counts.stale),
            ("keys looked at on every node at the end", inner.entries.len() as u64),
            ("blobs at the end", ending.replicas.blobs),
            ("surplus copies at the end", ending.replicas.surplus),
            ("epoch at the end", ending.replicas.epoch),
        ];
        Self {
            seed: plan.seed,
            scenario: plan.scenario.to_string(),
            rough: script.rough,
            left_out,
            counts: named.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            strikes: inner.strikes.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            steps: inner.steps.clone(),
            admin: stage.ledger.books().admin.clone(),
            latencies_ms: counts.judged.by_ms(),
            read_max_ms: whole_ms(counts.judged.max()),
            slowest: counts.slowest.clone(),
            settled_after_ms: whole_ms(ending.settled_after),
            took_ms: whole_ms(took),
            broken: inner.broken.clone(),
            texts: inner.texts.clone(),
        }
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.values().all(|count| *count == 0)
    }

    /// How often a promise was broken.
    pub fn broken(&self, broken: Broken) -> u64 {
        self.broken.get(&broken).copied().unwrap_or(0)
    }

    /// A count by its name.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The judged reads.
    pub(super) fn latencies(&self) -> Latencies {
        Latencies::of_ms(&self.latencies_ms, Duration::from_millis(self.read_max_ms))
    }

    /// The command that does the same again.
    pub fn command(&self) -> String {
        format!("cargo run -p triton-chaos --bin fault -- --seed {} --scenario {}", self.seed, self.scenario)
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
