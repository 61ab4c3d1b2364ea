//! Who may append to an upload: the last one to claim it.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use triton_api::VideoId;

use super::{CONFLICTS_MAX, TusError, touch::TOUCH_EVERY};
use crate::{
    app::App,
    catalog::{PART_BYTES, UploadKind, UploadRecord, UploadState, VideoRecord},
    journal::{Change, Expect, JournalError, RecordKey, Revision},
    store::Stored,
};

/// How often the record of an upload is looked for that another web service may have written a moment ago.
const LOOKS_MAX: u32 = 8;
/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Tails that could not be deleted yet, at most; then the upload waits until the storage nodes take deletes again.
const TAILS_MAX: usize = 32;
/// Deletes at once.
const DELETES_IN_FLIGHT: usize = 4;

/// The record of an upload that can be asked about.
///
/// # Errors
/// [`TusError::NotFound`], [`TusError::Gone`], or [`TusError::Refused`] where it was no video.
pub async fn find(app: &App, id: VideoId) -> Result<Stored<UploadRecord>, TusError> {
    for _ in 0..LOOKS_MAX {
        if let Some(stored) = app.store.get::<UploadRecord>(&RecordKey::upload(id)).await? {
            return alive(stored);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(TusError::NotFound)
}

fn alive(stored: Stored<UploadRecord>) -> Result<Stored<UploadRecord>, TusError> {
    let record = &stored.value;
    match (record.state, &record.reason) {
        (UploadState::Ended, Some(reason)) => Err(TusError::Refused(reason.clone())),
        (UploadState::Ended, None) => Err(TusError::Gone),
        (UploadState::Open, _) if record.expires_at <= Timestamp::now() => Err(TusError::Gone),
        (UploadState::Open | UploadState::Finished, _) => Ok(stored),
    }
}

/// Whether bytes can be appended at `offset`.
pub(super) fn check_offset(record: &UploadRecord, offset: u64) -> Result<(), TusError> {
    if record.kind == UploadKind::Final {
        return Err(TusError::Final);
    }
    if record.offset_bytes != offset {
        return Err(TusError::Offset { ours: record.offset_bytes, theirs: offset });
    }
    Ok(())
}

/// An upload that the holder may append to, until somebody else claims it: then the next commit fails.
pub(super) struct Claim {
    pub(super) app: App,
    pub(super) record: UploadRecord,
    revision: Revision,
    committed_at: Instant,
}

impl Claim {
    /// Claims an upload that stands at `offset`; with no offset, for joining partial uploads.
    pub(super) async fn take(app: &App, id: VideoId, offset: Option<u64>) -> Result<Self, TusError> {
        let mut tries = 0;
        loop {
            let Stored { value: record, revision } = find(app, id).await?;
            let mut claim = Self { app: app.clone(), record, revision, committed_at: Instant::now() };
            let taken = claim.try_take(offset).await;
            let may_be_old = match &taken {
                // Another web service may have committed a moment ago what is not known here yet.
                Err(TusError::Offset { ours, theirs }) => theirs > ours,
                Err(TusError::Superseded) => true,
                _ => false,
            };
            if !may_be_old || tries >= CONFLICTS_MAX {
                return taken.map(|()| claim);
            }
            tries += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn try_take(&mut self, offset: Option<u64>) -> Result<(), TusError> {
        if let Some(offset) = offset {
            check_offset(&self.record, offset)?;
        }
        self.record.token += 1;
        self.record.tails.push(self.record.token);
        self.commit().await
    }

    /// The key of this claim's tail.
    fn tail_key(&self) -> triton_api::BlobKey {
        VideoRecord::original_tail(self.record.id, self.record.token)
    }

    /// Deletes the tails of earlier attempts that nobody needs. Only the holder of the claim may: before the claim was
    /// committed, one of them could have become the tail.
    pub(super) async fn drop_strays(&mut self) -> Result<(), TusError> {
        let mut strays = self.record.stray_tails();
        strays.retain(|token| *token != self.record.token);
        let (app, id) = (self.app.clone(), self.record.id);
        let deleted = self.meanwhile(async { Ok::<_, TusError>(delete_tails(&app, id, &strays).await) }).await?;
        self.record.tails.retain(|token| !deleted.contains(token));
        if self.record.tails.len() > TAILS_MAX {
            self.release().await?;
            return Err(TusError::Busy);
        }
        Ok(())
    }

    /// The bytes behind the last whole part.
    pub(super) async fn read_tail(&self) -> Result<bytes::Bytes, TusError> {
        let Some(token) = self.record.tail else { return Ok(bytes::Bytes::new()) };
        let key = VideoRecord::original_tail(self.record.id, token);
        Ok(self.app.ring.read_all(&key, PART_BYTES).await?)
    }

    /// Commits that so many whole parts are durable, where that is news.
    pub(super) async fn advance(&mut self, durable_parts: u64) -> Result<(), TusError> {
        if self.note(durable_parts) { self.commit().await } else { Ok(()) }
    }

    /// Notes that so many parts are durable; they hold what the tail held.
    pub(super) fn note(&mut self, durable_parts: u64) -> bool {
        let durable_bytes = (durable_parts * PART_BYTES).min(self.record.len_bytes);
        let is_news = durable_bytes > self.record.offset_bytes;
        if is_news {
            self.record.offset_bytes = durable_bytes;
            self.record.tail = None;
        }
        is_news
    }

    /// Writes the bytes behind the last whole part and notes them; the commit is to follow.
    pub(super) async fn keep_tail(&mut self, rest: bytes::Bytes) -> Result<(), TusError> {
        let whole_bytes = self.record.offset_bytes / PART_BYTES * PART_BYTES;
        let tail_bytes = rest.len() as u64;
        let (ring, key) = (self.app.ring.clone(), self.tail_key());
        self.meanwhile(async { ring.put(&key, rest).await }).await?;
        self.record.offset_bytes = whole_bytes + tail_bytes;
        self.record.tail = Some(self.record.token);
        Ok(())
    }

    /// Commits where the upload stands, as the end of this claim's work.
    pub(super) async fn release(&mut self) -> Result<(), TusError> {
        let token = self.record.token;
        if self.record.tail != Some(token) {
            self.record.tails.retain(|other| *other != token);
        }
        self.commit().await
    }

    /// Does a piece of the work that the claim is for, and touches the record where that takes long.
    ///
    /// # Errors
    /// [`TusError::Superseded`] as soon as that is known; the work is dropped then.
    pub(super) async fn meanwhile<T, E>(&mut self, work: impl Future<Output = Result<T, E>>) -> Result<T, TusError>
    where
        TusError: From<E>,
    {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout_at(self.committed_at + TOUCH_EVERY, &mut work).await {
                return Ok(done?);
            }
            match self.commit().await {
                Err(TusError::Superseded) => return Err(TusError::Superseded),
                // The work needs no journal before it is done.
                Err(error) => tracing::warn!(upload.id = %self.record.id, %error, "cannot touch an upload yet"),
                Ok(()) => {}
            }
        }
    }

    async fn commit(&mut self) -> Result<(), TusError> {
        self.committed_at = Instant::now();
        self.record.touched_at = Timestamp::now();
        self.record.expires_at = self.record.touched_at + self.app.uploads.expiry;
        let key = RecordKey::upload(self.record.id);
        let change = Change::new().put(key, Expect::At(self.revision), &self.record)?;
        self.revision = self.app.journal.commit(change).await?;
        Ok(())
    }
}

/// Deletes tails and returns the tokens of those that are gone.
pub(super) async fn delete_tails(app: &App, id: VideoId, tokens: &[u64]) -> Vec<u64> {
    let deletes = stream::iter(tokens.iter().copied()).map(|token| async move {
        let deleted = app.ring.delete(&VideoRecord::original_tail(id, token)).await;
        deleted
            .inspect_err(|error| tracing::warn!(upload.id = %id, %error, "cannot delete a tail yet"))
            .is_ok()
            .then_some(token)
    });
    deletes.buffer_unordered(DELETES_IN_FLIGHT).filter_map(std::future::ready).collect().await
}

/// Whether a commit failed because somebody else was faster.
pub(super) fn is_conflict(error: &JournalError) -> bool {
    matches!(error, JournalError::Conflict { .. })
}
