//! Media for players: manifests from metadata, segments and pictures from the ring.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use triton_api::{BlobKey, Generation, VideoId, video::route};
use triton_kit::{ApiError, extract::Path};

use super::{
    content::{Content, IMMUTABLE, Wanted},
    videos::{find, find_received},
};
use crate::{
    app::App,
    catalog::{Published, StoredRendition, TrackRecord, VideoRecord},
    journal::RecordKey,
    original,
    pipeline::{Growth, Presentation, RenditionName},
};

/// A manifest stays the same until the video is made anew.
const REVALIDATE: &str = "public, no-cache";
/// Renditions of one generation at most.
const TRACKS_MAX: u32 = 64;

/// The MPEG-DASH manifest.
#[utoipa::path(
    get, path = route::DASH, tag = "media", operation_id = "dashManifest", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "An MPD.", content_type = "application/dash+xml", body = String))
)]
pub(super) async fn dash(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (presentation, _) = presentation(&app, id).await?;
    text(&headers, "application/dash+xml", presentation.dash_manifest())
}

/// The HLS master playlist.
#[utoipa::path(
    get, path = route::HLS, tag = "media", operation_id = "hlsMaster", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "A playlist.", content_type = "application/vnd.apple.mpegurl", body = String))
)]
pub(super) async fn hls(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (presentation, _) = presentation(&app, id).await?;
    text(&headers, "application/vnd.apple.mpegurl", presentation.hls_master())
}

/// The still picture.
#[utoipa::path(
    get, path = route::POSTER, tag = "media", operation_id = "poster", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "A JPEG.", content_type = "image/jpeg", body = Vec<u8>))
)]
pub(super) async fn poster(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    still(&app, id, "poster.jpg", "image/jpeg", &headers).await
}

/// Thumbnails along the time line, as WebVTT.
#[utoipa::path(
    get, path = route::STORYBOARD, tag = "media", operation_id = "storyboard", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "Cues that point into the sprite.", content_type = "text/vtt", body = String))
)]
pub(super) async fn storyboard(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    still(&app, id, "storyboard.vtt", "text/vtt; charset=utf-8", &headers).await
}

/// The picture that the storyboard's cues point into.
#[utoipa::path(
    get, path = route::STORYBOARD_SPRITE, tag = "media", operation_id = "storyboardSprite", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "A JPEG.", content_type = "image/jpeg", body = Vec<u8>))
)]
pub(super) async fn storyboard_sprite(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    still(&app, id, "storyboard.jpg", "image/jpeg", &headers).await
}

#[derive(Debug, Deserialize)]
pub(super) struct MediaFile {
    id: VideoId,
    generation: Generation,
    rendition: String,
    file: String,
}

