//! The record of a rendition: its segments, measured, in a form that keeps hours of video small.

use serde::{Deserialize, Serialize};

use super::{Rest, rest::keeps_unknown_fields};
use crate::pipeline::{AudioRendition, FrameRate, RenditionName, SegmentInfo, Track, VideoRendition};

/// One stored rendition of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct TrackRecord {
    /// The version of this shape.
    pub v: u32,
    /// Its place among the renditions.
    pub position: u32,
    /// The rendition's name.
    pub name: RenditionName,
    /// RFC 6381 codec string.
    pub codecs: String,
    /// Ticks per second.
    pub timescale: u32,
    /// Ticks and bytes of each segment; the first has number 1.
    pub segments: Vec<(u64, u64)>,
    /// What is particular to pictures or sound.
    pub kind: TrackKind,
    /// Fields of newer versions.
    #[serde(skip)]
    pub rest: Rest,
}

keeps_unknown_fields!(TrackRecord);

/// What is particular to pictures or sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "name")]
pub enum TrackKind {
    /// Pictures.
    Video {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Constant frame rate.
        frame_rate: FrameRate,
    },
    /// Sound.
    Audio {
        /// As the source's container says it.
        language: Option<String>,
        /// The track's title in the source.
        title: Option<String>,
    },
}

impl TrackRecord {
    /// The record of a rendition of pictures.
    pub fn video(position: u32, rendition: &VideoRendition) -> Self {
        let VideoRendition { track, width, height, frame_rate } = rendition;
        Self::of(position, track, TrackKind::Video { width: *width, height: *height, frame_rate: *frame_rate })
    }

    /// The record of a rendition of sound.
    pub fn audio(position: u32, rendition: &AudioRendition) -> Self {
        let AudioRendition { track, language, title } = rendition;
        Self::of(position, track, TrackKind::Audio { language: language.clone(), title: title.clone() })
    }

    fn of(position: u32, track: &Track, kind: TrackKind) -> Self {
        Self {
            v: 1,
            position,
            name: track.name.clone(),
            codecs: track.codecs.clone(),
            timescale: track.timescale,
            segments: track.segments.iter().map(|segment| (segment.duration_ticks, segment.bytes_len)).collect(),
            kind,
            rest: Rest::new(),
        }
    }

    /// The rendition as manifests need it.
    pub fn into_rendition(self) -> StoredRendition {
        let segments = self.segments.into_iter().zip(1..);
        let track = Track {
            name: self.name,
            codecs: self.codecs,
            timescale: self.timescale,
            segments: segments
                .map(|((duration_ticks, bytes_len), number)| SegmentInfo { number, duration_ticks, bytes_len })
                .collect(),
        };
        match self.kind {
            TrackKind::Video { width, height, frame_rate } => {
                StoredRendition::Video(VideoRendition { track, width, height, frame_rate })
            }
            TrackKind::Audio { language, title } => StoredRendition::Audio(AudioRendition { track, language, title }),
        }
    }
}

/// A rendition read back from its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredRendition {
    /// Pictures.
    Video(VideoRendition),
    /// Sound.
    Audio(AudioRendition),
}
