//! The videos that are uploaded: a few real ones, each upload made unique.

use bytes::{BufMut, Bytes, BytesMut};
use triton_testkit::media;

/// Seconds and size of the clips: one segment, two segments, two sizes of picture.
const SHAPES: [(u32, &str); 3] = [(2, "320x180"), (6, "320x180"), (3, "426x240")];

/// Clips made once by ffmpeg.
#[derive(Debug, Clone)]
pub(crate) struct Clips {
    good: Vec<Bytes>,
}

impl Clips {
    /// Makes them; takes a second or two.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut good = Vec::with_capacity(SHAPES.len());
        for (number, (seconds, size)) in SHAPES.into_iter().enumerate() {
            let file = media::clip(dir.path(), &format!("{number}.mp4"), seconds, size);
            good.push(std::fs::read(file)?.into());
        }
        Ok(Self { good })
    }

    /// A clip that no other number gets: followed by a box that players skip (ISO/IEC 14496-12, `free`).
    pub(crate) fn good(&self, number: u64) -> Bytes {
        let count = self.good.len().max(1) as u64;
        let clip = usize::try_from(number % count).ok().and_then(|at| self.good.get(at)).cloned().unwrap_or_default();
        let mut unique = BytesMut::with_capacity(clip.len() + 16);
        unique.put(clip);
        unique.put_u32(16);
        unique.put_slice(b"free");
        unique.put_u64(number);
        unique.freeze()
    }

    /// Something that is no video.
    pub(crate) fn bad(number: u64) -> Bytes {
        format!("This is number {number}, and no video at all.").into()
    }
}
