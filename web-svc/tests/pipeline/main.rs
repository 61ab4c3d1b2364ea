//! The media pipeline against real ffmpeg and real files, which are made on the spot.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "tests may stop at the first surprise")]

mod av1;
mod borders;
mod breaks;
mod captions;
mod changes;
mod clock;
mod copying;
mod encoding;
mod endless;
mod exactness;
mod fixture;
mod flips;
mod pictures;
mod playback;
mod refusals;
mod sandbox;
mod server;
mod sound;
