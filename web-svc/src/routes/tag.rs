//! `ETag` and `If-Match` (RFC 9110): who edits a video says which state of it they saw.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use axum_extra::{
    TypedHeader,
    headers::{ETag, IfMatch},
};
use http::{header::IF_MATCH, request::Parts};
use triton_api::{ProblemType, video::Video};
use triton_kit::{ApiError, extract::Json};

use crate::journal::Revision;

/// The strong tag of a record: the revision at which it was last changed, whoever changed it.
fn tag(revision: Revision) -> ETag {
    format!("\"{revision}\"").parse().expect("a number in quotes is a tag")
}

/// A video with the tag of its record, which a later change can name in `If-Match`.
pub(super) struct Tagged {
    pub(super) video: Video,
    pub(super) revision: Revision,
}

impl IntoResponse for Tagged {
    fn into_response(self) -> Response {
        (TypedHeader(tag(self.revision)), Json(self.video)).into_response()
    }
}

/// The states that a change is meant for: any, where the request has no `If-Match`.
pub(super) struct Precondition(Option<IfMatch>);

impl Precondition {
    /// Of a request that may change any state.
    pub(super) const NONE: Self = Self(None);

    /// Lets the change go on where the record is in a state that it is meant for.
    pub(super) fn check(&self, revision: Revision) -> Result<(), ApiError> {
        match &self.0 {
            Some(wanted) if !wanted.precondition_passes(&tag(revision)) => Err(ApiError::new(
                ProblemType::PreconditionFailed,
                "The video was changed since you looked at it. Get it again, decide again, and send the change with the \
                 ETag of that answer in If-Match.",
            )),
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // Without this look at the name, no header at all would be an empty list, which no state is in.
        if !parts.headers.contains_key(IF_MATCH) {
            return Ok(Self(None));
        }
        match TypedHeader::<IfMatch>::from_request_parts(parts, state).await {
            Ok(TypedHeader(wanted)) => Ok(Self(Some(wanted))),
            Err(_) => {
                Err(ApiError::bad_request("If-Match is `*` or a list of tags in quotes, each as an ETag gave it."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(header: Option<&str>, revision: u64) -> Result<(), ProblemType> {
        let mut request = http::Request::builder();
        if let Some(header) = header {
            request = request.header(http::header::IF_MATCH, header);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let precondition = Precondition::from_request_parts(&mut parts, &()).await.map_err(|error| error.kind())?;
        precondition.check(Revision::new(revision)).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn a_change_goes_on_only_from_a_state_that_it_names() {
        for good in [None, Some("*"), Some("\"7\""), Some("\"3\", \"7\"")] {
            assert_eq!(check(good, 7).await, Ok(()), "{good:?}");
        }
        // A weak tag says "about the same", which is too little to overwrite something.
        for other in ["\"6\"", "W/\"7\"", "\"77\", \"0\""] {
            assert_eq!(check(Some(other), 7).await, Err(ProblemType::PreconditionFailed), "{other}");
        }
        for malformed in ["7", "", "\"7"] {
            assert_eq!(check(Some(malformed), 7).await, Err(ProblemType::PreconditionFailed), "{malformed}");
        }
    }
}
