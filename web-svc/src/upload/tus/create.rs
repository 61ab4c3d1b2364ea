//! Creating an upload.

use jiff::Timestamp;
use triton_api::{VideoId, upload::CONCAT_UPLOADS_MAX};

use super::{TusError, concat::find_piece, metadata};
use crate::{
    app::App,
    catalog::{Rest, UploadKind, UploadRecord, UploadState},
    journal::{Change, Expect, RecordKey},
    upload::{UploadError, begin::uploading},
};

/// What a client wants to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// What it becomes.
    pub kind: UploadKind,
    /// Bytes of the whole; of a final upload the sum of what it joins.
    pub len_bytes: u64,
    /// `Upload-Metadata` as it was sent.
    pub metadata: String,
    /// The partial uploads that a final one joins.
    pub pieces: Vec<VideoId>,
}

/// Creates an upload, and the video that it is to become, in the state `uploading`.
pub async fn create(app: &App, new: NewUpload) -> Result<UploadRecord, TusError> {
    let metadata = metadata::parse(&new.metadata)?;
    let len_bytes = if new.kind == UploadKind::Final { total(app, &new.pieces).await? } else { new.len_bytes };
    if len_bytes > app.upload_bytes_max {
        return Err(UploadError::TooLarge { bytes_max: app.upload_bytes_max }.into());
    }
    let (id, now) = (VideoId::generate(), Timestamp::now());
    let record = UploadRecord {
        v: 1,
        id,
        kind: new.kind,
        state: UploadState::Open,
        reason: None,
        len_bytes,
        offset_bytes: 0,
        token: 0,
        tail: None,
        tails: Vec::new(),
        metadata: new.metadata,
        pieces: new.pieces,
        touched_at: now,
        expires_at: now + app.uploads.expiry,
        rest: Rest::new(),
    };
    let mut change = Change::new().put(RecordKey::upload(id), Expect::Absent, &record)?;
    if record.kind != UploadKind::Partial {
        let mut video = uploading(id, &metadata.file_name);
        metadata.details.apply(&mut video);
        change = change.put(RecordKey::video(id), Expect::Absent, &video)?;
    }
    app.journal.commit(change).await?;
    Ok(record)
}

/// The length of all partial uploads together, each of which must have all its bytes.
async fn total(app: &App, pieces: &[VideoId]) -> Result<u64, TusError> {
    if pieces.is_empty() || pieces.len() > CONCAT_UPLOADS_MAX {
        let detail = format!("Upload-Concat: a final upload joins 1 to {CONCAT_UPLOADS_MAX} partial ones.");
        return Err(TusError::Header(detail));
    }
    let mut len_bytes = 0_u64;
    for id in pieces {
        let piece = find_piece(app, *id).await?;
        if piece.kind != UploadKind::Partial || !piece.is_complete() {
            return Err(TusError::Piece { id: id.to_string() });
        }
        len_bytes = len_bytes.saturating_add(piece.len_bytes);
    }
    Ok(len_bytes)
}
