//! Small pictures of the whole video in one sprite, for the player's seek bar.
//!
//! They are made of the smallest rendition, of which only those segments are read that hold a picture: to decode the source
//! once more would take a tenth of the time that all its renditions take.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::chunk::private_directory;
use super::error::PipelineError;
use super::filters::tiles_graph;
use super::presentation::{Track, VideoRendition};
use super::reading::Beside;

const OPERATION: &str = "make the storyboard";
/// Most tiles in a sprite, and how many stand side by side.
const TILES_MAX: u64 = 100;
const COLUMNS_MAX: u32 = 10;
/// The longer side of a tile in pixels.
const TILE_SIDE: u32 = 160;
const FILM_FILE: &str = "film.mp4";

/// How many tiles of which size a sprite has, and which time each stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storyboard {
    pub(super) tiles: u32,
    pub(super) columns: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) interval_ms: u64,
    duration_ms: u64,
}

impl Storyboard {
    /// At most 100 tiles of about 160 pixels, at regular intervals of a second or more.
    pub fn of(rendition: &VideoRendition) -> Self {
        let track = &rendition.track;
        let duration_ms = (track.duration_ticks() * 1000 / u64::from(track.timescale.max(1))).max(1);
        let interval_ms = duration_ms.div_ceil(TILES_MAX).max(1000);
        let tiles = u32::try_from(duration_ms.div_ceil(interval_ms)).unwrap_or(1);
        let (width, height) = (u64::from(rendition.width.max(1)), u64::from(rendition.height.max(1)));
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

    /// The numbers of the segments of `track` that hold the picture of a tile: at most as many as there are tiles.
    pub fn segments(&self, track: &Track) -> Vec<u32> {
        let mut times = (0..u64::from(self.tiles)).map(|tile| tile * self.interval_ms).peekable();
        let (mut numbers, mut end_ticks) = (Vec::new(), 0);
        for segment in &track.segments {
            end_ticks += segment.duration_ticks;
            let is_before = |time: &u64| time * u64::from(track.timescale) < end_ticks * 1000;
            if times.next_if(is_before).is_some() {
                numbers.push(segment.number);
            }
            while times.next_if(is_before).is_some() {}
        }
        numbers
    }

    fn seconds(&self) -> f64 {
        std::time::Duration::from_millis(self.duration_ms).as_secs_f64()
    }

    /// The WebVTT file whose cues point into the sprite at `sprite_url`, a URL relative to the WebVTT file.
    pub fn vtt(&self, sprite_url: &str) -> String {
        let mut text = String::from("WEBVTT\n");
        let Self { tiles, columns, width, height, interval_ms, duration_ms } = *self;
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

impl Pipeline {
    /// Makes the sprite, a JPEG with all tiles row by row, of a rendition's init segment and [`Storyboard::segments`].
    ///
    /// # Errors
    /// [`PipelineError::Transient`] where ffmpeg fails.
    pub async fn sprite(
        &self,
        board: &Storyboard,
        film: &[Bytes],
        work_dir: &Path,
        cancel: &CancellationToken,
    ) -> Result<Bytes, PipelineError> {
        let directory = private_directory(OPERATION, work_dir)?;
        let failed = |error| PipelineError::transient(OPERATION, error);
        tokio::fs::write(directory.path().join(FILM_FILE), film.concat()).await.map_err(failed)?;
        let mut arguments = self.ffmpeg_input_of_ours(FILM_FILE);
        arguments.option("-filter_complex", tiles_graph(board));
        self.picture(arguments, Beside::default(), OPERATION, directory.path(), board.seconds(), cancel).await
    }
}

/// `01:02:03.004`
fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::presentation::tests::{picture, track};
    use super::*;

    #[test]
    fn cues_cover_the_video_and_point_into_the_sprite() {
        let board =
            Storyboard { tiles: 12, columns: 10, width: 160, height: 90, interval_ms: 1000, duration_ms: 11_500 };
        let vtt = board.vtt("1/storyboard.jpg");
        assert!(vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n1/storyboard.jpg#xywh=0,0,160,90\n"));
        assert!(vtt.ends_with("\n00:00:11.000 --> 00:00:11.500\n1/storyboard.jpg#xywh=160,90,160,90\n"));
    }

    #[test]
    fn only_segments_that_hold_a_tile_are_read() {
        let short = picture("240p", 240, &[(120_120, 1), (120_120, 1), (30_030, 1)]);
        let board = Storyboard::of(&short);
        assert_eq!((board.tiles, board.interval_ms, board.height), (10, 1000, 90));
        assert_eq!(board.segments(&short.track), [1, 2, 3]);
        // 1000 s in segments of 4 s: a tile every 10 s.
        let long = VideoRendition { track: track("240p", "avc1", 1000, &[(4000, 1); 250]), ..short };
        let numbers = Storyboard::of(&long).segments(&long.track);
        assert_eq!(numbers.len(), 100);
        assert_eq!(numbers[..5], [1, 3, 6, 8, 11]);
    }
}
