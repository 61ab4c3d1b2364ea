//! What can go wrong on the ring.

use thiserror::Error;
use triton_api::{BlobKey, Epoch, ProblemType};

/// Why the ring could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RingError {
    /// Every holder answered, and none has the blob.
    #[error("there is no blob {key}")]
    NotFound {
        /// What was asked for.
        key: BlobKey,
    },
    /// The blob was deleted; its key is never used again.
    #[error("the blob {key} was deleted")]
    Deleted {
        /// What was asked for.
        key: BlobKey,
    },
    /// The key is taken by another content.
    #[error("the blob {key} exists with another content")]
    Exists {
        /// What was to be written.
        key: BlobKey,
    },
    /// The range lies outside of the blob.
    #[error("the range lies outside of the blob {key}")]
    Range {
        /// What was asked for.
        key: BlobKey,
    },
    /// The blob is longer than a blob, or than what the caller takes.
    #[error("the blob {key} has {len_bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// The blob.
        key: BlobKey,
        /// Its length.
        len_bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The bytes that arrived are not the blob's; nothing of the last chunk was handed on.
    #[error("what arrived of the blob {key} does not have its hash")]
    Corrupt {
        /// The blob.
        key: BlobKey,
    },
    /// Too few nodes could be asked or took the blob. Trying again later may help.
    #[error("cannot {operation} the blob {key} right now: {detail}")]
    Unavailable {
        /// `read`, `write` or `delete`.
        operation: &'static str,
        /// The blob.
        key: BlobKey,
        /// What each node said.
        detail: String,
    },
    /// The nodes know a newer layout than this process and it did not arrive in time.
    #[error("the storage nodes know a newer layout than epoch {epoch}")]
    StaleLayout {
        /// The epoch that was refused.
        epoch: Epoch,
    },
}

impl RingError {
    /// How the REST API says it.
    pub const fn problem_type(&self) -> ProblemType {
        match self {
            Self::NotFound { .. } => ProblemType::NotFound,
            Self::Deleted { .. } => ProblemType::Gone,
            Self::Exists { .. } => ProblemType::BlobExists,
            Self::Range { .. } => ProblemType::RangeNotSatisfiable,
            Self::TooLarge { .. } => ProblemType::TooLarge,
            Self::Corrupt { .. } => ProblemType::Corrupt,
            Self::Unavailable { .. } | Self::StaleLayout { .. } => ProblemType::Unavailable,
        }
    }

    /// Whether the blob is known not to be there (as opposed to not known to be there).
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Deleted { .. })
    }

    /// Whether trying again later may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::StaleLayout { .. } | Self::Corrupt { .. })
    }

    /// One word for metrics.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Deleted { .. } => "deleted",
            Self::Exists { .. } => "exists",
            Self::Range { .. } => "range",
            Self::TooLarge { .. } => "too_large",
            Self::Corrupt { .. } => "corrupt",
            Self::Unavailable { .. } => "unavailable",
            Self::StaleLayout { .. } => "stale_layout",
        }
    }
}
