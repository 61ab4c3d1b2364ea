//! The MPEG-DASH manifest (ISO/IEC 23009-1, live profile) of a presentation. Pure.

use jiff::Timestamp;
use quick_xml::se::Serializer;
use serde::Serialize;
use triton_api::caption::CaptionKind;

use super::presentation::{AudioRendition, Growth, Presentation, SegmentInfo, Track, VideoRendition};
use super::text_rendition::TextRendition;

/// The id of the set of renditions in AV1: more than sound ever has, and fewer than captions begin with.
const EXTRA_SET: usize = 50;
/// How often a player asks again while segments are still being made.
const UPDATE_SECONDS: f64 = 2.0;
/// What text has to claim as its bit rate: it costs nothing beside a picture.
const TEXT_BANDWIDTH_BPS: u64 = 1000;

#[derive(Serialize)]
#[serde(rename = "MPD")]
struct Mpd {
    #[serde(rename = "@xmlns")]
    namespace: &'static str,
    #[serde(rename = "@profiles")]
    profiles: &'static str,
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@mediaPresentationDuration", skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
    #[serde(rename = "@availabilityStartTime", skip_serializing_if = "Option::is_none")]
    availability_start: Option<String>,
    #[serde(rename = "@publishTime", skip_serializing_if = "Option::is_none")]
    published: Option<String>,
    #[serde(rename = "@minimumUpdatePeriod", skip_serializing_if = "Option::is_none")]
    update_period: Option<String>,
    #[serde(rename = "@minBufferTime")]
    min_buffer_time: String,
    #[serde(rename = "Period")]
    period: Period,
}

#[derive(Serialize)]
struct Period {
    #[serde(rename = "@id")]
    id: &'static str,
    #[serde(rename = "@start")]
    start: &'static str,
    #[serde(rename = "BaseURL")]
    base_url: String,
    #[serde(rename = "AdaptationSet")]
    adaptation_sets: Vec<AdaptationSet>,
}

#[derive(Serialize)]
struct AdaptationSet {
    #[serde(rename = "@id")]
    id: usize,
    #[serde(rename = "@contentType")]
    content_type: &'static str,
    #[serde(rename = "@mimeType")]
    mime_type: &'static str,
    #[serde(rename = "@lang", skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(rename = "@segmentAlignment", skip_serializing_if = "Option::is_none")]
    segment_alignment: Option<bool>,
    #[serde(rename = "@startWithSAP", skip_serializing_if = "Option::is_none")]
    start_with_sap: Option<u8>,
    // The schema wants its elements in this order.
    #[serde(rename = "Label", skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(rename = "Role", skip_serializing_if = "Option::is_none")]
    role: Option<Descriptor>,
    #[serde(rename = "Representation")]
    representations: Vec<Representation>,
}

