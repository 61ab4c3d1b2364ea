//! Why the cluster cannot do what it was asked.

use thiserror::Error;
use triton_api::{Epoch, NodeId, NodeUrl, ProblemType, client::ClientError};
use triton_kit::ApiError;
use triton_placement::PlacementError;

use crate::{journal::JournalError, store::StoreError};

/// Why the cluster cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no layout yet and no node to make one of.
    #[error("no storage node is configured: name at least one with --storage")]
    NoNodes,
    /// A node of the first layout does not answer.
    #[error("the storage node {url} does not answer as one: is it running?")]
    NoAnswer {
        /// Where it should answer.
        url: NodeUrl,
        /// Why it does not.
        #[source]
        source: Box<ClientError>,
    },
    /// A node of the first layout belongs to another installation.
    #[error(
        "the storage node {url} already belongs to a cluster (layout epoch {epoch}), but the metadata here is new: give \
         it an empty directory, or restore the metadata"
    )]
    Taken {
        /// Where it answers.
        url: NodeUrl,
        /// The layout epoch that it knows.
        epoch: Epoch,
    },
    /// The nodes give no layout.
    #[error("the storage nodes give no layout")]
    Placement(#[from] PlacementError),
    /// The metadata cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The metadata cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a change of the cluster is refused or failed.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The node is not part of the cluster, nor staged.
    #[error("There is no node {0} in the cluster.")]
    UnknownNode(NodeId),
    /// A parameter is out of its range; the text is a sentence.
    #[error("{0}")]
    Invalid(String),
    /// The present state does not allow it; the text is a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// No layout can be made of it.
    #[error("The layout cannot become that: {0}.")]
    Infeasible(#[from] PlacementError),
    /// The caller decided on another epoch.
    #[error("The committed epoch is {found}, not {expected}: look at the plan again.")]
    EpochMoved {
        /// What the caller expects.
        expected: Epoch,
        /// What there is.
        found: Epoch,
    },
    /// Nodes that alone hold something are to be given up.
    #[error(
        "{partitions} of 1024 partitions lie on {} alone, and would be lost. Start what you can of it again; or look at \
         what is lost (`tritonctl rebalance losses`) and apply with `accept_loss` (`--accept-loss`).",
        names(nodes)
    )]
    Loss {
        /// How many partitions.
        partitions: usize,
        /// Their only holders, and others that are given up.
        nodes: Vec<NodeId>,
    },
    /// A node that is to be added or asked does not answer.
    #[error("{url} does not answer as a storage node: {source}.")]
    NoAnswer {
        /// Where it should answer.
        url: NodeUrl,
        /// Why it does not.
        source: Box<ClientError>,
    },
    /// The layout record has disappeared.
    #[error("the layout record is missing")]
    NoLayout,
    /// The metadata cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The metadata cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Work on another thread was lost.
    #[error("a computation did not end")]
    Lost(#[from] tokio::task::JoinError),
}

fn names(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    format!("node{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}

impl ClusterError {
    /// Whether somebody else changed the records meanwhile, so that deciding again may succeed.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Journal(JournalError::Conflict { .. }))
    }
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        let kind = match &error {
            ClusterError::UnknownNode(_) => ProblemType::NotFound,
            ClusterError::Invalid(_) | ClusterError::NoAnswer { .. } => ProblemType::Unprocessable,
            ClusterError::Refused(_) | ClusterError::Loss { .. } => ProblemType::Conflict,
            ClusterError::Infeasible(_) => ProblemType::Infeasible,
            ClusterError::EpochMoved { .. } => ProblemType::PreconditionFailed,
            ClusterError::Journal(JournalError::Conflict { .. }) => {
                return Self::new(
                    ProblemType::Conflict,
                    "Somebody else changed the cluster at the same time: try again.",
                );
            }
            ClusterError::Journal(cause) if cause.is_outage() => {
                return Self::new(ProblemType::Unavailable, "The metadata cannot be changed right now.")
                    .with_cause(error);
            }
            ClusterError::NoLayout | ClusterError::Journal(_) | ClusterError::Store(_) | ClusterError::Lost(_) => {
                return Self::internal(error);
            }
        };
        Self::new(kind, error.to_string())
    }
}
