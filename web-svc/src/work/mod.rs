//! Work: leasing jobs from the journal, doing them, and committing what they made.

mod captions;
mod chunk;
mod fail;
mod growing;
mod lease;
mod made;
mod publish;
pub mod reaper;
mod run;
mod stills;
mod worker;

use thiserror::Error;

pub use growing::Growing;
use made::Made;
pub use worker::Worker;

use crate::{journal::JournalError, pipeline::PipelineError, ring::RingError, store::StoreError};

/// Why a job did not end well.
#[derive(Debug, Error)]
pub enum WorkError {
    /// The source, ffmpeg or this machine.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// ffmpeg could not read the original to its end, because the storage nodes do not answer.
    #[error("the storage nodes that have the original do not answer")]
    SourceAway,
    /// The storage nodes.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The local database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of a finished encoding cannot be read.
    #[error("cannot read what ffmpeg made")]
    Output(#[from] std::io::Error),
    /// The plan or a result is not there: the video was deleted.
    #[error("the video is gone")]
    Gone,
    /// Too many workers went away with the job.
    #[error("too many workers went away while they did this")]
    Deadly,
    /// Nothing can be played of what was made.
    #[error("Neither pictures nor sound could be decoded.")]
    Empty,
}

impl WorkError {
    /// Whether another attempt is pointless.
    fn is_permanent(&self) -> bool {
        matches!(self, Self::Pipeline(PipelineError::Source(_)) | Self::Empty | Self::Deadly)
    }

    /// Whether the attempt failed for want of the storage nodes: no fault of the job, however often.
    fn is_storage_outage(&self) -> bool {
        matches!(self, Self::SourceAway | Self::Ring(RingError::Unavailable { .. } | RingError::StaleLayout { .. }))
    }

    /// Whether the attempt ended because somebody wanted it to.
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Pipeline(PipelineError::Cancelled) | Self::Gone)
    }
}
