//! The REST types of a change of the layout: stage, plan, apply.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{BlobKey, Epoch, NodeId, VideoId};

/// Whether a migration runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RebalancePhase {
    /// One committed epoch, nothing moves.
    Stable,
    /// Content moves to the next epoch.
    Migrating,
    /// A migration is held.
    Paused,
}

/// How the migration stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rebalance {
    /// Whether a migration runs. It is stable again when the former holders have given up their copies.
    pub phase: RebalancePhase,
    /// The committed epoch.
    pub epoch: Epoch,
    /// Partitions whose new holders have everything.
    pub partitions_done: u32,
    /// Partitions that get a new holder.
    pub partitions_total: u32,
    /// Payload bytes copied.
    pub bytes_done: u64,
    /// Payload bytes to copy, as planned.
    pub bytes_total: u64,
    /// Present rate.
    pub bytes_per_second: u64,
    /// Remaining time; null while it cannot be told.
    pub eta_seconds: Option<u64>,
    /// What went wrong lately and is tried again, newest last; at most 20.
    pub errors: Vec<String>,
    /// Changes staged and not applied, in words.
    pub staged: Vec<String>,
    /// Why the migration was begun, where no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The migration that ended last, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedRebalance>,
}

/// The figures of a migration that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FinishedRebalance {
    /// The epoch that it left.
    pub from: Epoch,
    /// The epoch that it went to.
    pub to: Epoch,
    /// It took back another migration.
    pub aborting: bool,
    /// Partitions whose new holders have everything.
    pub partitions_done: u32,
    /// Partitions that got a new holder.
    pub partitions_total: u32,
    /// Payload bytes copied.
    pub bytes_done: u64,
    /// Payload bytes to copy, as planned.
    pub bytes_total: u64,
    /// Payload bytes copied, divided by the time from its beginning to the commit of its epoch.
    pub bytes_per_second: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When the former holders had given up their copies.
    pub ended_at: Timestamp,
    /// What went wrong and was tried again, newest last; at most 20.
    pub errors: Vec<String>,
    /// Why it was begun, where no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One node before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedNode {
    /// The node.
    pub id: NodeId,
    /// Partitions now.
    pub partitions_before: u32,
    /// Partitions afterwards.
    pub partitions_after: u32,
    /// Payload bytes that it has to receive.
    pub bytes_in: u64,
}

/// What applying the staged changes would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RebalancePlan {
    /// The committed epoch that this plan starts from: pass it to `apply`.
    pub epoch: Epoch,
    /// The changes, in words. Nothing to do when empty.
    pub changes: Vec<String>,
    /// Partition replicas that get a new holder.
    pub replicas_to_move: u32,
    /// The smallest possible number of them.
    pub replicas_to_move_min: u32,
    /// Payload bytes to copy.
    pub bytes_to_move: u64,
    /// Largest load divided by its entitlement, before.
    pub balance_before: f64,
    /// The same, afterwards.
    pub balance_after: f64,
    /// Replicas that are wanted of everything.
    pub replicas_wanted: u8,
    /// Replicas that there are now: fewer while there are fewer active nodes.
    pub replicas_before: u8,
    /// Replicas that there will be.
    pub replicas_after: u8,
    /// Partitions whose only holders are given up: what lies there is lost. `apply` refuses that without `accept_loss`.
    pub partitions_lost: u32,
    /// Each node before and after.
    pub nodes: Vec<PlannedNode>,
}

/// Begins a migration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Refused with 412 unless this is the committed epoch; the present one if absent.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// Go on although content is lost, because its only holders are given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_loss: bool,
}

/// Whether to show only what would be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Change nothing; the answer is 200 with the plan.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which lost blobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LossQuery {
    /// The `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The most entries of a page, 1 to 1000; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u16>,
    /// As if this node were given up, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub give_up: Option<NodeId>,
}

/// A blob that metadata names, and that no remaining node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostBlob {
    /// Its key.
    pub key: BlobKey,
    /// The video that it is part of.
    pub video_id: VideoId,
}
