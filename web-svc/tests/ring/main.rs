//! The ring client against real storage nodes that are killed, stopped, cut off, slow or damaged.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod deletes;
mod layouts;
mod proxy;
mod reads;
mod writes;
