//! What the node remembers as deleted. It tells while it reconciles, too: others may wait for it.

use axum::extract::State;
use serde::Deserialize;
use triton_api::{
    BlobKey, Page, PartitionId,
    storage::{Tombstone, TombstoneDigest, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Path, Query},
};
use utoipa::IntoParams;

use crate::{blocking, node::Node};

/// List the digests of the tombstones of all partitions that have some, in one page.
#[utoipa::path(
    get, path = route::TOMBSTONES, tag = "partitions", operation_id = "listTombstones",
    responses((status = 200, description = "All partitions with tombstones.", body = Page<TombstoneDigest>))
)]
pub(super) async fn list_tombstones(State(node): State<Node>) -> Result<Json<Page<TombstoneDigest>>, ApiError> {
    let items = blocking::run(move || node.store.tombstone_digests()).await?;
    Ok(Json(Page { items, next_cursor: None }))
}

/// Where in the tombstones.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TombstoneQuery {
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<BlobKey>,
}

/// List a partition's tombstones, sorted by key, 1000 in a page.
#[utoipa::path(
    get, path = route::PARTITION_TOMBSTONES, tag = "partitions", operation_id = "getTombstones",
    params(("partition" = u16, Path, description = "The partition, from 0 to 1023."), TombstoneQuery),
    responses((status = 200, description = "One page of the tombstones.", body = Page<Tombstone>))
)]
pub(super) async fn get_tombstones(
    State(node): State<Node>,
    Path(partition): Path<PartitionId>,
    Query(query): Query<TombstoneQuery>,
) -> Result<Json<Page<Tombstone>>, ApiError> {
    let page = blocking::run(move || node.store.tombstones(partition, query.cursor.as_ref())).await?;
    Ok(Json(page))
}
