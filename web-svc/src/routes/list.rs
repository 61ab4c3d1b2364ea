//! The list of videos.

use axum::extract::State;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use triton_api::{
    Page,
    video::{Video, VideoQuery, VideoSort, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Query},
};

use crate::{
    app::App,
    store::{VideoListing, VideoPosition},
};

/// Entries of a page where the caller does not say.
const LIMIT_DEFAULT: u32 = 24;
/// The most entries of a page.
const LIMIT_MAX: u32 = 100;

/// List or search the public videos.
#[utoipa::path(
    get, path = route::VIDEOS, tag = "videos", operation_id = "listVideos", params(VideoQuery),
    responses((status = 200, description = "A page of videos.", body = Page<Video>))
)]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<VideoQuery>,
) -> Result<Json<Page<Video>>, ApiError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::bad_request(format!("limit is {limit}; it must be from 1 to {LIMIT_MAX}.")));
    }
    let sort = query.sort.unwrap_or_default();
    let after = query.cursor.as_deref().map(|cursor| position(cursor, sort)).transpose()?;
    // One more than asked for tells whether there is a next page.
    let listing = VideoListing { search: query.q, sort, after, limit: limit + 1, all: query.all };
    let mut videos = app.store.videos(&listing).await?;
    let more = videos.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    videos.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = videos.last().filter(|_| more).map(|(_, place)| cursor(place, sort));
    let mut items = Vec::with_capacity(videos.len());
    for (video, _) in &videos {
        items.push(app.view(video).await?);
    }
    Ok(Json(Page { items, next_cursor }))
}

fn cursor(place: &VideoPosition, sort: VideoSort) -> String {
    URL_SAFE_NO_PAD.encode(format!("{sort:?}\n{}\n{}", place.id, place.key))
}

fn position(cursor: &str, sort: VideoSort) -> Result<VideoPosition, ApiError> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let mut parts = text.as_deref().unwrap_or_default().splitn(3, '\n');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(order), Some(id), Some(key)) if order == format!("{sort:?}") => {
            Ok(VideoPosition { key: key.to_owned(), id: id.to_owned() })
        }
        _ => Err(ApiError::bad_request("cursor is not one that this list gave for this order. Begin without one.")),
    }
}
