//! The picture of an MP4 whose own bitstream can be its top rendition: its index, judged. Pure.
//!
//! A source conforms where a player that got its pictures in segments could not tell them from ours: H.264 with 8 bits and
//! 4:2:0, as many pictures as the plan, all equally long, closed groups of at most six seconds, and within the rung's bit rate.
//! Whatever is in doubt is encoded.

use std::ops::Range;

use bytes::Bytes;
use mp4_atom::{Avc1, Matrix, StszSamples};

use super::cmaf::{codec_string, init_of};
use super::fragment::Sample;
use super::ladder::Rung;
use super::movie::Picture;
use super::rate::FrameRate;
use super::source::{Colour, SourceInfo};

/// Segments are about as long as those that we encode, and never longer than `SEGMENT_SECONDS_MAX`.
const SEGMENT_SECONDS: f64 = 4.5;
const SEGMENT_SECONDS_MAX: f64 = 6.0;
/// A rest shorter than this joins the segment before it, if the two together are not too long.
const REST_SECONDS_MIN: f64 = 1.0;
/// The most pictures of which the index is held in memory: six hours at 60 per second.
const PICTURES_MAX: usize = 1_300_000;
/// The most bytes of the source that are read for one segment, and how many times as many as it has itself.
const SPAN_BYTES_MAX: u64 = 256 << 20;
const SPAN_FACTOR_MAX: u64 = 8;

/// Why a source's own bitstream is not taken over; for the log.
pub(super) type Doubt = &'static str;

/// All pictures of a source in the order of decoding, on the clock of the rendition.
#[derive(Debug)]
pub(super) struct Film {
    entry: Avc1,
    samples: Vec<Sample>,
    rate: FrameRate,
}

impl Film {
    /// A picture in a file of `file_bytes`, if it can be the rendition `rung` as it is.
    pub(super) fn of(picture: Picture, file_bytes: u64, info: &SourceInfo, rung: &Rung) -> Result<Self, Doubt> {
        let rate = info.video.frame_rate;
        check_entry(&picture, info, rung)?;
        let sizes = sizes(&picture)?;
        if sizes.len() as u64 != info.video.frames || sizes.is_empty() {
            return Err("its index does not have the number of pictures that its length tells");
        }
        let delta = constant_delta(&picture, sizes.len(), rate)?;
        let shown = shown_at(&picture, sizes.len(), delta)?;
        let offsets = offsets(&picture, &sizes)?;
        let mut samples = Vec::with_capacity(sizes.len());
        let ticks = i64::from(rate.frame_ticks());
        for (((size, offset), shown), decoded) in sizes.into_iter().zip(offsets).zip(shown).zip(0_i64..) {
            samples.push(Sample {
                offset,
                size,
                decode_ticks: u64::try_from(decoded * ticks).unwrap_or(0),
                composition_offset: (shown - decoded) * ticks,
                is_sync: picture.keyframes.is_none(),
            });
        }
        if samples.iter().any(|sample| sample.size == 0 || sample.end() > file_bytes) {
            return Err("its index names pictures that are not there");
        }
        for number in picture.keyframes.iter().flat_map(|stss| &stss.entries) {
            let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
            index.and_then(|index| samples.get_mut(index)).ok_or("its list of keyframes is damaged")?.is_sync = true;
        }
        Ok(Self { entry: picture.entry, samples, rate })
    }

    /// The frames at which segments begin, each a keyframe that nothing before or after it refers across.
    pub(super) fn boundaries(&self, rung: &Rung) -> Result<Vec<u64>, Doubt> {
        let keyframes = self.closed_keyframes()?;
        let boundaries = chosen(&keyframes, self.samples.len() as u64, self.rate)?;
        let ends = boundaries.iter().skip(1).copied().chain([self.samples.len() as u64]);
        for (&start, end) in boundaries.iter().zip(ends) {
            let samples = self.samples(start..end);
            let media: u64 = samples.iter().map(|sample| u64::from(sample.size)).sum();
            let seconds = self.rate.seconds(end - start);
            #[expect(clippy::cast_precision_loss, reason = "a bit rate for a comparison")]
            let bps = media as f64 * 8.0 / seconds;
            // What a buffer of two seconds lets through in four.
            if bps > f64::from(rung.maxrate_bps) * 1.5 {
                return Err("its bit rate is above what viewers are promised");
            }
            let span = span(samples);
            if span.end - span.start > SPAN_BYTES_MAX.min(media.saturating_mul(SPAN_FACTOR_MAX)) {
                return Err("its pictures are scattered over the file");
            }
        }
        Ok(boundaries)
    }

