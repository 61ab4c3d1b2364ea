//! How far a migration has come, and how the last one went.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{
    Epoch, NodeId,
    layout::{LayoutRecord, Rest},
};
use triton_placement::movement;

use crate::cluster::{cursor::Cursors, partition_set::PartitionSet};

/// Errors kept for the person who looks at a migration.
pub const ERRORS_MAX: usize = 20;

/// How far a migration has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationPhase {
    /// New holders copy; both epochs are read.
    Copying,
    /// The new epoch is committed; former holders give up their copies.
    Reclaiming,
}

/// The record of a running migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRecord {
    /// The epoch that it leaves.
    pub from: Epoch,
    /// The epoch that it goes to.
    pub to: Epoch,
    /// How far it has come.
    pub phase: MigrationPhase,
    /// An admin holds it.
    #[serde(default)]
    pub paused: bool,
    /// It takes back another migration.
    #[serde(default)]
    pub aborting: bool,
    /// Partitions that get a new holder.
    pub partitions_total: u32,
    /// Partitions whose new holders have everything.
    pub done: PartitionSet,
    /// How far the pulls of unfinished partitions have come.
    #[serde(default, skip_serializing_if = "Cursors::is_empty")]
    pub cursors: Cursors,
    /// Payload bytes to copy, as planned.
    pub bytes_total: u64,
    /// Payload bytes copied.
    pub bytes_done: u64,
    /// The rate when this was written.
    #[serde(default)]
    pub bytes_per_second: u64,
    /// What went wrong lately and is tried again, newest last.
    #[serde(default)]
    pub errors: Vec<String>,
    /// Nodes that leave the cluster at the end.
    #[serde(default)]
    pub removals: Vec<NodeId>,
    /// Why it was begun, where no person did.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When the new epoch was committed: former holders keep their copies for a grace time from then on.
    #[serde(default)]
    pub committed_at: Option<Timestamp>,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The record of the migration that ended last: its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedMigration {
    /// As it was when it ended.
    pub migration: MigrationRecord,
    /// When that was.
    pub ended_at: Timestamp,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl FinishedMigration {
    /// A migration that has ended now.
    pub fn new(migration: MigrationRecord, ended_at: Timestamp) -> Self {
        Self { migration, ended_at, rest: Rest::new() }
    }

    /// Payload bytes copied per second, from its beginning to its commit.
    pub fn bytes_per_second(&self) -> u64 {
        let MigrationRecord { started_at, committed_at, bytes_done, .. } = &self.migration;
        let took = committed_at.unwrap_or(self.ended_at).duration_since(*started_at);
        let millis = u64::try_from(took.as_millis()).unwrap_or(0).max(1);
        bytes_done.saturating_mul(1000) / millis
    }
}

impl MigrationRecord {
    /// One that begins now, from the current to the next layout of the record.
    pub(super) fn starting(record: &LayoutRecord, bytes_total: u64, removals: Vec<NodeId>, now: Timestamp) -> Self {
        let target = record.write_layout();
        let moves = movement(&record.current, target).partitions;
        let partitions_total = moves.iter().filter(|change| !change.arriving.is_empty()).count();
        Self {
            from: record.current.epoch,
            to: target.epoch,
            phase: MigrationPhase::Copying,
            paused: false,
            aborting: false,
            partitions_total: u32::try_from(partitions_total).unwrap_or(u32::MAX),
            done: PartitionSet::default(),
            cursors: Cursors::default(),
            bytes_total,
            bytes_done: 0,
            bytes_per_second: 0,
            errors: Vec::new(),
            removals,
            reason: None,
            started_at: now,
            committed_at: None,
            rest: Rest::new(),
        }
    }
}
