//! Uploaded captions on their way to the ring and into the video's record.

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use triton_api::{
    BlobHash, BlobKey, Language, ProblemType, VideoId,
    caption::{CAPTIONS_MAX, CaptionKind},
};
use triton_kit::ApiError;

use super::super::videos::{CONFLICTS_MAX, find_received};
use crate::{
    app::App,
    catalog::{CaptionRecord, Rest, TrashRecord, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey, Revision},
    store::Stored,
    upload::TRASH_GRACE,
};

pub(super) struct Upload {
    pub(super) language: Language,
    pub(super) label: Option<String>,
    pub(super) kind: CaptionKind,
    pub(super) blake3: BlobHash,
    pub(super) text: Bytes,
}

impl Upload {
    /// Saves them in place of what was uploaded in this language before: 201 where there was nothing, else 200.
    ///
    /// First the text becomes durable, then the record refers to it. A process that dies in between leaves a text that
    /// nothing refers to; whoever looks for orphans finds it.
    pub(super) async fn save(&self, app: &App, id: VideoId) -> Result<(StatusCode, VideoRecord), ApiError> {
        // The name of a text on the ring to which surely nothing refers.
        let mut loose = None;
        let saved = self.try_save(app, id, &mut loose).await;
        if let Some(key) = loose.and_then(|file: String| key(id, &file))
            && let Err(error) = app.ring.delete(&key).await
        {
            tracing::warn!(%key, %error, "captions that nothing refers to stay until orphans are looked for");
        }
        saved
    }

    async fn try_save(
        &self,
        app: &App,
        id: VideoId,
        loose: &mut Option<String>,
    ) -> Result<(StatusCode, VideoRecord), ApiError> {
        for _ in 0..CONFLICTS_MAX {
            let Stored { mut value, revision } = find_received(app, id).await?;
            let former = value.captions.iter().find(|caption| caption.language == self.language).cloned();
            if former.is_none() && value.captions.len() >= CAPTIONS_MAX {
                return Err(full());
            }
            let record = self.record(app, id, former.as_ref(), loose).await?;
            if former.as_ref() == Some(&record) {
                return Ok((StatusCode::OK, value));
            }
            value.captions.retain(|caption| caption.language != self.language);
            value.captions.push(record.clone());
            let status = if former.is_none() { StatusCode::CREATED } else { StatusCode::OK };
            let dropped = former.map(|former| former.file).filter(|file| *file != record.file);
            let committed = commit(app, &value, revision, dropped).await;
            if !matches!(committed, Ok(false)) {
                // It is referred to, or may be.
                loose.take_if(|file| *file == record.file);
            }
            if committed? {
                return Ok((status, value));
            }
        }
        Err(busy())
    }

    /// The record, with the text on the ring. The same text as before is not written again.
    async fn record(
        &self,
        app: &App,
        id: VideoId,
        former: Option<&CaptionRecord>,
        loose: &mut Option<String>,
    ) -> Result<CaptionRecord, ApiError> {
        let file = match (former, &*loose) {
            (Some(former), _) if former.blake3 == self.blake3 => former.file.clone(),
            (_, Some(file)) => file.clone(),
            (_, None) => {
                let file = CaptionRecord::new_file(&self.language);
                let key = key(id, &file).ok_or_else(|| ApiError::internal("a language does not fit into a key"))?;
                app.ring.put(&key, self.text.clone()).await?;
                loose.insert(file).clone()
            }
        };
        let rest = former.map_or_else(Rest::new, |former| former.rest.clone());
        let (language, label) = (self.language.clone(), self.label.clone());
        Ok(CaptionRecord { language, label, kind: self.kind, file, blake3: self.blake3, rest })
    }
}

/// Writes a video's record, and that the text `dropped` is to be deleted; `false` where somebody changed it meanwhile.
pub(super) async fn commit(
    app: &App,
    record: &VideoRecord,
    revision: Revision,
    dropped: Option<String>,
) -> Result<bool, ApiError> {
    let mut change = Change::new().put(RecordKey::video(record.id), Expect::At(revision), record)?;
    if let Some(file) = dropped {
        let key = RecordKey::caption_trash(record.id, &file);
        let trash = TrashRecord::of_captions(record.id, vec![file], Timestamp::now() + TRASH_GRACE);
        change = change.put(key, Expect::Anything, &trash)?;
    }
    match app.journal.commit(change).await {
        Ok(_) => Ok(true),
        Err(JournalError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn key(id: VideoId, file: &str) -> Option<BlobKey> {
    CaptionRecord::blob(id, triton_api::Generation::new(0), file)
}

fn full() -> ApiError {
    let detail = format!("The video has {CAPTIONS_MAX} captions, which is the most. Delete some first.");
    ApiError::new(ProblemType::Conflict, detail)
}

pub(super) fn busy() -> ApiError {
    ApiError::new(ProblemType::Conflict, "Too many others change this video right now. Try again.")
}