    /// The samples of some frames; at the borders of segments they are the same in the order of decoding and of showing.
    pub(super) fn samples(&self, frames: Range<u64>) -> &[Sample] {
        let index = |frame| usize::try_from(frame).unwrap_or(usize::MAX);
        self.samples.get(index(frames.start)..index(frames.end)).unwrap_or_default()
    }

    /// How many bytes tell the length of a unit.
    pub(super) fn length_bytes(&self) -> usize {
        usize::from(self.entry.avcc.length_size)
    }

    /// RFC 6381 codec string.
    pub(super) fn codecs(&self) -> String {
        codec_string(&self.entry.avcc)
    }

    /// The init segment of the rendition.
    pub(super) fn init(&self) -> Result<Bytes, mp4_atom::Error> {
        let entry = Avc1 { btrt: None, taic: None, fiel: None, ..self.entry.clone() };
        init_of(entry, self.rate.timescale())
    }

    /// Keyframes before which everything is shown that comes before in the file.
    fn closed_keyframes(&self) -> Result<Vec<u64>, Doubt> {
        let ticks = i64::from(self.rate.frame_ticks());
        let mut keyframes = Vec::new();
        let mut shown_before = -1;
        for (sample, index) in self.samples.iter().zip(0_i64..) {
            let shown = index + sample.composition_offset / ticks;
            if sample.is_sync {
                if shown != index || shown_before != index - 1 {
                    return Err("its groups of pictures are open");
                }
                keyframes.push(index.unsigned_abs());
            }
            shown_before = shown_before.max(shown);
        }
        if keyframes.first() == Some(&0) { Ok(keyframes) } else { Err("it does not begin with a keyframe") }
    }
}

/// The bytes of the source from the first sample's to the last one's.
pub(super) fn span(samples: &[Sample]) -> Range<u64> {
    let start = samples.iter().map(|sample| sample.offset).min().unwrap_or(0);
    let end = samples.iter().map(Sample::end).max();
    start..end.unwrap_or(start)
}

/// Whether the first picture in `head`, the beginning of a sample, is an IDR picture (ITU-T H.264, table 7-1); `false` if that
/// cannot be told from so few bytes.
pub(super) fn begins_with_idr(mut head: &[u8], length_bytes: usize) -> bool {
    const SLICE: u8 = 1;
    const IDR_SLICE: u8 = 5;
    while let Some((length, rest)) = head.split_at_checked(length_bytes) {
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        match rest.first().map(|byte| byte & 0x1f) {
            Some(IDR_SLICE) => return true,
            Some(SLICE..IDR_SLICE) | None => return false,
            Some(_) => head = rest.get(length..).unwrap_or_default(),
        }
    }
    false
}

/// Whether a sample is made up of units to its last byte, each with the bit that is always zero.
pub(super) fn consists_of_units(mut sample: &[u8], length_bytes: usize) -> bool {
    while let Some((length, rest)) = sample.split_at_checked(length_bytes) {
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        match rest.split_at_checked(length) {
            Some(([header, ..], after)) if header & 0x80 == 0 => sample = after,
            _ => return false,
        }
        if sample.is_empty() {
            return true;
        }
    }
    false
}

fn check_entry(picture: &Picture, info: &SourceInfo, rung: &Rung) -> Result<(), Doubt> {
    let (video, entry) = (&info.video, &picture.entry);
    let size = (u32::from(entry.visual.width), u32::from(entry.visual.height));
    if size != (rung.width, rung.height) || size != (video.width, video.height) {
        return Err("its pictures have another size, are turned or have wide pixels");
    }
    if picture.matrices != [Matrix::default(), Matrix::default()] {
        return Err("its pictures are to be turned");
    }
    if video.pixel_format != "yuv420p" || ![66, 77, 100].contains(&entry.avcc.avc_profile_indication) {
        return Err("its pictures have not 8 bits and 4:2:0");
    }
    if entry.avcc.sequence_parameter_sets.is_empty() || entry.avcc.picture_parameter_sets.is_empty() {
        return Err("its parameters are not in its index");
    }
    if video.interlaced || !matches!(video.colour, Colour::Bt601 | Colour::Bt709) {
        return Err("it is interlaced or of high dynamic range");
    }
    Ok(())
}

