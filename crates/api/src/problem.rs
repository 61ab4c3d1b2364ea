//! Errors as RFC 9457 problem documents, with a closed set of types.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, as a stable name that programs can match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// The request's syntax or a parameter is wrong.
    BadRequest,
    /// The cluster secret is missing or wrong.
    Unauthorized,
    /// The caller may not do this.
    Forbidden,
    /// There is nothing at this address.
    NotFound,
    /// The address exists, the method does not.
    MethodNotAllowed,
    /// The request contradicts the present state.
    Conflict,
    /// The key was deleted and keys are never used again.
    Gone,
    /// A required condition on the present state does not hold.
    PreconditionFailed,
    /// The version of the protocol that the caller asks for is not spoken here.
    UnsupportedVersion,
    /// The body is larger than the limit.
    TooLarge,
    /// The body has a media type that is not understood.
    UnsupportedMediaType,
    /// The range lies outside of the content.
    RangeNotSatisfiable,
    /// The body arrived, but its content is not what was declared.
    ContentMismatch,
    /// The chunk of an upload does not have the checksum that was declared: send it again.
    ChecksumMismatch,
    /// The upload is neither a video nor sound that can be played.
    NotAVideo,
    /// The request is well formed, but its content cannot be accepted.
    Unprocessable,
    /// The caller's layout epoch is older than the node's.
    StaleEpoch,
    /// The blob exists with another content.
    BlobExists,
    /// The change of the layout cannot be done.
    Infeasible,
    /// Too many requests at once.
    TooManyRequests,
    /// The caller took too long.
    Timeout,
    /// A bug or a broken disk; the log has the cause under the request id.
    Internal,
    /// A copy on this node is damaged; another replica may be fine.
    Corrupt,
    /// Too few storage nodes or no quorum right now: try again later.
    Unavailable,
    /// The disk is full or in read-only mode.
    InsufficientStorage,
}

impl ProblemType {
    /// The HTTP status that goes with this type.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::StaleEpoch | Self::BlobExists | Self::Infeasible => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed | Self::UnsupportedVersion => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::ContentMismatch | Self::NotAVideo | Self::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            // The tus protocol's own status, which no registry lists.
            Self::ChecksumMismatch => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Internal | Self::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// A short summary for a person, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not understood",
            Self::Unauthorized => "The cluster secret is missing or wrong",
            Self::Forbidden => "This is not allowed",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This method is not supported here",
            Self::Conflict => "The request contradicts the present state",
            Self::Gone => "Deleted for good",
            Self::PreconditionFailed => "The state has changed meanwhile",
            Self::UnsupportedVersion => "This version of the protocol is not supported",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The media type is not supported",
            Self::RangeNotSatisfiable => "The range lies outside of the content",
            Self::ContentMismatch => "The content is not what was declared",
            Self::ChecksumMismatch => "The checksum does not match",
            Self::NotAVideo => "This is neither a video nor sound that can be played",
            Self::Unprocessable => "The content cannot be accepted",
            Self::StaleEpoch => "The layout has changed",
            Self::BlobExists => "The blob exists with another content",
            Self::Infeasible => "The layout cannot be changed like this",
            Self::TooManyRequests => "Too many requests",
            Self::Timeout => "The request took too long",
            Self::Internal => "Something broke here",
            Self::Corrupt => "This copy is damaged",
            Self::Unavailable => "Not available right now",
            Self::InsufficientStorage => "No space left",
        }
    }

    /// The type's URI: a stable name, resolved nowhere.
    pub fn uri(self) -> String {
        let name = serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        format!("urn:tritontube:problem:{name}")
    }

    fn from_uri(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix("urn:tritontube:problem:")?;
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// An `application/problem+json` body (RFC 9457).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Error)]
#[error("{detail}")]
pub struct Problem {
    /// A stable URI that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:tritontube:problem:not-found")]
    pub kind: String,
    /// A summary that is the same for every problem of this type.
    #[schema(example = "Not found")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What happened this time, and what to do.
    #[schema(example = "There is no video AZqxJ2QkcYuS5T3mVb0aXw.")]
    pub detail: String,
    /// The id of the request, to be found in the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(example = "urn:uuid:0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234")]
    pub instance: Option<String>,
}

impl Problem {
    /// A problem of the given type; `detail` says what happened and what to do.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            instance: None,
        }
    }

    /// The type, where it is one that this version knows.
    pub fn problem_type(&self) -> Option<ProblemType> {
        ProblemType::from_uri(&self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_survives_the_wire() {
        let problem = Problem::new(ProblemType::RangeNotSatisfiable, "x");
        assert_eq!(problem.kind, "urn:tritontube:problem:range-not-satisfiable");
        assert_eq!(problem.problem_type(), Some(ProblemType::RangeNotSatisfiable));
        assert_eq!(problem.status, 416);
    }
}
