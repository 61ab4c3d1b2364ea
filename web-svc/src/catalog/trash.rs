//! The record of blobs to delete.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{BlobKey, Generation, VideoId};

use super::{CaptionRecord, Rest, VideoRecord};
use crate::pipeline::Plan;

/// The blobs of one generation of a video, or of its original (generation 0), that nothing refers to any more.
///
/// It is written in the change that drops the reference and deleted when the last blob is gone, so that a crash in
/// between leaves nothing behind. It names keys by rule, not one by one: a segment that a late job would still write is
/// deleted before it exists, and its tombstone refuses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashRecord {
    /// The version of this shape.
    pub v: u32,
    /// The video.
    pub video_id: VideoId,
    /// The generation; 0 for the original.
    pub generation: Generation,
    /// Parts of the original.
    pub parts: u64,
    /// The names of the renditions.
    pub renditions: Vec<String>,
    /// Segments of each rendition at most.
    pub segments: u32,
    /// The names of the files of captions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<String>,
    /// Not to be emptied before, so that who just began to read can finish.
    pub not_before: Timestamp,
    /// Fields of newer versions.
    #[serde(flatten)]
    pub rest: Rest,
}

impl TrashRecord {
    /// Everything that the jobs of a plan may have written.
    pub fn of_plan(video_id: VideoId, generation: Generation, plan: &Plan, not_before: Timestamp) -> Self {
        let last = plan.grid.chunks.last();
        let pictures = last.map_or(0, |chunk| chunk.first_segment + u32::try_from(chunk.segments.len()).unwrap_or(0));
        // Sound is cut at its own borders, so it may have some segments more.
        let segments = pictures + pictures / 8 + 4;
        let rungs = plan.pictures().map(|rung| &rung.name);
        let renditions = rungs.chain(plan.audio.iter().map(|audio| &audio.name));
        Self {
            v: 1,
            video_id,
            generation,
            parts: 0,
            renditions: renditions.map(|name| name.as_str().to_owned()).collect(),
            segments,
            captions: (0..plan.info.captions.len()).map(CaptionRecord::embedded_file).collect(),
            not_before,
            rest: Rest::new(),
        }
    }

    /// The parts of an original.
    pub fn of_original(video_id: VideoId, parts: u64, not_before: Timestamp) -> Self {
        Self {
            v: 1,
            video_id,
            generation: Generation::new(0),
            parts,
            renditions: Vec::new(),
            segments: 0,
            captions: Vec::new(),
            not_before,
            rest: Rest::new(),
        }
    }

    /// Uploaded captions of a video that stays.
    pub fn of_captions(video_id: VideoId, captions: Vec<String>, not_before: Timestamp) -> Self {
        Self::of_original(video_id, 0, not_before).with_captions(captions)
    }

    /// The same and uploaded captions.
    #[must_use]
    pub fn with_captions(self, captions: Vec<String>) -> Self {
        Self { captions, ..self }
    }

    /// Every key that may exist.
    pub fn keys(&self) -> impl Iterator<Item = BlobKey> + '_ {
        let parts = (0..self.parts).map(|part| VideoRecord::original_part(self.video_id, part));
        let stills = ["poster.jpg", "storyboard.jpg", "storyboard.vtt"];
        let stills = stills
            .into_iter()
            .filter(|_| self.generation.get() > 0)
            .map(|file| VideoRecord::still_file(self.video_id, self.generation, file));
        let segments = self.renditions.iter().flat_map(move |rendition| {
            let files = (1..=self.segments).map(|number| format!("seg-{number:05}.m4s"));
            std::iter::once("init.mp4".to_owned())
                .chain(files)
                .filter_map(|file| VideoRecord::media_file(self.video_id, self.generation, rendition, &file))
        });
        let captions =
            self.captions.iter().filter_map(|file| CaptionRecord::blob(self.video_id, self.generation, file));
        parts.chain(stills).chain(segments).chain(captions)
    }
}
