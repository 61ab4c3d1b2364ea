//! Why a request on a resumable upload was not done.

use http::{HeaderName, HeaderValue};
use thiserror::Error;
use triton_api::{
    ProblemType,
    upload::{CHECKED_CHUNK_BYTES_MAX, header},
};
use triton_kit::ApiError;

use super::super::UploadError;
use crate::{
    catalog::TitleError,
    journal::JournalError,
    pipeline::{PipelineError, SourceFault},
    ring::RingError,
    store::StoreError,
};

/// Why a request on a resumable upload was not done.
#[derive(Debug, Error)]
pub enum TusError {
    /// A header is missing or cannot be read.
    #[error("{0}")]
    Header(String),
    /// There is no such upload (any more).
    #[error("There is no such upload: it never existed, or it was cancelled or expired. Start a new one.")]
    NotFound,
    /// It was cancelled or has expired.
    #[error("This upload was cancelled or has expired. Start a new one.")]
    Gone,
    /// It was whole, but no video.
    #[error("{0}")]
    Refused(String),
    /// The offset is not where the upload stands.
    #[error("The upload stands at byte {ours}, not {theirs}. Ask with HEAD and go on from there.")]
    Offset {
        /// Where it stands.
        ours: u64,
        /// What the client said.
        theirs: u64,
    },
    /// A later request took the upload over.
    #[error("Another request goes on with this upload. Ask with HEAD where it stands.")]
    Superseded,
    /// Other bytes than those that are stored already.
    #[error("Other bytes were sent for this place before. Start a new upload.")]
    OtherContent,
    /// A partial upload that is to be joined lacks bytes, or is no partial one.
    #[error("The upload {id} is not a partial upload that has all its bytes.")]
    Piece {
        /// The upload.
        id: String,
    },
    /// A final upload takes no bytes.
    #[error("A final upload is joined from partial ones; it takes no bytes by itself.")]
    Final,
    /// The upload has become a video.
    #[error("The upload has become a video. Delete the video instead.")]
    Finished,
    /// More bytes than the upload's length.
    #[error("More bytes arrived than the upload's length of {len_bytes} allows.")]
    BeyondLength {
        /// The length.
        len_bytes: u64,
    },
    /// A chunk with a checksum is too long to be kept aside.
    #[error("A chunk with a checksum has at most {CHECKED_CHUNK_BYTES_MAX} bytes. Send smaller chunks.")]
    CheckedChunkTooLarge,
    /// The chunk is not what was declared.
    #[error("The chunk does not have the declared checksum; nothing of it was kept. Send it again.")]
    Checksum,
    /// Too many chunks wait for their checksum.
    #[error("Too many chunks with checksums arrive at once. Try again in a while.")]
    Busy,
    /// The service stops.
    #[error("This server stops right now. Go on in a moment; what arrived is kept.")]
    Stopping,
    /// The file for a chunk with a checksum failed.
    #[error("cannot keep a chunk aside")]
    Aside(#[source] std::io::Error),
    /// The work panicked.
    #[error("the work on an upload ended early")]
    Panicked(#[source] tokio::task::JoinError),
    /// What can go wrong with every upload.
    #[error(transparent)]
    Upload(UploadError),
}

impl TusError {
    /// What is wrong with the file itself, where that is the error.
    pub(super) fn refusal(&self) -> Option<String> {
        match self {
            Self::Upload(UploadError::Probe(PipelineError::Source(fault))) => Some(fault.to_string()),
            _ => None,
        }
    }

    /// Whether its sender cannot go on with the upload, however often it is tried: as opposed to a server or a network that
    /// fails, and to somebody else who goes on with it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Header(_)
            | Self::Gone
            | Self::Refused(_)
            | Self::OtherContent
            | Self::Piece { .. }
            | Self::Final
            | Self::Finished
            | Self::BeyondLength { .. }
            | Self::CheckedChunkTooLarge
            | Self::Checksum => true,
            Self::NotFound
            | Self::Offset { .. }
            | Self::Superseded
            | Self::Busy
            | Self::Stopping
            | Self::Aside(_)
            | Self::Panicked(_) => false,
            Self::Upload(cause) => match cause {
                UploadError::Probe(probe) => matches!(probe, PipelineError::Source(_)),
                // Who broke off while the upload was created does not know its address.
                UploadError::Form(_)
                | UploadError::BrokenOff(_)
                | UploadError::Silent { .. }
                | UploadError::TooLarge { .. }
                | UploadError::Title(_) => true,
                UploadError::Ring(_)
                | UploadError::Crowded
                | UploadError::Slow { .. }
                | UploadError::Part(_)
                | UploadError::Hole
                | UploadError::Journal(_)
                | UploadError::Store(_) => false,
            },
        }
    }

