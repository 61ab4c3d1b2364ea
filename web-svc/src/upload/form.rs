//! The multipart form of a new video.

use axum::extract::{
    Multipart,
    multipart::{Field, MultipartError},
};
use triton_api::{
    VideoId,
    video::{DESCRIPTION_CHARS_MAX, Visibility},
};

use super::{
    UploadError,
    begin::begin,
    finish::{Details, discard, finish},
    receive::{Receiver, unless_silent},
};
use crate::{
    app::App,
    catalog::{Title, VideoRecord},
};

/// The longest text field of the form, in bytes.
const TEXT_BYTES_MAX: usize = 4 * DESCRIPTION_CHARS_MAX;

/// The most fields of a form.
const FIELDS_MAX: u32 = 8;

/// The original of a form, received whole.
struct Received {
    record: VideoRecord,
    revision: crate::journal::Revision,
    len_bytes: u64,
}

/// Reads the form to its end and turns it into a queued video. Whatever goes wrong, nothing stays behind.
pub async fn upload_form(app: &App, form: &mut Multipart) -> Result<VideoRecord, UploadError> {
    let id = VideoId::generate();
    let _active = app.uploads.begin(id);
    let mut parts = 0;
    let outcome = read_form(app, id, form, &mut parts).await;
    if outcome.is_err() {
        discard(app, id, parts).await;
    }
    outcome
}

async fn read_form(app: &App, id: VideoId, form: &mut Multipart, parts: &mut u64) -> Result<VideoRecord, UploadError> {
    let mut details = Details::default();
    let (mut received, mut fields) = (None, 0);
    while let Some(field) = unless_silent(form.next_field()).await?.map_err(broken)? {
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(UploadError::Form(format!("The form has more than {FIELDS_MAX} fields.")));
        }
        match field.name().unwrap_or_default() {
            "title" => details.title = Some(Title::parse(&text(field).await?)?),
            "description" => {
                let description = text(field).await?;
                Title::check_description(&description)?;
                details.description = Some(description);
            }
            "visibility" => details.visibility = Some(visibility(&text(field).await?)?),
            "file" if received.is_some() => {
                return Err(UploadError::Form("The form has two fields `file`; send one video per request.".into()));
            }
            "file" => received = Some(receive_file(app, id, field, parts).await?),
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(UploadError::Form(format!(
                    "The form has a field `{other}`, which is not known; the fields are title, description, visibility and file."
                )));
            }
        }
    }
    let missing = || UploadError::Form("The form has no field `file`; with curl: -F file=@clip.mp4".into());
    let Received { record, revision, len_bytes } = received.ok_or_else(missing)?;
    finish(app, record, revision, len_bytes, details).await
}

async fn receive_file(app: &App, id: VideoId, mut field: Field<'_>, parts: &mut u64) -> Result<Received, UploadError> {
    let file_name = field.file_name().unwrap_or_default().to_owned();
    let (record, revision) = begin(app, id, &file_name).await?;
    let mut receiver = Receiver::new(app.ring.clone(), app.uploads.room.clone(), id, app.upload_bytes_max);
    loop {
        let arrived = unless_silent(field.chunk()).await?.map_err(broken)?;
        let Some(chunk) = arrived else { break };
        let taken = receiver.push(chunk).await;
        *parts = receiver.parts();
        taken?;
    }
    // The last part may be written even where the end fails.
    *parts = receiver.parts() + 1;
    let len_bytes = receiver.finish().await?;
    Ok(Received { record, revision, len_bytes })
}

async fn text(mut field: Field<'_>) -> Result<String, UploadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = unless_silent(field.chunk()).await?.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(UploadError::Form(format!("A text field is longer than {TEXT_BYTES_MAX} bytes.")));
        }
    }
    String::from_utf8(bytes).map_err(|_| UploadError::Form("A text field is not UTF-8.".into()))
}

/// Reads the word for a visibility.
pub(super) fn visibility(text: &str) -> Result<Visibility, UploadError> {
    serde_json::from_value(text.trim().into())
        .map_err(|_| UploadError::Form("visibility is one of public, unlisted and private.".into()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is a function for map_err")]
fn broken(error: MultipartError) -> UploadError {
    UploadError::BrokenOff(error.body_text())
}
