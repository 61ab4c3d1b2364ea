//! Small pictures of the whole video in one sprite, for the player's seek bar.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::chunk::private_directory;
use super::error::PipelineError;
use super::filters::still_graph;
use super::poster::Still;
use super::source::{Source, SourceInfo};

const OPERATION: &str = "make the storyboard";
/// Most tiles in a sprite, and how many stand side by side.
const TILES_MAX: u64 = 100;
const COLUMNS_MAX: u32 = 10;
/// The longer side of a tile in pixels.
const TILE_SIDE: u32 = 160;
/// Above this length only keyframes are decoded: tiles are far enough apart.
const KEYFRAMES_ONLY_FROM: Duration = Duration::from_secs(300);

/// A sprite of tiles and what is needed to describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storyboard {
    /// A JPEG with all tiles, row by row.
    pub sprite: Bytes,
    layout: Layout,
}

/// How many tiles of which size, and which time each stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    tiles: u32,
    columns: u32,
    width: u32,
    height: u32,
    interval_ms: u64,
    duration_ms: u64,
}

impl Layout {
    fn of(info: &SourceInfo) -> Self {
        let duration_ms = info.duration_ms().max(1);
        let interval_ms = duration_ms.div_ceil(TILES_MAX).max(1000);
        let tiles = u32::try_from(duration_ms.div_ceil(interval_ms)).unwrap_or(1);
        let (width, height) = (u64::from(info.video.width.max(1)), u64::from(info.video.height.max(1)));
        let side = |side: u64| {
            let scaled = side * u64::from(TILE_SIDE) / width.max(height);
            u32::try_from(scaled).unwrap_or(TILE_SIDE).max(2) & !1
        };
        Self {
            tiles,
            columns: tiles.min(COLUMNS_MAX),
            width: side(width),
            height: side(height),
            interval_ms,
            duration_ms,
        }
    }
}

impl Pipeline {
    /// Makes a sprite of at most 100 tiles of about 160 pixels, at regular intervals of a second or more.
    ///
    /// # Errors
    /// [`PipelineError::Transient`] where ffmpeg fails.
    pub async fn storyboard(
        &self,
        info: &SourceInfo,
        source: &Source,
        work_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Storyboard, PipelineError> {
        let layout = Layout::of(info);
        let rows = layout.tiles.div_ceil(layout.columns);
        let pick = format!("fps=1000/{}:round=up:start_time=0", layout.interval_ms);
        let tile = format!(",tile={}x{rows}", layout.columns);
        let graph = still_graph(&info.video, layout.width, layout.height, &pick, &tile, self.tools.tone_mapping);
        let keyframes_only = info.duration() > KEYFRAMES_ONLY_FROM;
        let directory = private_directory(OPERATION, work_dir)?;
        let still = Still { operation: OPERATION, graph: &graph, from_seconds: None, keyframes_only };
        let sprite = self.still(&still, directory.path(), info, source, cancel).await?;
        Ok(Storyboard { sprite, layout })
    }
}

impl Storyboard {
    /// The WebVTT file whose cues point into the sprite at `sprite_url`, a URL relative to the WebVTT file.
    pub fn vtt(&self, sprite_url: &str) -> String {
        let mut text = String::from("WEBVTT\n");
        let Layout { tiles, columns, width, height, interval_ms, duration_ms } = self.layout;
        for tile in 0..tiles {
            let start = u64::from(tile) * interval_ms;
            let end = (start + interval_ms).min(duration_ms);
            let (x, y) = (tile % columns * width, tile / columns * height);
            write!(text, "\n{} --> {}\n{sprite_url}#xywh={x},{y},{width},{height}\n", clock(start), clock(end))
                .expect("writing to a string cannot fail");
        }
        text
    }
}

/// `01:02:03.004`
fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_cover_the_video_and_point_into_the_sprite() {
        let layout = Layout { tiles: 12, columns: 10, width: 160, height: 90, interval_ms: 1000, duration_ms: 11_500 };
        let vtt = Storyboard { sprite: Bytes::new(), layout }.vtt("1/storyboard.jpg");
        assert!(vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n1/storyboard.jpg#xywh=0,0,160,90\n"));
        assert!(vtt.ends_with("\n00:00:11.000 --> 00:00:11.500\n1/storyboard.jpg#xywh=160,90,160,90\n"));
    }
}
