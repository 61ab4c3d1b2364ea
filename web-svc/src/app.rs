//! What every part of the service shares.

use std::{path::PathBuf, sync::Arc};

use tokio_util::sync::CancellationToken;
use triton_api::{Generation, VideoId};

use crate::{
    catalog::{JobRecord, VideoRecord, view},
    hot::HotCache,
    journal::{CHANGE_OPS_MAX, Change, Expect, Fenced, Journal, JournalError, Term},
    membership::Membership,
    pipeline::Pipeline,
    ring::Ring,
    source::Sources,
    store::{JobRow, Store, StoreError, Stored},
    upload::Uploads,
    work::Growing,
};

/// The state of the service. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    /// Queries.
    pub store: Store,
    /// Changes.
    pub journal: Arc<dyn Journal>,
    /// Blobs.
    pub ring: Ring,
    /// Segments and pictures that viewers want just now.
    pub hot: HotCache,
    /// Videos that are watched while they are made.
    pub growing: Growing,
    /// ffmpeg.
    pub pipeline: Pipeline,
    /// Originals for ffmpeg to read.
    pub sources: Sources,
    /// Uploads under way in this process.
    pub uploads: Uploads,
    /// Which processes live, and who leads.
    pub membership: Membership,
    /// Identifies this process among all that ever ran.
    pub process_id: Arc<str>,
    /// For files while they are made.
    pub work_dir: Arc<PathBuf>,
    /// The longest upload.
    pub upload_bytes_max: u64,
    /// Ends everything that has no end of its own.
    pub shutdown: CancellationToken,
}

impl App {
    /// The same for a leader: whatever it changes is changed in its term, and it ends with it.
    #[must_use]
    pub fn in_term(&self, term: Term, ended: CancellationToken) -> Self {
        let journal = Arc::new(Fenced::new(Arc::clone(&self.journal), term));
        Self { journal, shutdown: ended, ..self.clone() }
    }

    /// A video with the jobs of its present generation, where it has any.
    pub async fn video_with_jobs(
        &self,
        id: VideoId,
    ) -> Result<Option<(Stored<VideoRecord>, Vec<JobRecord>)>, StoreError> {
        let Some(video) = self.store.video(id).await? else { return Ok(None) };
        let jobs = self.jobs_of(&video.value).await?;
        Ok(Some((video, jobs)))
    }

    /// The jobs of a video's present generation that matter to its state.
    pub async fn jobs_of(&self, video: &VideoRecord) -> Result<Vec<JobRecord>, StoreError> {
        use triton_api::video::VideoState::{Failed, Processing, Queued, Ready, Uploading};
        match video.state {
            Uploading | Ready | Failed => Ok(Vec::new()),
            Queued | Processing => {
                let rows = self.store.jobs_of(video.id, video.generation).await?;
                Ok(rows.into_iter().map(|(_, job)| job.value).collect())
            }
        }
    }

    /// A video as the API shows it.
    pub async fn view(&self, record: &VideoRecord) -> Result<triton_api::video::Video, StoreError> {
        Ok(view::video(record, &self.jobs_of(record).await?))
    }

    /// Deletes the jobs of a generation; whoever holds a lease on one of them loses it.
    pub async fn delete_jobs(&self, id: VideoId, generation: Generation) -> Result<(), JournalError> {
        let jobs = self.store.jobs_of(id, generation).await.map_err(JournalError::Unavailable)?;
        for batch in jobs.chunks(CHANGE_OPS_MAX) {
            let delete = |change: Change, (key, _): &JobRow| change.delete(key.clone(), Expect::Anything);
            self.journal.commit(batch.iter().fold(Change::new(), delete)).await?;
        }
        Ok(())
    }
}
