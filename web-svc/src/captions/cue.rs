//! Cues and the file that they make.

use std::fmt::Write as _;

use super::clock::{ARROW, Clock};

/// A text and when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// From the beginning of the video.
    pub start_ms: u64,
    /// After `start_ms`.
    pub end_ms: u64,
    /// As it stands in a `WebVTT` file: escaped, without an empty line.
    pub payload: String,
}

impl Cue {
    /// The same on a clock that begins `lead_ms` later, as far as it is shown before `duration_ms`.
    pub(super) fn within(mut self, lead_ms: u64, duration_ms: u64) -> Option<Self> {
        self.start_ms = self.start_ms.saturating_sub(lead_ms);
        self.end_ms = self.end_ms.saturating_sub(lead_ms).min(duration_ms);
        (self.start_ms < self.end_ms).then_some(self)
    }
}

/// The `WebVTT` file of cues.
pub(super) fn webvtt(cues: &[Cue]) -> String {
    let mut text = String::from("WEBVTT\n");
    for Cue { start_ms, end_ms, payload } in cues {
        write!(text, "\n{} {ARROW} {}\n{payload}\n", Clock(*start_ms), Clock(*end_ms))
            .expect("writing to a string cannot fail");
    }
    text
}
