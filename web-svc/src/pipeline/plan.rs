//! Everything that is decided before the first frame is encoded, in a form that a job record can hold.

use serde::{Deserialize, Serialize};

use super::extra::extra_set;
use super::grid::{Chunk, Grid};
use super::ladder::{Rung, ladder};
use super::rendition::RenditionName;
use super::source::{AudioTrack, SourceInfo};
use crate::catalog::{Rest, keeps_unknown_fields};

/// Tracks beyond these are ignored: the first ones are the ones that a film's makers wanted heard.
const AUDIO_TRACKS_MAX: usize = 8;

/// What to make out of a source. It depends on nothing but the probe and on whether AV1 is wanted, which it says itself, so
/// every worker makes the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Plan {
    /// The source.
    pub info: SourceInfo,
    /// The video renditions, largest first.
    pub rungs: Vec<Rung>,
    /// The renditions in AV1 beside them, largest first; none unless they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<Rung>,
    /// Segments and chunks, shared by all video renditions.
    pub grid: Grid,
    /// Whether the first rung is the source's own bitstream, whose keyframes then are the grid.
    #[serde(default)]
    pub copies_top: bool,
    /// The audio renditions.
    pub audio: Vec<AudioPlan>,
    /// x264's preset, which all chunks must share for their init segments to be one; absent in older plans, for which each
    /// worker takes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Fields of newer versions.
    #[serde(skip)]
    pub rest: Rest,
}

keeps_unknown_fields!(Plan);

/// One audio rendition to encode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// `audio-0`, `audio-1` and so on.
    pub name: RenditionName,
    /// The source's track.
    pub track: AudioTrack,
}

impl Plan {
    /// The plan for a probed source of which every rendition is encoded.
    pub fn new(info: SourceInfo) -> Self {
        let rungs = ladder(info.video.width, info.video.height, info.video.frame_rate);
        let grid = Grid::regular(info.video.frames, info.video.frame_rate);
        let tracks = info.audio.iter().take(AUDIO_TRACKS_MAX).enumerate();
        let audio =
            tracks.map(|(at, track)| AudioPlan { name: RenditionName::audio(at), track: track.clone() }).collect();
        Self { info, rungs, extra: Vec::new(), grid, copies_top: false, audio, preset: None, rest: Rest::new() }
    }

    /// The same with renditions in AV1.
    #[must_use]
    pub fn with_extra(self) -> Self {
        Self { extra: extra_set(&self.rungs), ..self }
    }

    /// All renditions of the picture.
    pub fn pictures(&self) -> impl Iterator<Item = &Rung> {
        self.rungs.iter().chain(&self.extra)
    }

    /// The rungs that are encoded.
    pub fn encoded_rungs(&self) -> &[Rung] {
        self.rungs.get(usize::from(self.copies_top)..).unwrap_or_default()
    }

    /// The chunk with that index.
    pub fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.grid.chunks.get(usize::try_from(index).ok()?)
    }
}
