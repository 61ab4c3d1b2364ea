//! Why a layout cannot be.

use thiserror::Error;
use triton_api::{Epoch, NodeId, NodeUrl, PartitionId};

/// Why a node list gives no layout, or why a layout from elsewhere is not taken. Each reason is a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// Nothing could hold a copy.
    #[error("no node is active: at least one must hold the content")]
    NoActiveNodes,
    /// `replicas` is 0.
    #[error("0 replicas are wanted: at least 1 is needed to keep anything")]
    NoReplicas,
    /// One node is listed more than once.
    #[error("node {id} is listed twice")]
    DuplicateId {
        /// The node.
        id: NodeId,
    },
    /// Two nodes that are not down answer at one address.
    #[error("nodes {first} and {second} have the same address {url}")]
    DuplicateUrl {
        /// The address.
        url: NodeUrl,
        /// The node that is listed first.
        first: NodeId,
        /// The node that is listed later.
        second: NodeId,
    },
    /// An active node with no capacity.
    #[error("node {id} is active with weight 0: give it a weight, or drain it")]
    ZeroWeight {
        /// The node.
        id: NodeId,
    },
    /// More nodes than a layout takes.
    #[error("{nodes} nodes are more than the {limit} that a layout takes")]
    TooManyNodes {
        /// How many are listed.
        nodes: usize,
        /// How many may be.
        limit: usize,
    },
    /// The change would take active nodes away and leave fewer than there are replicas.
    #[error(
        "{wanted} replicas are wanted, {kept} are kept now, and only {remaining} active nodes would remain: add a node \
         first (in the same change, if you like), or lower the number of replicas"
    )]
    TooFewNodes {
        /// The replicas that are wanted.
        wanted: u8,
        /// The replicas that there are: no more than active nodes.
        kept: usize,
        /// The active nodes that would remain.
        remaining: usize,
    },
    /// There is no epoch after this one.
    #[error("epoch {epoch} is the last one that can be counted")]
    LastEpoch {
        /// The current epoch.
        epoch: Epoch,
    },
    /// The table does not have one row per partition.
    #[error("the table has {found} rows, but there are {expected} partitions")]
    WrongTableLength {
        /// The rows found.
        found: usize,
        /// The rows there must be.
        expected: usize,
    },
    /// A partition has more or fewer holders than replicas are due.
    #[error("partition {partition} has {found} holders, but {expected} are due")]
    WrongHolderCount {
        /// The partition.
        partition: PartitionId,
        /// The holders found.
        found: usize,
        /// The replicas due: the smaller of the wanted replicas and the active nodes.
        expected: usize,
    },
    /// A row names a node that is not listed.
    #[error("partition {partition} names node number {position}, but there are {nodes} nodes")]
    UnknownHolder {
        /// The partition.
        partition: PartitionId,
        /// The position that the row names.
        position: u16,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A row names one node twice: two copies on one disk are one copy.
    #[error("partition {partition} names node {id} twice")]
    RepeatedHolder {
        /// The partition.
        partition: PartitionId,
        /// The node.
        id: NodeId,
    },
    /// A row names a node that must not hold anything.
    #[error("partition {partition} lies on node {id}, which is not active")]
    InactiveHolder {
        /// The partition.
        partition: PartitionId,
        /// The node.
        id: NodeId,
    },
    /// The digest is not that of the content.
    #[error("the layout's digest is {found}, but its content has {expected}: it was damaged or changed on the way")]
    WrongDigest {
        /// What the layout says.
        found: String,
        /// What its content gives.
        expected: String,
    },
}
