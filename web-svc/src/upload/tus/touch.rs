//! Showing the janitor that somebody works on an upload: its record changes.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use tokio::time::sleep;
use triton_api::VideoId;

use super::{TusError, claim::is_conflict};
use crate::{
    app::App,
    catalog::{UploadRecord, UploadState},
    journal::{Change, Expect, RecordKey},
    store::Stored,
};

/// The longest time that the record of an upload stays the same while somebody works on it: a few times shorter than the
/// janitor waits, so that a commit may fail.
pub(super) const TOUCH_EVERY: Duration = Duration::from_secs(15);

/// Does work on an upload that is not claimed, and touches its record meanwhile.
pub(super) async fn touching<T>(app: &App, id: VideoId, work: impl Future<Output = T>) -> T {
    let touch = || async move {
        if let Err(error) = touch(app, id).await {
            tracing::warn!(upload.id = %id, %error, "cannot tell yet that an upload is worked on");
        }
    };
    every(TOUCH_EVERY, touch, work).await
}

/// Does one thing again and again while another is done.
async fn every<T, F: Future<Output = ()>>(period: Duration, act: impl Fn() -> F, work: impl Future<Output = T>) -> T {
    let acting = async {
        loop {
            sleep(period).await;
            act().await;
        }
    };
    // A touch that is dropped half way may be committed or not: nobody relies on either.
    tokio::select! {
        done = work => done,
        never = acting => never,
    }
}

async fn touch(app: &App, id: VideoId) -> Result<(), TusError> {
    let key = RecordKey::upload(id);
    let Some(Stored { value: record, revision }) = app.store.get::<UploadRecord>(&key).await? else { return Ok(()) };
    if record.state != UploadState::Open {
        return Ok(());
    }
    let record = UploadRecord { touched_at: Timestamp::now(), ..record };
    match app.journal.commit(Change::new().put(key, Expect::At(revision), &record)?).await {
        Ok(_) => Ok(()),
        // Somebody else changed it, which shows the same.
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn long_work_is_shown_again_and_again_until_it_is_done() {
        let touches = Semaphore::new(0);
        let touch = || async { touches.add_permits(1) };
        // Work that ends only when it was shown three times.
        let work = async { touches.acquire_many(3).await.is_ok() };
        assert!(every(Duration::from_millis(1), touch, work).await);
    }
}