fn sizes(picture: &Picture) -> Result<Vec<u32>, Doubt> {
    match &picture.sizes.samples {
        StszSamples::Different { sizes } if sizes.len() <= PICTURES_MAX => Ok(sizes.clone()),
        _ => Err("it has no list of its pictures, or one that is too long"),
    }
}

/// How long every picture lasts in the source's own ticks.
fn constant_delta(picture: &Picture, samples: usize, rate: FrameRate) -> Result<i64, Doubt> {
    let entry = match picture.durations.entries.as_slice() {
        [entry] if usize::try_from(entry.sample_count) == Ok(samples) => entry,
        _ => return Err("its pictures are not equally long"),
    };
    let is_rate = u64::from(picture.timescale) * u64::from(rate.frame_ticks())
        == u64::from(entry.sample_delta) * u64::from(rate.timescale());
    if is_rate && entry.sample_delta > 0 {
        Ok(i64::from(entry.sample_delta))
    } else {
        Err("its frame rate is not the rendition's")
    }
}

/// The frame as which each sample is shown. Nothing is cut away by an edit list, and no frame is missing or doubled.
fn shown_at(picture: &Picture, samples: usize, delta: i64) -> Result<Vec<i64>, Doubt> {
    let offsets = picture.offsets.iter().flat_map(|ctts| &ctts.entries);
    let offsets = offsets
        .flat_map(|entry| std::iter::repeat_n(entry.sample_offset, usize::try_from(entry.sample_count).unwrap_or(0)));
    let offsets = offsets.chain(std::iter::repeat(0)).take(samples);
    let times: Vec<i64> = offsets.zip(0_i64..).map(|(offset, index)| index * delta + offset).collect();
    let first = times.iter().min().copied().unwrap_or(0);
    let edits = picture.edits.iter().flat_map(|elst| &elst.entries);
    match edits.map(|edit| edit.media_time).collect::<Vec<_>>().as_slice() {
        [] => {}
        [Some(begin)] if i64::try_from(*begin) == Ok(first) => {}
        _ => return Err("it has an edit list"),
    }
    let mut seen = vec![false; samples];
    let mut shown = Vec::with_capacity(samples);
    for time in times {
        let frame = (time - first) / delta;
        let place = usize::try_from(frame).ok().and_then(|frame| seen.get_mut(frame));
        match place {
            Some(seen) if (time - first) % delta == 0 && !*seen => *seen = true,
            _ => return Err("its pictures do not follow each other evenly"),
        }
        shown.push(frame);
    }
    Ok(shown)
}

/// Where each sample is in the file (ISO/IEC 14496-12, sections 8.7.4 and 8.7.5).
fn offsets(picture: &Picture, sizes: &[u32]) -> Result<Vec<u64>, Doubt> {
    let mut sizes = sizes.iter();
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut runs = picture.samples_per_chunk.entries.iter().peekable();
    let mut samples_per_chunk = 0;
    for (number, mut offset) in (1_u32..).zip(picture.chunks.iter().copied()) {
        while let Some(run) = runs.next_if(|run| run.first_chunk <= number) {
            samples_per_chunk = run.samples_per_chunk;
        }
        for size in sizes.by_ref().take(usize::try_from(samples_per_chunk).unwrap_or(0)) {
            offsets.push(offset);
            offset = offset.saturating_add(u64::from(*size));
        }
    }
    if sizes.next().is_none() { Ok(offsets) } else { Err("its index is damaged") }
}

