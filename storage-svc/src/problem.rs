//! The node's errors as HTTP problems, in one place.

use http::{HeaderName, HeaderValue};
use triton_api::{ProblemType, storage::TOMBSTONE_HEADER};
use triton_kit::ApiError;

use crate::{
    cache::LoadError,
    pull::PullError,
    receive::ReceiveError,
    release::ReleaseError,
    store::{LearnError, StoreError},
};

const TOMBSTONE: HeaderName = HeaderName::from_static(TOMBSTONE_HEADER);

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        report(&error).with_cause(error)
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> Self {
        report(&error.0).with_cause(error)
    }
}

fn report(error: &StoreError) -> ApiError {
    let report = ApiError::new(kind_of(error), detail_of(error));
    match error {
        StoreError::Deleted(_) => report.with_header(TOMBSTONE, HeaderValue::from_static("1")),
        _ => report,
    }
}

fn kind_of(error: &StoreError) -> ProblemType {
    match error {
        StoreError::NotFound(_) | StoreError::Deleted(_) | StoreError::NoPartition(_) => ProblemType::NotFound,
        StoreError::Gone(_) => ProblemType::Gone,
        StoreError::Exists { .. } => ProblemType::BlobExists,
        StoreError::StaleEpoch { .. } => ProblemType::StaleEpoch,
        StoreError::Mismatch { .. } | StoreError::Length { .. } => ProblemType::ContentMismatch,
        StoreError::TooLarge => ProblemType::TooLarge,
        StoreError::Full | StoreError::ReadOnly => ProblemType::InsufficientStorage,
        StoreError::Corrupt { .. } => ProblemType::Corrupt,
        // Unknown, and never "not found": another replica may tell.
        StoreError::Disk(_) | StoreError::Unreadable(_) => ProblemType::Unavailable,
    }
}

/// What the caller is told. What failed on the disk is for the log.
fn detail_of(error: &StoreError) -> String {
    match error {
        StoreError::Disk(_) => "This node's disk failed: what it has of this is not known.".to_owned(),
        error => error.to_string(),
    }
}

impl From<ReceiveError<axum::Error>> for ApiError {
    fn from(error: ReceiveError<axum::Error>) -> Self {
        match error {
            ReceiveError::Store(error) => error.into(),
            ReceiveError::Broken(cause) => {
                Self::bad_request("The body broke off before its end; nothing was stored.").with_cause(cause)
            }
            ReceiveError::Silent => Self::new(ProblemType::Timeout, error.to_string()),
        }
    }
}

impl From<LearnError> for ApiError {
    fn from(error: LearnError) -> Self {
        let kind = match &error {
            LearnError::Stale { .. } => ProblemType::StaleEpoch,
            LearnError::Forked(_) => ProblemType::Conflict,
            LearnError::Unsound(_) => ProblemType::Unprocessable,
            LearnError::Disk(cause) if cause.is_full() => ProblemType::InsufficientStorage,
            LearnError::Disk(_) => ProblemType::Unavailable,
        };
        let detail = match &error {
            LearnError::Disk(_) => {
                "Its disk takes no writes, so that it cannot keep the layout: make room or stop the node, \
                                    check the disk, or give the node up."
                    .to_owned()
            }
            error => error.to_string(),
        };
        Self::new(kind, detail).with_cause(error)
    }
}

impl From<PullError> for ApiError {
    fn from(error: PullError) -> Self {
        let kind = match error {
            PullError::Store(error) => return error.into(),
            PullError::Epoch { .. } => ProblemType::StaleEpoch,
            PullError::From(_) => ProblemType::Unprocessable,
            PullError::Source(_) | PullError::Silent => ProblemType::Unavailable,
        };
        Self::new(kind, error.to_string()).with_cause(error)
    }
}

impl From<ReleaseError> for ApiError {
    fn from(error: ReleaseError) -> Self {
        let kind = match error {
            ReleaseError::Store(error) => return error.into(),
            ReleaseError::Epoch(_) => ProblemType::StaleEpoch,
            ReleaseError::Holder(_) => ProblemType::Conflict,
        };
        Self::new(kind, error.to_string()).with_cause(error)
    }
}
