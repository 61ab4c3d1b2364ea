//! A service as it is served: its router, and before that what lies in memory.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use axum::{Router, body::HttpBody, response::Response};
use http::{HeaderMap, Method, Request, Uri};

use crate::{layers, metrics::Meters, request_id::RequestId};

/// What is answered without asking anybody; `None` leaves the request to the router.
type AtOnce = dyn Fn(&Uri, &HeaderMap) -> Option<Response> + Send + Sync;

/// A router with all its layers, and a fast path around it.
#[derive(Clone)]
pub struct Service {
    pub(crate) router: Router,
    fast: Option<Arc<FastPath>>,
}

struct FastPath {
    name: &'static str,
    route: &'static str,
    meters: Meters,
    answer: Box<AtOnce>,
}

impl From<Router> for Service {
    fn from(router: Router) -> Self {
        Self { router, fast: None }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("fast", &self.fast.as_ref().map(|fast| fast.route)).finish_non_exhaustive()
    }
}

impl Service {
    /// Asks `answer` about each GET without a body before the router is asked. Finding the route, a span and a task's worth
    /// of layers take longer than sending 200 KiB from memory does.
    ///
    /// The answer must be 200 or 206, be all in memory, and be the one that `route` of the service called `name` would give:
    /// whoever answers here checks for himself what the layers of the route check. It gets a request id and is counted as
    /// others are. It has no span: it asks nobody else. After a panic the router answers.
    #[must_use]
    pub fn with_fast_path(
        self,
        name: &'static str,
        route: &'static str,
        answer: impl Fn(&Uri, &HeaderMap) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let fast = FastPath { name, route, meters: Meters::new(name), answer: Box::new(answer) };
        Self { fast: Some(Arc::new(fast)), ..self }
    }

    /// The answer from memory, where there is one.
    pub fn at_once<B: HttpBody>(&self, request: &Request<B>) -> Option<Response> {
        let fast = self.fast.as_deref()?;
        if request.method() != Method::GET || !request.body().is_end_stream() {
            return None;
        }
        let began = Instant::now();
        let answer = AssertUnwindSafe(|| (fast.answer)(request.uri(), request.headers()));
        let Ok(answer) = catch_unwind(answer) else {
            tracing::error!(service = fast.name, path = request.uri().path(), "the fast path panicked");
            return None;
        };
        let mut response = answer?;
        let id = RequestId::of(request.headers()).unwrap_or_else(RequestId::generate);
        let (path, status) = (request.uri().path(), response.status().as_u16());
        tracing::debug!(service = fast.name, request.id = %id, status, path, "request answered from memory");
        layers::mark(&mut response, id);
        fast.meters.answered_at_once(fast.route, request.method(), &response, began);
        Some(response)
    }
}
