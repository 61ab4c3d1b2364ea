//! The HLS playlists (RFC 8216, version 7) of a presentation. Pure.

use std::collections::HashMap;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, Map, MasterPlaylist, MediaPlaylist, MediaPlaylistType, MediaSegment,
    Resolution, Start, VariantStream,
};

use super::encoded::{INIT_FILE, segment_file};
use super::presentation::{Growth, Presentation, Track, VideoRendition};
use super::rendition::RenditionName;
use super::text_rendition;

/// `EXT-X-MAP` outside of I-frame playlists needs 6; fragmented MP4 is customary with 7.
pub(super) const VERSION: usize = 7;
const AUDIO_GROUP: &str = "audio";

impl Presentation {
    /// The HLS multivariant playlist, for `/media/{id}/master.m3u8`.
    pub fn hls_master(&self) -> String {
        let playlist = MasterPlaylist {
            version: Some(VERSION),
            independent_segments: true,
            start: self.start(),
            variants: self.video.iter().map(|rendition| self.variant(rendition)).collect(),
            alternatives: self.alternatives().into_iter().chain(self.hls_captions_group()).collect(),
            ..MasterPlaylist::default()
        };
        text(|out| playlist.write_to(out))
    }

    /// The HLS media playlist of one rendition, for `/media/{id}/{generation}/{rendition}/index.m3u8`.
    pub fn hls_media(&self, rendition: &RenditionName) -> Option<String> {
        let track = self.tracks().find(|track| track.name == *rendition)?;
        let complete = self.growth == Growth::Complete;
        let playlist = MediaPlaylist {
            version: Some(VERSION),
            target_duration: target_duration(track),
            // Although segments count from 1: some take any other beginning for that of a live stream.
            media_sequence: 0,
            segments: segments(track),
            end_list: complete,
            playlist_type: Some(if complete { MediaPlaylistType::Vod } else { MediaPlaylistType::Event }),
            start: self.start(),
            independent_segments: true,
            ..MediaPlaylist::default()
        };
        Some(text(|out| playlist.write_to(out)))
    }

    /// While a video grows players would start at its end, as if it were live.
    fn start(&self) -> Option<Start> {
        let growing = self.growth != Growth::Complete;
        growing.then(|| Start { time_offset: 0.0, precise: None, other_attributes: HashMap::new() })
    }

    fn variant(&self, rendition: &VideoRendition) -> VariantStream {
        // A client fetches one audio track along with the picture: the most expensive one has to fit.
        let audio =
            |bandwidth: fn(&Track) -> u64| self.audio.iter().map(|audio| bandwidth(&audio.track)).max().unwrap_or(0);
        let mut codecs = vec![rendition.track.codecs.as_str()];
        codecs.extend(self.audio.first().map(|audio| audio.track.codecs.as_str()));
        VariantStream {
            uri: self.playlist_uri(&rendition.track),
            bandwidth: rendition.track.peak_bandwidth_bps() + audio(Track::peak_bandwidth_bps),
            average_bandwidth: Some(rendition.track.average_bandwidth_bps() + audio(Track::average_bandwidth_bps)),
            codecs: Some(codecs.join(",")),
            resolution: Some(Resolution { width: rendition.width.into(), height: rendition.height.into() }),
            frame_rate: Some((rendition.frame_rate.fps() * 1000.0).round() / 1000.0),
            audio: (!self.audio.is_empty()).then(|| AUDIO_GROUP.to_owned()),
            subtitles: (!self.captions.is_empty()).then(|| text_rendition::GROUP.to_owned()),
            ..VariantStream::default()
        }
    }

    fn alternatives(&self) -> Vec<AlternativeMedia> {
        let mut names: Vec<String> = Vec::new();
        let mut alternatives = Vec::with_capacity(self.audio.len());
        for (index, rendition) in self.audio.iter().enumerate() {
            let language = rendition.language_tag();
            let wanted = rendition.title.clone().or_else(|| language.clone()).map(|name| quotable(&name));
            let name = wanted
                .filter(|name| !name.is_empty() && !names.contains(name))
                .unwrap_or_else(|| format!("Audio {}", index + 1));
            names.push(name.clone());
            alternatives.push(AlternativeMedia {
                media_type: AlternativeMediaType::Audio,
                uri: Some(self.playlist_uri(&rendition.track)),
                group_id: AUDIO_GROUP.to_owned(),
                language,
                name,
                default: index == 0,
                autoselect: true,
                channels: Some("2".to_owned()),
                ..AlternativeMedia::default()
            });
        }
        alternatives
    }

    fn playlist_uri(&self, track: &Track) -> String {
        format!("{}/{}/index.m3u8", self.generation, track.name)
    }
}

fn segments(track: &Track) -> Vec<MediaSegment> {
    let map = Map { uri: INIT_FILE.to_owned(), byte_range: None, other_attributes: HashMap::new() };
    let mut map = Some(map);
    let segment = |segment: &super::presentation::SegmentInfo| {
        #[expect(clippy::cast_possible_truncation, reason = "a few seconds to the microsecond fit well enough")]
        let duration = track.in_seconds(segment.duration_ticks) as f32;
        MediaSegment { uri: segment_file(segment.number), duration, map: map.take(), ..MediaSegment::default() }
    };
    track.segments.iter().map(segment).collect()
}

/// The longest segment's duration, rounded to whole seconds as the standard asks.
fn target_duration(track: &Track) -> u64 {
    let longest = track.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds")]
    let seconds = track.in_seconds(longest).round() as u64;
    seconds.max(1)
}

/// Quoted strings in playlists hold neither quotes nor line ends.
pub(super) fn quotable(text: &str) -> String {
    text.chars()
        .filter(|character| *character != '"' && !character.is_control())
        .take(100)
        .collect::<String>()
        .trim()
        .to_owned()
}

pub(super) fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).expect("writing to memory cannot fail");
    String::from_utf8(out).expect("playlists are made of strings")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::presentation::tests::example;
    use super::*;

    #[test]
    fn the_multivariant_playlist_counts_sound_in() {
        insta::assert_snapshot!(example(Growth::Complete).hls_master());
    }

    #[test]
    fn a_complete_media_playlist_is_vod_and_ends() {
        insta::assert_snapshot!(example(Growth::Complete).hls_media(&"720p".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_growing_media_playlist_is_an_event_from_the_start() {
        let now = Timestamp::UNIX_EPOCH;
        let playlist = example(Growth::Growing { since: now, now }).hls_media(&"audio-0".parse().unwrap()).unwrap();
        assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && !playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
        assert!(playlist.contains("#EXT-X-START:TIME-OFFSET=0"), "{playlist}");
    }

    #[test]
    fn an_unknown_rendition_has_no_playlist() {
        assert_eq!(example(Growth::Complete).hls_media(&"8640p".parse().unwrap()), None);
    }

    #[test]
    fn quotes_and_line_ends_in_a_title_cannot_add_attributes() {
        let mut presentation = example(Growth::Complete);
        presentation.audio[0].title = Some("a\",URI=\"http://evil\n#EXTINF".to_owned());
        let playlist = presentation.hls_master();
        assert!(playlist.contains(r#"NAME="a,URI=http://evil#EXTINF""#), "{playlist}");
    }
}
