//! What can go wrong with a media task, sorted by what the caller should do about it.

use std::time::Duration;

use super::sniff::Demuxer;

/// Why a media task did not produce its result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The file itself is at fault: trying again cannot help, and the text is for the person who uploaded it.
    #[error("{0}")]
    Source(#[from] SourceFault),
    /// Something around the file failed (the connection, the disk, a limit of time): worth a bounded number of retries.
    #[error("{operation} failed and may work when tried again: {detail}")]
    Transient {
        /// What was being done, for example `encode chunk 3`.
        operation: String,
        /// The last words of ffmpeg, or the I/O error.
        detail: String,
    },
    /// The source's own pictures turned out to be damaged, so that they cannot be the top rendition: all has to be encoded.
    #[error("the source's own pictures are no rendition: {0}")]
    Unfit(String),
    /// The caller's token was cancelled; nothing is left running.
    #[error("the work was cancelled")]
    Cancelled,
    /// This machine cannot do it: ffmpeg is missing or too old. Another worker may.
    #[error("{0}")]
    Environment(String),
}

impl PipelineError {
    #[expect(clippy::needless_pass_by_value, reason = "errors and texts alike, without a & at every call")]
    pub(super) fn transient(operation: impl Into<String>, detail: impl ToString) -> Self {
        Self::Transient { operation: operation.into(), detail: detail.to_string() }
    }

    /// Whether trying again, here or elsewhere, is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Source(_))
    }
}

/// What is wrong with a source, in words that the person who uploaded it understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// No bytes at all.
    #[error("The file is empty.")]
    Empty,
    /// The first bytes belong to something else, which the text names.
    #[error("{0}")]
    NotAVideo(&'static str),
    /// The container is fine but holds neither pictures nor sound.
    #[error("The file holds neither pictures nor sound.")]
    Nothing,
    /// The container is of a known kind but cannot be read.
    #[error("The file looks like {container} but is damaged or incomplete: {detail}")]
    Damaged {
        /// What the first bytes promise.
        container: Demuxer,
        /// What was found instead.
        detail: String,
    },
    /// The picture, or another part of the file, is in a format that is not decoded here.
    #[error("The file contains {0} data, which is not supported.")]
    UnsupportedCodec(String),
    /// Samples per second that no real sound has.
    #[error("Sound with a sampling rate of {0} Hz is not supported.")]
    SamplingRate(u32),
    /// Dimensions that no real video has; none where ffprobe itself found them too large.
    #[error("{}", size(*.width, *.height))]
    Dimensions {
        /// Coded width in pixels.
        width: u32,
        /// Coded height in pixels.
        height: u32,
    },
    /// More streams than any real video needs.
    #[error("The file holds {count} streams; at most {max} are supported.")]
    TooManyStreams {
        /// Streams found.
        count: usize,
        /// Streams allowed.
        max: usize,
    },
    /// More frames than any real video needs.
    #[error("The video has more than {max} frames, which is not supported.")]
    TooManyFrames {
        /// Frames allowed.
        max: u64,
    },
    /// Longer than this installation allows.
    #[error("The video is {} long; at most {} are allowed.", clock(*.duration), clock(*.max))]
    TooLong {
        /// The video's duration.
        duration: Duration,
        /// The longest duration allowed.
        max: Duration,
    },
    /// Sound without pictures of which a long part is missing.
    #[error(
        "The sound has a hole of {}, which is most likely damage; at most {} are filled with silence.",
        clock(*.duration), clock(*.max)
    )]
    Hole {
        /// How long it is.
        duration: Duration,
        /// The longest one allowed.
        max: Duration,
    },
    /// The container is readable, but not one frame could be decoded.
    #[error("No picture could be decoded: {0}")]
    Undecodable(String),
    /// The same of a file that holds sound alone.
    #[error("No sound could be decoded: {0}")]
    UndecodableSound(String),
}

fn size(width: u32, height: u32) -> String {
    if width == 0 || height == 0 {
        return "The pictures have no size, or are larger than is supported.".to_owned();
    }
    format!("A picture of {width}x{height} pixels is not supported.")
}

/// `3:07:09` for people.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_that_is_too_long_is_told_in_hours() {
        let fault = SourceFault::TooLong { duration: Duration::from_secs(45_296), max: Duration::from_secs(43_200) };
        assert_eq!(fault.to_string(), "The video is 12:34:56 long; at most 12:00:00 are allowed.");
    }
}
