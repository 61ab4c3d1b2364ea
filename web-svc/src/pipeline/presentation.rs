//! What manifests describe: tracks with their segments, measured.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use triton_api::Generation;

use super::encoded::RenditionOutput;
use super::language::bcp47;
use super::rate::FrameRate;
use super::rendition::RenditionName;
use super::text_rendition::TextRendition;

/// Everything that a player can fetch of one generation of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Presentation {
    pub(super) generation: Generation,
    pub(super) growth: Growth,
    pub(super) video: Vec<VideoRendition>,
    pub(super) audio: Vec<AudioRendition>,
    pub(super) captions: Vec<TextRendition>,
}

/// Whether more segments will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Every segment is listed.
    Complete,
    /// Later segments are still being made.
    Growing {
        /// When the first segment became available.
        since: Timestamp,
        /// When this description was made.
        now: Timestamp,
    },
}

/// A video rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoRendition {
    /// Name, codec and segments.
    pub track: Track,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Constant frame rate.
    pub frame_rate: FrameRate,
}

/// An audio rendition: stereo AAC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioRendition {
    /// Name, codec and segments.
    pub track: Track,
    /// The language as the source's container says it.
    pub language: Option<String>,
    /// The track's title in the source.
    pub title: Option<String>,
}

/// What video and audio renditions have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The rendition's name, which is also its folder's.
    pub name: RenditionName,
    /// RFC 6381 codec string.
    pub codecs: String,
    /// Ticks per second of the segments' durations.
    pub timescale: u32,
    /// Media segments in order.
    pub segments: Vec<SegmentInfo>,
}

/// A stored media segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Number, from 1.
    pub number: u32,
    /// How long it plays, in ticks.
    pub duration_ticks: u64,
    /// Size in bytes.
    pub bytes_len: u64,
}

impl Presentation {
    /// The presentation of one generation; its renditions' folders are below `{generation}/`, seen from the manifests.
    ///
    /// Only what plays is kept: segments up to the first gap in their numbers, as many of them as every rendition of the ladder
    /// has, and no audio that begins after the picture has ended for good. The ladder comes first. Renditions of the extra set
    /// follow when they have all segments that it has, for players to change between them; they hold up nobody.
    pub fn new(
        generation: Generation,
        growth: Growth,
        video: Vec<VideoRendition>,
        mut audio: Vec<AudioRendition>,
    ) -> Self {
        let (mut extra, mut video): (Vec<_>, Vec<_>) = video.into_iter().partition(VideoRendition::is_extra);
        for track in video
            .iter_mut()
            .chain(&mut extra)
            .map(|rendition| &mut rendition.track)
            .chain(audio.iter_mut().map(|rendition| &mut rendition.track))
        {
            track.keep_unbroken();
        }
        let common = video.iter().map(|rendition| rendition.track.segments.len()).min().unwrap_or(0);
        for rendition in &mut video {
            rendition.track.segments.truncate(common);
        }
        if growth == Growth::Complete
            && let Some(end) = video.first().map(|rendition| rendition.track.seconds())
        {
            for rendition in &mut audio {
                rendition.track.end_at(end);
            }
        }
        video.retain(|rendition| !rendition.track.segments.is_empty());
        audio.retain(|rendition| !rendition.track.segments.is_empty());
        if growth == Growth::Complete
            && let Some(smallest) = video.last().map(|rendition| rendition.track.clone())
        {
            video.extend(extra.into_iter().filter(|rendition| rendition.track.has_segments_of(&smallest)));
        }
        Self { generation, growth, video, audio, captions: Vec::new() }
    }

