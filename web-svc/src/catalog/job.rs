//! The record of a job: one leased, retried unit of the transcode of one generation.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{Generation, VideoId, job::JobState};

use super::{Rest, rest::keeps_unknown_fields};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum JobKind {
    /// Encodes one chunk of the picture into all renditions of the ladder.
    Chunk {
        /// The position in the plan.
        index: u32,
    },
    /// Encodes one chunk of the picture into the renditions beside the ladder.
    Extra {
        /// The position in the plan.
        index: u32,
    },
    /// Encodes one track of sound.
    Audio {
        /// The position in the plan.
        index: u32,
    },
    /// Makes the still picture.
    Poster,
    /// Makes the storyboard and publishes, when all others are done but those of the extra set.
    Finalize,
    /// Publishes the renditions beside the ladder, when they are all made and the video plays.
    FinalizeExtra,
}

impl JobKind {
    /// The kind alone, as the API shows it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Chunk { .. } => "chunk",
            Self::Extra { .. } => "extra",
            Self::Audio { .. } => "audio",
            Self::Poster => "poster",
            Self::Finalize => "finalize",
            Self::FinalizeExtra => "finalize-extra",
        }
    }

    /// Whether it works for the extra set: the video is ready without.
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::Extra { .. } | Self::FinalizeExtra)
    }
}

/// The name of the job among those of its generation.
impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk { index } => write!(f, "chunk-{index:05}"),
            Self::Extra { index } => write!(f, "extra-{index:05}"),
            Self::Audio { index } => write!(f, "audio-{index}"),
            Self::Poster => f.write_str("poster"),
            Self::Finalize => f.write_str("finalize"),
            Self::FinalizeExtra => f.write_str("finalize-extra"),
        }
    }
}

/// A worker's claim on a job, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub worker: String,
    /// Grows with every lease of the job: a result with an older token is refused.
    pub token: u64,
    /// When it ends unless renewed.
    pub expires_at: Timestamp,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What the journal keeps of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct JobRecord {
    /// The version of this shape.
    pub v: u32,
    /// The video.
    pub video_id: VideoId,
    /// The generation that the job works for.
    pub generation: Generation,
    /// What it does.
    pub kind: JobKind,
    /// Smaller comes first.
    pub priority: i64,
    /// Its part of the whole generation's work, in source frames.
    pub cost_frames: u64,
    /// Where it stands.
    pub state: JobState,
    /// Attempts that failed; a lease that ran out is no failure of the job.
    pub failures: u32,
    /// Leases that ran out because their worker was gone.
    #[serde(default)]
    pub lost_leases: u32,
    /// Leases so far: the last lease's fencing token.
    pub leases: u64,
    /// The present lease.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// Not to be tried before.
    pub not_before: Timestamp,
    /// Of the present attempt, from 0 to 1.
    pub progress: f32,
    /// Why the last attempt failed.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What it made, for `finalize`.
    #[serde(default)]
    pub result: Option<serde_json::Value>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Fields of newer versions.
    #[serde(skip)]
    pub rest: Rest,
}

keeps_unknown_fields!(JobRecord);

impl JobRecord {
    /// The jobs of the extra set have this priority or a larger number, and no others do: they come after the ladders of all
    /// videos, and need an encoder that not every worker has.
    pub const EXTRA_PRIORITY: i64 = 1 << 40;

    /// Failures after which a job is given up.
    pub const FAILURES_MAX: u32 = 4;

    /// Lost leases after which a job is given up, for it seems to take its workers down with it.
    pub const LOST_LEASES_MAX: u32 = 30;

    /// The job's id: unique in the installation.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.video_id, self.generation, self.kind)
    }
}
