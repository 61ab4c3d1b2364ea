//! What a node's refusal means.

use http::StatusCode;
use triton_api::{ProblemType, client::ClientError};

/// A refusal, sorted by what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The node says that it does not have the blob.
    Absent,
    /// The node has a tombstone.
    Deleted,
    /// The node has another content under this key.
    Exists,
    /// The node knows a newer layout.
    Stale,
    /// The range lies outside of the blob.
    Range,
    /// The node works, but not for this request: a damaged copy, a full disk, a request that it does not take.
    Declined,
    /// The node did not answer, or is broken.
    Failed,
}

impl Refusal {
    pub(super) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => match problem.problem_type() {
                Some(kind) => Self::of_problem(kind),
                None if problem.status >= 500 => Self::Failed,
                None => Self::Declined,
            },
            // The answer to a HEAD has no body to tell a problem's type.
            ClientError::Unexpected { status, .. } if *status == StatusCode::GONE => Self::Deleted,
            ClientError::Unexpected { status, .. } if *status == StatusCode::RANGE_NOT_SATISFIABLE => Self::Range,
            ClientError::Unexpected { .. } | ClientError::Unreachable { .. } | ClientError::Timeout { .. } => {
                Self::Failed
            }
        }
    }

    fn of_problem(kind: ProblemType) -> Self {
        match kind {
            ProblemType::NotFound => Self::Absent,
            ProblemType::Gone => Self::Deleted,
            ProblemType::BlobExists => Self::Exists,
            ProblemType::StaleEpoch => Self::Stale,
            ProblemType::RangeNotSatisfiable => Self::Range,
            ProblemType::Internal | ProblemType::Unavailable | ProblemType::Timeout | ProblemType::TooManyRequests => {
                Self::Failed
            }
            ProblemType::BadRequest
            | ProblemType::Unauthorized
            | ProblemType::Forbidden
            | ProblemType::MethodNotAllowed
            | ProblemType::Conflict
            | ProblemType::PreconditionFailed
            | ProblemType::UnsupportedVersion
            | ProblemType::TooLarge
            | ProblemType::UnsupportedMediaType
            | ProblemType::ContentMismatch
            | ProblemType::ChecksumMismatch
            | ProblemType::NotAVideo
            | ProblemType::Unprocessable
            | ProblemType::Infeasible
            | ProblemType::Corrupt
            | ProblemType::InsufficientStorage => Self::Declined,
        }
    }
}

#[cfg(test)]
mod tests {
    use triton_api::Problem;

    use super::*;

    #[test]
    fn only_a_nodes_own_word_makes_a_blob_absent() {
        let problem = |kind| Refusal::of(&ClientError::Problem(Box::new(Problem::new(kind, "x"))));
        assert_eq!(problem(ProblemType::NotFound), Refusal::Absent);
        assert_eq!(problem(ProblemType::Gone), Refusal::Deleted);
        assert_eq!(problem(ProblemType::Corrupt), Refusal::Declined);
        assert_eq!(problem(ProblemType::Internal), Refusal::Failed);
        let unexpected = |status| Refusal::of(&ClientError::Unexpected { url: String::new(), status });
        assert_eq!(unexpected(StatusCode::GONE), Refusal::Deleted);
        assert_eq!(unexpected(StatusCode::OK), Refusal::Failed);
        assert_eq!(Refusal::of(&ClientError::Timeout { url: String::new() }), Refusal::Failed);
    }
}
