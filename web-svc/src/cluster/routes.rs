//! The admin API of the cluster.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use triton_api::{
    NodeId, Page, Problem,
    cluster::{self, NewNode, Node, NodeChange, RemoveNode, route},
    rebalance::{ApplyRequest, DryRun, LossQuery, LostBlob, Rebalance, RebalancePlan},
};
use triton_kit::{
    ApiError,
    extract::{Json, Path, Query},
};
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Cluster,
    control::Application,
    error::ClusterError,
    wish::{Removal, Wish},
};

impl Cluster {
    /// The routes of nodes and migrations, with their documents (tag `cluster`).
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> OpenApiRouter<S> {
        table().with_state(self.clone())
    }

    async fn show_node(&self, id: NodeId) -> Result<Json<Node>, ClusterError> {
        let nodes = self.nodes().await?;
        nodes.into_iter().find(|node| node.id == id).map(Json).ok_or(ClusterError::UnknownNode(id))
    }

    async fn show_plan(&self, wish: Wish) -> Result<Response, ApiError> {
        Ok(Json(self.plan_wish(wish).await?).into_response())
    }
}

/// The document of the routes alone.
pub(crate) fn document() -> OpenApi {
    table().into_openapi()
}

fn table() -> OpenApiRouter<Cluster> {
    OpenApiRouter::new()
        .routes(routes!(show_cluster))
        .routes(routes!(list_nodes, add_node))
        .routes(routes!(change_node, remove_node))
        .routes(routes!(drain_node))
        .routes(routes!(show_rebalance))
        .routes(routes!(plan_rebalance))
        .routes(routes!(list_losses))
        .routes(routes!(apply_rebalance))
        .routes(routes!(pause_rebalance))
        .routes(routes!(resume_rebalance))
        .routes(routes!(abort_rebalance))
}

/// Everything about the cluster at a glance.
#[utoipa::path(
    get, path = route::CLUSTER, tag = "cluster", operation_id = "showCluster",
    responses((status = 200, description = "Nodes, layout, health, capacity, balance, leader, workers.",
               body = cluster::Cluster))
)]
async fn show_cluster(State(cluster): State<Cluster>) -> Result<Json<cluster::Cluster>, ApiError> {
    Ok(Json(cluster.overview().await?))
}

/// The storage nodes, with what is staged for them.
#[utoipa::path(
    get, path = route::NODES, tag = "cluster", operation_id = "listNodes",
    responses((status = 200, description = "All nodes; there is never a second page.", body = Page<Node>))
)]
async fn list_nodes(State(cluster): State<Cluster>) -> Result<Json<Page<Node>>, ApiError> {
    Ok(Json(Page { items: cluster.nodes().await?, next_cursor: None }))
}

