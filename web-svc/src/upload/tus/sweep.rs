//! What the janitor does with uploads: expired ones end, whole ones are finished where nobody else does it, and ended ones
//! are forgotten when nothing is left of them.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use triton_api::VideoId;

use super::{
    TusError,
    claim::{delete_tails, is_conflict},
    complete::complete,
    concat::join,
    end::end,
};
use crate::{
    app::App,
    catalog::{UploadKind, UploadRecord, UploadState},
    journal::{Change, Expect, RecordKey, Revision},
    store::{StoreError, Stored},
};

/// Uploads that are looked at in one round.
const LOOKED_AT_MAX: u32 = 10_000;
/// Uploads that something is done about in one round.
const STEPS_MAX: usize = 32;
/// An upload whose record nobody has changed for so long is nobody's: who works on one touches it more often.
const ORPHAN_AFTER: Duration = Duration::from_secs(60);

/// Since when each upload is as it is, by the clock of who looks: what the clocks of two machines say is not compared.
#[derive(Debug, Default)]
pub struct Sightings(HashMap<VideoId, (Revision, Instant)>);

impl Sightings {
    /// Notes how the uploads are now, and returns for how long each has been so.
    fn note(&mut self, uploads: &[Stored<UploadRecord>], now: Instant) -> Vec<Duration> {
        let mut still = HashMap::with_capacity(uploads.len());
        let unchanged = uploads.iter().map(|Stored { value, revision }| {
            let since = match self.0.get(&value.id) {
                Some((seen, since)) if seen == revision => *since,
                _ => now,
            };
            still.insert(value.id, (*revision, since));
            now.duration_since(since)
        });
        let unchanged = unchanged.collect();
        self.0 = still;
        unchanged
    }
}

/// What is to be done about an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It has expired.
    End,
    /// It has all its bytes, or can have them, and nobody goes on.
    GoOn,
    /// Nothing is to be told about it any more, or there are tails to delete.
    Forget,
}

/// What is to be done now about an upload that has not changed for a while.
fn step(record: &UploadRecord, unchanged_for: Duration, now: Timestamp) -> Option<Step> {
    // A wall clock will do: it is about hours.
    let is_due = record.expires_at <= now;
    let is_orphan = unchanged_for >= ORPHAN_AFTER;
    let can_go_on = match record.kind {
        UploadKind::Single => record.is_complete(),
        UploadKind::Partial => false,
        UploadKind::Final => true,
    };
    match record.state {
        UploadState::Open if is_due => Some(Step::End),
        UploadState::Open if is_orphan && can_go_on => Some(Step::GoOn),
        UploadState::Open => None,
        UploadState::Finished | UploadState::Ended => (is_due || !record.tails.is_empty()).then_some(Step::Forget),
    }
}

/// Does what is due.
pub async fn sweep(app: &App, sightings: &mut Sightings) -> Result<(), StoreError> {
    let uploads = app.store.list::<UploadRecord>("upload/", LOOKED_AT_MAX).await?;
    let uploads: Vec<_> = uploads.into_iter().map(|(_, upload)| upload).collect();
    let (unchanged, now) = (sightings.note(&uploads, Instant::now()), Timestamp::now());
    let due = uploads.into_iter().zip(unchanged).filter_map(|(upload, unchanged_for)| {
        let step = step(&upload.value, unchanged_for, now)?;
        Some((step, upload))
    });
    for (step, upload) in due.take(STEPS_MAX) {
        let id = upload.value.id;
        let done = match step {
            _ if app.shutdown.is_cancelled() => return Ok(()),
            Step::End => end(app, id, None).await,
            Step::GoOn => go_on(app, upload).await,
            Step::Forget => forget(app, id).await,
        };
        match done {
            Ok(()) | Err(TusError::Superseded) => {}
            Err(error) => tracing::warn!(upload.id = %id, %error, "cannot clean up after an upload yet"),
        }
    }
    Ok(())
}

