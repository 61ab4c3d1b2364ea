//! Constant frame rates: the eight that the output knows, and which of them a source gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the constant frame rates that renditions are encoded at.
///
/// A frame lasts [`FrameRate::frame_ticks`] units of [`FrameRate::timescale`], always a whole number, so that
/// no sum of durations ever drifts. On the wire it is `"30000/1001"` or `"25"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FrameRate {
    timescale: u32,
    frame_ticks: u32,
}

/// Text that names none of the eight frame rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of the supported frame rates")]
pub struct UnknownFrameRate(String);

const fn rate(timescale: u32, frame_ticks: u32) -> FrameRate {
    FrameRate { timescale, frame_ticks }
}

impl FrameRate {
    /// Every output rate, slowest first: 23.976, 24, 25, 29.97, 30, 50, 59.94 and 60 frames per second.
    pub const ALL: [Self; 8] = [
        rate(24_000, 1001),
        rate(24_000, 1000),
        rate(25_000, 1000),
        rate(30_000, 1001),
        rate(30_000, 1000),
        rate(50_000, 1000),
        rate(60_000, 1001),
        rate(60_000, 1000),
    ];

    const FALLBACK: Self = rate(30_000, 1000);

    /// Ticks per second of every video rendition at this rate.
    pub fn timescale(self) -> u32 {
        self.timescale
    }

    /// Ticks that one frame lasts: 1000 or 1001.
    pub fn frame_ticks(self) -> u32 {
        self.frame_ticks
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.timescale) / f64::from(self.frame_ticks)
    }

    /// Frames in a closed group of pictures of two seconds.
    pub fn gop_frames(self) -> u32 {
        self.timescale / 500
    }

    /// The time at which frame `frame` begins, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a video has far fewer than 2^52 ticks")]
    pub fn seconds(self, frame: u64) -> f64 {
        (frame * u64::from(self.frame_ticks)) as f64 / f64::from(self.timescale)
    }

    /// How many frames fill `seconds`, to the nearest.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a sane range first")]
    pub fn frames_in(self, seconds: f64) -> u64 {
        (seconds * self.fps()).round().clamp(0.0, 1e12) as u64
    }

    /// The output rate of a source, from ffprobe's `r_frame_rate` (the finest rate that hits all timestamps) and
    /// `avg_frame_rate` in frames per second.
    ///
    /// A source at one of the rates keeps it. Otherwise its average counts: exact multiples are kept smooth (15 becomes 30,
    /// 120 becomes 60), and anything else gets the slowest rate that loses no frame, at most 60.
    pub fn normalise(nominal: Option<f64>, average: Option<f64>) -> Self {
        let sane = |fps: &f64| fps.is_finite() && (0.01..=1000.0).contains(fps);
        let (nominal, average) = (nominal.filter(sane), average.filter(sane));
        let Some(average) = average.or(nominal) else { return Self::FALLBACK };
        if let Some(listed) = nominal.filter(|nominal| (nominal / average - 1.0).abs() < 0.1).and_then(Self::listed) {
            return listed;
        }
        if let Some(listed) = Self::listed(average) {
            return listed;
        }
        let multiple = |rate: &Self| is_whole(rate.fps() / average) || is_whole(average / rate.fps());
        if average < 24.0 {
            return Self::ALL.into_iter().find(multiple).unwrap_or(Self::FALLBACK);
        }
        if average > 60.0 {
            return Self::ALL
                .into_iter()
                .rev()
                .find(|rate| rate.fps() > 49.0 && multiple(rate))
                .unwrap_or(rate(60_000, 1000));
        }
        Self::ALL.into_iter().find(|rate| rate.fps() >= average * 0.99).unwrap_or(rate(60_000, 1000))
    }

    /// The listed rate nearest to `fps`, if it is within 0.04 %: half the distance between 30 and 29.97.
    fn listed(fps: f64) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| (rate.fps() / fps - 1.0).abs() < 0.0004)
    }
}

fn is_whole(ratio: f64) -> bool {
    ratio >= 0.999 && (ratio - ratio.round()).abs() < 0.0004 * ratio
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frame_ticks {
            1000 => write!(f, "{}", self.timescale / 1000),
            ticks => write!(f, "{}/{ticks}", self.timescale),
        }
    }
}

impl FromStr for FrameRate {
    type Err = UnknownFrameRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|rate| rate.to_string() == text).ok_or_else(|| UnknownFrameRate(text.to_owned()))
    }
}

impl From<FrameRate> for String {
    fn from(rate: FrameRate) -> Self {
        rate.to_string()
    }
}

impl TryFrom<String> for FrameRate {
    type Error = UnknownFrameRate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normalised(nominal: f64, average: f64) -> String {
        FrameRate::normalise(Some(nominal), Some(average)).to_string()
    }

    #[test]
    fn listed_rates_are_kept_and_their_neighbours_told_apart() {
        for rate in FrameRate::ALL {
            assert_eq!(normalised(rate.fps(), rate.fps()), rate.to_string());
        }
        assert_eq!(normalised(29.97, 29.97), "30000/1001");
        assert_eq!(normalised(23.98, 23.976), "24000/1001");
    }

    #[test]
    fn odd_rates_get_a_sensible_neighbour() {
        let expected = [
            (15.0, "30"),
            (12.5, "25"),
            (12.0, "24"),
            (10.0, "30"),
            (20.0, "60"),
            (48.0, "50"),
            (120.0, "60"),
            (100.0, "50"),
        ];
        for (fps, rate) in expected {
            assert_eq!(normalised(fps, fps), rate, "{fps}");
        }
        assert_eq!(normalised(119.88, 119.88), "60000/1001");
        assert_eq!(normalised(144.0, 144.0), "60");
        assert_eq!(normalised(1000.0, 1000.0), "50");
    }

    #[test]
    fn a_phone_with_a_wavering_rate_keeps_its_nominal_one() {
        assert_eq!(normalised(30.0, 29.81), "30");
        assert_eq!(normalised(90_000.0, 29.9), "30000/1001");
        // Interlaced H.264 reports its field rate.
        assert_eq!(normalised(50.0, 25.0), "25");
    }

    #[test]
    fn no_rate_at_all_falls_back_to_thirty() {
        assert_eq!(FrameRate::normalise(None, None).to_string(), "30");
        assert_eq!(FrameRate::normalise(Some(f64::NAN), Some(0.0)).to_string(), "30");
    }

    #[test]
    fn a_gop_lasts_two_seconds() {
        let gops: Vec<u32> = FrameRate::ALL.iter().map(|rate| rate.gop_frames()).collect();
        assert_eq!(gops, [48, 48, 50, 60, 60, 100, 120, 120]);
    }

    proptest! {
        #[test]
        fn any_rate_up_to_sixty_loses_no_frame(fps in 0.5_f64..60.0) {
            let rate = FrameRate::normalise(Some(fps), Some(fps));
            prop_assert!(rate.fps() >= fps * 0.99 || fps > 59.9);
        }

        #[test]
        fn text_round_trips(index in 0_usize..8) {
            let rate = FrameRate::ALL[index];
            prop_assert_eq!(rate.to_string().parse::<FrameRate>().unwrap(), rate);
        }
    }
}
