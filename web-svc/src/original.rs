//! Reading an original, which lies on the ring in parts.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use triton_api::VideoId;

use crate::{
    catalog::{PART_BYTES, VideoRecord},
    ring::{Ring, RingError},
};

/// The bytes `range` of an original; one part is open at a time.
pub(crate) fn read(
    ring: Ring,
    id: VideoId,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, RingError>> + Send + 'static {
    stream::iter(pieces(range))
        .then(move |(part, within)| {
            let ring = ring.clone();
            async move { ring.open(&VideoRecord::original_part(id, part), Some(within)).await }
        })
        .map_ok(|read| read.stream)
        .try_flatten()
}

/// The parts that `range` touches, each with the range within it.
fn pieces(range: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> + Send {
    let first = range.start / PART_BYTES;
    let end = range.end.div_ceil(PART_BYTES);
    (first..end.max(first)).filter_map(move |part| {
        let offset = part * PART_BYTES;
        let within = range.start.max(offset) - offset..range.end.min(offset + PART_BYTES) - offset;
        (within.start < within.end).then_some((part, within))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_cover_the_range_once_in_order(start in 0..3 * PART_BYTES, len in 0..3 * PART_BYTES) {
            let mut at = start;
            for (part, within) in pieces(start..start + len) {
                prop_assert_eq!(part * PART_BYTES + within.start, at);
                prop_assert!(within.end <= PART_BYTES && within.start < within.end);
                at = part * PART_BYTES + within.end;
            }
            prop_assert_eq!(at, start + len);
        }
    }
}