/// Touches an upload, which only one web service can, and finishes it in the background.
async fn go_on(app: &App, upload: Stored<UploadRecord>) -> Result<(), TusError> {
    let Stored { value: record, revision } = upload;
    let record = UploadRecord { touched_at: Timestamp::now(), ..record };
    let (id, kind) = (record.id, record.kind);
    app.journal.commit(Change::new().put(RecordKey::upload(id), Expect::At(revision), &record)?).await?;
    tracing::info!(upload.id = %id, "finishing an upload that was left whole");
    let worker = app.clone();
    app.uploads.tasks.spawn(async move {
        let finished = match kind {
            UploadKind::Final => join(&worker, id).await,
            UploadKind::Single | UploadKind::Partial => complete(&worker, id).await,
        };
        if let Err(error) = finished {
            tracing::warn!(upload.id = %id, %error, "an upload that was left whole is not finished");
        }
    });
    Ok(())
}

/// Deletes the tails that are left of a finished or ended upload, and its record when it is due.
pub(super) async fn forget(app: &App, id: VideoId) -> Result<(), TusError> {
    let key = RecordKey::upload(id);
    let Some(Stored { value: mut record, revision }) = app.store.get::<UploadRecord>(&key).await? else {
        return Ok(());
    };
    if record.state == UploadState::Open {
        return Ok(());
    }
    let deleted = delete_tails(app, id, &record.tails).await;
    if deleted.is_empty() && !record.tails.is_empty() {
        return Ok(());
    }
    record.tails.retain(|token| !deleted.contains(token));
    let is_over = record.tails.is_empty() && record.expires_at <= Timestamp::now();
    let change = match is_over {
        true => Change::new().delete(key, Expect::At(revision)),
        false if deleted.is_empty() => return Ok(()),
        false => Change::new().put(key, Expect::At(revision), &record)?,
    };
    match app.journal.commit(change).await {
        Ok(_) => Ok(()),
        // Somebody else forgets it.
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{catalog::Rest, upload::tus::touch::TOUCH_EVERY};

    fn upload(kind: UploadKind, state: UploadState, offset_bytes: u64, left_s: i64) -> UploadRecord {
        let now = Timestamp::now();
        UploadRecord {
            v: 1,
            id: VideoId::generate(),
            kind,
            state,
            reason: None,
            len_bytes: 10,
            offset_bytes,
            token: 1,
            tail: None,
            tails: Vec::new(),
            metadata: String::new(),
            pieces: Vec::new(),
            // By a clock that is a day behind.
            touched_at: now - SignedDuration::from_hours(24),
            expires_at: now + SignedDuration::from_secs(left_s),
            rest: Rest::new(),
        }
    }

    #[test]
    fn uploads_end_when_they_expire_and_go_on_when_they_are_whole() {
        use UploadKind::{Final, Partial, Single};
        use UploadState::{Ended, Finished, Open};
        for (kind, state, offset, unchanged_s, left_s, expected) in [
            (Single, Open, 5, 3_600, 1, None),
            (Single, Open, 5, 3_600, 0, Some(Step::End)),
            (Single, Open, 10, 59, 1, None),
            (Single, Open, 10, 60, 1, Some(Step::GoOn)),
            (Single, Open, 10, 60, 0, Some(Step::End)),
            (Partial, Open, 10, 60, 1, None),
            (Partial, Open, 10, 60, 0, Some(Step::End)),
            (Final, Open, 5, 60, 1, Some(Step::GoOn)),
            (Single, Finished, 10, 60, 1, None),
            (Single, Finished, 10, 60, 0, Some(Step::Forget)),
            (Single, Ended, 5, 60, 0, Some(Step::Forget)),
        ] {
            let record = upload(kind, state, offset, left_s);
            let step = step(&record, Duration::from_secs(unchanged_s), Timestamp::now());
            assert_eq!(step, expected, "{kind:?} {state:?} {offset} {unchanged_s}");
        }
    }

    #[test]
    fn an_upload_is_unchanged_since_it_was_first_seen_so() {
        let record = upload(UploadKind::Single, UploadState::Open, 10, 3_600);
        let (mut sightings, start) = (Sightings::default(), Instant::now());
        let mut seen = |revision, after_s| {
            let upload = Stored { value: record.clone(), revision: Revision::new(revision) };
            sightings.note(&[upload], start + Duration::from_secs(after_s))[0].as_secs()
        };
        assert_eq!([seen(1, 0), seen(1, 59), seen(1, 61)], [0, 59, 61]);
        // Somebody touched it.
        assert_eq!([seen(2, 62), seen(2, 70)], [0, 8]);
    }

    #[test]
    fn who_works_on_an_upload_shows_it_in_time() {
        assert!(ORPHAN_AFTER >= 3 * TOUCH_EVERY);
    }
}
