//! Not written yet.
use super::presentation::Presentation;
use super::rendition::RenditionName;

impl Presentation {
    /// The MPEG-DASH manifest, for `/media/{id}/manifest.mpd`.
    pub fn dash_manifest(&self) -> String {
        String::new()
    }

    /// The HLS multivariant playlist, for `/media/{id}/master.m3u8`.
    pub fn hls_master(&self) -> String {
        String::new()
    }

    /// The HLS media playlist of one rendition, for `/media/{id}/{generation}/{rendition}/index.m3u8`.
    pub fn hls_media(&self, _rendition: &RenditionName) -> Option<String> {
        None
    }
}
