//! What an encoding leaves behind: an init segment and media segments per rendition, as files in a private directory.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::error::PipelineError;
use super::rendition::RenditionName;

/// The file name of every rendition's init segment.
pub const INIT_FILE: &str = "init.mp4";

/// The file name of media segment `number`, which counts from 1 over the whole rendition.
///
/// ```
/// assert_eq!(web_svc::pipeline::segment_file(7), "seg-00007.m4s");
/// ```
pub fn segment_file(number: u32) -> String {
    format!("seg-{number:05}.m4s")
}

/// The outcome of one encoding. Its files vanish when it is dropped.
#[derive(Debug)]
pub struct Encoded {
    /// One entry per rendition, in the plan's order; none if the source ends before the chunk begins.
    pub renditions: Vec<RenditionOutput>,
    /// Whether the source ended before the last frame that was asked for: no later chunk holds anything.
    pub source_ended: bool,
    pub(super) directory: TempDir,
}

impl Encoded {
    /// The directory that the segment files are in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// One rendition's part of an encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionOutput {
    /// Which rendition.
    pub rendition: RenditionName,
    /// The init segment: `ftyp` and `moov`, the same bytes for every chunk of the rendition.
    pub init: Bytes,
    /// RFC 6381 codec string, such as `avc1.64001f`.
    pub codecs: String,
    /// Ticks per second of all durations.
    pub timescale: u32,
    /// The media segments in order.
    pub segments: Vec<Segment>,
}

/// One media segment in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Global number, from 1.
    pub number: u32,
    /// The file.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub bytes_len: u64,
    /// How long the segment plays, in ticks of the rendition's timescale.
    pub duration_ticks: u64,
}

impl RenditionOutput {
    /// Checks that this chunk fits the init segment that is already published for its rendition.
    ///
    /// # Errors
    /// [`PipelineError::Environment`] when it does not: another build of ffmpeg encoded the rest, so this worker cannot help.
    pub fn check_init(&self, published: &[u8]) -> Result<(), PipelineError> {
        if self.init == published {
            return Ok(());
        }
        Err(PipelineError::Environment(format!(
            "this worker's encoder writes a different init segment for {} than the published one; do all workers run the same ffmpeg?",
            self.rendition
        )))
    }
}