    /// Whether reading the rest of the request helps its sender to hear the answer.
    pub fn wants_rest(&self) -> bool {
        !matches!(self, Self::Stopping | Self::Upload(UploadError::BrokenOff(_) | UploadError::Silent { .. }))
    }
}

impl From<UploadError> for TusError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Ring(RingError::Exists { .. }) => Self::OtherContent,
            // The key of a part or a tail was deleted: the upload was ended meanwhile, or somebody else goes on.
            UploadError::Ring(RingError::Deleted { .. }) | UploadError::Journal(JournalError::Conflict { .. }) => {
                Self::Superseded
            }
            other => Self::Upload(other),
        }
    }
}

impl From<RingError> for TusError {
    fn from(error: RingError) -> Self {
        UploadError::Ring(error).into()
    }
}

impl From<JournalError> for TusError {
    fn from(error: JournalError) -> Self {
        UploadError::Journal(error).into()
    }
}

impl From<StoreError> for TusError {
    fn from(error: StoreError) -> Self {
        Self::Upload(UploadError::Store(error))
    }
}

impl From<TitleError> for TusError {
    fn from(error: TitleError) -> Self {
        Self::Upload(UploadError::Title(error))
    }
}

impl From<SourceFault> for TusError {
    fn from(fault: SourceFault) -> Self {
        Self::Upload(UploadError::Probe(fault.into()))
    }
}

impl From<TusError> for ApiError {
    fn from(error: TusError) -> Self {
        let detail = error.to_string();
        match error {
            TusError::Header(_) => Self::bad_request(detail),
            TusError::NotFound => Self::not_found(detail),
            TusError::Gone => Self::new(ProblemType::Gone, detail),
            TusError::Refused(_) => Self::new(ProblemType::NotAVideo, detail),
            TusError::Offset { ours, .. } => Self::new(ProblemType::Conflict, detail)
                .with_header(HeaderName::from_static(header::UPLOAD_OFFSET), HeaderValue::from(ours)),
            TusError::Superseded | TusError::OtherContent | TusError::Piece { .. } | TusError::Finished => {
                Self::new(ProblemType::Conflict, detail)
            }
            TusError::Final => Self::new(ProblemType::Forbidden, detail),
            TusError::BeyondLength { .. } | TusError::CheckedChunkTooLarge => Self::new(ProblemType::TooLarge, detail),
            TusError::Checksum => Self::new(ProblemType::ChecksumMismatch, detail),
            TusError::Busy | TusError::Stopping => Self::new(ProblemType::Unavailable, detail),
            TusError::Aside(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(ProblemType::InsufficientStorage, "There is no room to check the chunk.").with_cause(cause)
            }
            TusError::Aside(cause) => Self::internal(cause),
            TusError::Panicked(cause) => Self::internal(cause),
            TusError::Upload(cause) => cause.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_and_others_who_go_on_are_not_final() {
        let key = || "v/x/0/original-000000".parse().unwrap();
        let unavailable = RingError::Unavailable { operation: "write", key: key(), detail: String::new() };
        let outage = || StoreError::Query { operation: "reading", source: sqlx::Error::PoolClosed };
        for error in [
            unavailable.into(),
            RingError::Deleted { key: key() }.into(),
            outage().into(),
            JournalError::Unavailable(outage()).into(),
            UploadError::Hole.into(),
            TusError::Superseded,
            TusError::Stopping,
            TusError::Busy,
        ] {
            assert!(!error.is_final(), "{error}");
        }
        for error in [
            TusError::from(SourceFault::Empty),
            RingError::Exists { key: key() }.into(),
            TusError::Checksum,
            TusError::BeyondLength { len_bytes: 1 },
        ] {
            assert!(error.is_final(), "{error}");
        }
    }
}