/// A media playlist (`index.m3u8`), an init segment (`init.mp4`) or a segment (`seg-00001.m4s`).
#[utoipa::path(
    get, path = route::MEDIA_FILE, tag = "media", operation_id = "mediaFile",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("generation" = inline(Generation), Path, description = "The generation that manifests name."),
        ("rendition" = String, Path, description = "The rendition's name."),
        ("file" = String, Path, description = "The file's name."),
    ),
    responses(
        (status = 200, description = "The whole file.", content_type = "video/mp4", body = Vec<u8>),
        (status = 206, description = "A range of it.", content_type = "video/mp4", body = Vec<u8>),
        (status = 304, description = "The client has it."),
        (status = 416, description = "The range lies outside.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn file(
    State(app): State<App>,
    Path(MediaFile { id, generation, rendition, file }): Path<MediaFile>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if file == "index.m3u8" {
        return media_playlist(&app, id, generation, &rendition, &headers).await;
    }
    let media_type = if rendition.starts_with("audio") { "audio/mp4" } else { "video/mp4" };
    let key = VideoRecord::media_file(id, generation, &rendition, &file);
    let key = key.ok_or_else(|| ApiError::not_found("No file of a video has such a name."))?;
    blob(&app, &key, media_type, IMMUTABLE, &headers).await
}

async fn media_playlist(
    app: &App,
    id: VideoId,
    generation: Generation,
    rendition: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (presentation, published) = presentation(app, id).await?;
    let name: Option<RenditionName> = rendition.parse().ok();
    let playlist = name.filter(|_| published.generation == generation).and_then(|name| presentation.hls_media(&name));
    let playlist = playlist.ok_or_else(|| ApiError::not_found("The video has no such rendition (any more)."))?;
    text(headers, "application/vnd.apple.mpegurl", playlist)
}

/// The original, byte for byte.
#[utoipa::path(
    get, path = route::DOWNLOAD, tag = "media", operation_id = "downloadOriginal", params(("id" = VideoId, Path, description = "The video.")),
    responses(
        (status = 200, description = "The whole file.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "A range of it.", content_type = "application/octet-stream", body = Vec<u8>),
    )
)]
pub(super) async fn download(
    State(app): State<App>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let video = find_received(&app, id).await?.value;
    let len_bytes = video.original.len_bytes;
    let etag = format!("\"original-{id}-{len_bytes}\"");
    let content = Content { etag: &etag, len_bytes, media_type: "application/octet-stream", cache_control: REVALIDATE };
    let part = match content.wanted(&headers)? {
        Wanted::NotModified => return Ok(content.not_modified()),
        Wanted::Whole => None,
        Wanted::Part(part) => Some(part),
    };
    let bytes = original::read(app.ring.clone(), id, part.clone().unwrap_or(0..len_bytes));
    // An original that cannot be read is an error, not an answer that breaks off.
    let mut bytes = Box::pin(bytes.peekable());
    if let Some(Err(error)) = bytes.as_mut().peek().await {
        return Err(error.clone().into());
    }
    let mut response = content.answer(part.as_ref(), bytes)?;
    // RFC 6266 with RFC 8187: any name is safe when all but letters and digits is encoded.
    let name: String = url::form_urlencoded::byte_serialize(video.original.file_name.as_bytes()).collect();
    let disposition = format!("attachment; filename*=UTF-8''{}", name.replace('+', "%20"));
    let disposition = HeaderValue::from_str(&disposition).map_err(ApiError::internal)?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

async fn still(
    app: &App,
    id: VideoId,
    file: &'static str,
    media_type: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let published = published(find(app, id).await?.value)?;
    blob(app, &VideoRecord::still_file(id, published.generation, file), media_type, REVALIDATE, headers).await
}

async fn blob(
    app: &App,
    key: &BlobKey,
    media_type: &str,
    cache_control: &'static str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let conditional = [header::RANGE, header::IF_NONE_MATCH].iter().any(|name| headers.contains_key(name));
    if conditional {
        // Only the length tells what a range means, and only the hash whether the client has it.
        let head = app.ring.head(key).await?;
        let etag = format!("\"{}\"", head.hash);
        let content = Content { etag: &etag, len_bytes: head.total_bytes, media_type, cache_control };
        return match content.wanted(headers)? {
            Wanted::NotModified => Ok(content.not_modified()),
            Wanted::Whole => content.answer(None, app.ring.open(key, None).await?.stream),
            Wanted::Part(part) => {
                let read = app.ring.open(key, Some(part.clone())).await?;
                content.answer(Some(&part), read.stream)
            }
        };
    }
    let read = app.ring.open(key, None).await?;
    let etag = format!("\"{}\"", read.hash);
    Content { etag: &etag, len_bytes: read.total_bytes, media_type, cache_control }.answer(None, read.stream)
}

/// What plays of a video now.
async fn presentation(app: &App, id: VideoId) -> Result<(Presentation, Published), ApiError> {
    let published = published(find(app, id).await?.value)?;
    let prefix = RecordKey::tracks_prefix(id, published.generation);
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    for (_, track) in app.store.list::<TrackRecord>(&prefix, TRACKS_MAX).await? {
        match track.value.into_rendition() {
            StoredRendition::Video(rendition) => pictures.push(rendition),
            StoredRendition::Audio(rendition) => sound.push(rendition),
        }
    }
    Ok((Presentation::new(published.generation, Growth::Complete, pictures, sound), published))
}

fn published(video: VideoRecord) -> Result<Published, ApiError> {
    video.published.ok_or_else(|| ApiError::not_found("The video cannot be played yet."))
}

fn text(headers: &HeaderMap, media_type: &str, text: String) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", blake3::hash(text.as_bytes()).to_hex());
    let content = Content { etag: &etag, len_bytes: text.len() as u64, media_type, cache_control: REVALIDATE };
    if let Wanted::NotModified = content.wanted(headers)? {
        return Ok(content.not_modified());
    }
    let validators =
        [(header::ETAG, etag.as_str()), (header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, REVALIDATE)];
    Ok((validators, text).into_response())
}
