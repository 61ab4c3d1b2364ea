//! Resumable uploads: the tus protocol, version 1.0.0, with the extensions creation, creation-with-upload, checksum,
//! expiration, termination and concatenation.

mod chunk;
mod creation;
mod headers;
mod protocol;
mod status;

use axum::middleware;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub(super) use protocol::with_method_override;

/// The routes, each of which checks and names the protocol's version.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(creation::create_upload, protocol::describe_uploads))
        .routes(routes!(status::show_upload, chunk::append_upload, status::delete_upload, protocol::describe_upload))
        .layer(middleware::from_fn(protocol::speak_tus))
}
