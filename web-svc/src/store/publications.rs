//! What plays of a video, remembered: every segment that a viewer fetches asks for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::Row;
use triton_api::{Generation, VideoId};

use super::{During, Store, StoreError};
use crate::{catalog::VideoRecord, journal::RecordKey};

/// Videos that are remembered at once; when there are more, all are forgotten and read again.
const REMEMBERED_MAX: usize = 16 * 1024;

/// What the catalog says of a video to who wants its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// This generation plays.
    Playing(Generation),
    /// Nothing plays yet.
    Unpublished,
    /// There is no such video here: it was never heard of, which may be for want of news.
    Unknown,
    /// It was deleted, and its content is being removed.
    Deleted,
}

/// The publications read so far. A change of a video's records is visible here before its writer is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Publications {
    remembered: Arc<Mutex<Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Grows with every change: what was read before a change is not remembered after it.
    changes: u64,
    videos: HashMap<VideoId, Publication>,
    /// Whose records the write transaction that is being committed changes. Nothing is remembered of them meanwhile, nor
    /// after a commit whose outcome nobody waited for, until the next transaction begins.
    settling: Vec<VideoId>,
}

impl Publications {
    /// What is remembered, or the number of changes so far, to be given to [`Self::remember`].
    fn look(&self, id: VideoId) -> Result<Publication, u64> {
        let remembered = self.lock();
        remembered.videos.get(&id).copied().ok_or(remembered.changes)
    }

    fn remember(&self, id: VideoId, publication: Publication, changes_before: u64) {
        let mut remembered = self.lock();
        if remembered.changes != changes_before || remembered.settling.contains(&id) {
            return;
        }
        if remembered.videos.len() >= REMEMBERED_MAX {
            remembered.videos.clear();
        }
        remembered.videos.insert(id, publication);
    }

    /// A transaction that changes these records is about to be committed.
    pub(super) fn change<'a>(&self, keys: impl Iterator<Item = &'a RecordKey>) {
        let mut remembered = self.lock();
        for id in keys.filter_map(RecordKey::publication_of) {
            remembered.changes += 1;
            remembered.videos.remove(&id);
            remembered.settling.push(id);
        }
    }

    /// No transaction is being committed: the last one succeeded, or the next one has begun.
    pub(super) fn settle(&self) {
        let mut remembered = self.lock();
        if !remembered.settling.is_empty() {
            remembered.changes += 1;
            remembered.settling.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// What plays of a video, where that is known without a query.
    pub fn known_publication(&self, id: VideoId) -> Option<Publication> {
        self.feed.publications.look(id).ok()
    }

    /// What plays of a video; mostly without a query.
    pub async fn publication(&self, id: VideoId) -> Result<Publication, StoreError> {
        let changes = match self.feed.publications.look(id) {
            Ok(publication) => return Ok(publication),
            Err(changes) => changes,
        };
        let publication = self.read_publication(id).await?;
        // Anybody can ask for ids that do not exist: those must not push out the others.
        if publication != Publication::Unknown {
            self.feed.publications.remember(id, publication, changes);
        }
        Ok(publication)
    }

    async fn read_publication(&self, id: VideoId) -> Result<Publication, StoreError> {
        if let Some(video) = self.get::<VideoRecord>(&RecordKey::video(id)).await? {
            let playing = video.value.published.map(|published| Publication::Playing(published.generation));
            return Ok(playing.unwrap_or(Publication::Unpublished));
        }
        let prefix = RecordKey::trash_prefix(id);
        let row = sqlx::query("SELECT EXISTS (SELECT 1 FROM records WHERE key >= ? AND key < ?)")
            .bind(&prefix)
            .bind(format!("{prefix}\u{7f}"))
            .fetch_one(&self.readers)
            .await
            .during("looking for a video's trash")?;
        Ok(if row.get::<bool, _>(0) { Publication::Deleted } else { Publication::Unknown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (publications, id) = (Publications::default(), VideoId::generate());
        let playing = Publication::Playing(Generation::new(1));
        let before = publications.look(id).unwrap_err();
        publications.remember(id, playing, before);
        assert_eq!(publications.look(id), Ok(playing));

        publications.change([RecordKey::video(id)].iter());
        let during = publications.look(id).unwrap_err();
        publications.remember(id, playing, before);
        publications.remember(id, playing, during);
        assert!(publications.look(id).is_err(), "what a reader sees during the commit may be the old state");
        publications.settle();
        publications.remember(id, playing, during);
        assert!(publications.look(id).is_err(), "a reader that was overtaken by the change must not win");
        let after = publications.look(id).unwrap_err();
        publications.remember(id, Publication::Unpublished, after);
        assert_eq!(publications.look(id), Ok(Publication::Unpublished));
    }

    #[test]
    fn progress_of_jobs_forgets_nothing() {
        let (publications, id) = (Publications::default(), VideoId::generate());
        let before = publications.look(id).unwrap_err();
        publications.remember(id, Publication::Unpublished, before);
        publications.change([RecordKey::job(id, Generation::new(1), "chunk-1"), RecordKey::layout()].iter());
        assert!(publications.look(id).is_ok());
        publications.change([RecordKey::trash(id, Generation::new(1))].iter());
        assert!(publications.look(id).is_err());
    }
}
