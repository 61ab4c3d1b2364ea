//! The beginning of an upload: the video's record, so that a crash leaves a trace to clean up by.

use jiff::Timestamp;
use triton_api::{
    Generation, VideoId,
    video::{VideoState, Visibility},
};

use super::UploadError;
use crate::{
    app::App,
    catalog::{Original, Rest, VideoRecord, title_of_file},
    journal::{Change, Expect, RecordKey, Revision},
};

/// Creates the record of a video whose bytes are arriving in this process.
pub(super) async fn begin(app: &App, id: VideoId, file_name: &str) -> Result<(VideoRecord, Revision), UploadError> {
    let record = VideoRecord { uploader: Some(app.process_id.to_string()), ..uploading(id, file_name) };
    let change = Change::new().put(RecordKey::video(id), Expect::Absent, &record)?;
    let revision = app.journal.commit(change).await?;
    Ok((record, revision))
}

/// The record of a video whose bytes are arriving, in whichever process.
pub(super) fn uploading(id: VideoId, file_name: &str) -> VideoRecord {
    VideoRecord {
        v: 1,
        id,
        title: title_of_file(file_name).into_string(),
        description: String::new(),
        visibility: Visibility::default(),
        state: VideoState::Uploading,
        reason: None,
        created_at: Timestamp::now(),
        original: Original { len_bytes: 0, file_name: file_name.chars().take(255).collect() },
        generation: Generation::new(0),
        published: None,
        captions: Vec::new(),
        uploader: None,
        rest: Rest::new(),
    }
}
