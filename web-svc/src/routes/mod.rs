//! The REST API, the media and the page: this is the table of contents of the service.

mod captions;
mod content;
mod delete;
mod events;
mod jobs;
mod list;
mod media;
mod page;
mod tag;
mod uploads;
mod videos;

use std::sync::Arc;

use triton_api::{secret::ClusterSecret, video};
use triton_kit::{Service, document, health, layers, secret};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    cluster::{self, Cluster},
    moving,
};

/// As metrics and logs have it.
const NAME: &str = "web-svc";

/// The whole service.
pub fn service(
    app: App,
    cluster: &Cluster,
    readiness: health::Readiness,
    admin_secret: Option<ClusterSecret>,
) -> Service {
    let player = Arc::new(app.clone());
    let media = media_routes().with_state(Arc::clone(&player));
    let (open, document) = open_routes().with_state(app.clone()).merge(media).split_for_parts();
    let (admin, admin_document) = admin_routes()
        .with_state(app.clone())
        .merge(cluster.routes())
        .merge(moving::routes(app, cluster.clone()))
        .split_for_parts();
    let (service, service_document) = health::routes::<()>(readiness).split_for_parts();
    let document = assemble(document, [admin_document, service_document]);
    let admin = secret::require_signature(admin, admin_secret);
    let router = open.merge(admin).merge(service).merge(document::docs(document)).fallback(page::page);
    Service::from(uploads::with_method_override(layers::layers(router, NAME))).with_fast_path(
        NAME,
        video::route::MEDIA_FILE,
        move |uri, headers| media::file_at_once(&player, uri, headers),
    )
}

/// A worker has nothing to offer but its health.
pub fn worker_service(readiness: health::Readiness) -> Service {
    let (service, _) = health::routes::<()>(readiness).split_for_parts();
    layers::layers(service, "web-svc worker").into()
}

/// The document alone.
pub fn openapi() -> OpenApi {
    let service = health::routes::<()>(health::Readiness::new(|| async { Ok(()) })).into_openapi();
    assemble(
        open_routes().into_openapi(),
        [
            media_routes().into_openapi(),
            admin_routes().into_openapi(),
            cluster::document(),
            moving::document(),
            service,
        ],
    )
}

fn assemble<const N: usize>(document: OpenApi, others: [OpenApi; N]) -> OpenApi {
    document::finish(others.into_iter().fold(document, OpenApi::merge_from))
}

/// Everybody's routes. Who may do what will be decided here, by a layer, when there are accounts; and in the fast path of
/// [`service`], which comes before all layers.
fn open_routes() -> OpenApiRouter<App> {
    let base = document::base(
        "TritonTube",
        "Upload, transcode and play videos. Times are RFC 3339, sizes are bytes, errors are RFC 9457 problems.",
        "http://127.0.0.1:8080",
        &[
            ("videos", "The catalog."),
            ("uploads", "Resumable uploads after the tus protocol, version 1.0.0 (https://tus.io)."),
            ("media", "Manifests, segments and pictures for players."),
            ("cluster", "Storage nodes, the rebalance and jobs, for operators."),
        ],
    );
    OpenApiRouter::with_openapi(base)
        .routes(routes!(list::list))
        .routes(routes!(videos::create))
        .routes(routes!(videos::show))
        .routes(routes!(videos::edit))
        .routes(routes!(delete::delete))
        .routes(routes!(videos::retry))
        .routes(routes!(events::events))
        .routes(routes!(captions::list))
        .routes(routes!(captions::put))
        .routes(routes!(captions::delete))
        .merge(uploads::routes())
}

/// Everybody's, too. Their state is one pointer, as axum clones it for each of the many small requests that a player sends.
fn media_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(media::download))
        .routes(routes!(media::dash))
        .routes(routes!(media::hls))
        .routes(routes!(media::poster))
        .routes(routes!(media::storyboard))
        .routes(routes!(media::storyboard_sprite))
        .routes(routes!(captions::file))
        .routes(routes!(media::file))
}

fn admin_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(jobs::jobs))
}
