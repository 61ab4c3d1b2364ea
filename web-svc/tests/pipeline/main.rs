//! The media pipeline against real ffmpeg and real files, which are made on the spot.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests may stop at the first surprise")]

mod captions;
mod encoding;
mod exactness;
mod fixture;
mod pictures;
mod playback;
mod refusals;
mod server;
