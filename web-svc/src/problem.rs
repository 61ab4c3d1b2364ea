//! How the service's errors look over HTTP.

use std::sync::Arc;

use triton_api::ProblemType;
use triton_kit::ApiError;

use crate::{journal::JournalError, ring::RingError, store::StoreError};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        of_store(Arc::new(error))
    }
}

/// What an error of the store is for those who asked together.
pub(crate) fn of_store(error: Arc<StoreError>) -> ApiError {
    match *error {
        // Not a fault of this record: another server of the installation can read it.
        StoreError::Decode { .. } => ApiError::new(
            ProblemType::Unavailable,
            "A newer version of the service wrote this. Ask another server, or update this one.",
        )
        .with_cause(error),
        _ => ApiError::internal(error),
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Conflict { .. } => {
                Self::new(ProblemType::Conflict, "Somebody else changed this at the same moment. Look again and retry.")
            }
            JournalError::Unavailable(_) | JournalError::Unreachable(_) | JournalError::Deposed => {
                Self::new(ProblemType::Unavailable, "The metadata cannot be written right now. Try again in a while.")
                    .with_cause(error)
            }
            JournalError::Lagging { .. } => {
                let detail = "The change was made, but this server does not see it yet. Look again in a while.";
                Self::new(ProblemType::Unavailable, detail).with_cause(error)
            }
            JournalError::TooManyOperations { .. }
            | JournalError::TooLarge { .. }
            | JournalError::Repeated { .. }
            | JournalError::Encode { .. } => Self::internal(error),
        }
    }
}

impl From<RingError> for ApiError {
    fn from(error: RingError) -> Self {
        match error {
            RingError::NotFound { .. } | RingError::Deleted { .. } => {
                Self::not_found("There is nothing here (any more).")
            }
            RingError::Range { .. } => {
                Self::new(ProblemType::RangeNotSatisfiable, "The range lies outside of the file.")
            }
            RingError::Unavailable { .. } | RingError::StaleLayout { .. } => {
                let detail = "Too few storage nodes answer right now. Try again in a while.";
                Self::new(ProblemType::Unavailable, detail).with_cause(error)
            }
            RingError::Exists { .. } | RingError::TooLarge { .. } | RingError::Corrupt { .. } => Self::internal(error),
        }
    }
}
