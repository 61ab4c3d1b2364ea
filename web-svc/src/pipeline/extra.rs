//! The extra set: renditions in AV1 beside the ladder, for players that can play them. Pure.

use super::ladder::Rung;
use super::presentation::{Track, VideoRendition};

/// The classes that are made in AV1 as well: above them the encoder takes longer than what is seen seldom is worth, and below
/// them there is little to save.
const CLASSES: [&str; 3] = ["1080p", "720p", "480p"];

/// The renditions in AV1 that stand beside a ladder, in the sizes of its own and at most at two thirds of its bit rates.
pub(super) fn extra_set(ladder: &[Rung]) -> Vec<Rung> {
    let in_av1 = |rung: &Rung| Rung { name: rung.name.in_av1(), maxrate_bps: rung.maxrate_bps / 3 * 2, ..*rung };
    ladder.iter().filter(|rung| CLASSES.contains(&rung.name.as_str())).map(in_av1).collect()
}

impl VideoRendition {
    /// Whether it is of the extra set.
    pub fn is_extra(&self) -> bool {
        self.track.codecs.starts_with("av01")
    }
}

impl Track {
    /// Whether its segments are those of another rendition of the same pictures, so that players can change between the two.
    pub(super) fn has_segments_of(&self, other: &Self) -> bool {
        let bounds =
            |track: &Self| track.segments.iter().map(|one| (one.number, one.duration_ticks)).collect::<Vec<_>>();
        self.timescale == other.timescale && bounds(self) == bounds(other)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::presentation::tests::{picture, sound};
    use super::*;
    use crate::pipeline::{FrameRate, Growth, Presentation, ladder};

    #[test]
    fn it_is_the_middle_of_the_ladder() {
        let names = |width, height| -> Vec<String> {
            let extra = extra_set(&ladder(width, height, FrameRate::ALL[2]));
            extra.into_iter().map(|rung| format!("{} {}x{}", rung.name, rung.width, rung.height)).collect()
        };
        assert_eq!(names(3840, 2160), ["1080p-av1 1920x1080", "720p-av1 1280x720", "480p-av1 852x480"]);
        assert_eq!(names(720, 1280), ["720p-av1 720x1280", "480p-av1 480x852"]);
        assert!(names(640, 360).is_empty());
    }

    #[test]
    fn it_stands_behind_the_ladder_when_it_is_all_there() {
        let segments = [(120_120, 2_000_000), (120_120, 1_000_000)];
        let in_av1 = |segments: &[(u64, u64)]| {
            let extra = picture("720p-av1", 720, segments);
            VideoRendition { track: Track { codecs: "av01.0.05M.08".to_owned(), ..extra.track }, ..extra }
        };
        let presentation = |growth, extra: &[(u64, u64)]| {
            let ladder = [picture("720p", 720, &segments), picture("360p", 360, &segments)];
            let video = [in_av1(extra)].into_iter().chain(ladder).collect();
            Presentation::new("1".parse().unwrap(), growth, video, vec![sound("audio-0", "eng", &[(188 * 1024, 1)])])
        };
        let complete = presentation(Growth::Complete, &segments);
        let hls = complete.hls_master();
        let codecs: Vec<&str> =
            hls.lines().filter_map(|line| line.split("CODECS=\"").nth(1)?.split(',').next()).collect();
        assert_eq!(codecs, ["avc1.64001f", "avc1.64001f", "av01.0.05M.08"], "{hls}");
        let dash = complete.dash_manifest();
        let sets: Vec<&str> = dash.split("<AdaptationSet ").skip(1).collect();
        assert_eq!(sets.len(), 3, "{dash}");
        assert!(sets[0].matches("avc1").count() == 2 && !sets[0].contains("av01"), "{dash}");
        assert!(sets[2].contains("av01.0.05M.08") && sets[2].contains(r#"contentType="video""#), "{dash}");
        assert_eq!(complete.smallest().unwrap().height, 360);
        // A part of it, as while it is made, is not listed, and shortens nothing.
        let now = Timestamp::UNIX_EPOCH;
        let others = [
            presentation(Growth::Complete, &segments[..1]),
            presentation(Growth::Complete, &[(100_100, 1), (140_140, 1)]),
            presentation(Growth::Growing { since: now, now }, &segments),
        ];
        for other in others {
            let names: Vec<&str> = other.video().iter().map(|rendition| rendition.track.name.as_str()).collect();
            assert_eq!(names, ["720p", "360p"]);
            assert_eq!(other.video()[0].track.segments.len(), 2);
        }
    }
}
