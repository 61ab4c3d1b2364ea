//! The captions of a video: list, upload, delete; and their text for players.

mod file;
mod save;

use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use triton_api::{
    BlobHash, Language, Page, ProblemType, VideoId,
    caption::{CAPTION_BYTES_MAX, Caption, CaptionQuery, LABEL_CHARS_MAX, route},
};
use triton_kit::{
    ApiError,
    extract::{Json, Path, Query},
};

pub(super) use self::file::{__path_file, file};
use self::save::{Upload, busy, commit};
use super::videos::{CONFLICTS_MAX, find, find_received};
use crate::{
    app::App,
    captions::{CaptionError, to_webvtt},
    catalog::{Offered, VideoRecord},
    store::Stored,
    upload::refuse,
};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CaptionPath {
    id: VideoId,
    language: Language,
}

/// List the captions of a video.
///
/// One of each language: an uploaded one hides an embedded one. Embedded ones appear when the video's file has been read.
#[utoipa::path(
    get, path = route::CAPTIONS, tag = "videos", operation_id = "listCaptions", params(("id" = VideoId, Path, description = "The video.")),
    responses(
        (status = 200, description = "All of them.", body = Page<Caption>),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(app): State<App>, Path(id): Path<VideoId>) -> Result<Json<Page<Caption>>, ApiError> {
    let video = find(&app, id).await?.value;
    let items = Offered::of(&video).iter().map(|caption| caption.view(id)).collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// Upload captions.
///
/// The body is a `WebVTT` or `SubRip` file, whatever it is declared as: in UTF-8, in UTF-16 with a byte order mark, or in the
/// encoding that its Content-Type names (`application/x-subrip; charset=windows-1252`). It is served as `WebVTT`. What was
/// uploaded before in this language is replaced; the same again changes nothing.
#[utoipa::path(
    put, path = route::CAPTION, tag = "videos", operation_id = "putCaption",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("language" = Language, Path, description = "A BCP 47 tag, such as `en`, `pt-BR` or `zh-Hant`."),
        CaptionQuery,
    ),
    request_body(content((String = "text/vtt"), (String = "application/x-subrip"))),
    responses(
        (status = 200, description = "They replace others, or have been there before.", body = Caption),
        (status = 201, description = "They are the first in this language.", body = Caption),
        (status = 400, description = "The language is not a tag.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such video.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The video is still being uploaded, or has too many captions.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is too large.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file has no captions that can be read; the detail names the line.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    Path(CaptionPath { id, language }): Path<CaptionPath>,
    Query(query): Query<CaptionQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Caption>), ApiError> {
    // A video that is not there is told before its captions are read.
    find_received(&app, id).await?;
    let label = label(query.label.as_deref())?;
    let text = webvtt(request).await?;
    let upload = Upload { language, label, kind: query.kind.unwrap_or_default(), blake3: BlobHash::of(&text), text };
    let (status, record) = upload.save(&app, id).await?;
    let caption = Offered::of(&record).into_iter().find(|offered| offered.record.language == upload.language);
    let caption = caption.ok_or_else(|| ApiError::internal("the caption is not in the record that was committed"))?;
    Ok((status, Json(caption.view(id))))
}

/// Delete uploaded captions.
///
/// Embedded ones of the same language are offered again.
#[utoipa::path(
    delete, path = route::CAPTION, tag = "videos", operation_id = "deleteCaption",
    params(
        ("id" = VideoId, Path, description = "The video."),
        ("language" = Language, Path, description = "A BCP 47 tag."),
    ),
    responses(
        (status = 204, description = "They are deleted."),
        (status = 404, description = "There are none.", body = triton_api::Problem, content_type = "application/problem+json"),
        (status = 409, description = "They are a track of the video's own file.", body = triton_api::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<App>,
    Path(CaptionPath { id, language }): Path<CaptionPath>,
) -> Result<StatusCode, ApiError> {
    for _ in 0..CONFLICTS_MAX {
        let Stored { mut value, revision } = find_received(&app, id).await?;
        let Some(at) = value.captions.iter().position(|caption| caption.language == language) else {
            return Err(absent(&value, &language));
        };
        let dropped = value.captions.remove(at).file;
        if commit(&app, &value, revision, Some(dropped)).await? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(busy())
}

fn absent(video: &VideoRecord, language: &Language) -> ApiError {
    if Offered::of(video).iter().any(|offered| offered.record.language == *language) {
        let detail = "These captions are a track of the video's own file, and stay with it. Upload others in the same \
                      language to hide them.";
        return ApiError::new(ProblemType::Conflict, detail);
    }
    ApiError::not_found(format!("The video has no captions in the language {language}."))
}

/// The body of a request as `WebVTT`.
async fn webvtt(request: Request) -> Result<Bytes, ApiError> {
    let charset = charset(request.headers());
    let (mut request, rest) = refuse::shared(request);
    DefaultBodyLimit::max(CAPTION_BYTES_MAX).apply(&mut request);
    let file = match Bytes::from_request(request, &()).await {
        Ok(file) => file,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            refuse::drain(rest).await;
            let detail = format!("A caption file has at most {CAPTION_BYTES_MAX} bytes.");
            return Err(ApiError::new(ProblemType::TooLarge, detail));
        }
        Err(_) => return Err(ApiError::bad_request("The body broke off.")),
    };
    let converted = tokio::task::spawn_blocking(move || to_webvtt(&file, charset.as_deref()));
    Ok(converted.await.map_err(ApiError::internal)??.into())
}

impl From<CaptionError> for ApiError {
    fn from(error: CaptionError) -> Self {
        Self::new(ProblemType::Unprocessable, error.to_string())
    }
}

/// What the request says of the encoding of its body.
fn charset(headers: &HeaderMap) -> Option<String> {
    let media_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, charset) = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(charset.trim().trim_matches('"').to_owned())
}

/// A label that can be shown; an empty one is none.
fn label(text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(label) = text.map(str::trim).filter(|label| !label.is_empty()) else { return Ok(None) };
    if label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
        let detail = format!("A label has at most {LABEL_CHARS_MAX} characters, all on one line.");
        return Err(ApiError::new(ProblemType::Unprocessable, detail));
    }
    Ok(Some(label.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_encoding_is_a_parameter_of_the_media_type() {
        let of = |media_type: &'static str| {
            charset(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]))
        };
        assert_eq!(of("application/x-subrip; x=1; Charset=\"windows-1252\"").as_deref(), Some("windows-1252"));
        assert_eq!((of("text/vtt"), charset(&HeaderMap::new())), (None, None));
    }

    #[test]
    fn a_label_is_one_line() {
        assert_eq!(label(Some("  Commentary ")).unwrap().as_deref(), Some("Commentary"));
        assert_eq!(label(Some(" ")).unwrap(), None);
        assert!(label(Some("a\nb")).is_err() && label(Some(&"x".repeat(LABEL_CHARS_MAX + 1))).is_err());
    }
}
