//! Moving house with real processes: from a laptop to storage nodes and back, and what can go wrong on the way.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod house;
mod interruption;
mod refusals;
mod there_and_back;
#[path = "../whole_way/viewer.rs"]
mod viewer;

use std::time::Duration;

/// How long a short clip may take to become ready on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(240);
/// How long repair may take to move everything.
const SETTLE_DEADLINE: Duration = Duration::from_secs(180);
