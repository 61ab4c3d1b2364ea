//! Which renditions a picture gets: names, sizes and bit rate caps.

use serde::{Deserialize, Serialize};

use super::rate::FrameRate;
use super::rendition::RenditionName;

/// One video rendition to encode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// `1080p`, `720p` and so on: the class of the picture's short side.
    pub name: RenditionName,
    /// Width in square pixels, even.
    pub width: u32,
    /// Height in square pixels, even.
    pub height: u32,
    /// Cap of the bit rate in bits per second, over a buffer of twice as many bits.
    pub maxrate_bps: u32,
}

/// A rung of the table: its short side in pixels and its bits per pixel and frame, in hundredths.
///
/// The bits per pixel are `PeerTube`'s.
struct Class {
    name: &'static str,
    short_side: u32,
    centibits_per_pixel: u64,
}

const fn class(name: &'static str, short_side: u32, centibits_per_pixel: u64) -> Class {
    Class { name, short_side, centibits_per_pixel }
}

const CLASSES: [Class; 8] = [
    class("2160p", 2160, 8),
    class("1440p", 1440, 9),
    class("1080p", 1080, 10),
    class("720p", 720, 11),
    class("480p", 480, 12),
    class("360p", 360, 15),
    class("240p", 240, 17),
    class("144p", 144, 19),
];

/// The smallest width and height that the encoder accepts comfortably.
const SIDE_MIN: u32 = 16;
/// H.264 level 6.2 stops here.
const LONG_SIDE_MAX: u32 = 8192;

/// The renditions of a picture of `width` x `height` square pixels, largest first.
///
/// The first rung has the source's own size (capped at 2160 lines), the others the sizes of the table below it;
/// nothing is ever scaled up, all sizes are even, and there is always at least one rung. Neighbours that differ by less
/// than a fifth are not both worth their work, so a class that close to the top rung is left out.
///
/// ```
/// use web_svc::pipeline::{FrameRate, ladder};
/// let names: Vec<String> = ladder(1920, 1080, FrameRate::ALL[4]).iter().map(|rung| rung.name.to_string()).collect();
/// assert_eq!(names, ["1080p", "720p", "480p", "360p", "240p"]);
/// ```
pub fn ladder(width: u32, height: u32, rate: FrameRate) -> Vec<Rung> {
    let (width, height) = (width.max(1), height.max(1));
    let source_short = width.min(height);
    let top_short = source_short.min(CLASSES[0].short_side);
    let mut rungs = vec![rung(class_of(top_short), top_short, width, height, rate)];
    for class in &CLASSES {
        // Below 720 lines 144p costs little and saves a bad connection; above, 240p is the floor.
        let wanted = class.short_side > 144 || source_short < 720;
        if wanted && class.short_side * 5 <= top_short * 4 {
            rungs.push(rung(class, class.short_side, width, height, rate));
        }
    }
    rungs.dedup_by(|lower, upper| lower.name == upper.name);
    rungs
}

/// The class that a short side belongs to: the nearest from below, with a tenth of tolerance (1072 lines are `1080p`).
fn class_of(short_side: u32) -> &'static Class {
    CLASSES.iter().find(|class| short_side * 10 >= class.short_side * 9).unwrap_or(&CLASSES[CLASSES.len() - 1])
}

fn rung(class: &Class, short_side: u32, width: u32, height: u32, rate: FrameRate) -> Rung {
    let (width, height) = scaled(short_side, width, height);
    let pixels_per_second =
        u64::from(width) * u64::from(height) * u64::from(rate.timescale()) / u64::from(rate.frame_ticks());
    let maxrate_bps = (pixels_per_second * class.centibits_per_pixel / 100).clamp(64_000, 80_000_000);
    Rung {
        name: RenditionName::known(class.name),
        width,
        height,
        maxrate_bps: u32::try_from(maxrate_bps).unwrap_or(u32::MAX),
    }
}

/// The size with the given short side and the source's proportions.
fn scaled(short_side: u32, width: u32, height: u32) -> (u32, u32) {
    let source_short = width.min(height);
    let side = |side: u32| {
        let scaled = u64::from(side) * u64::from(short_side) / u64::from(source_short);
        let even = u32::try_from(scaled).unwrap_or(LONG_SIDE_MAX) & !1;
        even.clamp(SIDE_MIN, LONG_SIDE_MAX)
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(width: u32, height: u32) -> Vec<(String, u32, u32)> {
        let rungs = ladder(width, height, FrameRate::ALL[2]);
        rungs.into_iter().map(|rung| (rung.name.to_string(), rung.width, rung.height)).collect()
    }

    #[test]
    fn portrait_keeps_its_orientation() {
        let sizes = sizes(1080, 1920);
        assert_eq!(sizes[0], ("1080p".to_owned(), 1080, 1920));
        assert_eq!(sizes[1], ("720p".to_owned(), 720, 1280));
    }

    #[test]
    fn a_size_between_two_classes_keeps_its_own_pixels() {
        assert_eq!(sizes(1277, 533)[0], ("480p".to_owned(), 1276, 532));
        assert_eq!(sizes(1920, 800)[0], ("720p".to_owned(), 1920, 800));
    }

    #[test]
    fn a_tiny_picture_has_one_rung() {
        assert_eq!(sizes(64, 36), [("144p".to_owned(), 64, 36)]);
        assert_eq!(sizes(1, 1), [("144p".to_owned(), 16, 16)]);
    }

    #[test]
    fn peertubes_caps_are_reproduced() {
        let rungs = ladder(1280, 720, FrameRate::ALL[4]);
        assert_eq!(rungs[0].maxrate_bps, 3_041_280);
    }

    proptest! {
        #[test]
        fn rungs_are_even_distinct_falling_and_never_scaled_up(
            width in 16_u32..8193, height in 16_u32..8193, rate in 0_usize..8
        ) {
            let rungs = ladder(width, height, FrameRate::ALL[rate]);
            prop_assert!(!rungs.is_empty());
            if width.min(height) >= 240 {
                prop_assert!(rungs.len() >= 2);
            }
            for rung in &rungs {
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0);
                prop_assert!(rung.width <= width && rung.height <= height, "{:?}", rung);
                prop_assert_eq!(width > height && rung.width < rung.height, false);
                prop_assert_eq!(width < height && rung.width > rung.height, false);
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[1].width.min(pair[1].height) < pair[0].width.min(pair[0].height));
                prop_assert!(pair[1].name != pair[0].name);
            }
        }
    }
}
