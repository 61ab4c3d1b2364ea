//! The record of an upload that goes on over several requests, at whichever web service.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::VideoId;

use super::{PART_BYTES, Rest};

/// What an upload becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadKind {
    /// A video.
    Single,
    /// A part of a video, sent beside others.
    Partial,
    /// A video, joined from partial uploads.
    Final,
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadState {
    /// Bytes may arrive, or all are there and wait to be examined.
    Open,
    /// It became a queued video.
    Finished,
    /// It was cancelled, refused or removed; what is left of it is being deleted.
    Ended,
}

/// What the journal keeps of an upload.
///
/// The bytes up to the last full part lie on the ring as the parts of an original; those behind it in a *tail*, a blob of
/// its own. Every request that sends bytes claims the record with the next token and writes its tail under it, so that
/// two requests never write the same tail; and every commit is conditional on the one before, so that the last one to
/// claim wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The version of this shape.
    pub v: u32,
    /// The upload, and the video that it becomes.
    pub id: VideoId,
    /// What it becomes.
    pub kind: UploadKind,
    /// Where it stands.
    pub state: UploadState,
    /// Why it was refused, for its sender.
    #[serde(default)]
    pub reason: Option<String>,
    /// Bytes of the whole.
    pub len_bytes: u64,
    /// Bytes that are durable.
    pub offset_bytes: u64,
    /// The token of the last claim; 0 before the first.
    pub token: u64,
    /// The token of the tail with the bytes behind the last full part, where there are any.
    #[serde(default)]
    pub tail: Option<u64>,
    /// The tokens of all tails that may be on the ring.
    #[serde(default)]
    pub tails: Vec<u64>,
    /// `Upload-Metadata` as it was sent, to be told again.
    #[serde(default)]
    pub metadata: String,
    /// The partial uploads that a final one joins, in order.
    #[serde(default)]
    pub pieces: Vec<VideoId>,
    /// When somebody last worked on it, by the clock of who did; for people, and never compared.
    pub touched_at: Timestamp,
    /// When it is removed; hours ahead, so that clocks may differ.
    pub expires_at: Timestamp,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl UploadRecord {
    /// Whether all bytes are durable.
    pub fn is_complete(&self) -> bool {
        self.offset_bytes == self.len_bytes
    }

    /// Parts of the whole original.
    pub fn parts(&self) -> u64 {
        self.len_bytes.div_ceil(PART_BYTES)
    }

    /// Bytes of the tail.
    pub fn tail_bytes(&self) -> u64 {
        if self.tail.is_some() { self.offset_bytes % PART_BYTES } else { 0 }
    }

    /// The tokens of tails that nobody needs any more.
    pub fn stray_tails(&self) -> Vec<u64> {
        self.tails.iter().copied().filter(|token| Some(*token) != self.tail).collect()
    }
}
