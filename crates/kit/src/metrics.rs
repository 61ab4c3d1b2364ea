//! Prometheus metrics: the recorder, and what every service counts about its requests.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::MatchedPath,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of latency histograms, in seconds: every metric whose name ends in `_seconds` has these.
const SECONDS_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// A global, because the recorder of the `metrics` crate is one: two services in a process, or a hundred in the tests of
/// one binary, share it.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder; later calls return the same one.
///
/// # Panics
///
/// When another recorder is installed already, which no code of ours does.
#[expect(clippy::expect_used, reason = "constant buckets, and nobody else installs a recorder")]
pub fn init() -> PrometheusHandle {
    RECORDER
        .get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)
                .expect("there are buckets")
                .install_recorder()
                .expect("the first recorder of this process");
            describe();
            handle
        })
        .clone()
}

/// Gathers what the histograms have piled up.
pub(crate) fn upkeep() {
    if let Some(handle) = RECORDER.get() {
        handle.run_upkeep();
    }
}

fn describe() {
    describe_counter!("http_requests_total", "Requests answered, by service, route, method and status.");
    describe_histogram!("http_request_duration_seconds", "Time until the head of the answer.");
    describe_counter!("http_response_bytes_total", "Payload bytes sent.");
    describe_gauge!("http_requests_in_flight", "Requests being answered, until the head of the answer.");
}

/// Every metric of this process, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "service", operation_id = "metrics",
    responses((status = 200, description = "Prometheus text format.", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics() -> Response {
    let mut response = init().render().into_response();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// What a service counts about its requests. Looking a series up by its labels costs more than answering from memory does, so
/// that each is looked up once.
#[derive(Debug, Clone)]
pub(crate) struct Meters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    in_flight: Gauge,
    /// By route, which are few; then by method and status, which are few for each.
    routes: RwLock<HashMap<String, Vec<Arc<Series>>>>,
}

/// The series of one route, method and status.
#[derive(Debug)]
struct Series {
    method: &'static str,
    status: StatusCode,
    requests: Counter,
    duration: Histogram,
    bytes: Counter,
}

impl Meters {
    pub(crate) fn new(service: &'static str) -> Self {
        // A series that is looked up before there is a recorder counts nothing for ever.
        init();
        let in_flight = gauge!("http_requests_in_flight", "service" => service);
        Self(Arc::new(Inner { service, in_flight, routes: RwLock::default() }))
    }

    /// Counts a request that was answered from memory, and all of its answer.
    pub(crate) fn answered_at_once(&self, route: &str, method: &Method, response: &Response, began: Instant) {
        let series = self.series(route, method_name(method), response.status());
        series.answered(began);
        series.bytes.increment(response.body().size_hint().lower());
    }

    fn series(&self, route: &str, method: &'static str, status: StatusCode) -> Arc<Series> {
        let find = |known: &[Arc<Series>]| {
            known.iter().find(|series| series.method == method && series.status == status).map(Arc::clone)
        };
        let routes = self.0.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = routes.get(route).and_then(|known| find(known)) {
            return found;
        }
        drop(routes);
        let mut routes = self.0.routes.write().unwrap_or_else(PoisonError::into_inner);
        let known = routes.entry(route.to_owned()).or_default();
        // Another request may have been faster.
        find(known).unwrap_or_else(|| {
            let series = Arc::new(Series::new(self.0.service, route, method, status));
            known.push(Arc::clone(&series));
            series
        })
    }
}

impl Series {
    fn new(service: &'static str, route: &str, method: &'static str, status: StatusCode) -> Self {
        let route = route.to_owned();
        Self {
            method,
            status,
            requests: counter!(
                "http_requests_total",
                "service" => service, "route" => route.clone(), "method" => method, "status" => code(status)
            ),
            duration: histogram!(
                "http_request_duration_seconds", "service" => service, "route" => route.clone(), "method" => method
            ),
            bytes: counter!("http_response_bytes_total", "service" => service, "route" => route),
        }
    }

    fn answered(&self, began: Instant) {
        self.duration.record(began.elapsed().as_secs_f64());
        self.requests.increment(1);
    }
}

/// One request while it is answered.
pub(crate) struct Observed {
    meters: Meters,
    route: Option<MatchedPath>,
    method: &'static str,
    began: Instant,
}

impl Observed {
    pub(crate) fn begin(meters: Meters, route: Option<MatchedPath>, method: &Method) -> Self {
        meters.0.in_flight.increment(1.0);
        Self { meters, route, method: method_name(method), began: Instant::now() }
    }

    /// Counts the answer, and the bytes of its body as they go out.
    pub(crate) fn end(self, response: Response) -> Response {
        let series = self.meters.series(route_name(self.route.as_ref()), self.method, response.status());
        series.answered(self.began);
        response.map(|body| Body::new(Counted { body, series }))
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        // Here and not in `end`: a caller that hangs up drops the whole future.
        self.meters.0.in_flight.decrement(1.0);
    }
}

/// The route as a label.
pub(crate) fn route_name(route: Option<&MatchedPath>) -> &str {
    route.map_or("none", MatchedPath::as_str)
}

/// The method as a label; what callers invent is one value, so that they cannot make series.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn code(status: StatusCode) -> String {
    status.as_str().to_owned()
}

/// A body that counts what goes out; its length stays known.
struct Counted {
    body: Body,
    series: Arc<Series>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.series.bytes.increment(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
