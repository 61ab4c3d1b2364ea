//! Jobs: the units of work of the transcode pipeline.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::VideoId;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for something: `waits_for` says what.
    Waiting,
    /// A worker holds its lease.
    Running,
    /// Finished; its result is stored.
    Done,
    /// Given up after the last attempt.
    Failed,
}

/// One job as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Unique in the installation.
    pub id: String,
    /// The video it works for.
    pub video_id: VideoId,
    /// What it does: `probe`, `audio`, `chunk`, `extra`, `poster`, `finalize`, `finalize-extra`.
    pub kind: String,
    /// What exactly, in words: `chunk 3 of 12`.
    pub subject: String,
    /// Where it stands.
    pub state: JobState,
    /// Attempts begun, the running one included.
    pub attempt: u32,
    /// Attempts allowed.
    pub attempts_max: u32,
    /// From 0 to 1.
    pub progress: f32,
    /// The worker that holds the lease.
    pub worker: Option<String>,
    /// What it waits for, in words; null while it runs and when it is done.
    pub waits_for: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}
