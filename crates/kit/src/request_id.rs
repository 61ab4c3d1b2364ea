//! The request id: one name for a request in every service that it touches and in every log.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{
    Span, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::Context,
    registry::{LookupSpan, SpanData as _},
};
use uuid::Uuid;

/// The header that carries it.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The field of a span that names the request.
pub(crate) const REQUEST_ID_FIELD: &str = "request.id";

/// The id of a request: a UUID, version 7 where it is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that the caller gave. Anything but a UUID is ignored, so that nobody writes into our logs.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(REQUEST_ID_HEADER)?.to_str().ok().and_then(|text| Uuid::try_parse(text).ok()).map(Self)
    }

    /// The id of the request that the current span belongs to.
    pub fn current() -> Option<Self> {
        Span::current()
            .with_subscriber(|(id, dispatch)| {
                let registry = dispatch.downcast_ref::<Registry>()?;
                let mut next = registry.span_data(id).map(|data| data.id());
                while let Some(id) = next {
                    let data = registry.span_data(&id)?;
                    if let Some(found) = data.extensions().get::<Self>() {
                        return Some(*found);
                    }
                    next = data.parent().cloned();
                }
                None
            })
            .flatten()
    }

    /// The id as the value of [`REQUEST_ID_HEADER`].
    pub fn header_value(self) -> HeaderValue {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = self.0.as_hyphenated().encode_lower(&mut text);
        // A hyphenated UUID is visible ASCII.
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Remembers the id of each request span, so that [`RequestId::current`] finds it from any span below, in any task.
pub(crate) struct RequestIdLayer;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RequestIdLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut visitor = IdVisitor(None);
        attributes.record(&mut visitor);
        if let (Some(request_id), Some(span)) = (visitor.0, context.span(id)) {
            span.extensions_mut().insert(request_id);
        }
    }
}

struct IdVisitor(Option<RequestId>);

impl Visit for IdVisitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == REQUEST_ID_FIELD {
            self.0 = Uuid::try_parse(&format!("{value:?}")).ok().map(RequestId);
        }
    }
}
