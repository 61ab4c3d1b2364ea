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
use http::Method;
use triton_api::{
    secret::ClusterSecret,
    storage::{BACKGROUND_HEADER, route},
};
use triton_kit::{Service, document, health, layers, secret};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{courtesy, node::Node};

/// As metrics and logs have it.
const NAME: &str = "storage-svc";
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

/// The node's router, complete with documents, health, metrics and layers, and the way around it for what lies in memory.
pub(crate) fn service(node: Node, required: Option<ClusterSecret>) -> Service {
    let (secret, at_once) = (required.clone(), node.clone());
    Service::from(router(node, required)).with_fast_path(NAME, route::BLOB, move |uri, headers| {
        let piece = read::AtOnce::find(&at_once, uri, headers)?;
        if secret::is_permitted(secret.as_ref(), &Method::GET, uri, headers) { piece.answer() } else { None }
    })
}

fn router(node: Node, required: Option<ClusterSecret>) -> Router {
    let (blobs, document) = guarded().with_state(node.clone()).split_for_parts();
    let blobs = blobs.route_layer(middleware::from_fn_with_state(node.clone(), notice));
    let (open, open_document) = health::routes(status::readiness(node)).split_for_parts();
    let document = finish(document.merge_from(open_document));
    let router = secret::require_signature(blobs, required).merge(open).merge(document::docs(document));
    layers::layers(router, NAME)
}

/// Notes that somebody speaks to this node, and for how long. What moves between nodes can wait as the scrub can.
async fn notice(State(node): State<Node>, request: Request, next: Next) -> Response {
    node.presence.hear();
    let is_viewers =
        request.uri().path().starts_with(route::BLOB_PREFIX) && !request.headers().contains_key(BACKGROUND_HEADER);
    let busy = is_viewers.then(|| node.foreground.begin());
    let response = courtesy::observe(node, request, next).await;
    match busy {
        Some(busy) => response.map(|body| busy.until_end_of(body)),
        None => response,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use tower::ServiceExt as _;
    use triton_api::client::Caller;

    use super::*;
    use crate::{background::Background, cache::Cache, pace::Pace, store::Store};

    /// Longer than what one answer holds in memory.
    const LONG_BYTES: usize = 3 * 1024 * 1024;

    async fn ask(node: &Node, method: Method, headers: &[(&str, &str)], body: Body) -> Response {
        let mut request = Request::builder().method(method).uri("/v1/blobs/v/long");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (service, request) = (service(node.clone(), None), request.body(body).unwrap());
        match service.at_once(&request) {
            Some(response) => response,
            None => router(node.clone(), None).oneshot(request).await.unwrap(),
        }
    }

    fn node(dir: &tempfile::TempDir, cache_bytes: u64) -> Node {
        let store = Store::open(dir.path(), Some(0)).unwrap();
        let cache = Cache::new(store.clone(), cache_bytes).map(Arc::new);
        let caller = Caller::new(None, |_| ()).unwrap();
        Node::new(store, cache, caller, Pace::new(None), Background::start().unwrap())
    }

    #[tokio::test]
    async fn what_moves_between_nodes_is_not_kept_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let node = node(&dir, 64 * 1024 * 1024);
        ask(&node, Method::PUT, &[], Body::from(vec![7; 1000])).await;
        let pieces = || node.cache.as_ref().unwrap().size().0;
        for _ in 0..3 {
            assert_eq!(ask(&node, Method::GET, &[(BACKGROUND_HEADER, "1")], Body::empty()).await.status(), 200);
        }
        assert_eq!(pieces(), 0);
        assert_eq!(ask(&node, Method::GET, &[], Body::empty()).await.status(), 200);
        assert_eq!(pieces(), 1);
    }

    #[tokio::test]
    async fn from_memory_viewers_are_answered_before_the_router_and_copies_never() {
        let dir = tempfile::tempdir().unwrap();
        let node = node(&dir, 64 * 1024 * 1024);
        ask(&node, Method::PUT, &[], Body::from(vec![7; 1000])).await;
        ask(&node, Method::GET, &[], Body::empty()).await;
        let waits = node.courtesy.waits();
        let service = service(node.clone(), None);
        let request = || Request::get("/v1/blobs/v/long");
        let copy = request().header(BACKGROUND_HEADER, "1").body(Body::empty()).unwrap();
        assert!(service.at_once(&copy).is_none(), "its pace is the router's business");
        assert!(service.at_once(&request().body(Body::empty()).unwrap()).is_some());
        assert_eq!(node.courtesy.waits(), waits + 1, "copies go by what viewers wait for");
    }

    /// Each write has a bound, so that all of them have one only where they are counted.
    #[tokio::test(start_paused = true)]
    async fn writers_beyond_the_memory_for_them_wait_and_are_refused_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let node = node(&dir, 0);
        let mut turns = Vec::new();
        for _ in 0..64 {
            turns.push(node.write_turn().await.unwrap());
        }
        assert_eq!(ask(&node, Method::PUT, &[], Body::from("x")).await.status(), 503);
        turns.pop();
        assert_eq!(ask(&node, Method::PUT, &[], Body::from("x")).await.status(), 201);
    }

    #[tokio::test]
    async fn a_viewer_is_there_until_the_answer_is_read_and_a_copy_between_nodes_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let node = node(&dir, 0);
        let stored = ask(&node, Method::PUT, &[], Body::from(vec![7; LONG_BYTES])).await;
        assert_eq!(stored.status(), http::StatusCode::CREATED);
        assert!(!node.foreground.is_busy());
        let copy = ask(&node, Method::GET, &[(BACKGROUND_HEADER, "1")], Body::empty()).await;
        assert!(!node.foreground.is_busy());
        drop(copy);
        let answer = ask(&node, Method::GET, &[], Body::empty()).await;
        assert!(node.foreground.is_busy(), "its content is still to be read");
        let content = axum::body::to_bytes(answer.into_body(), LONG_BYTES).await.unwrap();
        assert_eq!((content.len(), node.foreground.is_busy()), (LONG_BYTES, false));
        let answer = ask(&node, Method::GET, &[("range", "bytes=0-9")], Body::empty()).await;
        assert!(!node.foreground.is_busy(), "its content is in memory");
        drop(answer);
    }
}
