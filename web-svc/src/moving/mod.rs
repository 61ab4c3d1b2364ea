//! Moving house: all records of an installation as a file, and such a file into another installation, whatever journal either
//! of them has. Blobs are not in the file: the nodes that hold them come along (`cluster::adopt`).

mod error;
mod export;
mod import;
mod progress;
mod spool;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;
use triton_api::{
    Problem,
    metadata::{ImportQuery, MEDIA_TYPE, MetadataImport, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Query},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::error::{ExportError, ImportError};
use crate::{app::App, cluster::Cluster, upload::refuse};

/// Exports at once. Each has a connection to the database and keeps its log from being folded in.
const EXPORTS_MAX: usize = 2;

#[derive(Clone)]
struct Mover {
    app: App,
    cluster: Cluster,
    exports: Arc<Semaphore>,
    /// One import at a time; what another process does is found out by the record of the import.
    imports: Arc<Semaphore>,
}

/// The routes, with their documents (tag `cluster`).
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(app: App, cluster: Cluster) -> OpenApiRouter<S> {
    let (exports, imports) = (Arc::new(Semaphore::new(EXPORTS_MAX)), Arc::new(Semaphore::new(1)));
    table().with_state(Mover { app, cluster, exports, imports })
}

/// The document of the routes alone.
pub(crate) fn document() -> OpenApi {
    table().into_openapi()
}

fn table() -> OpenApiRouter<Mover> {
    OpenApiRouter::new().routes(routes!(export_metadata, import_metadata))
}

/// Export the metadata.
///
/// Everything as of one moment, as JSON lines: first who exports it, with the layout of its nodes, last the number of records
/// and a BLAKE3 hash; an answer without that last line was cut. What is uploaded afterwards is not in it.
#[utoipa::path(
    get, path = route::METADATA, tag = "cluster", operation_id = "exportMetadata",
    responses(
        (status = 200, description = "One JSON document a line.", body = String, content_type = "application/x-ndjson"),
        (status = 409, description = "A migration runs.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Others export already.", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn export_metadata(State(mover): State<Mover>) -> Result<Response, ApiError> {
    let turn = Arc::clone(&mover.exports).try_acquire_owned().map_err(|_| ExportError::Busy)?;
    let lines = export::start(&mover.app, turn).await?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(lines)).into_response())
}

/// Import the metadata of another installation.
///
/// The body is what the export answered. It is checked whole before anything is written. The exporting installation's storage
/// nodes join this one first; then the records are written, none of them over one that is there. An import that was
/// interrupted goes on where it was when the same body is sent again.
#[utoipa::path(
    post, path = route::METADATA, tag = "cluster", operation_id = "importMetadata", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson", description = "What an export answered."),
    responses(
        (status = 200, description = "Everything is here.", body = MetadataImport),
        (status = 409, description = "A record exists here with another value, a migration runs, or another import does.",
         body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body was cut or altered, is something else, or a storage node does not answer.",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn import_metadata(
    State(mover): State<Mover>,
    Query(query): Query<ImportQuery>,
    request: Request,
) -> Result<Json<MetadataImport>, ApiError> {
    let nodes = query.node_urls().map_err(|error| ApiError::bad_request(format!("nodes: {error}.")))?;
    let _turn = mover.imports.try_acquire().map_err(|_| ImportError::Overtaken)?;
    let (request, rest) = refuse::shared(request);
    let spooled = spool::receive(&mover.app.work_dir, request.into_body()).await;
    let mut spool = match spooled {
        Ok(spool) => spool,
        Err(error) => {
            refuse::drain(rest).await;
            return Err(error.into());
        }
    };
    let nodes = (!query.without_nodes).then_some(nodes);
    Ok(Json(import::import(&mover.app, &mover.cluster, &mut spool, nodes.as_deref()).await?))
}