    /// The length of the longest track, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.tracks().map(|track| track.duration_ticks() * 1000 / u64::from(track.timescale.max(1))).max().unwrap_or(0)
    }

    /// The renditions of the picture: the ladder, best first, and then the extra set.
    pub fn video(&self) -> &[VideoRendition] {
        &self.video
    }

    /// The smallest rendition of the ladder.
    pub fn smallest(&self) -> Option<&VideoRendition> {
        self.video.iter().rfind(|rendition| !rendition.is_extra())
    }

    /// The renditions of the sound.
    pub fn audio(&self) -> &[AudioRendition] {
        &self.audio
    }

    /// Whether renditions of the extra set are among them.
    pub fn has_extra(&self) -> bool {
        self.video.iter().any(VideoRendition::is_extra)
    }

    /// Whether there is a picture to show.
    pub fn is_playable(&self) -> bool {
        !self.video.is_empty()
    }

    pub(super) fn tracks(&self) -> impl Iterator<Item = &Track> {
        let audio = self.audio.iter().map(|rendition| &rendition.track);
        self.video.iter().map(|rendition| &rendition.track).chain(audio)
    }
}

impl AudioRendition {
    /// The language as manifests want it: a BCP 47 tag.
    pub fn language_tag(&self) -> Option<String> {
        self.language.as_deref().and_then(bcp47).map(|language| language.to_string())
    }
}

impl Track {
    /// The part of a track that one encoding produced.
    pub fn of(output: &RenditionOutput) -> Self {
        let info = |segment: &super::encoded::Segment| SegmentInfo {
            number: segment.number,
            duration_ticks: segment.duration_ticks,
            bytes_len: segment.bytes_len,
        };
        Self {
            name: output.rendition.clone(),
            codecs: output.codecs.clone(),
            timescale: output.timescale,
            segments: output.segments.iter().map(info).collect(),
        }
    }

    /// The sum of all durations.
    pub fn duration_ticks(&self) -> u64 {
        self.segments.iter().map(|segment| segment.duration_ticks).sum()
    }

    /// The duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.in_seconds(self.duration_ticks())
    }

    #[expect(clippy::cast_precision_loss, reason = "no track has 2^52 ticks")]
    pub(super) fn in_seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / f64::from(self.timescale.max(1))
    }

    /// Bits per second over the whole track.
    pub fn average_bandwidth_bps(&self) -> u64 {
        self.bandwidth_bps(&self.segments)
    }

    /// The highest bit rate that a player has to expect, by the rule of RFC 8216: of any run of segments that lasts between
    /// half and one and a half times the target duration. So a last segment of one frame does not count alone.
    pub fn peak_bandwidth_bps(&self) -> u64 {
        let target = self.segments.iter().map(|segment| segment.duration_ticks).max().unwrap_or(0);
        let mut peak = self.average_bandwidth_bps();
        for start in 0..self.segments.len() {
            let mut duration = 0;
            for (end, segment) in self.segments.iter().enumerate().skip(start) {
                duration += segment.duration_ticks;
                if duration * 2 > target * 3 {
                    break;
                }
                if duration * 2 >= target {
                    peak = peak.max(self.bandwidth_bps(self.segments.get(start..=end).unwrap_or_default()));
                }
            }
        }
        peak
    }

    fn bandwidth_bps(&self, segments: &[SegmentInfo]) -> u64 {
        let ticks: u64 = segments.iter().map(|segment| segment.duration_ticks).sum();
        let bits: u64 = segments.iter().map(|segment| segment.bytes_len * 8).sum();
        let bandwidth = u128::from(bits) * u128::from(self.timescale) / u128::from(ticks.max(1));
        u64::try_from(bandwidth).unwrap_or(u64::MAX)
    }

    /// Drops everything from the first gap in the numbers on.
    fn keep_unbroken(&mut self) {
        self.segments.sort_by_key(|segment| segment.number);
        let unbroken = self.segments.iter().zip(1..).take_while(|(segment, number)| segment.number == *number).count();
        self.segments.truncate(unbroken);
    }

    /// Drops segments that begin at or after `end` seconds.
    fn end_at(&mut self, end: f64) {
        let mut start = 0;
        let kept = self.segments.iter().take_while(|segment| {
            let begins = self.in_seconds(start);
            start += segment.duration_ticks;
            begins < end
        });
        let kept = kept.count();
        self.segments.truncate(kept);
    }
}

