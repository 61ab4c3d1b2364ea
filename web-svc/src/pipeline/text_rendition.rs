//! Captions in the manifests: whole `WebVTT` files beside the segments. Pure.

use std::collections::BTreeSet;

use m3u8_rs::{AlternativeMedia, AlternativeMediaType, MediaPlaylist, MediaPlaylistType, MediaSegment};
use triton_api::{Language, caption::CaptionKind};

use super::hls::{self, VERSION};
use super::presentation::Presentation;

/// The name of the group of captions in HLS.
pub(super) const GROUP: &str = "captions";
/// What Apple's players look for in captions for who does not hear.
const ACCESSIBLE: &str =
    "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound";

/// Captions in one language. Their file is `captions/{language}.vtt`, seen from the manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRendition {
    /// The language.
    pub language: Language,
    /// What a menu shows instead of the language's name.
    pub label: Option<String>,
    /// For whom they are.
    pub kind: CaptionKind,
}

impl Presentation {
    /// The same with captions.
    #[must_use]
    pub fn with_captions(self, captions: Vec<TextRendition>) -> Self {
        Self { captions, ..self }
    }

    /// The HLS media playlist around a file of captions, for `/media/{id}/captions/{language}.m3u8`. It has one segment:
    /// the whole text of a video of that length, whose times begin with the video's.
    pub fn hls_captions(&self, language: &Language, duration_ms: u64) -> Option<String> {
        let rendition = self.captions.iter().find(|rendition| rendition.language == *language)?;
        let duration_ms = duration_ms.max(1);
        #[expect(clippy::cast_precision_loss, reason = "hours in milliseconds, for people's eyes")]
        let duration = duration_ms as f32 / 1000.0;
        let segment = MediaSegment { uri: rendition.file(), duration, ..MediaSegment::default() };
        let playlist = MediaPlaylist {
            version: Some(VERSION),
            target_duration: duration_ms.div_ceil(1000),
            media_sequence: 1,
            segments: vec![segment],
            end_list: true,
            playlist_type: Some(MediaPlaylistType::Vod),
            ..MediaPlaylist::default()
        };
        Some(hls::text(|out| playlist.write_to(out)))
    }

    /// The group of captions of the HLS multivariant playlist. Names are unique in their group.
    pub(super) fn hls_captions_group(&self) -> Vec<AlternativeMedia> {
        let mut names = BTreeSet::new();
        let media = |rendition: &TextRendition| {
            let tag = rendition.language.as_str();
            let label = rendition.label.as_deref().map(hls::quotable).filter(|label| !label.is_empty());
            let wanted = label.unwrap_or_else(|| tag.to_owned());
            let name = if names.insert(wanted.clone()) { wanted } else { format!("{wanted} ({tag})") };
            let is_for_deaf = rendition.kind == CaptionKind::Captions;
            AlternativeMedia {
                media_type: AlternativeMediaType::Subtitles,
                uri: Some(format!("captions/{tag}.m3u8")),
                group_id: GROUP.to_owned(),
                language: Some(tag.to_owned()),
                name,
                autoselect: true,
                characteristics: is_for_deaf.then(|| ACCESSIBLE.to_owned()),
                ..AlternativeMedia::default()
            }
        };
        self.captions.iter().map(media).collect()
    }
}

impl TextRendition {
    /// The name of the file.
    pub(super) fn file(&self) -> String {
        format!("{}.vtt", self.language)
    }
}

#[cfg(test)]
mod tests {
    use super::super::presentation::{Growth, tests::example};
    use super::*;

    fn captioned() -> Presentation {
        let text = |language: &str, label: Option<&str>, kind| TextRendition {
            language: language.parse().unwrap(),
            label: label.map(str::to_owned),
            kind,
        };
        example(Growth::Complete).with_captions(vec![
            text("de", None, CaptionKind::Subtitles),
            text("en", Some("Full \"sound\""), CaptionKind::Captions),
            text("pt-BR", Some("de"), CaptionKind::Subtitles),
        ])
    }

    #[test]
    fn the_mpd_has_a_text_set_for_each_language() {
        let manifest = captioned().dash_manifest();
        insta::assert_snapshot!(&manifest[manifest.find("<AdaptationSet id=\"100\"").unwrap()..]);
    }

    #[test]
    fn every_variant_of_the_multivariant_playlist_names_the_group() {
        let playlist = captioned().hls_master();
        let lines = |word: &'static str| playlist.lines().filter(move |line| line.contains(word)).collect::<Vec<_>>();
        assert_eq!(lines("#EXT-X-STREAM-INF").len(), lines("SUBTITLES=\"captions\"").len());
        insta::assert_snapshot!(lines("TYPE=SUBTITLES").join("\n"));
        assert!(!example(Growth::Complete).hls_master().contains("SUBTITLES"));
    }

    #[test]
    fn the_playlist_of_captions_has_the_whole_text_as_one_segment() {
        let presentation = captioned();
        insta::assert_snapshot!(presentation.hls_captions(&"pt-BR".parse().unwrap(), 9009).unwrap());
        assert_eq!(presentation.hls_captions(&"fr".parse().unwrap(), 9009), None);
    }
}
