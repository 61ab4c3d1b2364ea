//! The cluster control against real storage nodes in this process and a real database.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod degraded;
mod failures;
mod farm;
mod http;
mod migration;
mod nodes;
mod orphans;
mod replacement;
mod resuming;
mod reversal;
mod upkeep;
mod wishes;
