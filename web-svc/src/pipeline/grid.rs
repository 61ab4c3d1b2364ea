//! Where segments begin and which of them one job encodes.

use serde::{Deserialize, Serialize};

use super::rate::FrameRate;

/// Groups of pictures in a segment: two of two seconds.
const GOPS_PER_SEGMENT: u32 = 2;
/// Segments in the first chunks, so that a video plays soon.
const FIRST_CHUNKS: [usize; 3] = [1, 2, 4];
/// Segments in those that follow: the work around a chunk is small beside it.
const CHUNK_SEGMENTS: usize = 8;
/// How many segments, from the end, come in smaller chunks, so that workers who began the last ones at different times end
/// soon after each other.
const TAIL_SEGMENTS: usize = 24;
const TAIL_CHUNK_SEGMENTS: usize = 4;

/// The segments of a video and the chunks that they are encoded in.
///
/// It is a list of boundaries, for a source's own keyframes are a grid as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Chunks in order; together they cover every frame once.
    pub chunks: Vec<Chunk>,
}

/// Consecutive segments that one job encodes in one ffmpeg run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Position of the chunk, from 0.
    pub index: u32,
    /// The chunk's first frame, counted from the start of the video.
    pub start_frame: u64,
    /// The global number of the chunk's first segment; the video's first is 1.
    pub first_segment: u32,
    /// Frames of each segment, never 0.
    pub segments: Vec<u32>,
}

impl Chunk {
    /// Frames in the whole chunk.
    pub fn frames(&self) -> u64 {
        self.segments.iter().map(|&frames| u64::from(frames)).sum()
    }
}

impl Grid {
    /// The grid of a video of `frames` frames: segments of two groups of pictures, the last one shorter.
    ///
    /// A rest shorter than half a group of pictures joins the segment before it. No frames give no chunks.
    pub fn regular(frames: u64, rate: FrameRate) -> Self {
        let gop = u64::from(rate.gop_frames());
        let segment = gop * u64::from(GOPS_PER_SEGMENT);
        let mut boundaries: Vec<u64> = (0..frames / segment).map(|index| index * segment).collect();
        let rest = frames % segment;
        if rest * 2 >= gop || (rest > 0 && boundaries.is_empty()) {
            boundaries.push(frames - rest);
        }
        Self::from_boundaries(&boundaries, frames)
    }

    /// The grid whose segments begin at the frames `boundaries` (rising, from 0) in a video of `frames` frames.
    pub fn from_boundaries(boundaries: &[u64], frames: u64) -> Self {
        let ends = boundaries.iter().skip(1).copied().chain([frames]);
        let segments: Vec<u32> = boundaries
            .iter()
            .zip(ends)
            .map(|(&start, end)| u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX))
            .filter(|&frames| frames > 0)
            .collect();
        let mut first_sizes = FIRST_CHUNKS.into_iter();
        let (mut rest, mut chunks, mut start_frame, mut first_segment) = (segments.as_slice(), Vec::new(), 0, 1);
        while !rest.is_empty() {
            let size = first_sizes.next().unwrap_or_else(|| later_size(rest.len())).min(rest.len());
            let (segments, after) = rest.split_at(size);
            let index = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            let chunk = Chunk { index, start_frame, first_segment, segments: segments.to_vec() };
            start_frame += chunk.frames();
            first_segment += u32::try_from(size).unwrap_or(u32::MAX);
            chunks.push(chunk);
            rest = after;
        }
        Self { chunks }
    }

    /// Frames in all chunks.
    pub fn frames(&self) -> u64 {
        self.chunks.iter().map(Chunk::frames).sum()
    }

    /// Whether `index` is the last chunk.
    pub fn is_last(&self, index: u32) -> bool {
        self.chunks.last().is_some_and(|chunk| chunk.index == index)
    }

    /// The frames at which segments begin, and at the end the frame after the last.
    pub fn boundaries(&self) -> Vec<u64> {
        let mut frame = 0;
        let mut boundaries = vec![0];
        for &frames in self.chunks.iter().flat_map(|chunk| &chunk.segments) {
            frame += u64::from(frames);
            boundaries.push(frame);
        }
        boundaries
    }
}

/// Segments of a chunk that is none of the first ones, where so many are left; a last one alone joins those before it.
fn later_size(rest: usize) -> usize {
    if rest > TAIL_SEGMENTS {
        CHUNK_SEGMENTS
    } else if rest > TAIL_CHUNK_SEGMENTS + 1 {
        TAIL_CHUNK_SEGMENTS
    } else {
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_chunks_are_small_and_the_last_ones_are_not_the_largest() {
        let sizes = |seconds: u64| -> Vec<usize> {
            let grid = Grid::regular(30 * seconds, FrameRate::ALL[4]);
            assert_eq!(grid.chunks.get(3).map_or(8, |chunk| chunk.first_segment), 8);
            grid.chunks.iter().map(|chunk| chunk.segments.len()).collect()
        };
        assert_eq!(sizes(20), [1, 2, 2]);
        assert_eq!(sizes(60), [1, 2, 4, 4, 4]);
        assert_eq!(sizes(64), [1, 2, 4, 4, 5]);
        assert_eq!(sizes(120), [1, 2, 4, 4, 4, 4, 4, 4, 3]);
        assert_eq!(sizes(180), [1, 2, 4, 8, 8, 4, 4, 4, 4, 4, 2]);
    }

    #[test]
    fn one_frame_is_one_segment_and_none_is_none() {
        assert_eq!(Grid::regular(1, FrameRate::ALL[2]).chunks[0].segments, [1]);
        assert!(Grid::regular(0, FrameRate::ALL[2]).chunks.is_empty());
    }

    #[test]
    fn a_tiny_rest_joins_the_segment_before_it() {
        let segments =
            |frames| Grid::regular(frames, FrameRate::ALL[2]).chunks.into_iter().flat_map(|chunk| chunk.segments);
        assert_eq!(segments(224).collect::<Vec<_>>(), [100, 124]);
        assert_eq!(segments(225).collect::<Vec<_>>(), [100, 100, 25]);
    }

    proptest! {
        #[test]
        fn every_frame_is_in_exactly_one_segment(frames in 0_u64..2_000_000, rate in 0_usize..8) {
            let rate = FrameRate::ALL[rate];
            let grid = Grid::regular(frames, rate);
            prop_assert_eq!(grid.frames(), frames);
            let (mut next_frame, mut next_segment) = (0, 1);
            for (index, chunk) in grid.chunks.iter().enumerate() {
                prop_assert_eq!(chunk.index as usize, index);
                prop_assert_eq!(chunk.start_frame, next_frame);
                prop_assert_eq!(chunk.first_segment, next_segment);
                prop_assert!(!chunk.segments.is_empty() && chunk.segments.iter().all(|&frames| frames > 0));
                next_frame += chunk.frames();
                next_segment += u32::try_from(chunk.segments.len()).unwrap();
            }
        }

        #[test]
        fn segments_begin_on_the_gop_and_last_at_most_two_and_a_half(frames in 1_u64..2_000_000, rate in 0_usize..8) {
            let rate = FrameRate::ALL[rate];
            let grid = Grid::regular(frames, rate);
            let boundaries = grid.boundaries();
            for start in &boundaries[..boundaries.len() - 1] {
                prop_assert_eq!(start % u64::from(rate.gop_frames()), 0);
            }
            for segment in grid.chunks.iter().flat_map(|chunk| &chunk.segments) {
                prop_assert!(*segment * 2 < rate.gop_frames() * 5);
            }
        }
    }
}
