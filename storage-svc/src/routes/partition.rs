//! What the node holds, and moving it between nodes.

use axum::extract::State;
use serde::Deserialize;
use triton_api::{
    BlobKey, Page, PartitionId,
    storage::{InventoryEntry, PartitionDigest, PullReport, PullRequest, ReleaseReport, ReleaseRequest, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Path, Query},
};
use utoipa::IntoParams;

use crate::{blocking, node::Node, pull, release, store::PAGE_ENTRIES_MAX};

/// List the digests of all partitions that hold anything, in one page.
#[utoipa::path(
    get, path = route::PARTITIONS, tag = "partitions", operation_id = "listPartitions",
    responses((status = 200, description = "All partitions that are not empty.", body = Page<PartitionDigest>))
)]
pub(super) async fn list_partitions(State(node): State<Node>) -> Result<Json<Page<PartitionDigest>>, ApiError> {
    node.presence.admit().await?;
    let items = blocking::run(move || node.store.digests()).await;
    Ok(Json(Page { items, next_cursor: None }))
}

/// Where in the inventory, and how much of it.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InventoryQuery {
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<BlobKey>,
    /// Entries of a page, at most 1000, which is the default.
    limit: Option<u16>,
}

/// List a partition's blobs and tombstones, sorted by key.
#[utoipa::path(
    get, path = route::PARTITION, tag = "partitions", operation_id = "getPartition",
    params(("partition" = u16, Path, description = "The partition, from 0 to 1023."), InventoryQuery),
    responses((status = 200, description = "One page of the inventory.", body = Page<InventoryEntry>))
)]
pub(super) async fn get_partition(
    State(node): State<Node>,
    Path(partition): Path<PartitionId>,
    Query(query): Query<InventoryQuery>,
) -> Result<Json<Page<InventoryEntry>>, ApiError> {
    node.presence.admit().await?;
    let limit = query.limit.map_or(PAGE_ENTRIES_MAX, usize::from);
    let page = blocking::run(move || node.store.inventory(partition, query.cursor.as_ref(), limit)).await?;
    Ok(Json(page))
}

/// Pull what this node lacks of a partition from another node, in one bounded step.
#[utoipa::path(
    post, path = route::PULL, tag = "partitions", operation_id = "pullPartition",
    params(("partition" = u16, Path, description = "The partition, from 0 to 1023.")),
    request_body(content = PullRequest, description = "From where, and how much."),
    responses((status = 200, description = "What the step did.", body = PullReport))
)]
pub(super) async fn pull_partition(
    State(node): State<Node>,
    Path(partition): Path<PartitionId>,
    Json(request): Json<PullRequest>,
) -> Result<Json<PullReport>, ApiError> {
    Ok(Json(pull::pull(&node, partition, request).await?))
}

/// Delete the copies of a partition that this node no longer holds.
///
/// Each goes only after all holders have confirmed that they have it with the same hash.
#[utoipa::path(
    post, path = route::RELEASE, tag = "partitions", operation_id = "releasePartition",
    params(("partition" = u16, Path, description = "The partition, from 0 to 1023.")),
    request_body(content = ReleaseRequest, description = "The committed epoch."),
    responses((status = 200, description = "What was deleted and what was kept.", body = ReleaseReport))
)]
pub(super) async fn release_partition(
    State(node): State<Node>,
    Path(partition): Path<PartitionId>,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<ReleaseReport>, ApiError> {
    Ok(Json(release::release(&node, partition, request).await?))
}
