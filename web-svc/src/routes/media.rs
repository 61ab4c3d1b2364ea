//! Media for players: manifests from metadata, segments and pictures from the ring.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;
use triton_api::{BlobKey, Generation, VideoId, range, video::route};
use triton_kit::{ApiError, extract::Path};

use super::{
    content::{self, Content, IMMUTABLE, Looks, Wanted},
    videos::{find, find_received},
};
use crate::{
    app::App,
    catalog::{CaptionRecord, Offered, Published, StoredRendition, TrackRecord, VideoRecord},
    journal::RecordKey,
    original,
    pipeline::{Growth, Presentation, RenditionName, TextRendition},
    problem::of_store,
    ring::RingError,
    store::Publication,
};

/// A manifest stays the same until the video is made anew.
pub(super) const REVALIDATE: &str = "public, no-cache";
/// Renditions of one generation at most.
const TRACKS_MAX: u32 = 64;

/// The MPEG-DASH manifest.
#[utoipa::path(
    get, path = route::DASH, tag = "media", operation_id = "dashManifest", params(("id" = VideoId, Path, description = "The video.")),
    responses((status = 200, description = "An MPD.", content_type = "application/dash+xml", body = String))
)]
pub(super) async fn dash(
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
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
    State(app): State<Arc<App>>,
    Path(MediaFile { id, generation, rendition, file }): Path<MediaFile>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if file == "index.m3u8" {
        return media_playlist(&app, id, generation, &rendition, &headers).await;
    }
    let key = VideoRecord::media_file(id, generation, &rendition, &file);
    let key = key.ok_or_else(|| ApiError::not_found("No file of a video has such a name."))?;
    let looks = looks(&rendition);
    match app.store.publication(id).await? {
        Publication::Deleted => Err(ApiError::not_found("There is nothing here (any more).")),
        Publication::Playing(playing) if playing == generation => hot(&app, &key, looks, &headers).await,
        // Who began to watch before a newer generation was published, or before this process heard of the video.
        Publication::Playing(_) | Publication::Unpublished | Publication::Unknown => {
            relay(&app, &key, looks, &headers).await
        }
    }
}

/// As [`file`], for a segment in memory of what plays now; `None` where that has to be asked.
pub(super) fn file_at_once(app: &App, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
    // What may turn out an error or unchanged is the router's.
    if content::asks_whether_changed(headers) || headers.contains_key(header::RANGE) {
        return None;
    }
    let mut names = uri.path().strip_prefix(route::MEDIA_PREFIX)?.split('/');
    let (id, generation) = (names.next()?.parse().ok()?, names.next()?.parse().ok()?);
    let (rendition, file) = (names.next()?, names.next()?);
    if names.next().is_some() || app.store.known_publication(id)? != Publication::Playing(generation) {
        return None;
    }
    let blob = app.hot.get_at_once(&VideoRecord::media_file(id, generation, rendition, file)?)?;
    let content = Content { etag: &blob.etag, len_bytes: blob.content.len() as u64, looks: looks(rendition) };
    content.answer_from(&blob.content, headers).ok()
}

fn looks(rendition: &str) -> Looks {
    let media_type = if rendition.starts_with("audio") { "audio/mp4" } else { "video/mp4" };
    Looks { media_type, cache_control: IMMUTABLE }
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
    State(app): State<Arc<App>>,
    Path(id): Path<VideoId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let video = find_received(&app, id).await?.value;
    let len_bytes = video.original.len_bytes;
    let etag = content::etag(format_args!("original-{id}-{len_bytes}"))?;
    let looks = Looks { media_type: "application/octet-stream", cache_control: REVALIDATE };
    let content = Content { etag: &etag, len_bytes, looks };
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
    let mut response = content.answer(part.as_ref(), Body::from_stream(bytes))?;
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
    media_type: &'static str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    match app.store.publication(id).await? {
        Publication::Playing(playing) => {
            let looks = Looks { media_type, cache_control: REVALIDATE };
            hot(app, &VideoRecord::still_file(id, playing, file), looks, headers).await
        }
        Publication::Unpublished => Err(unplayable()),
        Publication::Unknown | Publication::Deleted => Err(ApiError::not_found(format!("There is no video {id}."))),
    }
}

