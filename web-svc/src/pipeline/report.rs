//! ffprobe's JSON, as far as it is needed, and what it says about a source. Pure.

use std::collections::HashMap;

use serde::Deserialize;

use super::Limits;
use super::captions::TEXT_CODECS;
use super::command::{VIDEO_CODECS, is_known_audio};
use super::error::SourceFault;
use super::frame::Frame;
use super::rate::FrameRate;
use super::sniff::Demuxer;
use super::source::{AudioTrack, Timestamp};

/// From telephones to laboratories.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 4_000..=768_000;

/// Everything that ffprobe is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub(super) format: Format,
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
    #[serde(default)]
    pub(super) frames: Vec<Frame>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Format {
    pub(super) start_time: Option<String>,
    pub(super) duration: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Stream {
    pub(super) index: u32,
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    codec_name: String,
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect_ratio: Option<String>,
    pix_fmt: Option<String>,
    field_order: Option<String>,
    r_frame_rate: Option<String>,
    avg_frame_rate: Option<String>,
    time_base: Option<String>,
    start_pts: Option<i64>,
    nb_frames: Option<String>,
    pub(super) duration: Option<String>,
    channels: Option<u32>,
    sample_rate: Option<String>,
    #[serde(default)]
    disposition: HashMap<String, i64>,
    #[serde(default)]
    tags: HashMap<String, String>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Debug, Default, Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

impl Report {
    /// The stream that is the picture: not a cover; the default one, and of those the largest.
    pub(super) fn picture(&self) -> Option<&Stream> {
        let pictures = self
            .streams
            .iter()
            .filter(|stream| stream.codec_type == "video" && !stream.has_disposition("attached_pic"));
        let pixels = |stream: &Stream| u64::from(stream.width.unwrap_or(0)) * u64::from(stream.height.unwrap_or(0));
        // max_by_key answers the last of equals; the first is wanted.
        pictures.rev().max_by_key(|stream| (stream.has_disposition("default"), pixels(stream)))
    }

    /// The track of sound that pictures are drawn of where there are none.
    pub(super) fn drawn_of(&self) -> Result<&Stream, SourceFault> {
        let strange = self.streams.iter().find(|stream| stream.codec_type == "audio" && !stream.codec_name.is_empty());
        let first = self.heard().into_iter().next();
        first.ok_or_else(|| strange.and_then(Stream::fault_of_sound).unwrap_or(SourceFault::Nothing))
    }

    /// Refuses what is not to be decoded at all.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), SourceFault> {
        if self.streams.len() > limits.streams_max {
            return Err(SourceFault::TooManyStreams { count: self.streams.len(), max: limits.streams_max });
        }
        // What a container counts of sound may be its samples; the probe counts packets.
        let Some(picture) = self.picture() else { return self.drawn_of().map(drop) };
        if !VIDEO_CODECS.contains(&picture.codec_name.as_str()) {
            let name = if picture.codec_name.is_empty() { "unknown" } else { &picture.codec_name };
            return Err(SourceFault::UnsupportedCodec(name.to_owned()));
        }
        let (width, height) = (picture.width.unwrap_or(0), picture.height.unwrap_or(0));
        let pixels = u64::from(width) * u64::from(height);
        if width < 2 || height < 2 || width > 16_384 || height > 16_384 || pixels > u64::from(limits.pixels_max) {
            return Err(SourceFault::Dimensions { width, height });
        }
        let frames = picture.nb_frames.as_deref().and_then(|frames| frames.parse::<u64>().ok());
        if frames.is_some_and(|frames| frames > limits.frames_max) {
            return Err(SourceFault::TooManyFrames { max: limits.frames_max });
        }
        Ok(())
    }

    /// The streams of sound that can be decoded, the default one first.
    fn heard(&self) -> Vec<&Stream> {
        let is_heard = |stream: &&Stream| stream.codec_type == "audio" && stream.fault_of_sound().is_none();
        let mut heard: Vec<&Stream> = self.streams.iter().filter(is_heard).collect();
        heard.sort_by_key(|stream| !stream.has_disposition("default"));
        heard
    }

    /// The tracks of sound, in that order.
    pub(super) fn sound(&self) -> Vec<AudioTrack> {
        let track = |stream: &&Stream| AudioTrack {
            index: stream.index,
            codec: stream.codec_name.clone(),
            language: stream.tag("language"),
            title: stream.tag("title"),
            channels: stream.channels.unwrap_or(0),
        };
        self.heard().iter().map(track).collect()
    }
}

impl Stream {
    pub(super) fn is_text(&self) -> bool {
        self.codec_type == "subtitle" && TEXT_CODECS.contains(&self.codec_name.as_str())
    }

    /// Why it is no sound that can be decoded. To bring a rate that no sound has to ours takes memory without end.
    fn fault_of_sound(&self) -> Option<SourceFault> {
        if !is_known_audio(&self.codec_name) {
            return Some(SourceFault::UnsupportedCodec(self.codec_name.clone()));
        }
        let rate = self.sample_rate.as_deref().and_then(|rate| rate.parse::<u32>().ok());
        // ffprobe tells none of either where it finds no frame.
        if rate == Some(0) || self.channels.unwrap_or(0) == 0 {
            return Some(SourceFault::UndecodableSound(self.damage()));
        }
        rate.filter(|rate| !SAMPLE_RATES.contains(rate)).map(SourceFault::SamplingRate)
    }

    pub(super) fn has_disposition(&self, name: &str) -> bool {
        self.disposition.get(name).is_some_and(|&value| value != 0)
    }

    /// A tag that says something, at most 100 characters of it.
    pub(super) fn tag(&self, name: &str) -> Option<String> {
        let value = self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        let value = value.filter(|value| !value.is_empty() && *value != "und")?;
        Some(value.chars().take(100).collect())
    }

    pub(super) fn codec(&self) -> &str {
        &self.codec_name
    }

    /// What is told of a stream that cannot be decoded.
    pub(super) fn damage(&self) -> String {
        format!("the {} data is damaged", self.codec_name)
    }

    /// The constant rate for the output.
    pub(super) fn frame_rate(&self) -> FrameRate {
        let fps = |text: &Option<String>| text.as_deref().and_then(ratio);
        FrameRate::normalise(fps(&self.r_frame_rate), fps(&self.avg_frame_rate))
    }

    /// Width and height in square pixels as they are to be shown, rotated.
    pub(super) fn shown_size(&self, frame: &Frame) -> (u32, u32) {
        let (width, height) = (frame.width.or(self.width).unwrap_or(0), frame.height.or(self.height).unwrap_or(0));
        let aspect = self
            .sample_aspect_ratio
            .as_deref()
            .and_then(ratio)
            .filter(|ratio| (0.05..=20.0).contains(ratio))
            .unwrap_or(1.0);
        let stretched = |side: u32, by: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a side of at most 16384 times 20"
            )]
            let pixels = (f64::from(side) * by).round() as u32;
            pixels
        };
        // The smaller side grows, so that no detail is lost.
        let (width, height) =
            if aspect >= 1.0 { (stretched(width, aspect), height) } else { (width, stretched(height, 1.0 / aspect)) };
        let turns = self.rotation() / 90.0;
        let sideways = (turns.rem_euclid(2.0) - 1.0).abs() < 0.5;
        if sideways { (height, width) } else { (width, height) }
    }

    /// Width and height of its pictures as they are stored, unless ffmpeg turns them before the first filter.
    pub(super) fn read_size(&self, frame: &Frame) -> Option<[u32; 2]> {
        let size = [frame.width.or(self.width)?, frame.height.or(self.height)?];
        (self.rotation() == 0.0).then_some(size)
    }

    fn rotation(&self) -> f64 {
        self.side_data_list.iter().find_map(|data| data.rotation).unwrap_or(0.0)
    }

    /// When the first decoded picture is shown.
    pub(super) fn start(&self, frame: &Frame) -> Option<Timestamp> {
        let (numerator, denominator) = self.time_base.as_deref()?.split_once('/')?;
        let (numerator, denominator) =
            (numerator.parse().ok()?, denominator.parse().ok().filter(|&denominator| denominator > 0)?);
        let ticks = frame.pts.or(frame.best_effort_timestamp).or(self.start_pts).unwrap_or(0);
        Some(Timestamp { ticks, numerator, denominator })
    }

    pub(super) fn interlaced(&self, frame: &Frame) -> bool {
        frame.interlaced == Some(1)
            || self.field_order.as_deref().is_some_and(|order| ["tt", "bb", "tb", "bt"].contains(&order))
    }

    pub(super) fn pixel_format(&self, frame: &Frame) -> Option<String> {
        frame.pix_fmt.clone().or_else(|| self.pix_fmt.clone()).filter(|format| format != "unknown")
    }

    /// The duration in seconds from the first picture to the end, if the container tells it well enough.
    pub(super) fn duration_seconds(&self, demuxer: Demuxer, format: &Format, start: Timestamp) -> Option<f64> {
        let seconds = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<f64>().ok());
        let positive = |duration: &f64| duration.is_finite() && *duration > 0.0;
        if let Some(duration) = seconds(&self.duration).filter(positive) {
            return Some(duration);
        }
        let start = start.seconds();
        let whole = seconds(&format.duration);
        if demuxer == Demuxer::Matroska {
            // Matroska tells when the last picture ends; some writers tell the length instead, so a late start leaves doubt.
            let end = self
                .tags
                .iter()
                .find(|(name, _)| name.starts_with("DURATION"))
                .and_then(|(_, text)| clock_seconds(text));
            return end.or(whole).filter(|_| start.abs() < 0.5).map(|end| end - start).filter(positive);
        }
        whole.map(|whole| whole - (start - seconds(&format.start_time).unwrap_or(start))).filter(positive)
    }
}

