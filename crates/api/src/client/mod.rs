//! Typed HTTP clients of our services. Every call has a deadline; none retries on its own.

mod events;
mod storage;
mod web;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use events::VideoEvents;
pub use storage::{BlobRead, NodeClient};
pub use web::{Tagged, WebClient};

use crate::{
    Problem, ProblemType,
    secret::{ClusterSecret, SIGNATURE_HEADER},
};

/// The longest wait for a TCP connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for the answer of a call that moves no content.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
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
            .user_agent(concat!("tritontube/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::transport("(client)", &error))?;
        Ok(Self { http, secret, trace })
    }

    /// A caller that traces nothing, for programs that run for one command.
    pub fn untraced(secret: Option<ClusterSecret>) -> Result<Self, ClientError> {
        Self::new(secret, |_| {})
    }

    /// Starts a signed request.
    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        (self.trace)(&mut headers);
        if let Some(secret) = &self.secret {
            let signature = secret.sign(method.as_str(), target(url), Timestamp::now());
            if let Ok(value) = HeaderValue::from_str(&signature) {
                headers.insert(HeaderName::from_static(SIGNATURE_HEADER), value);
            }
        }
        self.http.request(method, url).headers(headers)
    }

    /// Sends and turns every status that is not 2xx into an error.
    pub(crate) async fn send(&self, url: &str, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| ClientError::transport(url, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(error_of(url, response).await)
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

async fn error_of(url: &str, mut response: Response) -> ClientError {
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > PROBLEM_BYTES_MAX {
            break;
        }
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
