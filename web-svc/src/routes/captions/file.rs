//! The text of captions for players, and the HLS playlist around it.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::HeaderMap;
use serde::Deserialize;
use triton_api::{Language, VideoId, caption::route};
use triton_kit::{ApiError, extract::Path};

use super::super::{
    content::Looks,
    media::{REVALIDATE, hot, presentation, text},
    videos::find,
};
use crate::{app::App, catalog::Offered};

#[derive(Debug, Deserialize)]
pub(in crate::routes) struct CaptionFile {
    id: VideoId,
    file: String,
}

/// Captions as a `WebVTT` file (`en.vtt`), or the HLS playlist around it (`en.m3u8`).
#[utoipa::path(
    get, path = route::CAPTION_FILE, tag = "media", operation_id = "captionFile",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("file" = String, Path, description = "The language, and `.vtt` or `.m3u8`."),
    ),
    responses(
        (status = 200, description = "The text.", content_type = "text/vtt", body = String),
        (status = 304, description = "The client has it."),
        (status = 404, description = "There are no captions in this language.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::routes) async fn file(
    State(app): State<Arc<App>>,
    Path(CaptionFile { id, file }): Path<CaptionFile>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let absent = || ApiError::not_found("The video has no such captions (any more).");
    let (name, kind) = file.rsplit_once('.').ok_or_else(absent)?;
    let language: Language = name.parse().map_err(|_| absent())?;
    match kind {
        "vtt" => {
            let video = find(&app, id).await?.value;
            let offered = Offered::of(&video).into_iter().find(|offered| offered.record.language == language);
            let blob = offered.and_then(|offered| offered.blob(id)).ok_or_else(absent)?;
            let looks = Looks { media_type: "text/vtt; charset=utf-8", cache_control: REVALIDATE };
            hot(&app, &blob, looks, &headers).await
        }
        "m3u8" => {
            let (presentation, published) = presentation(&app, id).await?;
            let playlist = presentation.hls_captions(&language, published.duration_ms).ok_or_else(absent)?;
            text(&headers, "application/vnd.apple.mpegurl", playlist)
        }
        _ => Err(absent()),
    }
}
