//! The record of a video.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::{
    BlobKey, Generation, VideoId,
    video::{Rendition, VideoState, Visibility},
};

use super::{CaptionRecord, Rest, rest::keeps_unknown_fields};

/// The length of each part of an original but the last, in bytes.
pub const PART_BYTES: u64 = 8 * 1024 * 1024;

/// What the journal keeps of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct VideoRecord {
    /// The version of this shape.
    pub v: u32,
    /// The video.
    pub id: VideoId,
    /// Shown to people.
    pub title: String,
    /// Shown to people.
    pub description: String,
    /// Who finds it.
    pub visibility: Visibility,
    /// Where it stands.
    pub state: VideoState,
    /// Why it failed.
    #[serde(default)]
    pub reason: Option<String>,
    /// When the upload began.
    pub created_at: Timestamp,
    /// The uploaded file.
    pub original: Original,
    /// The generation that is being made or was made last; 0 before the first.
    pub generation: Generation,
    /// What plays.
    #[serde(default)]
    pub published: Option<Published>,
    /// Captions that were sent on their own, which every generation has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<CaptionRecord>,
    /// The process that receives the upload, while it does.
    #[serde(default)]
    pub uploader: Option<String>,
    /// Fields of newer versions.
    #[serde(skip)]
    pub rest: Rest,
}

keeps_unknown_fields!(VideoRecord, Published);

/// The uploaded file, which lies on the ring in parts of [`PART_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Its length.
    pub len_bytes: u64,
    /// Its name as the uploader's program told it, for the download; never used as a path.
    pub file_name: String,
}

impl Original {
    /// The number of parts.
    pub fn parts(&self) -> u64 {
        self.len_bytes.div_ceil(PART_BYTES)
    }
}

/// A generation that plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Published {
    /// The generation.
    pub generation: Generation,
    /// Its duration.
    pub duration_ms: u64,
    /// Pixels as displayed.
    pub width: u32,
    /// Pixels as displayed.
    pub height: u32,
    /// Best first, sound last.
    pub renditions: Vec<Rendition>,
    /// Whether there is a still picture.
    pub poster: bool,
    /// Whether there are thumbnails.
    pub storyboard: bool,
    /// The text tracks of the file, one of each language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<CaptionRecord>,
    /// Since when it plays, while later parts of it are still being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growing_since: Option<Timestamp>,
    /// Fields of newer versions.
    #[serde(skip)]
    pub rest: Rest,
}

impl VideoRecord {
    /// What plays of another generation than this one: replaced when this one is complete, and left when it fails.
    pub fn published_of_another(&self, generation: Generation) -> Option<&Published> {
        self.published.as_ref().filter(|published| published.generation != generation)
    }

    /// The key of the part of the original that begins at `part * PART_BYTES`.
    pub fn original_part(id: VideoId, part: u64) -> BlobKey {
        key(&format!("v/{id}/0/original-{part:06}"))
    }

    /// The key of the bytes of an unfinished original that do not fill a part yet, as one attempt to send them left them.
    pub fn original_tail(id: VideoId, token: u64) -> BlobKey {
        key(&format!("v/{id}/0/tail-{token:06}"))
    }

    /// The key of a file of a rendition: an init segment, a segment.
    ///
    /// `None` where a name does not fit the grammar of keys, as only a request's path can bring about.
    pub fn media_file(id: VideoId, generation: Generation, rendition: &str, file: &str) -> Option<BlobKey> {
        format!("v/{id}/{generation}/{rendition}/{file}").parse().ok()
    }

    /// The key of a file that stands beside the renditions: poster, storyboard.
    pub fn still_file(id: VideoId, generation: Generation, file: &'static str) -> BlobKey {
        key(&format!("v/{id}/{generation}/{file}"))
    }
}

fn key(text: &str) -> BlobKey {
    text.parse().expect("made of an id, numbers and plain names, which fit the grammar of keys")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_grows_is_not_what_it_replaces() {
        let published = json!({"generation": 2, "duration_ms": 1, "width": 640, "height": 360, "renditions": [],
            "poster": true, "storyboard": true, "growing_since": "2026-01-02T03:04:05Z"});
        let video: VideoRecord = serde_json::from_value(json!({"v": 1, "id": "AZkAAAAAcACAAAAAAAAAAQ", "title": "t",
            "description": "", "visibility": "public", "state": "processing", "created_at": "2026-01-02T03:04:05Z",
            "original": {"len_bytes": 1, "file_name": "a.mp4"}, "generation": 2, "published": published}))
        .unwrap();
        assert_eq!(video.published_of_another(Generation::new(2)), None);
        assert!(video.published_of_another(Generation::new(3)).is_some());
    }
}
