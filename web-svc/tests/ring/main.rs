//! The ring client against real storage nodes that are killed, stopped, cut off, slow or damaged.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test binary has no outside")]

mod cluster;
mod deletes;
mod layouts;
mod proxy;
mod reads;
mod writes;
