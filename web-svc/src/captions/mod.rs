//! Caption files: whatever people have becomes the one form that players take, `WebVTT` in UTF-8. Pure.
//!
//! `SubRip` has no standard. What is taken here is what its players take: numbers that are missing or wrong, a comma or a
//! point, hours that are left out, tags of HTML and of SSA. A parser of our own, as those that exist as crates give up at the
//! first of these, or silently drop what comes behind it.

mod clock;
mod cue;
mod markup;
mod subrip;
mod text;
mod webvtt;

use thiserror::Error;

pub use cue::Cue;

/// Why a file is not taken, for the person who has it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CaptionError {
    /// Not a single character.
    #[error("The file is empty.")]
    Empty,
    /// A picture, an archive, UTF-16 without its mark.
    #[error("The file is not text. Send a WebVTT (.vtt) or SubRip (.srt) file, in UTF-8.")]
    Binary,
    /// Some older encoding.
    #[error(
        "Line {line} is not UTF-8. Save the file as UTF-8, or name its encoding in the Content-Type, as in \
         `application/x-subrip; charset=windows-1252`."
    )]
    NotUtf8 {
        /// From 1.
        line: usize,
    },
    /// An encoding that nobody knows, or that does not fit.
    #[error("The file cannot be read as {0}. Save it as UTF-8, or name the right encoding in the Content-Type.")]
    Charset(String),
    /// Another format.
    #[error(
        "This is {0}, which is not supported. Convert it to WebVTT or SubRip, as `ffmpeg -i FILE captions.vtt` does."
    )]
    Foreign(&'static str),
    /// A line that makes no sense.
    #[error("Line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        what: &'static str,
    },
    /// Only text, or nothing.
    #[error(
        "There are no captions in the file: no line has times, such as `00:00:01,000 --> 00:00:04,000`. Send a WebVTT \
         (.vtt) or SubRip (.srt) file."
    )]
    NoCues,
}

/// A `WebVTT` or `SubRip` file as `WebVTT`, with its times checked. `charset` is what its sender says of its encoding.
pub fn to_webvtt(file: &[u8], charset: Option<&str>) -> Result<String, CaptionError> {
    let text = text::decode(file, charset)?;
    if webvtt::is_webvtt(&text) {
        return webvtt::normalise(&text);
    }
    if let Some(format) = text::foreign(&text) {
        return Err(CaptionError::Foreign(format));
    }
    let cues = subrip::parse(&text)?;
    if cues.is_empty() { Err(CaptionError::NoCues) } else { Ok(cue::webvtt(&cues)) }
}

/// What ffmpeg made of a track of a file, as `SubRip`, with its times moved; `None` where nothing is left to show.
pub(crate) fn of_track(subrip: &[u8], lead_ms: u64, duration_ms: u64) -> Option<String> {
    let text = text::decode_lossy(subrip);
    let cues = subrip::parse(&text).ok()?;
    let cues: Vec<Cue> = cues.into_iter().filter_map(|cue| cue.within(lead_ms, duration_ms)).collect();
    (!cues.is_empty()).then(|| cue::webvtt(&cues))
}

#[cfg(test)]
mod tests;
