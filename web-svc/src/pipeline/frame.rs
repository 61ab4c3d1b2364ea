//! The first decoded picture, which tells more than the container does. Pure.

use serde::Deserialize;

use super::source::Colour;

/// The first picture as it was decoded.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Frame {
    pub(super) pts: Option<i64>,
    pub(super) best_effort_timestamp: Option<i64>,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) pix_fmt: Option<String>,
    #[serde(rename = "interlaced_frame")]
    pub(super) interlaced: Option<i64>,
    pub(super) color_space: Option<String>,
    pub(super) color_transfer: Option<String>,
}

impl Frame {
    /// What the sample values mean. Where a source does not say, its size does.
    pub(super) fn colour(&self) -> Colour {
        match self.color_transfer.as_deref() {
            Some("smpte2084") => return Colour::Pq,
            Some("arib-std-b67") => return Colour::Hlg,
            _ => {}
        }
        match self.color_space.as_deref() {
            Some("bt709") => Colour::Bt709,
            Some("bt2020nc" | "bt2020c") => Colour::Bt2020,
            Some("bt470bg" | "smpte170m" | "fcc") => Colour::Bt601,
            _ if self.height.unwrap_or(0).min(self.width.unwrap_or(0)) >= 720 => Colour::Bt709,
            _ => Colour::Bt601,
        }
    }
}