/// The keyframes that begin segments: always the last one that makes the segment not too long.
fn chosen(keyframes: &[u64], frames: u64, rate: FrameRate) -> Result<Vec<u64>, Doubt> {
    let seconds = |from: u64, to: u64| rate.seconds(to.saturating_sub(from));
    let mut boundaries = vec![0];
    let mut rest = keyframes.iter().skip(1).copied().peekable();
    let mut start = 0;
    while let Some(next) = rest.next() {
        let ends_here = rest.peek().copied().unwrap_or(frames);
        let is_tiny_rest = rest.peek().is_none() && seconds(next, frames) < REST_SECONDS_MIN;
        let limit = if is_tiny_rest { SEGMENT_SECONDS_MAX } else { SEGMENT_SECONDS };
        if seconds(start, ends_here) > limit {
            boundaries.push(next);
            start = next;
        }
    }
    let ends = boundaries.iter().skip(1).copied().chain([frames]);
    let too_long = boundaries.iter().zip(ends).any(|(&start, end)| seconds(start, end) > SEGMENT_SECONDS_MAX);
    if too_long { Err("its keyframes are too far apart") } else { Ok(boundaries) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: &str = "25";

    #[test]
    fn segments_end_at_the_last_keyframe_that_keeps_them_short() {
        let chosen = |keyframes: &[u64], frames| chosen(keyframes, frames, RATE.parse().unwrap());
        // A keyframe every second.
        let every_second: Vec<u64> = (0..12).map(|second| second * 25).collect();
        assert_eq!(chosen(&every_second, 300), Ok(vec![0, 100, 200]));
        assert_eq!(chosen(&[0, 125, 250], 375), Ok(vec![0, 125, 250]), "five seconds each");
        assert_eq!(chosen(&[0, 50, 100, 110], 124), Ok(vec![0]), "the rest joins");
        assert_eq!(chosen(&[0], 100), Ok(vec![0]));
        assert!(chosen(&[0, 151], 200).is_err(), "more than six seconds");
        assert!(chosen(&[0], 151).is_err());
    }

    fn unit(kind: u8, payload: usize) -> Vec<u8> {
        let mut unit = u32::try_from(payload + 1).unwrap().to_be_bytes().to_vec();
        unit.push(0x60 | kind);
        unit.extend(std::iter::repeat_n(0, payload));
        unit
    }

    #[test]
    fn a_picture_is_an_idr_picture_if_its_first_slice_says_so() {
        assert!(begins_with_idr(&[unit(6, 700), unit(5, 9000)].concat()[..1000], 4));
        assert!(begins_with_idr(&[unit(9, 1), unit(7, 20), unit(8, 4), unit(5, 9)].concat(), 4));
        assert!(!begins_with_idr(&[unit(6, 700), unit(1, 9000)].concat(), 4), "a recovery point");
        assert!(!begins_with_idr(&unit(6, 4000)[..100], 4), "not told by so few bytes");
        assert!(!begins_with_idr(&[], 4));
    }

    #[test]
    fn a_sample_is_units_to_its_end() {
        let whole = [unit(6, 7), unit(5, 9000)].concat();
        assert!(consists_of_units(&whole, 4));
        assert!(!consists_of_units(&whole[..whole.len() - 1], 4), "cut");
        assert!(!consists_of_units(&[whole.as_slice(), &[0, 0]].concat(), 4), "a rest");
        assert!(!consists_of_units(&[whole.as_slice(), &[0, 0, 0, 0]].concat(), 4), "an empty unit");
        assert!(!consists_of_units(&unit(0x85, 9), 4), "a bit that is always zero");
        assert!(!consists_of_units(&[], 4));
    }

    proptest! {
        #[test]
        fn chosen_boundaries_are_keyframes_and_segments_short(gaps in proptest::collection::vec(1_u64..150, 1..200), tail in 1_u64..150) {
            let keyframes: Vec<u64> = gaps.iter().scan(0, |at, gap| { let here = *at; *at += gap; Some(here) }).collect();
            let frames = keyframes.last().unwrap() + tail;
            let boundaries = chosen(&keyframes, frames, RATE.parse().unwrap()).unwrap();
            prop_assert!(boundaries.iter().all(|boundary| keyframes.contains(boundary)));
            prop_assert!(boundaries.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= 150));
            prop_assert_eq!(boundaries[0], 0);
        }
    }
}