impl AdaptationSet {
    /// One without content.
    fn of(id: usize) -> Self {
        Self {
            id,
            content_type: "",
            mime_type: "",
            language: None,
            segment_alignment: None,
            start_with_sap: None,
            label: None,
            role: None,
            representations: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct Descriptor {
    #[serde(rename = "@schemeIdUri")]
    scheme: &'static str,
    #[serde(rename = "@value")]
    value: &'static str,
}

#[derive(Default, Serialize)]
struct Representation {
    #[serde(rename = "@id")]
    id: String,
    #[serde(rename = "@codecs", skip_serializing_if = "Option::is_none")]
    codecs: Option<String>,
    #[serde(rename = "@bandwidth")]
    bandwidth: u64,
    #[serde(rename = "@width", skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(rename = "@height", skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(rename = "@frameRate", skip_serializing_if = "Option::is_none")]
    frame_rate: Option<String>,
    #[serde(rename = "@sar", skip_serializing_if = "Option::is_none")]
    pixel_aspect: Option<&'static str>,
    #[serde(rename = "@audioSamplingRate", skip_serializing_if = "Option::is_none")]
    sampling_rate: Option<u32>,
    #[serde(rename = "AudioChannelConfiguration", skip_serializing_if = "Option::is_none")]
    channels: Option<Descriptor>,
    #[serde(rename = "BaseURL", skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    #[serde(rename = "SegmentTemplate", skip_serializing_if = "Option::is_none")]
    template: Option<SegmentTemplate>,
}

#[derive(Serialize)]
struct SegmentTemplate {
    #[serde(rename = "@timescale")]
    timescale: u32,
    #[serde(rename = "@startNumber")]
    start_number: u32,
    #[serde(rename = "@initialization")]
    initialization: &'static str,
    #[serde(rename = "@media")]
    media: &'static str,
    #[serde(rename = "SegmentTimeline")]
    timeline: SegmentTimeline,
}

#[derive(Serialize)]
struct SegmentTimeline {
    #[serde(rename = "S")]
    entries: Vec<TimelineEntry>,
}

#[derive(Serialize)]
struct TimelineEntry {
    #[serde(rename = "@t", skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
    #[serde(rename = "@d")]
    duration: u64,
    #[serde(rename = "@r", skip_serializing_if = "is_zero")]
    repeats: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Presentation {
    /// The MPEG-DASH manifest, for `/media/{id}/manifest.mpd`.
    pub fn dash_manifest(&self) -> String {
        let mpd = self.mpd();
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let mut serializer = Serializer::new(&mut text);
        serializer.indent(' ', 2);
        mpd.serialize(serializer).expect("plain structs of strings and numbers always serialize");
        text.push('\n');
        text
    }

    fn mpd(&self) -> Mpd {
        let times = match self.growth {
            Growth::Complete => None,
            Growth::Growing { since, now } => Some((since, now)),
        };
        let longest = self
            .tracks()
            .flat_map(|track| track.segments.iter().map(|segment| track.in_seconds(segment.duration_ticks)));
        let (extra, ladder): (Vec<_>, Vec<_>) = self.video.iter().partition(|rendition| rendition.is_extra());
        let (video, extra) = (video_set(&ladder, 0), video_set(&extra, EXTRA_SET));
        let audio = self.audio.iter().zip(1..).map(|(rendition, id)| audio_set(rendition, id));
        // Numbers of their own: an update of a growing manifest may bring more of one kind, and must not renumber the other.
        let captions = self.captions.iter().zip(100..).map(|(rendition, id)| text_set(rendition, id));
        Mpd {
            namespace: "urn:mpeg:dash:schema:mpd:2011",
            profiles: "urn:mpeg:dash:profile:isoff-live:2011",
            kind: if times.is_none() { "static" } else { "dynamic" },
            duration: times.is_none().then(|| iso_duration(self.tracks().map(Track::seconds).fold(0.0, f64::max))),
            availability_start: times.map(|(since, _)| instant(since)),
            published: times.map(|(_, now)| instant(now)),
            update_period: times.map(|_| iso_duration(UPDATE_SECONDS)),
            min_buffer_time: iso_duration(longest.fold(1.0, f64::max)),
            period: Period {
                id: "0",
                start: "PT0S",
                base_url: format!("{}/", self.generation),
                adaptation_sets: video.into_iter().chain(audio).chain(captions).chain(extra).collect(),
            },
        }
    }
}

fn video_set(renditions: &[&VideoRendition], id: usize) -> Option<AdaptationSet> {
    let representation = |rendition: &&VideoRendition| Representation {
        width: Some(rendition.width),
        height: Some(rendition.height),
        frame_rate: Some(rendition.frame_rate.to_string()),
        pixel_aspect: Some("1:1"),
        ..representation(&rendition.track)
    };
    (!renditions.is_empty()).then(|| AdaptationSet {
        content_type: "video",
        mime_type: "video/mp4",
        segment_alignment: Some(true),
        start_with_sap: Some(1),
        representations: renditions.iter().map(representation).collect(),
        ..AdaptationSet::of(id)
    })
}

fn audio_set(rendition: &AudioRendition, id: usize) -> AdaptationSet {
    let track = &rendition.track;
    let stereo = Descriptor { scheme: "urn:mpeg:dash:23003:3:audio_channel_configuration:2011", value: "2" };
    let role = Descriptor { scheme: "urn:mpeg:dash:role:2011", value: if id == 1 { "main" } else { "alternate" } };
    AdaptationSet {
        content_type: "audio",
        mime_type: "audio/mp4",
        language: rendition.language_tag(),
        segment_alignment: Some(true),
        start_with_sap: Some(1),
        role: Some(role),
        label: rendition.title.as_deref().map(writable),
        representations: vec![Representation {
            sampling_rate: Some(track.timescale),
            channels: Some(stereo),
            ..representation(track)
        }],
        ..AdaptationSet::of(id)
    }
}

/// A text of somebody else's without the characters that XML has no way to write (XML 1.0, production 2).
fn writable(text: &str) -> String {
    text.chars().filter(|&character| !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')).collect()
}

/// A whole file, seen from the folder of the generation.
fn text_set(rendition: &TextRendition, id: usize) -> AdaptationSet {
    let role = match rendition.kind {
        CaptionKind::Subtitles => "subtitle",
        CaptionKind::Captions => "caption",
    };
    AdaptationSet {
        content_type: "text",
        mime_type: "text/vtt",
        language: Some(rendition.language.to_string()),
        role: Some(Descriptor { scheme: "urn:mpeg:dash:role:2011", value: role }),
        label: rendition.label.as_deref().map(writable),
        representations: vec![Representation {
            id: format!("captions-{}", rendition.language),
            bandwidth: TEXT_BANDWIDTH_BPS,
            base_url: Some(format!("../captions/{}", rendition.file())),
            ..Representation::default()
        }],
        ..AdaptationSet::of(id)
    }
}

fn representation(track: &Track) -> Representation {
    Representation {
        id: track.name.to_string(),
        codecs: Some(track.codecs.clone()),
        bandwidth: track.peak_bandwidth_bps(),
        template: Some(SegmentTemplate {
            timescale: track.timescale,
            start_number: 1,
            initialization: "$RepresentationID$/init.mp4",
            media: "$RepresentationID$/seg-$Number%05d$.m4s",
            timeline: SegmentTimeline { entries: timeline(&track.segments) },
        }),
        ..Representation::default()
    }
}

/// Neighbours of the same duration share one entry.
fn timeline(segments: &[SegmentInfo]) -> Vec<TimelineEntry> {
    let mut entries: Vec<TimelineEntry> = Vec::new();
    for segment in segments {
        match entries.last_mut() {
            Some(last) if last.duration == segment.duration_ticks => last.repeats += 1,
            _ => {
                let start = entries.is_empty().then_some(0);
                entries.push(TimelineEntry { start, duration: segment.duration_ticks, repeats: 0 });
            }
        }
    }
    entries
}

/// `PT61.5S`: XML Schema durations may count in seconds alone.
fn iso_duration(seconds: f64) -> String {
    let text = format!("{seconds:.6}");
    format!("PT{}S", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Whole seconds are enough, and every player reads them.
fn instant(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::presentation::tests::example;
    use super::*;

    #[test]
    fn a_complete_manifest_is_static_and_relative() {
        insta::assert_snapshot!(example(Growth::Complete).dash_manifest());
    }

    #[test]
    fn a_growing_manifest_is_dynamic_and_has_no_end() {
        let since: Timestamp = "2026-11-23T02:00:00.5Z".parse().unwrap();
        let now: Timestamp = "2026-11-23T02:00:09Z".parse().unwrap();
        let manifest = example(Growth::Growing { since, now }).dash_manifest();
        let head = manifest.lines().nth(1).unwrap();
        assert!(
            head.contains(r#"type="dynamic""#) && head.contains(r#"availabilityStartTime="2026-11-23T02:00:00Z""#),
            "{head}"
        );
        assert!(
            head.contains(r#"minimumUpdatePeriod="PT2S""#) && !head.contains("mediaPresentationDuration"),
            "{head}"
        );
    }

    #[test]
    fn markup_in_a_title_is_escaped() {
        let mut presentation = example(Growth::Complete);
        presentation.audio[0].title = Some("</Label>\u{1}\u{ffff}<script>&".to_owned());
        assert!(presentation.dash_manifest().contains("<Label>&lt;/Label&gt;&lt;script&gt;&amp;</Label>"));
    }
}
