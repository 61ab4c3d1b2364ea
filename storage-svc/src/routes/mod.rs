//! The routes of a node: what there is, and who may use it.

mod blob;
mod headers;
mod orphan;
mod partition;
mod read;
mod status;
mod tombstone;

pub(crate) use headers::{block_sums_value, etag_value};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use triton_api::{secret::ClusterSecret, storage::route};
use triton_kit::{document, health, layers, secret};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{courtesy, node::Node};

const TITLE: &str = "TritonTube storage node";
const DESCRIPTION: &str = "Immutable blobs on one disk. A key has one content for ever; every byte that leaves a node was \
     verified; an acknowledged write is on the disk.";
const TAGS: [(&str, &str); 3] = [
    ("blobs", "Immutable blobs by key."),
    ("partitions", "What the node holds, and moving it between nodes."),
    ("node", "The node and the layout that it knows."),
];

/// Everything that the cluster secret guards.
fn guarded() -> OpenApiRouter<Node> {
    OpenApiRouter::with_openapi(document::base(TITLE, DESCRIPTION, "http://127.0.0.1:8090", &TAGS))
        .routes(routes!(read::get_blob, read::head_blob, blob::put_blob, blob::delete_blob))
        .routes(routes!(partition::list_partitions))
        .routes(routes!(partition::get_partition))
        .routes(routes!(partition::pull_partition))
        .routes(routes!(partition::release_partition))
        .routes(routes!(orphan::list_orphans))
        .routes(routes!(orphan::collect_orphans))
        .routes(routes!(orphan::restore_orphans))
        .routes(routes!(tombstone::list_tombstones))
        .routes(routes!(tombstone::get_tombstones))
        .routes(routes!(status::get_layout, status::put_layout))
        .routes(routes!(status::get_node))
}

/// The node's router, complete with documents, health, metrics and layers.
pub(crate) fn router(node: Node, required: Option<ClusterSecret>) -> Router {
    let (blobs, document) = guarded().with_state(node.clone()).split_for_parts();
    let blobs = blobs.route_layer(middleware::from_fn_with_state(node.clone(), notice));
    let (open, open_document) = health::routes(status::readiness(node)).split_for_parts();
    let document = finish(document.merge_from(open_document));
    let router = secret::require_signature(blobs, required).merge(open).merge(document::docs(document));
    layers::layers(router, "storage-svc")
}

/// Notes that somebody speaks to this node, and for how long.
async fn notice(State(node): State<Node>, request: Request, next: Next) -> Response {
    node.presence.hear();
    let _busy = request.uri().path().starts_with(route::BLOB_PREFIX).then(|| node.foreground.begin());
    courtesy::observe(node.clone(), request, next).await
}

/// The OpenAPI document of a node, without starting one.
pub fn openapi() -> OpenApi {
    let ready = health::Readiness::new(|| std::future::ready(Ok(())));
    finish(guarded().to_openapi().merge_from(health::routes::<()>(ready).to_openapi()))
}

/// axum's wildcard `{*key}` is `{key}` in OpenAPI.
fn finish(mut document: OpenApi) -> OpenApi {
    document.paths.paths =
        document.paths.paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document::finish(document)
}
