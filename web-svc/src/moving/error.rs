//! Why metadata does not move.

use thiserror::Error;
use triton_api::{ProblemType, metadata::MetadataFileError};
use triton_kit::ApiError;

use crate::{
    cluster::ClusterError,
    journal::{JournalError, RecordKey},
    store::StoreError,
};

/// Why nothing is exported.
#[derive(Debug, Error)]
pub(super) enum ExportError {
    /// As many exports as are allowed run.
    #[error("Others export the metadata already: wait for them.")]
    Busy,
    /// The layout is about to change.
    #[error("A migration runs: wait for its end, or abort it; then export.")]
    Migrating,
    /// There is no layout.
    #[error("the layout record is missing")]
    NoLayout,
    /// The first line cannot be written.
    #[error("the header has no JSON form")]
    Encode(#[from] serde_json::Error),
    /// The records cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an import ends.
#[derive(Debug, Error)]
pub(super) enum ImportError {
    /// The file is no good.
    #[error(transparent)]
    File(#[from] MetadataFileError),
    /// The file is too long.
    #[error("The metadata is longer than {bytes_max} bytes.")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// Records exist with other values.
    #[error(
        "The record {key} exists here with another value{}. Nothing is ever overwritten, and nothing was imported: import \
         into an installation that does not have these videos.",
        others(*.more)
    )]
    Differs {
        /// The first one.
        key: String,
        /// How many more there are.
        more: u64,
    },
    /// Somebody wrote a record while it was being imported.
    #[error("The record {key} was written here by somebody else meanwhile: import the same file again.")]
    Raced {
        /// The record.
        key: RecordKey,
    },
    /// A record is of a shape that this version does not know.
    #[error("The record {key} is not understood by this version: {reason}. Nothing was imported.")]
    NotUnderstood {
        /// The record.
        key: RecordKey,
        /// Why.
        reason: String,
    },
    /// Another import is under way.
    #[error("Another import runs: wait for it.")]
    Overtaken,
    /// The journal gave up in the middle.
    #[error(
        "The metadata cannot be written right now. {imported} records have been imported; import the same file again to go on."
    )]
    Interrupted {
        /// Written before.
        imported: u64,
        /// Why.
        source: JournalError,
    },
    /// A storage node does not come along.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A record cannot be made a change.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The records here cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be kept while it is looked at.
    #[error("cannot keep the metadata on disk while it is looked at")]
    Spool(#[source] std::io::Error),
}

fn others(more: u64) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more do") }
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Busy => Self::new(ProblemType::TooManyRequests, error.to_string()),
            ExportError::Migrating => Self::new(ProblemType::Conflict, error.to_string()),
            ExportError::NoLayout | ExportError::Encode(_) | ExportError::Store(_) => Self::internal(error),
        }
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let kind = match error {
            // The sender broke off, or was silent for too long.
            ImportError::File(MetadataFileError::Read(_)) => ProblemType::BadRequest,
            ImportError::File(_) | ImportError::NotUnderstood { .. } => ProblemType::Unprocessable,
            ImportError::TooLarge { .. } => ProblemType::TooLarge,
            ImportError::Differs { .. } | ImportError::Raced { .. } | ImportError::Overtaken => ProblemType::Conflict,
            ImportError::Interrupted { .. } => {
                return Self::new(ProblemType::Unavailable, error.to_string()).with_cause(error);
            }
            ImportError::Cluster(error) => return error.into(),
            ImportError::Journal(error) => return error.into(),
            ImportError::Store(_) | ImportError::Spool(_) => return Self::internal(error),
        };
        Self::new(kind, error.to_string())
    }
}