/// `30000/1001`, `16:9` or `25` as a number.
fn ratio(text: &str) -> Option<f64> {
    let Some((numerator, denominator)) = text.split_once(['/', ':']) else { return text.parse().ok() };
    let (numerator, denominator): (f64, f64) = (numerator.parse().ok()?, denominator.parse().ok()?);
    (denominator > 0.0 && numerator > 0.0).then(|| numerator / denominator)
}

/// `00:01:02.500000000` in seconds.
fn clock_seconds(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |seconds, part| Some(seconds * 60.0 + part.trim().parse::<f64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: &str) -> Report {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_cover_picture_is_no_video() {
        let with_cover = |codec: &str| {
            report(&format!(
                r#"{{"streams": [{{"index": 0, "codec_type": "video", "codec_name": "mjpeg", "disposition": {{"attached_pic": 1}}}},
                    {{"index": 1, "codec_type": "audio", "codec_name": "{codec}", "channels": 2}}]}}"#
            ))
        };
        let sound = with_cover("mp3");
        assert_eq!((sound.check(&Limits::default()), sound.picture().is_none()), (Ok(()), true));
        assert_eq!(sound.drawn_of().unwrap().index, 1);
        assert_eq!(with_cover("zork").check(&Limits::default()), Err(SourceFault::UnsupportedCodec("zork".to_owned())));
    }

    #[test]
    fn a_rotated_picture_with_wide_pixels_has_its_shown_size() {
        let report = report(
            r#"{"streams": [{"index": 0, "codec_type": "video", "codec_name": "h264", "width": 1440, "height": 1080,
                "sample_aspect_ratio": "4:3", "side_data_list": [{"rotation": -90}]}]}"#,
        );
        assert_eq!(report.streams[0].shown_size(&Frame::default()), (1080, 1920));
    }

    #[test]
    fn matroska_counts_from_zero_and_others_from_their_start() {
        let start = Timestamp { ticks: 23, numerator: 1, denominator: 1000 };
        let stream = report(
            r#"{"streams": [{"index": 0, "tags": {"DURATION": "00:01:10.023000000"}}], "format": {"duration": "80.5", "start_time": "0.003"}}"#,
        );
        let seconds = |demuxer| stream.streams[0].duration_seconds(demuxer, &stream.format, start).unwrap();
        assert!((seconds(Demuxer::Matroska) - 70.0).abs() < 1e-9);
        assert!((seconds(Demuxer::Flv) - 80.48).abs() < 1e-9);
        let late = Timestamp { ticks: 2000, ..start };
        assert_eq!(stream.streams[0].duration_seconds(Demuxer::Matroska, &stream.format, late), None);
    }

    #[test]
    fn unsupported_codecs_and_sizes_are_refused() {
        let check = |codec: &str, width: u32| {
            let json = format!(
                r#"{{"streams": [{{"index": 0, "codec_type": "video", "codec_name": "{codec}", "width": {width}, "height": 12000}}]}}"#
            );
            report(&json).check(&Limits::default())
        };
        assert_eq!(check("gif", 100), Err(SourceFault::UnsupportedCodec("gif".to_owned())));
        assert_eq!(check("h264", 12_000), Err(SourceFault::Dimensions { width: 12_000, height: 12_000 }));
        assert_eq!(check("h264", 0), Err(SourceFault::Dimensions { width: 0, height: 12_000 }));
        assert_eq!(check("h264", 100), Ok(()));
    }

    #[test]
    fn a_container_that_claims_a_flood_of_frames_is_refused() {
        let json = r#"{"streams": [{"index": 0, "codec_type": "video", "codec_name": "h264", "width": 16, "height": 16,
            "nb_frames": "11"}]}"#;
        let check = |frames_max| report(json).check(&Limits { frames_max, ..Limits::default() });
        assert_eq!((check(11), check(10)), (Ok(()), Err(SourceFault::TooManyFrames { max: 10 })));
    }
}
