//! The REST types of captions.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Language;

/// Paths of the captions API and of the files for players.
pub mod route {
    /// List.
    pub const CAPTIONS: &str = "/api/v1/videos/{id}/captions";
    /// Upload and delete those in one language.
    pub const CAPTION: &str = "/api/v1/videos/{id}/captions/{language}";
    /// The text (`{language}.vtt`), and the HLS playlist around it (`{language}.m3u8`).
    pub const CAPTION_FILE: &str = "/media/{id}/captions/{file}";
}

/// The longest caption file, in bytes.
pub const CAPTION_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The longest label, in characters.
pub const LABEL_CHARS_MAX: usize = 100;
/// The most uploaded captions of one video.
pub const CAPTIONS_MAX: usize = 100;

/// For whom captions are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptionKind {
    /// For who does not understand the language that is spoken.
    #[default]
    Subtitles,
    /// For who does not hear: with sounds and speakers.
    Captions,
}

/// Where captions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CaptionOrigin {
    /// Sent on their own; they hide embedded ones of the same language.
    Uploaded,
    /// A track of the video's file.
    Embedded,
}

/// The captions of a video in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caption {
    /// The language.
    pub language: Language,
    /// What a menu shows; null where the name of the language says it all.
    #[schema(example = "English (commentary)")]
    pub label: Option<String>,
    /// For whom they are.
    pub kind: CaptionKind,
    /// Where they come from.
    pub origin: CaptionOrigin,
    /// `WebVTT`; a path on the web service, which changes with the content.
    #[schema(example = "/media/AZqxJ2QkcYuS5T3mVb0aXw/captions/pt-BR.vtt?v=5d0c1f7e")]
    pub url: String,
}

/// Parameters of an upload of captions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CaptionQuery {
    /// What a menu shows instead of the language's name; at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// For whom they are; `subtitles` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<CaptionKind>,
}
