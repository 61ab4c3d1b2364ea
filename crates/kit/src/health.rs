//! Routes that every service has: is it alive, is it ready, what does it count.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::extract::State;
use serde::Serialize;
use triton_api::ProblemType;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{extract::Json, metrics, problem::ApiError};

type Answer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Tells whether a service can do its work, or what it waits for.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> Answer + Send + Sync>);

impl Readiness {
    /// Asks `check` each time; its error says what the service waits for.
    pub fn new<F, Fut>(check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }
}

/// A service that lives.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`: a service that is not does not answer 200.
    #[schema(example = "ok")]
    status: &'static str,
}

/// `/healthz`, `/readyz` and `/metrics`, with their documents (tag `service`); no signature is asked for these.
pub fn routes<S>(readiness: Readiness) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics::metrics))
        .with_state(readiness)
}

/// Whether the process lives.
///
/// Says nothing of what it depends on: a supervisor that restarts on this would only make things worse.
#[utoipa::path(
    get, path = "/healthz", tag = "service", operation_id = "healthz",
    responses((status = 200, description = "The process lives.", body = Health))
)]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether the service can do its work.
#[utoipa::path(
    get, path = "/readyz", tag = "service", operation_id = "readyz",
    responses(
        (status = 200, description = "It can.", body = Health),
        (status = 503, description = "It cannot yet, or not now; `detail` says why.",
         body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Health>, ApiError> {
    match (readiness.0)().await {
        Ok(()) => Ok(Json(Health { status: "ok" })),
        Err(reason) => Err(ApiError::new(ProblemType::Unavailable, reason)),
    }
}
