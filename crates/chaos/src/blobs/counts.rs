//! What a run counts, and the promises that it can see broken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// An acknowledged blob is not there, or not on all its holders at the end.
    Lost,
    /// A write was acknowledged before a majority of the replicas had it.
    FewCopies,
    /// Other bytes than were written.
    WrongBytes,
    /// A deleted blob is served again.
    CameBack,
    /// A read failed though at most one node was harmed.
    FailedRead,
    /// Reads took too long though at most one node was harmed.
    SlowRead,
    /// The cluster does not come to rest after all is healed.
    NoRest,
}

impl Broken {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 7] =
        [Self::Lost, Self::FewCopies, Self::WrongBytes, Self::CameBack, Self::FailedRead, Self::SlowRead, Self::NoRest];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Lost => "acknowledged blobs lost",
            Self::FewCopies => "writes acknowledged without a majority of copies",
            Self::WrongBytes => "wrong bytes",
            Self::CameBack => "deleted blobs that came back",
            Self::FailedRead => "failed reads with at most one node of four harmed",
            Self::SlowRead => "runs whose reads took too long with at most one node of four harmed",
            Self::NoRest => "runs that did not come to rest",
        }
    }
}

/// Counters of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) writes_acknowledged: u64,
    pub(super) writes_unsure: u64,
    pub(super) deletes_acknowledged: u64,
    pub(super) deletes_unsure: u64,
    pub(super) reads: u64,
    pub(super) ranges: u64,
    pub(super) reads_of_deleted: u64,
    /// Reads that began and ended with at most one node harmed.
    pub(super) judged: Latencies,
    /// Reads that failed while more nodes were harmed.
    pub(super) unavailable: u64,
    /// A deleted blob was served by a node that had missed the delete, before repair told it.
    pub(super) stale: u64,
    /// The slowest judged read, in words.
    pub(super) slowest: String,
}

impl Counts {
    /// Notes a judged read.
    pub(super) fn judge(&mut self, took: Duration, what: impl FnOnce() -> String) {
        if took > self.judged.max() {
            self.slowest = what();
        }
        self.judged.add(took);
    }
}