/// Stage a new node.
///
/// The node must answer; its id is asked there. Nothing moves before `rebalance/apply`.
#[utoipa::path(
    post, path = route::NODES, tag = "cluster", operation_id = "addNode", request_body = NewNode,
    params(DryRun),
    responses(
        (status = 200, description = "With `dry_run`: what it would move; nothing is changed.", body = RebalancePlan),
        (status = 202, description = "Staged.", body = Node,
         headers(("location" = String, description = "The node's path."))),
        (status = 409, description = "It is part of the cluster already, or of another one.",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No node answers there, or a value is out of range.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn add_node(
    State(cluster): State<Cluster>,
    Query(DryRun { dry_run }): Query<DryRun>,
    Json(new): Json<NewNode>,
) -> Result<Response, ApiError> {
    if dry_run {
        return cluster.show_plan(Wish::Add(new)).await;
    }
    let id = cluster.add_node(new).await?;
    let mut response = (StatusCode::ACCEPTED, cluster.show_node(id).await?).into_response();
    if let Ok(path) = HeaderValue::from_str(&route::NODE.replace("{node_id}", &id.to_string())) {
        response.headers_mut().insert(LOCATION, path);
    }
    Ok(response)
}

/// Stage another weight or zone of a node.
#[utoipa::path(
    patch, path = route::NODE, tag = "cluster", operation_id = "changeNode", request_body = NodeChange,
    params(("node_id" = NodeId, Path, description = "The node."), DryRun),
    responses(
        (status = 200, description = "With `dry_run`: what it would move; nothing is changed.", body = RebalancePlan),
        (status = 202, description = "Staged.", body = Node),
        (status = 404, description = "There is no such node.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn change_node(
    State(cluster): State<Cluster>,
    Path(id): Path<NodeId>,
    Query(DryRun { dry_run }): Query<DryRun>,
    Json(change): Json<NodeChange>,
) -> Result<Response, ApiError> {
    if dry_run {
        return cluster.show_plan(Wish::Change(id, change)).await;
    }
    cluster.change_node(id, change).await?;
    Ok((StatusCode::ACCEPTED, cluster.show_node(id).await?).into_response())
}

/// Remove a node that holds nothing, or stage the removal of one that does.
///
/// With `force` nothing is read from it: its replicas are made anew from the other holders.
#[utoipa::path(
    delete, path = route::NODE, tag = "cluster", operation_id = "removeNode",
    params(("node_id" = NodeId, Path, description = "The node."), RemoveNode),
    responses(
        (status = 200, description = "With `dry_run`: what it would move; nothing is changed.", body = RebalancePlan),
        (status = 202, description = "Staged: it leaves when the next migration has emptied it.", body = Node),
        (status = 204, description = "Gone."),
        (status = 404, description = "There is no such node.",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Too few nodes would remain, or nobody knows whether it is empty.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn remove_node(
    State(cluster): State<Cluster>,
    Path(id): Path<NodeId>,
    Query(RemoveNode { force, dry_run }): Query<RemoveNode>,
) -> Result<Response, ApiError> {
    if dry_run {
        return cluster.show_plan(Wish::Remove { id, force }).await;
    }
    match cluster.remove_node(id, force).await? {
        Removal::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        Removal::Staged => Ok((StatusCode::ACCEPTED, cluster.show_node(id).await?).into_response()),
    }
}

/// Stage the draining of a node: it gives up everything it holds, and stays.
#[utoipa::path(
    post, path = route::DRAIN, tag = "cluster", operation_id = "drainNode",
    params(("node_id" = NodeId, Path, description = "The node."), DryRun),
    responses(
        (status = 200, description = "With `dry_run`: what it would move; nothing is changed.", body = RebalancePlan),
        (status = 202, description = "Staged.", body = Node),
        (status = 404, description = "There is no such node.",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Too few nodes would remain.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn drain_node(
    State(cluster): State<Cluster>,
    Path(id): Path<NodeId>,
    Query(DryRun { dry_run }): Query<DryRun>,
) -> Result<Response, ApiError> {
    if dry_run {
        return cluster.show_plan(Wish::Drain(id)).await;
    }
    cluster.drain_node(id).await?;
    Ok((StatusCode::ACCEPTED, cluster.show_node(id).await?).into_response())
}

/// How the migration stands.
#[utoipa::path(
    get, path = route::REBALANCE, tag = "cluster", operation_id = "showRebalance",
    responses((status = 200, description = "Phase, progress, rate, errors, what is staged.", body = Rebalance))
)]
async fn show_rebalance(State(cluster): State<Cluster>) -> Result<Json<Rebalance>, ApiError> {
    Ok(Json(cluster.rebalance().await?))
}

/// What applying the staged changes would move.
#[utoipa::path(
    post, path = route::REBALANCE_PLAN, tag = "cluster", operation_id = "planRebalance",
    responses(
        (status = 200, description = "The plan; `changes` is empty where nothing is staged.", body = RebalancePlan),
        (status = 409, description = "The staged changes cannot be done any more.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn plan_rebalance(State(cluster): State<Cluster>) -> Result<Json<RebalancePlan>, ApiError> {
    Ok(Json(cluster.plan().await?))
}

/// What applying answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Applied {
    /// How the migration stands.
    State(Box<Rebalance>),
    /// With `dry_run`, what it would move.
    Plan(Box<RebalancePlan>),
}

/// Begin the migration to what is staged.
#[utoipa::path(
    post, path = route::REBALANCE_APPLY, tag = "cluster", operation_id = "applyRebalance",
    params(DryRun), request_body = Option<ApplyRequest>,
    responses(
        (status = 200, description = "Nothing is staged: nothing to do. With `dry_run`: the plan.", body = Applied),
        (status = 202, description = "Begun.", body = Rebalance),
        (status = 409, description = "A migration runs already, the change cannot be done, or content would be lost.",
         body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The committed epoch is another one.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn apply_rebalance(
    State(cluster): State<Cluster>,
    Query(DryRun { dry_run }): Query<DryRun>,
    request: Option<Json<ApplyRequest>>,
) -> Result<(StatusCode, Json<Applied>), ApiError> {
    let request = request.map(|Json(request)| request).unwrap_or_default();
    if dry_run {
        let plan = cluster.plan_apply(request).await?;
        return Ok((StatusCode::OK, Json(Applied::Plan(Box::new(plan)))));
    }
    let status = match cluster.apply(request).await? {
        Application::Begun => StatusCode::ACCEPTED,
        Application::NothingToDo => StatusCode::OK,
    };
    Ok((status, Json(Applied::State(Box::new(cluster.rebalance().await?)))))
}

/// What would be lost with the nodes that are to be given up.
///
/// The blobs of videos, as metadata names them, that no remaining node has. A page may be empty and not be the last.
#[utoipa::path(
    get, path = route::REBALANCE_LOSSES, tag = "cluster", operation_id = "listLosses", params(LossQuery),
    responses(
        (status = 200, description = "One page, in the order of the videos; nothing where nothing is lost.",
         body = Page<LostBlob>),
        (status = 404, description = "There is no such node.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list_losses(
    State(cluster): State<Cluster>,
    Query(query): Query<LossQuery>,
) -> Result<Json<Page<LostBlob>>, ApiError> {
    Ok(Json(cluster.losses(&query).await?))
}

/// Hold the migration; what is on its way ends its step.
#[utoipa::path(
    post, path = route::REBALANCE_PAUSE, tag = "cluster", operation_id = "pauseRebalance",
    responses(
        (status = 200, description = "Held.", body = Rebalance),
        (status = 409, description = "No migration runs.", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn pause_rebalance(State(cluster): State<Cluster>) -> Result<Json<Rebalance>, ApiError> {
    cluster.hold(true).await?;
    Ok(Json(cluster.rebalance().await?))
}

/// Go on with the migration.
#[utoipa::path(
    post, path = route::REBALANCE_RESUME, tag = "cluster", operation_id = "resumeRebalance",
    responses(
        (status = 200, description = "It goes on.", body = Rebalance),
        (status = 409, description = "No migration runs.", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn resume_rebalance(State(cluster): State<Cluster>) -> Result<Json<Rebalance>, ApiError> {
    cluster.hold(false).await?;
    Ok(Json(cluster.rebalance().await?))
}

/// Turn the migration back, or drop what is staged where none runs.
///
/// Turning back is a migration, too: what was written meanwhile has to come along. It is refused once the new epoch is
/// committed.
#[utoipa::path(
    post, path = route::REBALANCE_ABORT, tag = "cluster", operation_id = "abortRebalance",
    responses(
        (status = 200, description = "The present state.", body = Rebalance),
        (status = 409, description = "The new epoch is committed already.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn abort_rebalance(State(cluster): State<Cluster>) -> Result<Json<Rebalance>, ApiError> {
    cluster.abort().await?;
    Ok(Json(cluster.rebalance().await?))
}
