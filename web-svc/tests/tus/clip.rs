//! Clips of any length.

use triton_testkit::media;

/// A real clip of this length in bytes, with a `free` box behind it that players skip.
pub(crate) fn clip(len: usize) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut clip = std::fs::read(media::clip(dir.path(), "clip.mp4", 1, "160x90")).unwrap();
    let free = u32::try_from(len - clip.len()).unwrap();
    clip.extend(free.to_be_bytes());
    clip.extend(b"free");
    let mut filler = 1_u64;
    clip.resize_with(len, || {
        // Bytes that differ from place to place, so that a part in the wrong one is noticed.
        filler = filler.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(filler >> 56).unwrap()
    });
    clip
}
