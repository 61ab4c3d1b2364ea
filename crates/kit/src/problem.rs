//! Errors of handlers as `application/problem+json` responses.

use std::error::Error;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use triton_api::{Problem, ProblemType, problem::PROBLEM_JSON};

use crate::request_id::RequestId;

type Cause = Box<dyn Error + Send + Sync>;

/// What a caller is told to wait, in seconds, where the handler names no time.
const RETRY_AFTER_SECONDS: u32 = 2;

/// What a handler answers when it cannot do what it was asked.
///
/// A service maps each of its error enums to this once (`impl From<VideoError> for ApiError`). The cause is logged once,
/// with the request id, by [`crate::layers::layers`]; the body of a 500 says nothing but that id.
#[derive(Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ProblemType,
    detail: String,
    cause: Option<Cause>,
    headers: HeaderMap,
}

impl ApiError {
    /// An error of this type; `detail` tells the caller what happened and what to do, except for 500s, where only the log
    /// has it.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        let mut headers = HeaderMap::new();
        if matches!(kind.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        Self(Box::new(Parts { kind, detail: detail.into(), cause: None, headers }))
    }

    /// A bug or a broken machine: 500, the cause in the log only.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(ProblemType::Internal, "").with_cause(cause)
    }

    /// There is nothing at this address.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::NotFound, detail)
    }

    /// The request's syntax or a parameter is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::BadRequest, detail)
    }

    /// Adds what the log should tell and the caller should not.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds a header to the response, such as `Content-Range` to a 416.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says when to try again, in seconds, instead of the default of two.
    #[must_use]
    pub fn with_retry_after_seconds(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The type of the problem.
    pub fn kind(&self) -> ProblemType {
        self.0.kind
    }
}

impl From<Problem> for ApiError {
    /// Passes on what another service answered; a type that this version does not know is an internal error here.
    fn from(problem: Problem) -> Self {
        match problem.problem_type() {
            Some(kind) => Self::new(kind, problem.detail),
            None => Self::internal(format!("unknown problem {}: {}", problem.kind, problem.detail)),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Parts { kind, detail, cause, headers } = *self.0;
        let mut problem = Problem::new(kind, &*detail);
        if problem.status == StatusCode::INTERNAL_SERVER_ERROR.as_u16() {
            "Look for the request id in the service's log; trying again may help.".clone_into(&mut problem.detail);
        }
        let mut response = render(&problem);
        response.headers_mut().extend(headers);
        let cause = cause.map_or(detail, |cause| chain(&*cause));
        response.extensions_mut().insert(Reported { problem, cause });
        response
    }
}

/// What [`finish`] finds in the extensions of a problem response.
#[derive(Debug, Clone)]
struct Reported {
    problem: Problem,
    cause: String,
}

/// Gives every error response its final form: a problem document with the request id as its instance. Returns what the log
/// should say about a server error.
pub(crate) async fn finish(response: Response, request_id: RequestId) -> (Response, Option<String>) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return (response, None);
    }
    let (mut parts, body) = response.into_parts();
    let Reported { mut problem, cause } = match parts.extensions.remove::<Reported>() {
        Some(reported) => reported,
        None if is_bare(&parts.headers) => bare(status, body).await,
        // Somebody wrote a body of their own: it is theirs.
        None => return (Response::from_parts(parts, body), None),
    };
    problem.instance = Some(format!("urn:uuid:{request_id}"));
    let mut rendered = render(&problem);
    *rendered.status_mut() = status;
    // All but what describes the former body: the list of allowed methods of a 405, the time to wait, the range's length.
    for name in [http::header::CONTENT_TYPE, http::header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    rendered.headers_mut().extend(parts.headers);
    *rendered.extensions_mut() = parts.extensions;
    (rendered, status.is_server_error().then_some(cause))
}

/// Whether the body is one of axum's own: none, or a line of plain text.
fn is_bare(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| value.as_bytes().starts_with(b"text/plain"))
}

/// The longest text of axum's own that is passed on, in bytes.
const BARE_BYTES_MAX: usize = 4096;

async fn bare(status: StatusCode, body: Body) -> Reported {
    let text = axum::body::to_bytes(body, BARE_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let kind = kind_of(status);
    let detail = match status {
        _ if status.is_server_error() => "Look for the request id in the service's log.",
        StatusCode::NOT_FOUND => "There is nothing at this address; /docs lists the addresses there are.",
        StatusCode::METHOD_NOT_ALLOWED => "This address exists, but not with this method: see the `allow` header.",
        _ if text.is_empty() => kind.title(),
        _ => &text,
    };
    let mut problem = Problem::new(kind, detail);
    problem.status = status.as_u16();
    Reported { problem, cause: text }
}

/// The type that fits a bare status best.
pub(crate) fn kind_of(status: StatusCode) -> ProblemType {
    match status {
        StatusCode::UNAUTHORIZED => ProblemType::Unauthorized,
        StatusCode::FORBIDDEN => ProblemType::Forbidden,
        StatusCode::NOT_FOUND => ProblemType::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemType::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ProblemType::Timeout,
        StatusCode::CONFLICT => ProblemType::Conflict,
        StatusCode::GONE => ProblemType::Gone,
        StatusCode::PRECONDITION_FAILED => ProblemType::PreconditionFailed,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemType::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemType::UnsupportedMediaType,
        StatusCode::RANGE_NOT_SATISFIABLE => ProblemType::RangeNotSatisfiable,
        StatusCode::UNPROCESSABLE_ENTITY => ProblemType::Unprocessable,
        StatusCode::TOO_MANY_REQUESTS => ProblemType::TooManyRequests,
        StatusCode::SERVICE_UNAVAILABLE => ProblemType::Unavailable,
        StatusCode::INSUFFICIENT_STORAGE => ProblemType::InsufficientStorage,
        other if other.is_server_error() => ProblemType::Internal,
        _ => ProblemType::BadRequest,
    }
}

fn render(problem: &Problem) -> Response {
    // A struct of strings and a number always serializes.
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error with its sources, joined by colons.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
