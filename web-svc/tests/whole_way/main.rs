//! The whole way with real processes: upload, transcode, play; crashes, bad input, and a cluster that changes meanwhile.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod av1;
mod bad_input;
mod captions;
mod cluster;
mod crash;
mod edits;
mod growing;
mod hot;
mod playback;
mod replacement;
mod sound;
mod viewer;

use std::time::Duration;

/// How long a short clip may take to become ready on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(240);
/// How long the service may take to clean up or to move content.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);
