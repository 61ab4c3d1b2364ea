//! The REST types of the catalog of videos.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{VideoId, caption::Caption};

/// Paths of the video API and of the media.
pub mod route {
    /// List and create.
    pub const VIDEOS: &str = "/api/v1/videos";
    /// One video.
    pub const VIDEO: &str = "/api/v1/videos/{id}";
    /// Try a failed video again.
    pub const RETRY: &str = "/api/v1/videos/{id}/retry";
    /// Server-sent events of one video.
    pub const EVENTS: &str = "/api/v1/videos/{id}/events";
    /// The original, byte for byte.
    pub const DOWNLOAD: &str = "/api/v1/videos/{id}/download";
    /// MPEG-DASH.
    pub const DASH: &str = "/media/{id}/manifest.mpd";
    /// HLS.
    pub const HLS: &str = "/media/{id}/master.m3u8";
    /// The still picture.
    pub const POSTER: &str = "/media/{id}/poster.jpg";
    /// Thumbnails along the time line.
    pub const STORYBOARD: &str = "/media/{id}/storyboard.vtt";
    /// The sprite that the storyboard refers to.
    pub const STORYBOARD_SPRITE: &str = "/media/{id}/storyboard.jpg";
    /// What the addresses of media begin with.
    pub const MEDIA_PREFIX: &str = "/media/";
    /// Media playlists, init segments and segments.
    pub const MEDIA_FILE: &str = "/media/{id}/{generation}/{rendition}/{file}";
}

/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 300;
/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 10_000;

/// Where a video stands on its way from upload to playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoState {
    /// Bytes are arriving.
    Uploading,
    /// Waits for a worker.
    Queued,
    /// Is being probed and transcoded.
    Processing,
    /// Plays in every rendition; those in AV1, where wanted, follow.
    Ready,
    /// `reason` says why; `retry` may help.
    Failed,
}

/// Who finds a video.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// In the list for everybody.
    #[default]
    Public,
    /// Not in the list; plays for who knows the address.
    Unlisted,
    /// For its owner. Until accounts exist the same as unlisted.
    Private,
}

/// One rendition of a video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rendition {
    /// By the short side: `720p`; `audio-0` and so on for sound.
    #[schema(example = "720p")]
    pub name: String,
    /// Pixels; 0 for sound.
    #[schema(example = 1280)]
    pub width: u32,
    /// Pixels; 0 for sound.
    #[schema(example = 720)]
    pub height: u32,
    /// Measured average, in bits per second.
    #[schema(example = 2_500_000)]
    pub bitrate_bps: u64,
    /// RFC 6381.
    #[schema(example = "avc1.64001f")]
    pub codecs: String,
}

/// Where a video plays; paths on the web service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Playback {
    /// The MPEG-DASH manifest.
    pub dash: String,
    /// The HLS master playlist.
    pub hls: String,
    /// A JPEG; null until it is made.
    pub poster: Option<String>,
    /// WebVTT thumbnails; null until they are made.
    pub storyboard: Option<String>,
}

/// A video as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Video {
    /// The video.
    pub id: VideoId,
    /// Given by the uploader; the file's name without its extension otherwise.
    pub title: String,
    /// Free text.
    pub description: String,
    /// Where it stands.
    pub state: VideoState,
    /// Whether a player can start now.
    pub playable: bool,
    /// Of the processing, from 0 to 1.
    pub progress: f32,
    /// Why it failed, for a person.
    pub reason: Option<String>,
    /// Milliseconds; null until probed.
    pub duration_ms: Option<u64>,
    /// Pixels as displayed; null until probed.
    pub width: Option<u32>,
    /// Pixels as displayed; null until probed.
    pub height: Option<u32>,
    /// What can be played, best first; empty until then.
    pub renditions: Vec<Rendition>,
    /// Where it plays; null until it is playable.
    pub playback: Option<Playback>,
    /// What can be read along with it, in the order of the languages' tags.
    #[serde(default)]
    pub captions: Vec<Caption>,
    /// Who finds it.
    pub visibility: Visibility,
    /// When the upload began.
    pub created_at: Timestamp,
    /// Length of the original in bytes.
    pub original_bytes: u64,
}

/// Changes to a video; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VideoPatch {
    /// At most 300 characters, not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// At most 10,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// The order of a list of videos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VideoSort {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
    /// By title, A to Z.
    Title,
}

/// Parameters of the list of videos.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VideoQuery {
    /// Words to find in title and description; the last one may be a beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// `next_cursor` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Entries in a page, 1 to 100; 24 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub sort: Option<VideoSort>,
    /// Unlisted and private videos as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// The data of a `video` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VideoEvent {
    /// The video as it is now.
    pub video: Video,
    /// What its processing waits for, in words.
    pub waiting_for: Option<String>,
}

/// A multipart form for a new video.
#[derive(Debug, ToSchema)]
pub struct VideoForm {
    /// At most 300 characters.
    pub title: Option<String>,
    /// At most 10,000 characters.
    pub description: Option<String>,
    /// Public if absent.
    pub visibility: Option<Visibility>,
    /// The video.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}