/// A blob of what plays now, which others may want, too.
pub(super) async fn hot(app: &App, key: &BlobKey, looks: Looks, headers: &HeaderMap) -> Result<Response, ApiError> {
    match app.hot.get(key).await? {
        Some(blob) => {
            let content = Content { etag: &blob.etag, len_bytes: blob.content.len() as u64, looks };
            content.answer_from(&blob.content, headers)
        }
        None => relay(app, key, looks, headers).await,
    }
}

/// A blob as it comes from the ring.
async fn relay(app: &App, key: &BlobKey, looks: Looks, headers: &HeaderMap) -> Result<Response, ApiError> {
    if content::asks_whether_changed(headers) {
        return relay_knowing(app, key, looks, headers).await;
    }
    let part = match content::range_of(headers).map(range::absolute) {
        // How long is it? Otherwise nobody knows where its last bytes begin.
        Some(None) => return relay_knowing(app, key, looks, headers).await,
        Some(Some(part)) => Some(part),
        None => None,
    };
    let read = match app.ring.open(key, part.clone()).await {
        Err(RingError::Range { .. }) => return relay_knowing(app, key, looks, headers).await,
        opened => opened?,
    };
    let etag = content::etag(read.hash)?;
    let content = Content { etag: &etag, len_bytes: read.total_bytes, looks };
    match (part, content.wanted(headers)?) {
        (None, _) => content.answer(None, Body::from_stream(read.stream)),
        (Some(_), Wanted::Part(part)) if part == read.range => {
            content.answer(Some(&part), Body::from_stream(read.stream))
        }
        // The client has a part of another content (`If-Range`), which an immutable one never was.
        (Some(_), _) => content.answer(None, Body::from_stream(app.ring.open(key, None).await?.stream)),
    }
}

/// As [`relay`], for the rare request whose answer depends on the blob's length or hash.
async fn relay_knowing(app: &App, key: &BlobKey, looks: Looks, headers: &HeaderMap) -> Result<Response, ApiError> {
    let head = app.ring.head(key).await?;
    let etag = content::etag(head.hash)?;
    let content = Content { etag: &etag, len_bytes: head.total_bytes, looks };
    match content.wanted(headers)? {
        Wanted::NotModified => Ok(content.not_modified()),
        Wanted::Whole => content.answer(None, Body::from_stream(app.ring.open(key, None).await?.stream)),
        Wanted::Part(part) => {
            let read = app.ring.open(key, Some(part.clone())).await?;
            content.answer(Some(&part), Body::from_stream(read.stream))
        }
    }
}

/// What plays of a video now.
pub(super) async fn presentation(app: &App, id: VideoId) -> Result<(Presentation, Published), ApiError> {
    let video = find(app, id).await?.value;
    let captions = Offered::of(&video).into_iter().map(|offered| text_rendition(offered.record)).collect();
    let published = video.published.ok_or_else(unplayable)?;
    if let Some(since) = published.growing_since {
        let grown = app.growing.presentation(app, id, published.generation, since).await;
        let presentation = grown.map_err(of_store)?.ok_or_else(unplayable)?;
        return Ok((Presentation::clone(&presentation).with_captions(captions), published));
    }
    let prefix = RecordKey::tracks_prefix(id, published.generation);
    let (mut pictures, mut sound) = (Vec::new(), Vec::new());
    for (_, track) in app.store.list::<TrackRecord>(&prefix, TRACKS_MAX).await? {
        match track.value.into_rendition() {
            StoredRendition::Video(rendition) => pictures.push(rendition),
            StoredRendition::Audio(rendition) => sound.push(rendition),
        }
    }
    let presentation = Presentation::new(published.generation, Growth::Complete, pictures, sound);
    Ok((presentation.with_captions(captions), published))
}

fn text_rendition(CaptionRecord { language, label, kind, .. }: CaptionRecord) -> TextRendition {
    TextRendition { language, label, kind }
}

fn unplayable() -> ApiError {
    ApiError::not_found("The video cannot be played yet.")
}

pub(super) fn text(headers: &HeaderMap, media_type: &'static str, text: String) -> Result<Response, ApiError> {
    let etag = content::etag(blake3::hash(text.as_bytes()).to_hex())?;
    let looks = Looks { media_type, cache_control: REVALIDATE };
    let text = Bytes::from(text);
    Content { etag: &etag, len_bytes: text.len() as u64, looks }.answer_from(&text, headers)
}
