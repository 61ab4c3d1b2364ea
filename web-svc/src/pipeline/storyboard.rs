//! Small pictures of the whole video in one sprite, for the player's seek bar.

use bytes::Bytes;

/// A sprite of tiles and what is needed to describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storyboard {
    /// A JPEG with all tiles, row by row.
    pub sprite: Bytes,
}

impl Storyboard {
    /// The WebVTT file whose cues point into the sprite at `sprite_url`, relative to the WebVTT file.
    pub fn vtt(&self, _sprite_url: &str) -> String {
        String::new()
    }
}
