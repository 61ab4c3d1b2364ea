//! Typed HTTP clients of our services. Every call has a deadline; none retries on its own.

mod events;
mod lane;
mod storage;
mod web;

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Empty;
use jiff::Timestamp;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use events::VideoEvents;
pub use storage::{BlobRead, NodeClient};
pub use web::{Tagged, WebClient};

use self::lane::{LaneBody, Lanes};
use crate::{
    NodeUrl, Problem, ProblemType,
    secret::{ClusterSecret, SIGNATURE_HEADER},
    storage::TOMBSTONE_HEADER,
};

/// The longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for the answer of a call that moves no content.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How requests name their sender.
const USER_AGENT: &str = concat!("tritontube/", env!("CARGO_PKG_VERSION"));
/// The longest error body that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The service answered with a problem document.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// No connection, or it broke.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// The deadline passed.
    #[error("no answer from {url} in time")]
    Timeout {
        /// What was called.
        url: String,
    },
    /// The answer is not what this API answers: is something else listening there?
    #[error("{url} answered {status} with something that is not TritonTube's")]
    Unexpected {
        /// What was called.
        url: String,
        /// The HTTP status.
        status: StatusCode,
    },
}

impl ClientError {
    /// The type of the problem that the service answered with, if it did.
    pub fn problem_type(&self) -> Option<ProblemType> {
        match self {
            Self::Problem(problem) => problem.problem_type(),
            _ => None,
        }
    }

    /// Whether the service said that the thing is not there (as opposed to not being able to tell).
    pub fn is_not_found(&self) -> bool {
        matches!(self.problem_type(), Some(ProblemType::NotFound | ProblemType::Gone))
    }

    /// Whether the service said that the thing was deleted for good.
    pub fn is_deleted(&self) -> bool {
        self.problem_type() == Some(ProblemType::Gone)
    }

    pub(crate) fn transport(url: &str, error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout { url: url.to_owned() };
        }
        // reqwest's own text is "error sending request"; the cause says what happened.
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        Self::Unreachable { url: url.to_owned(), reason }
    }
}

/// What all clients share: connections, the signature, the headers that tie requests together.
#[derive(Debug, Clone)]
pub struct Caller {
    http: reqwest::Client,
    lanes: Lanes,
    secret: Option<ClusterSecret>,
    trace: fn(&mut HeaderMap),
}

impl Caller {
    /// A caller with its own connection pool. `trace` adds request id and trace context to each request.
    pub fn new(secret: Option<ClusterSecret>, trace: fn(&mut HeaderMap)) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| ClientError::transport("(client)", &error))?;
        Ok(Self { http, lanes: Lanes::default(), secret, trace })
    }

    /// A caller that traces nothing, for programs that run for one command.
    pub fn untraced(secret: Option<ClusterSecret>) -> Result<Self, ClientError> {
        Self::new(secret, |_| {})
    }

    /// Starts a signed request.
    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let headers = self.headers(&method, target(url));
        self.http.request(method, url).headers(headers)
    }

    /// What every request carries: the signature, and what ties requests together.
    fn headers(&self, method: &Method, target: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        (self.trace)(&mut headers);
        if let Some(secret) = &self.secret {
            let signature = secret.sign(method.as_str(), target, Timestamp::now());
            if let Ok(value) = HeaderValue::from_str(&signature) {
                headers.insert(HeaderName::from_static(SIGNATURE_HEADER), value);
            }
        }
        headers
    }

    /// Sends a signed GET on a connection that the reader of the answer drives, and turns every status that is not 2xx
    /// into an error.
    async fn read(
        &self,
        node: &NodeUrl,
        path: &str,
        more: HeaderMap,
    ) -> Result<(http::response::Parts, LaneBody), ClientError> {
        let unreachable = |reason: &dyn std::fmt::Display| ClientError::Unreachable {
            url: node.join(path),
            reason: reason.to_string(),
        };
        let mut request = http::Request::get(path).body(Empty::new()).map_err(|error| unreachable(&error))?;
        let host = HeaderValue::from_str(node.authority()).map_err(|error| unreachable(&error))?;
        *request.headers_mut() = self.headers(&Method::GET, path);
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        request.headers_mut().extend(more);
        let (head, body) = self.lanes.send(node.authority(), &request).await.map_err(|error| unreachable(&error))?;
        if head.status.is_success() {
            return Ok((head, body));
        }
        Err(error_of(&node.join(path), &head.headers, head.status, body).await)
    }

    /// Sends and turns every status that is not 2xx into an error.
    pub(crate) async fn send(&self, url: &str, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| ClientError::transport(url, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let headers = response.headers().clone();
        Err(error_of(url, &headers, response.status(), response.bytes_stream()).await)
    }

    /// Sends and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: &str, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(url, request).await?;
        Self::body(url, response).await
    }

    /// Reads a JSON answer.
    pub(crate) async fn body<T: DeserializeOwned>(url: &str, response: Response) -> Result<T, ClientError> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| ClientError::transport(url, &error))?;
        serde_json::from_slice(&body).map_err(|_| ClientError::Unexpected { url: url.to_owned(), status })
    }
}

/// The path and query of a URL: what the other side sees as its request target.
fn target(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url.get(after_scheme..).and_then(|rest| rest.find('/').and_then(|slash| rest.get(slash..))).unwrap_or("/")
}

async fn error_of<E>(
    url: &str,
    headers: &HeaderMap,
    status: StatusCode,
    body: impl Stream<Item = Result<Bytes, E>>,
) -> ClientError {
    let mut chunks = pin!(body);
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > PROBLEM_BYTES_MAX {
            break;
        }
    }
    if headers.contains_key(TOMBSTONE_HEADER) {
        return ClientError::Problem(Box::new(Problem::new(ProblemType::Gone, format!("{url} was deleted."))));
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        // A HEAD answer has no body: the status must do.
        Err(_) if status == StatusCode::NOT_FOUND => {
            ClientError::Problem(Box::new(Problem::new(ProblemType::NotFound, format!("{url} is not there."))))
        }
        Err(_) => ClientError::Unexpected { url: url.to_owned(), status },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_path_with_query() {
        assert_eq!(target("http://a:1/v1/node?x=1"), "/v1/node?x=1");
        assert_eq!(target("http://a:1"), "/");
    }
}
