//! Uploads: bytes from a client become the parts of an original, a probe decides whether they are a video, and the
//! jobs of its first generation are created.

mod begin;
mod finish;
mod form;
mod receive;
pub mod refuse;
mod room;
pub mod tus;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::SignedDuration;
use thiserror::Error;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;
use triton_api::{ProblemType, VideoId};
use triton_kit::{ApiError, memory};

pub(crate) use finish::TRASH_GRACE;
pub use finish::{create_generation, discard, jobs};
pub(crate) use finish::{stage, unstage};
pub use form::upload_form;

use crate::{catalog::TitleError, journal::JournalError, pipeline::PipelineError, ring::RingError, store::StoreError};

/// Chunks at once that wait in a file of up to 1 GiB until their checksum is known.
const CHECKED_CHUNKS_MAX: usize = 8;

/// Why an upload did not become a video.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The form is not what is expected.
    #[error("{0}")]
    Form(String),
    /// The sender broke off.
    #[error("The upload broke off: {0}")]
    BrokenOff(String),
    /// The sender fell silent.
    #[error("Nothing arrived for {seconds} seconds; the upload was given up. Upload the file again.")]
    Silent {
        /// The limit.
        seconds: u64,
    },
    /// Too many uploads at once.
    #[error("Too many files are being uploaded at once. Go on, or upload the file again, in a moment.")]
    Crowded,
    /// Others waited for the memory that the sender filled too slowly.
    #[error(
        "The connection is slow (no 8 MiB in {seconds} seconds), and others wait. Go on, or upload the file again, in a \
         moment."
    )]
    Slow {
        /// How long a part may take then.
        seconds: u64,
    },
    /// Over the limit.
    #[error("The file is larger than this installation allows ({bytes_max} bytes).")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// A bad title or description.
    #[error(transparent)]
    Title(#[from] TitleError),
    /// The probe refused the file, or could not be done.
    #[error(transparent)]
    Probe(#[from] PipelineError),
    /// The storage nodes did not take it.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A part's task panicked.
    #[error("a part of the upload was not written")]
    Part(#[source] tokio::task::JoinError),
    /// A part was not written, which was told before; so nothing that follows it can be.
    #[error("an earlier part of the upload was not written")]
    Hole,
    /// The metadata could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The metadata could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        match error {
            UploadError::Form(_) | UploadError::BrokenOff(_) => Self::bad_request(detail),
            UploadError::Crowded | UploadError::Slow { .. } => {
                Self::new(ProblemType::Unavailable, detail).with_retry_after_seconds(10)
            }
            UploadError::Silent { .. } => Self::new(ProblemType::Timeout, detail),
            UploadError::TooLarge { .. } => Self::new(ProblemType::TooLarge, detail),
            UploadError::Title(_) => Self::new(ProblemType::Unprocessable, detail),
            UploadError::Probe(PipelineError::Source(_)) => Self::new(ProblemType::NotAVideo, detail),
            UploadError::Probe(cause) => {
                let detail = "The file could not be examined right now. Upload it again in a while.";
                Self::new(ProblemType::Unavailable, detail).with_cause(cause)
            }
            UploadError::Ring(cause) => cause.into(),
            UploadError::Journal(cause) => cause.into(),
            UploadError::Store(cause) => Self::internal(cause),
            UploadError::Part(cause) => Self::internal(cause),
            UploadError::Hole => {
                Self::new(ProblemType::Unavailable, "A part of the file could not be stored right now.")
            }
        }
    }
}

/// The uploads that this process receives right now. Cloning is cheap.
///
/// A video in the state `uploading` whose uploader is this process and which is not in here was dropped half way: the
/// janitor removes it.
#[derive(Debug, Clone)]
pub struct Uploads {
    active: Arc<Mutex<HashSet<VideoId>>>,
    ended: Arc<Notify>,
    /// How long an unfinished resumable upload stays after its last byte.
    expiry: SignedDuration,
    /// Room for parts in memory.
    room: room::Room,
    /// Room for chunks that wait in a file until their checksum is known.
    checked_chunks: Arc<Semaphore>,
    /// What goes on where a client breaks off: keeping what arrived, examining what is whole.
    tasks: TaskTracker,
}

impl Uploads {
    /// No upload yet; resumable ones stay so long after their last byte.
    pub fn new(expiry_hours: u32) -> Self {
        Self {
            active: Arc::default(),
            ended: Arc::default(),
            expiry: SignedDuration::from_hours(i64::from(expiry_hours)),
            room: room::Room::in_memory_of(memory::limit_bytes()),
            checked_chunks: Arc::new(Semaphore::new(CHECKED_CHUNKS_MAX)),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits until the work on uploads has ended that does not depend on a client; to be called when no request is served
    /// any more.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn begin(&self, id: VideoId) -> ActiveUpload {
        self.table().insert(id);
        ActiveUpload { uploads: self.clone(), id }
    }

    /// Whether this process receives the upload right now.
    pub fn is_active(&self, id: VideoId) -> bool {
        self.table().contains(&id)
    }

    /// Waits until some upload has ended, in whatever way.
    ///
    /// # Cancel safety
    /// May be dropped; an end in between wakes the next caller.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashSet<VideoId>> {
        // The set is whole between any two statements, so a panic elsewhere does not spoil it.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an upload as active while it lives.
#[derive(Debug)]
struct ActiveUpload {
    uploads: Uploads,
    id: VideoId,
}

impl Drop for ActiveUpload {
    fn drop(&mut self) {
        self.uploads.table().remove(&self.id);
        self.uploads.ended.notify_one();
    }
}
