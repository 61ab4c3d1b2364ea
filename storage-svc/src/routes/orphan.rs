//! Blobs that no metadata refers to, moved aside by the leader and brought back by it.

use axum::extract::State;
use serde::Deserialize;
use triton_api::{
    Page,
    storage::{ORPHANS_MAX, Orphan, OrphanReport, OrphanRequest, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Query},
};
use utoipa::IntoParams;

use crate::{
    blocking,
    node::Node,
    store::{Store, StoreError},
};

/// Where in the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OrphanQuery {
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the blobs that were moved aside, because no metadata refers to them.
#[utoipa::path(
    get, path = route::ORPHANS, tag = "blobs", operation_id = "listOrphans", params(OrphanQuery),
    responses((status = 200, description = "One page of them, in no particular order.", body = Page<Orphan>))
)]
pub(super) async fn list_orphans(
    State(node): State<Node>,
    Query(query): Query<OrphanQuery>,
) -> Result<Json<Page<Orphan>>, ApiError> {
    Ok(Json(blocking::run(move || node.store.list_orphans(query.cursor.as_deref())).await?))
}

/// Move blobs aside.
///
/// They are unlinked a week later, unless they are brought back. What is younger than the request says stays.
#[utoipa::path(
    post, path = route::ORPHANS_COLLECT, tag = "blobs", operation_id = "collectOrphans",
    request_body(content = OrphanRequest, description = "Which blobs, at most 1000."),
    responses((status = 200, description = "How many were moved.", body = OrphanReport))
)]
pub(super) async fn collect_orphans(
    State(node): State<Node>,
    Json(request): Json<OrphanRequest>,
) -> Result<Json<OrphanReport>, ApiError> {
    let OrphanRequest { epoch, age_ms_min, .. } = request;
    each(node.store.clone(), request, move |store, key| store.set_aside(key, age_ms_min, epoch)).await
}

/// Bring blobs back that were moved aside.
#[utoipa::path(
    post, path = route::ORPHANS_RESTORE, tag = "blobs", operation_id = "restoreOrphans",
    request_body(content = OrphanRequest, description = "Which blobs, at most 1000."),
    responses((status = 200, description = "How many are back.", body = OrphanReport))
)]
pub(super) async fn restore_orphans(
    State(node): State<Node>,
    Json(request): Json<OrphanRequest>,
) -> Result<Json<OrphanReport>, ApiError> {
    each(node.store.clone(), request, Store::bring_back).await
}

async fn each(
    store: Store,
    request: OrphanRequest,
    work: impl Fn(&Store, &triton_api::BlobKey) -> Result<bool, StoreError> + Send + 'static,
) -> Result<Json<OrphanReport>, ApiError> {
    if request.keys.len() > ORPHANS_MAX {
        return Err(ApiError::bad_request(format!("More than {ORPHANS_MAX} keys in one request.")));
    }
    let moved = blocking::run(move || {
        request.keys.iter().try_fold(0, |moved, key| work(&store, key).map(|did| moved + u64::from(did)))
    })
    .await?;
    Ok(Json(OrphanReport { moved }))
}
