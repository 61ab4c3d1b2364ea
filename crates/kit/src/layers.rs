//! What happens to every request of every service that is routed; `service` has the way around.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, header::X_CONTENT_TYPE_OPTIONS};
use tower_http::{catch_panic::CatchPanicLayer, timeout::RequestBodyTimeoutLayer};
use tracing::Instrument as _;

use crate::{
    metrics::{Meters, Observed, route_name},
    problem::{self, ApiError},
    request_id::{REQUEST_ID_HEADER, RequestId},
    telemetry,
};

/// The longest silence of a caller in the middle of a body.
pub const BODY_SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Wraps a finished router, `service` being its name in metrics and logs.
///
/// From outside to inside: a request id, taken over from the caller where it is a UUID and always answered; a span with
/// method, route and ids, child of the caller's `traceparent`; metrics; every error a problem document, 404 and 405 of the
/// router included; a panic answered with 500; a body that falls silent for 30 s broken off. Limits on the length of a body
/// are left to each route.
pub fn layers(router: Router, service: &'static str) -> Router {
    router
        .layer(RequestBodyTimeoutLayer::new(BODY_SILENCE_TIMEOUT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Observer { service, meters: Meters::new(service) }, observe))
}

#[derive(Debug, Clone)]
struct Observer {
    service: &'static str,
    meters: Meters,
}

async fn observe(State(labels): State<Observer>, request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers()).unwrap_or_else(RequestId::generate);
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!(
        "request",
        service = labels.service,
        method = request.method().as_str(),
        route = route_name(route.as_ref()),
        request.id = %id,
    );
    telemetry::adopt(&span, request.headers());
    let observed = Observed::begin(labels.meters, route, request.method());
    answer(id, observed, request, next).instrument(span).await
}

async fn answer(id: RequestId, observed: Observed, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(id);
    let uri = request.uri().clone();
    let (mut response, cause) = problem::finish(next.run(request).await, id).await;
    let status = response.status().as_u16();
    match cause {
        Some(cause) if status == 500 => tracing::error!(status, path = uri.path(), cause, "request failed"),
        Some(cause) => tracing::warn!(status, path = uri.path(), cause, "request refused"),
        None => tracing::debug!(status, path = uri.path(), "request answered"),
    }
    mark(&mut response, id);
    observed.end(response)
}

/// The headers that every answer has.
pub(crate) fn mark(response: &mut Response, id: RequestId) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID_HEADER, id.header_value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::internal(format!("the handler panicked: {message}")).into_response()
}
