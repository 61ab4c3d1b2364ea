//! The list of jobs.

use std::collections::HashMap;

use axum::extract::State;
use serde::Deserialize;
use triton_api::{Generation, Page, VideoId, cluster::route, job::Job};
use triton_kit::{
    ApiError,
    extract::{Json, Query},
};
use utoipa::IntoParams;

use crate::{
    app::App,
    catalog::{JobRecord, view},
};

/// Entries of a page.
const PAGE: u32 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct JobQuery {
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List every job with its state, its attempts, its worker and what it waits for.
#[utoipa::path(
    get, path = route::JOBS, tag = "cluster", operation_id = "listJobs", params(JobQuery),
    responses((status = 200, description = "A page of jobs.", body = Page<Job>))
)]
pub(super) async fn jobs(State(app): State<App>, Query(query): Query<JobQuery>) -> Result<Json<Page<Job>>, ApiError> {
    let rows = app.store.jobs(query.cursor.as_deref(), PAGE).await?;
    let mut siblings: HashMap<(VideoId, Generation), Vec<JobRecord>> = HashMap::new();
    for (_, job) in &rows {
        let (id, generation) = (job.value.video_id, job.value.generation);
        if let std::collections::hash_map::Entry::Vacant(entry) = siblings.entry((id, generation)) {
            let jobs = app.store.jobs_of(id, generation).await?;
            entry.insert(jobs.into_iter().map(|(_, job)| job.value).collect());
        }
    }
    let full = rows.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
    let next_cursor = rows.last().filter(|_| full).map(|(_, job)| job.value.id());
    let items = rows
        .iter()
        .filter_map(|(_, job)| Some(view::job(&job.value, siblings.get(&(job.value.video_id, job.value.generation))?)));
    Ok(Json(Page { items: items.collect(), next_cursor }))
}
