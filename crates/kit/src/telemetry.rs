//! Structured logs and trace context.
//!
//! Spans carry W3C trace context (`traceparent`) in and out, so that an operator's collector can join our logs to theirs;
//! nothing is exported from here.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use http::HeaderMap;
use opentelemetry::{
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TracerProvider as _,
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use thiserror::Error;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::request_id::{REQUEST_ID_HEADER, RequestId, RequestIdLayer};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged and how; to be flattened into a service's arguments.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// What to log: a level, or `target=level` pairs joined by commas (tracing's filter syntax)
    #[arg(long = "log", global = true, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub filter: String,
    /// How log lines look
    #[arg(long, global = true, env = "TRITON_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("--log (RUST_LOG) is not a log filter: {0}. Try `info` or `info,web_svc=debug`.")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A subscriber is there already.
    #[error("logging is already set up in this process")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts logging to standard error, once per process.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let json = match args.log_format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let filter = EnvFilter::builder().parse(&args.filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).with_filter(filter).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).with_filter(filter).boxed()
    };
    // Ids and trace context do not depend on what is logged: `--log error` still passes them on.
    tracing_subscriber::registry()
        .with(RequestIdLayer.with_filter(LevelFilter::INFO))
        .with(trace_context_layer().with_filter(LevelFilter::INFO))
        .with(lines)
        .try_init()?;
    Ok(())
}

/// Gives spans trace and span ids.
fn trace_context_layer<S>() -> tracing_opentelemetry::OpenTelemetryLayer<S, opentelemetry_sdk::trace::SdkTracer>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let provider = SdkTracerProvider::builder().build();
    // Nothing is exported: ids alone are wanted, and what else the layer gathers costs every request.
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("tritontube"))
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
}

/// Adds the id of the current request, or a new one, and the trace context of the current span to a request that goes out.
///
/// Fits `triton_api::client::Caller::new`. Work in another task belongs to the request when it runs in its span:
/// `task.instrument(tracing::Span::current())`.
pub fn outgoing(headers: &mut HeaderMap) {
    let id = RequestId::current().unwrap_or_else(RequestId::generate);
    headers.insert(REQUEST_ID_HEADER, id.header_value());
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Outgoing(headers));
}

/// Makes `span` a child of the caller's span, where the request names one.
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let parent = TraceContextPropagator::new().extract(&Incoming(headers));
    // It fails only without a subscriber, where there is nothing to trace.
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(%error, "trace context not taken over");
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;

    use super::*;

    #[test]
    fn outgoing_request_carries_id_and_trace_of_the_request_it_serves() {
        let subscriber = tracing_subscriber::registry().with(RequestIdLayer).with(trace_context_layer());
        with_default(subscriber, || {
            let id = RequestId::generate();
            let span = tracing::info_span!("request", request.id = %id);
            let mut incoming = HeaderMap::new();
            let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            incoming.insert("traceparent", parent.parse().unwrap());
            adopt(&span, &incoming);
            let below = span.in_scope(|| tracing::info_span!("read", node.id = 1));
            let mut headers = HeaderMap::new();
            below.in_scope(|| outgoing(&mut headers));
            assert_eq!(headers[REQUEST_ID_HEADER], id.to_string());
            let passed_on = headers["traceparent"].to_str().unwrap();
            assert!(passed_on.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{passed_on}");
            assert_ne!(passed_on, parent, "the span is a new one in the same trace");
        });
    }

    #[test]
    fn outgoing_request_without_a_span_has_an_id_of_its_own() {
        let mut headers = HeaderMap::new();
        outgoing(&mut headers);
        assert!(RequestId::of(&headers).is_some());
        assert!(!headers.contains_key("traceparent"));
    }
}