#[cfg(test)]
pub(in crate::pipeline) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A track of segments with the given durations in ticks and sizes in bytes.
    pub(in super::super) fn track(name: &str, codecs: &str, timescale: u32, segments: &[(u64, u64)]) -> Track {
        let info = |((duration_ticks, bytes_len), number): (&(u64, u64), u32)| SegmentInfo {
            number,
            duration_ticks: *duration_ticks,
            bytes_len: *bytes_len,
        };
        let segments = segments.iter().zip(1..).map(info).collect();
        Track { name: name.parse().unwrap(), codecs: codecs.to_owned(), timescale, segments }
    }

    pub(in super::super) fn picture(name: &str, height: u32, segments: &[(u64, u64)]) -> VideoRendition {
        let track = track(name, "avc1.64001f", 30_000, segments);
        VideoRendition { track, width: height * 16 / 9, height, frame_rate: "30000/1001".parse().unwrap() }
    }

    pub(in super::super) fn sound(name: &str, language: &str, segments: &[(u64, u64)]) -> AudioRendition {
        let track = track(name, "mp4a.40.2", 48_000, segments);
        AudioRendition { track, language: Some(language.to_owned()), title: None }
    }

    /// Two video and two audio renditions of 9.009 s.
    pub(in super::super) fn example(growth: Growth) -> Presentation {
        let large = picture("720p", 720, &[(120_120, 2_000_000), (120_120, 1_000_000), (30_030, 900_000)]);
        let small = picture("360p", 360, &[(120_120, 400_000), (120_120, 300_000), (30_030, 100_000)]);
        let blocks = [(188 * 1024, 64_000), (187 * 1024, 64_000), (48 * 1024, 16_000)];
        let audio = vec![sound("audio-0", "eng", &blocks), sound("audio-1", "x\"y", &blocks)];
        Presentation::new("3".parse().unwrap(), growth, vec![large, small], audio)
    }

    #[test]
    fn only_what_every_rendition_has_without_a_gap_is_kept() {
        let mut broken = picture("720p", 720, &[(100, 1), (100, 1), (100, 1), (100, 1)]);
        broken.track.segments.remove(2);
        let whole = picture("360p", 360, &[(100, 1), (100, 1), (100, 1)]);
        let presentation = Presentation::new("1".parse().unwrap(), Growth::Complete, vec![broken, whole], Vec::new());
        let lengths: Vec<usize> = presentation.video.iter().map(|rendition| rendition.track.segments.len()).collect();
        assert_eq!(lengths, [2, 2]);
    }

    #[test]
    fn sound_beyond_the_end_of_a_shorter_picture_is_left_out() {
        let video = vec![picture("360p", 360, &[(120_120, 1)])];
        let audio = || vec![sound("audio-0", "eng", &[(188 * 1024, 1), (188 * 1024, 1), (188 * 1024, 1)])];
        let complete = Presentation::new("1".parse().unwrap(), Growth::Complete, video.clone(), audio());
        assert_eq!(complete.audio[0].track.segments.len(), 1);
        let now = Timestamp::UNIX_EPOCH;
        let growing = Presentation::new("1".parse().unwrap(), Growth::Growing { since: now, now }, video, audio());
        assert_eq!(growing.audio[0].track.segments.len(), 3);
    }

    #[test]
    fn a_short_last_segment_is_no_peak() {
        // 4 s at 8 kb/s, and one frame of 1000 bytes.
        let track = track("360p", "avc1", 1000, &[(4000, 4000), (4000, 4000), (40, 1000)]);
        assert_eq!(track.peak_bandwidth_bps(), 5000 * 8 * 1000 / 4040);
    }

    proptest! {
        #[test]
        fn the_peak_is_never_below_the_average(segments in proptest::collection::vec((1_u64..200_000, 1_u64..10_000_000), 1..40)) {
            let track = track("360p", "avc1", 30_000, &segments);
            prop_assert!(track.peak_bandwidth_bps() >= track.average_bandwidth_bps());
        }
    }
}
