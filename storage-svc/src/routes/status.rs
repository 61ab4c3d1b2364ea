//! The node itself, and the layout that it knows.

use axum::extract::State;
use http::StatusCode;
use triton_api::{
    layout::LayoutRecord,
    storage::{DiskState, NodeInfo, route},
};
use triton_kit::{ApiError, MigrationStep, extract::Json, health::Readiness};

use crate::{blocking, node::Node};

/// Describe the node: identity, room, content, disk.
#[utoipa::path(
    get, path = route::NODE, tag = "node", operation_id = "getNode",
    responses((status = 200, description = "The node about itself.", body = NodeInfo))
)]
pub(super) async fn get_node(State(node): State<Node>) -> Result<Json<NodeInfo>, ApiError> {
    let (store, reconciling) = (node.store.clone(), node.presence.is_unsettled());
    let info = blocking::run(move || store.info()).await?;
    Ok(Json(NodeInfo { reconciling, ..info }))
}

/// Get the layout that this node knows.
#[utoipa::path(
    get, path = route::LAYOUT, tag = "node", operation_id = "getLayout",
    responses((status = 200, description = "The layout.", body = LayoutRecord))
)]
pub(super) async fn get_layout(State(node): State<Node>) -> Result<Json<LayoutRecord>, ApiError> {
    match node.store.layout() {
        Some(record) => Ok(Json(LayoutRecord::clone(&record))),
        None => Err(ApiError::not_found("Nobody has told this node a layout yet.")),
    }
}

/// Tell the node a layout.
///
/// When this answers, the layout is durable and no write of an older epoch succeeds any more. The same layout again is no
/// error, an older one is.
#[utoipa::path(
    put, path = route::LAYOUT, tag = "node", operation_id = "putLayout",
    request_body(content = LayoutRecord, description = "The layout."),
    responses((status = 204, description = "The node knows the layout."))
)]
pub(super) async fn put_layout(
    State(node): State<Node>,
    Json(record): Json<LayoutRecord>,
) -> Result<StatusCode, ApiError> {
    let epoch = record.write_epoch();
    let store = node.store.clone();
    blocking::run(move || store.learn_layout(record)).await?;
    node.presence.learned();
    MigrationStep::LayoutLearned.reached();
    tracing::info!(%epoch, "the layout is known");
    Ok(StatusCode::NO_CONTENT)
}

/// A node is ready while its disk takes writes.
pub(super) fn readiness(node: Node) -> Readiness {
    Readiness::new(move || {
        let store = node.store.clone();
        async move {
            match blocking::run(move || store.disk_state()).await {
                Ok(DiskState::Ok) => Ok(()),
                Ok(DiskState::Full) => Err("The disk is full: writes are refused, reads go on.".to_owned()),
                Ok(DiskState::ReadOnly) => {
                    Err("An fsync failed: writes are refused until a restart, reads go on.".to_owned())
                }
                Err(error) => Err(error.to_string()),
            }
        }
    })
}
