//! Where the bytes of a source are, and what is known about them once probed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use triton_api::Language;
use url::Url;

use super::error::SourceFault;
use super::rate::FrameRate;
use super::sniff::Demuxer;

/// A source that can be read over plain HTTP with byte ranges, normally from this process's own loopback address.
///
/// ffmpeg takes an end for the end, wherever it comes, and says that all went well. So whoever serves a source has to say when
/// it cannot be read on, before the connection ends: nothing is taken over of what came of it, nor made of it from then on.
#[derive(Debug, Clone)]
pub struct Source {
    url: Url,
    broken: Arc<Broken>,
}

#[derive(Debug, Default)]
struct Broken {
    how: OnceLock<Break>,
    token: CancellationToken,
}

/// Why a source cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Those who have its bytes do not answer now.
    Away,
    /// Anything else.
    Other,
}

/// A URL that ffmpeg is not allowed to open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source is read over plain http, not {0}")]
pub struct NotHttp(String);

impl Source {
    /// A source at `url`, which has to be `http`: ffmpeg is allowed no other protocol.
    pub fn new(url: Url) -> Result<Self, NotHttp> {
        if url.scheme() != "http" {
            return Err(NotHttp(url.scheme().to_owned()));
        }
        Ok(Self { url, broken: Arc::default() })
    }

    /// The address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Says that it could not be read to where somebody wanted. The first word stands.
    pub fn set_broken(&self, how: Break) {
        self.broken.how.get_or_init(|| how);
        self.broken.token.cancel();
    }

    /// Whether it could not be read to where somebody wanted.
    pub fn is_broken(&self) -> bool {
        self.broken.token.is_cancelled()
    }

    /// Whether it could not, and that is no fault of anything but the moment.
    pub fn is_away(&self) -> bool {
        self.broken.how.get() == Some(&Break::Away)
    }

    /// Waits until [`Source::is_broken`].
    pub(super) async fn broken(&self) {
        self.broken.token.cancelled().await;
    }
}

/// What the pipeline has to know about a source. Serializable, because it is kept in the job's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// The container.
    pub demuxer: Demuxer,
    /// The picture.
    pub video: VideoStream,
    /// The audio tracks, in the source's order.
    pub audio: Vec<AudioTrack>,
    /// The text tracks that become captions: one of each language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<TextTrack>,
}

impl SourceInfo {
    /// The duration of the picture, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let ticks = self.video.frames * u64::from(self.video.frame_rate.frame_ticks());
        ticks * 1000 / u64::from(self.video.frame_rate.timescale())
    }

    /// The duration of the picture.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms())
    }
}

/// The video stream that is encoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoStream {
    /// ffmpeg's index of the stream in the container.
    pub index: u32,
    /// ffmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// Width in square pixels after rotation.
    pub width: u32,
    /// Height in square pixels after rotation.
    pub height: u32,
    /// The constant rate of the output.
    pub frame_rate: FrameRate,
    /// Frames of the output, as far as the container's word is good; encoding finds out the truth.
    pub frames: u64,
    /// When the first picture is shown, on the container's own clock.
    pub start: Timestamp,
    /// Whether pictures consist of two fields taken at different times.
    pub interlaced: bool,
    /// ffmpeg's name of the pixel format, such as `yuv420p10le`.
    pub pixel_format: String,
    /// How colours are meant.
    pub colour: Colour,
    /// Whether there are no pictures: `index` is a track of sound then, and they are drawn of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn: bool,
    /// Width and height of the first picture as it is stored, which others are brought to; none where ffmpeg turns the pictures
    /// first, and builds its filters anew for another size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_size: Option<[u32; 2]>,
}

impl VideoStream {
    /// What is wrong with a source of which not one frame could be decoded.
    pub(super) fn undecodable(&self, detail: String) -> SourceFault {
        if self.drawn { SourceFault::UndecodableSound(detail) } else { SourceFault::Undecodable(detail) }
    }
}

/// A time as a whole number of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// Ticks, possibly negative.
    pub ticks: i64,
    /// A tick lasts `numerator / denominator` seconds.
    pub numerator: u32,
    /// See `numerator`.
    pub denominator: u32,
}

impl Timestamp {
    /// The time in seconds.
    #[expect(clippy::cast_precision_loss, reason = "time stamps of real files have far fewer than 2^52 ticks")]
    pub fn seconds(self) -> f64 {
        self.ticks as f64 * f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// How a source's sample values map to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Standard range with the matrix of ITU-R BT.601.
    Bt601,
    /// Standard range with the matrix of ITU-R BT.709.
    Bt709,
    /// Standard range with the matrix of ITU-R BT.2020.
    Bt2020,
    /// High dynamic range with the SMPTE ST 2084 transfer (HDR10).
    Pq,
    /// High dynamic range with the ARIB STD-B67 transfer (HLG).
    Hlg,
}

/// One audio track of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// ffmpeg's index of the stream in the container.
    pub index: u32,
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// The language as the container says it (`eng`, `de`), unless undetermined.
    pub language: Option<String>,
    /// The track's title, if it has one.
    pub title: Option<String>,
    /// Number of channels.
    pub channels: u32,
}

/// One track of text of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// ffmpeg's index of the stream in the container.
    pub index: u32,
    /// ffmpeg's name of the codec.
    pub codec: String,
    /// The language, unless undetermined.
    pub language: Option<Language>,
    /// The track's title, if it has one.
    pub title: Option<String>,
    /// Whether it is meant for who does not hear.
    pub hearing_impaired: bool,
}
